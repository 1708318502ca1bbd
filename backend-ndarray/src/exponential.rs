//! `e^x` in f32, without branches or calls, so that a loop over it runs in vector registers.
//!
//! It is computed in f64, where a short series is far more exact than f32 can tell, and rounded once:
//! the result is within 0.51 units in the last place.

/// Above, the result is infinite in f32.
const LARGEST: f64 = 90.0;

/// Below, the result is zero in f32.
const SMALLEST: f64 = -110.0;

/// Added to a number below 2^51, it leaves the nearest integer in the low bits.
const TO_INTEGER: f64 = (3_u64 << 51) as f64;

/// `1 / k!` for the series of `e^r`, whose next term is below 2^-32 for `|r| <= ln(2) / 2`.
const SERIES: [f64; 9] = [
    1.0 / 40320.0,
    1.0 / 5040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
    1.0,
    1.0,
];

/// `e^x = 2^n e^r` with the integer `n` nearest to `x / ln(2)`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = f64::from(x);
    // Comparisons, unlike `clamp`, let NaN through as it is.
    let x = if x > LARGEST { LARGEST } else { x };
    let x = if x < SMALLEST { SMALLEST } else { x };
    let shifted = x * std::f64::consts::LOG2_E + TO_INTEGER;
    let r = x - (shifted - TO_INTEGER) * std::f64::consts::LN_2;
    let series = SERIES.iter().fold(0.0, |sum, &c| sum * r + c);
    // The exponent field of a double with bias; the shift drops what `TO_INTEGER` has above.
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    (series * power) as f32
}

#[cfg(test)]
mod tests {
    use super::exp;

    /// Distance of two finite floats, in floats between them.
    fn steps(a: f32, b: f32) -> u32 {
        a.to_bits().abs_diff(b.to_bits())
    }

    #[test]
    fn is_the_nearest_float_or_the_next() {
        let mut off = 0;
        for i in -110_000..90_000 {
            let x = i as f32 * 1e-3 + 3.7e-5;
            let exact = f64::from(x).exp() as f32;
            assert!(steps(exp(x), exact) <= 1, "e^{x}: {} for {exact}", exp(x));
            off += u32::from(exp(x) != exact);
        }
        assert!(off < 1000, "{off} of 200,000 are not the nearest");
    }

    #[test]
    fn special_values_are_kept() {
        assert_eq!([0.0, -0.0].map(exp), [1.0, 1.0]);
        assert_eq!([f32::NEG_INFINITY, f32::MIN, -104.0].map(exp), [0.0; 3]);
        assert_eq!([f32::INFINITY, f32::MAX, 88.73].map(exp), [f32::INFINITY; 3]);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(-100.0), (-100.0_f64).exp() as f32);
        assert!(exp(-100.0) > 0.0, "results below the normal numbers");
    }
}
