//! What is attacked: a small network on digits, linear models, the network of the golden vectors; and
//! models that watch what they are asked.

use std::fs::File;
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use inocula_core::attack::{AttackConfig, Draws, Goal, Outcome as Found, perturb};
use inocula_core::data::{Dataset, digits};
use inocula_core::model::{Classifier, Network};
use inocula_core::nn::{Params, Preset, init_params, load_params};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Rule, TrainConfig, fit};
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::rows::REFERENCE;
use libtest_mimic::Failed;
use ndarray::{Array1, Array4};
use ndarray_npy::NpzReader;

/// A small convolutional network, trained once on the reference.
static TRAINED: LazyLock<(Network, Dataset)> = LazyLock::new(|| {
    let train = || -> Result<(Network, Dataset)> {
        let (train, test) = digits()?.split_stratified(0.25, &Rng::new(5));
        let spec = Preset::find("small-cnn")?.spec(&[1, 8, 8], 10, [0.0, 1.0])?;
        let params = init_params(&spec, &REFERENCE, DType::F32, &Rng::new(3))?;
        let mut network = Network::new(spec, params, &REFERENCE)?;
        let config = TrainConfig { epochs: 8, rule: Rule::Standard {}, ..TrainConfig::default() };
        fit(&mut network, &train, None, &config, &Rng::new(4), &mut ())?;
        Ok((network, test))
    };
    train().unwrap_or_else(|err| panic!("the network to attack could not be trained: {err}"))
});

/// The trained network, and `count` test digits with their labels.
pub(crate) fn small(device: &Device, count: usize) -> Result<(Network, Tensor, Tensor)> {
    let (network, test) = &*TRAINED;
    let rows: Vec<usize> = (0..count).collect();
    let (x, y) = Placement::new(device).tensors(test, &rows)?;
    let values: Result<Vec<Tensor>> =
        network.params().values().iter().map(|p| p.to_device(device)).collect();
    let params = network.params().with_values(values?)?;
    Ok((Network::new(network.spec().clone(), params, device)?, x, y))
}

/// Logits `x w^T + b` of flattened samples of `shape`, for `w` row by row, one for each class.
pub(crate) fn linear(
    device: &Device,
    shape: &[usize],
    weights: &[f32],
    bias: &[f32],
    bounds: [f64; 2],
) -> Result<Network> {
    let classes = bias.len();
    let spec = Preset::find("logistic")?.spec(shape, classes, bounds)?;
    let mut params = Params::new();
    let inputs = weights.len() / classes;
    params.push("fc1.weight", Tensor::from_slice(device, weights, &[classes, inputs])?);
    params.push("fc1.bias", Tensor::from_slice(device, bias, &[classes])?);
    Network::new(spec, params, device)
}

/// Runs an attack with the same draws each time.
pub(crate) fn attack(
    model: &dyn Classifier,
    x: &Tensor,
    goal: &Goal,
    config: &AttackConfig,
) -> Result<Found> {
    let draws = Draws::new(Rng::new(1), (0..x.dim(0) as u64).collect());
    perturb(&*config.check()?, model, x, goal, &draws)
}

/// The network of the golden vectors, and their images.
pub(crate) struct Images {
    pub(crate) model: Network,
    pub(crate) x: Tensor,
    pub(crate) goal: Goal,
}

impl Images {
    /// All vectors have the same images; those of DeepFool stand for all.
    pub(crate) fn read(device: &Device, folder: &Path) -> Result<Self, Failed> {
        let mut npz = NpzReader::new(File::open(folder.join("deepfool_l2.npz"))?)?;
        let x: Array4<f32> = npz.by_name("x")?;
        let y: Array1<i64> = npz.by_name("y")?;
        let values: Vec<f32> = x.iter().copied().collect();
        let spec = Preset::find("small-cnn")?.spec(&[1, 28, 28], 10, [0.0, 1.0])?;
        let params = load_params(&folder.join("cnn.safetensors"), &spec, device, DType::F32)?;
        Ok(Images {
            model: Network::new(spec, params, device)?,
            x: Tensor::from_slice(device, &values, x.shape())?,
            goal: Goal::Untargeted(Tensor::from_slice(device, &y.to_vec(), &[y.len()])?),
        })
    }

    pub(crate) fn attack(&self, config: &AttackConfig) -> Result<Found> {
        attack(&self.model, &self.x, &self.goal, config)
    }
}

/// A question: the points, one after the other, and whether a gradient could be asked for.
pub(crate) struct Question {
    pub(crate) points: Vec<f32>,
    pub(crate) rows: usize,
    pub(crate) tracked: bool,
}

/// A model that notes what it is asked.
pub(crate) struct Noting<'a> {
    model: &'a dyn Classifier,
    asked: Mutex<Vec<Question>>,
}

impl<'a> Noting<'a> {
    pub(crate) fn new(model: &'a dyn Classifier) -> Self {
        Noting { model, asked: Mutex::default() }
    }

    pub(crate) fn asked(self) -> Vec<Question> {
        self.asked.into_inner().unwrap_or_default()
    }
}

impl Classifier for Noting<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let points = x.to_f64_vec()?.into_iter().map(|v| v as f32).collect();
        if let Ok(mut asked) = self.asked.lock() {
            asked.push(Question { points, rows: x.dim(0), tracked: x.is_tracked() });
        }
        self.model.logits(x)
    }

    fn bounds(&self) -> [f64; 2] {
        self.model.bounds()
    }

    fn classes(&self) -> usize {
        self.model.classes()
    }
}

/// A model that tells its prediction and nothing else: 1 for it, 0 for all other classes.
pub(crate) struct LabelsOnly<'a>(pub(crate) &'a dyn Classifier);

impl Classifier for LabelsOnly<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let logits = self.0.logits(&x.detach())?;
        Ok(logits.argmax(1).one_hot(logits.dim(1), logits.dtype()))
    }

    fn bounds(&self) -> [f64; 2] {
        self.0.bounds()
    }

    fn classes(&self) -> usize {
        self.0.classes()
    }
}
