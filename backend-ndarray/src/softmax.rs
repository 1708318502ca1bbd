//! Softmax cross-entropy and its gradient in the logits, a row at a time.

use inocula_core::op::OpCode;
use inocula_core::{Arg, Result, Shape, bail};
use smallvec::SmallVec;

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
        let scratch = || (vec![T::ZERO; rows.min(y.len()) * classes], vec![T::ZERO; rows]);
        ctx.workers.each_with(
            z.len() * PER_LOGIT,
            items,
            scratch,
            #[inline(always)]
            |(powers, sums), ((out, z), y)| {
                let (powers, sums) = (&mut powers[..z.len()], &mut sums[..y.len()]);
                shift(z, powers, sums);
                for ((o, shifted), &y) in out.iter_mut().zip(powers.chunks_exact(classes)).zip(y) {
                    *o = shifted[y as usize].negated();
                }
                exponentiate(powers);
                reduce_rows(powers, sums, T::plus);
                for (o, sum) in out.iter_mut().zip(sums) {
                    *o = sum.ln() + *o;
                }
            },
        );
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
        ctx.workers.each_with(
            z.len() * PER_LOGIT,
            items,
            || SmallVec::<[T; 64]>::from_elem(T::ZERO, rows.min(y.len())),
            #[inline(always)]
            |sums, (out, ((z, y), g))| {
                let sums = &mut sums[..y.len()];
                shift(z, out, sums);
                exponentiate(out);
                reduce_rows(out, sums, T::plus);
                let rows = out.chunks_exact_mut(classes).zip(sums);
                for ((out, sum), (&y, &g)) in rows.zip(y.iter().zip(g)) {
                    for o in &mut *out {
                        *o = *o / *sum;
                    }
                    out[y as usize] = out[y as usize] - T::ONE;
                    for o in out {
                        *o = g * *o;
                    }
                }
            },
        );
    });
    Ok(T::into_buf(made))
}

// What follows is loops, as closures would be functions of their own, compiled without the
// instruction set unless they happen to be inlined.

/// Each row of `z` minus its largest value, which goes to `largest`. A NaN needs no care there: it
/// makes the sum of its row NaN in any case.
#[inline(always)]
fn shift<T: Float>(z: &[T], out: &mut [T], largest: &mut [T]) {
    reduce_rows(z, largest, |m, v| if v > m { v } else { m });
    let classes = z.len() / largest.len();
    let rows = z.chunks_exact(classes).zip(out.chunks_exact_mut(classes));
    for ((z, out), &mut largest) in rows.zip(largest) {
        for (o, &z) in out.iter_mut().zip(z) {
            *o = z - largest;
        }
    }
}

/// All values at once, so that rows shorter than a vector register fill it too.
#[inline(always)]
fn exponentiate<T: Float>(values: &mut [T]) {
    for v in values {
        *v = v.exp();
    }
}

/// Rows that are reduced abreast: within a row each operation waits for the last.
const ABREAST: usize = 8;

/// Each row of `values`, of which there are as many as `out` has places, reduced by `f` in order.
#[inline(always)]
fn reduce_rows<T: Float>(values: &[T], out: &mut [T], f: impl Fn(T, T) -> T) {
    let classes = values.len() / out.len();
    let (blocks, rest) = out.as_chunks_mut::<ABREAST>();
    let (wide, narrow) = values.split_at(blocks.len() * ABREAST * classes);
    for (out, rows) in blocks.iter_mut().zip(wide.chunks_exact(ABREAST * classes)) {
        *out = reduced(rows, classes, &f);
    }
    for (out, row) in rest.iter_mut().zip(narrow.chunks_exact(classes)) {
        [*out] = reduced(row, classes, &f);
    }
}

#[inline(always)]
fn reduced<T: Float, const N: usize>(rows: &[T], classes: usize, f: &impl Fn(T, T) -> T) -> [T; N] {
    let mut all = [T::ZERO; N];
    for r in 0..N {
        all[r] = rows[r * classes];
    }
    for c in 1..classes {
        for r in 0..N {
            all[r] = f(all[r], rows[r * classes + c]);
        }
    }
    all
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
