//! The samples that an attack will meet, for those that make one thing for all of them.
//!
//! A batch is what a device has room for, and what an attack is given; a perturbation that is to fool all
//! of a data set cannot be made of that without depending on the size of batches. So such an attack sees
//! all samples first ([`Attack::fitted`](super::Attack::fitted)), in portions of its own choice.

use super::{Aim, Draws, Goal};
use crate::data::Dataset;
use crate::place::Placement;
use crate::rng::Rng;
use crate::{Result, Tensor};

/// Samples with their goals and their randomness.
pub struct Samples<'a> {
    source: Source<'a>,
}

enum Source<'a> {
    Batch { x: &'a Tensor, goal: &'a Goal, draws: &'a Draws },
    Rows { data: &'a Dataset, rows: &'a [usize], aim: Aim, place: &'a Placement, rng: &'a Rng },
}

/// Some of the samples, on the device.
pub(super) struct Portion {
    /// `[N, ...]`.
    pub(super) x: Tensor,
    pub(super) goal: Goal,
    pub(super) draws: Draws,
}

impl<'a> Samples<'a> {
    /// Those of one batch.
    pub fn batch(x: &'a Tensor, goal: &'a Goal, draws: &'a Draws) -> Self {
        Samples { source: Source::Batch { x, goal, draws } }
    }

    /// Rows of a data set, as [`perturb_rows`](super::perturb_rows) takes them.
    pub fn rows(
        data: &'a Dataset,
        rows: &'a [usize],
        aim: Aim,
        place: &'a Placement,
        rng: &'a Rng,
    ) -> Self {
        Samples { source: Source::Rows { data, rows, aim, place, rng } }
    }

    /// Their number.
    pub fn count(&self) -> usize {
        match self.source {
            Source::Batch { x, .. } => x.dim(0),
            Source::Rows { rows, .. } => rows.len(),
        }
    }

    /// Randomness that they share.
    pub(super) fn rng(&self) -> &'a Rng {
        match self.source {
            Source::Batch { draws, .. } => &draws.rng,
            Source::Rows { rng, .. } => rng,
        }
    }

    /// The samples at these places.
    pub(super) fn portion(&self, at: &[usize]) -> Result<Portion> {
        match self.source {
            Source::Batch { x, goal, draws } => {
                let index = super::rows::index(x, at)?;
                let (x, goal) = (x.take(0, &index), goal.take(&index));
                Ok(Portion { x, goal, draws: draws.select(at) })
            }
            Source::Rows { data, rows, aim, place, rng } => {
                let rows: Vec<usize> = at.iter().map(|&i| rows[i]).collect();
                let (x, y) = place.tensors(data, &rows)?;
                let ids = rows.iter().map(|&row| row as u64).collect();
                let goal = aim.goal(&y, data.classes)?;
                Ok(Portion { x, goal, draws: Draws::new(rng.clone(), ids) })
            }
        }
    }

    /// All of them, in portions of `size`.
    pub(super) fn portions(&self, size: usize) -> impl Iterator<Item = Result<Portion>> + '_ {
        let (count, size) = (self.count(), size.max(1));
        (0..count).step_by(size).map(move |start| {
            let at: Vec<usize> = (start..count.min(start + size)).collect();
            self.portion(&at)
        })
    }
}
