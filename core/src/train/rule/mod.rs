//! What a training step does with its batch: it gives each sample a loss.
//!
//! A rule is data ([`Rule`]), and what runs is made from it once its constants have been checked
//! ([`CheckedRule`]). It gives losses and not gradients, because what is done with the losses is the
//! loop's choice: the mean of their gradients, or each gradient clipped by itself. One rule is one
//! file here, with its paper; [`RULES`] lists them.

mod awp;
mod certified;
mod ensemble;
mod fast;
mod free;
mod local;
mod mart;
mod noise;
mod pass;
mod replacing;
mod single;
mod table;
mod trades;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(super) use free::Carried;
use free::Free;
pub(crate) use local::Local;
pub use pass::Batch;
use pass::{Pass, Step};
pub use table::{RULES, RuleEntry};

use crate::attack::AttackConfig;
use crate::model::{Classifier, Network};
use crate::nn::Params;
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
    /// A boosted loss of the adversarial sample, and the divergence that TRADES has, weighted by how
    /// unsure the model is of the clean one (Wang et al. 2020, equation 11):
    /// `BCE(f(x'), y) + beta KL(f(x) || f(x')) (1 - f_y(x))`.
    Mart {
        /// Weight of the divergence: 5 and 6 in the paper.
        beta: f64,
        /// The inner attack, usually PGD.
        attack: AttackConfig,
    },
    /// One gradient step in Linf from a random point of the ball (Wong et al. 2020), and, with
    /// `grad_align`, a penalty on gradients that turn within the ball (Andriushchenko and Flammarion
    /// 2020).
    Fast {
        /// Radius in Linf.
        eps: f64,
        /// Length of the step; `1.25 eps` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<f64>,
        /// Weight of `1 - cos` between the input's gradients at the sample and at a random point of
        /// its ball; costs second derivatives. 0 for none.
        #[serde(default)]
        grad_align: f64,
    },
    /// Each batch several times over, the gradient of one backward pass serving both the weights and
    /// a perturbation in Linf, which the next replay and the next batch start from (Shafahi et al.
    /// 2019, algorithm 1). An epoch has `replays` times the steps; divide the epochs for equal cost.
    Free {
        /// Radius in Linf, and length of the perturbation's steps.
        eps: f64,
        /// Steps on each batch, `m` in the paper.
        replays: usize,
    },
    /// The cross-entropy at the worst logits that bounds over the Linf ball allow, mixed with the
    /// clean one, while the ball grows (Gowal et al. 2018; with `crown`, Zhang et al. 2020).
    Certified {
        /// Radius in Linf that the ball grows to.
        eps: f64,
        /// Weight of the clean loss at the end; it begins with 1.
        #[serde(default)]
        clean: f64,
        /// Whether linear bounds are mixed in while the ball grows.
        #[serde(default)]
        crown: bool,
        /// Shares of the training between which the ball grows.
        #[serde(default = "ramp")]
        ramp: [f64; 2],
    },
    /// The data under Gaussian noise, drawn anew in every step: training for the certificate of
    /// randomised smoothing (Lecuyer et al. 2019; Cohen, Rosenfeld and Kolter 2019, section 3.3).
    Noise {
        /// Standard deviation of the noise in each value, that of the certificate.
        sigma: f64,
    },
    /// Half of the loss on the clean sample and half on one that was made on another model or on
    /// this one, the models taking turns (Tramer et al. 2018, section 3.3).
    Ensemble {
        /// Run folders of models for the same kind of samples, which stay as they are.
        models: Vec<PathBuf>,
        /// The attack on them, FGSM in the paper.
        attack: AttackConfig,
    },
    /// Another rule, its losses taken at weights that were moved to increase them (Wu et al. 2020,
    /// adversarial weight perturbation, algorithm 1 in one step).
    Awp {
        /// How far each weight matrix moves, relative to its length: 0.01 with Madry's rule and 0.005
        /// with TRADES in the paper.
        gamma: f64,
        /// The rule.
        rule: Box<Rule>,
    },
}

/// Where the ball of [`Rule::Certified`] grows unless it is told: after a tenth of the training without
/// bounds, leaving two fifths with those of the whole ball.
pub const RAMP: [f64; 2] = [0.1, 0.6];

fn ramp() -> [f64; 2] {
    RAMP
}

impl Rule {
    /// Name in configurations, as in [`RULES`].
    pub fn name(&self) -> &'static str {
        match self {
            Rule::Standard {} => "standard",
            Rule::Mixed { .. } => "mixed",
            Rule::Madry { .. } => "madry",
            Rule::Trades { .. } => "trades",
            Rule::Mart { .. } => "mart",
            Rule::Fast { .. } => "fast",
            Rule::Free { .. } => "free",
            Rule::Certified { .. } => "certified",
            Rule::Noise { .. } => "noise",
            Rule::Ensemble { .. } => "ensemble",
            Rule::Awp { .. } => "awp",
        }
    }

    /// One line for tables: `mixed, ratio 0.5 (fgsm)`.
    pub fn describe(&self) -> String {
        match self {
            Rule::Standard {} => "standard".into(),
            Rule::Mixed { ratio, attacks } => {
                let names: Vec<&str> = attacks.iter().map(AttackConfig::name).collect();
                format!("mixed, ratio {ratio} ({})", names.join(", "))
            }
            Rule::Madry { attack } => format!("min-max ({})", attack.name()),
            Rule::Trades { beta, .. } => format!("TRADES, beta {beta}"),
            Rule::Mart { beta, .. } => format!("MART, beta {beta}"),
            Rule::Fast { grad_align: 0.0, .. } => "fast".into(),
            Rule::Fast { grad_align, .. } => format!("fast, GradAlign {grad_align}"),
            Rule::Free { replays, .. } => format!("free, {replays} replays"),
            Rule::Certified { crown: false, .. } => "interval bounds".into(),
            Rule::Certified { crown: true, .. } => "CROWN-IBP".into(),
            Rule::Noise { sigma } => format!("Gaussian noise, sigma {sigma}"),
            Rule::Ensemble { models, attack } => {
                format!("ensemble with {} models ({})", models.len(), attack.name())
            }
            Rule::Awp { gamma, rule } => format!("{}, AWP {gamma}", rule.describe()),
        }
    }

    /// The attacks that the rule trains on.
    pub fn attacks(&self) -> &[AttackConfig] {
        match self {
            Rule::Standard {}
            | Rule::Fast { .. }
            | Rule::Free { .. }
            | Rule::Certified { .. }
            | Rule::Noise { .. } => &[],
            Rule::Mixed { attacks, .. } => attacks,
            Rule::Madry { attack }
            | Rule::Trades { attack, .. }
            | Rule::Mart { attack, .. }
            | Rule::Ensemble { attack, .. } => std::slice::from_ref(attack),
            Rule::Awp { rule, .. } => rule.attacks(),
        }
    }

    /// Checks all constants, and makes what runs.
    ///
    /// # Errors
    /// Names the constant that is out of range.
    pub fn check(&self) -> Result<CheckedRule> {
        Ok(CheckedRule { step: self.step()? })
    }

    fn step(&self) -> Result<Box<dyn Step>> {
        Ok(match self {
            Rule::Standard {} => Box::new(replacing::Replacing::none()),
            Rule::Mixed { ratio, attacks } => Box::new(replacing::Replacing::new(*ratio, attacks)?),
            Rule::Madry { attack } => {
                Box::new(replacing::Replacing::new(1.0, std::slice::from_ref(attack))?)
            }
            Rule::Trades { beta, attack } => Box::new(trades::Trades::new(*beta, attack)?),
            Rule::Mart { beta, attack } => Box::new(mart::Mart::new(*beta, attack)?),
            Rule::Fast { eps, step, grad_align } => {
                Box::new(fast::Fast::new(*eps, *step, *grad_align)?)
            }
            Rule::Free { eps, replays } => Box::new(free::Free::new(*eps, *replays)?),
            Rule::Certified { eps, clean, crown, ramp } => {
                Box::new(certified::Certified::new(*eps, *clean, *crown, *ramp)?)
            }
            Rule::Noise { sigma } => Box::new(noise::Noise::new(*sigma)?),
            Rule::Ensemble { models, attack } => Box::new(ensemble::Ensemble::new(models, attack)?),
            Rule::Awp { gamma, rule } => match &**rule {
                Rule::Awp { .. } | Rule::Free { .. } => {
                    bail!(Config, "rule: awp does not go around {}; choose another", rule.name())
                }
                rule => Box::new(awp::Awp::new(*gamma, rule.step()?)?),
            },
        })
    }
}

/// A rule ready to run.
pub struct CheckedRule {
    step: Box<dyn Step>,
}

impl CheckedRule {
    /// Checks the budgets against the box of the network's inputs, and gets what else the rule needs
    /// for such a network.
    ///
    /// # Errors
    /// A budget exceeds the box, or another model of the rule cannot be read or is for other samples.
    pub fn prepare(&mut self, network: &Network) -> Result<()> {
        let spec = network.spec();
        self.step.check_within(spec.input.iter().product(), spec.bounds)?;
        self.step.prepare(network)
    }

    /// Why the loss of a sample depends on other samples as well, so that clipping its gradient does
    /// not bound what one sample can do; `None` where it does not.
    pub fn coupling(&self) -> Option<&'static str> {
        self.step.coupling()
    }

    /// What the rule uses besides the batch and the network, where what training tells of a sample
    /// depends on it; `None` for most.
    pub fn outside(&self) -> Option<&'static str> {
        self.step.outside()
    }

    /// The loss of each sample, `[N]`, differentiable in `params`, which must be tracked, and (see
    /// [`CheckedRule::coupling`]) dependent on that sample alone, dropout aside. `network` holds the
    /// same weights, for the attacks, which see it in evaluation mode.
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
        let made = self.inputs(network, batch, rng)?;
        self.losses_at(&made, network, params, batch, dropout, rng)
    }

    /// As [`CheckedRule::losses`], with the inputs that [`CheckedRule::inputs`] would make at hand.
    ///
    /// # Errors
    /// The device failed.
    pub fn losses_at(
        &self,
        made: &Tensor,
        network: &Network,
        params: &Params,
        batch: &Batch<'_>,
        dropout: &mut Rng,
        rng: &Rng,
    ) -> Result<Tensor> {
        self.step.losses(&mut Pass { network, params, shift: None, dropout, rng }, batch, made)
    }

    /// The inputs of a step that attacks have made, others as they are. The attack sees the model in
    /// evaluation mode.
    ///
    /// # Errors
    /// An attack failed.
    pub fn inputs(&self, model: &dyn Classifier, batch: &Batch<'_>, rng: &Rng) -> Result<Tensor> {
        self.step.inputs(model, batch, rng)
    }

    /// Optimiser steps on each batch.
    pub fn replays(&self) -> usize {
        self.step.free().map_or(1, |free| free.replays())
    }

    /// The perturbation that the rule carries from step to step, if it does.
    pub(super) fn carried(&self) -> Option<Carried> {
        self.step.free().map(Carried::new)
    }
}
