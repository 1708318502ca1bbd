//! What is kept of a shadow model: one file, whole or not there, with its answers on the whole pool and
//! its half of it. The weights are not kept: no attack reads them.
//!
//! The fingerprint of everything that decides the answers is in the file. A rerun takes the file up if
//! the fingerprint is its own, and refuses it otherwise rather than to mix two designs or to throw
//! hours of work away.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::augment::Augmentation;
use super::shadows::{Shadow, ShadowPlan};
use crate::data::Dataset;
use crate::nn::{load_tensors, save_tensors};
use crate::{DType, Device, Error, ErrorKind, Result, Tensor, bail};

/// Version of the file; it grows when an older one could not be read, or would mean something else.
const VERSION: u32 = 1;

/// The file of shadow model `shadow`.
pub(super) fn path(folder: &Path, shadow: usize) -> PathBuf {
    folder.join(format!("shadow-{shadow:04}.safetensors"))
}

/// What two shadow models of one number have in common if one can stand for the other.
pub(super) fn fingerprint(plan: &ShadowPlan<'_>) -> Result<String> {
    let drawn = plan.rng.child("identity").below(1 << 30);
    let parts =
        (VERSION, plan.spec, plan.train, digest(plan.pool), plan.augmentations, plan.place, drawn);
    let text = serde_json::to_string(&parts)
        .map_err(|e| Error::new(ErrorKind::Config, format!("shadow models: {e}")))?;
    Ok(hex(&Sha256::digest(text)))
}

fn digest(data: &Dataset) -> String {
    let mut hash = Sha256::new();
    hash.update(bytemuck::cast_slice::<f32, u8>(&data.features));
    hash.update(bytemuck::cast_slice::<i64, u8>(&data.labels));
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a shadow model's answers.
pub(super) fn save(path: &Path, shadow: &Shadow, fingerprint: &str, device: &Device) -> Result<()> {
    let samples = shadow.inside.len();
    let inside: Vec<f32> = shadow.inside.iter().map(|&yes| f32::from(u8::from(yes))).collect();
    let mut tensors = vec![("inside".to_owned(), Tensor::from_slice(device, &inside, &[samples])?)];
    for (view, logits) in shadow.logits.iter().enumerate() {
        let shape = [samples, logits.len() / samples.max(1)];
        tensors.push((format!("logits.{view}"), Tensor::from_slice(device, logits, &shape)?));
    }
    let about = HashMap::from([
        ("fingerprint".to_owned(), fingerprint.to_owned()),
        ("seconds".to_owned(), shadow.seconds.to_string()),
    ]);
    save_tensors(path, tensors.iter().map(|(name, value)| (name.as_str(), value)), about)
}

/// Reads the answers of a shadow model back; `None` if there is no file.
pub(super) fn load(
    path: &Path,
    fingerprint: &str,
    plan: &ShadowPlan<'_>,
    device: &Device,
) -> Result<Option<Shadow>> {
    if !path.is_file() {
        return Ok(None);
    }
    let (tensors, about) = load_tensors(path, device)?;
    if about.get("fingerprint").is_none_or(|found| found != fingerprint) {
        bail!(
            Config,
            "{} is a shadow model of another configuration, data set or seed; choose another --out, or \
             remove its folder to train anew",
            path.display()
        );
    }
    let find = |name: &str, shape: &[usize]| -> Result<Vec<f32>> {
        let found = tensors.iter().find(|(n, t)| n == name && *t.shape() == *shape);
        match found {
            Some((_, value)) => value.cast(DType::F32).to_vec(),
            None => bail!(Data, "{}: {name} is missing; remove the damaged file", path.display()),
        }
    };
    let (samples, classes) = (plan.pool.len(), plan.spec.classes);
    let views: &[Augmentation] = plan.augmentations;
    let logits = (0..views.len()).map(|view| find(&format!("logits.{view}"), &[samples, classes]));
    Ok(Some(Shadow {
        inside: find("inside", &[samples])?.into_iter().map(|yes| yes == 1.0).collect(),
        logits: logits.collect::<Result<_>>()?,
        seconds: about.get("seconds").and_then(|s| s.parse().ok()).unwrap_or(0.0),
    }))
}
