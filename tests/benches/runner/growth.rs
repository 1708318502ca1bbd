//! How time grows: an attack step with the batch, the width and the depth of a network, an epoch of
//! training with the data. Threads are an option of the whole run.
//!
//! One number varies in each series and the others stay, so that a curve bends where something else
//! than the work begins to count: the cost of an operation at the small end, caches at the large.

use inocula_core::attack::{Attack, AttackConfig, Fgsm, Norm};
use inocula_core::data::Dataset;
use inocula_core::model::Network;
use inocula_core::nn::layers::{Linear, Relu};
use inocula_core::nn::{Layer, ModelSpec, Params, Preset, init_params};
use inocula_core::optim::{Adam, OptimizerConfig};
use inocula_core::rng::Rng;
use inocula_core::train::{TrainConfig, fit};
use inocula_core::{DType, Device, Result, Tensor};

use crate::row::{Context, Output, Row, Tolerance, Work, no_flops};
use crate::scale::{EPS, LR};
use crate::subject::Subject;

/// Samples of a batch, where the batch does not vary.
const BATCH: usize = 128;

/// Units of a hidden layer, where the width does not vary.
const WIDTH: usize = 128;

/// Inputs of the dense networks.
const INPUTS: usize = 64;

const CLASSES: usize = 10;

/// A row for each value of what varies.
macro_rules! series {
    ($($name:literal: $prepare:expr;)*) => {
        &[$(Row {
            suite: "growth",
            name: $name,
            flops: no_flops,
            tolerance: Tolerance::SIGNS,
            prepare: |c| $prepare(c),
        }),*]
    };
}

pub(crate) const ROWS: &[Row] = series! {
    "madry fgsm, batch 1": |c| convolutional(c, 1);
    "madry fgsm, batch 4": |c| convolutional(c, 4);
    "madry fgsm, batch 16": |c| convolutional(c, 16);
    "madry fgsm, batch 64": |c| convolutional(c, 64);
    "madry fgsm, batch 256": |c| convolutional(c, 256);
    "madry fgsm, batch 1024": |c| convolutional(c, 1024);
    "madry fgsm, batch 4096": |c| convolutional(c, 4096);
    "dense fgsm, width 16": |c| dense(c, 16, 2);
    "dense fgsm, width 64": |c| dense(c, 64, 2);
    "dense fgsm, width 256": |c| dense(c, 256, 2);
    "dense fgsm, width 1024": |c| dense(c, 1024, 2);
    "dense fgsm, width 4096": |c| dense(c, 4096, 2);
    "dense fgsm, depth 1": |c| dense(c, WIDTH, 1);
    "dense fgsm, depth 4": |c| dense(c, WIDTH, 4);
    "dense fgsm, depth 16": |c| dense(c, WIDTH, 16);
    "dense fgsm, depth 64": |c| dense(c, WIDTH, 64);
    "epoch, 1024 samples": |c| epoch(c, 1024);
    "epoch, 4096 samples": |c| epoch(c, 4096);
    "epoch, 16384 samples": |c| epoch(c, 16_384);
    "epoch, 65536 samples": |c| epoch(c, 65_536);
};

/// A dense network of `depth` hidden layers of `width` units.
fn layered(width: usize, depth: usize) -> ModelSpec {
    let linear = |features| Layer::Linear(Linear { features, bias: true });
    let hidden = (0..depth).flat_map(|_| [linear(width), Layer::Relu(Relu {})]);
    ModelSpec {
        input: vec![INPUTS],
        classes: CLASSES,
        bounds: [0.0, 1.0],
        layers: hidden.chain([linear(CLASSES)]).collect(),
    }
}

fn network(device: &Device, spec: ModelSpec) -> Result<Network> {
    let params = init_params(&spec, device, DType::F32, &Rng::new(1))?;
    Network::new(spec, params, device)
}

/// `n` inputs of uniform values, and labels.
fn samples(n: usize, shape: &[usize]) -> (Vec<f32>, Vec<i64>) {
    let mut values = vec![0.0; n * shape.iter().product::<usize>()];
    Rng::new(2).fill_uniform(&mut values, 0.0, 1.0);
    (values, (0..n).map(|i| (i % CLASSES) as i64).collect())
}

fn convolutional(c: &Context, n: usize) -> Result<Box<dyn Work>> {
    attacked(c, Preset::find("madry")?.spec(&[1, 28, 28], CLASSES, [0.0, 1.0])?, n)
}

fn dense(c: &Context, width: usize, depth: usize) -> Result<Box<dyn Work>> {
    let most = c.scale.most;
    attacked(c, layered(width.min(most), depth.min(most)), BATCH)
}

fn attacked(c: &Context, spec: ModelSpec, n: usize) -> Result<Box<dyn Work>> {
    let n = n.min(c.scale.most);
    let (values, labels) = samples(n, &spec.input);
    let shape: Vec<usize> = std::iter::once(n).chain(spec.input.iter().copied()).collect();
    let subject = Subject {
        network: network(&c.device, spec)?,
        x: Tensor::from_slice(&c.device, &values, &shape)?,
        y: Tensor::from_slice(&c.device, &labels, &[n])?,
    };
    let attack = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, EPS)).check()?;
    Ok(Box::new(Attacked { subject, attack }))
}

struct Attacked {
    subject: Subject,
    attack: Box<dyn Attack>,
}

impl Work for Attacked {
    fn run(&mut self) -> Result<()> {
        self.subject.attack(&*self.attack).map(drop)
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        Ok(vec![Output::new("adversarial", &self.subject.attack(&*self.attack)?)?])
    }
}

fn epoch(c: &Context, n: usize) -> Result<Box<dyn Work>> {
    let n = n.min(c.scale.most);
    let spec = layered(WIDTH.min(c.scale.most), 2);
    let (values, labels) = samples(n, &spec.input);
    let data = Dataset {
        name: "noise".into(),
        source: "drawn".into(),
        licence: "none".into(),
        features: values,
        shape: spec.input.clone(),
        labels,
        classes: CLASSES,
        class_names: (0..CLASSES).map(|class| class.to_string()).collect(),
        bounds: (0.0, 1.0),
    }
    .checked()?;
    let network = network(&c.device, spec)?;
    let optimizer = OptimizerConfig::Adam(Adam { lr: LR, ..Adam::default() });
    let config = TrainConfig { epochs: 1, batch_size: BATCH, optimizer, ..TrainConfig::default() };
    Ok(Box::new(Epoch { start: network.params().clone(), network, data, config }))
}

struct Epoch {
    network: Network,
    start: Params,
    data: Dataset,
    config: TrainConfig,
}

impl Work for Epoch {
    fn run(&mut self) -> Result<()> {
        fit(&mut self.network, &self.data, None, &self.config, &Rng::new(3), &mut ())?;
        self.network.device().sync()
    }

    fn reset(&mut self) -> Result<()> {
        self.network.set_params(self.start.clone());
        Ok(())
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        let trained =
            fit(&mut self.network, &self.data, None, &self.config, &Rng::new(3), &mut ())?;
        let losses = trained.history.iter().filter_map(|epoch| epoch.loss);
        let losses = losses.map(|loss| Output::scalar("loss", loss));
        Ok(losses.collect())
    }
}
