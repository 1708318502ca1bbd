//! Decision boundaries of the linearised model: between the classes `from` and `to`,
//! `z_to - z_from + <dw, x' - x> = 0`.

use super::Norm;
use super::ball::largest;
use super::dlr::column;
use crate::grad::vector_jacobian;
use crate::{Result, Tensor, bail};

/// One boundary for each sample.
#[derive(Clone)]
pub(super) struct Face {
    /// `z_to - z_from`, `[N]`.
    pub(super) df: Tensor,
    /// Its gradient in the input, shaped like the input.
    pub(super) dw: Tensor,
}

impl Face {
    /// The boundary between two classes (`[N]` each), of logits with their history from `x`.
    pub(super) fn between(logits: &Tensor, x: &Tensor, from: &Tensor, to: &Tensor) -> Result<Self> {
        let hot = |class: &Tensor| class.one_hot(logits.dim(1), logits.dtype());
        let seed = hot(to) - hot(from);
        let df = (logits.detach() * &seed).sum_per_sample();
        let Some(dw) = vector_jacobian(logits, &seed, &[x])?.pop() else {
            bail!(Usage, "attack: one gradient was asked for and none came");
        };
        Ok(Face { df, dw })
    }

    /// Distance to the boundary without the box: `|df|` over the dual norm of its gradient, `[N]`.
    pub(super) fn distance(&self, norm: Norm) -> Tensor {
        let dual = match norm {
            Norm::Linf => self.dw.abs().sum_per_sample(),
            Norm::L2 => self.dw.square().sum_per_sample().sqrt(),
            Norm::L1 | Norm::L0 => largest(&self.dw.abs()),
        };
        self.df.abs() / dual.maximum(&dual.scalar(1e-12))
    }
}

/// Of the boundaries between `from` (`[N]`) and each of `others` (`[N, K]`) the nearest of each sample:
/// one backward pass for each.
pub(super) fn nearest_face(
    norm: Norm,
    logits: &Tensor,
    x: &Tensor,
    from: &Tensor,
    others: &Tensor,
) -> Result<Face> {
    let mut best = Face::between(logits, x, from, &column(others, 0))?;
    let mut distance = best.distance(norm);
    for k in 1..others.dim(1) {
        let face = Face::between(logits, x, from, &column(others, k))?;
        let new = face.distance(norm);
        let nearer = new.lt(&distance);
        best.df = face.df.where_(&nearer, &best.df);
        best.dw = face.dw.where_(&nearer.per_sample(x), &best.dw);
        distance = new.where_(&nearer, &distance);
    }
    Ok(best)
}
