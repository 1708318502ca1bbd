//! Differentially private training: a whole step, and its aggregation by itself.
//!
//! The aggregation is of the operations that tensors have: gradients per sample (`[N, P]`) are
//! clipped to a norm of at most C and summed, and Gaussian noise is added. There the gradients are
//! given, and so is the noise: what is timed is clipping, summing, and getting the noise to the
//! device, not drawing it. A step draws its noise, each tool with its own generator.

use inocula_core::dp::ghost::PerSample;
use inocula_core::dp::mechanism::Mechanism;
use inocula_core::loss::cross_entropy;
use inocula_core::nn::{Mode, Params};
use inocula_core::optim::{Optimizer, OptimizerConfig, Sgd};
use inocula_core::rng::Rng;
use inocula_core::{Result, Tensor};

use crate::row::{Context, Output, Row, Tolerance, Work, formula};
use crate::scale::{CLIP, LR, NOISE, Scale};
use crate::subject::{Net, Subject};

const SUITE: &str = "dp";

pub(crate) const ROWS: &[Row] = &[
    Row {
        suite: SUITE,
        name: "clip and sum",
        flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| {
            let grads = c.get("dp.grads")?;
            Ok(formula(&c.device, move || clipped_sum(&grads)))
        },
    },
    Row {
        suite: SUITE,
        name: "clip, sum, add noise",
        flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| Ok(Box::new(Noisy::new(c)?)),
    },
    Row {
        suite: SUITE,
        name: "madry dp-sgd step",
        flops: |s| Net::Madry.training_flops(s.private_batch),
        tolerance: Tolerance::CHAINS,
        prepare: |c| Ok(Box::new(PrivateStep::new(c)?)),
    },
];

/// Squares and their sum, products with the factors and their sum.
fn flops(s: &Scale) -> f64 {
    4.0 * (s.per_sample[0] * s.per_sample[1]) as f64
}

/// `sum_n g_n min(1, C / |g_n|)`, `[P]`: the factors as a row, times the matrix.
fn clipped_sum(grads: &Tensor) -> Tensor {
    let norms = grads.square().sum_per_sample().sqrt();
    let factors =
        (norms.fill(CLIP) / norms.maximum(&norms.scalar(1e-12))).minimum(&norms.scalar(1.0));
    factors.reshape(&[1, grads.dim(0)]).matmul(grads).reshape(&[grads.dim(1)])
}

struct Noisy {
    grads: Tensor,
    noise: Vec<f32>,
}

impl Noisy {
    fn new(c: &Context) -> Result<Self> {
        Ok(Noisy { grads: c.get("dp.grads")?, noise: c.get("dp.noise")?.to_vec()? })
    }

    fn sum(&self) -> Result<Tensor> {
        let noise = Tensor::from_slice(self.grads.device(), &self.noise, &[self.noise.len()])?;
        Ok(clipped_sum(&self.grads) + noise)
    }
}

impl Work for Noisy {
    fn run(&mut self) -> Result<()> {
        self.sum()?.check()?;
        self.grads.device().sync()
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        Ok(vec![Output::new("sum", &self.sum()?)?])
    }
}

/// DP-SGD: forward, gradients per sample, clipped sum, noise, a step of SGD.
struct PrivateStep {
    subject: Subject,
    start: Params,
    optimizer: Optimizer,
    mechanism: Mechanism,
    step: u64,
}

impl PrivateStep {
    fn new(c: &Context) -> Result<Self> {
        let batch = c.scale.private_batch;
        let subject = Subject::new(c, Net::Madry, batch)?;
        let start = subject.network.params().clone();
        let mechanism =
            Mechanism { bound: CLIP, noise_multiplier: NOISE, expected_batch: batch as f64 };
        let optimizer =
            OptimizerConfig::Sgd(Sgd { lr: LR, momentum: 0.0, weight_decay: 0.0 }).check()?;
        Ok(PrivateStep { subject, start, optimizer, mechanism, step: 0 })
    }

    /// The losses, and their gradients as far as clipping needs them.
    fn gradients(&self) -> Result<(Tensor, PerSample)> {
        let Subject { network, x, y } = &self.subject;
        let params = network.params().tracked();
        let mut dropout = Rng::new(4);
        let logits = network.forward(&params, x, &mut Mode::Train(&mut dropout))?;
        let losses = cross_entropy(&logits, y);
        let each = PerSample::of(&losses, &params.values())?;
        Ok((losses.detach(), each))
    }
}

impl Work for PrivateStep {
    fn run(&mut self) -> Result<()> {
        let (losses, each) = self.gradients()?;
        let grads = self.mechanism.mean(&each, &Rng::new(5).index(self.step))?;
        self.step += 1;
        let network = &mut self.subject.network;
        let next = self.optimizer.step(network.params().clone(), grads, 1.0)?;
        network.set_params(next);
        losses.mean_all().item()?;
        self.subject.network.device().sync()
    }

    fn reset(&mut self) -> Result<()> {
        self.subject.network.set_params(self.start.clone());
        Ok(())
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        let (losses, each) = self.gradients()?;
        let quiet = Mechanism { noise_multiplier: 0.0, ..self.mechanism };
        let grads = quiet.mean(&each, &Rng::new(5))?;
        let mut outputs = vec![Output::scalar("loss", losses.mean_all().item()?)];
        for ((name, _), grad) in self.start.iter().zip(&grads) {
            outputs.push(Output::new(name, grad)?);
        }
        Ok(outputs)
    }
}
