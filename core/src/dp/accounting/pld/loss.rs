//! The privacy loss of one step, as a random variable.
//!
//! In units of the noise, a step shows z: normal around 0 without the sample, and with it, by its
//! chance q of being in the batch, a mixture that has a part q around mu = 1 / noise multiplier.
//! With y(z) = ln(1 - q + q e^(mu z - mu^2 / 2)), which grows with z, the loss is y under the mixture
//! where the sample is removed, and -y under the normal where it is added (Koskela, Jalko and Honkela
//! 2020, section 6). Both are needed: neither bounds the other after composition.
//!
//! Probabilities are logarithms, and intervals of y come with their width, so that neither rare
//! losses nor fine grids cost digits.

use super::super::mechanism::Mechanism;
use super::super::special::{bisect, ln_add, ln_expm1, ln_interval, ln_tail};

/// Deviates beyond this one are rarer than any probability that is asked for.
const FURTHEST: f64 = 60.0;
/// Beyond this, exponentials come near the end of the range of a double.
const LARGE: f64 = 600.0;

/// Which neighbour the step was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Remove,
    Add,
}

/// An event: ln of its probability, and its loss, ln of the ratio to the neighbour's probability. Where
/// q is small the difference of the two logarithms would be all rounding, and T steps would add up T
/// times the same rounding; so the loss is not made of them.
#[derive(Clone, Copy)]
pub(super) struct Event {
    pub(super) own: f64,
    pub(super) loss: f64,
    /// By how much `loss` may be wrong.
    pub(super) error: f64,
}

pub(super) struct Loss {
    mu: f64,
    q: f64,
    ln_q: f64,
    /// ln(1 - q), which y stays above.
    ln_rest: f64,
    direction: Direction,
}

impl Loss {
    pub(super) fn of(step: &Mechanism, direction: Direction) -> Self {
        let q = step.sampling_rate();
        let mu = 1.0 / step.noise_multiplier();
        Loss { mu, q, ln_q: q.ln(), ln_rest: (-q).ln_1p(), direction }
    }

    /// The losses outside of which lies at most e^`ln_below` of the probability on the low side, and
    /// e^`ln_above` on the high side.
    pub(super) fn range(&self, ln_below: f64, ln_above: f64) -> (f64, f64) {
        let (low, high) = (-FURTHEST, self.mu + FURTHEST);
        match self.direction {
            Direction::Remove => {
                let left = bisect(low, high, |z| {
                    self.ln_mixed(ln_tail(-z), ln_tail(self.mu - z)) < ln_below
                });
                let right = bisect(low, high, |z| {
                    self.ln_mixed(ln_tail(z), ln_tail(z - self.mu)) > ln_above
                });
                (self.y(left), self.y(right))
            }
            Direction::Add => {
                let left = bisect(low, high, |z| ln_tail(-z) < ln_above);
                let right = bisect(low, high, |z| ln_tail(z) > ln_below);
                (-self.y(right), -self.y(left))
            }
        }
    }

    /// Probabilities of a loss in `[loss, loss + width]`.
    pub(super) fn within(&self, loss: f64, width: f64) -> Event {
        match self.direction {
            Direction::Remove => self.event(|l| l.slice(loss, width)),
            Direction::Add => self.event(|l| l.slice(-loss - width, width)),
        }
    }

    /// Probabilities of a loss above `loss`.
    pub(super) fn above(&self, loss: f64) -> Event {
        match self.direction {
            Direction::Remove => self.event(|l| l.right_of(l.z(loss))),
            Direction::Add => self.event(|l| l.left_of(l.z(-loss))),
        }
    }

    /// Probabilities of a loss below `loss`.
    pub(super) fn below(&self, loss: f64) -> Event {
        match self.direction {
            Direction::Remove => self.event(|l| l.left_of(l.z(loss))),
            Direction::Add => self.event(|l| l.right_of(l.z(-loss))),
        }
    }

    /// From ln probabilities under the normal and around mu.
    fn event(&self, of: impl Fn(&Self) -> (f64, f64)) -> Event {
        let (plain, shifted) = of(self);
        let mixed = self.ln_mixed(plain, shifted);
        let y = self.y_of(shifted - plain);
        // Of the rounding of the logarithms y has its derivative by them: the sample's share of e^y.
        let rounding = 4.0 * (plain.abs() + shifted.abs()) + 64.0;
        let error = f64::EPSILON * (self.share(shifted - plain, y) * rounding + 4.0 * y.abs());
        match self.direction {
            Direction::Remove => Event { own: mixed, loss: y, error },
            Direction::Add => Event { own: plain, loss: -y, error },
        }
    }

    fn ln_mixed(&self, plain: f64, shifted: f64) -> f64 {
        ln_add(self.ln_rest + plain, self.ln_q + shifted)
    }

    fn left_of(&self, z: f64) -> (f64, f64) {
        (ln_tail(-z), ln_tail(self.mu - z))
    }

    fn right_of(&self, z: f64) -> (f64, f64) {
        (ln_tail(z), ln_tail(z - self.mu))
    }

    /// z with y in `[y, y + width]`.
    fn slice(&self, y: f64, width: f64) -> (f64, f64) {
        let left = self.z(y);
        if left == f64::NEG_INFINITY {
            return self.left_of(self.z(y + width));
        }
        let width = self.width_in_z(y, width);
        (ln_interval(left, width), ln_interval(left - self.mu, width))
    }

    fn y(&self, z: f64) -> f64 {
        self.y_of(self.mu * (z - 0.5 * self.mu))
    }

    /// ln(1 - q + q e^t). It grows with t also where q is so small that q e^t is below 1 for a t whose
    /// exponential is near the end of the range.
    fn y_of(&self, t: f64) -> f64 {
        if self.q == 1.0 {
            return t;
        }
        if t >= LARGE {
            return ln_add(0.0, t + self.ln_q);
        }
        let excess = self.q * t.exp_m1();
        let y = if excess > -0.5 { excess.ln_1p() } else { ln_add(self.ln_rest, self.ln_q + t) };
        y.max(self.ln_rest)
    }

    /// The share q e^t / e^y of the sample in e^y: the derivative of y by t.
    fn share(&self, t: f64, y: f64) -> f64 {
        (self.ln_q + t - y).exp().min(1.0)
    }

    /// The z of a y; minus infinity where y is below all its values.
    fn z(&self, y: f64) -> f64 {
        0.5 * self.mu + self.exponent(y) / self.mu
    }

    /// mu z - mu^2 / 2 of a y.
    fn exponent(&self, y: f64) -> f64 {
        if self.q == 1.0 {
            return y;
        }
        if y <= self.ln_rest {
            return f64::NEG_INFINITY;
        }
        let ratio = y.exp_m1() / self.q;
        if ratio > -0.5 && ratio < f64::MAX {
            return ratio.ln_1p();
        }
        ln_expm1(y - self.ln_rest) + self.ln_rest - self.ln_q
    }

    fn width_in_z(&self, y: f64, width: f64) -> f64 {
        if self.q == 1.0 {
            return width / self.mu;
        }
        if width > LARGE {
            return (self.exponent(y + width) - self.exponent(y)) / self.mu;
        }
        // The share of e^y that is due to the sample, from the rounded left end, so that the right
        // end is where the next interval begins even where the left one is ill conditioned.
        let share = self.share(self.exponent(y), y);
        (width.exp_m1() / share.max(f64::MIN_POSITIVE)).ln_1p() / self.mu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_and_tails_make_up_everything() {
        for (q, sigma) in [(1.0, 0.7), (0.01, 1.1), (1e-5, 0.3), (0.999, 4.0)] {
            let step = Mechanism::new(q, sigma, 1).unwrap();
            for direction in [Direction::Remove, Direction::Add] {
                let loss = Loss::of(&step, direction);
                let (low, high) = loss.range(-30.0, -30.0);
                let width = (high - low) / 1000.0;
                let inner = (0..1000).map(|i| loss.within(low + f64::from(i) * width, width));
                let all = inner.chain([loss.below(low), loss.above(low + 1000.0 * width)]);
                let sums = all.fold([0.0, 0.0], |s, event| {
                    [s[0] + event.own.exp(), s[1] + (event.own - event.loss).exp()]
                });
                assert!(sums.iter().all(|s| (s - 1.0).abs() < 1e-11), "{q} {sigma}: {sums:?}");
            }
        }
    }

    #[test]
    fn ratio_of_the_probabilities_is_the_loss() {
        for (q, sigma) in [(1.0, 0.7), (0.01, 1.1), (1e-9, 0.1), (0.5, 50.0)] {
            let step = Mechanism::new(q, sigma, 1).unwrap();
            for direction in [Direction::Remove, Direction::Add] {
                let loss = Loss::of(&step, direction);
                let (low, high) = loss.range(-20.0, -20.0);
                let width = (high - low) / 300.0;
                for i in 1..299 {
                    let at = low + f64::from(i) * width;
                    let seen = loss.within(at, width).loss;
                    let slack = 1e-9 * width + 1e-12;
                    assert!(
                        seen >= at - slack && seen <= at + width + slack,
                        "{q} {sigma} {direction:?}: {seen} in {at} + {width}"
                    );
                }
            }
        }
    }
}
