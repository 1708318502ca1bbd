//! A step of TRADES: the inner maximum of the divergence, two forward passes, the gradient, Adam.
//!
//! The loss is compared on points that all are given, as for every step after an attack.

use inocula_core::attack::{AttackConfig, Norm, Pgd};
use inocula_core::grad::grad;
use inocula_core::loss::{cross_entropy, kl_divergence};
use inocula_core::nn::{Mode, Params};
use inocula_core::optim::Optimizer;
use inocula_core::rng::Rng;
use inocula_core::train::{Batch, CheckedRule, Rule};
use inocula_core::{Result, Tensor};

use crate::row::{Context, Output, Row, Tolerance, Work};
use crate::scale::{BETA, EPS, INNER_STEP};
use crate::subject::{Net, Subject};
use crate::train::{ADVERSARIAL, adam};

pub(crate) const ROWS: &[Row] = &[Row {
    suite: "train",
    name: "madry trades step",
    // The inner steps, a forward pass for the clean prediction, and two passes with gradients.
    flops: |s| {
        let net = Net::Madry;
        net.attack_flops(s.batch, s.inner_steps)
            + net.forward_flops(s.batch)
            + 2.0 * net.training_flops(s.batch)
    },
    tolerance: Tolerance::CHAINS,
    prepare: |c| Ok(Box::new(Step::new(c)?)),
}];

struct Step {
    subject: Subject,
    start: Params,
    optimizer: Optimizer,
    rule: CheckedRule,
    given: Tensor,
}

impl Step {
    fn new(c: &Context) -> Result<Self> {
        let subject = Subject::new(c, Net::Madry, c.scale.batch)?;
        let inner = Pgd::classic(Norm::Linf, EPS, INNER_STEP, c.scale.inner_steps);
        let rule = Rule::Trades { beta: BETA, attack: AttackConfig::Pgd(inner) };
        Ok(Step {
            start: subject.network.params().clone(),
            subject,
            optimizer: adam()?,
            rule: rule.check()?,
            given: c.get(&Net::Madry.array(ADVERSARIAL))?,
        })
    }

    fn update(&mut self, params: &Params, losses: &Tensor) -> Result<Vec<Tensor>> {
        let grads = grad(&losses.mean_all(), &params.values())?;
        let network = &mut self.subject.network;
        let next = self.optimizer.step(network.params().clone(), grads.clone(), 1.0)?;
        network.set_params(next);
        Ok(grads)
    }
}

impl Work for Step {
    fn run(&mut self) -> Result<()> {
        let Subject { network, x, y } = &self.subject;
        let ids: Vec<usize> = (0..x.dim(0)).collect();
        let params = network.params().tracked();
        let batch = Batch { x, y, ids: &ids, step: 0, progress: 0.0 };
        let losses = self.rule.losses(network, &params, &batch, &mut Rng::new(4), &Rng::new(2))?;
        self.update(&params, &losses)?;
        losses.mean_all().item()?;
        self.subject.network.device().sync()
    }

    fn reset(&mut self) -> Result<()> {
        self.subject.network.set_params(self.start.clone());
        self.optimizer = adam()?;
        Ok(())
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        let Subject { network, x, y } = &self.subject;
        let params = network.params().tracked();
        let clean = network.forward(&params, x, &mut Mode::Eval)?;
        let moved = network.forward(&params, &self.given, &mut Mode::Eval)?;
        let losses = cross_entropy(&clean, y) + kl_divergence(&clean, &moved) * BETA;
        let mut outputs = vec![Output::scalar("loss", losses.mean_all().item()?)];
        let grads = self.update(&params, &losses)?;
        for ((name, _), grad) in self.start.iter().zip(&grads) {
            outputs.push(Output::new(name, grad)?);
        }
        Ok(outputs)
    }
}
