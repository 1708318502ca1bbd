//! What was measured of one model under one attack: counts and shares, from which indicators judge.
//!
//! Samples are those that the model had right; what it had wrong no attack can be credited with.

use super::path::Path;
use super::statistics::{LEVEL, OTHER, at_least, sign_test};
use crate::attack::Stage;

/// All that indicators look at. What was not measured is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The attack whose figure is in question: `PGD-40`.
    pub attack: String,
    /// Attacks of one step against an iterated one.
    pub one_step: Vec<Duel>,
    /// Attacks without gradients.
    pub black_box: Vec<Duel>,
    /// What Square added to the other members of AutoAttack.
    pub square: Option<Added>,
    /// Examples made on other models.
    pub transfer: Vec<Duel>,
    /// Random points of the ball.
    pub noise: Option<Duel>,
    /// More steps on what the attack left standing.
    pub steps: Option<Extra>,
    /// More random starts on what was still left.
    pub restarts: Option<Extra>,
    /// Another loss on what was still left.
    pub loss: Option<Extra>,
    /// The whole box as the budget.
    pub unbounded: Option<Unbounded>,
    /// Gradients.
    pub gradients: Option<Gradients>,
    /// What the model answers.
    pub answers: Option<Answers>,
    /// The iterates of the attack, where it tells of them.
    pub path: Option<Path>,
    /// Number of classes, where the attack's losses compare the largest four logits.
    pub dlr_classes: Option<usize>,
}

/// The attack and a rival on the same samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Duel {
    /// The rival: `FGSM`.
    pub rival: String,
    /// Samples.
    pub samples: usize,
    /// Those that both fool.
    pub both: usize,
    /// Those that only the attack fools.
    pub attack_only: usize,
    /// Those that only the rival fools.
    pub rival_only: usize,
}

impl Duel {
    /// Counts, sample by sample, who fooled it.
    pub fn new(rival: impl Into<String>, attack: &[bool], by_rival: &[bool]) -> Self {
        let count = |a: bool, b: bool| {
            attack.iter().zip(by_rival).filter(|(x, y)| (**x, **y) == (a, b)).count()
        };
        Duel {
            rival: rival.into(),
            samples: attack.len(),
            both: count(true, true),
            attack_only: count(true, false),
            rival_only: count(false, true),
        }
    }

    /// Samples that the attack leaves.
    pub fn left_by_attack(&self) -> usize {
        self.samples - self.both - self.attack_only
    }

    /// Samples that the rival leaves.
    pub fn left_by_rival(&self) -> usize {
        self.samples - self.both - self.rival_only
    }

    /// The probability of a lead of the rival as large as this or larger, were the two equally strong.
    pub fn p_value(&self) -> f64 {
        sign_test(self.rival_only, self.attack_only)
    }

    /// The share of samples by which the rival is ahead at least, but for one case in a hundred.
    pub fn lead(&self) -> f64 {
        at_least(self.rival_only.saturating_sub(self.attack_only), self.samples)
    }

    /// Whether the rival is ahead by more than chance and by more than sound attacks differ.
    fn is_won(&self) -> bool {
        self.p_value() < LEVEL && self.lead() > OTHER
    }

    /// What was counted, for the evidence.
    pub(super) fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("samples", self.samples as f64),
            ("left_by_attack", self.left_by_attack() as f64),
            ("left_by_rival", self.left_by_rival() as f64),
            ("fooled_by_rival_only", self.rival_only as f64),
            ("fooled_by_attack_only", self.attack_only as f64),
            ("p_value", self.p_value()),
            ("lead_at_least", self.lead()),
        ]
    }

    /// What was counted, in words.
    pub(super) fn told(&self, attack: &str) -> String {
        format!(
            "{} leaves {} of {} samples, {attack} {} ({} fall to the former only, {} to the latter only, \
             p = {:.1e})",
            self.rival,
            self.left_by_rival(),
            self.samples,
            self.left_by_attack(),
            self.rival_only,
            self.attack_only,
            self.p_value()
        )
    }
}

/// The rival that beats the attack most clearly, if one does.
pub(super) fn winner(duels: &[Duel]) -> Option<&Duel> {
    let won = duels.iter().filter(|duel| duel.is_won());
    won.max_by(|a, b| a.lead().total_cmp(&b.lead()))
}

/// What a member of AutoAttack added to those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The member: `Square-5000`.
    pub label: String,
    /// Samples that AutoAttack was run on, those that the model had wrong included.
    pub samples: usize,
    /// Those that the member fooled, and none before it.
    pub fooled: usize,
}

impl Added {
    /// Square, if it came after another member.
    pub fn by_square(stages: &[Stage], samples: usize) -> Option<Self> {
        let square = stages.iter().position(|stage| stage.attack == "square")?;
        let before = stages.get(square.checked_sub(1)?)?;
        let Stage { label, left, .. } = &stages[square];
        let fooled = before.left.saturating_sub(*left);
        Some(Added { label: label.clone(), samples, fooled })
    }
}

/// More of the same on what the attack left standing.
#[derive(Debug, Clone, PartialEq)]
pub struct Extra {
    /// What was run: `PGD-160`.
    pub rival: String,
    /// Samples, those that the attack fools included.
    pub samples: usize,
    /// Those that were left when it started.
    pub left: usize,
    /// Those of them that it fools.
    pub fell: usize,
}

impl Extra {
    /// The share of samples by which accuracy falls at least, but for one case in a hundred.
    pub fn drop(&self) -> f64 {
        at_least(self.fell, self.samples)
    }

    /// What was counted, for the evidence.
    pub(super) fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("samples", self.samples as f64),
            ("left_before", self.left as f64),
            ("left_after", (self.left - self.fell) as f64),
            ("drop_at_least", self.drop()),
        ]
    }

    /// What was counted, in words.
    pub(super) fn told(&self) -> String {
        format!(
            "{} fools {} of the {} samples left of {}",
            self.rival, self.fell, self.left, self.samples
        )
    }
}

/// An attack whose budget is the whole box.
#[derive(Debug, Clone, PartialEq)]
pub struct Unbounded {
    /// What was run: `PGD-50 L∞ 1`.
    pub label: String,
    /// Samples.
    pub samples: usize,
    /// Those that it did not fool.
    pub left: usize,
}

/// Gradients of the attack's loss at samples and at random points near them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gradients {
    /// Points.
    pub points: usize,
    /// Those where all of the gradient is exactly zero.
    pub zero: usize,
    /// Those where a value of it is not a finite number.
    pub broken: usize,
}

/// What the model answers when it is asked again.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Answers {
    /// Samples.
    pub samples: usize,
    /// Largest difference of a logit when the same samples are asked again, over the largest logit.
    pub again: f64,
    /// Mean relative change of the margin at points next to a sample.
    pub nearby: f64,
    /// Whether all answers are probabilities.
    pub probabilities: bool,
    /// Gradients that the model took while it was asked.
    pub gradients: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duel_counts_each_sample_once() {
        let attack = [true, true, false, false, false];
        let rival = [true, false, true, true, false];
        let duel = Duel::new("FGSM", &attack, &rival);
        assert_eq!((duel.both, duel.attack_only, duel.rival_only), (1, 1, 2));
        assert_eq!((duel.left_by_attack(), duel.left_by_rival()), (3, 2));
        assert!((duel.p_value() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_clearest_winner_is_named_and_chance_is_none() {
        let duel = |rival: &str, rival_only, attack_only| Duel {
            rival: rival.into(),
            samples: 60,
            both: 10,
            attack_only,
            rival_only,
        };
        assert_eq!(winner(&[]), None);
        // Seven to none is no chance, but too few of sixty.
        assert_eq!(winner(&[duel("few", 7, 0), duel("even", 30, 18)]), None);
        let duels = [duel("few", 7, 0), duel("some", 14, 0), duel("clear", 20, 1)];
        let found = winner(&duels);
        assert_eq!(found.map(|duel| duel.rival.as_str()), Some("clear"));
    }
}
