//! Transposition of f32 in blocks that stay in registers.
//!
//! The panels of a product with a transposed matrix are made by it, as large a part of the work as
//! the result has few rows: at a batch of 128 the weights of a layer are walked once for every 128
//! multiplications.

use crate::matmul::Matrix;
use crate::simd::Isa;

/// Writes row `i` of `x` to column `i` of `out`, which is `width` wide and at least as wide as `x`
/// has rows. What lies beside the columns is left as it is.
pub(crate) fn transpose(isa: Isa, x: Matrix<'_, f32>, width: usize, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512 && x.has_whole_rows() && x.rows > 1 && x.columns > 1 {
        assert!(x.rows <= width && (x.columns - 1) * width + x.rows <= out.len());
        assert!((x.rows - 1) * x.steps[0] + x.columns <= x.data.len());
        // SAFETY: a device holds only an instruction set that is available; the places were checked.
        return unsafe { x86::transpose(x, width, out) };
    }
    let _ = isa;
    in_squares(x, width, out);
}

/// Squares of 8, as the compiler vectorises them, and single elements at the edges.
fn in_squares(x: Matrix<'_, f32>, width: usize, out: &mut [f32]) {
    const EDGE: usize = 8;
    let whole = x.has_whole_rows();
    for top in (0..x.rows).step_by(EDGE) {
        let height = EDGE.min(x.rows - top);
        let mut left = 0;
        if whole && height == EDGE {
            let rows: [&[f32]; EDGE] = std::array::from_fn(|r| x.row(top + r));
            while left + EDGE <= x.columns {
                let tile: [[f32; EDGE]; EDGE] = std::array::from_fn(|r| {
                    let row = &rows[r][left..][..EDGE];
                    std::array::from_fn(|c| row[c])
                });
                for c in 0..EDGE {
                    let column: [f32; EDGE] = std::array::from_fn(|r| tile[r][c]);
                    out[(left + c) * width + top..][..EDGE].copy_from_slice(&column);
                }
                left += EDGE;
            }
        }
        for c in left..x.columns {
            for r in top..top + height {
                out[c * width + r] = x.data[r * x.steps[0] + c * x.steps[1]];
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! Squares of 16 with AVX-512.

    #![allow(clippy::needless_range_loop, reason = "loops of constant length over several arrays")]

    use std::arch::x86_64::*;

    use super::Matrix;

    const EDGE: usize = 16;

    /// # Safety
    /// The machine has AVX-512F, AVX2 and FMA; every row of `x` and every column of the result is in its slice.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn transpose(x: Matrix<'_, f32>, width: usize, out: &mut [f32]) {
        for top in (0..x.rows).step_by(EDGE) {
            let height = EDGE.min(x.rows - top);
            for left in (0..x.columns).step_by(EDGE) {
                let across = EDGE.min(x.columns - left);
                // SAFETY: the contract of this function; masks keep to what there is.
                unsafe {
                    let from = x.data.as_ptr().add(top * x.steps[0] + left);
                    let to = out.as_mut_ptr().add(left * width + top);
                    square(from, x.steps[0], [height, across], to, width);
                }
            }
        }
    }

    fn first(n: usize) -> u16 {
        ((1u32 << n) - 1) as u16
    }

    /// # Safety
    /// As [`transpose`], for a square of `size` rows and columns.
    #[target_feature(enable = "avx512f")]
    unsafe fn square(
        from: *const f32,
        step: usize,
        [height, across]: [usize; 2],
        to: *mut f32,
        width: usize,
    ) {
        let nothing = _mm512_setzero_ps();
        let mut rows = [nothing; EDGE];
        for r in 0..EDGE {
            if r < height {
                // SAFETY: the contract of this function.
                rows[r] = unsafe { _mm512_maskz_loadu_ps(first(across), from.add(r * step)) };
            }
        }
        let columns = transposed(rows);
        for c in 0..EDGE {
            if c < across {
                // SAFETY: the contract of this function.
                unsafe { _mm512_mask_storeu_ps(to.add(c * width), first(height), columns[c]) };
            }
        }
    }

    /// Row `r`, lane `c` as row `c`, lane `r`: pairs of rows, pairs of pairs, then quarters of
    /// registers, twice.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transposed(rows: [__m512; EDGE]) -> [__m512; EDGE] {
        let nothing = _mm512_setzero_ps();
        let (mut twos, mut fours, mut columns) =
            ([nothing; EDGE], [nothing; EDGE], [nothing; EDGE]);
        for i in 0..EDGE / 2 {
            let (a, b) = (rows[2 * i], rows[2 * i + 1]);
            twos[2 * i] = _mm512_unpacklo_ps(a, b);
            twos[2 * i + 1] = _mm512_unpackhi_ps(a, b);
        }
        // Quarter q of `fours[4 i + j]` is column 4 q + j of rows 4 i to 4 i + 3.
        for i in 0..EDGE / 4 {
            for half in 0..2 {
                let (a, b) = (
                    _mm512_castps_pd(twos[4 * i + half]),
                    _mm512_castps_pd(twos[4 * i + 2 + half]),
                );
                fours[4 * i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                fours[4 * i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        const EVEN: i32 = 0b10_00_10_00;
        const ODD: i32 = 0b11_01_11_01;
        for j in 0..4 {
            let [a, b, c, d] = [0, 4, 8, 12].map(|i| fours[i + j]);
            let (even_ab, even_cd) =
                (_mm512_shuffle_f32x4::<EVEN>(a, b), _mm512_shuffle_f32x4::<EVEN>(c, d));
            let (odd_ab, odd_cd) =
                (_mm512_shuffle_f32x4::<ODD>(a, b), _mm512_shuffle_f32x4::<ODD>(c, d));
            columns[j] = _mm512_shuffle_f32x4::<EVEN>(even_ab, even_cd);
            columns[4 + j] = _mm512_shuffle_f32x4::<EVEN>(odd_ab, odd_cd);
            columns[8 + j] = _mm512_shuffle_f32x4::<ODD>(even_ab, even_cd);
            columns[12 + j] = _mm512_shuffle_f32x4::<ODD>(odd_ab, odd_cd);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_arrives_and_nothing_else_is_written() {
        for isa in Isa::available() {
            for (rows, columns) in [(1, 5), (5, 1), (2, 3), (16, 16), (17, 33), (10, 64), (40, 15)]
            {
                let (step, width) = (columns + 3, rows + 2);
                let data: Vec<f32> = (0..rows * step).map(|i| i as f32).collect();
                let x = Matrix::new(&data, [rows, columns], [step, 1]);
                let mut out = vec![-1.0; columns * width];
                transpose(isa, x, width, &mut out);
                for (i, &got) in out.iter().enumerate() {
                    let (c, r) = (i / width, i % width);
                    let want = if r < rows { (r * step + c) as f32 } else { -1.0 };
                    assert_eq!(got, want, "{} {rows}x{columns} at {i}", isa.name());
                }
            }
        }
    }
}
