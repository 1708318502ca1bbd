//! Dispatch of operations to what runs them, for any Burn backend.
//!
//! Three things are settled here once: dtypes that the device does not have, indices that data got
//! wrong, and arrays without elements, which Burn's kernels are never asked about.

use inocula_core::op::{Fused, Op, OpCode};
use inocula_core::{Aval, DType, Error, ErrorKind, Outs, Result, Shape};
use smallvec::{SmallVec, smallvec};

use crate::buf::{Array, Fact};
use crate::guard::contained;
use crate::inner::Inner;
use crate::num::Num;
use crate::place::Place;
use crate::threads::Threads;
use crate::{conv, elementwise, index, matmul, movement, pool, reduce, softmax, step};

/// A device, and the threads its kernels may use.
pub(crate) struct Engine<B: Inner> {
    place: Place<B>,
    threads: Threads,
}

impl<B: Inner> Engine<B> {
    pub(crate) fn new(place: Place<B>, threads: Threads) -> Self {
        Engine { place, threads }
    }

    /// Every operation runs on every dtype that the device holds. Fused ones save passes over
    /// memory or checks, even where they are composed.
    pub(crate) fn supports(&self, dtype: DType) -> bool {
        self.place.has(dtype)
    }

    pub(crate) fn upload(&self, aval: &Aval, bytes: &[u8]) -> Result<Array<B>> {
        contained("burn: upload", || self.place.upload(aval, bytes))
    }

    pub(crate) fn download(&self, x: &Array<B>, bytes: &mut [u8]) -> Result<()> {
        contained("burn: download", || self.place.download(x, bytes))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        contained("burn: sync", || self.place.sync())
    }

    /// Runs `op`; the arrays are this call's own, so memory that nobody else holds is reused.
    pub(crate) fn execute(
        &self,
        op: &Op,
        args: Vec<Array<B>>,
        out: &[Aval],
    ) -> Result<Outs<Array<B>>> {
        let code = op.code();
        contained(code, || {
            args.iter()
                .map(Array::dtype)
                .chain(out.iter().map(|o| o.dtype))
                .try_for_each(|dtype| self.place.check(dtype).map_err(|e| e.context(code)))?;
            self.check_indices(op, &args)?;
            if out.iter().all(|o| o.shape.numel() == 0) {
                return Ok(out.iter().map(|&o| Array::empty(o)).collect());
            }
            let fact = fact(op, &args);
            let nums = if args.iter().any(Array::is_empty) {
                smallvec![self.without_elements(op, args, &out[0])?]
            } else {
                let operands = args.iter().map(Array::shape);
                let largest = operands.chain([out[0].shape]).map(|s| s.numel()).max();
                let body = || run(&self.place, op, args, &out[0]);
                self.threads.run(op, largest.unwrap_or(0), body)?
            };
            let made = nums.into_iter().zip(out).map(|(num, &aval)| Array::new(aval, num, fact));
            Ok(made.collect())
        })
    }

    fn check_indices(&self, op: &Op, args: &[Array<B>]) -> Result<()> {
        let (place, code) = (&self.place, op.code());
        match op {
            Op::Gather { axis }
            | Op::ScatterAdd { axis }
            | Op::Take { axis }
            | Op::PutAdd { axis } => index::check(place, code, &args[1], args[0].shape()[*axis]),
            Op::Fused(Fused::SoftmaxXent | Fused::SoftmaxXentGrad) => {
                index::check_labels(place, code, &args[1], args[0].shape()[1])
            }
            _ => Ok(()),
        }
    }

    /// The result, which has elements, of an operation with an operand that has none: a sum of
    /// nothing, but for what is added to it.
    fn without_elements(&self, op: &Op, mut args: Vec<Array<B>>, out: &Aval) -> Result<Num<B>> {
        match op {
            Op::Concat { axis } => movement::concat(*axis, args),
            Op::ScatterAdd { .. } | Op::PutAdd { .. } => args.swap_remove(0).num(),
            Op::Fused(Fused::Linear { relu } | Fused::ConvBias { relu, .. }) => {
                let mut dims = [1; 4];
                dims[1] = out.shape[1];
                let bias = args.swap_remove(2).num()?.reshape(&dims[..out.shape.rank()]);
                let bias = bias.expand(&out.shape).float()?;
                Ok(Num::Float(if *relu { elementwise::relu(&self.place, bias) } else { bias }))
            }
            _ => self.place.full(out.dtype, &out.shape, 0.0),
        }
    }
}

/// What is known of the elements of a result.
fn fact<B: Inner>(op: &Op, args: &[Array<B>]) -> Fact {
    let last = |n: usize| Fact::Within(0, (n as i64 - 1).max(0));
    match op {
        Op::Iota { len } => last(*len),
        Op::ArgMax { axis } => last(args[0].shape()[*axis]),
        Op::MaxPool2dIdx(_) => last(args[0].shape()[2] * args[0].shape()[3]),
        Op::Broadcast { .. }
        | Op::Reshape { .. }
        | Op::Permute { .. }
        | Op::Flip { .. }
        | Op::Slice { .. }
        | Op::Gather { .. }
        | Op::Take { .. } => args[0].fact(),
        Op::Concat { .. } => {
            let facts = args.iter().filter(|a| !a.is_empty()).map(Array::fact);
            facts.reduce(Fact::or).unwrap_or(Fact::None)
        }
        Op::Full { aval, value } => Fact::of_constant(aval.dtype, *value),
        _ => Fact::None,
    }
}

/// The operands, as many as the operation has.
fn operands<B: Inner, const N: usize>(code: OpCode, args: Vec<Array<B>>) -> Result<[Array<B>; N]> {
    args.try_into().map_err(|args: Vec<Array<B>>| {
        let message = format!("{code}: {} operands were given where it takes {N}", args.len());
        Error::new(ErrorKind::Usage, message)
    })
}

/// Runs `op` on operands that have elements, as its result does.
fn run<B: Inner>(
    place: &Place<B>,
    op: &Op,
    args: Vec<Array<B>>,
    out: &Aval,
) -> Result<SmallVec<[Num<B>; 1]>> {
    if let Op::Fused(fused) = op {
        return self::fused(place, op.code(), fused, args, &out.shape);
    }
    let num = match op.code().arity() {
        1 => {
            let [x] = operands(op.code(), args)?;
            of_one(place, op, x, &out.shape)
        }
        2 => {
            let [a, b] = operands(op.code(), args)?;
            of_two(place, op, a, b, &out.shape)
        }
        _ => of_others(place, op, args, out),
    };
    Ok(smallvec![num?])
}

fn of_one<B: Inner>(place: &Place<B>, op: &Op, x: Array<B>, shape: &Shape) -> Result<Num<B>> {
    Ok(match op {
        Op::Unary(unary) => elementwise::unary(place, *unary, x)?,
        Op::Affine { mul, add } => {
            Num::Float(elementwise::affine::<B>(x.num()?.float()?, *mul, *add))
        }
        Op::Cast(to) => elementwise::cast(place, x, *to)?,
        Op::Sum { axes } => {
            let dims = x.shape();
            reduce::sum(x.num()?, &dims, axes)?
        }
        Op::Max { axis } => reduce::max(x.num()?, *axis),
        Op::ArgMax { axis } => reduce::argmax(place, x.num()?, *axis),
        Op::Unfold2d(window) => conv::unfold(place, window, x, shape)?,
        Op::Fold2d { window, .. } => conv::fold(place, window, x, shape)?,
        Op::MaxPool2dIdx(window) => Num::Int(pool::max_pool_index(place, window, x, shape)?),
        _ => movement::of_one(op, x, shape)?,
    })
}

fn of_two<B: Inner>(
    place: &Place<B>,
    op: &Op,
    a: Array<B>,
    b: Array<B>,
    shape: &Shape,
) -> Result<Num<B>> {
    match op {
        Op::Binary(binary) => elementwise::binary(place, *binary, a, b, shape),
        Op::Compare(compare) => elementwise::compare(place, *compare, a, b, shape.rank()),
        Op::Gather { axis } => index::gather(*axis, a, b, shape),
        Op::Take { axis } => index::take(*axis, a, b, shape),
        Op::MatMul { trans_a, trans_b } => matmul::matmul([*trans_a, *trans_b], a, b, shape),
        Op::Conv2d(conv) => conv::forward(place, conv, false, a, b, None),
        Op::Conv2dDx { conv, .. } => conv::input_grad(place, conv, a, b, shape),
        Op::Conv2dDw { conv, .. } => conv::weight_grad(place, conv, a, b, shape),
        _ => Err(unknown(op.code())),
    }
}

fn of_others<B: Inner>(
    place: &Place<B>,
    op: &Op,
    args: Vec<Array<B>>,
    out: &Aval,
) -> Result<Num<B>> {
    match op {
        Op::Full { value, .. } => place.full(out.dtype, &out.shape, *value),
        Op::Iota { len } => Ok(place.iota(*len)),
        Op::Concat { axis } => movement::concat(*axis, args),
        Op::Where => elementwise::select(place, operands(op.code(), args)?, &out.shape),
        Op::ScatterAdd { axis } => index::scatter_add(*axis, operands(op.code(), args)?),
        Op::PutAdd { axis } => index::put_add(*axis, operands(op.code(), args)?),
        _ => Err(unknown(op.code())),
    }
}

fn fused<B: Inner>(
    place: &Place<B>,
    code: OpCode,
    fused: &Fused,
    args: Vec<Array<B>>,
    shape: &Shape,
) -> Result<SmallVec<[Num<B>; 1]>> {
    let num = match fused {
        Fused::Relu => {
            let [x] = operands(code, args)?;
            Num::Float(elementwise::relu(place, x.num()?.float()?))
        }
        Fused::ReluGrad => {
            let [y, g] = operands(code, args)?;
            Num::Float(elementwise::relu_grad(place, y.num()?.float()?, g.num()?.float()?))
        }
        Fused::Linear { relu } => matmul::linear(place, *relu, operands(code, args)?, shape)?,
        Fused::ConvBias { conv, relu } => {
            let [x, w, b] = operands(code, args)?;
            conv::forward(place, conv, *relu, x, w, Some(b))?
        }
        Fused::MaxPool2d(window) => {
            let [x] = operands(code, args)?;
            pool::max_pool(place, window, x, shape)?
        }
        Fused::MaxPool2dGrad(window) => {
            let [x, g] = operands(code, args)?;
            pool::max_pool_grad(place, window, x, g)?
        }
        Fused::SoftmaxXent => {
            let [z, y] = operands(code, args)?;
            softmax::loss(z, y, shape)?
        }
        Fused::SoftmaxXentGrad => softmax::grad(place, operands(code, args)?)?,
        Fused::PgdStep { step, eps, lo, hi } => {
            step::pgd(place, [*step, *eps, *lo, *hi], operands(code, args)?)?
        }
        Fused::ConvWeightGrads { .. } => return Err(unknown(code)),
        Fused::AdamStep { .. } => return step::adam(fused, operands(code, args)?),
    };
    Ok(smallvec![num])
}

fn unknown(code: OpCode) -> Error {
    let message = format!("burn: {code} has no kernel here; decompose it");
    Error::new(ErrorKind::Unsupported, message)
}
