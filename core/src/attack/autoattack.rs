//! AutoAttack (Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of
//! diverse parameter-free attacks"; in L1 Croce and Hein 2021, "Mind the box"): several attacks, each on
//! what the ones before left standing.
//!
//! Which attacks, with which constants, is that of the authors' code for each version. Steps and queries
//! can be lowered, which makes it another, weaker attack, and its label says so.

use serde::{Deserialize, Serialize};

use super::apgd::ApgdLoss;
use super::fgsm::linf;
use super::table::{at_least_one, check_threat};
use super::{
    Access, Apgd, Attack, AttackConfig, AttackSpec, Draws, Fab, Goal, Norm, Square, Threat, craft,
    rows,
};
use crate::model::Classifier;
use crate::{Result, Tensor};

/// Which attacks are run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// APGD-CE, APGD-T, FAB-T and Square.
    #[default]
    Standard,
    /// APGD-CE, APGD-DLR and FAB with 5 restarts each, Square, APGD-T and FAB-T.
    Plus,
    /// APGD-CE and APGD-DLR on gradients averaged over 20 answers, for models that answer at random.
    Rand,
}

/// Configuration of AutoAttack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoattack {
    /// The norm.
    #[serde(default = "linf")]
    pub norm: Norm,
    /// Radius of the ball.
    pub eps: f64,
    /// Which attacks are run.
    #[serde(default)]
    pub version: Version,
    /// Steps of APGD and FAB.
    #[serde(default = "steps")]
    pub steps: usize,
    /// Queries of Square.
    #[serde(default = "queries")]
    pub queries: usize,
}

fn steps() -> usize {
    100
}
fn queries() -> usize {
    5000
}

/// Restarts of `plus`, and of APGD-CE in L1.
const RESTARTS: usize = 5;

/// Classes that APGD-T goes for in L1; 9 in other norms.
const TARGETS_L1: usize = 5;

/// Answers over which `rand` averages a gradient.
const ANSWERS: usize = 20;

impl Autoattack {
    /// The standard version.
    pub fn new(norm: Norm, eps: f64) -> Self {
        let version = Version::Standard;
        Autoattack { norm, eps, version, steps: steps(), queries: queries() }
    }

    /// The attacks in their order.
    pub fn members(&self) -> Vec<AttackConfig> {
        use AttackConfig as Any;
        let Autoattack { norm, eps, steps, queries, .. } = *self;
        let l1 = norm == Norm::L1;
        let plain = Apgd { steps, ..Apgd::new(norm, eps) };
        let dlr = Apgd { loss: ApgdLoss::Dlr, ..plain.clone() };
        let targets = if l1 { TARGETS_L1 } else { 9 };
        let targeted = Any::Apgd(Apgd { steps, targets, ..Apgd::targeted(norm, eps) });
        let fab = Fab { steps, eps: Some(eps), ..Fab::new(norm) };
        let all_targets = Any::Fab(Fab { targets: 0, restarts: RESTARTS, ..fab.clone() });
        let fab = Any::Fab(fab);
        let square = Any::Square(Square { queries, rescale: false, ..Square::new(norm, eps) });
        let again = |apgd: &Apgd| Any::Apgd(Apgd { restarts: RESTARTS, ..apgd.clone() });
        let averaged = |apgd: &Apgd| Any::Apgd(Apgd { gradients: ANSWERS, ..apgd.clone() });
        match self.version {
            Version::Standard => {
                let first = if l1 { again(&plain) } else { Any::Apgd(plain) };
                vec![first, targeted, fab, square]
            }
            Version::Plus => {
                vec![again(&plain), again(&dlr), all_targets, square, targeted, fab]
            }
            Version::Rand => vec![averaged(&plain), averaged(&dlr)],
        }
    }

    /// A targeted goal is for the members that have one: those towards other classes are left out.
    pub(super) fn can_pursue(&self, member: usize, targeted: bool) -> bool {
        match self.version {
            Version::Standard => !targeted || member != 1,
            Version::Plus => !targeted || member != 4,
            Version::Rand => true,
        }
    }
}

impl AttackSpec for Autoattack {
    const NAME: &'static str = "autoattack";
    const SUMMARY: &'static str =
        "APGD, APGD-T, FAB-T and Square in turn (Croce and Hein; Linf, L2, L1)";

    fn at(threat: Threat) -> Self {
        Autoattack::new(threat.norm, threat.eps)
    }

    fn check(&self) -> Result<()> {
        check_threat::<Self>(self.threat())?;
        at_least_one::<Self>("steps", self.steps)?;
        at_least_one::<Self>("queries", self.queries)
    }

    fn label(&self) -> String {
        let version = match self.version {
            Version::Standard => "",
            Version::Plus => "+",
            Version::Rand => " rand",
        };
        if (self.steps, self.queries) == (steps(), queries()) {
            return format!("AutoAttack{version}");
        }
        format!("AutoAttack{version}, {} steps, {} queries", self.steps, self.queries)
    }

    fn with_threat(&self, Threat { norm, eps }: Threat) -> Self {
        Autoattack { norm, eps, ..self.clone() }
    }
}

impl Attack for Autoattack {
    fn threat(&self) -> Threat {
        Threat::new(self.norm, self.eps)
    }

    fn access(&self) -> Access {
        Access::Gradient
    }

    fn run(
        &self,
        model: &dyn Classifier,
        x: &Tensor,
        goal: &Goal,
        draws: &Draws,
    ) -> Result<Tensor> {
        let mut found = x.clone();
        let mut open: Vec<usize> = (0..x.dim(0)).collect();
        for (i, member) in self.members().iter().enumerate() {
            if open.is_empty() {
                break;
            }
            if !self.can_pursue(i, goal.is_targeted()) {
                continue;
            }
            let at = rows::index(x, &open)?;
            let (part, goal) = (x.take(0, &at), goal.take(&at));
            let draws = draws.select(&open).index(i as u64);
            let made = craft(&*member.check()?, model, &part, &goal, &draws)?;
            found = rows::replaced(&found, &open, &made)?;
            let held = rows::unset(&goal.reached(&model.logits(&made)?).cast(x.dtype()))?;
            open = rows::pick(&open, &held);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_names_what_is_not_the_usual() {
        let usual = Autoattack::new(Norm::Linf, 0.3);
        assert_eq!(usual.label(), "AutoAttack");
        let plus = Autoattack { version: Version::Plus, queries: 100, ..usual };
        assert_eq!(plus.label(), "AutoAttack+, 100 steps, 100 queries");
    }

    /// The constants of the authors' code, whose parts other tools run for ten steps.
    #[test]
    fn members_are_those_of_the_authors_code() {
        let labels = |norm, version| -> Vec<String> {
            let attack = Autoattack { version, ..Autoattack::new(norm, 0.3) };
            attack.members().iter().map(AttackConfig::label).collect()
        };
        let standard = ["APGD-CE-100", "APGD-T-100", "FAB-T-100", "Square-5000"];
        assert_eq!(labels(Norm::Linf, Version::Standard), standard);
        assert_eq!(labels(Norm::L2, Version::Standard), standard);
        assert_eq!(labels(Norm::L1, Version::Standard)[0], "APGD-CE-100 x 5");
        assert_eq!(labels(Norm::L1, Version::Standard)[1..], standard[1..]);
        let plus = ["APGD-CE-100 x 5", "APGD-DLR-100 x 5", "FAB-100 x 5"];
        assert_eq!(labels(Norm::Linf, Version::Plus)[..3], plus);
        assert_eq!(
            labels(Norm::Linf, Version::Plus)[3..],
            ["Square-5000", standard[1], standard[2]]
        );
        assert_eq!(labels(Norm::L2, Version::Rand), ["APGD-CE-100", "APGD-DLR-100"]);
        for (norm, targets) in [(Norm::Linf, 9), (Norm::L2, 9), (Norm::L1, 5)] {
            let members = Autoattack::new(norm, 0.3).members();
            let AttackConfig::Apgd(apgd) = &members[1] else { panic!("{members:?}") };
            assert_eq!((apgd.targets, apgd.rho, apgd.wide_start), (targets, 0.75, true));
            let AttackConfig::Fab(fab) = &members[2] else { panic!("{members:?}") };
            assert_eq!((fab.targets, fab.alpha_max, fab.eta, fab.beta), (9, 0.1, 1.05, 0.9));
            let AttackConfig::Square(square) = &members[3] else { panic!("{members:?}") };
            assert_eq!((square.share, square.rescale), (0.8, false));
        }
        let rand = Autoattack { version: Version::Rand, ..Autoattack::new(Norm::Linf, 0.3) };
        for member in rand.members() {
            let AttackConfig::Apgd(apgd) = member else { panic!("{member:?}") };
            assert_eq!(apgd.gradients, 20);
        }
    }
}
