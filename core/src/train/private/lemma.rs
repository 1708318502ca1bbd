//! What may be combined with private training.
//!
//! Clipping bounds what a sample contributes only if a sample's gradient depends on nothing else that
//! is private: the sample itself, weights that were released with noise, randomness. An adversarial
//! version that is made of these costs no privacy, however many steps the attack takes; a rule that
//! lets other samples have a part is refused. docs/private-training.md has the proof.

use crate::dp::ghost::PerSample;
use crate::model::Network;
use crate::rng::Rng;
use crate::train::{Batch, CheckedRule};
use crate::{Result, Tensor, bail};

/// Refuses a rule whose losses depend on more than their own sample.
///
/// # Errors
/// Names the rule, why, and what to do.
pub(super) fn check(rule: &CheckedRule, name: &str) -> Result<()> {
    match rule.coupling() {
        None => Ok(()),
        Some(why) => bail!(
            Config,
            "private: rule {name} gives no privacy: {why}; choose standard, noise, madry, trades, \
             mart or fast with an attack on each sample by itself, or train without the section"
        ),
    }
}

/// Takes the gradient of a made-up sample, so that a network or rule without per-sample gradients is
/// refused before any sample is read. The bytes that are held of a sample.
///
/// # Errors
/// What has no per-sample gradients, or the device failed.
pub(super) fn probe(rule: &CheckedRule, network: &Network, rng: &Rng) -> Result<usize> {
    let spec = network.spec();
    let shape: Vec<usize> = [1].iter().chain(&spec.input).copied().collect();
    let [lo, hi] = spec.bounds;
    let x = Tensor::full(network.device(), network.dtype(), &shape, lo + 0.5 * (hi - lo));
    let y = Tensor::from_slice(network.device(), &[0_i64], &[1])?;
    let params = network.params().tracked();
    let mut bytes = 0;
    // A rule may have other parts later.
    for progress in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let batch = Batch { x: &x, y: &y, ids: &[0], step: 0, progress };
        let mut dropout = rng.clone();
        let losses = rule.losses_at(&x, network, &params, &batch, &mut dropout, rng)?;
        let each = PerSample::of(&losses, &params.values()).map_err(|e| e.context("private"))?;
        bytes = bytes.max(each.bytes());
    }
    Ok(bytes)
}
