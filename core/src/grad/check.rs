//! Finite-difference checks of first and second derivatives.
//!
//! Central differences in f64 of a random directional functional: for `y = f(x)`, a random vector
//! `u` and random directions `d`, the derivative of `<u, f(x + t d)>` at `t = 0` must be
//! `<grad, d>`; and that of `<v, grad(x + t d)>` must be what differentiating twice gives. A few
//! directions test every element at once, where a check element by element costs one evaluation
//! each. Points where the function has a kink between `x - h d` and `x + h d` give a false alarm:
//! choose inputs away from ties.

use crate::tensor::Tensor;
use crate::{Result, bail};

use super::{grad, grad_graph};

/// How far an analytic derivative is from its finite difference.
#[derive(Debug, Clone, Copy)]
pub struct Mismatch {
    /// From the rules.
    pub analytic: f64,
    /// From central differences.
    pub numeric: f64,
}

impl Mismatch {
    /// `|analytic - numeric| / max(1, |analytic|, |numeric|)`.
    pub fn relative(&self) -> f64 {
        let scale = self.analytic.abs().max(self.numeric.abs()).max(1.0);
        (self.analytic - self.numeric).abs() / scale
    }
}

/// A function of tensors under test.
pub type Function<'a> = &'a dyn Fn(&[Tensor]) -> Tensor;

/// First derivatives of `f` at `xs` along `dirs`, with output weights `u`; all in f64.
///
/// # Errors
/// `f` failed, or operands are not f64.
pub fn first_order(
    f: Function<'_>,
    xs: &[Tensor],
    dirs: &[Tensor],
    u: &Tensor,
) -> Result<Mismatch> {
    let value = |xs: &[Tensor]| (f(xs) * u).sum_all();
    directional(xs, dirs, &value, |vars| {
        let refs: Vec<&Tensor> = vars.iter().collect();
        grad(&value(vars), &refs)
    })
}

/// Second derivatives of `f` at `xs`: those of `<vs, grad f>` along `dirs`.
///
/// # Errors
/// `f` failed, or operands are not f64.
pub fn second_order(
    f: Function<'_>,
    xs: &[Tensor],
    dirs: &[Tensor],
    u: &Tensor,
    vs: &[Tensor],
) -> Result<Mismatch> {
    let inner = |vars: &[Tensor]| -> Result<Tensor> {
        let refs: Vec<&Tensor> = vars.iter().collect();
        let grads = grad_graph(&(f(vars) * u).sum_all(), &refs)?;
        let terms = grads.iter().zip(vs).map(|(g, v)| (g * v).sum_all());
        Ok(terms.reduce(|a, b| a + b).unwrap_or_else(|| u.scalar(0.0)))
    };
    let value = |xs: &[Tensor]| {
        let vars: Vec<Tensor> = xs.iter().map(Tensor::tracked).collect();
        inner(&vars).unwrap_or_else(|err| Tensor::failed(u.device(), err))
    };
    directional(xs, dirs, &value, |vars| {
        let refs: Vec<&Tensor> = vars.iter().collect();
        let value = inner(vars)?;
        if !value.is_tracked() {
            // The gradient is constant: its derivative is zero.
            return Ok(vars.iter().map(|x| x.fill(0.0)).collect());
        }
        grad(&value, &refs)
    })
}

/// Compares `<gradient, dirs>` with the central difference of `value` along `dirs`.
fn directional(
    xs: &[Tensor],
    dirs: &[Tensor],
    value: &dyn Fn(&[Tensor]) -> Tensor,
    gradient: impl FnOnce(&[Tensor]) -> Result<Vec<Tensor>>,
) -> Result<Mismatch> {
    const STEP: f64 = 1e-5;
    if let Some(x) = xs.iter().find(|x| x.dtype() != crate::DType::F64) {
        bail!(Usage, "gradient check: {} must be f64", x.aval());
    }
    let vars: Vec<Tensor> = xs.iter().map(Tensor::tracked).collect();
    let mut analytic = 0.0;
    for (g, d) in gradient(&vars)?.iter().zip(dirs) {
        analytic += (g * d).sum_all().item()?;
    }
    let moved = |t: f64| -> Result<f64> {
        let at: Vec<Tensor> = xs.iter().zip(dirs).map(|(x, d)| x + &(d * t)).collect();
        value(&at).item()
    };
    Ok(Mismatch { analytic, numeric: (moved(STEP)? - moved(-STEP)?) / (2.0 * STEP) })
}
