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
use inocula_core::dp::ghost::PerSample;
use inocula_core::dp::mechanism::Mechanism;
use inocula_core::dp::noise::Secret;
use inocula_core::grad::grad;
use inocula_core::loss::cross_entropy;
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
        Ok(Descent { subject, start, optimizer, mechanism, privacy, step: 0 })
    }

    /// The mean loss and the gradients of a step under `mechanism`.
    fn gradients(&self, mechanism: &Mechanism) -> Result<(Tensor, Vec<Tensor>)> {
        let Subject { network, x, y } = &self.subject;
        let params = network.params().tracked();
        let mut dropout = Rng::new(4);
        let logits = network.forward(&params, x, &mut Mode::Train(&mut dropout))?;
        let losses = cross_entropy(&logits, y);
        let loss = losses.mean_all();
        let each = || PerSample::of(&losses, &params.values());
        let grads = match &self.privacy {
            Privacy::None => grad(&loss, &params.values())?,
            Privacy::Repeatable => mechanism.mean(&each()?, &Rng::new(5).index(self.step))?,
            Privacy::Secret(secret) => {
                mechanism.release(each()?.clipped_sum(CLIP)?, &secret.index(self.step))?
            }
        };
        Ok((loss.detach(), grads))
    }
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
