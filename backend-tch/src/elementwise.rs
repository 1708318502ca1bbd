//! Elementwise operations.
//!
//! Results of two operands go where a donated one lies, through the `out` forms of libtorch's
//! operators: these accept an operand's own memory, and there is one for either operand, which the
//! in-place forms have not. Comparisons too are written straight into the dtype of their operands;
//! left to itself libtorch makes booleans, and casting them is a second pass.

use inocula_core::op::{Binary, Compare, Unary};
use inocula_core::{Arg, Aval, DType, Error, ErrorKind};
use tch::{Device, Kind, TchError, Tensor};

use crate::buf::{Buf, constant, kind, operand, reusable, sizes};
use crate::failure::Made;

/// Functions of one operand. libtorch rounds halves to even, and its signs of zeros are 0.
pub(crate) fn unary(op: Unary, args: &mut [Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    if let Some(mut x) = reusable(args, 0, out) {
        return Ok(match op {
            Unary::Neg => x.f_neg_(),
            Unary::Exp => x.f_exp_(),
            Unary::Log => x.f_log_(),
            Unary::Sqrt => x.f_sqrt_(),
            Unary::Tanh => x.f_tanh_(),
            Unary::Erf => x.f_erf_(),
            Unary::Abs => x.f_abs_(),
            Unary::Sign => x.f_sign_(),
            Unary::Round => x.f_round_(),
        }?);
    }
    let x = operand(args, 0);
    Ok(match op {
        Unary::Neg => x.f_neg(),
        Unary::Exp => x.f_exp(),
        Unary::Log => x.f_log(),
        Unary::Sqrt => x.f_sqrt(),
        Unary::Tanh => x.f_tanh(),
        Unary::Erf => x.f_erf(),
        Unary::Abs => x.f_abs(),
        Unary::Sign => x.f_sign(),
        Unary::Round => x.f_round(),
    }?)
}

/// `mul * x + add`. Two passes where both are needed: libtorch's one pass rounds once in the vector
/// part of an array and twice in the rest, so equal elements would get unequal results.
pub(crate) fn affine(mul: f64, add: f64, args: &mut [Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    let (factor, summand) = (constant(mul, out.dtype)?, constant(add, out.dtype)?);
    let mut scaled = match reusable(args, 0, out) {
        Some(x) if mul == 1.0 => x,
        Some(mut x) => x.f_mul_(&factor)?,
        None if mul == 1.0 => return Ok(operand(args, 0).f_add(&summand)?),
        None => operand(args, 0).f_mul(&factor)?,
    };
    Ok(if add == 0.0 { scaled } else { scaled.f_add_(&summand)? })
}

/// `max(x, 0)`.
pub(crate) fn relu(args: &mut [Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    Ok(match reusable(args, 0, out) {
        Some(mut x) => x.f_relu_(),
        None => operand(args, 0).f_relu(),
    }?)
}

/// `(y, g)`: `g` where `y > 0`. Where `y` is NaN this kernel gives `g`; a selection that gives 0
/// there takes ten times as long.
pub(crate) fn relu_grad(args: &mut [Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    if let Some(g) = reusable(args, 1, out) {
        return Ok(operand(args, 0).f_threshold_backward_grad_input(&g, &g, 0.0)?);
    }
    let (y, g) = (operand(args, 0), operand(args, 1));
    Ok(y.f_threshold_backward_grad_input(&y.f_empty_like()?, g, 0.0)?)
}

/// A function of two operands that writes into the tensor it is given, if any.
fn into_operand(
    args: &mut [Arg<'_, Buf>],
    out: &Aval,
    run: impl FnOnce(&Tensor, &Tensor, Option<&Tensor>) -> Result<Tensor, TchError>,
) -> Made<Tensor> {
    if let Some(a) = reusable(args, 0, out) {
        return Ok(run(&a, operand(args, 1), Some(&a))?);
    }
    if let Some(b) = reusable(args, 1, out) {
        return Ok(run(operand(args, 0), &b, Some(&b))?);
    }
    Ok(run(operand(args, 0), operand(args, 1), None)?)
}

/// Functions of two operands.
pub(crate) fn binary(op: Binary, args: &mut [Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    if op == Binary::Div && !out.dtype.is_float() {
        return divide_integers(operand(args, 0), operand(args, 1));
    }
    into_operand(args, out, |a, b, out| match (op, out) {
        (Binary::Add, None) => a.f_add(b),
        (Binary::Sub, None) => a.f_sub(b),
        (Binary::Mul, None) => a.f_mul(b),
        (Binary::Div, None) => a.f_div(b),
        (Binary::Maximum, None) => a.f_maximum(b),
        (Binary::Minimum, None) => a.f_minimum(b),
        (Binary::Pow, None) => a.f_pow(b),
        (Binary::Add, Some(out)) => a.f_add_out(out, b),
        (Binary::Sub, Some(out)) => a.f_sub_out(out, b),
        (Binary::Mul, Some(out)) => a.f_mul_out(out, b),
        (Binary::Div, Some(out)) => a.f_div_out(out, b),
        (Binary::Maximum, Some(out)) => a.f_maximum_out(out, b),
        (Binary::Minimum, Some(out)) => a.f_minimum_out(out, b),
        (Binary::Pow, Some(out)) => a.f_pow_tensor_tensor_out(out, b),
    })
}

/// Integer division. The processor traps where the result does not fit, for the lowest integer by
/// -1, and libtorch does not look; a division by -1 is therefore made a negation, which wraps.
fn divide_integers(a: &Tensor, b: &Tensor) -> Made<Tensor> {
    if b.f_logical_not()?.f_any()?.f_int64_value(&[])? != 0 {
        let what = "div: integer division by zero; cast to a float dtype or mask the zeros";
        return Err(Error::new(ErrorKind::Data, what).into());
    }
    let inverts = b.f_eq_tensor(&constant(-1.0, DType::I64)?)?;
    let divisor = constant(1.0, DType::I64)?.f_where_self(&inverts, b)?;
    let quotient = a.f_div_tensor_mode(&divisor, "trunc")?;
    Ok(a.f_neg()?.f_where_self(&inverts, &quotient)?)
}

/// One where the comparison holds, else zero.
pub(crate) fn compare(op: Compare, args: &mut [Arg<'_, Buf>], out: &Aval) -> Made<Tensor> {
    let options = (kind(out.dtype), operand(args, 0).device());
    into_operand(args, out, |a, b, place| {
        let made;
        let place = match place {
            Some(place) => place,
            None => {
                made = Tensor::f_empty(sizes(&out.shape), options)?;
                &made
            }
        };
        match op {
            Compare::Eq => a.f_eq_tensor_out(place, b),
            Compare::Lt => a.f_lt_tensor_out(place, b),
            Compare::Le => a.f_le_tensor_out(place, b),
        }
    })
}

/// `(c, a, b)`: `a` where `c` is not zero, else `b`.
pub(crate) fn select(args: &[Arg<'_, Buf>]) -> Made<Tensor> {
    let condition = operand(args, 0).f_to_kind(Kind::Bool)?;
    Ok(operand(args, 1).f_where_self(&condition, operand(args, 2))?)
}

/// The same constant everywhere.
pub(crate) fn full(value: f64, out: &Aval, device: Device) -> Made<Tensor> {
    let mut made = Tensor::f_empty(sizes(&out.shape), (kind(out.dtype), device))?;
    Ok(made.f_fill_tensor_(&constant(value, out.dtype)?)?)
}

/// `0, 1, ..., len - 1`.
pub(crate) fn iota(len: usize, device: Device) -> Made<Tensor> {
    let mut counted = Tensor::f_ones([len as i64], (Kind::Int64, device))?;
    Ok(counted.f_cumsum_(0, None)?.f_sub_(&constant(1.0, DType::I64)?)?)
}
