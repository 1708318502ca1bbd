//! The table of attacks, and everything that is made from it: their listing, and the configuration
//! that is any one of them.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Attack, Threat};
use crate::Result;

/// The configuration of an attack, which is the attack itself once its constants have been checked.
///
/// Every field but the budget has a default, so that a configuration file can be silent on it.
pub trait AttackSpec: Attack + Clone + PartialEq + Debug + Serialize + DeserializeOwned {
    /// Name on the command line and in configurations: the variant of
    /// [`AttackConfig`](super::AttackConfig) in snake case.
    const NAME: &'static str;
    /// One line for listings.
    const SUMMARY: &'static str;

    /// The attack at a budget, its other constants at their usual values.
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

/// An attack that can be asked for by name.
pub struct AttackEntry {
    /// Name on the command line and in configurations.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
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

pub(super) use attacks;
