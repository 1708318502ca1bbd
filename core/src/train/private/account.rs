//! What a private training costs: the noise that keeps within an epsilon before it, the epsilon of
//! what was really run after it.

use super::Private;
use crate::dp::accounting::{Accountant, Mechanism, Spent, calibrate_history};
use crate::report::{NoisePhase, PrivacyBudget};
use crate::train::batches::Batches;
use crate::{Result, bail};

/// The accountant whose epsilon is claimed: the tightest.
const CLAIMED: &str = "pld";
/// The one that tells epsilon while training goes on, because it takes no time.
const QUICK: &str = "rdp";

/// The noise multiplier of the first epoch: as configured, or the least that keeps within the epsilon
/// that may be spent.
///
/// # Errors
/// No noise gives that epsilon, or the noise gives none that is finite.
pub(super) fn noise_multiplier(config: &Private, batches: &Batches, epochs: usize) -> Result<f64> {
    let plan = |sigma: f64| planned(config, batches, epochs, sigma);
    let sigma = match (config.noise_multiplier, config.epsilon) {
        (Some(sigma), _) => sigma,
        (None, Some(epsilon)) => {
            let claimed = Accountant::named(CLAIMED)?;
            calibrate_history(claimed, epsilon, config.delta, config.sampling, plan)?.0
        }
        (None, None) => bail!(Config, "private: how much noise? set noise_multiplier or epsilon"),
    };
    let spent = Accountant::named(QUICK)?.spent(&plan(sigma)?, config.delta, config.sampling)?;
    if !spent.epsilon.is_finite() {
        bail!(
            Config,
            "private: a noise multiplier of {sigma} gives no finite epsilon over {} steps; raise it",
            batches.steps() * epochs
        );
    }
    Ok(sigma)
}

/// The steps of a whole training: a mechanism for each epoch.
fn planned(
    config: &Private,
    batches: &Batches,
    epochs: usize,
    sigma: f64,
) -> Result<Vec<Mechanism>> {
    let of_epoch = |epoch| {
        let sigma = sigma * config.schedule.factor(epoch);
        Mechanism::new(batches.rate(), sigma, batches.steps() as u64)
    };
    (1..=epochs).map(of_epoch).collect()
}

/// The noisy steps that have been taken.
#[derive(Default)]
pub(super) struct Account {
    /// A mechanism for each stretch of equal steps.
    history: Vec<Mechanism>,
}

impl Account {
    /// Of steps that were taken before.
    pub(super) fn of(history: Vec<Mechanism>) -> Self {
        Account { history }
    }

    /// A mechanism for each stretch of equal steps, in the order in which they were taken.
    pub(super) fn history(&self) -> &[Mechanism] {
        &self.history
    }

    /// Number of steps.
    pub(super) fn steps(&self) -> u64 {
        self.history.iter().map(Mechanism::steps).sum()
    }

    /// Takes in one step.
    pub(super) fn add(&mut self, step: &Mechanism) -> Result<()> {
        let key = |m: &Mechanism| (m.sampling_rate().to_bits(), m.noise_multiplier().to_bits());
        match self.history.last_mut() {
            Some(last) if key(last) == key(step) => {
                let steps = last.steps().saturating_add(step.steps());
                *last = Mechanism::new(step.sampling_rate(), step.noise_multiplier(), steps)?;
            }
            _ => self.history.push(*step),
        }
        Ok(())
    }

    fn spent(&self, accountant: &str, config: &Private) -> Result<Spent> {
        Accountant::named(accountant)?.spent(&self.history, config.delta, config.sampling)
    }

    /// Epsilon so far, by the quick accountant.
    pub(super) fn so_far(&self, config: &Private) -> Result<f64> {
        Ok(self.spent(QUICK, config)?.epsilon)
    }

    /// What the training as a whole guarantees, with the grounds; `bound` is C at the end.
    pub(super) fn budget(
        &self,
        config: &Private,
        samples: usize,
        bound: f64,
        warnings: impl IntoIterator<Item = String>,
    ) -> Result<PrivacyBudget> {
        let spent = self.spent(CLAIMED, config)?;
        let large = (config.delta * samples as f64 >= 1.0).then(|| {
            format!(
                "delta {} is not below one over the {samples} samples: a mechanism that publishes one \
                 of them meets it",
                config.delta
            )
        });
        let phase =
            |m: &Mechanism| NoisePhase { noise_multiplier: m.noise_multiplier(), steps: m.steps() };
        let first = self.history.first();
        Ok(PrivacyBudget {
            epsilon: spent.epsilon,
            delta: spent.delta,
            accountant: spent.accountant.into(),
            conversion: spent.conversion.into(),
            rdp_epsilon: Some(self.so_far(config)?),
            neighbours: spent.neighbours.into(),
            sampling: spent.sampling.to_string(),
            accounted_as: spent.accounted_as.to_string(),
            noise_multiplier: first.map_or(0.0, Mechanism::noise_multiplier),
            clipping: config.clipping.name().into(),
            clipping_norm: bound,
            sampling_rate: first.map_or(0.0, Mechanism::sampling_rate),
            steps: self.steps(),
            phases: match &self.history[..] {
                [_] => Vec::new(),
                several => several.iter().map(phase).collect(),
            },
            warnings: spent.warnings.into_iter().chain(large).chain(warnings).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::NoiseSchedule;
    use super::*;
    use crate::dp::accounting::Sampling;
    use crate::rng::Rng;

    fn batches() -> Batches {
        Batches { sampling: Sampling::Poisson, samples: 1000, size: 50, rng: Rng::new(1) }
    }

    #[test]
    fn noise_for_an_epsilon_keeps_within_it_with_any_schedule() {
        for schedule in [NoiseSchedule::Constant {}, NoiseSchedule::Exponential { factor: 0.9 }] {
            let config = Private { epsilon: Some(3.0), schedule, ..Private::default() };
            let sigma = noise_multiplier(&config, &batches(), 3).unwrap();
            let mut account = Account::default();
            for mechanism in planned(&config, &batches(), 3, sigma).unwrap() {
                account.add(&mechanism).unwrap();
            }
            let spent = account.spent(CLAIMED, &config).unwrap().epsilon;
            assert!(spent <= 3.0 && spent > 2.99, "{spent}");
        }
    }

    #[test]
    fn equal_steps_are_one_entry_and_others_are_not() {
        let mut account = Account::default();
        for sigma in [1.0, 1.0, 0.5, 0.5, 0.5, 1.0] {
            account.add(&Mechanism::new(0.1, sigma, 1).unwrap()).unwrap();
        }
        let steps: Vec<u64> = account.history.iter().map(Mechanism::steps).collect();
        assert_eq!(steps, [2, 3, 1]);
        let budget = account.budget(&Private::default(), 100, 1.0, None).unwrap();
        assert_eq!((budget.steps, budget.phases.len()), (6, 3));
        assert!(budget.epsilon > 0.0 && budget.epsilon <= budget.rdp_epsilon.unwrap());
    }

    #[test]
    fn noise_without_a_finite_epsilon_is_refused() {
        let config = Private { noise_multiplier: Some(1e-200), ..Private::default() };
        let text = noise_multiplier(&config, &batches(), 3).unwrap_err().to_string();
        assert!(text.contains("no finite epsilon") && text.contains("60 steps"), "{text}");
    }

    #[test]
    fn figures_that_mean_less_than_they_seem_to_are_told() {
        let mut account = Account::default();
        account.add(&Mechanism::new(0.1, 1.0, 1).unwrap()).unwrap();
        let warned = |config: &Private, samples| {
            let none: Option<String> = None;
            account.budget(config, samples, 1.0, none).unwrap().warnings.join("\n")
        };
        assert_eq!(warned(&Private::default(), 1000), "");
        assert!(warned(&Private::default(), 100_000).contains("delta"));
        let shuffled = Private { sampling: Sampling::Shuffled, ..Private::default() };
        assert!(warned(&shuffled, 1000).contains("Poisson"));
    }
}
