//! Optimisers: SGD with momentum, Adam, RMSProp.
//!
//! The configuration is data ([`OptimizerConfig`]); the state ([`Optimizer`]) is made from it once
//! it has been checked. Updates follow PyTorch's definitions, so that learning rates carry over.

use serde::{Deserialize, Serialize};

use crate::nn::Params;
use crate::op::{Fused, Op};
use crate::{Result, Tensor, bail};

/// Which optimiser, with its constants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OptimizerConfig {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam (Kingma and Ba 2015, algorithm 1).
    Adam(Adam),
    /// RMSProp (Hinton 2012, lecture 6e).
    #[serde(rename = "rmsprop")]
    RmsProp(RmsProp),
}

/// `v = momentum v + g; p -= lr v`, with `g + weight_decay p` for `g`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Share of the last step that is repeated.
    #[serde(default)]
    pub momentum: f64,
    /// L2 penalty, added to the gradient.
    #[serde(default)]
    pub weight_decay: f64,
}

/// Constants of Adam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// `s = alpha s + (1 - alpha) g^2; p -= lr g / (sqrt(s) + eps)`, with momentum on the quotient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsProp {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean square.
    pub alpha: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Share of the last step that is repeated.
    pub momentum: f64,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        RmsProp { lr: 1e-2, alpha: 0.99, eps: 1e-8, momentum: 0.0, weight_decay: 0.0 }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        OptimizerConfig::Adam(Adam::default())
    }
}

impl OptimizerConfig {
    /// The optimiser of this name (`sgd`, `momentum`, `adam`, `rmsprop`) with learning rate `lr`.
    ///
    /// # Errors
    /// No optimiser has the name.
    pub fn named(name: &str, lr: Option<f64>) -> Result<Self> {
        Ok(match name {
            "sgd" | "momentum" => OptimizerConfig::Sgd(Sgd {
                lr: lr.unwrap_or(0.1),
                momentum: if name == "momentum" { 0.9 } else { 0.0 },
                weight_decay: 0.0,
            }),
            "adam" => {
                let default = Adam::default();
                OptimizerConfig::Adam(Adam { lr: lr.unwrap_or(default.lr), ..default })
            }
            "rmsprop" => {
                let default = RmsProp::default();
                OptimizerConfig::RmsProp(RmsProp { lr: lr.unwrap_or(default.lr), ..default })
            }
            _ => bail!(Config, "optimizer: {name:?} is not one of sgd, momentum, adam, rmsprop"),
        })
    }

    /// Name in configurations. Momentum is SGD's.
    pub fn name(&self) -> &'static str {
        match self {
            OptimizerConfig::Sgd(_) => "sgd",
            OptimizerConfig::Adam(_) => "adam",
            OptimizerConfig::RmsProp(_) => "rmsprop",
        }
    }

    /// Replaces the learning rate.
    pub fn set_lr(&mut self, lr: f64) {
        match self {
            OptimizerConfig::Sgd(c) => c.lr = lr,
            OptimizerConfig::Adam(c) => c.lr = lr,
            OptimizerConfig::RmsProp(c) => c.lr = lr,
        }
    }

    /// Makes the optimiser.
    ///
    /// # Errors
    /// A constant is out of range; the message names it.
    pub fn check(&self) -> Result<Optimizer> {
        let (lr, decay) = match self {
            OptimizerConfig::Sgd(c) => {
                share("momentum", c.momentum)?;
                (c.lr, c.weight_decay)
            }
            OptimizerConfig::Adam(c) => {
                share("beta1", c.beta1)?;
                share("beta2", c.beta2)?;
                not_negative("eps", c.eps)?;
                (c.lr, c.weight_decay)
            }
            OptimizerConfig::RmsProp(c) => {
                share("alpha", c.alpha)?;
                share("momentum", c.momentum)?;
                not_negative("eps", c.eps)?;
                (c.lr, c.weight_decay)
            }
        };
        if !(lr > 0.0 && lr.is_finite()) {
            bail!(Config, "optimizer: lr = {lr} must be positive");
        }
        not_negative("weight_decay", decay)?;
        Ok(Optimizer { config: self.clone(), step: 0, state: Vec::new() })
    }
}

fn share(name: &str, value: f64) -> Result<()> {
    if !(0.0..1.0).contains(&value) {
        bail!(Config, "optimizer: {name} = {value} must be in [0, 1)");
    }
    Ok(())
}

fn not_negative(name: &str, value: f64) -> Result<()> {
    if !(value >= 0.0 && value.is_finite()) {
        bail!(Config, "optimizer: {name} = {value} must not be negative");
    }
    Ok(())
}

/// An optimiser with its state.
#[derive(Debug, Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    step: i32,
    /// Per parameter: momentum; Adam's two moments; RMSProp's mean square and momentum.
    state: Vec<Vec<Tensor>>,
}

impl Optimizer {
    /// The parameters after one step along `grads`, with the learning rate scaled by `lr_scale`.
    ///
    /// # Errors
    /// `grads` are not shaped like `params`.
    pub fn step(&mut self, params: Params, grads: Vec<Tensor>, lr_scale: f64) -> Result<Params> {
        if grads.len() != params.len() {
            bail!(Usage, "optimizer: {} gradients for {} parameters", grads.len(), params.len());
        }
        for ((name, p), g) in params.iter().zip(&grads) {
            if g.check()?.aval() != p.aval() {
                bail!(Shape, "optimizer: gradient {} for {name} of {}", g.aval(), p.aval());
            }
        }
        self.step += 1;
        if self.state.is_empty() {
            let slots = self.slots();
            self.state = params.iter().map(|(_, p)| vec![p.fill(0.0); slots]).collect();
        }
        let mut values = Vec::with_capacity(grads.len());
        for (i, (g, (_, p))) in grads.into_iter().zip(params.iter()).enumerate() {
            let state = std::mem::take(&mut self.state[i]);
            let (p, state) = self.update(p.clone(), g, state, lr_scale);
            // Both carry their error, if there is one, so a later step meets it again.
            self.state[i] = state;
            values.push(p);
        }
        for value in &values {
            value.check()?;
        }
        params.with_values(values)
    }

    /// What it remembers of its steps: a set shaped like the parameters for each moment.
    pub(crate) fn moments(&self, params: &Params) -> Result<Vec<Params>> {
        let slots = if self.state.is_empty() { 0 } else { self.slots() };
        let slot = |i: usize| self.state.iter().map(|of| of[i].clone()).collect();
        (0..slots).map(|i| params.with_values(slot(i))).collect()
    }

    /// Number of sets that [`Optimizer::moments`] has after a step.
    pub(crate) fn slots(&self) -> usize {
        match &self.config {
            OptimizerConfig::Sgd(c) => usize::from(c.momentum > 0.0),
            OptimizerConfig::Adam(_) => 2,
            OptimizerConfig::RmsProp(c) => 1 + usize::from(c.momentum > 0.0),
        }
    }

    /// Takes up after `step` steps that left `moments`.
    pub(crate) fn restore(&mut self, step: usize, moments: &[Params]) -> Result<()> {
        let Ok(step) = i32::try_from(step) else {
            bail!(Data, "optimizer: {step} steps are more than it can count");
        };
        self.step = step;
        let count = moments.first().map_or(0, Params::len);
        let of = |i: usize| moments.iter().map(|m| m.values()[i].clone()).collect();
        self.state = (0..count).map(of).collect();
        Ok(())
    }

    fn update(
        &self,
        p: Tensor,
        g: Tensor,
        state: Vec<Tensor>,
        lr_scale: f64,
    ) -> (Tensor, Vec<Tensor>) {
        match &self.config {
            OptimizerConfig::Sgd(c) => sgd(c, p, g, state, lr_scale),
            OptimizerConfig::Adam(c) => self.adam(c, p, g, state, lr_scale),
            OptimizerConfig::RmsProp(c) => rmsprop(c, p, g, state, lr_scale),
        }
    }

    fn adam(
        &self,
        c: &Adam,
        p: Tensor,
        g: Tensor,
        state: Vec<Tensor>,
        lr_scale: f64,
    ) -> (Tensor, Vec<Tensor>) {
        let g = decayed(g, &p, c.weight_decay);
        let op = Fused::AdamStep {
            beta1: c.beta1,
            beta2: c.beta2,
            step: lr_scale * c.lr / (1.0 - c.beta1.powi(self.step)),
            scale: 1.0 / (1.0 - c.beta2.powi(self.step)).sqrt(),
            eps: c.eps,
        };
        let args = [p, g].into_iter().chain(state);
        let mut outs = Tensor::apply_all(Op::Fused(op), args).into_iter();
        let p = outs.next().unwrap_or_else(|| unreachable!("adam_step has three results"));
        (p, outs.collect())
    }
}

fn sgd(c: &Sgd, p: Tensor, g: Tensor, state: Vec<Tensor>, lr_scale: f64) -> (Tensor, Vec<Tensor>) {
    let g = decayed(g, &p, c.weight_decay);
    match state.into_iter().next() {
        None => (p - g * (c.lr * lr_scale), Vec::new()),
        Some(v) => {
            let v = v * c.momentum + g;
            (p - &v * (c.lr * lr_scale), vec![v])
        }
    }
}

fn rmsprop(
    c: &RmsProp,
    p: Tensor,
    g: Tensor,
    state: Vec<Tensor>,
    lr_scale: f64,
) -> (Tensor, Vec<Tensor>) {
    let g = decayed(g, &p, c.weight_decay);
    let mut state = state.into_iter();
    let square = state.next().unwrap_or_else(|| g.fill(0.0));
    let square = square * c.alpha + g.square() * (1.0 - c.alpha);
    let quotient = g / (square.sqrt() + c.eps);
    match state.next() {
        None => (p - quotient * (c.lr * lr_scale), vec![square]),
        Some(v) => {
            let v = v * c.momentum + quotient;
            (p - &v * (c.lr * lr_scale), vec![square, v])
        }
    }
}

fn decayed(g: Tensor, p: &Tensor, weight_decay: f64) -> Tensor {
    if weight_decay == 0.0 { g } else { g + p * weight_decay }
}
