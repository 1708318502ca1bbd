//! L-BFGS: quasi-Newton minimisation of a smooth function of tensors (Nocedal and Wright 2006,
//! algorithm 7.5), for attacks that fit a few hundred unknowns to a gradient.
//!
//! The state is as long as the unknowns, so it stays on their device; only inner products come to the
//! host. Steps satisfy the strong Wolfe conditions, which keep the curvature positive. Where the
//! function no longer changes in its last digits, a step is taken on the slopes alone (Hager and Zhang
//! 2005, equation 4.1): a minimum found by values has half the digits of the arithmetic.

use std::collections::VecDeque;

use crate::{Result, Tensor, bail};

/// Constants of the minimiser.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lbfgs {
    /// Steps at most.
    pub steps: usize,
    /// Pairs of steps and gradient changes that are remembered.
    pub memory: usize,
    /// Euclidean norm of the gradient at which it ends.
    pub tolerance: f64,
}

impl Default for Lbfgs {
    fn default() -> Self {
        Lbfgs { steps: 300, memory: 20, tolerance: 1e-10 }
    }
}

/// Why a minimisation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The gradient is as small as was asked for.
    Converged,
    /// No step lowers the function: its last digits, a kink, or a value that is not finite.
    Stuck,
    /// The steps are used up.
    Steps,
}

/// Where a minimisation ended.
#[derive(Debug, Clone)]
pub struct Minimum {
    /// The unknowns.
    pub x: Vec<Tensor>,
    /// The function there.
    pub value: f64,
    /// Euclidean norm of its gradient there.
    pub gradient_norm: f64,
    /// Steps taken.
    pub steps: usize,
    /// Times that the function was asked for.
    pub evaluations: usize,
    /// Why it ended.
    pub end: End,
}

/// The function: value and gradient, a tensor an unknown.
pub type Objective<'a> = dyn FnMut(&[Tensor]) -> Result<(f64, Vec<Tensor>)> + 'a;

/// Sufficient decrease and curvature, `c1` and `c2` of the Wolfe conditions.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// Relative change of the value below which slopes decide.
const DIGITS: f64 = 1e-12;
/// Evaluations of one line search.
const TRIALS: usize = 25;

impl Lbfgs {
    /// Minimises `objective` from `x`.
    ///
    /// # Errors
    /// The first value or gradient is not finite, or the objective failed.
    pub fn minimise(&self, x: Vec<Tensor>, objective: &mut Objective<'_>) -> Result<Minimum> {
        let mut search = Search { objective, evaluations: 0 };
        let mut at = search.start(x)?;
        let mut memory: VecDeque<Pair> = VecDeque::new();
        let (mut steps, mut end) = (0, End::Steps);
        while steps < self.steps {
            if norm(&at.gradient)? <= self.tolerance {
                end = End::Converged;
                break;
            }
            let direction = direction(&memory, &at.gradient)?;
            let slope = dot(&direction, &at.gradient)?;
            let unit = if memory.is_empty() { 1.0 / norm(&at.gradient)?.max(1.0) } else { 1.0 };
            let next = if slope < 0.0 { search.along(&at, &direction, slope, unit)? } else { None };
            match next {
                Some(next) => {
                    remember(&mut memory, self.memory, &at, &next)?;
                    at = next;
                    steps += 1;
                }
                // What is remembered may be wrong here: once more, along the gradient itself.
                None if !memory.is_empty() => memory.clear(),
                None => {
                    end = End::Stuck;
                    break;
                }
            }
        }
        let (value, gradient_norm) = (at.value, norm(&at.gradient)?);
        Ok(Minimum { x: at.x, value, gradient_norm, steps, evaluations: search.evaluations, end })
    }
}

/// A step and the change of the gradient over it.
struct Pair {
    step: Vec<Tensor>,
    change: Vec<Tensor>,
    /// `1 / <step, change>`.
    rho: f64,
}

fn remember(memory: &mut VecDeque<Pair>, most: usize, from: &Point, to: &Point) -> Result<()> {
    let step = zip(&to.x, &from.x, |a, b| a - b);
    let change = zip(&to.gradient, &from.gradient, |a, b| a - b);
    let curvature = dot(&step, &change)?;
    // Rounding can make it nothing or negative; such a pair says nothing of the curvature.
    if curvature > f64::EPSILON * dot(&change, &change)? {
        memory.push_back(Pair { step, change, rho: 1.0 / curvature });
        if memory.len() > most.max(1) {
            memory.pop_front();
        }
    }
    Ok(())
}

/// Minus the inverse Hessian that the memory implies, times the gradient: the two-loop recursion.
fn direction(memory: &VecDeque<Pair>, gradient: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut q: Vec<Tensor> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(memory.len());
    for pair in memory.iter().rev() {
        let alpha = pair.rho * dot(&pair.step, &q)?;
        q = zip(&q, &pair.change, |q, y| q - &(y * alpha));
        alphas.push(alpha);
    }
    if let Some(last) = memory.back() {
        let scale = 1.0 / (last.rho * dot(&last.change, &last.change)?);
        q = q.into_iter().map(|q| q * scale).collect();
    }
    for (pair, alpha) in memory.iter().zip(alphas.into_iter().rev()) {
        let beta = pair.rho * dot(&pair.change, &q)?;
        q = zip(&q, &pair.step, |q, s| q + &(s * (alpha - beta)));
    }
    Ok(q)
}

/// A point with what is known of it.
#[derive(Clone)]
struct Point {
    /// How far along the direction of the search.
    at: f64,
    x: Vec<Tensor>,
    value: f64,
    gradient: Vec<Tensor>,
    /// Slope along the direction of the search.
    slope: f64,
}

struct Search<'a, 'b> {
    objective: &'a mut Objective<'b>,
    evaluations: usize,
}

impl Search<'_, '_> {
    fn start(&mut self, x: Vec<Tensor>) -> Result<Point> {
        let (value, gradient) = self.ask(&x)?;
        if !value.is_finite() || !norm(&gradient)?.is_finite() {
            bail!(Numeric, "l-bfgs: the function is {value} where it starts; start elsewhere");
        }
        Ok(Point { at: 0.0, x, value, gradient, slope: 0.0 })
    }

    fn ask(&mut self, x: &[Tensor]) -> Result<(f64, Vec<Tensor>)> {
        self.evaluations += 1;
        let (value, gradient) = (self.objective)(x)?;
        if gradient.len() != x.len() {
            let (g, x) = (gradient.len(), x.len());
            bail!(Usage, "l-bfgs: {g} gradients for {x} unknowns; return one for each");
        }
        Ok((value, gradient))
    }

    fn point(&mut self, from: &Point, direction: &[Tensor], at: f64) -> Result<Point> {
        let x = zip(&from.x, direction, |x, d| x + &(d * at));
        let (value, gradient) = self.ask(&x)?;
        let slope = dot(&gradient, direction)?;
        Ok(Point { at, x, value, gradient, slope })
    }

    /// A point along `direction` that satisfies the strong Wolfe conditions, or the best that lowers
    /// the function enough (Nocedal and Wright, algorithms 3.5 and 3.6 in one loop).
    fn along(
        &mut self,
        from: &Point,
        direction: &[Tensor],
        slope: f64,
        first: f64,
    ) -> Result<Option<Point>> {
        let mut low = Point { at: 0.0, slope, ..from.clone() };
        let mut high: Option<Point> = None;
        let mut at = first;
        for _ in 0..TRIALS {
            let point = self.point(from, direction, at)?;
            let finite = point.value.is_finite() && point.slope.is_finite();
            if finite && (wolfe(from, &point, slope) || flat(from, &point, slope)) {
                return Ok(Some(point));
            }
            let enough = from.value + DECREASE * at * slope;
            if !finite || point.value > enough || point.value >= low.value {
                high = Some(point);
            } else {
                let up = match &high {
                    Some(high) => point.slope * (high.at - low.at) >= 0.0,
                    None => point.slope >= 0.0,
                };
                let old = std::mem::replace(&mut low, point);
                if up {
                    high = Some(old);
                }
            }
            at = high.as_ref().map_or(2.0 * at, |high| between(&low, high));
        }
        Ok((low.at > 0.0).then_some(low))
    }
}

fn wolfe(from: &Point, to: &Point, slope: f64) -> bool {
    to.value <= from.value + DECREASE * to.at * slope && to.slope.abs() <= -CURVATURE * slope
}

/// The values agree in all the digits they have, and the slopes say that this is a step down.
fn flat(from: &Point, to: &Point, slope: f64) -> bool {
    (to.value - from.value).abs() <= DIGITS * from.value.abs()
        && to.slope <= (2.0 * DECREASE - 1.0) * slope
        && to.slope >= CURVATURE * slope
}

/// The minimum of the cubic through both ends, kept away from them.
fn between(low: &Point, high: &Point) -> f64 {
    let width = high.at - low.at;
    let middle = low.at + 0.5 * width;
    let d1 = low.slope + high.slope - 3.0 * (high.value - low.value) / width;
    let root = (d1 * d1 - low.slope * high.slope).max(0.0).sqrt() * width.signum();
    let cubic = high.at - width * (high.slope + root - d1) / (high.slope - low.slope + 2.0 * root);
    let share = (cubic - low.at) / width;
    if share.is_finite() { low.at + share.clamp(0.1, 0.9) * width } else { middle }
}

fn zip(a: &[Tensor], b: &[Tensor], f: impl Fn(&Tensor, &Tensor) -> Tensor) -> Vec<Tensor> {
    a.iter().zip(b).map(|(a, b)| f(a, b)).collect()
}

fn dot(a: &[Tensor], b: &[Tensor]) -> Result<f64> {
    a.iter().zip(b).map(|(a, b)| (a * b).sum_all().item()).sum()
}

fn norm(a: &[Tensor]) -> Result<f64> {
    Ok(dot(a, a)?.sqrt())
}
