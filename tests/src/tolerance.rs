//! How close two computations of the same thing must be.

/// The largest difference of two arrays, relative to the larger of 1 and the largest magnitude in
/// the expected one; infinite if their lengths differ or exactly one of a pair is NaN.
pub fn deviation(got: &[f64], want: &[f64]) -> f64 {
    if got.len() != want.len() {
        return f64::INFINITY;
    }
    let scale = want.iter().filter(|v| v.is_finite()).fold(1.0f64, |m, v| m.max(v.abs()));
    let apart = |(g, w): (&f64, &f64)| {
        if g == w || (g.is_nan() && w.is_nan()) {
            0.0
        } else if (g - w).is_nan() {
            f64::INFINITY
        } else {
            (g - w).abs() / scale
        }
    };
    got.iter().zip(want).map(apart).fold(0.0, f64::max)
}

/// What f32 kernels may deviate by from f64 ones, for the sizes of the generated cases (sums of a
/// few hundred terms of size one).
pub const F32: f64 = 2e-5;

/// What two f64 computations of the same formula may deviate by.
pub const F64: f64 = 1e-12;

/// What an analytic derivative may deviate by from central differences of step 1e-5 in f64: their
/// truncation error is of the order of 1e-10 and their rounding error of 1e-11 times the number of
/// terms; kinks are avoided by the generator.
pub const DIFFERENCES: f64 = 2e-6;
