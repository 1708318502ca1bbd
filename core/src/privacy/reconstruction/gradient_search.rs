//! Attacks that look for the batch whose gradient is the one that was seen: DLG, iDLG, and Inverting
//! Gradients.
//!
//! The first two minimise the squared distance with L-BFGS, which is near exact where the network is
//! smooth and lost where it is not. The third minimises an angle and total variation with signed
//! steps, which is never exact and copes with ReLU, pooling and batches.

use serde::{Deserialize, Serialize};

use super::matching::{Distance, Target, gradients, norm};
use super::{Guess, Leaked, Seen};
use crate::grad::grad;
use crate::lbfgs::Lbfgs;
use crate::privacy::descend::{Best, Descent, Progress};
use crate::privacy::prior::total_variation;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// Squared distance of gradients by L-BFGS over the batch and, in DLG, its labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dlg {
    /// Steps of L-BFGS of a start.
    pub steps: usize,
    /// Starts; the one that matches best counts.
    pub restarts: usize,
}

impl Default for Dlg {
    fn default() -> Self {
        Dlg { steps: 300, restarts: 4 }
    }
}

/// A distance of gradients this small, relative to what was seen, is the same gradient: later starts
/// are not needed.
const MATCHED: f64 = 1e-10;

impl Dlg {
    /// Runs it; `labels` are known classes `[N]`, without which they are searched for too.
    pub(super) fn run(
        &self,
        seen: &Seen<'_>,
        labels: Option<&[i64]>,
        rng: &Rng,
        progress: Progress<'_>,
    ) -> Result<Guess> {
        let target = seen.gradient("dlg")?;
        let scale = 1.0 / scale_of(target)?.powi(2);
        let params = seen.network.params().tracked();
        let classes = labels.map(|l| seen.classes(l)).transpose()?;
        let mut best: Option<(f64, Vec<Tensor>)> = None;
        let (mut asked, usual) = (0, self.steps * self.restarts);
        for restart in 0..self.restarts {
            let rng = rng.index(restart as u64);
            let mut start = vec![seen.normal(&rng)?];
            if labels.is_none() {
                start.push(seen.soft_labels(&rng)?);
            }
            let objective = &mut |unknown: &[Tensor]| {
                // A step asks about once.
                progress(asked.min(usual), usual)?;
                asked += 1;
                let unknown: Vec<Tensor> = unknown.iter().map(Tensor::tracked).collect();
                let by = match (&classes, unknown.get(1)) {
                    (Some(y), _) => Target::Classes(y.clone()),
                    (None, Some(soft)) => Target::Soft(soft.clone()),
                    (None, None) => bail!(Usage, "dlg: neither labels nor unknowns for them"),
                };
                let found = gradients(seen.network, &params, &unknown[0], &by, true)?;
                let distance = Distance::SquaredL2.between(target, &found)? * scale;
                let value = distance.item()?;
                Ok((value, grad(&distance, &unknown.iter().collect::<Vec<_>>())?))
            };
            let search = Lbfgs { steps: self.steps, ..Lbfgs::default() };
            let found = search.minimise(start, objective)?;
            if best.as_ref().is_none_or(|(value, _)| found.value < *value) {
                best = Some((found.value, found.x));
            }
            if best.as_ref().is_some_and(|(value, _)| *value < MATCHED) {
                break;
            }
        }
        let Some((objective, found)) = best else { bail!(Config, "dlg: no start; give restarts") };
        let labels = match (labels, found.get(1)) {
            (Some(labels), _) => labels.to_vec(),
            (None, Some(soft)) => soft.argmax(1).to_vec()?,
            (None, None) => Vec::new(),
        };
        let [lo, hi] = seen.network.spec().bounds;
        Ok(Guess { x: found[0].clamp(lo, hi), labels: Some(labels), objective })
    }
}

/// The norm of what was seen; nothing can be matched to zero.
fn scale_of(target: &[Tensor]) -> Result<f64> {
    let size = norm(target)?;
    if !(size > 0.0 && size.is_finite()) {
        bail!(
            Numeric,
            "reconstruction: the gradient that was seen has norm {size}, so there is nothing to \
             match; choose other records, or weights that are not trained to the end"
        );
    }
    Ok(size)
}

/// The angle between gradients, total variation, signed Adam within the box (Geiping et al. 2020).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cosine {
    /// Steps of a start.
    pub steps: usize,
    /// Step size in units of the range of values; a tenth of it after 3/8, 5/8 and 7/8 of the steps
    /// each.
    pub lr: f64,
    /// Weight of the total variation, alpha of the paper.
    pub tv: f64,
    /// Starts; the one of the smallest objective counts.
    pub restarts: usize,
}

impl Default for Cosine {
    fn default() -> Self {
        Cosine { steps: 1000, lr: 0.1, tv: 1e-3, restarts: 1 }
    }
}

impl Cosine {
    /// Checks the constants.
    pub(super) fn check(&self, who: &str) -> Result<Descent> {
        if !(self.tv >= 0.0 && self.tv.is_finite()) {
            bail!(Config, "{who}: tv = {} must not be negative, say 0.01", self.tv);
        }
        if self.restarts == 0 {
            bail!(Config, "{who}: restarts = 0 leaves no start; give at least 1");
        }
        let descent = Descent { steps: self.steps, lr: self.lr, signed: true, decay: true };
        descent.check(who)?;
        Ok(descent)
    }

    /// Minimises `distance + tv TV(x)` over batches; `found` gives what the batch would leak.
    pub(super) fn search(
        &self,
        seen: &Seen<'_>,
        target: &[Tensor],
        found: &mut dyn FnMut(&Tensor) -> Result<Vec<Tensor>>,
        rng: &Rng,
        progress: Progress<'_>,
    ) -> Result<Best> {
        let descent = self.check("cosine")?;
        scale_of(target)?;
        let bounds = seen.network.spec().bounds;
        let total = self.restarts * self.steps;
        let mut objective = |x: &Tensor| {
            let distance = Distance::Cosine.between(target, &found(x)?)?;
            Ok((distance + total_variation(x).mean_all() * self.tv).reshape(&[1]))
        };
        let mut best: Option<Best> = None;
        for restart in 0..self.restarts {
            let start = seen.uniform(&rng.index(restart as u64))?;
            let mut heard = |step, _| progress(restart * self.steps + step, total);
            let next = descent.minimise(&start, bounds, &mut objective, &mut heard)?;
            best = Some(match best {
                Some(best) => best.or(next)?,
                None => next,
            });
        }
        match best {
            Some(best) => Ok(best),
            None => bail!(Config, "cosine: restarts = 0 leaves no start; give at least 1"),
        }
    }

    /// Runs it with the classes `labels`.
    pub(super) fn run(
        &self,
        seen: &Seen<'_>,
        labels: &[i64],
        rng: &Rng,
        progress: Progress<'_>,
    ) -> Result<Guess> {
        let target = seen.gradient("cosine")?;
        let params = seen.network.params().tracked();
        let by = Target::Classes(seen.classes(labels)?);
        let mut found = |x: &Tensor| gradients(seen.network, &params, x, &by, true);
        let best = self.search(seen, target, &mut found, rng, progress)?;
        Ok(Guess { x: best.x, labels: Some(labels.to_vec()), objective: best.values[0] })
    }
}

impl Seen<'_> {
    /// The gradient that was seen.
    fn gradient(&self, who: &str) -> Result<&[Tensor]> {
        match &self.leaked {
            Leaked::Gradient(gradient) => Ok(gradient),
            _ => bail!(Usage, "{who}: it needs a gradient; what was seen is something else"),
        }
    }

    /// Classes as a tensor `[N]`.
    pub(super) fn classes(&self, labels: &[i64]) -> Result<Tensor> {
        Tensor::from_slice(self.network.device(), labels, &[labels.len()])
    }

    /// A batch of the standard normal distribution around the middle of the range.
    fn normal(&self, rng: &Rng) -> Result<Tensor> {
        let [lo, hi] = self.network.spec().bounds;
        let (middle, half) = (f64::midpoint(lo, hi), 0.5 * (hi - lo));
        let mut draws = rng.child("start");
        self.draw(|| middle + half * draws.normal())
    }

    /// A batch that is uniform in the box.
    pub(super) fn uniform(&self, rng: &Rng) -> Result<Tensor> {
        let [lo, hi] = self.network.spec().bounds;
        let mut draws = rng.child("start");
        self.draw(|| draws.uniform(lo, hi))
    }

    fn draw(&self, mut value: impl FnMut() -> f64) -> Result<Tensor> {
        let input = &self.network.spec().input;
        let shape: Vec<usize> = [self.samples].iter().chain(input).copied().collect();
        let values: Vec<f64> = (0..shape.iter().product()).map(|_| value()).collect();
        Tensor::from_f64(self.network.device(), self.network.dtype(), &values, &shape)
    }

    /// Logits of labels to begin with.
    fn soft_labels(&self, rng: &Rng) -> Result<Tensor> {
        let shape = [self.samples, self.network.spec().classes];
        let mut draws = rng.child("labels");
        let values: Vec<f64> = (0..shape[0] * shape[1]).map(|_| draws.normal()).collect();
        Tensor::from_f64(self.network.device(), self.network.dtype(), &values, &shape)
    }
}
