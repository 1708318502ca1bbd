//! The loops of tiles, for any instruction set; `simd_tiles` says what they compute and compiles them for each.
//!
//! Loops have constant bounds and are unrolled, so a tile lives in registers.

#![allow(clippy::needless_range_loop, reason = "loops of constant length over several arrays")]

use crate::simd::Lanes;
use crate::simd_tiles::{Dot, MAX_DOT, Multiply, Outer};

/// [`Multiply`].
///
/// # Safety
/// The machine has the instruction set of `L`; the job's positions were checked for a whole tile.
#[inline(always)]
pub(crate) unsafe fn multiply<L: Lanes, const M: usize, const V: usize>(job: &mut Multiply<'_>) {
    // SAFETY: the contract of this function.
    unsafe {
        // Rows beyond the last repeat it: they compute and store the same once more.
        let last = job.rows.len() - 1;
        let rows: [*const f32; M] =
            std::array::from_fn(|r| job.a.as_ptr().add(job.rows[r.min(last)]));
        let (first, step) = (job.out.as_mut_ptr(), job.out.strides()[0]);
        let out: [*mut f32; M] = std::array::from_fn(|r| first.offset(step * r.min(last) as isize));
        // Loops instead of closures throughout: a closure is a function of its own, compiled without
        // the instruction set unless it happens to be inlined.
        let mut sums = [[L::splat(0.0); V]; M];
        for r in 0..M {
            for v in 0..V {
                if job.accumulate {
                    sums[r][v] = L::load(out[r].add(v * L::COUNT));
                }
            }
        }
        let mut panel = job.panel.as_ptr();
        let zero = L::splat(0.0);
        for &tap in job.taps {
            for k in tap..tap + job.depth {
                let mut b = [zero; V];
                for v in 0..V {
                    b[v] = L::load(panel.add(v * L::COUNT));
                }
                for r in 0..M {
                    let a = L::splat(*rows[r].add(k));
                    for v in 0..V {
                        sums[r][v] = L::multiply_add(a, b[v], sums[r][v]);
                    }
                }
                panel = panel.add(V * L::COUNT);
            }
        }
        if let Some(bias) = job.finish.bias {
            for v in 0..V {
                let bias = L::load(bias.as_ptr().add(v * L::COUNT));
                for r in 0..M {
                    sums[r][v] = L::add(sums[r][v], bias);
                }
            }
        }
        for r in 0..M {
            for v in 0..V {
                let sum = if job.finish.relu { L::relu(sums[r][v]) } else { sums[r][v] };
                L::store(out[r].add(v * L::COUNT), sum);
            }
        }
    }
}

/// [`Outer`].
///
/// # Safety
/// The machine has the instruction set of `L`; the job's positions were checked for a whole tile.
#[inline(always)]
pub(crate) unsafe fn outer<L: Lanes, const M: usize, const V: usize>(job: &mut Outer<'_>) {
    // SAFETY: the contract of this function; a tile is as high as it has rows, or higher by rows
    // that repeat the last.
    unsafe {
        let last = job.out.nrows() - 1;
        let (first, step) = (job.out.as_mut_ptr(), job.out.strides()[0]);
        let out: [*mut f32; M] = std::array::from_fn(|r| first.offset(step * r.min(last) as isize));
        let place: [usize; M] = std::array::from_fn(|r| job.rows[r.min(last)]);
        let zero = L::splat(0.0);
        let mut sums = [[zero; V]; M];
        if job.accumulate {
            for r in 0..M {
                for v in 0..V {
                    sums[r][v] = L::load(out[r].add(v * L::COUNT));
                }
            }
        }
        for i in 0..job.runs[0] {
            let mut a = job.a.as_ptr().add(i * job.a_steps[0]);
            let mut b = job.b.as_ptr().add(i * job.b_steps[0]);
            for _ in 0..job.runs[1] {
                let mut values = [zero; V];
                for v in 0..V {
                    values[v] = L::load(b.add(v * L::COUNT));
                }
                for r in 0..M {
                    let a = L::splat(*a.add(place[r]));
                    for v in 0..V {
                        sums[r][v] = L::multiply_add(a, values[v], sums[r][v]);
                    }
                }
                // Past the end after the last, where they are not read.
                a = a.wrapping_add(job.a_steps[1]);
                b = b.wrapping_add(job.b_steps[1]);
            }
        }
        for r in 0..M {
            for v in 0..V {
                L::store(out[r].add(v * L::COUNT), sums[r][v]);
            }
        }
    }
}

/// [`Dot`].
///
/// # Safety
/// The machine has the instruction set of `L`; the job's positions were checked.
#[inline(always)]
pub(crate) unsafe fn dot<L: Lanes, const M: usize, const N: usize>(
    job: &Dot<'_>,
    out: &mut [f32; MAX_DOT],
) {
    // SAFETY: the contract of this function.
    unsafe {
        let (row, column) = (job.rows.len() - 1, job.columns.len() - 1);
        let rows: [*const f32; M] =
            std::array::from_fn(|r| job.a.as_ptr().add(job.rows[r.min(row)]));
        let columns: [*const f32; N] =
            std::array::from_fn(|c| job.b.as_ptr().add(job.columns[c.min(column)]));
        let zero = L::splat(0.0);
        let mut sums = [[zero; N]; M];
        let whole = job.depth / L::COUNT * L::COUNT;
        let rest = job.depth - whole;
        for &(in_a, in_b) in job.taps {
            let mut k = 0;
            while k < whole {
                let mut a = [zero; M];
                for r in 0..M {
                    a[r] = L::load(rows[r].add(in_a + k));
                }
                for c in 0..N {
                    let b = L::load(columns[c].add(in_b + k));
                    for r in 0..M {
                        sums[r][c] = L::multiply_add(a[r], b, sums[r][c]);
                    }
                }
                k += L::COUNT;
            }
            if rest > 0 {
                let mut a = [zero; M];
                for r in 0..M {
                    a[r] = L::load_first(rows[r].add(in_a + k), rest);
                }
                for c in 0..N {
                    let b = L::load_first(columns[c].add(in_b + k), rest);
                    for r in 0..M {
                        sums[r][c] = L::multiply_add(a[r], b, sums[r][c]);
                    }
                }
            }
        }
        for r in 0..M {
            for c in 0..N {
                out[r * N + c] = L::sum(sums[r][c]);
            }
        }
    }
}
