//! Why AutoAttack, and with it most attacks by gradients, may not be able to judge a model: the tests of
//! the authors' code, before the attack ([`doubts`]) and after it ([`masking`]).

use super::fgsm::gradient;
use super::{Goal, Stage};
use crate::grad::walks;
use crate::model::Classifier;
use crate::{Result, Tensor, bail};

/// How often the same samples are shown, to see whether the answers differ.
const PASSES: usize = 5;

/// What may be wrong with a model as far as it shows on these samples, one line each.
///
/// # Errors
/// The model or the device failed, or `y` (`[N]`) does not fit `x`.
pub fn doubts(model: &dyn Classifier, x: &Tensor, y: &Tensor, eps: f64) -> Result<Vec<String>> {
    if y.check()?.shape()[..] != [x.dim(0)] {
        bail!(Shape, "autoattack: labels {} for {} samples", y.shape(), x.dim(0));
    }
    let mut doubts = Vec::new();
    let before = walks();
    let logits = model.logits(&x.detach())?.to_f64_vec()?;
    if walks() > before {
        doubts.push(
            "the model takes gradients while it answers: it may adapt to what it is asked, which \
             attacks on a fixed model do not judge"
                .into(),
        );
    }
    doubts.extend(chance(model, x, &logits)?);
    let rows = || logits.chunks(model.classes());
    let probabilities = rows().all(|row| {
        let sum: f64 = row.iter().sum();
        row.iter().all(|p| (0.0..=1.0).contains(p)) && (sum - 1.0).abs() < 1e-4
    });
    if probabilities {
        doubts.push(
            "the logits are probabilities: attack what comes before the softmax, whose gradients \
             do not vanish"
                .into(),
        );
    }
    if model.classes() < 4 {
        doubts.push(format!(
            "{} classes: the loss DLR is made for 4 and more, and targets run out",
            model.classes()
        ));
    }
    doubts.extend(flat(model, x, y, eps)?);
    Ok(doubts)
}

/// A model that answers the same question in other ways.
fn chance(model: &dyn Classifier, x: &Tensor, logits: &[f64]) -> Result<Option<String>> {
    let largest = logits.iter().fold(0.0f64, |m, z| m.max(z.abs()));
    let mut apart = 0.0f64;
    for _ in 1..PASSES {
        let again = model.logits(&x.detach())?.to_f64_vec()?;
        apart = logits.iter().zip(&again).fold(apart, |m, (a, b)| m.max((a - b).abs()));
    }
    // A model that rounds alike gives the same bits; what differs by more than rounding is chance.
    Ok((apart > 1e-4 * largest).then(|| {
        format!(
            "the same samples got logits that differ by up to {apart:.2e}: the model answers at \
             random, use the version rand"
        )
    }))
}

/// Samples near which the loss has no slope at all.
fn flat(model: &dyn Classifier, x: &Tensor, y: &Tensor, eps: f64) -> Result<Option<String>> {
    let [lo, hi] = model.bounds();
    let near = (x + 0.5 * eps).clamp(lo, hi);
    let (_, g) = gradient(model, &near, &Goal::Untargeted(y.clone()))?;
    let moved = g.abs().sum_per_sample().to_f64_vec()?;
    let still = moved.iter().filter(|g| **g == 0.0).count();
    Ok((still > 0).then(|| {
        format!(
            "the gradient of the cross-entropy is exactly zero at {still} of {} samples: it has \
             underflowed or is masked",
            moved.len()
        )
    }))
}

/// Share of all samples above which what Square adds is a sign of masked gradients.
const SQUARES: f64 = 0.002;

/// Whether the attack without gradients fooled what those with gradients before it could not.
pub fn masking(stages: &[Stage], samples: usize) -> Option<String> {
    let square = stages.iter().position(|stage| stage.attack == "square")?;
    let before = stages.get(square.checked_sub(1)?)?;
    let won = before.left.saturating_sub(stages[square].left);
    (won as f64 > SQUARES * samples as f64).then(|| {
        format!(
            "{} fooled {won} of {samples} samples that attacks by gradients could not: the model may \
             mask its gradients",
            stages[square].label
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn square_may_win_two_in_a_thousand() {
        let stage = |attack, left| Stage { attack, label: "S".into(), left };
        let run =
            |before, after| [stage("apgd", 600), stage("fab", before), stage("square", after)];
        assert_eq!(masking(&run(500, 498), 1000), None);
        assert!(masking(&run(500, 497), 1000).is_some_and(|line| line.contains("3 of 1000")));
        assert_eq!(masking(&run(500, 400)[..2], 1000), None);
        assert_eq!(masking(&run(500, 400)[2..], 1000), None, "nothing stands before it");
    }
}
