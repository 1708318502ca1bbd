//! The result of a membership attack before it is summed up: a score of every sample.

use super::answers::Answers;
use crate::Result;
use crate::metrics::Roc;
use crate::report::{LearntThreshold, MembershipReport};

/// False-positive rates at which true-positive rates are reported.
pub const FPRS: [f64; 2] = [1e-2, 1e-3];

/// Scores of members and non-members; higher means member.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The attack, for people.
    pub attack: String,
    /// Scores of the members.
    pub members: Vec<f64>,
    /// Scores of the non-members.
    pub non_members: Vec<f64>,
    /// The threshold that the attack learnt on other samples, if it does.
    pub threshold: Option<f64>,
    /// What a reader must know of how the scores were made.
    pub notes: Vec<String>,
}

impl Scored {
    /// Scores without a threshold.
    pub fn new(attack: impl Into<String>, members: Vec<f64>, non_members: Vec<f64>) -> Self {
        Scored { attack: attack.into(), members, non_members, threshold: None, notes: Vec::new() }
    }

    /// Of scores of which the first `members` are those of members.
    pub fn split(attack: impl Into<String>, mut scores: Vec<f64>, members: usize) -> Self {
        let others = scores.split_off(members.min(scores.len()));
        Scored::new(attack, scores, others)
    }

    /// With something to know.
    #[must_use]
    pub fn noted(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The figures.
    ///
    /// # Errors
    /// A group is empty, or a score is NaN.
    pub fn report(&self) -> Result<MembershipReport> {
        let roc =
            Roc::new(&self.members, &self.non_members).map_err(|e| e.context(&self.attack))?;
        let learnt = |at| LearntThreshold::new(at, &self.members, &self.non_members);
        Ok(MembershipReport {
            learnt: self.threshold.and_then(learnt),
            notes: self.notes.clone(),
            ..MembershipReport::new(&self.attack, &roc, &FPRS)
        })
    }
}

/// Answers on members and on non-members.
#[derive(Debug, Clone, PartialEq)]
pub struct Sides {
    /// On members.
    pub members: Answers,
    /// On non-members.
    pub non_members: Answers,
}

impl Sides {
    /// Members first, then non-members.
    pub fn joined(&self) -> Answers {
        let mut all = self.members.clone();
        all.extend(&self.non_members);
        all
    }

    /// The scores that `of` gives each side.
    pub(super) fn scored(
        &self,
        attack: impl Into<String>,
        of: impl Fn(&Answers) -> Vec<f64>,
    ) -> Scored {
        Scored::new(attack, of(&self.members), of(&self.non_members))
    }
}
