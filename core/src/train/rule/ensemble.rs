//! Ensemble adversarial training (Tramer et al. 2018, section 3.3): adversarial samples come from models
//! that the one in training cannot influence, so hiding its own gradients does not lower the loss.

use std::path::{Path, PathBuf};

use super::pass::{Batch, Pass, Step};
use crate::attack::{Attack, AttackConfig, Goal, craft};
use crate::loss::cross_entropy;
use crate::model::{Classifier, Network};
use crate::nn::{ModelSpec, load_params};
use crate::rng::Rng;
use crate::{Error, ErrorKind, Result, Tensor, bail, fs};

/// Larger descriptions are refused.
const MAX_BYTES: u64 = 1 << 20;

pub(super) struct Ensemble {
    folders: Vec<PathBuf>,
    attack: Box<dyn Attack>,
    /// Read from the folders once the network is known.
    others: Vec<Network>,
}

impl Ensemble {
    pub(super) fn new(folders: &[PathBuf], attack: &AttackConfig) -> Result<Self> {
        if folders.is_empty() {
            bail!(Config, "rule: models = [] must name at least one run folder");
        }
        let (folders, attack) = (folders.to_vec(), attack.check()?);
        Ok(Ensemble { folders, attack, others: Vec::new() })
    }
}

impl Step for Ensemble {
    fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        self.attack.check_within(features, bounds)
    }

    fn prepare(&mut self, network: &Network) -> Result<()> {
        self.others = self.folders.iter().map(|f| read(f, network)).collect::<Result<_>>()?;
        Ok(())
    }

    fn inputs(&self, model: &dyn Classifier, batch: &Batch<'_>, rng: &Rng) -> Result<Tensor> {
        let turn = (batch.step % (self.others.len() as u64 + 1)) as usize;
        let source = self.others.get(turn).map_or(model, |other| other);
        let goal = Goal::Untargeted(batch.y.clone());
        craft(&*self.attack, source, batch.x, &goal, &batch.draws(rng, "attack"))
    }

    fn losses(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Tensor> {
        let clean = cross_entropy(&pass.logits(batch.x)?, batch.y);
        Ok((clean + cross_entropy(&pass.logits(made)?, batch.y)) * 0.5)
    }

    fn coupling(&self) -> Option<&'static str> {
        self.attack.coupling()
    }

    fn outside(&self) -> Option<&'static str> {
        Some("other models, which tell of the samples that they were trained on")
    }
}

/// The network of a run folder, where `network` is and for the same kind of samples.
fn read(folder: &Path, network: &Network) -> Result<Network> {
    let path = folder.join("model.toml");
    let bytes = fs::read(&path, MAX_BYTES).map_err(|e| e.context("rule: models"))?;
    let invalid = |what: &dyn std::fmt::Display| {
        let what = what.to_string();
        let line = what.lines().next().unwrap_or_default();
        Error::new(ErrorKind::Data, format!("rule: models: {}: {line}", path.display()))
    };
    let text = std::str::from_utf8(&bytes).map_err(|e| invalid(&e))?;
    let spec: ModelSpec = toml::from_str(text).map_err(|e| invalid(&e.message()))?;
    let own = network.spec();
    if spec.input != own.input || spec.classes != own.classes || spec.bounds != own.bounds {
        bail!(
            Data,
            "rule: models: {} is for samples {:?} in {:?} of {} classes, this network for {:?} in {:?} of \
             {}",
            folder.display(),
            spec.input,
            spec.bounds,
            spec.classes,
            own.input,
            own.bounds,
            own.classes
        );
    }
    let weights = folder.join("model.safetensors");
    let params = load_params(&weights, &spec, network.device(), network.dtype())?;
    Network::new(spec, params, network.device())
}
