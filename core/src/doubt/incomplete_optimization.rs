//! The loss was still rising as fast as before when the attack stopped, on most of the samples that it left
//! standing.
//!
//! Pintor et al. 2022, indicator 4; what counts as rising is in `path`. The paper counts attacks on single
//! samples; here most of them must rise, since the last steps of a sound attack gain a little on some.

use super::statistics::at_least;
use super::{Evidence, Facts};

/// Where it is from.
pub(super) const SOURCE: &str = "Pintor et al. 2022, indicator 4";

/// Share of unfinished paths beyond which the attack is unfinished.
const MOST: f64 = 0.5;

/// A share of samples that is surely larger than [`MOST`].
pub(super) fn look(facts: &Facts) -> Option<Evidence> {
    let path = facts.path?;
    let paths = path.left - path.silent;
    let share = at_least(path.rising, paths);
    if share <= MOST {
        return None;
    }
    let sentence = format!(
        "on {} of {paths} samples that {} leaves, the loss still rose unabated in the last {} of {} steps (on \
         average from {:.3} by {:.3} before and {:.3} in them): it was stopped too early, so give it more or longer \
         steps",
        path.rising,
        facts.attack,
        path.window,
        path.steps,
        path.first_loss,
        path.loss_before - path.first_loss,
        path.largest_loss - path.loss_before
    );
    let numbers = vec![
        ("paths", paths as f64),
        ("rising", path.rising as f64),
        ("share_at_least", share),
        ("steps", path.steps as f64),
        ("window", path.window as f64),
        ("first_loss", path.first_loss),
        ("loss_before_window", path.loss_before),
        ("largest_loss", path.largest_loss),
    ];
    Some(Evidence { sentence, numbers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::Path;

    #[test]
    fn most_paths_must_rise() {
        let facts = |rising| Facts {
            attack: "PGD-40".into(),
            path: Some(Path {
                left: 52,
                silent: 2,
                rising,
                steps: 40,
                window: 10,
                ..Path::default()
            }),
            ..Facts::default()
        };
        assert!(look(&facts(35)).unwrap().sentence.starts_with("on 35 of 50 samples"));
        assert_eq!(look(&facts(32)), None);
    }
}
