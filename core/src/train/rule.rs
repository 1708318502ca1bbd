//! What a training step does with its batch.

use serde::{Deserialize, Serialize};

use crate::attack::{Attack, AttackConfig, Draws, Goal, craft};
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// Which inputs a step trains on.
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
        }
    }

    /// Makes the rule's attacks, all constants checked.
    ///
    /// # Errors
    /// Names the constant that is out of range.
    pub fn check(&self) -> Result<CheckedRule> {
        let (ratio, configs) = match self {
            Rule::Standard {} => (0.0, &[][..]),
            Rule::Mixed { ratio, attacks } => (*ratio, &attacks[..]),
            Rule::Madry { attack } => (1.0, std::slice::from_ref(attack)),
        };
        if !(0.0..=1.0).contains(&ratio) {
            bail!(Config, "rule: ratio = {ratio} must be in [0, 1]");
        }
        if ratio > 0.0 && configs.is_empty() {
            bail!(Config, "rule: ratio = {ratio} needs at least one attack");
        }
        let attacks = configs.iter().map(AttackConfig::check).collect::<Result<_>>()?;
        Ok(CheckedRule { ratio, attacks })
    }
}

/// A rule ready to run.
pub struct CheckedRule {
    ratio: f64,
    attacks: Vec<Box<dyn Attack>>,
}

impl CheckedRule {
    /// Checks the budgets of the attacks against the box of the model's inputs.
    ///
    /// # Errors
    /// One exceeds it.
    pub fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        self.attacks.iter().try_for_each(|a| a.threat().check_within(features, bounds))
    }

    /// The inputs that step number `step` trains on: `x` with a part replaced. The attack sees the
    /// model in evaluation mode. `ids` are the samples' places in the data set.
    ///
    /// # Errors
    /// An attack failed.
    pub fn inputs(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        y: &Tensor,
        ids: &[usize],
        step: u64,
        rng: &Rng,
    ) -> Result<Tensor> {
        let count = (self.ratio * ids.len() as f64).ceil() as usize;
        if count == 0 {
            return Ok(x.clone());
        }
        let attack = &*self.attacks[(step % self.attacks.len() as u64) as usize];
        let ids: Vec<u64> = ids.iter().map(|&i| i as u64).collect();
        let draws = Draws::new(rng.child("attack").index(step), ids);
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
