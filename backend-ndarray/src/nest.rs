//! Loop nests over several arrays of one shape.
//!
//! Axes are merged wherever every array allows it, so that a same-shape operation is one loop, a row
//! or column broadcast two, whatever the rank. The innermost loop runs along a fixed step per array
//! (1: side by side, 0: one value repeated), which kernels specialise on.

use std::array;

use inocula_core::Shape;
use inocula_core::aval::MAX_RANK;

use crate::layout::Layout;
use crate::workers::{GRAIN, Workers};

/// Loops over `K` arrays of one non-empty shape.
pub(crate) struct Nest<const K: usize> {
    /// Extents of the loops, outermost first; the last one is the run.
    dims: [usize; MAX_RANK],
    depth: usize,
    steps: [[isize; MAX_RANK]; K],
    starts: [usize; K],
}

impl<const K: usize> Nest<K> {
    /// Loops over `shape` for arrays laid out so, each with that shape.
    pub(crate) fn new(shape: Shape, layouts: [&Layout; K]) -> Self {
        let mut nest = Nest {
            dims: [1; MAX_RANK],
            depth: 0,
            steps: [[0; MAX_RANK]; K],
            starts: layouts.map(|l| l.offset),
        };
        for (axis, &extent) in shape.iter().enumerate() {
            if extent != 1 {
                nest.push(extent, array::from_fn(|k| layouts[k].strides[axis]));
            }
        }
        nest.depth = nest.depth.max(1);
        nest
    }

    /// Adds a loop inside the others, or merges it with the one around it.
    fn push(&mut self, extent: usize, steps: [isize; K]) {
        let outer = self.depth.wrapping_sub(1);
        let merges =
            self.depth > 0 && (0..K).all(|k| self.steps[k][outer] == steps[k] * extent as isize);
        let at = if merges { outer } else { self.depth };
        self.dims[at] = if merges { self.dims[at] * extent } else { extent };
        for (k, step) in steps.into_iter().enumerate() {
            self.steps[k][at] = step;
        }
        self.depth = at + 1;
    }

    /// Extent of the innermost loop.
    pub(crate) fn run(&self) -> usize {
        self.dims[self.depth - 1]
    }

    /// Step of each array along the innermost loop.
    pub(crate) fn steps(&self) -> [isize; K] {
        array::from_fn(|k| self.steps[k][self.depth - 1])
    }

    /// How many runs there are.
    pub(crate) fn rows(&self) -> usize {
        self.dims[..self.depth - 1].iter().product()
    }

    /// Calls `body` with the positions at which the runs `first .. first + count` start.
    #[inline(always)]
    pub(crate) fn each_row(&self, first: usize, count: usize, mut body: impl FnMut([usize; K])) {
        let outer = self.depth - 1;
        let mut index = [0; MAX_RANK];
        let mut rest = first;
        let mut at = self.starts;
        for axis in (0..outer).rev() {
            index[axis] = rest % self.dims[axis];
            rest /= self.dims[axis];
            for (k, at) in at.iter_mut().enumerate() {
                *at = moved(*at, self.steps[k][axis] * index[axis] as isize);
            }
        }
        for _ in 0..count {
            body(at);
            for axis in (0..outer).rev() {
                index[axis] += 1;
                let wraps = index[axis] == self.dims[axis];
                let back = if wraps { self.dims[axis] as isize } else { 0 };
                for (k, at) in at.iter_mut().enumerate() {
                    *at = moved(*at, self.steps[k][axis] * (1 - back));
                }
                if !wraps {
                    break;
                }
                index[axis] = 0;
            }
        }
    }

    /// Calls `body` for stretches of the dense array `out` of this nest's shape, with the positions
    /// in the other arrays of what belongs to the stretch's first element. A stretch lies within
    /// one run. `cost` is the time per element in units of a cheap operation.
    pub(crate) fn drive<T: Send>(
        &self,
        workers: &Workers,
        cost: usize,
        out: &mut [T],
        body: impl Fn(&mut [T], [usize; K]) + Sync,
    ) {
        if out.is_empty() {
            return;
        }
        let (run, rows) = (self.run(), self.rows());
        let work = out.len() * cost;
        let per_item = if !workers.worth(work) { rows } else { (GRAIN / cost / run).max(1) };
        if rows > 1 {
            workers.each(
                work,
                out.chunks_mut(per_item * run).enumerate(),
                #[inline(always)]
                |(i, chunk)| {
                    let count = chunk.len() / run;
                    let mut runs = chunk.chunks_exact_mut(run);
                    self.each_row(
                        i * per_item,
                        count,
                        #[inline(always)]
                        |at| {
                            if let Some(run) = runs.next() {
                                body(run, at);
                            }
                        },
                    );
                },
            );
        } else if workers.worth(work) {
            let grain = (GRAIN / cost).max(1);
            let steps = self.steps();
            workers.each(
                work,
                out.chunks_mut(grain).enumerate(),
                #[inline(always)]
                |(i, chunk)| {
                    let begin = (i * grain) as isize;
                    body(chunk, array::from_fn(|k| moved(self.starts[k], steps[k] * begin)));
                },
            );
        } else {
            workers.each(
                0,
                [out].into_iter(),
                #[inline(always)]
                |out| body(out, self.starts),
            );
        }
    }
}

impl Nest<1> {
    /// Whether the innermost loop strides while the one around it runs side by side.
    pub(crate) fn is_transposed(&self) -> bool {
        self.depth >= 2 && self.steps[0][self.depth - 2] == 1 && self.run() > 1
    }

    /// Extents of the two innermost loops of a nest that has as many.
    pub(crate) fn plane(&self) -> [usize; 2] {
        [self.dims[self.depth - 2], self.dims[self.depth - 1]]
    }
}

/// A position moved by a signed distance that keeps it in its array, or that is never used.
#[inline(always)]
pub(crate) fn moved(at: usize, by: isize) -> usize {
    at.wrapping_add_signed(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(dims: &[usize]) -> Shape {
        Shape::new(dims).unwrap()
    }

    #[test]
    fn axes_merge_where_all_arrays_allow_it() {
        let full = shape(&[2, 3, 4, 5]);
        let dense = Layout::dense(full);
        assert_eq!(Nest::new(full, [&dense, &dense]).run(), 120);

        let row = Layout::dense(shape(&[4, 5])).broadcast(full);
        let nest = Nest::new(full, [&dense, &row]);
        assert_eq!((nest.rows(), nest.run(), nest.steps()), (6, 20, [1, 1]));

        let channel = Layout::dense(shape(&[3, 1, 1])).broadcast(full);
        let nest = Nest::new(full, [&dense, &channel]);
        assert_eq!((nest.rows(), nest.run(), nest.steps()), (6, 20, [1, 0]));

        let scalar = Layout::dense(shape(&[])).broadcast(full);
        assert_eq!(Nest::new(full, [&scalar]).steps(), [0]);
    }

    #[test]
    fn rows_can_be_entered_anywhere() {
        let full = shape(&[3, 4, 5]);
        let x = Layout::dense(shape(&[5, 4, 3])).permute(&[2, 1, 0], full).flip(&[1]);
        let nest = Nest::new(full, [&x]);
        let collect = |first, count| {
            let mut rows = Vec::new();
            nest.each_row(first, count, |[at]| rows.push(at));
            rows
        };
        let all = collect(0, nest.rows());
        assert_eq!(all[0], 9);
        assert_eq!(all.len(), 12);
        assert_eq!(collect(5, 4), all[5..9]);
    }
}
