//! Model inversion: what a model shows of a class, from its weights alone.
//!
//! An attack starts from nothing of the training data and ends in one sample for each class asked for.
//! Whether that sample is anything but an adversarial example of the model itself is judged by a
//! network that was trained apart ([`judge`]). An attack is a file and a line in [`INVERSIONS`].

mod judge;
mod miface;
mod optimised;

use serde::{Deserialize, Serialize};

pub use super::descend::Progress;
pub use judge::{Evaluator, judge};
pub use miface::{MiFace, Stop};
pub use optimised::Optimised;

use crate::error::nearest;
use crate::model::Network;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// Samples that an attack made.
#[derive(Debug, Clone)]
pub struct Inverted {
    /// The samples, `[N, ...]`, one for each class that was asked for.
    pub x: Tensor,
    /// Probability that the attacked model gives to the class of each.
    pub confidence: Vec<f64>,
    /// Gradient steps over all samples.
    pub gradient_steps: u64,
    /// Why each search ended, where the attack has a rule for it.
    pub stops: Vec<Stop>,
}

/// An attack with its constants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Inversion {
    /// MI-Face (Fredrikson et al. 2015).
    Miface(MiFace),
    /// Adam on the cross-entropy with total variation and L2 priors.
    Optimised(Optimised),
}

/// An attack in the list.
pub struct InversionEntry {
    /// Name in configurations.
    pub name: &'static str,
    /// What it does and where it comes from.
    pub summary: &'static str,
    /// It with its usual constants.
    pub usual: fn() -> Inversion,
}

/// Every attack.
pub const INVERSIONS: &[InversionEntry] = &[
    InversionEntry {
        name: "miface",
        summary: "gradient descent on 1 - confidence from an empty sample (Fredrikson et al. 2015)",
        usual: || Inversion::Miface(MiFace::default()),
    },
    InversionEntry {
        name: "optimised",
        summary: "Adam on the cross-entropy with total variation and L2 priors, from noise",
        usual: || Inversion::Optimised(Optimised::default()),
    },
];

impl Inversion {
    /// The attack of this name with its usual constants.
    ///
    /// # Errors
    /// There is none; the message lists them.
    pub fn named(name: &str) -> Result<Self> {
        if let Some(entry) = INVERSIONS.iter().find(|a| a.name == name) {
            return Ok((entry.usual)());
        }
        let names = || INVERSIONS.iter().map(|a| a.name);
        let hint = nearest(name, names()).map(|n| format!("; did you mean {n}?"));
        let all = names().collect::<Vec<_>>().join(", ");
        bail!(NotFound, "attack: {name:?} is not one of {all}{}", hint.unwrap_or_default())
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Inversion::Miface(_) => "miface",
            Inversion::Optimised(_) => "optimised",
        }
    }

    /// Checks its constants.
    ///
    /// # Errors
    /// Names the one that is out of range.
    pub fn check(&self) -> Result<()> {
        match self {
            Inversion::Miface(c) => c.check(),
            Inversion::Optimised(c) => c.check().map(|_| ()),
        }
    }

    /// A sample for each of `classes`; the same class may stand there several times, which makes a
    /// difference where an attack begins at random.
    ///
    /// # Errors
    /// A constant or a class is out of range, or the device failed.
    pub fn run(
        &self,
        network: &Network,
        classes: &[i64],
        rng: &Rng,
        progress: Progress<'_>,
    ) -> Result<Inverted> {
        self.check()?;
        let count = network.spec().classes;
        if let Some(class) = classes.iter().find(|c| !(0..count as i64).contains(c)) {
            bail!(Config, "inversion: class {class}: the model has the classes 0 to {}", count - 1);
        }
        if classes.is_empty() {
            bail!(Config, "inversion: no class was asked for; name at least one");
        }
        match self {
            Inversion::Miface(c) => c.run(network, classes, progress),
            Inversion::Optimised(c) => c.run(network, classes, rng, progress),
        }
    }
}

/// Shape `[n, ...]` of a batch of the network's samples.
fn batch_shape(network: &Network, n: usize) -> Vec<usize> {
    [n].iter().chain(&network.spec().input).copied().collect()
}

/// Probability of each sample's class, `[N]`, which can be differentiated.
fn confidence(logits: &Tensor, classes: &Tensor) -> Tensor {
    let column = classes.reshape(&[classes.dim(0), 1]);
    logits.softmax(1).gather(1, &column).reshape(&[classes.dim(0)])
}
