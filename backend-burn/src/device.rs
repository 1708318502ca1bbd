//! The device: which Burn backends are built in, and how a spec opens one of them.

use inocula_core::op::{Op, OpCode};
use inocula_core::{
    Arg, Aval, Backend, DType, DeviceInfo, DeviceSpec, Error, ErrorKind, Open, Outs, Result, bail,
};

use crate::buf::Array;
use crate::engine::Engine;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
use crate::inner::Cube;
use crate::inner::Inner;
#[cfg(feature = "flex")]
use crate::place::Place;
#[cfg(feature = "flex")]
use crate::threads::Threads;

/// The version of Burn underneath.
pub(crate) const BURN: &str = "0.22.1";

/// The options of a spec.
const OPTIONS: &[&str] = &["threads"];

inocula_core::export_backend! {
    backend: Burn,
    symbol: inocula_backend_burn_v1,
    name: "burn",
    devices: "flex, wgpu, cuda (as built in)",
    summary: "Burn: flex on the CPU, wgpu or CUDA on GPUs, as built in",
}

/// A device of one of the Burn backends that are built in.
pub struct Burn {
    info: DeviceInfo,
    engine: AnyEngine,
}

enum AnyEngine {
    #[cfg(feature = "flex")]
    Flex(Engine<burn_flex::Flex>),
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    Cube(Engine<Cube>),
}

/// An array on this backend.
pub struct Buf(AnyArray);

enum AnyArray {
    #[cfg(feature = "flex")]
    Flex(Array<burn_flex::Flex>),
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    Cube(Array<Cube>),
}

/// Runs an expression on the engine that is there.
macro_rules! engine {
    ($burn:expr, $engine:ident => $body:expr) => {
        match $burn.engine {
            #[cfg(feature = "flex")]
            AnyEngine::Flex(ref $engine) => $body,
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            AnyEngine::Cube(ref $engine) => $body,
        }
    };
}

impl Open for Burn {
    /// Specs are `burn` (the first of the following that is built in), `burn:flex`, `burn:wgpu`,
    /// `burn:wgpu:N` and `burn:cuda:N`. On `burn:flex`, `?threads=N` gives the device threads of its
    /// own; without it, kernels use rayon's, of which the process has as many as it may run at once.
    fn open(mut spec: DeviceSpec) -> Result<Self> {
        let threads = spec.take_count("threads")?;
        spec.finish(OPTIONS)?;
        let (kind, index) = spec.device.split_once(':').unwrap_or((&spec.device, ""));
        let kind = if kind.is_empty() { first_built_in() } else { kind };
        if threads.is_some() && kind != "flex" {
            bail!(Config, "burn: threads=N is an option of burn:flex; leave it out for {kind}");
        }
        match kind {
            "flex" if index.is_empty() => open_flex(threads),
            "wgpu" => crate::gpu::open_wgpu(number(index)?),
            "cuda" => crate::gpu::open_cuda(number(index)?),
            _ => bail!(
                NotFound,
                "burn: no device {:?}; choose flex, wgpu, wgpu:N or cuda:N",
                spec.device
            ),
        }
    }

    /// Those that are built in; whether there is a card for them, opening tells.
    fn devices() -> Result<Vec<String>> {
        let kinds = [
            ("flex", cfg!(feature = "flex")),
            ("wgpu", cfg!(feature = "wgpu")),
            ("cuda", cfg!(feature = "cuda")),
        ];
        Ok(kinds.iter().filter(|(_, built)| *built).map(|(kind, _)| (*kind).to_owned()).collect())
    }
}

impl Burn {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    pub(crate) fn on_gpu(device: String, engine: Engine<Cube>) -> Self {
        Burn { info: info(device, 0), engine: AnyEngine::Cube(engine) }
    }
}

fn info(device: String, threads: usize) -> DeviceInfo {
    let version = format!("{}, Burn {BURN}", env!("CARGO_PKG_VERSION"));
    DeviceInfo { backend: "burn".into(), device, version, threads }
}

/// The device of a spec that names none.
fn first_built_in() -> &'static str {
    if cfg!(feature = "wgpu") && !cfg!(feature = "flex") {
        "wgpu"
    } else if cfg!(feature = "cuda") && !cfg!(feature = "flex") {
        "cuda"
    } else {
        "flex"
    }
}

/// The number of a device, if the spec has one.
fn number(index: &str) -> Result<Option<usize>> {
    match index.parse() {
        _ if index.is_empty() => Ok(None),
        Ok(n) => Ok(Some(n)),
        Err(_) => bail!(Config, "burn: {index:?} is no number of a device; they count from 0"),
    }
}

#[cfg(feature = "flex")]
fn open_flex(threads: Option<usize>) -> Result<Burn> {
    let threads = Threads::new(threads)?;
    let count = threads.count();
    let engine = Engine::new(Place::new(burn_flex::FlexDevice, "flex"), threads);
    Ok(Burn { info: info("flex".into(), count), engine: AnyEngine::Flex(engine) })
}

#[cfg(not(feature = "flex"))]
fn open_flex(_threads: Option<usize>) -> Result<Burn> {
    Err(not_built_in("flex"))
}

/// What to do about a device that is left out of this build.
#[cfg_attr(all(feature = "flex", feature = "wgpu", feature = "cuda"), allow(dead_code))]
pub(crate) fn not_built_in(feature: &str) -> Error {
    let message =
        format!("burn: {feature} is not in this build; build with the feature {feature} of burn");
    Error::new(ErrorKind::NotFound, message)
}

impl Backend for Burn {
    type Buf = Buf;

    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, op: OpCode, dtype: DType) -> bool {
        op != OpCode::ConvWeightGrads && engine!(self, engine => engine.supports(dtype))
    }

    fn upload(&self, aval: &Aval, bytes: &[u8]) -> Result<Buf> {
        engine!(self, engine => engine.upload(aval, bytes).map(Buf::new))
    }

    fn download(&self, buf: &Buf, bytes: &mut [u8]) -> Result<()> {
        engine!(self, engine => engine.download(typed(buf)?, bytes))
    }

    fn execute(&self, op: &Op, args: &mut [Arg<'_, Buf>], out: &[Aval]) -> Result<Outs<Buf>> {
        engine!(self, engine => {
            let args = args.iter_mut().map(own).collect::<Result<_>>()?;
            Ok(engine.execute(op, args, out)?.into_iter().map(Buf::new).collect())
        })
    }

    fn sync(&self) -> Result<()> {
        engine!(self, engine => engine.sync())
    }
}

/// A Burn backend whose arrays a [`Buf`] can hold.
trait Held: Inner {
    fn wrap(array: Array<Self>) -> AnyArray;
    fn peek(any: &AnyArray) -> Option<&Array<Self>>;
}

macro_rules! held {
    ($backend:ty, $variant:ident) => {
        impl Held for $backend {
            fn wrap(array: Array<Self>) -> AnyArray {
                AnyArray::$variant(array)
            }

            fn peek(any: &AnyArray) -> Option<&Array<Self>> {
                match any {
                    AnyArray::$variant(array) => Some(array),
                    #[allow(unreachable_patterns)]
                    _ => None,
                }
            }
        }
    };
}

#[cfg(feature = "flex")]
held!(burn_flex::Flex, Flex);
#[cfg(any(feature = "wgpu", feature = "cuda"))]
held!(Cube, Cube);

impl Buf {
    fn new<B: Held>(array: Array<B>) -> Self {
        Buf(B::wrap(array))
    }
}

fn typed<B: Held>(buf: &Buf) -> Result<&Array<B>> {
    B::peek(&buf.0).ok_or_else(|| {
        let message = "burn: a buffer of another device was passed; upload it to this one first";
        Error::new(ErrorKind::Usage, message)
    })
}

/// The operand as this call's own: Burn reuses memory that nobody else refers to, so a donated
/// buffer is let go, and a shared one stays referred to.
fn own<B: Held>(arg: &mut Arg<'_, Buf>) -> Result<Array<B>> {
    let array = typed::<B>(arg.get())?.clone();
    if let Arg::Donated(slot) = arg {
        drop(slot.take());
    }
    Ok(array)
}
