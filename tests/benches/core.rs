//! How long inference, attacks and training steps take on the CPU backend.
//!
//! Two sizes that pull in opposite directions: the MNIST network of Madry et al., where the kernels
//! decide, and a network of a few thousand weights, where the cost of an operation itself does. The
//! figures of interest are whole attacks and steps, so a plain timer serves; what is printed is a
//! Markdown table, to be pasted where figures are kept.

#![allow(clippy::print_stdout, reason = "the table is the purpose of a benchmark")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use inocula_core::attack::{Attack, AttackConfig, Draws, Fgsm, Goal, Norm, Pgd, craft};
use inocula_core::grad::grad;
use inocula_core::loss::cross_entropy;
use inocula_core::model::{Classifier as _, Network};
use inocula_core::nn::layers::{Linear, Relu};
use inocula_core::nn::{Layer, Mode, ModelSpec, Preset, init_params};
use inocula_core::optim::{Optimizer, OptimizerConfig};
use inocula_core::rng::Rng;
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::rows::registry;

const DEVICE: &str = "ndarray?threads=2";

/// How much is measured.
struct Scale {
    /// Samples per batch of the large network.
    batch: usize,
    pgd_steps: usize,
    /// Timed runs of each subject, after one to warm up.
    runs: usize,
    /// A run repeats its subject until it takes this long.
    run_time: Duration,
}

const FULL: Scale =
    Scale { batch: 128, pgd_steps: 40, runs: 7, run_time: Duration::from_millis(50) };
const SMOKE: Scale = Scale { batch: 16, pgd_steps: 7, runs: 2, run_time: Duration::from_millis(2) };

fn main() -> Result<()> {
    // Cargo itself passes `--bench`.
    let smoke = std::env::args().any(|arg| arg == "--smoke");
    let scale = if smoke { SMOKE } else { FULL };
    let device = registry().open(DEVICE)?;
    let host = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{}, f32, {host} host threads, median of {} runs\n", device.info(), scale.runs);
    println!("| network | batch | subject | median | min .. max | GFLOP/s |");
    println!("|---|---:|---|---:|---:|---:|");

    let madry = Preset::find("madry")?.spec(&[1, 28, 28], 10, [0.0, 1.0])?;
    let mut large = Subject::new("madry", madry, &[28 * 28, 14 * 14, 1, 1], &device, scale.batch)?;
    large.forward(&scale)?;
    large.fgsm(&scale)?;
    large.pgd(&scale)?;
    large.training_step(&scale)?;

    for batch in [1, 32] {
        let mut small = Subject::new("mlp 64-32-10", mlp(), &[1, 1], &device, batch)?;
        small.fgsm(&scale)?;
        small.training_step(&scale)?;
    }
    Ok(())
}

/// A network of two layers.
fn mlp() -> ModelSpec {
    let linear = |features| Layer::Linear(Linear { features, bias: true });
    let layers = vec![linear(32), Layer::Relu(Relu {}), linear(10)];
    ModelSpec { input: vec![64], classes: 10, bounds: [0.0, 1.0], layers }
}

/// A network with a random batch.
struct Subject {
    name: &'static str,
    network: Network,
    optimizer: Optimizer,
    x: Tensor,
    y: Tensor,
    /// Multiplications and additions of a forward pass of the batch, biases and pools aside.
    forward: f64,
    /// Those of the first layer, whose input gradient training does not need.
    first: f64,
}

impl Subject {
    /// `positions` are the outputs per sample of each layer with weights: `OH OW` of a convolution,
    /// 1 of a linear layer.
    fn new(
        name: &'static str,
        spec: ModelSpec,
        positions: &[usize],
        device: &Device,
        batch: usize,
    ) -> Result<Self> {
        let rng = Rng::new(1);
        let params = init_params(&spec, device, DType::F32, &rng.child("weights"))?;
        let weights = spec.params()?.into_iter().filter(|p| p.shape.len() > 1);
        let flops: Vec<f64> = weights
            .zip(positions)
            .map(|(w, at)| 2.0 * (batch * at * w.shape.iter().product::<usize>()) as f64)
            .collect();
        let shape: Vec<usize> = [batch].iter().chain(&spec.input).copied().collect();
        let mut draws = rng.child("inputs");
        let mut values = vec![0f32; shape.iter().product()];
        draws.fill_uniform(&mut values, 0.0, 1.0);
        let labels: Vec<i64> = (0..batch).map(|_| draws.below(spec.classes) as i64).collect();
        Ok(Subject {
            name,
            network: Network::new(spec, params, device)?,
            optimizer: OptimizerConfig::default().check()?,
            x: Tensor::from_slice(device, &values, &shape)?,
            y: Tensor::from_slice(device, &labels, &[batch])?,
            forward: flops.iter().sum(),
            first: flops.first().copied().unwrap_or(0.0),
        })
    }

    fn forward(&mut self, scale: &Scale) -> Result<()> {
        self.measure("forward", self.forward, scale, |s| {
            s.network.logits(&s.x)?.to_vec::<f32>().map(|z| drop(black_box(z)))
        })
    }

    fn fgsm(&mut self, scale: &Scale) -> Result<()> {
        let attack = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, 0.3)).check()?;
        let flops = 2.0 * self.forward;
        self.measure("FGSM (one input gradient)", flops, scale, |s| s.attack(&*attack))
    }

    fn pgd(&mut self, scale: &Scale) -> Result<()> {
        let steps = scale.pgd_steps;
        let attack = AttackConfig::Pgd(Pgd { steps, ..Pgd::new(Norm::Linf, 0.3) }).check()?;
        // The last iterate is evaluated once more, to choose the best.
        let flops = (2 * steps + 1) as f64 * self.forward;
        self.measure(&format!("PGD-{steps} Linf"), flops, scale, |s| s.attack(&*attack))
    }

    /// Forward, gradient of the mean loss, and a step of Adam.
    fn training_step(&mut self, scale: &Scale) -> Result<()> {
        let flops = 3.0 * self.forward - self.first;
        self.measure("training step (Adam)", flops, scale, Subject::train)
    }

    fn attack(&self, attack: &dyn Attack) -> Result<()> {
        let ids = (0..self.x.dim(0) as u64).collect();
        let draws = Draws::new(Rng::new(2), ids);
        let goal = Goal::Untargeted(self.y.clone());
        let found = craft(attack, &self.network, &self.x, &goal, &draws)?;
        found.to_vec::<f32>().map(|v| drop(black_box(v)))
    }

    fn train(&mut self) -> Result<()> {
        let params = self.network.params().tracked();
        let mut dropout = Rng::new(3);
        let logits = self.network.forward(&params, &self.x, &mut Mode::Train(&mut dropout))?;
        let loss = cross_entropy(&logits, &self.y).mean_all();
        let grads = grad(&loss, &params.values())?;
        drop(params);
        let next = self.optimizer.step(self.network.params().clone(), grads, 1.0)?;
        self.network.set_params(next);
        black_box(loss.item()?);
        self.network.device().sync()
    }

    /// Times `work` and prints its row.
    fn measure(
        &mut self,
        what: &str,
        flops: f64,
        scale: &Scale,
        mut work: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        work(self)?;
        let once = start.elapsed().as_secs_f64().max(1e-9);
        let repeats = (scale.run_time.as_secs_f64() / once).ceil().clamp(1.0, 1e5);
        let mut seconds = Vec::with_capacity(scale.runs);
        for _ in 0..scale.runs {
            let start = Instant::now();
            for _ in 0..repeats as usize {
                work(self)?;
            }
            seconds.push(start.elapsed().as_secs_f64() / repeats);
        }
        seconds.sort_by(f64::total_cmp);
        let median = (seconds[(scale.runs - 1) / 2] + seconds[scale.runs / 2]) / 2.0;
        println!(
            "| {} | {} | {what} | {} | {} .. {} | {:.1} |",
            self.name,
            self.x.dim(0),
            time(median),
            time(seconds[0]),
            time(seconds[scale.runs - 1]),
            flops / median / 1e9
        );
        Ok(())
    }
}

/// A duration with three digits.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.3} s"),
    }
}
