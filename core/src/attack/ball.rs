//! Norm balls: projections, random points, distances.

use serde::{Deserialize, Serialize};

use super::Draws;
use crate::metrics::Norm;
use crate::op::Fused;
use crate::{Result, Tensor, bail};

/// Radius in `norm` of a ball that contains the whole box `[lo, hi]^features`, around any of its
/// points.
pub fn diameter(norm: Norm, features: usize, [lo, hi]: [f64; 2]) -> f64 {
    let n = features as f64;
    match norm {
        Norm::Linf => hi - lo,
        Norm::L2 => (hi - lo) * n.sqrt(),
        Norm::L1 => (hi - lo) * n,
        Norm::L0 => n,
    }
}

/// A norm and the largest perturbation allowed in it, in units of the input's values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threat {
    /// The norm.
    pub norm: Norm,
    /// The radius.
    pub eps: f64,
}

impl Threat {
    /// A ball of radius `eps`.
    pub const fn new(norm: Norm, eps: f64) -> Self {
        Threat { norm, eps }
    }

    /// No ball, only the box: what is wanted is the smallest perturbation that reaches the goal.
    /// Attacks that need a radius refuse it; see [`AttackSpec::MINIMAL`](super::AttackSpec::MINIMAL).
    pub const fn unbounded(norm: Norm) -> Self {
        Threat { norm, eps: f64::INFINITY }
    }

    /// A ball of radius `eps`, or none.
    pub(super) fn of(norm: Norm, eps: Option<f64>) -> Self {
        eps.map_or(Threat::unbounded(norm), |eps| Threat { norm, eps })
    }

    /// The radius, or `None` without one.
    pub fn budget(&self) -> Option<f64> {
        (self.eps != f64::INFINITY).then_some(self.eps)
    }

    /// Checks the radius by itself.
    ///
    /// # Errors
    /// It is negative or not finite.
    pub fn check(&self) -> Result<()> {
        if !(self.eps >= 0.0 && self.eps.is_finite()) {
            bail!(Config, "attack: eps = {} must be a number of at least 0", self.eps);
        }
        Ok(())
    }

    /// Checks the radius against the box `bounds` of inputs with this many features.
    ///
    /// # Errors
    /// It is negative, not finite, or exceeds the box: no two inputs are that far apart.
    pub fn check_within(&self, features: usize, bounds: [f64; 2]) -> Result<()> {
        self.check()?;
        let [lo, hi] = bounds;
        let diameter = diameter(self.norm, features, bounds);
        if self.eps > diameter * (1.0 + 1e-9) {
            bail!(
                Config,
                "attack: eps = {} exceeds the box: inputs in [{lo}, {hi}] are at most {diameter:.4} \
                 apart in {}; is eps meant for 0..255?",
                self.eps,
                self.norm
            );
        }
        Ok(())
    }

    /// How far a projected perturbation may exceed the radius by
    /// rounding: an f32 ulp of the largest input for each value, and a relative 1e-6.
    pub(crate) fn tolerance(&self, features: usize, [lo, hi]: [f64; 2]) -> f64 {
        let ulp = f64::from(f32::EPSILON) * lo.abs().max(hi.abs()).max(self.eps);
        let terms = match self.norm {
            Norm::Linf | Norm::L0 => 1.0,
            Norm::L2 => (features as f64).sqrt(),
            Norm::L1 => features as f64,
        };
        1e-6 * (1.0 + self.eps) + ulp * terms
    }

    /// The nearest point to `x` within the ball around `x0` and the box (L1: of both at once;
    /// L2 and L0: first the ball, then the box, as every reference implementation does).
    #[must_use]
    pub fn project(&self, x: &Tensor, x0: &Tensor, bounds: [f64; 2]) -> Tensor {
        let [lo, hi] = bounds;
        match self.norm {
            _ if self.budget().is_none() => x.clamp(lo, hi),
            Norm::Linf => {
                // A step of length 0, for the projection at its end.
                let op = Fused::PgdStep { step: 0.0, eps: self.eps, lo, hi };
                Tensor::fused(op, [x.clone(), x.clone(), x0.clone()])
            }
            _ => project(self.norm, x, x0, &x.scalar(self.eps), bounds),
        }
    }

    /// A random point of the ball around `x0`, cut off at the box: uniform in the cube (Linf) and in
    /// the ball (L2: a Gaussian direction and radius u^(1/d); L1: exponentials with random signs
    /// over their sum with one more, Barthe et al. 2005; L0: `x0` itself).
    ///
    /// # Errors
    /// The device failed.
    pub fn random_start(&self, x0: &Tensor, draws: &Draws, [lo, hi]: [f64; 2]) -> Result<Tensor> {
        let eps = self.eps;
        let noise = draws.tensor(x0, |rng, out| match self.norm {
            Norm::Linf => out.iter_mut().for_each(|v| *v = rng.uniform(-eps, eps) as f32),
            Norm::L2 => {
                let mut direction: Vec<f64> = out.iter().map(|_| rng.normal()).collect();
                let length = Norm::L2.of(direction.iter().copied()).max(1e-12);
                let radius = eps * rng.uniform(0.0, 1.0).powf(1.0 / out.len() as f64);
                direction.iter_mut().for_each(|v| *v *= radius / length);
                out.iter_mut().zip(direction).for_each(|(o, v)| *o = v as f32);
            }
            Norm::L0 => out.fill(0.0),
            Norm::L1 => {
                let sizes: Vec<f64> = out.iter().map(|_| rng.exponential()).collect();
                let total = sizes.iter().sum::<f64>() + rng.exponential();
                for (o, size) in out.iter_mut().zip(sizes) {
                    let sign = if rng.bernoulli(0.5) { 1.0 } else { -1.0 };
                    *o = (sign * eps * size / total) as f32;
                }
            }
        })?;
        Ok((x0 + &noise).clamp(lo, hi))
    }
}

/// [`Threat::project`] with a radius for each sample (`[N]`), or a scalar for all (not in Linf).
pub(super) fn project(
    norm: Norm,
    x: &Tensor,
    x0: &Tensor,
    eps: &Tensor,
    [lo, hi]: [f64; 2],
) -> Tensor {
    match norm {
        Norm::Linf => {
            let eps = eps.per_sample(x);
            x.maximum(&(x0 - &eps)).minimum(&(x0 + &eps)).clamp(lo, hi)
        }
        Norm::L2 => {
            let delta = x - x0;
            let length = length2(&delta);
            let factor = eps / &length.maximum(&length.scalar(1e-12));
            let factor = factor.minimum(&length.scalar(1.0)).per_sample(x);
            (x0 + delta * factor).clamp(lo, hi)
        }
        Norm::L1 => project_l1(x, x0, eps, [lo, hi]),
        Norm::L0 => project_l0(x, x0, eps).clamp(lo, hi),
    }
}

/// Size of each sample's perturbation, `[N]`.
pub(super) fn sizes(norm: Norm, delta: &Tensor) -> Tensor {
    match norm {
        Norm::Linf => largest(&delta.abs()),
        Norm::L2 => length2(delta),
        Norm::L1 => delta.abs().sum_per_sample(),
        Norm::L0 => delta.scalar(0.0).lt(&delta.abs()).sum_per_sample(),
    }
}

/// The largest value of each sample, `[N]`.
pub(super) fn largest(values: &Tensor) -> Tensor {
    let n = values.dim(0);
    values.reshape(&[n, values.shape().iter().skip(1).product()]).max(1).reshape(&[n])
}

/// Euclidean length per sample, `[N]`.
pub(super) fn length2(delta: &Tensor) -> Tensor {
    delta.square().sum_per_sample().sqrt()
}

/// Halvings of the interval that holds a threshold: more than an f32 can resolve.
const HALVINGS: usize = 40;

/// Projection onto the L1 ball and the box at once: `clip(sign(d) max(|d| - t, 0), lo - x0, hi - x0)`
/// for the smallest `t >= 0` that keeps to the budget (the condition of Croce and Hein 2021,
/// proposition 2.1), found by bisection, which needs no sorting and so runs on every backend.
fn project_l1(x: &Tensor, x0: &Tensor, eps: &Tensor, [lo, hi]: [f64; 2]) -> Tensor {
    let delta = x - x0;
    let (size, sign) = (delta.abs(), delta.sign());
    // How far each value may go in the direction that it went.
    let zero = x.scalar(0.0);
    let room = x0.affine(-1.0, hi).where_(&zero.lt(&delta), &(x0 - lo));
    let shrunk = |t: &Tensor| (&size - &t.per_sample(x)).maximum(&zero).minimum(&room);
    let threshold = bisect(&size, |t| shrunk(t).sum_per_sample(), eps);
    (x0 + shrunk(&threshold) * sign).clamp(lo, hi)
}

/// The `eps` largest changes (fewer where several are equally large).
fn project_l0(x: &Tensor, x0: &Tensor, eps: &Tensor) -> Tensor {
    let delta = x - x0;
    let size = delta.abs();
    let above = |t: &Tensor| t.per_sample(x).lt(&size);
    let threshold = bisect(&size, |t| above(t).sum_per_sample(), eps);
    x0 + delta * above(&threshold)
}

/// Per sample, the smallest `t` in `[0, max(values)]` with `amount(t) <= limit`, for an `amount` that
/// falls with `t`; `limit` is a scalar or `[N]`. `[N]`.
pub(super) fn bisect(
    values: &Tensor,
    amount: impl Fn(&Tensor) -> Tensor,
    limit: &Tensor,
) -> Tensor {
    let mut above = largest(values);
    let mut below = above.fill(0.0);
    let enough = amount(&below).le(limit);
    for _ in 0..HALVINGS {
        let middle = (&below + &above) * 0.5;
        let fits = amount(&middle).le(limit);
        above = middle.where_(&fits, &above);
        below = below.where_(&fits, &middle);
    }
    above.fill(0.0).where_(&enough, &above)
}
