//! Standard training, ART's mixture and Madry's min-max: the cross-entropy of a batch of which none,
//! some or all samples are replaced by adversarial versions.

use super::pass::{Batch, Pass, Step};
use crate::attack::{Attack, AttackConfig, Goal, craft};
use crate::loss::cross_entropy;
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

pub(super) struct Replacing {
    /// Share of a batch that is replaced.
    ratio: f64,
    /// The attacks, which take turns.
    attacks: Vec<Box<dyn Attack>>,
}

impl Replacing {
    /// Nothing is replaced.
    pub(super) fn none() -> Self {
        Replacing { ratio: 0.0, attacks: Vec::new() }
    }

    pub(super) fn new(ratio: f64, attacks: &[AttackConfig]) -> Result<Self> {
        if !(0.0..=1.0).contains(&ratio) {
            bail!(Config, "rule: ratio = {ratio} must be in [0, 1]");
        }
        if ratio > 0.0 && attacks.is_empty() {
            bail!(Config, "rule: ratio = {ratio} needs at least one attack");
        }
        let attacks = attacks.iter().map(AttackConfig::check).collect::<Result<_>>()?;
        Ok(Replacing { ratio, attacks })
    }
}

impl Step for Replacing {
    fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        self.attacks.iter().try_for_each(|a| a.check_within(features, bounds))
    }

    fn inputs(&self, model: &dyn Classifier, batch: &Batch<'_>, rng: &Rng) -> Result<Tensor> {
        let Batch { x, y, ids, step, .. } = *batch;
        let count = (self.ratio * ids.len() as f64).ceil() as usize;
        if count == 0 {
            return Ok(x.clone());
        }
        let attack = &*self.attacks[(step % self.attacks.len() as u64) as usize];
        let draws = batch.draws(rng, "attack");
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

    fn losses(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Tensor> {
        Ok(cross_entropy(&pass.logits(made)?, batch.y))
    }

    fn coupling(&self) -> Option<&'static str> {
        let some = self.ratio > 0.0 && self.ratio < 1.0;
        let mixed =
            some.then_some("one sample more or less in a batch changes which others are attacked");
        let attacks = if self.ratio > 0.0 { &self.attacks[..] } else { &[] };
        mixed.or_else(|| attacks.iter().find_map(|attack| attack.coupling()))
    }
}
