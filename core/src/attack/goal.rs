//! What an attack is to reach.

use serde::{Deserialize, Serialize};

use crate::loss::{cross_entropy, margin};
use crate::op::Fused;
use crate::{DType, Result, Tensor, bail};

/// How the goal of each sample of a data set is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// Any class but the label.
    Untargeted,
    /// The class after the label, the first after the last.
    Next,
    /// One class for all samples.
    Class(i64),
    /// The class so many after the label, counting on from the first after the last: with every number
    /// below that of classes, each other class is aimed at once.
    After(usize),
}

impl Aim {
    /// The goal of samples with these labels.
    ///
    /// # Errors
    /// The device failed.
    pub fn goal(self, labels: &Tensor, classes: usize) -> Result<Goal> {
        let target = |target: &dyn Fn(i64) -> i64| {
            let targets: Vec<i64> = labels.to_vec::<i64>()?.into_iter().map(target).collect();
            Ok(Goal::Targeted(Tensor::from_slice(labels.device(), &targets, &labels.shape())?))
        };
        match self {
            Aim::Untargeted => Ok(Goal::Untargeted(labels.clone())),
            Aim::Next => target(&|label| (label + 1) % classes as i64),
            Aim::Class(class) => target(&|_| class),
            Aim::After(count) => target(&|label| (label + count as i64) % classes as i64),
        }
    }
}

impl std::str::FromStr for Aim {
    type Err = crate::Error;
    fn from_str(text: &str) -> Result<Self> {
        match (text, text.parse()) {
            ("none", _) => Ok(Aim::Untargeted),
            ("next", _) => Ok(Aim::Next),
            (_, Ok(class)) => Ok(Aim::Class(class)),
            _ => bail!(Config, "target: {text:?} is not a class number, next or none"),
        }
    }
}

/// Any wrong class, or a particular one.
#[derive(Debug, Clone)]
pub enum Goal {
    /// A prediction other than the labels `[N]` (i64).
    Untargeted(Tensor),
    /// The prediction of the targets `[N]` (i64).
    Targeted(Tensor),
}

impl Goal {
    /// Labels or targets.
    pub fn classes(&self) -> &Tensor {
        match self {
            Goal::Untargeted(y) | Goal::Targeted(y) => y,
        }
    }

    /// Whether a particular class is wanted.
    pub fn is_targeted(&self) -> bool {
        matches!(self, Goal::Targeted(_))
    }

    /// The same goal for the samples `rows` (`[K]`, i64).
    #[must_use]
    pub fn take(&self, rows: &Tensor) -> Self {
        match self {
            Goal::Untargeted(y) => Goal::Untargeted(y.take(0, rows)),
            Goal::Targeted(y) => Goal::Targeted(y.take(0, rows)),
        }
    }

    /// What falls on the way to a target, as something to ascend.
    fn ascended(&self, loss: Tensor) -> Tensor {
        if self.is_targeted() { -loss } else { loss }
    }

    /// The cross-entropy to ascend, `[N]`: of the label, or minus that of the target.
    #[must_use]
    pub fn objective(&self, logits: &Tensor) -> Tensor {
        self.ascended(cross_entropy(logits, self.classes()))
    }

    /// The gradient of [`Goal::objective`] in the logits, `[N, C]`: `softmax(z) - onehot(y)`, or minus
    /// that for a target.
    pub(super) fn objective_slope(&self, logits: &Tensor) -> Tensor {
        let y = self.classes();
        let sign = if self.is_targeted() { -1.0 } else { 1.0 };
        let each = Tensor::full(logits.device(), logits.dtype(), &y.shape(), sign);
        Tensor::fused(Fused::SoftmaxXentGrad, [logits.clone(), y.clone(), each])
    }

    /// The margin to ascend, `[N]`: positive where the goal is reached (ties aside).
    #[must_use]
    pub fn margin(&self, logits: &Tensor) -> Tensor {
        self.ascended(margin(logits, self.classes()))
    }

    /// 1 where the logits reach the goal, else 0: `[N]`, i64.
    #[must_use]
    pub fn reached(&self, logits: &Tensor) -> Tensor {
        let hit = logits.argmax(1).reshape(&[logits.dim(0)]).eq(self.classes());
        if self.is_targeted() { hit } else { hit.eq(&hit.scalar(0.0)) }
    }

    /// Checks that there is one class per sample and that the model has it.
    ///
    /// # Errors
    /// Names what does not fit.
    pub fn check(&self, samples: usize, classes: usize) -> Result<()> {
        let y = self.classes().check()?;
        let what = if self.is_targeted() { "targets" } else { "labels" };
        if y.dtype() != DType::I64 || *y.shape() != [samples] {
            bail!(Shape, "attack: {what} {} for {samples} samples; give i64[{samples}]", y.aval());
        }
        match y.to_vec::<i64>()?.iter().find(|&&c| c < 0 || c >= classes as i64) {
            Some(c) => bail!(Data, "attack: class {c} among the {what} of a {classes}-class model"),
            None => Ok(()),
        }
    }
}
