//! The device: opening it, moving arrays to and from it, and dispatch of operations to kernels.

use std::sync::Arc;
use std::thread;

use inocula_core::op::{Binary, Fused, Op, OpCode};
use inocula_core::{
    Arg, Aval, Backend, DType, DeviceInfo, DeviceSpec, Error, ErrorKind, Open, Outs, Result, Shape,
    bail,
};
use smallvec::smallvec;

use crate::buf::{Array, Buf, Ctx, Typed, operand, typed};
use crate::elem::{Elem, Float};
use crate::pool::Memory;
use crate::simd::Isa;
use crate::simd_tiles::Kernels;
use crate::workers::Workers;
use crate::{
    columns, conv, direct, direct_weight, elementwise, index, matmul, movement, order, pooling,
    reduce, softmax, step,
};

inocula_core::export_backend! {
    backend: Cpu,
    symbol: inocula_backend_ndarray_v1,
    name: "ndarray",
    devices: "cpu",
    summary: "pure Rust on the CPU; always available",
}

impl Open for Cpu {
    /// Specs are `ndarray`, `ndarray:cpu` and `ndarray?threads=N&simd=NAME`; without `threads` it uses
    /// as many as the process may run at once, without `simd` the widest registers.
    fn open(mut spec: DeviceSpec) -> Result<Self> {
        if !matches!(spec.device.as_str(), "" | "cpu") {
            bail!(NotFound, "ndarray: no device {:?}; this backend has cpu only", spec.device);
        }
        let threads = spec.take_count("threads")?;
        let simd = spec.options.remove("simd");
        spec.finish(&["threads", "simd"])?;
        let threads =
            threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let isa = simd.map(|name| isa(&name)).transpose()?;
        Cpu::with_isa(threads, isa)
    }

    fn devices() -> Result<Vec<String>> {
        Ok(vec!["cpu".into()])
    }
}

/// The instruction set of this name, if the machine has it.
fn isa(name: &str) -> Result<Isa> {
    if let Some(isa) = Isa::available().find(|isa| isa.name() == name) {
        return Ok(isa);
    }
    let names: Vec<&str> = Isa::available().map(Isa::name).collect();
    bail!(Usage, "ndarray: simd={name} is not one of this machine's: {}", names.join(", "))
}

/// The CPU as a device.
pub struct Cpu {
    info: DeviceInfo,
    ctx: Ctx,
}

impl Cpu {
    /// A device with its own `threads` threads, the caller's among them.
    ///
    /// # Errors
    /// The operating system refuses to start the threads.
    pub fn new(threads: usize) -> Result<Self> {
        Cpu::with_isa(threads, None)
    }

    /// As [`Cpu::new`], with the vector registers of one instruction set, or the best there are.
    pub(crate) fn with_isa(threads: usize, isa: Option<Isa>) -> Result<Self> {
        let isa = isa.or_else(|| Isa::available().next()).unwrap_or(Isa::Portable);
        let Some(kernels) = Kernels::of(isa) else {
            bail!(NotFound, "ndarray: this machine has no {}", isa.name());
        };
        let workers = Workers::new(threads, isa)?;
        Ok(Cpu {
            info: DeviceInfo {
                backend: "ndarray".into(),
                device: "cpu".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                threads: workers.threads(),
            },
            ctx: Ctx { kernels, workers, memory: Arc::new(Memory::default()) },
        })
    }
}

impl Backend for Cpu {
    type Buf = Buf;

    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Everything that inference lets through.
    fn supports(&self, _op: OpCode, _dtype: DType) -> bool {
        true
    }

    fn upload(&self, aval: &Aval, bytes: &[u8]) -> Result<Buf> {
        if bytes.len() != aval.bytes() {
            bail!(Usage, "ndarray: {} bytes were given for {aval}", bytes.len());
        }
        Ok(match aval.dtype {
            DType::F32 => f32::into_buf(self.read(aval.shape, bytes)),
            DType::F64 => f64::into_buf(self.read(aval.shape, bytes)),
            DType::I64 => i64::into_buf(self.read(aval.shape, bytes)),
        })
    }

    fn download(&self, buf: &Buf, bytes: &mut [u8]) -> Result<()> {
        typed!(buf, x => self.write(x, bytes))
    }

    fn host_memory<'a>(&self, buf: &'a mut Buf) -> Option<&'a mut [u8]> {
        match &mut buf.0 {
            Typed::F32(x) => x.slice_mut().map(bytemuck::cast_slice_mut),
            Typed::F64(x) => x.slice_mut().map(bytemuck::cast_slice_mut),
            Typed::I64(x) => x.slice_mut().map(bytemuck::cast_slice_mut),
        }
    }

    fn execute(&self, op: &Op, args: &mut [Arg<'_, Buf>], out: &[Aval]) -> Result<Outs<Buf>> {
        let shape = out[0].shape;
        match order::memory_order(op, args, shape) {
            None => dispatch(&self.ctx, op, args, shape, out[0].dtype),
            Some(axes) => order::run(&axes, shape, args, |args, shape| {
                dispatch(&self.ctx, op, args, shape, out[0].dtype)
            }),
        }
    }
}

/// Hands an operation to its kernel; `made` is the element type of the result.
fn dispatch(
    ctx: &Ctx,
    op: &Op,
    args: &mut [Arg<'_, Buf>],
    shape: Shape,
    made: DType,
) -> Result<Outs<Buf>> {
    let dtype = args.first().map_or(made, |arg| arg.get().dtype());
    if let Op::Fused(fused @ Fused::AdamStep { .. }) = op {
        return match dtype {
            DType::F32 => step::adam::<f32>(ctx, fused, args),
            DType::F64 => step::adam::<f64>(ctx, fused, args),
            DType::I64 => Err(floats_only(op)),
        };
    }
    let made = match dtype {
        DType::F32 => match tiled(ctx, op, args, shape) {
            Some(made) => made,
            None => float::<f32>(ctx, op, args, shape),
        },
        DType::F64 => float::<f64>(ctx, op, args, shape),
        DType::I64 => integer(ctx, op, args, shape),
    };
    Ok(smallvec![made?])
}

/// Elements that a thread takes at a time from what is uploaded.
const PIECE: usize = 1 << 15;

impl Cpu {
    fn read<T: Elem>(&self, shape: Shape, bytes: &[u8]) -> Array<T> {
        self.ctx.make(shape, |out| {
            let (work, width) = (out.len(), size_of::<T>());
            let pieces = out.chunks_mut(PIECE).zip(bytes.chunks(PIECE * width));
            self.ctx.workers.each(
                work,
                pieces,
                #[inline(always)]
                |(out, bytes)| {
                    let words = bytes.chunks_exact(width);
                    out.iter_mut().zip(words).for_each(|(o, word)| *o = T::read(word));
                },
            );
        })
    }

    fn write<T: Elem>(&self, x: &Array<T>, bytes: &mut [u8]) -> Result<()> {
        if bytes.len() != x.shape().numel() * size_of::<T>() {
            bail!(Usage, "ndarray: {} bytes were given to hold {}", bytes.len(), x.shape());
        }
        let words = bytes.chunks_exact_mut(size_of::<T>());
        self.ctx.dense(x).iter().zip(words).for_each(|(v, word)| v.write(word));
        Ok(())
    }
}

fn floats_only(op: &Op) -> Error {
    let message = format!("ndarray: {} of i64; cast to f32 or f64 first", op.code());
    Error::new(ErrorKind::Unsupported, message)
}

/// Operations on integers.
fn integer(ctx: &Ctx, op: &Op, args: &mut [Arg<'_, Buf>], shape: Shape) -> Result<Buf> {
    match op {
        Op::Unary(u) => elementwise::unary::<i64>(ctx, *u, args),
        Op::Binary(b) => {
            if *b == Binary::Div {
                elementwise::check_divisor(ctx, args, shape)?;
            }
            elementwise::binary::<i64>(ctx, *b, args, shape)
        }
        _ => any::<i64>(ctx, op, args, shape),
    }
    .unwrap_or_else(|| Err(floats_only(op)))
}

/// Operations on floats.
fn float<T: Float>(ctx: &Ctx, op: &Op, args: &mut [Arg<'_, Buf>], shape: Shape) -> Result<Buf> {
    match op {
        Op::Unary(u) => elementwise::unary_float::<T>(ctx, *u, args),
        Op::Affine { mul, add } => elementwise::affine::<T>(ctx, *mul, *add, args),
        Op::Binary(Binary::Pow) => elementwise::pow::<T>(ctx, args, shape),
        Op::MatMul { trans_a, trans_b } => {
            matmul::matmul::<T>(ctx, [*trans_a, *trans_b], args, shape)
        }
        Op::Conv2d(conv) => conv::forward::<T>(ctx, conv, false, args, shape),
        Op::Conv2dDx { conv, .. } => conv::input_grad::<T>(ctx, conv, args, shape),
        Op::Conv2dDw { conv, .. } => conv::weight_grad::<T>(ctx, conv, args, shape),
        Op::MaxPool2dIdx(window) => pooling::max_pool_index::<T>(ctx, window, args, shape),
        Op::Fused(fused) => self::fused::<T>(ctx, op, fused, args, shape),
        _ => any::<T>(ctx, op, args, shape).unwrap_or_else(|| Err(unknown(op))),
    }
}

/// Convolutions of f32 that have tiles; `None` for other operations.
fn tiled(ctx: &Ctx, op: &Op, args: &[Arg<'_, Buf>], shape: Shape) -> Option<Result<Buf>> {
    let shapes = || [0, 1].map(|i| typed!(args[i].get(), x => x.shape()));
    let direct = |conv: &inocula_core::op::Conv| direct::is_direct(conv, shapes());
    Some(match op {
        Op::Conv2d(conv) if direct(conv) => direct::forward(ctx, conv, false, args, shape),
        Op::Fused(Fused::ConvBias { conv, relu }) if direct(conv) => {
            direct::forward(ctx, conv, *relu, args, shape)
        }
        Op::Conv2dDx { conv, .. } if direct(conv) => direct::input_grad(ctx, conv, args, shape),
        Op::Conv2dDw { conv, .. } if direct(conv) => {
            direct_weight::weight_grad(ctx, conv, args, shape)
        }
        Op::Fused(Fused::ConvWeightGrads { conv, .. }) if direct(conv) => {
            direct_weight::weight_grads(ctx, conv, args, shape)
        }
        _ => return None,
    })
}

/// Fused operations of one result.
fn fused<T: Float>(
    ctx: &Ctx,
    op: &Op,
    fused: &Fused,
    args: &mut [Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    match fused {
        Fused::Relu => elementwise::relu::<T>(ctx, args),
        Fused::ReluGrad => elementwise::relu_grad::<T>(ctx, args, shape),
        Fused::Linear { relu } => matmul::linear::<T>(ctx, *relu, args, shape),
        Fused::ConvBias { conv, relu } => conv::forward::<T>(ctx, conv, *relu, args, shape),
        Fused::ConvWeightGrads { conv, .. } => conv::weight_grads::<T>(ctx, conv, args, shape),
        Fused::MaxPool2d(window) => pooling::max_pool::<T>(ctx, window, args, shape),
        Fused::MaxPool2dGrad(window) => pooling::max_pool_grad::<T>(ctx, window, args),
        Fused::SoftmaxXent => softmax::loss::<T>(ctx, args, shape),
        Fused::SoftmaxXentGrad => softmax::grad::<T>(ctx, args, shape),
        Fused::PgdStep { step, eps, lo, hi } => {
            step::pgd::<T>(ctx, [*step, *eps, *lo, *hi], args, shape)
        }
        Fused::AdamStep { .. } => Err(unknown(op)),
    }
}

fn unknown(op: &Op) -> Error {
    let message = format!("ndarray: {} has no kernel here; decompose it", op.code());
    Error::new(ErrorKind::Unsupported, message)
}

/// Operations that all element types share; `None` for others.
fn any<T: Elem>(
    ctx: &Ctx,
    op: &Op,
    args: &mut [Arg<'_, Buf>],
    shape: Shape,
) -> Option<Result<Buf>> {
    Some(match op {
        Op::Binary(b) => return elementwise::binary::<T>(ctx, *b, args, shape),
        Op::Compare(c) => elementwise::compare::<T>(ctx, *c, args, shape),
        Op::Where => elementwise::select::<T>(ctx, args, shape),
        Op::Cast(to) => operand::<T>(args, 0).map(|x| match to {
            DType::F32 => elementwise::cast::<T, f32>(ctx, x),
            DType::F64 => elementwise::cast::<T, f64>(ctx, x),
            DType::I64 => elementwise::cast::<T, i64>(ctx, x),
        }),
        Op::Full { value, .. } => {
            Ok(T::into_buf(ctx.make(shape, |out| out.fill(T::constant(*value)))))
        }
        Op::Iota { .. } => Ok(i64::into_buf(
            ctx.make(shape, |out| (0..).zip(out).for_each(|(i, o): (i64, _)| *o = i)),
        )),
        Op::Concat { axis } => movement::concat::<T>(ctx, *axis, args, shape),
        Op::Gather { axis } => index::gather::<T>(ctx, *axis, args, shape),
        Op::ScatterAdd { axis } => index::scatter_add::<T>(ctx, *axis, args),
        Op::Take { axis } => index::take::<T>(ctx, *axis, args, shape),
        Op::PutAdd { axis } => index::put_add::<T>(ctx, *axis, args),
        Op::Unfold2d(window) => columns::unfold::<T>(ctx, *window, args, shape),
        Op::Fold2d { window, .. } => columns::fold::<T>(ctx, *window, args, shape),
        Op::Sum { .. }
        | Op::Max { .. }
        | Op::ArgMax { .. }
        | Op::Broadcast { .. }
        | Op::Reshape { .. }
        | Op::Permute { .. }
        | Op::Flip { .. }
        | Op::Slice { .. }
        | Op::Pad { .. } => operand::<T>(args, 0).map(|x| of_one::<T>(ctx, op, x, shape)),
        _ => return None,
    })
}

/// Reductions and movements of one operand.
fn of_one<T: Elem>(ctx: &Ctx, op: &Op, x: &Array<T>, shape: Shape) -> Buf {
    let made = match op {
        Op::Sum { axes } => reduce::sum(ctx, x, axes, shape),
        Op::Max { axis } => reduce::max(ctx, x, *axis, shape),
        Op::ArgMax { axis } => return i64::into_buf(reduce::argmax(ctx, x, *axis, shape)),
        Op::Broadcast { .. } => x.view(x.layout().broadcast(shape)),
        Op::Permute { axes } => x.view(x.layout().permute(axes, shape)),
        Op::Flip { axes } => x.view(x.layout().flip(axes)),
        Op::Slice { start, .. } => x.view(x.layout().slice(start, shape)),
        Op::Pad { before, .. } => movement::pad(ctx, x, before, shape),
        _ => movement::reshape(ctx, x, shape),
    };
    T::into_buf(made)
}
