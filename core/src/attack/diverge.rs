//! The inner maximum of TRADES (Zhang et al. 2019, section 4 and their code): the point of the ball
//! whose prediction is farthest from the clean one. No attack for the table, as it asks for no label.

use super::Draws;
use super::fgsm::ascent;
use super::pgd::Pgd;
use crate::Result;
use crate::Tensor;
use crate::loss::kl_divergence;
use crate::model::Classifier;

/// Standard deviation of the start around the clean point, where the divergence has no slope.
const START: f64 = 1e-3;

/// For inputs `x` `[N, ...]`: points of the ball of `pgd`, reached by its steps along the gradient of
/// `KL(p(x) || p(x'))`, the last iterate. Its random start, restarts and choice of iterate are not
/// used.
///
/// # Errors
/// The model or the device failed.
pub fn diverge(pgd: &Pgd, model: &dyn Classifier, x: &Tensor, draws: &Draws) -> Result<Tensor> {
    let bounds = model.bounds();
    let clean = model.logits(x)?.detach();
    let noise = draws.tensor(x, |rng, out| {
        out.iter_mut().for_each(|v| *v = (START * rng.normal()) as f32);
    })?;
    let mut at = x + &noise;
    for _ in 0..pgd.steps {
        let g = ascent(model, &at, |logits| kl_divergence(&clean, logits))?.g;
        at = pgd.next(&at, g, x, bounds);
        at.check()?;
    }
    Ok(at)
}
