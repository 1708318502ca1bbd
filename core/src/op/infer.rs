//! Shape and dtype inference: the one place where operands are checked.

mod windows;

use smallvec::smallvec;

use windows::{conv2d, conv2d_dw, conv2d_dx, fold, pool, unfold};

use super::{Avals, Axes, Binary, Fused, Op, OpCode, Unary};
use crate::aval::{addressable, broadcast};
use crate::{Aval, DType, Result, Shape, bail};

impl Op {
    /// The dtypes and shapes of the results, or why the operands do not fit.
    ///
    /// # Errors
    /// A line that names the operation and the shapes of its operands.
    pub fn infer(&self, args: &[Aval]) -> Result<Avals> {
        let code = self.code();
        let fits =
            if code == OpCode::Concat { !args.is_empty() } else { args.len() == code.arity() };
        if !fits {
            bail!(Shape, "{code}: got {} operands, takes {}", args.len(), code.arity());
        }
        let outs = match self {
            Op::Fused(fused) => infer_fused(fused, args)?,
            _ => smallvec![self.infer_one(args)?],
        };
        // Views make large operands free, so a result can be too large where no operand was.
        for out in &outs {
            addressable(&out.shape).map_err(|e| e.context(code))?;
        }
        Ok(outs)
    }

    fn infer_one(&self, args: &[Aval]) -> Result<Aval> {
        let code = self.code();
        match self {
            Op::Unary(u) => {
                if !matches!(u, Unary::Neg | Unary::Abs | Unary::Sign) {
                    want_float(code, args[0])?;
                }
                Ok(args[0])
            }
            Op::Affine { .. } => want_float(code, args[0]),
            Op::Binary(b) => {
                if *b == Binary::Pow {
                    want_float(code, args[0])?;
                }
                elementwise(code, args)
            }
            Op::Compare(_) | Op::Where => elementwise(code, args),
            Op::Cast(to) => Ok(Aval::new(*to, args[0].shape)),
            Op::Full { aval, .. } => Ok(*aval),
            Op::Iota { len } => Ok(Aval::new(DType::I64, Shape::new(&[*len])?)),
            Op::Sum { axes } => {
                want_axes(code, axes, args[0].shape)?;
                let shape = axes.iter().fold(args[0].shape, |s, &axis| s.with(axis, 1));
                Ok(Aval::new(args[0].dtype, shape))
            }
            Op::Max { axis } => reduce_one(code, *axis, args[0], args[0].dtype),
            Op::ArgMax { axis } => reduce_one(code, *axis, args[0], DType::I64),
            Op::Broadcast { shape } => {
                if broadcast(&args[0].shape, shape) != Some(*shape) {
                    bail!(Shape, "broadcast: {} does not stretch to {shape}", args[0].shape);
                }
                Ok(Aval::new(args[0].dtype, *shape))
            }
            Op::Reshape { shape } => {
                let (from, to) = (args[0].shape.numel(), shape.numel());
                if from != to {
                    bail!(Shape, "reshape: {} to {shape}: {from} and {to} elements", args[0].shape);
                }
                Ok(Aval::new(args[0].dtype, *shape))
            }
            Op::Permute { axes } => permute(axes, args[0]),
            Op::Flip { axes } => {
                want_axes(code, axes, args[0].shape)?;
                Ok(args[0])
            }
            Op::Slice { start, len } => slice(start, len, args[0]),
            Op::Pad { before, after } => pad(before, after, args[0]),
            Op::Concat { axis } => concat(*axis, args),
            Op::Gather { axis } => gather(*axis, args),
            Op::ScatterAdd { axis } => scatter_add(*axis, args),
            Op::Take { axis } => take(*axis, args),
            Op::PutAdd { axis } => put_add(*axis, args),
            Op::Unfold2d(window) => unfold(window, args[0]),
            Op::Fold2d { window, size } => fold(window, *size, args[0]),
            Op::MatMul { trans_a, trans_b } => matmul(*trans_a, *trans_b, args[0], args[1]),
            Op::Conv2d(conv) => conv2d(code, conv, args[0], args[1]),
            Op::Conv2dDx { conv, input } => conv2d_dx(conv, *input, args[0], args[1]),
            Op::Conv2dDw { conv, kernel } => conv2d_dw(code, conv, *kernel, args[0], args[1]),
            Op::MaxPool2dIdx(window) => {
                let pooled = pool(code, window, args[0])?;
                Ok(Aval::new(DType::I64, pooled.shape))
            }
            Op::Fused(_) => bail!(Usage, "{code}: fused operations are inferred as such"),
        }
    }
}

fn infer_fused(fused: &Fused, args: &[Aval]) -> Result<Avals> {
    let code = fused.code();
    want_float(code, args[0])?;
    let one = match fused {
        Fused::Relu => args[0],
        Fused::ReluGrad => same(code, args)?,
        Fused::Linear { .. } => {
            let out = matmul(false, true, args[0], args[1])?;
            if out.shape.rank() != 2 {
                bail!(Shape, "linear: input {} must be [N, I]", args[0].shape);
            }
            want_bias(code, args[2], out.shape[1], args[0].dtype)?;
            out
        }
        Fused::ConvBias { conv, .. } => {
            let out = conv2d(code, conv, args[0], args[1])?;
            want_bias(code, args[2], out.shape[1], args[0].dtype)?;
            out
        }
        Fused::ConvWeightGrads { conv, kernel } => {
            let sum = conv2d_dw(code, conv, *kernel, args[0], args[1])?;
            let mut each: Axes = smallvec![args[0].shape[0]];
            each.extend_from_slice(&sum.shape);
            Aval::new(sum.dtype, Shape::new(&each)?)
        }
        Fused::MaxPool2d(window) => pool(code, window, args[0])?,
        Fused::MaxPool2dGrad(window) => {
            let pooled = pool(code, window, args[0])?;
            if pooled != args[1] {
                bail!(Shape, "{code}: gradient {} where the pool gives {pooled}", args[1]);
            }
            args[0]
        }
        Fused::SoftmaxXent => softmax_xent(code, args)?,
        Fused::SoftmaxXentGrad => {
            let loss = softmax_xent(code, args)?;
            if loss != args[2] {
                bail!(Shape, "{code}: gradient {} where the loss is {loss}", args[2]);
            }
            args[0]
        }
        Fused::PgdStep { .. } => same(code, args)?,
        Fused::AdamStep { .. } => {
            let p = same(code, args)?;
            return Ok(smallvec![p, p, p]);
        }
    };
    Ok(smallvec![one])
}

fn want_float(code: OpCode, x: Aval) -> Result<Aval> {
    if !x.dtype.is_float() {
        bail!(Shape, "{code}: {x} is not floating point; cast it to f32 or f64 first");
    }
    Ok(x)
}

fn want_same_dtype(code: OpCode, args: &[Aval]) -> Result<DType> {
    let dtype = args[0].dtype;
    if let Some(other) = args.iter().find(|a| a.dtype != dtype) {
        bail!(Shape, "{code}: operands {} and {other} differ in dtype; cast one of them", args[0]);
    }
    Ok(dtype)
}

fn want_axis(code: OpCode, axis: usize, shape: Shape) -> Result<()> {
    if axis >= shape.rank() {
        bail!(Shape, "{code}: axis {axis} of {shape}, which has {} axes", shape.rank());
    }
    Ok(())
}

fn want_axes(code: OpCode, axes: &Axes, shape: Shape) -> Result<()> {
    if !axes.is_sorted_by(|a, b| a < b) {
        bail!(Shape, "{code}: axes {axes:?} must increase");
    }
    axes.last().map_or(Ok(()), |&last| want_axis(code, last, shape))
}

fn want_rank4(code: OpCode, what: &str, x: Aval) -> Result<[usize; 4]> {
    match *x.shape {
        [n, c, h, w] => Ok([n, c, h, w]),
        _ => bail!(Shape, "{code}: {what} {} must have four axes", x.shape),
    }
}

fn want_index(code: OpCode, idx: Aval) -> Result<()> {
    if idx.dtype != DType::I64 {
        bail!(Shape, "{code}: indices {idx} must be i64");
    }
    Ok(())
}

fn want_bias(code: OpCode, bias: Aval, channels: usize, dtype: DType) -> Result<()> {
    if bias.dtype != dtype || *bias.shape != [channels] {
        bail!(Shape, "{code}: bias {bias} for an output of {channels} channels in {dtype}");
    }
    Ok(())
}

fn elementwise(code: OpCode, args: &[Aval]) -> Result<Aval> {
    let dtype = want_same_dtype(code, args)?;
    let mut shape = args[0].shape;
    for arg in &args[1..] {
        match broadcast(&shape, &arg.shape) {
            Some(s) => shape = s,
            None => bail!(Shape, "{code}: {shape} and {} do not broadcast", arg.shape),
        }
    }
    Ok(Aval::new(dtype, shape))
}

fn same(code: OpCode, args: &[Aval]) -> Result<Aval> {
    if let Some(other) = args.iter().find(|a| **a != args[0]) {
        bail!(Shape, "{code}: operands {} and {other} must be alike", args[0]);
    }
    Ok(args[0])
}

fn reduce_one(code: OpCode, axis: usize, x: Aval, dtype: DType) -> Result<Aval> {
    want_axis(code, axis, x.shape)?;
    if x.shape[axis] == 0 {
        bail!(Shape, "{code}: axis {axis} of {} is empty", x.shape);
    }
    Ok(Aval::new(dtype, x.shape.with(axis, 1)))
}

fn permute(axes: &Axes, x: Aval) -> Result<Aval> {
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.shape.rank()) {
        bail!(Shape, "permute: {axes:?} is no order of the axes of {}", x.shape);
    }
    let dims: Axes = axes.iter().map(|&a| x.shape[a]).collect();
    Ok(Aval::new(x.dtype, Shape::new(&dims)?))
}

fn slice(start: &Axes, len: &Axes, x: Aval) -> Result<Aval> {
    let within = start.len() == x.shape.rank()
        && len.len() == x.shape.rank()
        && (0..x.shape.rank())
            .all(|i| start[i].checked_add(len[i]).is_some_and(|end| end <= x.shape[i]));
    if !within {
        bail!(Shape, "slice: start {start:?}, extent {len:?} is not within {}", x.shape);
    }
    Ok(Aval::new(x.dtype, Shape::new(len)?))
}

fn pad(before: &Axes, after: &Axes, x: Aval) -> Result<Aval> {
    if before.len() != x.shape.rank() || after.len() != x.shape.rank() {
        bail!(Shape, "pad: {before:?} and {after:?} do not name every axis of {}", x.shape);
    }
    let grown = |i: usize| before[i].saturating_add(x.shape[i]).saturating_add(after[i]);
    let dims: Axes = (0..x.shape.rank()).map(grown).collect();
    Ok(Aval::new(x.dtype, Shape::new(&dims)?))
}

fn concat(axis: usize, args: &[Aval]) -> Result<Aval> {
    let dtype = want_same_dtype(OpCode::Concat, args)?;
    let first = args[0].shape;
    want_axis(OpCode::Concat, axis, first)?;
    let mut total = 0;
    for arg in args {
        let alike =
            arg.shape.rank() == first.rank() && arg.shape.with(axis, 0) == first.with(axis, 0);
        if !alike {
            bail!(Shape, "concat: {first} and {} differ off axis {axis}", arg.shape);
        }
        total += arg.shape[axis];
    }
    Ok(Aval::new(dtype, first.with(axis, total)))
}

fn gather(axis: usize, args: &[Aval]) -> Result<Aval> {
    let (x, idx) = (args[0], args[1]);
    want_axis(OpCode::Gather, axis, x.shape)?;
    want_index(OpCode::Gather, idx)?;
    let alike =
        x.shape.rank() == idx.shape.rank() && x.shape.with(axis, 0) == idx.shape.with(axis, 0);
    if !alike {
        bail!(Shape, "gather: {} at {} along axis {axis}", x.shape, idx.shape);
    }
    Ok(Aval::new(x.dtype, idx.shape))
}

fn scatter_add(axis: usize, args: &[Aval]) -> Result<Aval> {
    let code = OpCode::ScatterAdd;
    let (base, idx, src) = (args[0], args[1], args[2]);
    want_axis(code, axis, base.shape)?;
    want_index(code, idx)?;
    want_same_dtype(code, &[base, src])?;
    let alike = idx.shape == src.shape
        && idx.shape.rank() == base.shape.rank()
        && idx.shape.with(axis, 0) == base.shape.with(axis, 0);
    if !alike {
        bail!(
            Shape,
            "{code}: {} at {} into {} along axis {axis}",
            src.shape,
            idx.shape,
            base.shape
        );
    }
    Ok(base)
}

fn take(axis: usize, args: &[Aval]) -> Result<Aval> {
    let (x, idx) = (args[0], args[1]);
    want_axis(OpCode::Take, axis, x.shape)?;
    want_index(OpCode::Take, idx)?;
    match *idx.shape {
        [k] => Ok(Aval::new(x.dtype, x.shape.with(axis, k))),
        _ => bail!(Shape, "take: indices {} must have one axis", idx.shape),
    }
}

fn put_add(axis: usize, args: &[Aval]) -> Result<Aval> {
    let code = OpCode::PutAdd;
    want_same_dtype(code, &[args[0], args[2]])?;
    let slices = take(axis, &args[..2]).map_err(|e| e.context(code))?;
    if slices.shape != args[2].shape {
        bail!(Shape, "{code}: {} where the indices want {}", args[2].shape, slices.shape);
    }
    Ok(args[0])
}

fn matmul(trans_a: bool, trans_b: bool, a: Aval, b: Aval) -> Result<Aval> {
    let code = OpCode::MatMul;
    let dtype = want_same_dtype(code, &[a, b])?;
    want_float(code, a)?;
    let rank = a.shape.rank();
    if rank < 2 || b.shape.rank() != rank {
        bail!(Shape, "matmul: {} x {}: both need the same rank, at least 2", a.shape, b.shape);
    }
    if a.shape[..rank - 2] != b.shape[..rank - 2] {
        bail!(Shape, "matmul: {} x {}: batch axes differ", a.shape, b.shape);
    }
    let sides = |x: Aval, t: bool| {
        let (r, c) = (x.shape[rank - 2], x.shape[rank - 1]);
        if t { (c, r) } else { (r, c) }
    };
    let ((m, ka), (kb, n)) = (sides(a, trans_a), sides(b, trans_b));
    if ka != kb {
        bail!(Shape, "matmul: {} x {}: inner sizes {ka} and {kb} differ", a.shape, b.shape);
    }
    Ok(Aval::new(dtype, a.shape.with(rank - 2, m).with(rank - 1, n)))
}

fn softmax_xent(code: OpCode, args: &[Aval]) -> Result<Aval> {
    let (z, y) = (args[0], args[1]);
    want_index(code, y)?;
    match (&*z.shape, &*y.shape) {
        ([n, c], [m]) if n == m && *c > 0 => Ok(Aval::new(z.dtype, y.shape)),
        _ => bail!(Shape, "{code}: logits {} must be [N, C] and labels {} [N]", z.shape, y.shape),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Conv, Window};
    use super::*;

    fn f32(dims: &[usize]) -> Aval {
        Aval::new(DType::F32, Shape::new(dims).unwrap())
    }

    fn message(op: &Op, args: &[Aval]) -> String {
        op.infer(args).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_op_and_both_shapes() {
        let op = Op::MatMul { trans_a: false, trans_b: false };
        assert_eq!(
            message(&op, &[f32(&[128, 3136]), f32(&[1024, 10])]),
            "matmul: [128, 3136] x [1024, 10]: inner sizes 3136 and 1024 differ"
        );
        let add = Op::Binary(Binary::Add);
        assert_eq!(
            message(&add, &[f32(&[2, 3]), f32(&[4])]),
            "add: [2, 3] and [4] do not broadcast"
        );
        let index = Aval::new(DType::I64, Shape::new(&[4]).unwrap());
        assert!(message(&add, &[f32(&[4]), index]).contains("f32[4] and i64[4] differ in dtype"));
    }

    #[test]
    fn the_convolution_triple_is_consistent() {
        let conv = Conv { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 2 };
        let (x, w) = (f32(&[3, 4, 9, 8]), f32(&[6, 2, 3, 2]));
        let y = Op::Conv2d(conv).infer(&[x, w]).unwrap()[0];
        assert_eq!(*y.shape, [3, 6, 5, 6]);
        assert_eq!(Op::Conv2dDx { conv, input: [9, 8] }.infer(&[y, w]).unwrap()[0], x);
        assert_eq!(Op::Conv2dDw { conv, kernel: [3, 2] }.infer(&[x, y]).unwrap()[0], w);
        assert!(message(&Op::Conv2d(conv), &[x, f32(&[6, 3, 3, 2])]).contains("needs 6 channels"));
    }

    #[test]
    fn fold_is_shaped_as_the_adjoint_of_unfold() {
        let window = Window::square(3, 2, 1);
        let x = f32(&[2, 3, 7, 7]);
        let cols = Op::Unfold2d(window).infer(&[x]).unwrap()[0];
        assert_eq!(*cols.shape, [2, 27, 16]);
        assert_eq!(Op::Fold2d { window, size: [7, 7] }.infer(&[cols]).unwrap()[0], x);
    }

    #[test]
    fn windows_of_padding_alone_are_refused() {
        let window = |dilation: usize, padding: usize| Window {
            kernel: [1, 2],
            stride: [1, 1],
            padding: [0, padding],
            dilation: [1, dilation],
        };
        let pool = |window: Window| Op::MaxPool2dIdx(window).infer(&[f32(&[1, 1, 1, 4])]);
        // Taps at -1 and 4 of an axis of 4: neither is inside.
        assert!(pool(window(5, 1)).unwrap_err().to_string().contains("holds padding only"));
        assert!(pool(window(4, 1)).is_ok());
    }

    #[test]
    fn results_too_large_for_memory_are_errors() {
        let (a, b) = (f32(&[1 << 31, 1]), f32(&[1, 1 << 31]));
        assert!(message(&Op::Binary(Binary::Add), &[a, b]).contains("too many elements"));
        let huge = Window { padding: [usize::MAX / 2 + 1; 2], ..Window::square(2, 1, 0) };
        assert!(Op::Unfold2d(huge).infer(&[f32(&[1, 1, 4, 4])]).is_err());
    }
}
