//! Iterated FGSM made to carry over to other models: with momentum (MI, Dong et al. 2018), with the
//! gradient taken where the momentum leads (NI, Lin et al. 2020), through random resizing of the input
//! (DI, Xie et al. 2019), with gradients smoothed over translations (TI, Dong et al. 2019).
//!
//! They are options of one attack, because what is used for transfer is all of them together.

use serde::{Deserialize, Serialize};

use super::best::Best;
use super::fgsm::{Ascent, ascent, linf};
use super::resize::Resizing;
use super::step::direction;
use super::table::{at_least_one, check_threat, positive, share};
use super::{Access, Attack, AttackSpec, Draws, Goal, Keep, L1Step, Norm, Threat};
use crate::model::Classifier;
use crate::op::Conv;
use crate::{Result, Tensor, bail};

/// Configuration of MI-FGSM and its kin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MiFgsm {
    /// The norm. In L2 and L1 a step goes along the running sum, as in section 3.3 of Dong et al. for L2.
    #[serde(default = "linf")]
    pub norm: Norm,
    /// Radius of the ball.
    pub eps: f64,
    /// Number of steps.
    #[serde(default = "steps")]
    pub steps: usize,
    /// Length of a step; `eps / steps` if absent, so that the last can reach the radius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// Share of the running sum of gradients that is kept: `mu` of the paper.
    #[serde(default = "decay")]
    pub decay: f64,
    /// NI: takes gradients one step ahead along the running sum.
    #[serde(default)]
    pub nesterov: bool,
    /// DI: probability with which the image is made smaller, by up to a tenth, and put somewhere on a
    /// black one, before each gradient.
    #[serde(default)]
    pub diversity: f64,
    /// TI: width of the Gaussian kernel (standard deviation a third of its half) that smooths
    /// gradients, an odd number; 0 for none.
    #[serde(default)]
    pub kernel: usize,
    /// Which iterate is returned.
    #[serde(default = "best")]
    pub keep: Keep,
}

fn steps() -> usize {
    10
}
fn decay() -> f64 {
    1.0
}
fn best() -> Keep {
    Keep::Best
}

impl MiFgsm {
    /// MI-FGSM with the constants of the paper: 10 steps, decay 1.
    pub fn new(eps: f64) -> Self {
        MiFgsm {
            norm: linf(),
            eps,
            steps: steps(),
            step: None,
            decay: decay(),
            nesterov: false,
            diversity: 0.0,
            kernel: 0,
            keep: Keep::Best,
        }
    }

    /// Where the gradient is taken, and what one step tells.
    fn look(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Ascent> {
        if self.diversity == 0.0 {
            return ascent(model, x, |logits| goal.objective(logits));
        }
        let resized = Resizing::draw(model, x, self.diversity, draws)?;
        ascent(&resized, x, |logits| goal.objective(logits))
    }

    /// Gradients averaged over small translations, which is a convolution.
    fn smoothed(&self, g: Tensor) -> Result<Tensor> {
        if self.kernel == 0 {
            return Ok(g);
        }
        let channels = g.dim(1);
        let half = (self.kernel / 2) as f64;
        let sigma = (half / 3.0).max(1e-3);
        let bell = |i: usize| (-((i as f64 - half) / sigma).powi(2) / 2.0).exp();
        let total: f64 = (0..self.kernel).map(bell).sum();
        let one = (0..self.kernel * self.kernel)
            .map(|at| bell(at / self.kernel) * bell(at % self.kernel) / (total * total));
        let all: Vec<f64> = std::iter::repeat_n(one, channels).flatten().collect();
        let shape = [channels, 1, self.kernel, self.kernel];
        let weight = Tensor::from_f64(g.device(), g.dtype(), &all, &shape)?;
        Ok(g.conv2d(&weight, Conv { groups: channels, ..Conv::new(1, self.kernel / 2) }))
    }
}

/// How an L1 step is spread.
const SPARSE: L1Step = L1Step::Sparse(0.01);

/// `g` over the mean of its absolute values.
fn scaled(g: &Tensor) -> Tensor {
    let features: usize = g.shape().iter().skip(1).product();
    let mean = g.abs().sum_per_sample() * (1.0 / features as f64);
    g / &mean.maximum(&mean.scalar(1e-12)).per_sample(g)
}

impl AttackSpec for MiFgsm {
    const NAME: &'static str = "mi_fgsm";
    const SUMMARY: &'static str = "iterated FGSM for transfer: momentum, NI, DI, TI (Linf, L2, L1)";

    fn at(Threat { norm, eps }: Threat) -> Self {
        MiFgsm { norm, ..MiFgsm::new(eps) }
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("steps", self.steps)?;
        self.step.map_or(Ok(()), |step| positive::<Self>("step", step))?;
        share::<Self>("diversity", self.diversity)?;
        if self.kernel > 0 && self.kernel.is_multiple_of(2) {
            bail!(Config, "mi_fgsm: kernel = {} must be odd, or 0 for none", self.kernel);
        }
        if !(self.decay >= 0.0 && self.decay.is_finite()) {
            bail!(Config, "mi_fgsm: decay = {} must not be negative", self.decay);
        }
        Ok(())
    }

    fn label(&self) -> String {
        let smooth = if self.kernel > 0 { "TI-" } else { "" };
        let diverse = if self.diversity > 0.0 { "DI-" } else { "" };
        let ahead = if self.nesterov { "NI" } else { "MI" };
        format!("{smooth}{diverse}{ahead}-FGSM-{}", self.steps)
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        let same = self.norm == norm && self.eps > 0.0;
        let step = self.step.filter(|_| same).map(|step| step * eps / self.eps);
        MiFgsm { norm, eps, step, ..self.clone() }
    }
}

impl Attack for MiFgsm {
    fn threat(&self) -> Threat {
        Threat::new(self.norm, self.eps)
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x0: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        if (self.kernel > 0 || self.diversity > 0.0) && x0.shape().rank() != 4 {
            bail!(Usage, "mi_fgsm: kernel and diversity are for images, not {}", x0.aval());
        }
        let (bounds, [lo, hi]) = (model.bounds(), model.bounds());
        let length = self.step.unwrap_or(self.eps / self.steps as f64);
        let (mut x, mut sum) = (x0.clone(), x0.fill(0.0));
        let mut best: Option<Best> = None;
        for step in 0..self.steps {
            let ahead = if self.nesterov {
                let lead = match self.norm {
                    Norm::Linf => sum.clone(),
                    norm => direction(norm, SPARSE, &sum, &x, bounds),
                };
                (&x + &(lead * (length * self.decay))).clamp(lo, hi)
            } else {
                x.clone()
            };
            let at = self.look(model, &ahead, goal, &draws.index(step as u64))?;
            // What was seen of a resized image, or of one ahead, says nothing of this one.
            if self.keep == Keep::Best && self.diversity == 0.0 && !self.nesterov {
                Best::update(&mut best, Best::of(&x, &at.logits, at.loss, goal));
            }
            sum = sum * self.decay + scaled(&self.smoothed(at.g)?);
            let along = direction(self.norm, SPARSE, &sum, &x, bounds);
            x = self.threat().project(&(&x + &(along * length)), x0, bounds);
            x.check()?;
        }
        if self.keep == Keep::Best {
            Best::update(&mut best, Best::at(&x, &model.logits(&x)?, goal));
        }
        Ok(best.map_or(x, |best| best.x))
    }
}
