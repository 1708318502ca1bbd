//! Elementwise operations, and the rules for ties and NaN that they follow everywhere.

use burn_backend::tensor::{BoolTensor, FloatTensor, IntTensor};
use burn_backend::{Backend, Scalar, TensorMetadata as _};
use inocula_core::op::{Binary, Compare, Op, Unary};
use inocula_core::{DType, Error, ErrorKind, Result, Shape, bail};

use crate::buf::{Array, Fact};
use crate::inner::Inner;
use crate::num::{Num, Pair, float};
use crate::place::Place;

/// A function of one operand.
pub(crate) fn unary<B: Inner>(place: &Place<B>, op: Unary, x: Array<B>) -> Result<Num<B>> {
    let dtype = x.dtype();
    Ok(match x.num()? {
        Num::Float(x) => Num::Float(unary_float(place, op, x, dtype)),
        Num::Int(x) => Num::Int(match op {
            Unary::Neg => B::int_neg(x),
            Unary::Abs => magnitude::<B>(place, x),
            Unary::Sign => B::int_sign(x),
            _ => return Err(floats_only(&Op::Unary(op))),
        }),
    })
}

fn unary_float<B: Inner>(
    place: &Place<B>,
    op: Unary,
    x: FloatTensor<B>,
    dtype: DType,
) -> FloatTensor<B> {
    match op {
        Unary::Neg => B::float_neg(x),
        Unary::Exp => B::float_exp(x),
        Unary::Log => B::float_log(x),
        Unary::Sqrt => B::float_sqrt(x),
        Unary::Tanh => B::float_tanh(x),
        Unary::Erf => B::float_erf(x),
        Unary::Abs => B::float_abs(x),
        Unary::Sign => sign(place, x, dtype),
        Unary::Round => B::float_round(x),
    }
}

/// The magnitude, wrapping as two's complement does, where Burn's would overflow.
fn magnitude<B: Inner>(place: &Place<B>, x: IntTensor<B>) -> IntTensor<B> {
    let negative = B::int_lower_elem(x.clone(), Scalar::Int(0), place.bools());
    B::int_mask_where(x.clone(), negative, B::int_neg(x))
}

/// -1, 0 or 1; 0 for NaN.
pub(crate) fn sign<B: Inner>(place: &Place<B>, x: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    if B::NAN_RULES {
        return B::float_sign(x);
    }
    let (bools, floats) = (place.bools(), place.floats(dtype));
    let above = B::float_greater_elem(x.clone(), float(0.0), bools);
    let below = B::float_lower_elem(x, float(0.0), bools);
    B::float_sub(B::bool_into_float(above, floats), B::bool_into_float(below, floats))
}

/// `mul * x + add`. A factor of one and a summand of zero cost nothing.
pub(crate) fn affine<B: Backend>(x: FloatTensor<B>, mul: f64, add: f64) -> FloatTensor<B> {
    let scaled = match mul {
        1.0 => x,
        -1.0 => B::float_neg(x),
        _ => B::float_mul_scalar(x, float(mul)),
    };
    if add == 0.0 { scaled } else { B::float_add_scalar(scaled, float(add)) }
}

/// A function of two operands.
pub(crate) fn binary<B: Inner>(
    place: &Place<B>,
    op: Binary,
    a: Array<B>,
    b: Array<B>,
    shape: &Shape,
) -> Result<Num<B>> {
    if matches!(op, Binary::Maximum | Binary::Minimum) {
        return extreme(place, op, a, b, shape);
    }
    if op == Binary::Div && a.dtype() == DType::I64 {
        return quotient(place, a, b, shape.rank());
    }
    let (a, b) = (a.aligned(shape.rank())?, b.aligned(shape.rank())?);
    Ok(match (a.with(b)?, op) {
        (Pair::Float(a, b), Binary::Add) => Num::Float(B::float_add(a, b)),
        (Pair::Float(a, b), Binary::Sub) => Num::Float(B::float_sub(a, b)),
        (Pair::Float(a, b), Binary::Mul) => Num::Float(B::float_mul(a, b)),
        (Pair::Float(a, b), Binary::Div) => Num::Float(B::float_div(a, b)),
        (Pair::Float(a, b), _) => Num::Float(B::float_powf(a, b)),
        (Pair::Int(a, b), Binary::Add) => Num::Int(B::int_add(a, b)),
        (Pair::Int(a, b), Binary::Sub) => Num::Int(B::int_sub(a, b)),
        (Pair::Int(a, b), Binary::Mul) => Num::Int(B::int_mul(a, b)),
        (Pair::Int(..), _) => return Err(floats_only(&Op::Binary(op))),
    })
}

/// Integers divided, rounding towards zero; zero among the divisors is an error. Division by -1 is
/// negation, which wraps where Burn's division overflows.
fn quotient<B: Inner>(place: &Place<B>, a: Array<B>, b: Array<B>, rank: usize) -> Result<Num<B>> {
    let fact = b.fact();
    let (a, b) = (a.aligned(rank)?.int()?, b.aligned(rank)?.int()?);
    if fact.may_be(0) && place.values(b.clone())?.contains(&0) {
        bail!(Data, "div: integer division by zero; cast to a float dtype or mask the zeros");
    }
    if !fact.may_be(-1) {
        return Ok(Num::Int(B::int_div(a, b)));
    }
    let reversed = B::int_equal_elem(b.clone(), Scalar::Int(-1), place.bools());
    let divided = B::int_div(a, B::int_mask_fill(b, reversed.clone(), Scalar::Int(1)));
    let reversed = B::bool_expand(reversed, divided.shape());
    Ok(Num::Int(B::int_mask_where(divided.clone(), reversed, B::int_neg(divided))))
}

/// The larger or the smaller; NaN where either is.
fn extreme<B: Inner>(
    place: &Place<B>,
    op: Binary,
    a: Array<B>,
    b: Array<B>,
    shape: &Shape,
) -> Result<Num<B>> {
    let larger = op == Binary::Maximum;
    match (a.fact(), b.fact()) {
        (_, Fact::Fill(bound)) if a.shape() == *shape => {
            return Ok(Num::Float(clamp(place, a.num()?.float()?, larger, bound)));
        }
        (Fact::Fill(bound), _) if b.shape() == *shape => {
            return Ok(Num::Float(clamp(place, b.num()?.float()?, larger, bound)));
        }
        _ => {}
    }
    Ok(match a.expanded(shape)?.with(b.expanded(shape)?)? {
        Pair::Float(a, b) if larger => Num::Float(larger_of(place, a, b)),
        Pair::Float(a, b) => Num::Float(smaller_of(place, a, b)),
        Pair::Int(a, b) => {
            let (x, y) = (a.clone(), b.clone());
            let first = match larger {
                true => B::int_greater(x, y, place.bools()),
                false => B::int_lower(x, y, place.bools()),
            };
            Num::Int(B::int_mask_where(b, first, a))
        }
    })
}

/// The larger of two tensors of one shape; NaN where either is.
pub(crate) fn larger_of<B: Inner>(
    place: &Place<B>,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
) -> FloatTensor<B> {
    let above = B::float_greater(a.clone(), b.clone(), place.bools());
    chosen(place, above, a, b)
}

/// The smaller of two tensors of one shape; NaN where either is.
pub(crate) fn smaller_of<B: Inner>(
    place: &Place<B>,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
) -> FloatTensor<B> {
    let below = B::float_lower(a.clone(), b.clone(), place.bools());
    chosen(place, below, a, b)
}

/// `a` where it was chosen or is NaN, else `b`, which a comparison with NaN leaves in place.
fn chosen<B: Inner>(
    place: &Place<B>,
    first: BoolTensor<B>,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
) -> FloatTensor<B> {
    let first = B::bool_or(first, B::float_is_nan(a.clone(), place.bools()));
    B::float_mask_where(b, first, a)
}

/// The larger or the smaller of the elements and a number; NaN stays.
pub(crate) fn clamp<B: Inner>(
    place: &Place<B>,
    x: FloatTensor<B>,
    below: bool,
    bound: f64,
) -> FloatTensor<B> {
    if B::NAN_RULES {
        return match below {
            true => B::float_clamp_min(x, float(bound)),
            false => B::float_clamp_max(x, float(bound)),
        };
    }
    let outside = match below {
        true => B::float_lower_elem(x.clone(), float(bound), place.bools()),
        false => B::float_greater_elem(x.clone(), float(bound), place.bools()),
    };
    B::float_mask_fill(x, outside, float(bound))
}

/// `max(x, 0)`.
pub(crate) fn relu<B: Inner>(place: &Place<B>, x: FloatTensor<B>) -> FloatTensor<B> {
    if B::NAN_RULES { B::relu(x) } else { clamp(place, x, true, 0.0) }
}

/// `g` where `y > 0`, else 0, also where `y` is NaN.
pub(crate) fn relu_grad<B: Inner>(
    place: &Place<B>,
    y: FloatTensor<B>,
    g: FloatTensor<B>,
) -> FloatTensor<B> {
    let open = B::float_greater_elem(y, float(0.0), place.bools());
    B::float_mask_fill(g, B::bool_not(open), float(0.0))
}

/// One where the comparison holds, else zero, in the dtype of the operands.
pub(crate) fn compare<B: Inner>(
    place: &Place<B>,
    op: Compare,
    a: Array<B>,
    b: Array<B>,
    rank: usize,
) -> Result<Num<B>> {
    let (dtype, bools) = (a.dtype(), place.bools());
    let mask = match (a.aligned(rank)?.with(b.aligned(rank)?)?, op) {
        (Pair::Float(a, b), Compare::Eq) => B::float_equal(a, b, bools),
        (Pair::Float(a, b), Compare::Lt) => B::float_lower(a, b, bools),
        (Pair::Float(a, b), Compare::Le) => B::float_lower_equal(a, b, bools),
        (Pair::Int(a, b), Compare::Eq) => B::int_equal(a, b, bools),
        (Pair::Int(a, b), Compare::Lt) => B::int_lower(a, b, bools),
        (Pair::Int(a, b), Compare::Le) => B::int_lower_equal(a, b, bools),
    };
    Ok(place.truth(mask, dtype))
}

/// `a` where `c` is not zero, else `b`.
pub(crate) fn select<B: Inner>(
    place: &Place<B>,
    [c, a, b]: [Array<B>; 3],
    shape: &Shape,
) -> Result<Num<B>> {
    let mask = match c.expanded(shape)? {
        Num::Float(c) => B::float_not_equal_elem(c, float(0.0), place.bools()),
        Num::Int(c) => B::int_not_equal_elem(c, Scalar::Int(0), place.bools()),
    };
    b.expanded(shape)?.replace(mask, a.expanded(shape)?)
}

/// To another dtype.
pub(crate) fn cast<B: Inner>(place: &Place<B>, x: Array<B>, to: DType) -> Result<Num<B>> {
    Ok(match (x.num()?, to) {
        (Num::Float(x), DType::I64) => Num::Int(B::float_into_int(x, place.ints())),
        (Num::Float(x), _) => Num::Float(B::float_cast(x, place.floats(to))),
        (Num::Int(x), DType::I64) => Num::Int(x),
        (Num::Int(x), _) => Num::Float(B::int_into_float(x, place.floats(to))),
    })
}

fn floats_only(op: &Op) -> Error {
    let message = format!("burn: {} of i64; cast to f32 or f64 first", op.code());
    Error::new(ErrorKind::Unsupported, message)
}
