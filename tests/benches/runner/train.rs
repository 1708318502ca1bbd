//! Training steps: forward, gradient of the mean loss, Adam; with or without an attack before.
//!
//! Every round starts from the same weights: a network that has learnt its one batch by heart has
//! gradients so small that arithmetic on them is slower than on any real ones.

use inocula_core::attack::{Attack, AttackConfig, Norm, Pgd};
use inocula_core::grad::grad;
use inocula_core::loss::cross_entropy;
use inocula_core::nn::{Mode, Params};
use inocula_core::optim::{Adam, Optimizer, OptimizerConfig};
use inocula_core::rng::Rng;
use inocula_core::{Result, Tensor};

use crate::row::{Context, Output, Row, Tolerance, Work};
use crate::scale::{CHECKED_STEPS, EPS, INNER_STEP, LR};
use crate::subject::{Net, Subject};

const SUITE: &str = "train";

pub(crate) const ROWS: &[Row] = &[
    Row {
        suite: SUITE,
        name: "madry step",
        flops: |s| Net::Madry.training_flops(s.batch),
        tolerance: Tolerance::CHAINS,
        prepare: |c| Ok(Box::new(Step::standard(c, Net::Madry, c.scale.batch)?)),
    },
    Row {
        suite: SUITE,
        name: "madry pgd-7 step",
        flops: |s| {
            Net::Madry.attack_flops(s.batch, s.inner_steps) + Net::Madry.training_flops(s.batch)
        },
        tolerance: Tolerance::SIGNS,
        prepare: |c| Ok(Box::new(Step::adversarial(c)?)),
    },
    Row {
        suite: SUITE,
        name: "mlp step, batch 1",
        flops: |_| Net::Mlp.training_flops(1),
        tolerance: Tolerance::CHAINS,
        prepare: |c| Ok(Box::new(Step::standard(c, Net::Mlp, 1)?)),
    },
    Row {
        suite: SUITE,
        name: "mlp step, batch 32",
        flops: |_| Net::Mlp.training_flops(32),
        tolerance: Tolerance::CHAINS,
        prepare: |c| Ok(Box::new(Step::standard(c, Net::Mlp, 32)?)),
    },
];

/// Name of the batch that is given, and of what the attack makes.
pub(crate) const ADVERSARIAL: &str = "adversarial";

/// The inner attack as far as it is compared: the given batch is made with it.
pub(crate) fn short_inner() -> Pgd {
    Pgd::classic(Norm::Linf, EPS, INNER_STEP, CHECKED_STEPS)
}

/// A network in training.
struct Step {
    subject: Subject,
    start: Params,
    optimizer: Optimizer,
    inner: Option<Inner>,
}

/// The attack that makes the inputs of a step. Two backends may follow different signs of gradients
/// that are next to nothing, and the gradients of two batches differ by more than rounding: so what
/// is compared is the attack by itself, and the step on a batch that all are given.
struct Inner {
    timed: Box<dyn Attack>,
    compared: Box<dyn Attack>,
    given: Tensor,
}

impl Step {
    fn new(c: &Context, net: Net, batch: usize, inner: Option<Inner>) -> Result<Self> {
        let subject = Subject::new(c, net, batch)?;
        let start = subject.network.params().clone();
        Ok(Step { subject, start, optimizer: adam()?, inner })
    }

    fn standard(c: &Context, net: Net, batch: usize) -> Result<Self> {
        Step::new(c, net, batch, None)
    }

    /// The min-max problem of Madry et al. 2018: the whole batch is replaced.
    fn adversarial(c: &Context) -> Result<Self> {
        let short = short_inner();
        let timed = Pgd { steps: c.scale.inner_steps, random_start: true, ..short.clone() };
        let inner = Inner {
            timed: AttackConfig::Pgd(timed).check()?,
            compared: AttackConfig::Pgd(short).check()?,
            given: c.get(&Net::Madry.array(ADVERSARIAL))?,
        };
        Step::new(c, Net::Madry, c.scale.batch, Some(inner))
    }

    /// Mean loss on `x`, and its gradient in each parameter.
    fn loss(&self, x: &Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let Subject { network, y, .. } = &self.subject;
        let params = network.params().tracked();
        let mut dropout = Rng::new(4);
        let logits = network.forward(&params, x, &mut Mode::Train(&mut dropout))?;
        let loss = cross_entropy(&logits, y).mean_all();
        let grads = grad(&loss, &params.values())?;
        Ok((loss.detach(), grads))
    }

    fn update(&mut self, grads: Vec<Tensor>) -> Result<()> {
        let network = &mut self.subject.network;
        let next = self.optimizer.step(network.params().clone(), grads, 1.0)?;
        network.set_params(next);
        Ok(())
    }
}

pub(crate) fn adam() -> Result<Optimizer> {
    OptimizerConfig::Adam(Adam { lr: LR, ..Adam::default() }).check()
}

impl Work for Step {
    fn run(&mut self) -> Result<()> {
        let x = match &self.inner {
            None => self.subject.x.clone(),
            Some(inner) => self.subject.attack(&*inner.timed)?,
        };
        let (loss, grads) = self.loss(&x)?;
        self.update(grads)?;
        // A loop of training reads the loss, and so waits for the step.
        loss.item()?;
        self.subject.network.device().sync()
    }

    fn reset(&mut self) -> Result<()> {
        self.subject.network.set_params(self.start.clone());
        self.optimizer = adam()?;
        Ok(())
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        let mut outputs = Vec::new();
        let x = match &self.inner {
            None => self.subject.x.clone(),
            Some(inner) => {
                let found = self.subject.attack(&*inner.compared)?;
                outputs.push(Output::new(ADVERSARIAL, &found)?);
                inner.given.clone()
            }
        };
        let (loss, grads) = self.loss(&x)?;
        outputs.push(Output::new("loss", &loss)?);
        for ((name, _), grad) in self.start.iter().zip(&grads) {
            outputs.push(Output::new(name, grad)?);
        }
        // The first step of Adam is the sign of the gradient, so the weights after it say little
        // where a gradient is next to nothing; what they achieve does.
        self.update(grads)?;
        outputs.push(Output::scalar("loss after", self.loss(&x)?.0.item()?));
        Ok(outputs)
    }
}
