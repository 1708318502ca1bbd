//! What an indicator says, and the table of indicators.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Facts, Kind};

/// A reason to doubt a figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which indicator found it.
    pub kind: Kind,
    /// The model.
    pub model: String,
    /// The figure that is in doubt: the label of its attack, `PGD-40 L∞ 0.1`.
    pub figure: String,
    /// What was found, with its numbers, and what to do.
    pub sentence: String,
    /// The numbers: counts, and fractions in `[0, 1]`.
    pub evidence: BTreeMap<String, f64>,
}

impl Finding {
    /// The finding in a line: model, figure, kind and sentence.
    pub fn line(&self) -> String {
        let Finding { kind, model, figure, sentence, .. } = self;
        format!("{model}, {figure}: {sentence} ({})", kind.name())
    }
}

/// What an indicator has to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// One sentence with its numbers; what to do comes last.
    pub sentence: String,
    /// The numbers by name, each finite.
    pub numbers: Vec<(&'static str, f64)>,
}

/// An entry of the table.
pub struct Indicator {
    /// The kind of its findings.
    pub kind: Kind,
    /// Name, as in JSON.
    pub name: &'static str,
    /// Where it is from: paper and section.
    pub source: &'static str,
    /// What it finds.
    pub look: fn(&Facts) -> Option<Evidence>,
}

/// Declares [`Kind`](super::Kind) and [`INDICATORS`](super::INDICATORS).
macro_rules! indicators {
    ($($module:ident :: $Kind:ident,)+) => {
        /// The kind of a finding; its name is that of the indicator's file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind { $(
            #[doc = concat!("`", stringify!($module), "`.")]
            $Kind,
        )+ }

        impl Kind {
            /// Name, as in JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$Kind => stringify!($module),)+ }
            }
        }

        /// Every indicator.
        pub const INDICATORS: &[Indicator] = &[$(Indicator {
            kind: Kind::$Kind,
            name: stringify!($module),
            source: $module::SOURCE,
            look: $module::look,
        }),+];
    };
}

pub(super) use indicators;
