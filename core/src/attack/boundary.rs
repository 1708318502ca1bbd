//! Decision boundaries of the linearised model: between the classes `from` and `to`,
//! `z_to - z_from + <dw, x' - x> = 0`; and the nearest points of such a plane within the box.
//!
//! Reference implementations sort the values to find those points. Here the multiplier is found by
//! Newton's method (Linf, L2) or bisection (L1), which need no sorting and so run on every backend.

use super::Norm;
use super::ball::{bisect, largest, length2};
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
        let dual = dual_size(norm, &self.dw);
        self.df.abs() / dual.maximum(&dual.scalar(1e-12))
    }
}

/// Dual norm of a gradient: by how much a change of size 1 in `norm` raises a linear function, `[N]`. (In
/// L0, a change of one value by 1.)
pub(super) fn dual_size(norm: Norm, g: &Tensor) -> Tensor {
    match norm {
        Norm::Linf => g.abs().sum_per_sample(),
        Norm::L2 => length2(g),
        Norm::L1 | Norm::L0 => largest(&g.abs()),
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

/// Newton steps towards the multiplier. They are exact once the set of values that reach the edge of
/// the box no longer changes, which takes a handful.
const NEWTON_STEPS: usize = 8;

/// The smallest change `d` in `norm` (Linf, L2 or L1) with `c + <w, d> = 0` and `x + d` in the box, for
/// `c` (`[N]`); where the box is too small, the change that comes nearest to it.
pub(super) fn onto_plane(
    norm: Norm,
    x: &Tensor,
    c: &Tensor,
    w: &Tensor,
    [lo, hi]: [f64; 2],
) -> Tensor {
    let sign = -(w.sign() * c.sign().per_sample(x));
    let zero = x.scalar(0.0);
    let up = zero.lt(&sign);
    // How far each value can go in its direction; nowhere if it has no influence.
    let room = x.affine(-1.0, hi).where_(&up, &(x - lo)) * sign.abs();
    let (weight, need) = (w.abs(), c.abs());
    let moved = match norm {
        Norm::Linf => water_level(&room, &weight, &weight.fill(1.0), &need),
        Norm::L2 => water_level(&room, &weight, &weight, &need),
        Norm::L1 | Norm::L0 => greedy(&room, &weight, &need),
    };
    let short = (&weight * &room).sum_per_sample().lt(&need);
    room.where_(&short.per_sample(x), &moved) * sign
}

/// `min(t speed, room)` for the `t` of each sample with `sum(weight min(t speed, room)) = need`.
fn water_level(room: &Tensor, weight: &Tensor, speed: &Tensor, need: &Tensor) -> Tensor {
    // The level at which a value is at the edge of the box.
    let full = room / &speed.maximum(&speed.scalar(1e-30));
    let worth = weight * room;
    let total = worth.sum_per_sample();
    let sums = Sums::of(&[weight * speed, worth]);
    let mut t = need.fill(0.0);
    for _ in 0..NEWTON_STEPS {
        let (slope, below) = sums.over(&t.per_sample(&full).lt(&full));
        t = (need - &(&total - &below)) / slope.maximum(&slope.scalar(1e-30));
    }
    (speed * &t.per_sample(speed)).minimum(room)
}

/// Sums of two lists of values over any part of each sample: one product of matrices for both.
struct Sums(Tensor);

impl Sums {
    fn of(values: &[Tensor; 2]) -> Self {
        let [a, b] = values.each_ref().map(|v| v.reshape(&[v.dim(0), 1, features(v)]));
        Sums(a.concat(&[b], 1))
    }

    /// The sums where `flags` are 1, `[N]` each.
    fn over(&self, flags: &Tensor) -> (Tensor, Tensor) {
        let flags = flags.reshape(&[flags.dim(0), 1, features(flags)]);
        let sums = flags.matmul_t(&self.0, false, true);
        let at = |i: usize| sums.narrow(2, i, 1).reshape(&[sums.dim(0)]);
        (at(0), at(1))
    }
}

fn features(x: &Tensor) -> usize {
    x.shape().iter().skip(1).product()
}

/// All of the room of the values of largest weight, and a share of that of the last ones.
fn greedy(room: &Tensor, weight: &Tensor, need: &Tensor) -> Tensor {
    let useful = weight * &room.scalar(0.0).lt(room);
    let worth = weight * room;
    let above = |t: &Tensor| t.per_sample(room).lt(&useful);
    let gain = |chosen: &Tensor| (chosen * &worth).sum_per_sample();
    let threshold = bisect(&useful, |t| gain(&above(t)), need);
    let whole = above(&threshold);
    let rest = useful.where_(&whole.eq(&whole.scalar(0.0)), &useful.scalar(0.0));
    let last = rest.eq(&largest(&rest).per_sample(room)) * rest.scalar(0.0).lt(&rest);
    let (left, worth) = (need - &gain(&whole), gain(&last));
    let share = (left / worth.maximum(&worth.scalar(1e-30))).clamp(0.0, 1.0);
    room * &(whole + last * share.per_sample(room))
}
