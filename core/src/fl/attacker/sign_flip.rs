//! Sign flipping: the server is pushed up the loss instead of down.

pub(super) fn flip(delta: &mut [f64], scale: f64) {
    delta.iter_mut().for_each(|value| *value *= -scale);
}
