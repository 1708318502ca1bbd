//! The accountant that composes the distribution of the privacy loss.
//!
//! Delta as a function of epsilon is known exactly for one step; its loss is put on a grid that never
//! understates it ([`grid`]), the losses of all steps are added up ([`compose`]), and epsilon is read
//! off the sum, for a sample that was removed and for one that was added.
//!
//! The step of the grid is not a constant: it starts coarse and is quartered until epsilon no longer
//! falls by a ten-thousandth, or a grid reaches its largest size. Grids are nested and every one
//! gives an upper bound, so what happens at the limit is that the bound is less tight. Memory and
//! time are bounded for any history. Where rounding has the last word (beyond [`MOST_STEPS`] steps,
//! see [`compose`]) there is no grid, and other accountants have to bound epsilon.

mod compose;
mod grid;
mod loss;

use self::compose::{MOST_STEPS, Part, Window, best_tilt};
use self::grid::{Pmf, points};
use self::loss::{Direction, Loss};
use super::gaussian::mu_without_sampling;
use super::mechanism::Mechanism;

/// Name of the method, for the provenance of a figure.
pub(super) const SOURCE: &str = "privacy loss on a grid, connect the dots (Doroshenko et al. 2022)";
/// Share of delta that may be spent on losses beyond the grid.
const LN_BEYOND: f64 = -25.0;
/// ln of the probability, over all steps, of losses below the grid, which are moved up to it.
const LN_BELOW: f64 = -32.0;
/// Points of the first grid, about.
const FIRST_POINTS: f64 = 512.0;
/// The largest grid of one step, and of the sum: arrays of 8 MiB.
const LARGEST: f64 = 1_048_576.0;
/// Grids are fine enough when quartering the step changes epsilon by less than this share; the error
/// is then about a fifteenth of it.
const CHANGE: f64 = 1e-4;

/// Epsilon of mechanisms that release something, for a delta in (0, 1); infinite where the loss is
/// beyond the range of a double or of the grids, or the steps are too many.
pub(super) fn epsilon(history: &[Mechanism], delta: f64) -> f64 {
    let Some(history) = gaussians_merged(history) else { return f64::INFINITY };
    if history.iter().map(|m| m.steps() as f64).sum::<f64>() > MOST_STEPS {
        return f64::INFINITY;
    }
    let removed = Refinement::new(&history, Direction::Remove, delta).run(0.0);
    if history.iter().all(|m| m.sampling_rate() == 1.0) {
        // Swapping the outputs of a Gaussian mechanism only mirrors them.
        return removed;
    }
    removed.max(Refinement::new(&history, Direction::Add, delta).run(removed))
}

/// `history` with the mechanisms that do not sample in one, which has the same loss.
fn gaussians_merged(history: &[Mechanism]) -> Option<Vec<Mechanism>> {
    let (whole, mut sampled): (Vec<_>, Vec<_>) =
        history.iter().copied().partition(|m| m.sampling_rate() == 1.0);
    if !whole.is_empty() {
        let sigma = 1.0 / mu_without_sampling(&whole);
        sampled.push(Mechanism::new(1.0, sigma, 1).ok().filter(|_| sigma > 0.0)?);
    }
    Some(sampled)
}

/// The losses of one direction, on finer and finer grids.
struct Refinement {
    losses: Vec<(Loss, f64, (f64, f64))>,
    ln_delta: f64,
}

impl Refinement {
    fn new(history: &[Mechanism], direction: Direction, delta: f64) -> Self {
        let total: f64 = history.iter().map(|m| m.steps() as f64).sum();
        let (ln_delta, ln_total) = (delta.ln(), total.ln());
        let placed = |m: &Mechanism| {
            let loss = Loss::of(m, direction);
            let range = loss.range(LN_BELOW - ln_total, ln_delta + LN_BEYOND - ln_total);
            (loss, m.steps() as f64, range)
        };
        Refinement { losses: history.iter().map(placed).collect(), ln_delta }
    }

    /// Epsilon of the last grid, or of the first whose epsilon is at most `enough`.
    fn run(&self, enough: f64) -> f64 {
        if !self.losses.iter().all(|(_, _, (low, high))| low <= high) {
            return f64::INFINITY;
        }
        // Losses may be all but the same; then their size tells how fine a grid has to be.
        let span = |r: (f64, f64)| (r.1 - r.0).max(1e-3 * r.1.abs().max(r.0.abs()));
        let widest = self.losses.iter().map(|(_, _, range)| span(*range)).fold(0.0, f64::max);
        if !widest.is_finite() || widest <= 0.0 {
            return f64::INFINITY;
        }
        let mut step = (widest / FIRST_POINTS).log2().ceil().exp2();
        let Some((tilt, bound)) = self.coarse(&mut step) else { return f64::INFINITY };
        if bound <= enough {
            return bound.max(0.0);
        }
        let mut best = f64::INFINITY;
        while let Some(epsilon) = self.on_grid(step, tilt) {
            let settled = best - epsilon <= CHANGE * epsilon;
            best = best.min(epsilon);
            if settled || best <= enough {
                break;
            }
            step *= 0.25;
        }
        best.min(bound)
    }

    /// The best tilt on the first grid that is small enough, and the Chernoff bound on it.
    fn coarse(&self, step: &mut f64) -> Option<(f64, f64)> {
        for _ in 0..64 {
            let parts = self.parts(*step)?;
            let (tilt, bound) = best_tilt(&parts, self.ln_delta);
            if !tilt.is_finite() || bound.is_nan() {
                return None;
            }
            if Window::of(&parts, tilt).is_some_and(|w| w.length as f64 <= self.largest()) {
                return Some((tilt, bound));
            }
            *step *= 2.0;
        }
        None
    }

    /// Epsilon on a grid; none where it is too large.
    fn on_grid(&self, step: f64, tilt: f64) -> Option<f64> {
        let parts = self.parts(step)?;
        let window = Window::of(&parts, tilt).filter(|w| w.length as f64 <= self.largest())?;
        compose::epsilon(&parts, &window, self.ln_delta)
    }

    /// All losses on a grid; none where it is too large.
    fn parts(&self, step: f64) -> Option<Vec<Part>> {
        let counted = self.losses.iter().map(|(_, _, range)| points(*range, step));
        let counts = counted.collect::<Option<Vec<usize>>>()?;
        let total: f64 = counts.iter().map(|count| *count as f64).sum();
        if total > LARGEST.max(4.0 * self.losses.len() as f64) || step <= 0.0 {
            return None;
        }
        let part = |((loss, steps, range), count): (&(Loss, f64, (f64, f64)), usize)| Part {
            pmf: Pmf::of(loss, range.0, count, step),
            steps: *steps,
        };
        Some(self.losses.iter().zip(counts).map(part).collect())
    }

    /// The largest grid of the sum: smaller for long histories, each of whose parts is transformed.
    fn largest(&self) -> f64 {
        (8.0 * LARGEST / self.losses.len() as f64).clamp(4096.0, LARGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gaussian;
    use super::*;

    fn steps(q: f64, sigma: f64, count: u64) -> Mechanism {
        Mechanism::new(q, sigma, count).unwrap()
    }

    #[test]
    fn without_sampling_it_is_the_closed_form() {
        for (sigma, count) in [(0.7, 1), (0.7, 14_063), (4.0, 100), (1e-3, 1), (50.0, 1 << 40)] {
            for delta in [1e-300, 1e-30, 1e-9, 1e-5, 0.3] {
                let history = [steps(1.0, sigma, count)];
                let want = gaussian::epsilon(mu_without_sampling(&history), delta);
                let got = epsilon(&history, delta);
                let error = got / want - 1.0;
                assert!((-1e-9..1e-4).contains(&error), "{sigma} {count} {delta}: {got} {want}");
            }
        }
    }

    /// delta of one step, from the definition.
    fn delta_of_a_step(loss: &Loss, epsilon: f64) -> f64 {
        let event = loss.above(epsilon);
        event.own.exp() - (epsilon + event.own - event.loss).exp()
    }

    #[test]
    fn one_step_is_the_definition() {
        for (q, sigma) in [(0.3, 0.7), (0.01, 1.1), (0.001, 5.0), (0.9, 0.3)] {
            for delta in [1e-9, 1e-5, q * 0.1] {
                let step = steps(q, sigma, 1);
                let got = epsilon(&[step], delta);
                let of = |epsilon: f64| {
                    let losses = [Direction::Remove, Direction::Add].map(|d| Loss::of(&step, d));
                    losses.iter().map(|l| delta_of_a_step(l, epsilon)).fold(0.0, f64::max)
                };
                assert!(of(got) <= delta * (1.0 + 1e-9), "{q} {sigma} {delta}: {got} is too small");
                assert!(
                    got == 0.0 || of(got * 0.9999) > delta,
                    "{q} {sigma} {delta}: {got} is loose"
                );
            }
        }
    }

    #[test]
    fn rare_samples_leave_the_loss_of_a_gaussian() {
        // delta of a step on a batch is q times that of the Gaussian, at ln(1 + (e^eps - 1) / q).
        for (q, sigma, share) in
            [(1e-300, 0.0405, 0.1), (1e-300, 0.05, 1e-3), (1e-100, 0.04, 1e-9), (1e-12, 1.0, 0.2)]
        {
            let whole = gaussian::epsilon(1.0 / sigma, share);
            let want = (q * whole.exp_m1()).ln_1p();
            let got = epsilon(&[steps(q, sigma, 1)], q * share);
            // Losses of a hundred sizes are beyond a grid of even steps, which is above them then.
            let most = want * 1.15 + 1e-20;
            assert!(got >= want * (1.0 - 1e-9) && got <= most, "{q} {sigma} {share}: {got} {want}");
        }
    }

    #[test]
    fn ranges_without_a_grid_have_none() {
        let nothing = f64::NEG_INFINITY;
        for range in [(-1e-300, -60.0), (0.0, f64::INFINITY), (nothing, 0.0), (f64::NAN, 1.0)] {
            assert_eq!(points(range, 0.5), None, "{range:?}");
        }
        assert_eq!(points((-1.0, 1e-3), 0.5), Some(4));
        assert_eq!(points((0.0, 1.0), 1e-300), None);
    }

    #[test]
    fn more_steps_than_rounding_permits_are_not_composed() {
        let most = MOST_STEPS as u64;
        assert!(epsilon(&[steps(0.01, 1000.0, most)], 1e-5).is_finite());
        for history in [
            vec![steps(0.01, 1000.0, 2 * most)],
            vec![steps(0.01, 1000.0, most), steps(0.01, 1001.0, most)],
        ] {
            assert_eq!(epsilon(&history, 1e-5), f64::INFINITY);
        }
    }

    #[test]
    fn two_steps_are_the_integral_over_the_first() {
        for (q, sigma, delta) in [(0.3, 0.7, 1e-5), (0.01, 1.1, 1e-6), (0.05, 2.0, 1e-4)] {
            let step = steps(q, sigma, 1);
            let integrated = |direction: Direction, epsilon: f64| {
                let loss = Loss::of(&step, direction);
                let (low, high) = loss.range(-36.0, -36.0);
                let width = (high - low) / 40_000.0;
                let part = |i: u32| {
                    let at = low + f64::from(i) * width;
                    loss.within(at, width).own.exp()
                        * delta_of_a_step(&loss, epsilon - at - 0.5 * width)
                };
                (0..40_000).map(part).sum::<f64>()
            };
            let of = |epsilon: f64| {
                let both = [Direction::Remove, Direction::Add].map(|d| integrated(d, epsilon));
                both.into_iter().fold(0.0, f64::max)
            };
            let got = epsilon(&[steps(q, sigma, 2)], delta);
            assert!(of(got) <= delta * 1.00001, "{q} {sigma} {delta}: {got} is too small");
            assert!(of(got * 0.9998) > delta, "{q} {sigma} {delta}: {got} is loose");
        }
    }

    #[test]
    fn parts_compose_to_the_whole() {
        let whole = epsilon(&[steps(0.01, 1.1, 1000)], 1e-5);
        let close = Mechanism::new(0.01, 1.1 + 1e-12, 400).unwrap();
        let parts = epsilon(&[steps(0.01, 1.1, 600), close], 1e-5);
        assert!((parts / whole - 1.0).abs() < 1e-5, "{parts} {whole}");
        let more = epsilon(&[steps(0.01, 1.1, 1000), steps(1.0, 100.0, 10)], 1e-5);
        assert!(more > whole * 1.001, "{more} {whole}");
    }

    #[test]
    fn finer_grids_never_give_more() {
        let refinement = Refinement::new(&[steps(0.02, 0.9, 50)], Direction::Remove, 1e-6);
        let grids = (0..7).map(|k| refinement.on_grid(0.25 * 0.5_f64.powi(k), 4.0).unwrap());
        let epsilons: Vec<f64> = grids.collect();
        assert!(epsilons.windows(2).all(|e| e[1] <= e[0] * (1.0 + 1e-9)), "{epsilons:?}");
        assert!(epsilons[0] > epsilons[6], "{epsilons:?}");
    }

    #[test]
    fn losses_that_hardly_vary_are_told_apart() {
        // With so little noise only the chance of being sampled is left: below delta, nothing is lost.
        assert_eq!(epsilon(&[steps(1e-3, 7e-3, 1)], 1e-2), 0.0);
        // Above it, only a sample that was added leaves a loss that is small, and certain.
        let added = Refinement::new(&[steps(1e-3, 7e-3, 10)], Direction::Add, 1e-6).run(0.0);
        let want = -10.0 * (-1e-3_f64).ln_1p();
        assert!(added <= want * (1.0 + 1e-3) && added > want * 0.998, "{added} {want}");
    }
}
