//! Adam on the samples themselves, within their box: the search that attacks on privacy share.
//!
//! With signs of gradients instead of gradients and a step that shrinks three times, it is that of
//! Geiping et al. 2020. The best point of the way is kept, sample by sample where the objective is a
//! sum over samples, so that no sample's result depends on its neighbours'.

use crate::grad::grad;
use crate::nn::Params;
use crate::optim::{Adam, OptimizerConfig};
use crate::{Result, Tensor, bail};

/// Hears how many steps of how many are done, and may stop the search by an error.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> Result<()>;

/// Constants of the search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descent {
    pub(crate) steps: usize,
    /// Step size, in units of the width of the box.
    pub(crate) lr: f64,
    /// Whether Adam sees the signs of the gradient only.
    pub(crate) signed: bool,
    /// Whether the step shrinks tenfold after 3/8, 5/8 and 7/8 of the steps.
    pub(crate) decay: bool,
}

/// The best that was met.
#[derive(Debug, Clone)]
pub(crate) struct Best {
    pub(crate) x: Tensor,
    /// The objective there: a value for each sample, or one for all of them.
    pub(crate) values: Vec<f64>,
}

impl Descent {
    pub(crate) fn check(&self, who: &str) -> Result<()> {
        if self.steps == 0 {
            bail!(Config, "{who}: steps = 0 searches nothing; give at least 1");
        }
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            bail!(Config, "{who}: lr = {} must be positive, say 0.1", self.lr);
        }
        Ok(())
    }

    /// Minimises `objective`, which gives `[N]` values of `[N, ...]` samples or one value `[1]` of all.
    ///
    /// # Errors
    /// The objective, the device or the progress failed.
    pub(crate) fn minimise(
        &self,
        start: &Tensor,
        bounds: [f64; 2],
        objective: &mut dyn FnMut(&Tensor) -> Result<Tensor>,
        progress: Progress<'_>,
    ) -> Result<Best> {
        let lr = self.lr * (bounds[1] - bounds[0]);
        let mut optimizer = OptimizerConfig::Adam(Adam { lr, ..Adam::default() }).check()?;
        let mut params = Params::new();
        params.push("x", start.clamp(bounds[0], bounds[1]));
        let mut best: Option<Best> = None;
        for step in 0..=self.steps {
            progress(step, self.steps)?;
            let x = params.get("x")?.tracked();
            let values = objective(&x)?;
            let seen = values.to_f64_vec()?;
            best = Some(better(best, &x.detach(), seen)?);
            if step == self.steps {
                break;
            }
            let mut g = grad(&values.sum_all(), &[&x])?.swap_remove(0);
            if self.signed {
                g = g.sign();
            }
            drop((values, x));
            params = optimizer.step(params, vec![g], self.scale(step))?;
            params = params.map(|x| x.clamp(bounds[0], bounds[1]));
        }
        match best {
            Some(best) if best.values.iter().all(|v| v.is_finite()) => Ok(best),
            _ => bail!(Numeric, "search: the objective is not finite; start with another seed"),
        }
    }

    fn scale(&self, step: usize) -> f64 {
        let passed = |eighths: usize| usize::from(8 * step >= eighths * self.steps);
        let drops = passed(3) + passed(5) + passed(7);
        if self.decay { 0.1f64.powi(drops as i32) } else { 1.0 }
    }
}

/// The better of two, sample by sample where there is a value for each. NaN is never better.
fn better(best: Option<Best>, x: &Tensor, values: Vec<f64>) -> Result<Best> {
    let values: Vec<f64> =
        values.into_iter().map(|v| if v.is_nan() { f64::INFINITY } else { v }).collect();
    let Some(best) = best else { return Ok(Best { x: x.clone(), values }) };
    let improved: Vec<bool> = values.iter().zip(&best.values).map(|(new, old)| new < old).collect();
    if improved.iter().all(|i| *i) {
        return Ok(Best { x: x.clone(), values });
    }
    if improved.iter().all(|i| !*i) {
        return Ok(best);
    }
    let flags: Vec<f64> = improved.iter().map(|i| f64::from(u8::from(*i))).collect();
    let flags = Tensor::from_f64(x.device(), x.dtype(), &flags, &[flags.len()])?.per_sample(x);
    let joined = x.where_(&flags.broadcast(x.shape()), &best.x);
    let values = values.iter().zip(&best.values).map(|(a, b)| a.min(*b)).collect();
    Ok(Best { x: joined, values })
}

impl Best {
    /// The better of two searches.
    pub(crate) fn or(self, other: Best) -> Result<Best> {
        better(Some(self), &other.x, other.values)
    }
}
