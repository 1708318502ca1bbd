//! From Renyi divergences to epsilon: the orders, and the two conversions.
//!
//! The best order lies near 1 where epsilon is large and in the thousands where it is small, and
//! where sampling stops helping the divergence has a knee, beside which an order that is off by a
//! percent costs a percent of epsilon. So the usual fixed list is replaced by a search: epsilon as a
//! function of the order falls and then rises (its sublevel sets are convex because
//! (a-1) RDP(a), and the terms that the conversions add to it, are convex in a), hence a geometric
//! grid in the distance from 1 finds the valley and golden sections its bottom.

use super::mechanism::Mechanism;
use super::rdp::per_step;

/// Points of the grid per power of ten of order - 1.
const DENSITY: i32 = 8;
const SMALLEST_EXCESS: i32 = -6;
const LARGEST_EXCESS: i32 = 12;
/// From here on orders are whole, which is cheap and exact.
const WHOLE_FROM: f64 = 256.0;
/// Golden sections: 32 narrow the two gaps of the grid to a ten-millionth.
const SECTIONS: u32 = 32;
/// Below this delta, its square and the divergences to compare it with may both be rounded to 0.
const SMALLEST_SQUARED: f64 = 1e-140;
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The order at a point of the logarithmic scale of order - 1.
fn order_at(x: f64) -> f64 {
    let order = 1.0 + x.exp();
    if order < WHOLE_FROM { order } else { order.round() }
}

/// How a divergence of one order becomes an epsilon for a delta.
#[derive(Clone, Copy)]
pub(super) enum Conversion {
    /// Canonne, Kamath and Steinke 2020, Proposition 12 (Balle et al. 2020, Theorem 21):
    /// eps = RDP + ln((a-1)/a) - (ln delta + ln a) / (a-1).
    Improved,
    /// Mironov 2017, Proposition 3: eps = RDP + ln(1/delta) / (a-1).
    Mironov,
}

impl Conversion {
    /// The theorem, for the provenance of a figure.
    pub(super) fn source(self) -> &'static str {
        match self {
            Conversion::Improved => "Canonne, Kamath and Steinke 2020, Proposition 12",
            Conversion::Mironov => "Mironov 2017, Proposition 3",
        }
    }

    fn epsilon(self, order: f64, rdp: f64, delta: f64) -> f64 {
        let excess = order - 1.0;
        match self {
            Conversion::Improved => {
                rdp + (excess / order).ln() - (delta.ln() + order.ln()) / excess
            }
            Conversion::Mironov => rdp - delta.ln() / excess,
        }
    }

    /// The smallest epsilon of any order, for mechanisms that release something.
    pub(super) fn epsilon_of(self, history: &[Mechanism], delta: f64) -> f64 {
        let step = std::f64::consts::LN_10 / f64::from(DENSITY);
        let points = SMALLEST_EXCESS * DENSITY..=LARGEST_EXCESS * DENSITY;
        let (mut best, mut bottom) = (f64::INFINITY, 0.0);
        for x in points.map(|i| f64::from(i) * step) {
            let order = order_at(x);
            let rdp = composed(history, order);
            // Bretagnolle and Huber: total variation is at most sqrt(1 - e^-KL), and KL <= RDP.
            let counted = matches!(self, Conversion::Improved) && delta >= SMALLEST_SQUARED;
            if counted && delta * delta >= -(-rdp).exp_m1() {
                return 0.0;
            }
            let epsilon = self.epsilon(order, rdp, delta);
            if epsilon < best {
                (best, bottom) = (epsilon, x);
            }
        }
        let at = |x: f64| {
            let order = order_at(x);
            self.epsilon(order, composed(history, order), delta)
        };
        best.min(lowest(bottom - step, bottom + step, at).1).max(0.0)
    }
}

/// Divergence of a whole history: divergences of an order add up (Mironov 2017, Proposition 1).
fn composed(history: &[Mechanism], order: f64) -> f64 {
    let of =
        |m: &Mechanism| m.steps() as f64 * per_step(order, m.sampling_rate(), m.noise_multiplier());
    history.iter().map(of).sum()
}

/// The point and the value of the valley of `at` in `[low, high]`, by golden sections.
pub(super) fn lowest(mut low: f64, mut high: f64, at: impl Fn(f64) -> f64) -> (f64, f64) {
    let point = |low: f64, high: f64, share: f64| low + share * (high - low);
    let (mut left, mut right) = (point(low, high, 1.0 - GOLDEN), point(low, high, GOLDEN));
    let (mut at_left, mut at_right) = (at(left), at(right));
    for _ in 0..SECTIONS {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = point(low, high, 1.0 - GOLDEN);
            at_left = at(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = point(low, high, GOLDEN);
            at_right = at(right);
        }
    }
    if at_left <= at_right { (left, at_left) } else { (right, at_right) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_conversion_is_looser() {
        let history = [Mechanism::new(0.01, 1.1, 1000).unwrap()];
        let [new, old] = [Conversion::Improved, Conversion::Mironov]
            .map(|conversion| conversion.epsilon_of(&history, 1e-5));
        assert!(old > new * 1.05, "{old} {new}");
    }
}
