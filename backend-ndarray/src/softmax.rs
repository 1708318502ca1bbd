//! Softmax cross-entropy and its gradient in the logits, a row at a time.

use inocula_core::op::OpCode;
use inocula_core::{Arg, Result, Shape, bail};

use crate::buf::{Buf, Ctx, operand};
use crate::elem::Float;
use crate::workers::GRAIN;

/// Time per logit, in cheap elementwise operations.
const PER_LOGIT: usize = 16;

/// `logsumexp(z_n) - z_n[y_n]`.
pub(crate) fn loss<T: Float>(ctx: &Ctx, args: &[Arg<'_, Buf>], shape: Shape) -> Result<Buf> {
    let z = operand::<T>(args, 0)?;
    let classes = z.shape()[1];
    let (z, y) = (ctx.dense(z), ctx.dense(operand::<i64>(args, 1)?));
    check_labels(OpCode::SoftmaxXent, &y, classes)?;
    let made = ctx.make(shape, |out| {
        let rows = rows_per_item(classes);
        let items = out.chunks_mut(rows).zip(z.chunks(rows * classes)).zip(y.chunks(rows));
        ctx.workers.each(z.len() * PER_LOGIT, items, |((out, z), y)| {
            for ((o, z), &y) in out.iter_mut().zip(z.chunks_exact(classes)).zip(y) {
                let (largest, sum) = shifted_sum(z, |_, _| {});
                *o = sum.ln() + (largest - z[y as usize]);
            }
        });
    });
    Ok(T::into_buf(made))
}

/// `g_n (softmax(z_n) - onehot(y_n))`.
pub(crate) fn grad<T: Float>(ctx: &Ctx, args: &[Arg<'_, Buf>], shape: Shape) -> Result<Buf> {
    let classes = shape[1];
    let (z, y) = (ctx.dense(operand::<T>(args, 0)?), ctx.dense(operand::<i64>(args, 1)?));
    let g = ctx.dense(operand::<T>(args, 2)?);
    check_labels(OpCode::SoftmaxXentGrad, &y, classes)?;
    let made = ctx.make(shape, |out| {
        let rows = rows_per_item(classes);
        let operands = z.chunks(rows * classes).zip(y.chunks(rows)).zip(g.chunks(rows));
        let items = out.chunks_mut(rows * classes).zip(operands);
        ctx.workers.each(z.len() * PER_LOGIT, items, |(out, ((z, y), g))| {
            let rows = out.chunks_exact_mut(classes).zip(z.chunks_exact(classes));
            for (((out, z), &y), &g) in rows.zip(y).zip(g) {
                let (_, sum) = shifted_sum(z, |i, e| out[i] = e);
                out.iter_mut().for_each(|o| *o = *o / sum);
                out[y as usize] = out[y as usize] - T::ONE;
                out.iter_mut().for_each(|o| *o = g * *o);
            }
        });
    });
    Ok(T::into_buf(made))
}

/// The largest logit and the sum of `exp(z - largest)`; `each` gets the summands.
fn shifted_sum<T: Float>(z: &[T], mut each: impl FnMut(usize, T)) -> (T, T) {
    let largest = z[1..].iter().fold(z[0], |m, &v| v.larger(m));
    let mut sum = T::ZERO;
    for (i, &v) in z.iter().enumerate() {
        let e = (v - largest).exp();
        each(i, e);
        sum = sum + e;
    }
    (largest, sum)
}

fn rows_per_item(classes: usize) -> usize {
    (GRAIN / PER_LOGIT / classes).max(1)
}

/// Fails if a label names no class.
fn check_labels(code: OpCode, labels: &[i64], classes: usize) -> Result<()> {
    let outside = |y: i64| usize::try_from(y).map_or(true, |y| y >= classes);
    match labels.iter().find(|&&y| outside(y)) {
        None => Ok(()),
        Some(y) => {
            bail!(Data, "{code}: label {y} with logits for {classes} classes; labels count from 0")
        }
    }
}
