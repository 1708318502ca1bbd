//! Noise in the place of an update (Blanchard et al. 2017, section 6: "Gaussian" Byzantine workers).

use crate::rng::Rng;

pub(super) fn fill(delta: &mut [f64], std: f64, rng: &Rng) {
    let mut rng = rng.child("gaussian");
    delta.iter_mut().for_each(|value| *value = std * rng.normal());
}
