//! Update steps: a projected gradient step of an attack, a step of Adam.

use inocula_core::{Arg, Aval, DType};
use tch::Tensor;

use crate::buf::{Buf, constant, operand, own, reusable};
use crate::dispatch::{self, Adam};
use crate::failure::Made;

/// `(x, g, x0)`: `clip(clip(x + step sign(g), x0 - eps, x0 + eps), lo, hi)`.
pub(crate) fn pgd(
    [step, eps, lo, hi]: [f64; 4],
    args: &mut [Arg<'_, Buf>],
    out: &Aval,
) -> Made<Tensor> {
    let mut moved = match reusable(args, 1, out) {
        Some(mut g) => g.f_sign_()?,
        None => operand(args, 1).f_sign()?,
    };
    let x0 = operand(args, 2);
    let (step, eps) = (constant(step, out.dtype)?, constant(eps, out.dtype)?);
    let mut moved = moved.f_mul_(&step)?.f_add_(operand(args, 0))?;
    let (low, high) = (x0.f_sub(&eps)?, x0.f_add(&eps)?);
    Ok(moved.f_clamp_tensor_(Some(low), Some(high))?.f_clamp_(lo, hi)?)
}

/// Constants of [`Fused::AdamStep`](inocula_core::op::Fused::AdamStep).
#[derive(Clone, Copy)]
pub(crate) struct AdamStep {
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) step: f64,
    pub(crate) scale: f64,
    pub(crate) eps: f64,
}

/// So many steps that libtorch's corrections of the bias are 1; those of the operation are in its
/// constants.
const MANY: f64 = 1e30;

/// `(p, g, m, v)`: parameters and moments after a step of Adam.
pub(crate) fn adam(
    constants: AdamStep,
    args: &mut [Arg<'_, Buf>],
    out: &Aval,
) -> Made<[Tensor; 3]> {
    let [mut p, mut m, mut v] = [own(args, 0)?, own(args, 2)?, own(args, 3)?];
    let g = operand(args, 1);
    let AdamStep { beta1, beta2, step, scale, eps } = constants;
    if !(beta1 < 1.0 && beta2 < 1.0 && scale > 0.0) {
        let number = |value| constant(value, out.dtype);
        m = m.f_mul_(&number(beta1)?)?.f_add_(&g.f_mul(&number(1.0 - beta1)?)?)?;
        v = v.f_mul_(&number(beta2)?)?.f_add_(&g.f_square()?.f_mul_(&number(1.0 - beta2)?)?)?;
        let below = v.f_sqrt()?.f_mul_(&number(scale)?)?.f_add_(&number(eps)?)?;
        p = p.f_sub_(&m.f_mul(&number(step)?)?.f_div_(&below)?)?;
        return Ok([p, m, v]);
    }
    // libtorch makes it in one pass. Its denominator is `sqrt(v') + eps'` where that of the
    // operation is `sqrt(v') scale + eps`, so step and `eps` are divided by `scale`. Its kernel walks
    // memory, not axes: all four must lie in row-major order.
    let [p, m, v] = [p.f_contiguous()?, m.f_contiguous()?, v.f_contiguous()?];
    let count = constant(MANY, DType::F32)?.f_to(p.device())?;
    let constants = Adam { lr: step / scale, beta1, beta2, eps: eps / scale };
    dispatch::adam(&p, &g.f_contiguous()?, &m, &v, &count, &constants)?;
    Ok([p, m, v])
}
