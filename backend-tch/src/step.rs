//! Update steps: a projected gradient step of an attack, a step of Adam.

use inocula_core::op::Fused;
use inocula_core::{Arg, Aval};
use tch::Tensor;

use crate::buf::{Buf, operand, own, reusable};
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
    let mut moved = moved.f_mul_scalar_(step)?.f_add_(operand(args, 0))?;
    let (low, high) = (x0.f_sub_scalar(eps)?, x0.f_add_scalar(eps)?);
    Ok(moved.f_clamp_tensor_(Some(low), Some(high))?.f_clamp_(lo, hi)?)
}

/// So many steps that libtorch's corrections of the bias are 1; those of the operation are in its
/// constants.
const MANY: f64 = 1e30;

/// `(p, g, m, v)`: parameters and moments after a step of Adam, which libtorch makes in one pass.
///
/// Its denominator is `sqrt(v') + eps'` where that of the operation is `sqrt(v') scale + eps`, so
/// step and `eps` are divided by `scale`.
pub(crate) fn adam(fused: &Fused, args: &mut [Arg<'_, Buf>]) -> Made<[Tensor; 3]> {
    let &Fused::AdamStep { beta1, beta2, step, scale, eps } = fused else {
        unreachable!("called for a step of Adam")
    };
    let (p, m, v) = (dense(own(args, 0)?)?, dense(own(args, 2)?)?, dense(own(args, 3)?)?);
    let g = operand(args, 1).f_contiguous()?;
    let count = Tensor::f_full([] as [i64; 0], MANY, (tch::Kind::Float, p.device()))?;
    let constants = Adam { lr: step / scale, beta1, beta2, eps: eps / scale };
    dispatch::adam(&p, &g, &m, &v, &count, &constants)?;
    Ok([p, m, v])
}

/// The kernel walks memory, not axes: all four must be in row-major order.
fn dense(x: Tensor) -> Made<Tensor> {
    Ok(if x.is_contiguous() { x } else { x.f_contiguous()? })
}
