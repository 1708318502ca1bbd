//! What the measurements after epochs warn of: networks that learnt to defeat single steps, and little
//! else (Wong et al. 2020, section 5.4), or over-fit to them as training goes on.
//!
//! The monitor attacks few samples, so differences count only beyond what is chance with so many.

use super::{Rule, TrainConfig};
use crate::attack::AttackConfig;
use crate::report::EpochRecord;

/// What the epochs of a training by `config` warn of, judged on `held_out` samples: one line at most,
/// the gravest.
pub fn warnings(config: &TrainConfig, held_out: usize, history: &[EpochRecord]) -> Vec<String> {
    // What was never trained on attacks has not over-fitted to them: a plain model's robust accuracy
    // falls as its loss does.
    if is_plain(&config.rule) {
        return Vec::new();
    }
    let course: Vec<Measured> = history.iter().filter_map(Measured::of).collect();
    let points = beyond_chance(config.monitor_samples.min(held_out));
    let line = collapse(&course, points)
        .or_else(|| decline(&course, points))
        .or_else(|| illusion(config, &course, points));
    line.into_iter().collect()
}

/// Whether no sample that the rule trains on was attacked, and no ball around it is looked at.
fn is_plain(rule: &Rule) -> bool {
    match rule {
        Rule::Standard {} | Rule::Noise { .. } => true,
        Rule::Awp { rule, .. } => is_plain(rule),
        _ => false,
    }
}

/// An epoch after which both were measured.
struct Measured {
    epoch: usize,
    /// Accuracy under the monitor's attack.
    robust: f64,
    /// Accuracy under one step of the same budget.
    one_step: f64,
}

impl Measured {
    fn of(record: &EpochRecord) -> Option<Self> {
        let (robust, one_step) = (record.robust_accuracy?, record.one_step_accuracy?);
        Some(Measured { epoch: record.epoch, robust, one_step })
    }
}

/// The least difference of two accuracies on `samples` that is taken for more than chance.
///
/// The difference of two independent shares of n samples has a standard deviation of at most
/// sqrt(1 / 2n). Twice that is 0.1 for the 200 samples that a monitor has unless told otherwise; for
/// more samples it stays 0.1. Both accuracies are of the same samples, which makes their difference
/// vary less; that the best of many epochs is one of them makes it vary more.
fn beyond_chance(samples: usize) -> f64 {
    (2.0 / samples.max(1) as f64).sqrt().max(0.1)
}

/// The first epoch whose robust accuracy is below half of what it was, while the accuracy under one
/// step is not below what the robust accuracy was.
fn collapse(course: &[Measured], points: f64) -> Option<String> {
    let mut best = 0.0;
    for &Measured { epoch, robust, one_step } in course {
        if robust < best / 2.0 && best - robust > points && one_step >= best {
            return Some(format!(
                "catastrophic over-fitting in epoch {epoch}: robust accuracy fell from {} to {} while \
                 one step leaves {}; train fewer epochs, with GradAlign, or by madry with more steps of \
                 pgd",
                percent(best),
                percent(robust),
                percent(one_step)
            ));
        }
        best = robust.max(best);
    }
    None
}

/// A robust accuracy that the training reached and did not keep, while the accuracy under one step at
/// the end is not below it.
fn decline(course: &[Measured], points: f64) -> Option<String> {
    let end = course.last()?;
    let best = course.iter().max_by(|a, b| a.robust.total_cmp(&b.robust))?;
    let declined = best.robust - end.robust > points && end.one_step >= best.robust;
    declined.then(|| {
        format!(
            "over-fitting to single steps: robust accuracy fell from {} in epoch {} to {} at the end \
             while one step leaves {}; train {} epochs, or with GradAlign, or by madry with more steps \
             of pgd",
            percent(best.robust),
            best.epoch,
            percent(end.robust),
            percent(end.one_step),
            best.epoch
        )
    })
}

/// Robustness to single steps, which were trained on, of which the monitor's attack leaves less than
/// half at the end.
fn illusion(config: &TrainConfig, course: &[Measured], points: f64) -> Option<String> {
    let end = course.last()?;
    let illusory = end.robust < end.one_step / 2.0 && end.one_step - end.robust > points;
    (illusory && config.rule.takes_single_steps()).then(|| {
        let monitor = config.monitor.as_ref().map(AttackConfig::label);
        format!(
            "single steps were learnt and little else: one step leaves {}, {} {}; train by madry with \
             pgd, or by fast with GradAlign",
            percent(end.one_step),
            monitor.as_deref().unwrap_or("the monitor's attack"),
            percent(end.robust)
        )
    })
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::{Fgsm, Norm, Pgd};

    const FAST: Rule = Rule::Fast { eps: 0.1, step: None, grad_align: 0.0 };

    fn history(accuracies: &[(f64, f64)]) -> Vec<EpochRecord> {
        let record = |(i, &(robust, one_step)): (usize, &(f64, f64))| EpochRecord {
            epoch: i + 1,
            loss: Some(1.0),
            clean_accuracy: Some(0.9),
            robust_accuracy: Some(robust),
            one_step_accuracy: Some(one_step),
            epsilon: None,
        };
        accuracies.iter().enumerate().map(record).collect()
    }

    /// Warnings of a training by `rule` with its usual monitor.
    fn told(rule: Rule, course: &[(f64, f64)]) -> Vec<String> {
        let config = TrainConfig { monitor: rule.usual_monitor(), rule, ..TrainConfig::default() };
        warnings(&config, 1000, &history(course))
    }

    fn fgsm() -> AttackConfig {
        AttackConfig::Fgsm(Fgsm::new(Norm::Linf, 0.1))
    }

    fn pgd() -> AttackConfig {
        AttackConfig::Pgd(Pgd { steps: 10, ..Pgd::new(Norm::Linf, 0.1) })
    }

    /// That there is one warning, with all of `parts` in one line.
    fn says(lines: &[String], parts: &[&str]) {
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in parts.iter().chain(&["madry with"]) {
            assert!(lines[0].contains(part), "{part} in {lines:?}");
        }
        assert!(!lines[0].contains('\n') && !lines[0].contains("  "), "{lines:?}");
    }

    #[test]
    fn a_collapse_under_one_attack_alone_is_named() {
        let course = [(0.3, 0.4), (0.5, 0.6), (0.02, 0.9), (0.0, 0.95)];
        for rule in [FAST, Rule::Madry { attack: fgsm() }] {
            let lines = told(rule, &course);
            says(&lines, &["catastrophic", "epoch 3", "50.0 % to 2.0 %", "leaves 90.0 %"]);
        }
    }

    #[test]
    fn a_collapse_is_named_after_it_is_over() {
        says(&told(FAST, &[(0.5, 0.6), (0.1, 0.9), (0.6, 0.7)]), &["catastrophic", "epoch 2"]);
    }

    /// The course of docs/results.md: 91 % after epoch 13, 75 % at the end of 30.
    #[test]
    fn a_decline_while_one_step_holds_is_named() {
        let mut course = vec![(0.8, 0.92); 30];
        (course[12], course[29]) = ((0.91, 0.95), (0.75, 0.97));
        let lines = told(FAST, &course);
        let parts = ["over-fitting to single steps", "91.0 % in epoch 13 to 75.0 %", "97.0 %"];
        says(&lines, &parts);
        assert!(lines[0].contains("train 13 epochs") && !lines[0].contains("catastrophic"));
    }

    #[test]
    fn a_decline_is_judged_at_the_end() {
        let recovered = [(0.9, 0.95), (0.7, 0.95), (0.85, 0.95)];
        let within_chance = [(0.9, 0.95), (0.82, 0.95)];
        let both_fall = [(0.9, 0.95), (0.6, 0.7)];
        for course in [&recovered[..], &within_chance, &both_fall] {
            assert_eq!(told(FAST, course), [""; 0], "{course:?}");
        }
    }

    #[test]
    fn what_holds_against_single_steps_only_is_named() {
        let never_robust = [(0.05, 0.5), (0.0, 0.95)];
        for rule in [
            FAST,
            Rule::Free { eps: 0.1, replays: 4 },
            Rule::Madry { attack: fgsm() },
            Rule::Mixed { ratio: 0.5, attacks: vec![fgsm()] },
            Rule::Awp { gamma: 0.01, rule: Box::new(FAST) },
        ] {
            let lines = told(rule, &never_robust);
            says(&lines, &["single steps were learnt", "one step leaves 95.0 %, PGD-20 0.0 %"]);
        }
    }

    #[test]
    fn what_trains_on_several_steps_did_not_learn_single_ones_only() {
        let never_robust = [(0.05, 0.5), (0.0, 0.95)];
        for rule in [
            Rule::Madry { attack: pgd() },
            Rule::Trades { beta: 6.0, attack: pgd() },
            Rule::Mart { beta: 6.0, attack: pgd() },
            Rule::Mixed { ratio: 0.5, attacks: vec![fgsm(), pgd()] },
            Rule::Awp { gamma: 0.01, rule: Box::new(Rule::Madry { attack: pgd() }) },
        ] {
            let name = rule.describe();
            assert_eq!(told(rule, &never_robust), [""; 0], "{name}");
        }
    }

    #[test]
    fn the_gravest_comes_first_and_alone() {
        let all = [(0.5, 0.6), (0.1, 0.9), (0.1, 0.95)];
        says(&told(FAST, &all), &["catastrophic"]);
        // Half is left, then less than half while one step is lower than the best was.
        let two = [(0.5, 0.6), (0.26, 0.6)];
        says(&told(FAST, &two), &["over-fitting to single steps"]);
        says(&told(FAST, &[(0.5, 0.6), (0.2, 0.45)]), &["single steps were learnt"]);
    }

    #[test]
    fn other_courses_are_not_named() {
        let rising = [(0.3, 0.4), (0.5, 0.6)];
        let both_fall = [(0.5, 0.6), (0.1, 0.15)];
        for course in [&rising, &both_fall] {
            assert_eq!(told(FAST, course), [""; 0], "{course:?}");
        }
        assert_eq!(told(FAST, &[]), [""; 0]);
    }

    #[test]
    fn what_was_not_trained_on_attacks_is_not_named() {
        let collapse = [(0.5, 0.6), (0.0, 0.95)];
        let noise = Rule::Noise { sigma: 0.25 };
        let moved = Rule::Awp { gamma: 0.01, rule: Box::new(noise.clone()) };
        for rule in [Rule::Standard {}, noise, moved] {
            let monitor = Some(pgd());
            let config = TrainConfig { monitor, rule, ..TrainConfig::default() };
            assert_eq!(warnings(&config, 1000, &history(&collapse)), [""; 0]);
        }
    }

    #[test]
    fn one_step_that_was_not_measured_tells_nothing() {
        let mut records = history(&[(0.5, 0.5), (0.0, 0.0)]);
        records.iter_mut().for_each(|record| record.one_step_accuracy = None);
        let config = TrainConfig { rule: FAST, monitor: Some(fgsm()), ..TrainConfig::default() };
        assert_eq!(warnings(&config, 1000, &records), [""; 0]);
    }

    #[test]
    fn fewer_samples_need_larger_differences() {
        let course = history(&[(0.9, 0.95), (0.75, 0.95)]);
        let usual = TrainConfig { rule: FAST, ..TrainConfig::default() };
        let count = |config: &TrainConfig, held| warnings(config, held, &course).len();
        assert_eq!(count(&usual, 1000), 1);
        assert_eq!(count(&usual, 50), 0);
        assert_eq!(count(&TrainConfig { monitor_samples: 20, ..usual }, 1000), 0);
        assert!((beyond_chance(200) - 0.1).abs() < 1e-12 && beyond_chance(10_000) == 0.1);
        assert!(beyond_chance(0).is_finite());
    }
}
