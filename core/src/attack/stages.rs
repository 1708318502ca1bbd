//! AutoAttack over a data set, one member after the other: the same examples as [`Autoattack`] run as one
//! attack, and what each of its members added, which tells a sound model from one that masks its gradients.

use serde::Serialize;

use super::{Aim, Autoattack, Outcome, perturb_rows, rows as parts};
use crate::data::Dataset;
use crate::model::Classifier;
use crate::place::Placement;
use crate::rng::Rng;
use crate::{Result, bail};

/// What a member of AutoAttack left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Name of the member, as in [`ATTACKS`](super::ATTACKS).
    pub attack: &'static str,
    /// Its name for people.
    pub label: String,
    /// Samples that have not reached the goal after it.
    pub left: usize,
}

/// Runs AutoAttack on the samples `rows` of a data set; the outcome, and the members that ran. `progress`
/// hears of the member at work, how many of its samples are done, and of how many; it may stop the run
/// with an error.
///
/// # Errors
/// As [`perturb_rows`].
#[allow(clippy::too_many_arguments)] // as perturb_rows
pub fn autoattack_rows(
    config: &Autoattack,
    model: &dyn Classifier,
    data: &Dataset,
    rows: &[usize],
    aim: Aim,
    place: &Placement,
    rng: &Rng,
    progress: &mut dyn FnMut(&str, usize, usize) -> Result<()>,
) -> Result<(Outcome, Vec<Stage>)> {
    let mut open: Vec<usize> = (0..rows.len()).collect();
    let mut all: Option<Outcome> = None;
    let mut stages = Vec::new();
    for (i, member) in config.members().iter().enumerate() {
        if open.is_empty() && all.is_some() {
            break;
        }
        if !config.can_pursue(i, aim != Aim::Untargeted) {
            continue;
        }
        let (attack, label) = (member.check()?, member.label());
        let samples = parts::pick(rows, &open);
        let (mut done, total) = (0, samples.len());
        let rng = rng.index(i as u64);
        let found =
            perturb_rows(&*attack, model, data, &samples, aim, place, &rng, &mut |count| {
                done += count;
                progress(&label, done, total)
            })?;
        let whole = match all.take() {
            None => found,
            Some(whole) => merged(whole, &open, found)?,
        };
        open.retain(|&i| !whole.success[i]);
        stages.push(Stage { attack: member.name(), label, left: open.len() });
        all = Some(whole);
    }
    match all {
        Some(all) => Ok((all, stages)),
        None => bail!(Usage, "autoattack: {:?} has no member for this goal", config.version),
    }
}

/// `whole` with what was found for its samples `at`.
fn merged(mut whole: Outcome, at: &[usize], found: Outcome) -> Result<Outcome> {
    whole.adversarial = parts::replaced(&whole.adversarial, at, &found.adversarial)?;
    for (k, &i) in at.iter().enumerate() {
        whole.predictions[i] = found.predictions[k];
        whole.success[i] = found.success[k];
        whole.distance[i] = found.distance[k];
    }
    whole.queries += found.queries;
    // What a member that is asked in another way took of a sample is not known, so neither is the sum.
    whole.queries_each = whole.queries_each.zip(found.queries_each).map(|(mut all, part)| {
        at.iter().zip(part).for_each(|(&i, asked)| all[i] += asked);
        all
    });
    whole.gradient_calls += found.gradient_calls;
    Ok(whole)
}
