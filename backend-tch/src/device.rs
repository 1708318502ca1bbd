//! The device: opening it, moving arrays to and from it, and dispatch of operations to kernels.

use inocula_core::op::{Binary, Fused, Op, OpCode, Unary};
use inocula_core::{
    Arg, Aval, Backend, DType, DeviceInfo, DeviceSpec, Error, ErrorKind, Open, Outs, Result, bail,
};
use smallvec::smallvec;
use tch::{NoGradGuard, Tensor};

use crate::buf::{Buf, kind, operand, sizes};
use crate::failure::{Failure, Made};
use crate::step::AdamStep;
use crate::{
    columns, conv, cuda, elementwise, index, matmul, movement, pool, reduce, softmax, step, threads,
};

inocula_core::export_backend! {
    backend: Tch,
    symbol: inocula_backend_tch_v1,
    name: "tch",
    devices: "cpu, cuda",
    summary: "libtorch, the library of PyTorch; CPU and NVIDIA GPUs",
}

/// The version of libtorch that this is built with.
const LIBTORCH: &str = "2.13.0";

/// A device of libtorch.
pub struct Tch {
    info: DeviceInfo,
    place: tch::Device,
}

impl Open for Tch {
    /// Specs are `tch`, `tch:cpu`, `tch:cuda` and `tch:cuda:N`. `threads=N` holds for operations of
    /// this device only, whichever thread calls them; without it they use as many as libtorch finds
    /// right.
    fn open(mut spec: DeviceSpec) -> Result<Self> {
        cuda::prepare();
        let place = place(&spec.device)?;
        let usual = threads::usual();
        let threads = spec.take_count("threads")?;
        spec.finish(&["threads"])?;
        let device = match place {
            tch::Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".into(),
        };
        let info = DeviceInfo {
            backend: ENTRY.name.into(),
            device,
            version: format!("{}, libtorch {LIBTORCH}", env!("CARGO_PKG_VERSION")),
            threads: threads.unwrap_or(usual),
        };
        Ok(Tch { info, place })
    }

    /// The CPU, and the GPUs that libtorch sees.
    fn devices() -> Result<Vec<String>> {
        let mut names = vec!["cpu".to_owned()];
        names.extend((0..cuda::count()).map(|index| format!("cuda:{index}")));
        Ok(names)
    }
}

impl Tch {
    /// Readies the calling thread. The guard must live as long as operations run.
    fn enter(&self) -> NoGradGuard {
        threads::run_on(self.info.threads);
        tch::no_grad_guard()
    }
}

fn place(device: &str) -> Result<tch::Device> {
    let name = device.split_once(':').map_or(device, |(name, _)| name);
    match (name, device.split_once(':').map(|(_, index)| index.parse())) {
        ("" | "cpu", None) => Ok(tch::Device::Cpu),
        ("cuda", None) => cuda::open(0),
        ("cuda", Some(Ok(index))) => cuda::open(index),
        _ => bail!(NotFound, "tch: no device {device:?}; this backend has cpu, cuda and cuda:N"),
    }
}

impl Backend for Tch {
    type Buf = Buf;

    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Every fused operation has a form here that is faster than its parts: fewer passes, fewer
    /// arrays, or a kernel of libtorch's own.
    fn supports(&self, _op: OpCode, _dtype: DType) -> bool {
        true
    }

    fn upload(&self, aval: &Aval, bytes: &[u8]) -> Result<Buf> {
        if bytes.len() != aval.bytes() {
            bail!(Usage, "tch: {} bytes were given for {aval}", bytes.len());
        }
        let _scope = self.enter();
        let moved = || -> Made<Buf> {
            let made = Tensor::f_from_data_size(bytes, &sizes(&aval.shape), kind(aval.dtype))?;
            Buf::fresh(made.f_to(self.place)?, *aval)
        };
        moved().map_err(|failure| failure.during("upload"))
    }

    fn download(&self, buf: &Buf, bytes: &mut [u8]) -> Result<()> {
        let aval = buf.aval();
        if bytes.len() != aval.bytes() {
            bail!(Usage, "tch: {} bytes were given to hold {aval}", bytes.len());
        }
        let _scope = self.enter();
        let copied = buf.tensor().f_copy_data_u8(bytes, aval.shape.numel());
        copied.map_err(|err| Failure::from(err).during("download"))
    }

    fn host_memory<'a>(&self, buf: &'a mut Buf) -> Option<&'a mut [u8]> {
        buf.host_memory()
    }

    fn execute(&self, op: &Op, args: &mut [Arg<'_, Buf>], out: &[Aval]) -> Result<Outs<Buf>> {
        if let Some(arg) = args.first()
            && arg.get().aval().dtype == DType::I64
            && wants_floats(op)
        {
            let what = format!("tch: {} of i64; cast to f32 or f64 first", op.code());
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        let _scope = self.enter();
        self.run(op, args, out).map_err(|failure| failure.during(op.code()))
    }

    fn sync(&self) -> Result<()> {
        cuda::sync(self.place).map_err(|failure| failure.during("sync"))
    }
}

/// Whether an operation is defined on floats only. libtorch would give integers a float result.
fn wants_floats(op: &Op) -> bool {
    match op {
        Op::Unary(unary) => !matches!(unary, Unary::Neg | Unary::Abs | Unary::Sign),
        Op::Binary(binary) => *binary == Binary::Pow,
        Op::Affine { .. }
        | Op::MatMul { .. }
        | Op::Conv2d(_)
        | Op::Conv2dDx { .. }
        | Op::Conv2dDw { .. }
        | Op::MaxPool2dIdx(_)
        | Op::Fused(_) => true,
        _ => false,
    }
}

impl Tch {
    fn run(&self, op: &Op, args: &mut [Arg<'_, Buf>], out: &[Aval]) -> Made<Outs<Buf>> {
        if let Op::Fused(Fused::AdamStep { beta1, beta2, step, scale, eps }) = *op {
            let made = step::adam(AdamStep { beta1, beta2, step, scale, eps }, args, &out[0])?;
            return made.into_iter().zip(out).map(|(t, aval)| Buf::fresh(t, *aval)).collect();
        }
        if let Some(arg) = args.first()
            && let Some(view) = movement::view(op, arg.get(), out[0])
        {
            return Ok(smallvec![view?]);
        }
        Ok(smallvec![Buf::fresh(self.compute(op, args, &out[0])?, out[0])?])
    }

    /// Operations whose one result lies on memory of its own.
    fn compute(&self, op: &Op, args: &mut [Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
        match op {
            Op::Unary(unary) => elementwise::unary(*unary, args, out),
            Op::Affine { mul, add } => elementwise::affine(*mul, *add, args, out),
            Op::Binary(binary) => elementwise::binary(*binary, args, out),
            Op::Compare(comparison) => elementwise::compare(*comparison, args, out),
            Op::Where => elementwise::select(args),
            Op::Full { value, .. } => elementwise::full(*value, out, self.place),
            Op::Iota { len } => elementwise::iota(*len, self.place),
            Op::Sum { axes } => reduce::sum(operand(args, 0), axes),
            Op::Max { axis } => reduce::max(operand(args, 0), *axis),
            Op::ArgMax { axis } => reduce::argmax(operand(args, 0), *axis),
            Op::Flip { axes } => movement::flip(operand(args, 0), axes),
            Op::Pad { before, after } => movement::pad(operand(args, 0), before, after),
            Op::Concat { axis } => movement::concat(*axis, args),
            Op::Gather { axis } => index::gather(*axis, args),
            Op::ScatterAdd { axis } => index::scatter_add(*axis, args),
            Op::Take { axis } => index::take(*axis, args),
            Op::PutAdd { axis } => index::put_add(*axis, args),
            Op::Unfold2d(window) => columns::unfold(window, operand(args, 0), out),
            Op::Fold2d { window, .. } => columns::fold(window, operand(args, 0), out),
            Op::MatMul { trans_a, trans_b } => matmul::matmul([*trans_a, *trans_b], args, out),
            Op::Conv2d(conv) => conv::forward(conv, false, args, out),
            Op::Conv2dDx { conv, .. } => conv::input_grad(conv, args, out),
            Op::Conv2dDw { conv, .. } => conv::weight_grad(conv, args, out),
            Op::MaxPool2dIdx(window) => pool::max_pool_index(window, args, out),
            Op::Fused(fused) => self::fused(fused, args, out),
            Op::Cast(_)
            | Op::Broadcast { .. }
            | Op::Reshape { .. }
            | Op::Permute { .. }
            | Op::Slice { .. } => Err(no_kernel(op.code()).into()),
        }
    }
}

/// Fused operations of one result.
fn fused(fused: &Fused, args: &mut [Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    match fused {
        Fused::Relu => elementwise::relu(args, out),
        Fused::ReluGrad => elementwise::relu_grad(args, out),
        Fused::Linear { relu } => matmul::linear(*relu, args),
        Fused::ConvBias { conv, relu } => conv::forward(conv, *relu, args, out),
        Fused::MaxPool2d(window) => pool::max_pool(window, args, out),
        Fused::MaxPool2dGrad(window) => pool::max_pool_grad(window, args, out),
        Fused::SoftmaxXent => softmax::loss(args),
        Fused::SoftmaxXentGrad => softmax::grad(args, out),
        Fused::PgdStep { step, eps, lo, hi } => step::pgd([*step, *eps, *lo, *hi], args, out),
        Fused::ConvWeightGrads { conv, .. } => conv::weight_grads(conv, args, out),
        Fused::AdamStep { .. } => Err(no_kernel(fused.code()).into()),
    }
}

fn no_kernel(code: OpCode) -> Error {
    Error::new(ErrorKind::Unsupported, format!("tch: {code} has no kernel here; decompose it"))
}
