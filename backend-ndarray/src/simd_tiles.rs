//! The three tiles that products and convolutions are made of, for each instruction set.
//!
//! A tile is a block of the result that stays in registers while the inner size is walked:
//! [`Multiply`] broadcasts elements of rows against a packed panel of columns, [`Outer`] adds outer
//! products of rows, [`Dot`] takes inner products along rows. With these no operand of any of the
//! forms `A B`, `A^T B`, `A B^T` is copied as a whole, and a convolution is a product whose rows
//! begin at several places of the image, one for each row of the window (the indirect convolution of
//! Dukhan 2019, arXiv:1907.02129, with constant distances thanks to a padded image).
//!
//! Sums run over the inner size in order, so an element has the same bits in whichever tile it is.

use std::ops::Range;

use ndarray::ArrayViewMut2;

use crate::matmul::matrix_mut;
use crate::simd::{Isa, Lanes, Portable};
use crate::simd_loops::{dot, multiply, outer};

/// The tallest tile of [`Multiply`].
pub(crate) const MAX_ROWS: usize = 12;

/// The widest tile.
pub(crate) const MAX_COLUMNS: usize = 32;

/// What is done to the sums of a tile of [`Multiply`] before they are stored.
#[derive(Clone, Copy, Default)]
pub(crate) struct Finish<'a> {
    /// A value for each column to add.
    pub(crate) bias: Option<&'a [f32]>,
    /// Whether the positive part is taken.
    pub(crate) relu: bool,
}

impl<'a> Finish<'a> {
    /// That of some of the columns.
    pub(crate) fn of_columns(self, columns: Range<usize>) -> Self {
        Finish { bias: self.bias.map(|bias| &bias[columns]), ..self }
    }
}

/// `out[r][c] = finish(sum over taps t and depth k of a[rows[r] + t + k] * panel[t, k][c])`, or what
/// `out` held added to the sum.
pub(crate) struct Multiply<'a> {
    pub(crate) a: &'a [f32],
    /// Where each row begins, at most [`Kernels::rows`] of them and at least one.
    pub(crate) rows: &'a [usize],
    /// Distances from a row's beginning to the stretches that are read.
    pub(crate) taps: &'a [usize],
    /// Elements of a stretch.
    pub(crate) depth: usize,
    /// `[taps, depth, Kernels::columns]`.
    pub(crate) panel: &'a [f32],
    /// Whether the sums begin with what is in the result already.
    pub(crate) accumulate: bool,
    pub(crate) finish: Finish<'a>,
    /// As many rows as `rows` has, and at most [`Kernels::columns`] columns, those side by side.
    pub(crate) out: ArrayViewMut2<'a, f32>,
}

/// `out[r][c] = sum over i < runs[0], j < runs[1] of a[rows[r] + i a_steps[0] + j a_steps[1]] *
/// b[i b_steps[0] + j b_steps[1] + c]`, or what `out` held and that sum.
pub(crate) struct Outer<'a> {
    pub(crate) runs: [usize; 2],
    pub(crate) a: &'a [f32],
    /// Where the elements for each row of the result begin.
    pub(crate) rows: &'a [usize],
    pub(crate) a_steps: [usize; 2],
    /// Readable for a whole tile of columns behind each position.
    pub(crate) b: &'a [f32],
    pub(crate) b_steps: [usize; 2],
    /// Whether the sums begin with what is in the result already.
    pub(crate) accumulate: bool,
    /// At most [`Kernels::outer_rows`] rows and [`Kernels::columns`] columns, those side by side.
    pub(crate) out: ArrayViewMut2<'a, f32>,
}

/// `sums[r][c] = sum over taps t, k < depth of a[rows[r] + t.0 + k] * b[columns[c] + t.1 + k]`.
pub(crate) struct Dot<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) rows: &'a [usize],
    pub(crate) b: &'a [f32],
    pub(crate) columns: &'a [usize],
    /// Distances to the stretches that are read, in `a` and in `b`.
    pub(crate) taps: &'a [(usize, usize)],
    pub(crate) depth: usize,
}

/// Rows and columns of a tile of [`Dot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DotShape {
    /// Several rows against several columns.
    Block,
    /// One row.
    Row,
    /// One column.
    Column,
    /// One row against one column.
    Single,
}

/// The largest tile of [`Dot`].
pub(crate) const MAX_DOT: usize = 24;

type MultiplyTile = unsafe fn(&mut Multiply<'_>);
type OuterTile = unsafe fn(&mut Outer<'_>);
type DotTile = unsafe fn(&Dot<'_>, &mut [f32; MAX_DOT]);

/// The tiles of one instruction set.
pub(crate) struct Kernels {
    pub(crate) isa: Isa,
    /// Rows of the tallest tile of [`Multiply`].
    pub(crate) rows: usize,
    /// Columns of a tile of [`Multiply`] and of [`Outer`].
    pub(crate) columns: usize,
    /// Rows of the tallest tile of [`Outer`].
    pub(crate) outer_rows: usize,
    /// Tiles by ascending height.
    multiply: &'static [(usize, MultiplyTile)],
    outer: &'static [(usize, OuterTile)],
    /// Sizes and tiles, by [`DotShape`].
    dot: [([usize; 2], DotTile); 4],
}

impl Kernels {
    /// The tiles for an instruction set, if this machine has it.
    pub(crate) fn of(isa: Isa) -> Option<&'static Kernels> {
        if !isa.is_available() {
            return None;
        }
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Some(&avx512::KERNELS),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Some(&avx2::KERNELS),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Some(&neon::KERNELS),
            Isa::Portable => Some(&portable::KERNELS),
            #[allow(unreachable_patterns)] // of the other architectures
            _ => None,
        }
    }

    /// A tile of a product.
    pub(crate) fn multiply(&self, mut job: Multiply<'_>) {
        let (rows, columns) = job.out.dim();
        assert!(rows > 0 && rows <= self.rows && job.rows.len() == rows);
        assert!(job.panel.len() >= job.taps.len() * job.depth * self.columns);
        let reach = job.taps.iter().max().map_or(0, |tap| tap + job.depth);
        assert!(job.rows.iter().all(|&at| at + reach <= job.a.len()));
        if columns != self.columns {
            return self.multiply_narrow(job);
        }
        assert!(job.out.strides()[1] == 1);
        assert!(job.finish.bias.is_none_or(|bias| bias.len() >= columns));
        // SAFETY: the machine has the instruction set, and all positions were checked.
        unsafe { tile(self.multiply, rows)(&mut job) }
    }

    /// A tile with fewer columns than the registers hold, by way of a whole one.
    fn multiply_narrow(&self, job: Multiply<'_>) {
        let columns = job.out.ncols();
        let mut bias = [0.0; MAX_COLUMNS];
        let mut finish = job.finish;
        if let Some(values) = finish.bias {
            bias[..columns].copy_from_slice(&values[..columns]);
            finish.bias = Some(&bias);
        }
        let Multiply { a, rows: places, taps, depth, panel, accumulate, out, .. } = job;
        let body = |out: ArrayViewMut2<'_, f32>| {
            self.multiply(Multiply {
                a,
                rows: places,
                taps,
                depth,
                panel,
                accumulate,
                finish,
                out,
            });
        };
        self.widened(out, accumulate, body);
    }

    /// Runs `body` on a tile of all columns, which begins with what `narrow` holds if that is `kept`,
    /// and takes its part back.
    fn widened(
        &self,
        mut narrow: ArrayViewMut2<'_, f32>,
        kept: bool,
        body: impl FnOnce(ArrayViewMut2<'_, f32>),
    ) {
        let (rows, columns) = narrow.dim();
        assert!(columns < self.columns);
        let mut whole = [0.0; MAX_ROWS * MAX_COLUMNS];
        if kept {
            for (wide, narrow) in whole.chunks_mut(self.columns).zip(narrow.rows()) {
                wide.iter_mut().zip(narrow).for_each(|(w, &n)| *w = n);
            }
        }
        body(matrix_mut(&mut whole[..rows * self.columns], [rows, self.columns]));
        for (wide, mut narrow) in whole.chunks(self.columns).zip(narrow.rows_mut()) {
            match narrow.as_slice_mut() {
                Some(narrow) => narrow.copy_from_slice(&wide[..columns]),
                None => narrow.into_iter().zip(wide).for_each(|(n, &w)| *n = w),
            }
        }
    }

    /// A tile of a sum of outer products.
    pub(crate) fn outer(&self, mut job: Outer<'_>) {
        let [i, j] = job.runs;
        let (rows, columns) = job.out.dim();
        assert!(rows > 0 && rows <= self.outer_rows && job.rows.len() == rows);
        if i == 0 || j == 0 {
            if !job.accumulate {
                job.out.fill(0.0);
            }
            return;
        }
        let last = |steps: [usize; 2]| (i - 1) * steps[0] + (j - 1) * steps[1];
        let reach = last(job.a_steps);
        assert!(job.rows.iter().all(|&at| at + reach < job.a.len()));
        assert!(last(job.b_steps) + self.columns <= job.b.len());
        if columns != self.columns {
            let Outer { runs, a, rows: places, a_steps, b, b_steps, accumulate, out } = job;
            let body = |out: ArrayViewMut2<'_, f32>| {
                self.outer(Outer { runs, a, rows: places, a_steps, b, b_steps, accumulate, out });
            };
            return self.widened(out, accumulate, body);
        }
        assert!(job.out.strides()[1] == 1);
        // SAFETY: the machine has the instruction set, and all positions were checked.
        unsafe { tile(self.outer, rows)(&mut job) }
    }

    /// Rows and columns of a tile of inner products.
    pub(crate) fn dot_size(&self, shape: DotShape) -> [usize; 2] {
        self.dot[shape as usize].0
    }

    /// A tile of inner products. Hands each sum over with its row and column.
    pub(crate) fn dot(
        &self,
        shape: DotShape,
        job: &Dot<'_>,
        mut take: impl FnMut(usize, usize, f32),
    ) {
        let [rows, columns] = self.dot_size(shape);
        assert!(!job.rows.is_empty() && job.rows.len() <= rows);
        assert!(!job.columns.is_empty() && job.columns.len() <= columns);
        let reach = |far: usize| if far == 0 && job.taps.is_empty() { 0 } else { far + job.depth };
        let reach_a = reach(job.taps.iter().map(|t| t.0).max().unwrap_or(0));
        let reach_b = reach(job.taps.iter().map(|t| t.1).max().unwrap_or(0));
        assert!(job.rows.iter().all(|&at| at + reach_a <= job.a.len()));
        assert!(job.columns.iter().all(|&at| at + reach_b <= job.b.len()));
        let mut sums = [0.0; MAX_DOT];
        // SAFETY: the machine has the instruction set, and all positions were checked.
        unsafe { self.dot[shape as usize].1(job, &mut sums) };
        for r in 0..job.rows.len() {
            for c in 0..job.columns.len() {
                take(r, c, sums[r * columns + c]);
            }
        }
    }
}

/// The lowest tile that is high enough.
fn tile<F: Copy>(tiles: &[(usize, F)], rows: usize) -> F {
    let fits = tiles.iter().find(|t| t.0 >= rows);
    fits.unwrap_or(&tiles[tiles.len() - 1]).1
}

/// Compiles the tiles for an instruction set.
macro_rules! kernels {
    (
        $name:ident, $isa:ident, $lanes:ty, #[$attribute:meta],
        multiply: [$(($m_name:ident, $m:literal)),+] x $v:literal,
        outer: [$(($o_name:ident, $o:literal)),+],
        dot: [$(($d_name:ident, $dm:literal, $dn:literal)),+],
    ) => {
        mod $name {
            //! The tiles of one instruction set.

            use super::*;

            pub(super) static KERNELS: Kernels = Kernels {
                isa: Isa::$isa,
                rows: { let all = [$($m),+]; all[all.len() - 1] },
                columns: $v * <$lanes>::COUNT,
                outer_rows: { let all = [$($o),+]; all[all.len() - 1] },
                multiply: &[$(($m, $m_name)),+],
                outer: &[$(($o, $o_name)),+],
                dot: [$(([$dm, $dn], $d_name)),+],
            };

            // SAFETY (all of them): the table is handed out where the machine has the features, and
            // its methods check the positions.
            $(
                #[$attribute]
                unsafe fn $m_name(job: &mut Multiply<'_>) {
                    unsafe { multiply::<$lanes, $m, $v>(job) }
                }
            )+
            $(
                #[$attribute]
                unsafe fn $o_name(job: &mut Outer<'_>) {
                    unsafe { outer::<$lanes, $o, $v>(job) }
                }
            )+
            $(
                #[$attribute]
                unsafe fn $d_name(job: &Dot<'_>, sums: &mut [f32; MAX_DOT]) {
                    unsafe { dot::<$lanes, $dm, $dn>(job, sums) }
                }
            )+
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels! {
    avx512, Avx512, crate::simd::x86::Avx512, #[target_feature(enable = "avx512f,avx2,fma")],
    multiply: [(rows_1, 1), (rows_2, 2), (rows_4, 4), (rows_8, 8), (rows_12, 12)] x 2,
    outer: [(outer_1, 1), (outer_2, 2), (outer_4, 4), (outer_8, 8)],
    dot: [(block, 4, 6), (row, 1, 8), (column, 8, 1), (single, 1, 1)],
}

#[cfg(target_arch = "x86_64")]
kernels! {
    avx2, Avx2, crate::simd::x86::Avx2, #[target_feature(enable = "avx2,fma")],
    multiply: [(rows_1, 1), (rows_2, 2), (rows_4, 4), (rows_6, 6)] x 2,
    outer: [(outer_1, 1), (outer_2, 2), (outer_4, 4), (outer_6, 6)],
    dot: [(block, 3, 4), (row, 1, 8), (column, 8, 1), (single, 1, 1)],
}

#[cfg(target_arch = "aarch64")]
kernels! {
    neon, Neon, crate::simd::arm::Neon, #[inline],
    multiply: [(rows_1, 1), (rows_2, 2), (rows_4, 4), (rows_6, 6)] x 4,
    outer: [(outer_1, 1), (outer_2, 2), (outer_4, 4), (outer_6, 6)],
    dot: [(block, 4, 6), (row, 1, 8), (column, 8, 1), (single, 1, 1)],
}

kernels! {
    portable, Portable, Portable, #[inline],
    multiply: [(rows_1, 1), (rows_2, 2), (rows_4, 4)] x 2,
    outer: [(outer_1, 1), (outer_2, 2), (outer_4, 4)],
    dot: [(block, 3, 2), (row, 1, 8), (column, 8, 1), (single, 1, 1)],
}
