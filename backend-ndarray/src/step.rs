//! Update steps in one pass over memory: a projected gradient step of an attack, a step of Adam.

use inocula_core::op::Fused;
use inocula_core::{Arg, Outs, Result, Shape};
use smallvec::smallvec;

use crate::buf::{Array, Buf, Ctx, exclusive, operand, own, reusable};
use crate::elem::Float;
use crate::workers::GRAIN;

/// Constants of [`Fused::PgdStep`], rounded to the dtype.
#[derive(Clone, Copy)]
struct Pgd<T> {
    step: T,
    eps: T,
    lo: T,
    hi: T,
}

impl<T: Float> Pgd<T> {
    #[inline(always)]
    fn apply(self, x: T, g: T, x0: T) -> T {
        let moved = x + self.step * g.signum();
        // Plain comparisons are one instruction each, but lose NaN, which is put back at the end.
        let above = |a: T, b: T| if a > b { a } else { b };
        let below = |a: T, b: T| if a < b { a } else { b };
        let near = below(above(moved, x0 - self.eps), x0 + self.eps);
        let inside = below(above(near, self.lo), self.hi);
        if moved.is_nan() | x0.is_nan() { moved + x0 } else { inside }
    }
}

/// `(x, g, x0)`: a signed step, projected on the ball around `x0` and on the box.
pub(crate) fn pgd<T: Float>(
    ctx: &Ctx,
    [step, eps, lo, hi]: [f64; 4],
    args: &mut [Arg<'_, Buf>],
    shape: Shape,
) -> Result<Buf> {
    let constants = Pgd {
        step: T::constant(step),
        eps: T::constant(eps),
        lo: T::constant(lo),
        hi: T::constant(hi),
    };
    if let Some(mut x) = reusable::<T>(args, 0, shape) {
        let (g, x0) = (ctx.dense(operand::<T>(args, 1)?), ctx.dense(operand::<T>(args, 2)?));
        let out = exclusive(&mut x)?;
        let items = out.chunks_mut(GRAIN).zip(g.chunks(GRAIN)).zip(x0.chunks(GRAIN));
        ctx.workers.each(
            3 * g.len(),
            items,
            #[inline(always)]
            |((x, g), x0)| {
                for ((x, &g), &x0) in x.iter_mut().zip(g).zip(x0) {
                    *x = constants.apply(*x, g, x0);
                }
            },
        );
        return Ok(T::into_buf(x));
    }
    let [x, g, x0] = [0, 1, 2].map(|i| operand::<T>(args, i));
    let (x, g, x0) = (ctx.dense(x?), ctx.dense(g?), ctx.dense(x0?));
    let made = ctx.make(shape, |out| {
        let operands = x.chunks(GRAIN).zip(g.chunks(GRAIN)).zip(x0.chunks(GRAIN));
        ctx.workers.each(
            3 * g.len(),
            out.chunks_mut(GRAIN).zip(operands),
            #[inline(always)]
            |(out, ((x, g), x0))| {
                for (o, ((&x, &g), &x0)) in out.iter_mut().zip(x.iter().zip(g).zip(x0)) {
                    *o = constants.apply(x, g, x0);
                }
            },
        );
    });
    Ok(T::into_buf(made))
}

/// `(p, g, m, v)`: the parameters and moments after a step of Adam.
pub(crate) fn adam<T: Float>(
    ctx: &Ctx,
    fused: &Fused,
    args: &mut [Arg<'_, Buf>],
) -> Result<Outs<Buf>> {
    let &Fused::AdamStep { beta1, beta2, step, scale, eps } = fused else { return Ok(smallvec![]) };
    let [b1, c1] = [T::constant(beta1), T::constant(1.0 - beta1)];
    let [b2, c2] = [T::constant(beta2), T::constant(1.0 - beta2)];
    let [step, scale, eps] = [step, scale, eps].map(T::constant);
    let mut p: Array<T> = own(ctx, args, 0)?;
    let mut m: Array<T> = own(ctx, args, 2)?;
    let mut v: Array<T> = own(ctx, args, 3)?;
    let g = ctx.dense(operand::<T>(args, 1)?);
    let moments = exclusive(&mut m)?.chunks_mut(GRAIN).zip(exclusive(&mut v)?.chunks_mut(GRAIN));
    let items = exclusive(&mut p)?.chunks_mut(GRAIN).zip(moments).zip(g.chunks(GRAIN));
    ctx.workers.each(
        8 * g.len(),
        items,
        #[inline(always)]
        |((p, (m, v)), g)| {
            for (((p, m), v), &g) in p.iter_mut().zip(m).zip(v).zip(g) {
                *m = b1 * *m + c1 * g;
                *v = b2 * *v + c2 * (g * g);
                *p = *p - step * *m / (v.sqrt() * scale + eps);
            }
        },
    );
    drop(g);
    Ok(smallvec![T::into_buf(p), T::into_buf(m), T::into_buf(v)])
}
