//! What the target and its shadow models say of the same samples, and which shadow models were trained
//! on which of them: all that the attacks with shadow models read.

use super::answers::Answers;
use super::scored::Sides;
use crate::{Result, bail};

/// Answers of target and shadow models on some samples. Each answer is a list over the augmentations,
/// of which the first is the sample itself.
#[derive(Debug, Clone)]
pub struct Panel {
    /// The target's.
    pub target: Vec<Answers>,
    /// Each shadow model's.
    pub shadows: Vec<Vec<Answers>>,
    /// For each shadow model, whether it was trained on each sample.
    pub inside: Vec<Vec<bool>>,
}

/// Panels of the samples that are judged, members first, and of a population.
#[derive(Debug, Clone)]
pub struct Views {
    /// The samples that are judged.
    pub queried: Panel,
    /// Other samples that the target was not trained on.
    pub population: Panel,
    /// How many of the judged samples are members of the target.
    pub members: usize,
    /// Something to know about the shadow models, a line each.
    pub notes: Vec<String>,
}

impl Panel {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.target.first().map_or(0, Answers::len)
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A figure of every shadow model, augmentation and sample: `[shadow][augmentation][sample]`.
    pub(super) fn shadow_figures(&self, of: impl Fn(&[f64], usize) -> f64) -> Vec<Vec<Vec<f64>>> {
        let each = |answers: &Vec<Answers>| answers.iter().map(|a| a.map(&of)).collect();
        self.shadows.iter().map(each).collect()
    }

    /// The answers of each shadow model on the samples themselves, divided by its own membership.
    pub(super) fn as_sides(&self) -> Result<Vec<Sides>> {
        let each = self.shadows.iter().zip(&self.inside).map(|(answers, inside)| {
            let Some(plain) = answers.first() else {
                bail!(Usage, "membership: a shadow model without answers; ask it first");
            };
            let (yes, no): (Vec<usize>, Vec<usize>) =
                (0..inside.len()).partition(|&row| inside[row]);
            Ok(Sides { members: plain.select(&yes), non_members: plain.select(&no) })
        });
        each.collect()
    }
}
