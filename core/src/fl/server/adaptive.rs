//! Adaptive optimisers at the server (Reddi et al. 2021, "Adaptive federated optimization", algorithm
//! 2). They differ in how the second moment follows the squares of the steps.

use super::Adaptive;

/// `beta2 v + (1 - beta2) d^2`.
pub(super) fn adam(beta2: f64, v: f64, square: f64) -> f64 {
    beta2 * v + (1.0 - beta2) * square
}

/// `v - (1 - beta2) d^2 sign(v - d^2)`.
pub(super) fn yogi(beta2: f64, v: f64, square: f64) -> f64 {
    let sign = if v > square { 1.0 } else { -f64::from(v < square) };
    v - (1.0 - beta2) * square * sign
}

pub(super) fn step(
    c: &Adaptive,
    second: fn(f64, f64, f64) -> f64,
    weights: &mut [f64],
    [m, v]: [&mut [f64]; 2],
    step: &[f64],
) {
    for (((w, m), v), d) in weights.iter_mut().zip(m).zip(v).zip(step) {
        *m = c.beta1 * *m + (1.0 - c.beta1) * d;
        *v = second(c.beta2, *v, d * d);
        *w += c.lr * *m / (v.sqrt() + c.tau);
    }
}
