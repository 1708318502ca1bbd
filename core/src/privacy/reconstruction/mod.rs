//! Data reconstruction: the records themselves, from gradients, federated updates, outputs of layers,
//! or a convex model and all the other records.
//!
//! A method gets what was seen ([`Seen`]) and nothing of the records; `experiment` makes what is seen,
//! runs the method and judges it. A method is a file with a serde configuration and a line in
//! [`METHODS`].

mod analytic;
mod assign;
pub mod database;
mod experiment;
mod features;
mod gradient_search;
mod labels;
mod leak;
pub mod matching;
mod updates;

use serde::{Deserialize, Serialize};

pub use super::descend::Progress;
pub use analytic::Analytic;
pub use assign::assign;
pub use experiment::{Experiment, Outcome, PictureRowOf, judge};
pub use features::{Features, features};
pub use gradient_search::{Cosine, Dlg};
pub use labels::infer as infer_labels;
pub use leak::{Defence, observe};
pub use updates::{LocalTraining, Updates};

use crate::error::nearest;
use crate::model::Network;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// What an attacker sees of a batch of records.
#[derive(Debug, Clone)]
pub enum Leaked {
    /// Gradients of its mean loss, a tensor a parameter.
    Gradient(Vec<Tensor>),
    /// The sum of the gradients of several local steps: weights before minus weights after, in units of
    /// the step size.
    Update(Vec<Tensor>),
    /// What the first layers made of it.
    Features {
        /// Number of those layers.
        depth: usize,
        /// Their output, `[N, ...]`.
        values: Tensor,
    },
}

/// Everything that an attacker knows: the network with its weights, how many records there are, and
/// what was seen of them.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// The network.
    pub network: &'a Network,
    /// Number of records N.
    pub samples: usize,
    /// What was seen.
    pub leaked: Leaked,
}

/// What an attacker takes the records to be, in no order.
#[derive(Debug, Clone)]
pub struct Guess {
    /// The records, `[N, ...]`.
    pub x: Tensor,
    /// Their classes, where the method says something of them.
    pub labels: Option<Vec<i64>>,
    /// What the method minimised: how well the guess explains what was seen.
    pub objective: f64,
}

/// A method with its constants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Method {
    /// Deep Leakage from Gradients (Zhu et al. 2019).
    Dlg(Dlg),
    /// The same with labels read off the gradient (Zhao et al. 2020).
    Idlg(Dlg),
    /// Inverting Gradients (Geiping et al. 2020).
    Cosine(Cosine),
    /// Division of the gradients of a fully connected layer.
    Analytic(Analytic),
    /// Inverting Gradients through several local steps.
    Updates(Updates),
    /// Inversion of the outputs of a layer.
    Features(Features),
}

/// A method in the list.
pub struct MethodEntry {
    /// Name in configurations.
    pub name: &'static str,
    /// What it does and where it comes from.
    pub summary: &'static str,
    /// It with its usual constants.
    pub usual: fn() -> Method,
}

/// Every method.
pub const METHODS: &[MethodEntry] = &[
    MethodEntry {
        name: "dlg",
        summary: "records and labels from a gradient by L-BFGS (Zhu et al. 2019)",
        usual: || Method::Dlg(Dlg::default()),
    },
    MethodEntry {
        name: "idlg",
        summary: "the same with labels read off the gradient (Zhao et al. 2020)",
        usual: || Method::Idlg(Dlg::default()),
    },
    MethodEntry {
        name: "cosine",
        summary: "records from the angle of a gradient and total variation (Geiping et al. 2020)",
        usual: || Method::Cosine(Cosine::default()),
    },
    MethodEntry {
        name: "analytic",
        summary: "the input of a fully connected layer by division: exact (Phong et al. 2018)",
        usual: || Method::Analytic(Analytic::default()),
    },
    MethodEntry {
        name: "updates",
        summary: "records from several local steps of a federated client, unrolled",
        usual: || Method::Updates(Updates::default()),
    },
    MethodEntry {
        name: "features",
        summary: "records from the outputs of a layer (Mahendran and Vedaldi 2015)",
        usual: || Method::Features(Features::default()),
    },
];

impl Method {
    /// The method of this name with its usual constants.
    ///
    /// # Errors
    /// There is none; the message lists them.
    pub fn named(name: &str) -> Result<Self> {
        if let Some(entry) = METHODS.iter().find(|m| m.name == name) {
            return Ok((entry.usual)());
        }
        let names = || METHODS.iter().map(|m| m.name);
        let hint = nearest(name, names()).map(|n| format!("; did you mean {n}?"));
        let all = names().collect::<Vec<_>>().join(", ");
        bail!(NotFound, "method: {name:?} is not one of {all}{}", hint.unwrap_or_default())
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Method::Dlg(_) => "dlg",
            Method::Idlg(_) => "idlg",
            Method::Cosine(_) => "cosine",
            Method::Analytic(_) => "analytic",
            Method::Updates(_) => "updates",
            Method::Features(_) => "features",
        }
    }

    /// Checks its constants.
    ///
    /// # Errors
    /// Names the one that is out of range.
    pub fn check(&self) -> Result<()> {
        match self {
            Method::Dlg(c) | Method::Idlg(c) if c.steps == 0 || c.restarts == 0 => {
                let (steps, restarts) = (c.steps, c.restarts);
                bail!(Config, "dlg: steps = {steps} and restarts = {restarts} must be at least 1");
            }
            Method::Dlg(_) | Method::Idlg(_) => Ok(()),
            Method::Cosine(c) => c.check("cosine").map(|_| ()),
            Method::Analytic(c) => c.features.check().map(|_| ()),
            Method::Updates(c) => {
                c.local.check().and_then(|()| c.search.check("updates")).map(|_| ())
            }
            Method::Features(c) => c.check().map(|_| ()),
        }
    }

    /// Runs it on what was seen. `labels` are the classes, where the attacker knows them; otherwise
    /// methods that need them read them off the gradient.
    ///
    /// # Errors
    /// A constant is out of range, what was seen is not what the method needs, or the device failed.
    pub fn run(
        &self,
        seen: &Seen<'_>,
        labels: Option<&[i64]>,
        rng: &Rng,
        progress: Progress<'_>,
    ) -> Result<Guess> {
        self.check()?;
        let known = || match (labels, &seen.leaked) {
            (Some(labels), _) => Ok(labels.to_vec()),
            (None, Leaked::Gradient(g)) => {
                labels::infer(seen.network, g, seen.samples, &rng.child("labels"))
            }
            (None, Leaked::Update(sum)) => {
                let steps = self.steps(seen.samples) as f64;
                let mean: Vec<Tensor> = sum.iter().map(|g| g * (1.0 / steps)).collect();
                labels::infer(seen.network, &mean, seen.samples, &rng.child("labels"))
            }
            (None, Leaked::Features { .. }) => Ok(Vec::new()),
        };
        match self {
            Method::Dlg(c) => c.run(seen, labels, rng, progress),
            Method::Idlg(c) => c.run(seen, Some(&known()?), rng, progress),
            Method::Cosine(c) => c.run(seen, &known()?, rng, progress),
            Method::Analytic(c) => {
                let labels = known().ok();
                c.run(seen, labels.as_deref(), rng, progress)
            }
            Method::Updates(c) => c.run(seen, &known()?, rng, progress),
            Method::Features(c) => c.run(seen, rng, progress),
        }
    }

    /// Local steps of a client on so many records.
    fn steps(&self, samples: usize) -> usize {
        match self {
            Method::Updates(c) => c.local.steps(samples).count(),
            _ => 1,
        }
    }
}
