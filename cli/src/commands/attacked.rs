//! What `inocula attack` tells of a result besides its figures: what each member of AutoAttack left, and
//! what is left of the result once the examples are pictures of 8 bits a value.

use inocula_core::Result;
use inocula_core::attack::{Aim, Outcome, Stage, Threat, in_eight_bits};
use inocula_core::data::Dataset;
use inocula_core::metrics::robust_accuracy;
use inocula_core::model::{Network, predict_rows};
use inocula_core::place::Placement;
use serde::Serialize;

use crate::output;

/// The result of the examples that come back from pictures.
#[derive(Serialize)]
pub(super) struct EightBits {
    /// Fraction of the samples right before, and after.
    robust_accuracy: f64,
    /// Samples that had reached the goal and do no more.
    lost: usize,
}

/// Takes the examples through 256 levels a value and asks the model again. `None` where samples are no
/// images.
pub(super) fn eight_bits(
    network: &Network,
    test: &Dataset,
    rows: &[usize],
    aim: Aim,
    threat: Threat,
    outcome: &Outcome,
    place: &Placement,
) -> Result<Option<EightBits>> {
    if !matches!(*test.shape, [1 | 3, _, _]) {
        return Ok(None);
    }
    let (mut seen, mut reached) = (Vec::new(), Vec::new());
    for rows in place.portions(rows) {
        let (x, y) = place.tensors(test, rows)?;
        let part = Outcome {
            adversarial: outcome.adversarial.narrow(0, seen.len(), rows.len()),
            ..outcome.clone()
        };
        let goal = aim.goal(&y, test.classes)?;
        let levels = in_eight_bits(&part, threat, network, &x, &goal)?;
        seen.extend(levels.predictions);
        reached.extend(levels.success);
    }
    let clean = predict_rows(network, test, rows, place)?;
    let labels: Vec<i64> = rows.iter().map(|&row| test.labels[row]).collect();
    let kept = outcome.success.iter().zip(&reached);
    Ok(Some(EightBits {
        robust_accuracy: robust_accuracy(&labels, &clean, &seen)?,
        lost: kept.filter(|(before, after)| **before && !**after).count(),
    }))
}

/// Prints both, where there is something to tell.
pub(super) fn print(stages: &[Stage], eight_bits: Option<&EightBits>, samples: usize) {
    for stage in stages {
        let left = 100.0 * stage.left as f64 / samples.max(1) as f64;
        output::line(format!("{:18} {left:.2} % left", format!("  {}", stage.label)));
    }
    if let Some(EightBits { robust_accuracy, lost }) = eight_bits.filter(|bits| bits.lost > 0) {
        output::line(format!(
            "{:18} {:.2} % robust: {lost} examples fool no more once saved as pictures",
            "in 8 bits",
            100.0 * robust_accuracy
        ));
    }
}
