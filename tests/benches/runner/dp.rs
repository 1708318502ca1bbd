//! Differentially private training: a whole step, and its aggregation by itself.
//!
//! The aggregation is of the operations that tensors have: gradients per sample (`[N, P]`) are
//! clipped to a norm of at most C and summed, and Gaussian noise is added. There the gradients are
//! given, and so is the noise: what is timed is clipping, summing, and getting the noise to the
//! device, not drawing it. A step draws its noise, each tool with its own generator.
//!
//! What privacy costs is told by the same step without it, and by the noise that training really
//! draws: a step of `inocula train` has a key of the operating system and four draws a value.

use inocula_core::dp::clip;
use inocula_core::dp::contributions::{Contributions, capacity, portion};
use inocula_core::dp::ghost::PerSample;
use inocula_core::dp::mechanism::Mechanism;
use inocula_core::dp::noise::Secret;
use inocula_core::grad::grad;
use inocula_core::loss::cross_entropy;
use inocula_core::model::Network;
use inocula_core::nn::{Mode, Params};
use inocula_core::optim::{Optimizer, OptimizerConfig, Sgd};
use inocula_core::rng::Rng;
use inocula_core::{Result, Tensor};

use crate::row::{Context, Output, Row, Tolerance, Work};
use crate::scale::{CLIP, LR, NOISE, Scale};
use crate::subject::{Net, Subject};

const SUITE: &str = "dp";

pub(crate) const ROWS: &[Row] = &[
    Row {
        suite: SUITE,
        name: "clip and sum",
        flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| Ok(Box::new(Aggregated { grads: c.get("dp.grads")?, noise: None })),
    },
    Row {
        suite: SUITE,
        name: "clip, sum, add noise",
        flops,
        tolerance: Tolerance::SUMS,
        prepare: |c| {
            let noise = Some(c.get("dp.noise")?.to_vec()?);
            Ok(Box::new(Aggregated { grads: c.get("dp.grads")?, noise }))
        },
    },
    Row {
        suite: SUITE,
        name: "madry dp-sgd step",
        flops: |s| Net::Madry.training_flops(s.private_batch),
        tolerance: Tolerance::CHAINS,
        prepare: |c| Ok(Box::new(Descent::new(c, Net::Madry, Privacy::Repeatable)?)),
    },
    Row {
        suite: SUITE,
        name: "madry sgd step, no privacy",
        flops: |s| Net::Madry.training_flops(s.private_batch),
        tolerance: Tolerance::CHAINS,
        prepare: |c| Ok(Box::new(Descent::new(c, Net::Madry, Privacy::None)?)),
    },
    Row {
        suite: SUITE,
        name: "madry dp-sgd step, safe noise",
        flops: |s| Net::Madry.training_flops(s.private_batch),
        tolerance: Tolerance::CHAINS,
        prepare: |c| Ok(Box::new(Descent::new(c, Net::Madry, secret()?)?)),
    },
    Row {
        suite: SUITE,
        name: "dp-cnn sgd step, no privacy",
        flops: |s| Net::DpCnn.training_flops(s.private_batch),
        tolerance: Tolerance::CHAINS,
        prepare: |c| Ok(Box::new(Descent::new(c, Net::DpCnn, Privacy::None)?)),
    },
    Row {
        suite: SUITE,
        name: "dp-cnn dp-sgd step, safe noise",
        flops: |s| Net::DpCnn.training_flops(s.private_batch),
        tolerance: Tolerance::CHAINS,
        prepare: |c| Ok(Box::new(Descent::new(c, Net::DpCnn, secret()?)?)),
    },
];

fn secret() -> Result<Privacy> {
    Secret::from_os().map(Privacy::Secret)
}

/// Squares and their sum, products with the factors and their sum.
fn flops(s: &Scale) -> f64 {
    4.0 * (s.per_sample[0] * s.per_sample[1]) as f64
}

/// `sum_n g_n min(1, C / |g_n|)`, `[P]`, with noise on it where there is some.
struct Aggregated {
    grads: Tensor,
    noise: Option<Vec<f32>>,
}

impl Aggregated {
    fn sum(&self) -> Result<Tensor> {
        let sum = clip::clipped_sum(std::slice::from_ref(&self.grads), CLIP)?.swap_remove(0);
        let Some(noise) = &self.noise else { return Ok(sum) };
        Ok(sum + Tensor::from_slice(self.grads.device(), noise, &[noise.len()])?)
    }
}

impl Work for Aggregated {
    fn run(&mut self) -> Result<()> {
        self.sum()?.check()?;
        self.grads.device().sync()
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        Ok(vec![Output::new("sum", &self.sum()?)?])
    }
}

/// How the gradients of a step are made private.
enum Privacy {
    /// Not at all: their mean.
    None,
    /// Clipped, with one normal draw a value from a seed.
    Repeatable,
    /// Clipped, with the noise of releases.
    Secret(Secret),
}

/// A step of SGD: forward, gradients, clipped and noised where it is private, and the update.
struct Descent {
    subject: Subject,
    start: Params,
    optimizer: Optimizer,
    mechanism: Mechanism,
    privacy: Privacy,
    /// Samples at a time, with the noise of releases.
    portion: usize,
    step: u64,
}

impl Descent {
    fn new(c: &Context, net: Net, privacy: Privacy) -> Result<Self> {
        let batch = c.scale.private_batch;
        let subject = Subject::new(c, net, batch)?;
        let start = subject.network.params().clone();
        let mechanism =
            Mechanism { bound: CLIP, noise_multiplier: NOISE, expected_batch: batch as f64 };
        let optimizer =
            OptimizerConfig::Sgd(Sgd { lr: LR, momentum: 0.0, weight_decay: 0.0 }).check()?;
        let portion = usual_portion(&subject)?;
        Ok(Descent { subject, start, optimizer, mechanism, privacy, portion, step: 0 })
    }

    /// The mean loss and the gradients of a step under `mechanism`.
    fn gradients(&self, mechanism: &Mechanism) -> Result<(Tensor, Vec<Tensor>)> {
        if let Privacy::Secret(secret) = &self.privacy {
            return self.released(mechanism, secret);
        }
        let Subject { network, x, y } = &self.subject;
        let params = network.params().tracked();
        let losses = losses(network, &params, x, y)?;
        let loss = losses.mean_all();
        let grads = match &self.privacy {
            Privacy::None => grad(&loss, &params.values())?,
            _ => {
                let each = PerSample::of(&losses, &params.values())?;
                mechanism.mean(&each, &Rng::new(5).index(self.step))?
            }
        };
        Ok((loss.detach(), grads))
    }

    /// The same as training does it, portion by portion.
    fn released(&self, mechanism: &Mechanism, secret: &Secret) -> Result<(Tensor, Vec<Tensor>)> {
        let Subject { network, x, y } = &self.subject;
        let mut contributions = Contributions::default();
        let mut total = x.scalar(0.0);
        let samples = x.dim(0);
        for start in (0..samples).step_by(self.portion) {
            let [x, y] = [x, y].map(|t| t.narrow(0, start, self.portion.min(samples - start)));
            let params = network.params().tracked();
            let losses = losses(network, &params, &x, &y)?;
            let each = PerSample::of(&losses, &params.values())?;
            contributions.add(&each, |norms| self.shares(mechanism, norms))?;
            total = total + losses.detach().sum_all();
        }
        let grads = mechanism.release_mean(contributions.sums()?, &secret.index(self.step))?;
        Ok((total * (1.0 / samples as f64), grads))
    }

    /// What each sample's gradients are multiplied with: clipped, and divided by the batch.
    fn shares(&self, mechanism: &Mechanism, norms: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let parameters = norms.len();
        let Some(total) = norms.into_iter().reduce(|a, b| a + b) else { return Ok(Vec::new()) };
        let factors = clip::factors(&total, mechanism.bound)?;
        Ok(vec![factors * (1.0 / mechanism.expected_batch); parameters])
    }
}

/// Losses `[N]` in training.
fn losses(network: &Network, params: &Params, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let logits = network.forward(params, x, &mut Mode::Train(&mut Rng::new(4)))?;
    Ok(cross_entropy(&logits, y))
}

/// Samples of a portion, from what is held of one.
fn usual_portion(Subject { network, x, y }: &Subject) -> Result<usize> {
    let params = network.params().tracked();
    let losses = losses(network, &params, &x.narrow(0, 0, 1), &y.narrow(0, 0, 1))?;
    let bytes = PerSample::of(&losses, &params.values())?.bytes();
    Ok(portion(x.dim(0), capacity(bytes)))
}

impl Work for Descent {
    fn run(&mut self) -> Result<()> {
        let (loss, grads) = self.gradients(&self.mechanism)?;
        self.step += 1;
        let network = &mut self.subject.network;
        let next = self.optimizer.step(network.params().clone(), grads, 1.0)?;
        network.set_params(next);
        loss.item()?;
        self.subject.network.device().sync()
    }

    fn reset(&mut self) -> Result<()> {
        self.subject.network.set_params(self.start.clone());
        Ok(())
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        let quiet = Mechanism { noise_multiplier: 0.0, ..self.mechanism };
        let (loss, grads) = self.gradients(&quiet)?;
        let mut outputs = vec![Output::scalar("loss", loss.item()?)];
        for ((name, _), grad) in self.start.iter().zip(&grads) {
            outputs.push(Output::new(name, grad)?);
        }
        Ok(outputs)
    }
}
