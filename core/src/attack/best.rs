//! The best iterates of a batch, decided per sample: what an attack with a budget returns is the
//! strongest point it saw, what one without a budget returns is the nearest that fools.

use super::ball::sizes;
use super::{Goal, Norm, rows};
use crate::{Result, Tensor};

/// The strongest iterates so far: one that reaches the goal before one that does not, then the one
/// of larger loss.
#[derive(Clone)]
pub(super) struct Best {
    pub(super) x: Tensor,
    /// Objective, `[N]`.
    pub(super) loss: Tensor,
    /// 1 where the goal is reached, `[N]`, in the dtype of the loss.
    pub(super) reached: Tensor,
}

impl Best {
    /// The iterate `x` with its logits.
    pub(super) fn at(x: &Tensor, logits: &Tensor, goal: &Goal) -> Self {
        Best::of(x, logits, goal.objective(logits), goal)
    }

    /// As [`Best::at`], judged by another loss, `[N]`, than that of the goal.
    pub(super) fn of(x: &Tensor, logits: &Tensor, loss: Tensor, goal: &Goal) -> Self {
        Best { x: x.clone(), reached: goal.reached(logits).cast(loss.dtype()), loss }
    }

    /// Takes over what is better in `new`.
    pub(super) fn update(best: &mut Option<Best>, new: Best) {
        match best {
            Some(old) => old.improve(new),
            None => *best = Some(new),
        }
    }

    /// Takes over what is better in `new`.
    pub(super) fn improve(&mut self, new: Best) {
        let gained = self.reached.lt(&new.reached);
        let stronger = self.reached.eq(&new.reached) * self.loss.lt(&new.loss);
        let better = gained.maximum(&stronger);
        self.x = new.x.where_(&better.per_sample(&new.x), &self.x);
        self.loss = new.loss.where_(&better, &self.loss);
        self.reached = new.reached.maximum(&self.reached);
    }

    /// The samples `at` of the batch.
    pub(super) fn select(&self, at: &[usize]) -> Result<Self> {
        let at = rows::index(&self.x, at)?;
        Ok(Best {
            x: self.x.take(0, &at),
            loss: self.loss.take(0, &at),
            reached: self.reached.take(0, &at),
        })
    }

    /// Takes over what is better in `new`, which is of the samples `at`.
    pub(super) fn improve_at(&mut self, at: &[usize], new: Best) -> Result<()> {
        let mut part = self.select(at)?;
        part.improve(new);
        self.replace(at, &part)
    }

    /// Puts `part` in the place of the samples `at`.
    pub(super) fn replace(&mut self, at: &[usize], part: &Best) -> Result<()> {
        self.x = rows::replaced(&self.x, at, &part.x)?;
        self.loss = rows::replaced(&self.loss, at, &part.loss)?;
        self.reached = rows::replaced(&self.reached, at, &part.reached)?;
        Ok(())
    }
}

/// The nearest iterates so far that reach the goal.
#[derive(Clone)]
pub(super) struct Nearest {
    /// The iterate; where none was found, the original.
    pub(super) x: Tensor,
    /// Its distance, `[N]`; infinite where none was found.
    pub(super) size: Tensor,
    norm: Norm,
}

impl Nearest {
    /// Nothing found yet for the originals `x0`.
    pub(super) fn none(norm: Norm, x0: &Tensor) -> Self {
        let size = Tensor::full(x0.device(), x0.dtype(), &[x0.dim(0)], f64::INFINITY);
        Nearest { x: x0.clone(), size, norm }
    }

    /// Takes over the iterates `x` that reach the goal (1 in `reached`, `[N]`) from a smaller distance.
    pub(super) fn update(&mut self, x: &Tensor, x0: &Tensor, reached: &Tensor) {
        let size = sizes(self.norm, &(x - x0));
        self.update_sized(x, size, reached);
    }

    /// As [`Nearest::update`], with the distances at hand.
    pub(super) fn update_sized(&mut self, x: &Tensor, size: Tensor, reached: &Tensor) {
        let better = size.lt(&self.size) * reached;
        self.x = x.where_(&better.per_sample(x), &self.x);
        self.size = size.where_(&better, &self.size);
    }

    /// 1 where an iterate was found, `[N]`.
    pub(super) fn found(&self) -> Tensor {
        self.size.lt(&self.size.scalar(f64::INFINITY))
    }

    /// The samples `at` of the batch.
    pub(super) fn select(&self, at: &[usize]) -> Result<Self> {
        let at = rows::index(&self.x, at)?;
        Ok(Nearest { x: self.x.take(0, &at), size: self.size.take(0, &at), norm: self.norm })
    }

    /// Takes over what is nearer in `part`, which is of the samples `at`.
    pub(super) fn merge(&mut self, at: &[usize], part: &Nearest) -> Result<()> {
        let mut old = self.select(at)?;
        let found = part.found();
        old.update_sized(&part.x, part.size.clone(), &found);
        self.x = rows::replaced(&self.x, at, &old.x)?;
        self.size = rows::replaced(&self.size, at, &old.size)?;
        Ok(())
    }
}
