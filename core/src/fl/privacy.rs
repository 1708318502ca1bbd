//! Privacy of whole clients (McMahan et al. 2018, "Learning differentially private recurrent language
//! models", algorithm 1): each client's update is clipped, and noise is added to their sum.
//!
//! What is published must not depend on a client by more than the noise covers. Three things follow.
//! Each client joins a round on a coin of its own, which the server keeps secret. No client weighs more
//! than 1, so that the sum moves by at most the bound when one is added or removed; weights by
//! samples would let one client be most of the sum. And the sum is divided by the expected
//! number of clients, not by that of the round or by the weights of those who came, which are
//! theirs.
//!
//! The server is trusted: it sees updates before there is noise on them, or their sum with secure
//! aggregation. Privacy within clients, against the server too, is `private` of the training.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::aggregate::Sum;
use super::update::{Update, norm};
use crate::dp::accounting::{Accountant, Mechanism, Sampling, calibrate};
use crate::dp::ledger::{Entry, Ledger, Origin, Terms};
use crate::dp::noise::Secret;
use crate::report::PrivacyBudget;
use crate::rng::Rng;
use crate::{Result, bail};

/// The accountant whose epsilon is claimed.
const CLAIMED: &str = "pld";
/// The one that tells epsilon after each round.
const QUICK: &str = "rdp";
/// The neighbouring relation.
const NEIGHBOURS: &str = "one client added or removed";

/// How a federation is made private for its clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientPrivacy {
    /// C, the L2 norm that an update is clipped to.
    pub clip: f64,
    /// Standard deviation of the noise on the sum in units of the bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_multiplier: Option<f64>,
    /// Epsilon that may be spent, in place of a noise multiplier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Probability with which the bound may fail: well below one over the clients.
    pub delta: f64,
    /// Samples at which a client weighs 1; fewer weigh in proportion. Absent, all weigh 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<usize>,
    /// Whether noise and coins follow from the seed, so that the run repeats, and is not private.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub seeded: bool,
}

impl Default for ClientPrivacy {
    fn default() -> Self {
        ClientPrivacy {
            clip: 1.0,
            noise_multiplier: None,
            epsilon: None,
            delta: 1e-5,
            cap: None,
            seeded: false,
        }
    }
}

impl ClientPrivacy {
    /// Checks every constant.
    ///
    /// # Errors
    /// Names the one that is out of range.
    pub fn check(&self) -> Result<()> {
        let positive = |name: &str, value: f64| -> Result<()> {
            if !(value > 0.0 && value.is_finite()) {
                bail!(Config, "client privacy: {name} = {value} must be positive and finite");
            }
            Ok(())
        };
        positive("clip", self.clip)?;
        if !(self.delta > 0.0 && self.delta < 1.0) {
            let delta = self.delta;
            bail!(
                Config,
                "client privacy: delta = {delta} must be in (0, 1), well below one over the clients"
            );
        }
        if self.cap == Some(0) {
            bail!(
                Config,
                "client privacy: cap = 0 must be at least 1; remove it for equal weights"
            );
        }
        match (self.noise_multiplier, self.epsilon) {
            (Some(sigma), None) => positive("noise_multiplier", sigma),
            (None, Some(epsilon)) => positive("epsilon", epsilon),
            (None, None) => bail!(
                Config,
                "client privacy: how much noise? set noise_multiplier, say 1.0, or epsilon, say 8.0"
            ),
            (Some(_), Some(_)) => bail!(
                Config,
                "client privacy: noise_multiplier and epsilon both say how much noise; remove one"
            ),
        }
    }

    /// One line for tables.
    pub fn describe(&self) -> String {
        let noise = match (self.noise_multiplier, self.epsilon) {
            (Some(sigma), _) => format!("noise {sigma}"),
            (None, epsilon) => format!("noise for epsilon {}", epsilon.unwrap_or(f64::NAN)),
        };
        format!("client-level {noise}, clipped at {}", self.clip)
    }

    /// The noise multiplier: as configured, or the least that keeps `rounds` rounds, which a client
    /// joins with probability `rate`, within epsilon.
    ///
    /// # Errors
    /// No noise gives that epsilon.
    pub fn sigma(&self, rate: f64, rounds: usize) -> Result<f64> {
        match (self.noise_multiplier, self.epsilon) {
            (Some(sigma), _) => Ok(sigma),
            (None, Some(epsilon)) => {
                let claimed = Accountant::named(CLAIMED)?;
                let rounds = rounds as u64;
                Ok(calibrate(claimed, epsilon, rate, rounds, self.delta, Sampling::Poisson)?.0)
            }
            (None, None) => bail!(Config, "client privacy: set noise_multiplier or epsilon"),
        }
    }

    /// As [`ClientPrivacy::sigma`], where it gives an epsilon that is finite.
    pub(super) fn planned(&self, rate: f64, rounds: usize) -> Result<f64> {
        let sigma = self.sigma(rate, rounds)?;
        let planned = Mechanism::new(rate, sigma, rounds as u64)?;
        let quick = Accountant::named(QUICK)?;
        let spent = quick.spent(&[planned], self.delta, Sampling::Poisson)?;
        if !spent.epsilon.is_finite() {
            bail!(
                Config,
                "client privacy: a noise multiplier of {sigma} gives no finite epsilon over {rounds} \
                 rounds; raise it"
            );
        }
        Ok(sigma)
    }

    /// What a client of `samples` samples weighs, at most 1.
    pub fn weight(&self, samples: usize) -> f64 {
        self.cap.map_or(1.0, |cap| (samples as f64 / cap as f64).min(1.0))
    }

    /// Clips an update.
    pub fn clipped(&self, delta: &mut [f64]) {
        let norm = norm(delta);
        if norm > self.clip {
            // One part in 2^40 less, so that rounding does not carry the norm over the bound.
            let factor = self.clip / norm * (1.0 - 1.0 / (1_u64 << 40) as f64);
            delta.iter_mut().for_each(|value| *value *= factor);
        }
    }
}

/// Clips and adds up the updates of a round.
pub fn clipped_sum(privacy: &ClientPrivacy, updates: &[Update]) -> Vec<f64> {
    let mut sum = Sum::default();
    for update in updates {
        let mut delta = update.delta.clone();
        privacy.clipped(&mut delta);
        sum.add(privacy.weight(update.samples), &delta);
    }
    sum.into_values()
}

/// A private federation while it runs.
pub(super) struct PrivateRounds {
    privacy: ClientPrivacy,
    secret: Secret,
    sigma: f64,
    clients: usize,
    rate: f64,
    ledger: Ledger,
}

impl PrivateRounds {
    pub(super) fn new(
        privacy: &ClientPrivacy,
        clients: usize,
        rate: f64,
        rounds: usize,
        ledger: &Path,
        rng: &Rng,
    ) -> Result<Self> {
        let secret = match privacy.seeded {
            true => Secret::seeded(&rng.child("private-clients")),
            false => Secret::from_os()?,
        };
        let sigma = privacy.planned(rate, rounds)?;
        let terms = Terms { samples: clients as u64, delta: privacy.delta };
        let origin = Origin { sampling: Sampling::Poisson, seeded: privacy.seeded };
        let ledger = Ledger::open_or_create(ledger, terms.drawn(origin))?;
        Ok(PrivateRounds { privacy: privacy.clone(), secret, sigma, clients, rate, ledger })
    }

    /// Rounds that the ledger knows of.
    pub(super) fn recorded(&self) -> u64 {
        self.ledger.contents().steps()
    }

    /// The clients of a round, each by a coin of its own.
    pub(super) fn clients(&self, round: usize) -> Vec<usize> {
        let coins = self.secret.child("clients").index(round as u64);
        (0..self.clients).filter(|&i| coins.stream(i as u64).bernoulli(self.rate)).collect()
    }

    /// The noisy step of a round from the sum of what its clients sent, none if nobody did. The ledger
    /// has the round before there is any noise.
    pub(super) fn release(&mut self, round: usize, sum: Vec<f64>) -> Result<Vec<f64>> {
        let mechanism = Mechanism::new(self.rate, self.sigma, 1)?;
        self.ledger.append(Entry { step: round as u64, mechanism })?;
        let std = self.sigma * self.privacy.clip;
        let expected = self.rate * self.clients as f64;
        let mut noise = self.secret.child("noise").index(round as u64).stream(0);
        Ok(sum.into_iter().map(|v| (v + std * noise.normal()) / expected).collect())
    }

    /// Epsilon so far, by the quick accountant.
    pub(super) fn epsilon(&self) -> Result<f64> {
        let history = self.ledger.contents().composition();
        let spent = Accountant::named(QUICK)?;
        Ok(spent.spent(&history, self.privacy.delta, Sampling::Poisson)?.epsilon)
    }

    /// What all of it guarantees after `rounds` rounds.
    pub(super) fn budget(&self, rounds: usize) -> Result<PrivacyBudget> {
        let history = self.ledger.contents().composition();
        let (privacy, steps) = (&self.privacy, self.recorded());
        let claimed = Accountant::named(CLAIMED)?;
        let spent = claimed.spent(&history, privacy.delta, Sampling::Poisson)?;
        let clients = self.clients as f64;
        let large = (privacy.delta * clients >= 1.0).then(|| {
            format!(
                "delta {} is not below one over the {clients} clients: a mechanism that publishes one \
                 of them meets it",
                privacy.delta
            )
        });
        let seeded = (!self.secret.is_secret()).then(|| {
            "not private: noise and coins were drawn from the run's seed, which config.toml tells; \
             epsilon is that of the same run without the seed"
                .to_owned()
        });
        let again = steps.saturating_sub(rounds as u64);
        let again = (again > 0).then(|| {
            format!(
                "{again} noisy rounds were lost when the run was stopped and done again; they count"
            )
        });
        Ok(PrivacyBudget {
            epsilon: spent.epsilon,
            delta: spent.delta,
            accountant: spent.accountant.into(),
            conversion: spent.conversion.into(),
            rdp_epsilon: Some(self.epsilon()?),
            neighbours: NEIGHBOURS.into(),
            sampling: spent.sampling.to_string(),
            accounted_as: spent.accounted_as.to_string(),
            noise_multiplier: self.sigma,
            clipping: "flat, of a client's update".into(),
            clipping_norm: privacy.clip,
            sampling_rate: self.rate,
            steps,
            phases: Vec::new(),
            warnings: spent.warnings.into_iter().chain(large).chain(seeded).chain(again).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn privacy() -> ClientPrivacy {
        ClientPrivacy {
            clip: 0.5,
            noise_multiplier: Some(2.0),
            seeded: true,
            ..ClientPrivacy::default()
        }
    }

    fn random(clients: usize, length: usize, scale: f64) -> Vec<Update> {
        let mut rng = Rng::new(4);
        let each = |client| Update {
            client,
            samples: 1 + rng.below(50),
            loss: None,
            delta: (0..length).map(|_| scale * rng.normal()).collect(),
        };
        (0..clients).map(each).collect()
    }

    /// Adding or removing any client moves the sum by at most the bound, whatever it sends, with equal
    /// weights and with capped ones.
    #[test]
    fn one_client_moves_the_sum_by_the_bound_at_most() {
        for cap in [None, Some(1), Some(20)] {
            let privacy = ClientPrivacy { cap, ..privacy() };
            for scale in [1e-3, 1.0, 1e12] {
                let all = random(12, 40, scale);
                let whole = clipped_sum(&privacy, &all);
                for left_out in 0..all.len() {
                    let mut others = all.clone();
                    others.remove(left_out);
                    let sum = clipped_sum(&privacy, &others);
                    let moved: Vec<f64> = whole.iter().zip(&sum).map(|(a, b)| a - b).collect();
                    // Sums of a dozen values round by a few parts in 2^53.
                    assert!(norm(&moved) <= privacy.clip * (1.0 + 1e-14), "{}", norm(&moved));
                    assert!(privacy.weight(all[left_out].samples) <= 1.0);
                }
            }
        }
        let mut long = vec![3.0, 4.0];
        privacy().clipped(&mut long);
        assert!(norm(&long) <= 0.5 && norm(&long) > 0.5 * (1.0 - 1e-11), "{long:?}");
        let mut short = vec![0.3, 0.4];
        privacy().clipped(&mut short);
        assert_eq!(short, [0.3, 0.4]);
    }

    fn rounds(privacy: &ClientPrivacy, folder: &Path) -> PrivateRounds {
        PrivateRounds::new(privacy, 40, 0.25, 10, &folder.join("ledger"), &Rng::new(1)).unwrap()
    }

    /// A round of nobody is noise alone: of standard deviation sigma C / (q N).
    #[test]
    fn noise_has_the_size_that_is_accounted() {
        let folder = tempfile::tempdir().unwrap();
        let mut rounds = rounds(&privacy(), folder.path());
        let made = rounds.release(1, vec![0.0; 40_000]).unwrap();
        let variance = made.iter().map(|v| v * v).sum::<f64>() / made.len() as f64;
        let want = (2.0_f64 * 0.5 / (0.25 * 40.0)).powi(2);
        assert!((variance / want - 1.0).abs() < 5.0 * (2.0 / 40_000.0_f64).sqrt(), "{variance}");
        // Other rounds have other noise.
        assert_ne!(rounds.release(2, vec![0.0; 4]).unwrap(), made[..4]);
        assert_eq!(rounds.recorded(), 2);
        let budget = rounds.budget(1).unwrap();
        assert_eq!(budget.neighbours, "one client added or removed");
        let warnings = budget.warnings.join("\n");
        assert!(
            warnings.contains("not private") && warnings.contains("1 noisy rounds"),
            "{warnings}"
        );
    }

    #[test]
    fn the_ledger_has_a_round_before_its_noise() {
        let folder = tempfile::tempdir().unwrap();
        let mut rounds = rounds(&privacy(), folder.path());
        rounds.release(7, vec![1.0]).unwrap();
        drop(rounds);
        let recorded = crate::dp::ledger::read(folder.path().join("ledger")).unwrap();
        assert_eq!((recorded.entries[0].step, recorded.steps()), (7, 1));
        assert_eq!(recorded.terms.samples, 40);
    }

    #[test]
    fn clients_join_on_coins_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let rounds = rounds(&privacy(), folder.path());
        let mut joined = 0;
        let draws = 1000;
        for round in 0..draws {
            let chosen = rounds.clients(round);
            assert!(chosen.is_sorted());
            joined += chosen.len();
        }
        let n = (40 * draws) as f64;
        let rate = joined as f64 / n;
        assert!((rate - 0.25).abs() < 5.0 * (0.25 * 0.75 / n).sqrt(), "{rate}");
    }

    #[test]
    fn noise_for_an_epsilon_keeps_within_it() {
        let wanted = ClientPrivacy { noise_multiplier: None, epsilon: Some(4.0), ..privacy() };
        let sigma = wanted.sigma(0.1, 50).unwrap();
        let spent = |sigma: f64| {
            let steps = [Mechanism::new(0.1, sigma, 50).unwrap()];
            let pld = Accountant::named("pld").unwrap();
            pld.spent(&steps, 1e-5, Sampling::Poisson).unwrap().epsilon
        };
        assert!(spent(sigma) <= 4.0 && spent(sigma * 0.999) > 4.0, "{sigma}");
    }

    #[test]
    fn constants_out_of_range_are_named() {
        let base = privacy();
        for (privacy, part) in [
            (ClientPrivacy { clip: 0.0, ..base.clone() }, "clip = 0"),
            (ClientPrivacy { delta: 1.0, ..base.clone() }, "delta = 1"),
            (ClientPrivacy { cap: Some(0), ..base.clone() }, "cap = 0"),
            (ClientPrivacy { epsilon: Some(1.0), ..base.clone() }, "both"),
            (ClientPrivacy { noise_multiplier: None, ..base.clone() }, "how much noise?"),
            (ClientPrivacy { noise_multiplier: Some(0.0), ..base }, "noise_multiplier = 0"),
        ] {
            let text = privacy.check().unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
    }
}
