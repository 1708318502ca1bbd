//! What a training step does with its batch.

use serde::{Deserialize, Serialize};

use crate::attack::{Attack, AttackConfig, Draws, Goal, Pgd, craft, diverge};
use crate::loss::{cross_entropy, kl_divergence};
use crate::model::{Classifier, Network};
use crate::nn::{Mode, Params};
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// What a step trains on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// The data as they are.
    Standard {},
    /// Each batch with `ceil(ratio B)` of its samples, chosen at random, replaced by adversarial
    /// versions made on the current model, and one loss over the mix; the attacks take turns, a
    /// batch each. The semantics of ART's AdversarialTrainer; ratio 1 is adversarial only.
    Mixed {
        /// Share of adversarial samples, in [0, 1].
        ratio: f64,
        /// The attacks.
        attacks: Vec<AttackConfig>,
    },
    /// The whole batch replaced by adversarial versions: the min-max problem of Madry et al. 2018,
    /// equation 2.1, with the inner maximum by the attack.
    Madry {
        /// The inner attack, usually PGD with a random start.
        attack: AttackConfig,
    },
    /// The clean loss and how far the prediction moves within the ball (Zhang et al. 2019, equation
    /// 5): `CE(f(x), y) + beta KL(f(x) || f(x'))`, with `x'` where that divergence is largest by the
    /// steps of `attack`. Gradients flow through both arguments of the divergence.
    Trades {
        /// Weight of the divergence: 1 for MNIST and 6 for CIFAR-10 in the paper's code.
        beta: f64,
        /// Norm, radius and steps of the inner maximum; a PGD.
        attack: AttackConfig,
    },
}

impl Rule {
    /// One line for tables: `mixed 0.5 (fgsm)`.
    pub fn describe(&self) -> String {
        match self {
            Rule::Standard {} => "standard".into(),
            Rule::Mixed { ratio, attacks } => {
                let names: Vec<&str> = attacks.iter().map(AttackConfig::name).collect();
                format!("mixed, ratio {ratio} ({})", names.join(", "))
            }
            Rule::Madry { attack } => format!("min-max ({})", attack.name()),
            Rule::Trades { beta, .. } => format!("TRADES, beta {beta}"),
        }
    }

    /// The attacks that the rule trains on.
    pub fn attacks(&self) -> &[AttackConfig] {
        match self {
            Rule::Standard {} => &[],
            Rule::Mixed { attacks, .. } => attacks,
            Rule::Madry { attack } | Rule::Trades { attack, .. } => std::slice::from_ref(attack),
        }
    }

    /// Makes the rule's attacks, all constants checked.
    ///
    /// # Errors
    /// Names the constant that is out of range.
    pub fn check(&self) -> Result<CheckedRule> {
        let ratio = match self {
            Rule::Standard {} => 0.0,
            Rule::Mixed { ratio, .. } => *ratio,
            Rule::Madry { .. } => 1.0,
            Rule::Trades { beta, attack } => return trades(*beta, attack),
        };
        if !(0.0..=1.0).contains(&ratio) {
            bail!(Config, "rule: ratio = {ratio} must be in [0, 1]");
        }
        if ratio > 0.0 && self.attacks().is_empty() {
            bail!(Config, "rule: ratio = {ratio} needs at least one attack");
        }
        let attacks = self.attacks().iter().map(AttackConfig::check).collect::<Result<_>>()?;
        Ok(CheckedRule::Replacing { ratio, attacks })
    }
}

fn trades(beta: f64, attack: &AttackConfig) -> Result<CheckedRule> {
    if !(beta >= 0.0 && beta.is_finite()) {
        bail!(Config, "rule: beta = {beta} must be finite and not negative");
    }
    attack.check()?;
    match attack {
        AttackConfig::Pgd(inner) => Ok(CheckedRule::Trades { beta, inner: inner.clone() }),
        other => bail!(
            Config,
            "rule: trades looks for its points by pgd, not by {}; set norm, eps, step and steps of \
             that",
            other.name()
        ),
    }
}

/// A rule ready to run.
pub enum CheckedRule {
    /// Some inputs are replaced by adversarial ones, and the loss is the cross-entropy.
    Replacing {
        /// Share of a batch that is replaced.
        ratio: f64,
        /// The attacks, which take turns.
        attacks: Vec<Box<dyn Attack>>,
    },
    /// [`Rule::Trades`].
    Trades {
        /// Weight of the divergence.
        beta: f64,
        /// Norm, radius and steps of the inner maximum.
        inner: Pgd,
    },
}

/// A batch as a step gets it.
pub struct Batch<'a> {
    /// Inputs, `[N, ...]`.
    pub x: &'a Tensor,
    /// Labels, `[N]`.
    pub y: &'a Tensor,
    /// Places of the samples in the data set.
    pub ids: &'a [usize],
    /// Number of the step.
    pub step: u64,
}

impl CheckedRule {
    /// Checks the budgets of the attacks against the box of the model's inputs.
    ///
    /// # Errors
    /// One exceeds it.
    pub fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        match self {
            CheckedRule::Replacing { attacks, .. } => {
                attacks.iter().try_for_each(|a| a.threat().check_within(features, bounds))
            }
            CheckedRule::Trades { inner, .. } => inner.threat().check_within(features, bounds),
        }
    }

    /// The loss of each sample, `[N]`, differentiable in `params` and dependent on that sample alone
    /// (dropout aside). `network` holds the same weights, for the attacks, which see it in evaluation
    /// mode.
    ///
    /// # Errors
    /// An attack failed, or the device.
    pub fn losses(
        &self,
        network: &Network,
        params: &Params,
        batch: &Batch<'_>,
        dropout: &mut Rng,
        rng: &Rng,
    ) -> Result<Tensor> {
        let x = self.inputs(network, batch, rng)?;
        let mut forward = |x: &Tensor| network.forward(params, x, &mut Mode::Train(&mut *dropout));
        match self {
            CheckedRule::Replacing { .. } => Ok(cross_entropy(&forward(&x)?, batch.y)),
            CheckedRule::Trades { beta, .. } => {
                let clean = forward(batch.x)?;
                let moved = forward(&x)?;
                Ok(cross_entropy(&clean, batch.y) + kl_divergence(&clean, &moved) * *beta)
            }
        }
    }

    /// The inputs of a step that attacks have made, others as they are. The attack sees the model in
    /// evaluation mode.
    ///
    /// # Errors
    /// An attack failed.
    pub fn inputs(&self, model: &dyn Classifier, batch: &Batch<'_>, rng: &Rng) -> Result<Tensor> {
        let Batch { x, y, ids, step } = *batch;
        let draws = |ids: &[usize]| {
            let ids: Vec<u64> = ids.iter().map(|&i| i as u64).collect();
            Draws::new(rng.child("attack").index(step), ids)
        };
        let (ratio, attacks) = match self {
            CheckedRule::Replacing { ratio, attacks } => (ratio, attacks),
            CheckedRule::Trades { inner, .. } => return diverge(inner, model, x, &draws(ids)),
        };
        let count = (ratio * ids.len() as f64).ceil() as usize;
        if count == 0 {
            return Ok(x.clone());
        }
        let attack = &*attacks[(step % attacks.len() as u64) as usize];
        let draws = draws(ids);
        let goal = Goal::Untargeted(y.clone());
        if count == x.dim(0) {
            return craft(attack, model, x, &goal, &draws);
        }
        let chosen = rng.child("mix").index(step).choose(x.dim(0), count);
        let rows: Vec<i64> = chosen.iter().map(|&i| i as i64).collect();
        let rows = Tensor::from_slice(x.device(), &rows, &[count])?;
        let picked = x.take(0, &rows);
        let found = craft(attack, model, &picked, &goal.take(&rows), &draws.select(&chosen))?;
        // Exact: a value minus itself is 0, and 0 plus a value is that value.
        Ok(x.put_add(0, &rows, &-picked).put_add(0, &rows, &found))
    }
}
