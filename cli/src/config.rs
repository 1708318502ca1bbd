//! Configuration files: TOML, every key known, mistakes pointed at.

use std::path::Path;

use inocula_core::data::{DataSource, Dataset};
use inocula_core::error::nearest;
use inocula_core::fl::Federation;
use inocula_core::nn::{Layer, ModelSpec, Preset};
use inocula_core::train::TrainConfig;
use inocula_core::{Error, ErrorKind, Result, bail, fs};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::args::RunFlags;

/// Everything that decides what a training run does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RunConfig {
    /// The seed of all randomness.
    pub(crate) seed: u64,
    /// Device spec: `ndarray?threads=2`.
    pub(crate) backend: String,
    /// Share of the data held out for tests, where the data have no test part of their own.
    pub(crate) test_fraction: f64,
    /// Training samples used, stratified by class; all of them if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) train_samples: Option<usize>,
    /// The data.
    pub(crate) data: DataSource,
    /// The network.
    pub(crate) model: ModelConfig,
    /// The training; of each client where there is a federation.
    pub(crate) train: TrainConfig,
    /// The federation; none for a training in one place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) federation: Option<Federation>,
}

impl Default for RunConfig {
    fn default() -> Self {
        RunConfig {
            seed: 1,
            backend: crate::backends::DEFAULT.into(),
            test_fraction: 0.2,
            train_samples: None,
            data: DataSource::Digits {},
            model: ModelConfig::default(),
            train: TrainConfig::default(),
            federation: None,
        }
    }
}

/// A network by name, or layer by layer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ModelConfig {
    /// One of the presets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) preset: Option<String>,
    /// The layers; input shape and classes come from the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) layers: Option<Vec<Layer>>,
}

impl ModelConfig {
    /// The network for samples like those of `data`.
    pub(crate) fn spec(&self, data: &Dataset) -> Result<ModelSpec> {
        let bounds = [f64::from(data.bounds.0), f64::from(data.bounds.1)];
        match (&self.preset, &self.layers) {
            (Some(_), Some(_)) => {
                bail!(Config, "model: both a preset and layers are given; remove one")
            }
            (None, Some(layers)) => {
                let (input, layers) = (data.shape.clone(), layers.clone());
                let spec = ModelSpec { input, classes: data.classes, bounds, layers };
                spec.check()?;
                Ok(spec)
            }
            (preset, None) => {
                let usual = if data.shape.len() == 3 { "small-cnn" } else { "mlp" };
                Preset::find(preset.as_deref().unwrap_or(usual))?.spec(
                    &data.shape,
                    data.classes,
                    bounds,
                )
            }
        }
    }
}

impl RunConfig {
    /// The configuration file, if one is given, with what the flags change.
    pub(crate) fn of(flags: &RunFlags) -> Result<Self> {
        let mut config = match &flags.config {
            Some(path) => read(path)?,
            None => RunConfig::default(),
        };
        if let Some(data) = &flags.data {
            config.data = DataSource::parse(data)?;
        }
        if let Some(model) = &flags.model {
            config.model = ModelConfig { preset: Some(model.clone()), layers: None };
        }
        config.seed = flags.seed.unwrap_or(config.seed);
        config.backend = flags.backend.clone().unwrap_or(config.backend);
        Ok(config)
    }

    /// Loads the data: training part, test part.
    pub(crate) fn datasets(&self) -> Result<(Dataset, Dataset)> {
        let fraction = self.test_fraction;
        if !(fraction > 0.0 && fraction < 1.0) {
            bail!(Config, "test_fraction = {fraction} must be in (0, 1)");
        }
        let rng = inocula_core::rng::Rng::new(self.seed).child("split");
        let (train, test) = self.data.load(fraction, &rng)?;
        Ok(match self.train_samples {
            Some(n) if n < train.len() => (train.take_stratified(n, &rng.child("limit")), test),
            _ => (train, test),
        })
    }
}

/// Larger configuration files are refused.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a TOML file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path, MAX_BYTES)?;
    let Ok(text) = std::str::from_utf8(&bytes) else {
        bail!(Config, "{}: not UTF-8 text", path.display());
    };
    toml::from_str(text).map_err(|e| explain(path, text, &e))
}

/// One line with the place of the mistake and, for an unknown key, the nearest known one, or why there
/// is none.
fn explain(path: &Path, text: &str, err: &toml::de::Error) -> Error {
    let line = err.span().map_or(1, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
    let message = err.message().replace('\n', " ");
    let hint = unknown_name(&message).map(|(name, known)| hint(name, known)).unwrap_or_default();
    let message = format!("{}:{line}: {message}{hint}", path.display());
    Error::new(ErrorKind::Config, message)
}

/// The unknown name that a message is about, and the known ones. Serde puts all of them in backquotes.
fn unknown_name(message: &str) -> Option<(&str, impl Iterator<Item = &str>)> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    Some((quoted.next()?, quoted))
}

/// What follows an error about an unknown name: why there is no such thing, or the nearest name.
pub(crate) fn hint<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    if let Some(why) = not_offered(unknown) {
        return format!("; {why}");
    }
    nearest(unknown, known).map(|n| format!("; did you mean {n}?")).unwrap_or_default()
}

/// Why there is no layer or rule that users of other programs look for, and what to choose.
fn not_offered(name: &str) -> Option<&'static str> {
    let plain = name.to_lowercase().replace(['_', '-'], "");
    if plain.starts_with("batchnorm") {
        return Some(
            "batch normalisation is not offered: its statistics mix the samples of a batch, so that no \
             sample has a gradient of its own, which privacy needs; choose group_norm or layer_norm",
        );
    }
    (plain == "mixup").then_some(
        "MixUp is not offered: it mixes samples, so that no sample has a loss of its own, which privacy \
         needs; choose standard, noise, madry or trades",
    )
}

/// Writes a value as TOML text.
pub(crate) fn to_toml<T: Serialize>(value: &T) -> Result<String> {
    toml::to_string_pretty(value)
        .map_err(|e| Error::new(ErrorKind::Config, format!("configuration: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, text).unwrap();
        read::<RunConfig>(&path).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_key() {
        let text = message("seed = 3\n[train]\nepoch = 4\n");
        assert!(text.contains("run.toml:3: ") && text.contains("did you mean epochs?"), "{text}");
        let text = message("[train.rule]\ntype = \"madri\"\n");
        assert!(text.contains("did you mean madry?"), "{text}");
        let text = message("[[model.layers]]\ntype = \"linear\"\nfeature = 3\n");
        assert!(text.contains("did you mean features?"), "{text}");
    }

    #[test]
    fn what_mixes_samples_is_said_to() {
        for name in ["batch_norm", "batch_norm2d", "BatchNorm2d"] {
            let text = message(&format!("[[model.layers]]\ntype = \"{name}\"\n"));
            let why = "its statistics mix the samples";
            assert!(text.contains(why) && text.contains("group_norm or layer_norm"), "{text}");
            assert!(!text.contains("did you mean"), "{text}");
        }
        let text = message("[train.rule]\ntype = \"mixup\"\n");
        assert!(text.contains("it mixes samples") && !text.contains("did you mean"), "{text}");
    }

    #[test]
    fn configurations_round_trip() {
        let text = to_toml(&RunConfig::default()).unwrap();
        assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), RunConfig::default());
    }

    #[test]
    fn preset_and_layers_exclude_each_other() {
        let config: ModelConfig = toml::from_str("preset = \"mlp\"\nlayers = []").unwrap();
        let data = inocula_core::data::digits().unwrap();
        assert!(config.spec(&data).unwrap_err().to_string().contains("remove one"));
    }
}
