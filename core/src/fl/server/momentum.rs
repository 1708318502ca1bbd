//! Momentum at the server (Hsu et al. 2019, arXiv 1909.06335, section 4.3).

pub(super) fn step(lr: f64, momentum: f64, weights: &mut [f64], v: &mut [f64], step: &[f64]) {
    for ((w, v), d) in weights.iter_mut().zip(v).zip(step) {
        *v = momentum * *v + d;
        *w += lr * *v;
    }
}
