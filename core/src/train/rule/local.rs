//! What a client of a federation adds to its rule of training: a pull towards the weights that it was
//! sent, and logits shifted by how common each class is with it.
//!
//! Both go around any rule, as adversarial weight perturbation does, and are no rules of their own:
//! what they depend on, the weights of the server and the labels of the client, belongs to a round and
//! stands in no configuration.

use super::pass::{Batch, Pass, Step};
use super::{CheckedRule, Rule};
use crate::attack::{AttackConfig, Pgd, diverge};
use crate::loss::cross_entropy;
use crate::model::{Classifier, Network};
use crate::nn::Params;
use crate::rng::Rng;
use crate::{Result, Tensor};

/// The part of a training that is a client's in a round.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    /// mu of FedProx (Li et al. 2020, equation 2): `mu / 2 |w - w_t|^2` is added to the loss, where
    /// `w_t` are the weights that training starts from.
    pub(crate) proximal: f64,
    /// Share of each class in the client's data, all positive, whose logarithms are added to the
    /// logits (Chen et al. 2022, CalFAT, equations 8 and 9).
    pub(crate) priors: Option<Vec<f64>>,
    /// Shares of the whole training between which this part of it lies.
    pub(crate) span: [f64; 2],
}

impl Default for Local {
    fn default() -> Self {
        Local { proximal: 0.0, priors: None, span: [0.0, 1.0] }
    }
}

impl Local {
    /// Where in the whole training a share `progress` of this part is.
    pub(crate) fn progress(&self, progress: f64) -> f64 {
        let [start, end] = self.span;
        start + (end - start) * progress
    }

    /// What runs for `rule` with these additions.
    pub(crate) fn around(&self, rule: &Rule) -> Result<CheckedRule> {
        let mut step = rule.step()?;
        if let Some(priors) = &self.priors {
            let inner = match rule {
                Rule::Madry { attack: AttackConfig::Pgd(pgd) } => Some(pgd.clone()),
                _ => None,
            };
            let logs = priors.iter().map(|p| p.ln()).collect();
            step = Box::new(Calibrated { logs, shift: None, inner, rule: step });
        }
        if self.proximal > 0.0 {
            step = Box::new(Proximal { mu: self.proximal, anchor: Params::new(), rule: step });
        }
        Ok(CheckedRule { step })
    }
}

/// A rule whose losses grow with the distance from where it started.
struct Proximal {
    mu: f64,
    /// The weights at the start.
    anchor: Params,
    rule: Box<dyn Step>,
}

impl Step for Proximal {
    fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        self.rule.check_within(features, bounds)
    }

    fn prepare(&mut self, network: &Network) -> Result<()> {
        self.anchor = network.params().clone();
        self.rule.prepare(network)
    }

    fn inputs(&self, model: &dyn Classifier, batch: &Batch<'_>, rng: &Rng) -> Result<Tensor> {
        self.rule.inputs(model, batch, rng)
    }

    fn losses(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Tensor> {
        let moved = pass.params.zip_map(&self.anchor, |w, from| (w - from).square().sum_all())?;
        let mut sum: Option<Tensor> = None;
        for square in moved.values() {
            sum = Some(sum.map_or(square.clone(), |sum| sum + square.clone()));
        }
        let losses = self.rule.losses(pass, batch, made)?;
        Ok(sum.map_or(losses.clone(), |sum| losses + sum * (self.mu / 2.0)))
    }

    fn coupling(&self) -> Option<&'static str> {
        self.rule.coupling()
    }

    fn outside(&self) -> Option<&'static str> {
        self.rule.outside()
    }

    fn free(&self) -> Option<super::Free> {
        self.rule.free()
    }
}

/// A rule that sees the logits of a model with the logarithms of class shares added to them.
///
/// Around Madry's rule with PGD the inner maximum is that of the calibrated divergence, as in the
/// paper; around others it is what theirs is, at the shifted logits.
struct Calibrated {
    /// Logarithms of the shares.
    logs: Vec<f64>,
    /// The same as a tensor `[1, classes]`, once the network is known.
    shift: Option<Tensor>,
    /// The steps of the calibrated divergence, for Madry's rule.
    inner: Option<Pgd>,
    rule: Box<dyn Step>,
}

impl Step for Calibrated {
    fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        self.rule.check_within(features, bounds)
    }

    fn prepare(&mut self, network: &Network) -> Result<()> {
        let shape = [1, self.logs.len()];
        let shift = Tensor::from_f64(network.device(), network.dtype(), &self.logs, &shape)?;
        self.shift = Some(shift);
        self.rule.prepare(network)
    }

    fn inputs(&self, model: &dyn Classifier, batch: &Batch<'_>, rng: &Rng) -> Result<Tensor> {
        let shifted = Shifted { model, shift: self.shift.as_ref() };
        match &self.inner {
            Some(pgd) => diverge(pgd, &shifted, batch.x, &batch.draws(rng, "attack")),
            None => self.rule.inputs(&shifted, batch, rng),
        }
    }

    fn losses(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Tensor> {
        let mut pass = pass.shifted(self.shift.as_ref());
        match &self.inner {
            Some(_) => Ok(cross_entropy(&pass.logits(made)?, batch.y)),
            None => self.rule.losses(&mut pass, batch, made),
        }
    }

    fn coupling(&self) -> Option<&'static str> {
        let why =
            "the shares of the classes in a client's data are part of the loss of each sample";
        Some(self.rule.coupling().unwrap_or(why))
    }

    fn outside(&self) -> Option<&'static str> {
        self.rule.outside()
    }

    fn free(&self) -> Option<super::Free> {
        self.rule.free()
    }
}

/// A model whose logits are shifted.
struct Shifted<'a> {
    model: &'a dyn Classifier,
    shift: Option<&'a Tensor>,
}

impl Classifier for Shifted<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let logits = self.model.logits(x)?;
        Ok(self.shift.map_or(logits.clone(), |shift| logits + shift.clone()))
    }

    fn bounds(&self) -> [f64; 2] {
        self.model.bounds()
    }

    fn classes(&self) -> usize {
        self.model.classes()
    }
}
