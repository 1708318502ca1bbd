//! The table of attacks, and everything that is made from it: their listing, and the configuration
//! that is any one of them.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Attack, Norm, Threat};
use crate::{Result, bail};

/// The configuration of an attack, which is the attack itself once its constants have been checked.
///
/// Every field but the budget has a default, so that a configuration file can be silent on it.
pub trait AttackSpec: Attack + Clone + PartialEq + Debug + Serialize + DeserializeOwned {
    /// Name on the command line and in configurations: the variant of
    /// [`AttackConfig`](super::AttackConfig) in snake case.
    const NAME: &'static str;
    /// One line for listings.
    const SUMMARY: &'static str;
    /// The norms that it is defined in, the usual one first; none for an attack that no norm bounds, which
    /// then has no budget and says what it keeps to in [`Attack::limits`].
    const NORMS: &'static [Norm] = &[Norm::Linf, Norm::L2, Norm::L1];
    /// Whether it looks for the smallest perturbation by itself, so that it can do without a budget
    /// ([`Threat::unbounded`]). With one, what it finds farther away counts as a failure.
    const MINIMAL: bool = false;

    /// The attack at a budget, its other constants at their usual values. What no norm bounds has none.
    fn at(threat: Threat) -> Self;

    /// Looks at every constant.
    ///
    /// # Errors
    /// One is out of range; the message names it.
    fn check(&self) -> Result<()>;

    /// Name for people, with what tells one run from another: `FGSM`, `PGD-40`, `PGD-40 x 5`.
    fn label(&self) -> String;

    /// The same attack with another budget.
    #[must_use]
    fn with_threat(&self, threat: Threat) -> Self;
}

/// Checks what all attacks have in common: the norm is one of the attack's, and there is a budget
/// unless it can do without.
///
/// # Errors
/// Names the norms, or the budget.
pub(super) fn check_threat<A: AttackSpec>(threat: Threat) -> Result<()> {
    if !A::NORMS.contains(&threat.norm) {
        let norms: Vec<&str> = A::NORMS.iter().map(|n| n.name()).collect();
        bail!(Config, "{}: not defined in {}; choose {}", A::NAME, threat.norm, norms.join(" or "));
    }
    if A::MINIMAL && threat.budget().is_none() { Ok(()) } else { threat.check() }
}

/// Checks that a number of steps, restarts or the like is at least 1.
pub(super) fn at_least_one<A: AttackSpec>(name: &str, count: usize) -> Result<()> {
    if count == 0 {
        bail!(Config, "{}: {name} = 0 must be at least 1", A::NAME);
    }
    Ok(())
}

/// Checks that a constant is positive and finite.
pub(super) fn positive<A: AttackSpec>(name: &str, value: f64) -> Result<()> {
    if !(value > 0.0 && value.is_finite()) {
        bail!(Config, "{}: {name} = {value} must be positive", A::NAME);
    }
    Ok(())
}

/// Checks that a constant is in `[0, 1]`.
pub(super) fn share<A: AttackSpec>(name: &str, value: f64) -> Result<()> {
    if !(0.0..=1.0).contains(&value) {
        bail!(Config, "{}: {name} = {value} must be in [0, 1]", A::NAME);
    }
    Ok(())
}

/// An attack that can be asked for by name.
pub struct AttackEntry {
    /// Name on the command line and in configurations.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// The norms that it is defined in, the usual one first; none where no norm bounds it.
    pub norms: &'static [Norm],
    /// Whether it can do without a budget.
    pub minimal: bool,
    /// Makes the attack at a budget, with its other constants at their usual values.
    pub at: fn(Threat) -> super::AttackConfig,
}

/// Declares [`ATTACKS`](super::ATTACKS) and [`AttackConfig`](super::AttackConfig).
macro_rules! attacks {
    ($($module:ident :: $Spec:ident,)+) => {
        $(pub use $module::$Spec;)+

        /// Every attack.
        pub const ATTACKS: &[AttackEntry] = &[$(AttackEntry {
            name: <$Spec as AttackSpec>::NAME,
            summary: <$Spec as AttackSpec>::SUMMARY,
            norms: <$Spec as AttackSpec>::NORMS,
            minimal: <$Spec as AttackSpec>::MINIMAL
                || <$Spec as AttackSpec>::NORMS.is_empty(),
            at: |threat| AttackConfig::$Spec(<$Spec as AttackSpec>::at(threat)),
        }),+];

        /// The configuration of an attack.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum AttackConfig { $(
            #[doc = concat!("See [`", stringify!($Spec), "`].")]
            $Spec($Spec),
        )+ }

        impl AttackConfig {
            /// The attack itself, its constants checked.
            ///
            /// # Errors
            /// A constant is out of range; the message names it.
            pub fn check(&self) -> Result<Box<dyn Attack>> {
                match self { $(
                    AttackConfig::$Spec(spec) => {
                        spec.check()?;
                        Ok(Box::new(spec.clone()))
                    }
                )+ }
            }

            /// Name, as in [`ATTACKS`].
            pub fn name(&self) -> &'static str {
                match self { $(AttackConfig::$Spec(_) => <$Spec as AttackSpec>::NAME,)+ }
            }

            /// Name for people, with what tells one run from another: `FGSM`, `PGD-40`, `PGD-40 x 5`.
            pub fn label(&self) -> String {
                match self { $(AttackConfig::$Spec(spec) => spec.label(),)+ }
            }

            /// The same attack with another budget. A step length that was given keeps its ratio to
            /// the radius; in another norm it would mean something else, and the usual one is taken.
            #[must_use]
            pub fn with_threat(&self, threat: Threat) -> Self {
                match self { $(
                    AttackConfig::$Spec(spec) => AttackConfig::$Spec(spec.with_threat(threat)),
                )+ }
            }
        }
    };
}

impl super::AttackConfig {
    /// The same attack with one constant set to another value, as if it had stood in its file.
    ///
    /// # Errors
    /// The attack has no such constant, or not such a value; the message names it.
    pub fn with(&self, constant: &str, value: impl Into<serde_json::Value>) -> Result<Self> {
        let wrong = |e: serde_json::Error| {
            crate::Error::new(crate::ErrorKind::Config, format!("{}: {e}", self.name()))
        };
        let mut fields = serde_json::to_value(self).map_err(wrong)?;
        fields[constant] = value.into();
        let changed: Self = serde_json::from_value(fields).map_err(wrong)?;
        changed.check()?;
        Ok(changed)
    }

    /// Whether the attack has this constant.
    pub fn has(&self, constant: &str) -> bool {
        serde_json::to_value(self).is_ok_and(|fields| fields.get(constant).is_some())
    }
}

pub(super) use attacks;
