//! Sums, maxima and their positions.
//!
//! A sum is cut into blocks that depend on the shape alone; each block is added up in the element
//! type over short stretches and in `Wide` (f64 for floats) beyond, and the blocks are added in
//! order. So an f32 sum of a million elements keeps its last digits, and its bits depend neither on
//! the number of threads nor on their timing.

use inocula_core::Shape;
use inocula_core::aval::MAX_RANK;
use smallvec::SmallVec;

use crate::buf::{Array, Ctx};
use crate::elem::Elem;
use crate::index::around;
use crate::order::{inverse, permuted};

/// Elements of a block of a sum.
const BLOCK: usize = 1 << 15;

/// Columns of a block when rows are added to one another.
const COLUMNS: usize = 1 << 12;

/// Independent partial sums, enough to fill the vector registers.
const LANES: usize = 16;

/// Elements added in the element type before the sum is widened.
const STRETCH: usize = 16 * LANES;

/// Sum over `axes`, which stay in `shape` with extent 1.
pub(crate) fn sum<T: Elem>(ctx: &Ctx, x: &Array<T>, axes: &[usize], shape: Shape) -> Array<T> {
    if let Some(order) = x.layout().memory_order() {
        let back = inverse(&order);
        let turned = x.view(x.layout().permute(&order, permuted(x.shape(), &order)));
        let axes: SmallVec<[usize; MAX_RANK]> = axes.iter().map(|&axis| back[axis]).collect();
        let made = sum(ctx, &turned, &axes, permuted(shape, &order));
        return made.view(made.layout().permute(&back, shape));
    }
    ctx.make(shape, |out| {
        let plan = Plan::new(x.shape(), axes);
        let x = ctx.dense(x);
        if x.is_empty() {
            out.fill(T::ZERO);
        } else if plan.run_is_summed {
            sum_runs(ctx, &plan, &x, out);
        } else {
            sum_rows(ctx, &plan, &x, out);
        }
    })
}

/// The dense operand of a sum as alternating kept and summed axes, merged where neighbours agree.
struct Plan {
    kept: SmallVec<[(usize, usize); MAX_RANK]>,
    summed: SmallVec<[(usize, usize); MAX_RANK]>,
    run: usize,
    run_is_summed: bool,
}

impl Plan {
    /// Extent and step of each merged axis, outermost first, the innermost of them apart.
    fn new(shape: Shape, axes: &[usize]) -> Self {
        let mut merged: SmallVec<[(usize, usize, bool); MAX_RANK]> = SmallVec::new();
        let mut step = 1;
        for (axis, &extent) in shape.iter().enumerate().rev() {
            let summed = axes.contains(&axis);
            match merged.last_mut() {
                _ if extent == 1 => {}
                Some((inner, _, of)) if *of == summed => *inner *= extent,
                _ => merged.push((extent, step, summed)),
            }
            step *= extent;
        }
        let (run, _, run_is_summed) = merged.first().copied().unwrap_or((1, 1, true));
        let outer = |which: bool| {
            let axes = merged.iter().skip(1).filter(|a| a.2 == which);
            axes.rev().map(|&(extent, step, _)| (extent, step)).collect()
        };
        Plan { kept: outer(false), summed: outer(true), run, run_is_summed }
    }

    /// How many runs add to one result.
    fn summed_runs(&self) -> usize {
        self.summed.iter().map(|a| a.0).product()
    }
}

/// Position of the `i`-th combination of axes, in row-major order.
fn position(axes: &[(usize, usize)], mut i: usize) -> usize {
    let mut at = 0;
    for &(extent, step) in axes.iter().rev() {
        at += i % extent * step;
        i /= extent;
    }
    at
}

/// Each result is the sum of one or more runs of neighbours.
fn sum_runs<T: Elem>(ctx: &Ctx, plan: &Plan, x: &[T], out: &mut [T]) {
    let (run, runs) = (plan.run, plan.summed_runs());
    if run * runs <= BLOCK {
        let per_item = (BLOCK / (run * runs)).max(1);
        let items = out.chunks_mut(per_item).enumerate();
        return ctx.workers.each(x.len(), items, |(item, out)| {
            for (i, o) in out.iter_mut().enumerate() {
                let at = position(&plan.kept, item * per_item + i);
                *o = T::narrow(sum_some_runs(plan, &x[at..], 0, runs));
            }
        });
    }
    // Few long sums: several blocks for each result.
    let pieces = run.div_ceil(BLOCK);
    let runs_per_block = if pieces > 1 { 1 } else { (BLOCK / run).max(1) };
    let blocks = runs.div_ceil(runs_per_block) * pieces;
    let mut partial = vec![T::Wide::default(); out.len() * blocks];
    let items = partial.iter_mut().enumerate();
    ctx.workers.each(x.len(), items, |(item, partial)| {
        let (result, block) = (item / blocks, item % blocks);
        let x = &x[position(&plan.kept, result)..];
        let first = block / pieces * runs_per_block;
        *partial = if pieces == 1 {
            sum_some_runs(plan, x, first, runs_per_block.min(runs - first))
        } else {
            let begin = block % pieces * BLOCK;
            let row = &x[position(&plan.summed, first)..][..run];
            sum_neighbours(&row[begin..run.min(begin + BLOCK)])
        };
    });
    for (o, partial) in out.iter_mut().zip(partial.chunks_exact(blocks)) {
        *o = T::narrow(partial.iter().copied().fold(T::Wide::default(), T::wide_add));
    }
}

fn sum_some_runs<T: Elem>(plan: &Plan, x: &[T], first: usize, count: usize) -> T::Wide {
    (first..first + count).fold(T::Wide::default(), |total, i| {
        let row = &x[position(&plan.summed, i)..][..plan.run];
        T::wide_add(total, sum_neighbours(row))
    })
}

fn sum_neighbours<T: Elem>(x: &[T]) -> T::Wide {
    x.chunks(STRETCH).fold(T::Wide::default(), |total, stretch| {
        let mut lanes = [T::ZERO; LANES];
        let mut rows = stretch.chunks_exact(LANES);
        for row in rows.by_ref() {
            for (lane, &v) in lanes.iter_mut().zip(row) {
                *lane = lane.plus(v);
            }
        }
        let rest = rows.remainder().iter();
        let total = rest.fold(total, |t, &v| T::wide_add(t, v.widen()));
        lanes.iter().fold(total, |t, &v| T::wide_add(t, v.widen()))
    })
}

/// Each run of neighbours in the result is the sum of runs.
fn sum_rows<T: Elem>(ctx: &Ctx, plan: &Plan, x: &[T], out: &mut [T]) {
    let (width, rows) = (plan.run, plan.summed_runs());
    let columns = width.min(COLUMNS);
    let rows_per_block = (BLOCK / columns).max(16);
    let blocks = rows.div_ceil(rows_per_block);
    if blocks == 1 {
        let items = out.chunks_mut(width).enumerate().flat_map(|(result, out)| {
            let parts = out.chunks_mut(columns).enumerate();
            parts.map(move |(part, out)| (result, part, out))
        });
        return ctx.workers.each_with(
            x.len(),
            items,
            || vec![T::Wide::default(); columns],
            |total, (result, part, out)| {
                let total = &mut total[..out.len()];
                total.fill(T::Wide::default());
                let x = &x[position(&plan.kept, result) + part * columns..];
                add_rows(plan, x, 0, rows, total);
                out.iter_mut().zip(total).for_each(|(o, t)| *o = T::narrow(*t));
            },
        );
    }
    let mut partial = vec![T::Wide::default(); out.len() * blocks];
    let items = partial.chunks_mut(width).enumerate().flat_map(|(row, partial)| {
        let parts = partial.chunks_mut(columns).enumerate();
        parts.map(move |(part, partial)| (row, part, partial))
    });
    ctx.workers.each(x.len(), items, |(row, part, partial)| {
        let (result, block) = (row / blocks, row % blocks);
        let x = &x[position(&plan.kept, result) + part * columns..];
        let first = block * rows_per_block;
        add_rows(plan, x, first, rows_per_block.min(rows - first), partial);
    });
    for (out, partial) in out.chunks_mut(width).zip(partial.chunks_exact(blocks * width)) {
        for (column, o) in out.iter_mut().enumerate() {
            let blocks = partial[column..].iter().step_by(width).copied();
            *o = T::narrow(blocks.fold(T::Wide::default(), T::wide_add));
        }
    }
}

fn add_rows<T: Elem>(plan: &Plan, x: &[T], first: usize, count: usize, total: &mut [T::Wide]) {
    for i in first..first + count {
        let row = &x[position(&plan.summed, i)..][..total.len()];
        for (t, &v) in total.iter_mut().zip(row) {
            *t = T::wide_add(*t, v.widen());
        }
    }
}

/// The largest along `axis`, which stays in `shape` with extent 1.
pub(crate) fn max<T: Elem>(ctx: &Ctx, x: &Array<T>, axis: usize, shape: Shape) -> Array<T> {
    ctx.make(shape, |out| {
        let (extent, inner) = around(x.shape(), axis);
        let x = ctx.dense(x);
        each_lane(
            ctx,
            &x,
            extent * inner,
            out,
            inner,
            || (),
            |(), x, out| {
                out.copy_from_slice(&x[..inner]);
                for row in x.chunks_exact(inner).skip(1) {
                    for (largest, &v) in out.iter_mut().zip(row) {
                        *largest = if v.beats(*largest) { v } else { *largest };
                    }
                }
            },
        );
    })
}

/// Index of the first largest along `axis`, which stays in `shape` with extent 1.
pub(crate) fn argmax<T: Elem>(ctx: &Ctx, x: &Array<T>, axis: usize, shape: Shape) -> Array<i64> {
    ctx.make(shape, |out| {
        let (extent, inner) = around(x.shape(), axis);
        let x = ctx.dense(x);
        each_lane(ctx, &x, extent * inner, out, inner, Vec::new, |largest: &mut Vec<T>, x, out| {
            largest.clear();
            largest.extend_from_slice(&x[..inner]);
            out.fill(0);
            for (i, row) in x.chunks_exact(inner).enumerate().skip(1) {
                for ((o, largest), &v) in out.iter_mut().zip(largest.iter_mut()).zip(row) {
                    if v.beats(*largest) {
                        *largest = v;
                        *o = i as i64;
                    }
                }
            }
        });
    })
}

/// Calls `body` for each part of `x` of `from` elements and the `to` results it has in `out`.
fn each_lane<T: Elem, U: Elem, S>(
    ctx: &Ctx,
    x: &[T],
    from: usize,
    out: &mut [U],
    to: usize,
    scratch: impl Fn() -> S + Sync,
    body: impl Fn(&mut S, &[T], &mut [U]) + Sync,
) {
    let parts = (BLOCK / from).max(1);
    let items = out.chunks_mut(parts * to).zip(x.chunks(parts * from));
    ctx.workers.each_with(x.len(), items, scratch, |scratch, (out, x)| {
        for (out, x) in out.chunks_mut(to).zip(x.chunks(from)) {
            body(scratch, x, out);
        }
    });
}
