//! An attack of a plan: what it is, and what it aims at.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::attack::{Aim, AttackConfig, Threat};
use crate::data::Dataset;
use crate::{Error, ErrorKind, Result, bail};

/// An attack of a plan. In a file it is the attack's own keys and, for a targeted one, `target`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What it aims at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The attack.
    #[serde(flatten)]
    pub attack: AttackConfig,
}

/// Which class a targeted attack aims at: `"next"`, `"others"` or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The class after the label.
    Next,
    /// One class; samples of it are not counted.
    Class(i64),
    /// Every class but the label, each in a run of its own.
    Others,
}

impl From<AttackConfig> for Entry {
    fn from(attack: AttackConfig) -> Self {
        Entry { target: None, attack }
    }
}

impl Entry {
    /// Name for people: `PGD-40`, `PGD-40 to class 3`.
    pub fn label(&self) -> String {
        let label = self.attack.label();
        self.target.map_or(label.clone(), |target| format!("{label} {}", target.label()))
    }

    /// The same with another budget.
    #[must_use]
    pub fn with_threat(&self, threat: Threat) -> Self {
        Entry { target: self.target, attack: self.attack.with_threat(threat) }
    }

    /// The runs that it takes, one an aim.
    pub fn aims(&self, classes: usize) -> Vec<Aim> {
        match self.target {
            None => vec![Aim::Untargeted],
            Some(Target::Next) => vec![Aim::Next],
            Some(Target::Class(class)) => vec![Aim::Class(class)],
            Some(Target::Others) => (1..classes).map(Aim::After).collect(),
        }
    }

    /// Checks that the target is a class of the data.
    pub(super) fn check_target(&self, test: &Dataset) -> Result<()> {
        match self.target {
            Some(Target::Class(class)) if !(0..test.classes as i64).contains(&class) => bail!(
                Config,
                "evaluate: {} aims at class {class}; the data have the classes 0 to {}",
                self.attack.label(),
                test.classes - 1
            ),
            Some(_) if test.classes < 2 => {
                bail!(Config, "evaluate: a target needs data of at least 2 classes")
            }
            _ => Ok(()),
        }
    }
}

impl Target {
    /// For people: `to the next class`.
    pub fn label(self) -> String {
        match self {
            Target::Next => "to the next class".into(),
            Target::Class(class) => format!("to class {class}"),
            Target::Others => "to every other class".into(),
        }
    }

    /// The target of a sample, under this aim of the entry.
    pub(super) fn of(aim: Aim, label: i64, classes: usize) -> Option<i64> {
        let after = |count: i64| Some((label + count) % classes as i64);
        match aim {
            Aim::Untargeted => None,
            Aim::Next => after(1),
            Aim::After(count) => after(count as i64),
            Aim::Class(class) => Some(class),
        }
    }
}

impl std::str::FromStr for Target {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match (text, text.parse()) {
            ("next", _) => Ok(Target::Next),
            ("others", _) => Ok(Target::Others),
            (_, Ok(class)) => Ok(Target::Class(class)),
            _ => {
                bail!(Config, "target: {text:?} is none; use next, others or the number of a class")
            }
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Target::Next => serializer.serialize_str("next"),
            Target::Others => serializer.serialize_str("others"),
            Target::Class(class) => serializer.serialize_i64(*class),
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Target;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"next\", \"others\" or the number of a class")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Target, E> {
                text.parse().map_err(|e: Error| E::custom(e))
            }
            fn visit_i64<E: de::Error>(self, class: i64) -> Result<Target, E> {
                Ok(Target::Class(class))
            }
            fn visit_u64<E: de::Error>(self, class: u64) -> Result<Target, E> {
                i64::try_from(class).map(Target::Class).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// An attack at the steps of a security curve.
pub(super) fn at_steps(attack: &AttackConfig, steps: usize) -> Result<AttackConfig> {
    attack.with("steps", steps).map_err(|e| match attack.has("steps") {
        true => e,
        false => Error::new(
            ErrorKind::Config,
            format!(
                "evaluate: {} has no steps to vary; put an iterated attack such as pgd last, or leave \
                 the curve by steps out",
                attack.name()
            ),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_and_write_their_target() {
        for (line, target) in [
            ("", None),
            ("target = \"next\"\n", Some(Target::Next)),
            ("target = \"others\"\n", Some(Target::Others)),
            ("target = 3\n", Some(Target::Class(3))),
        ] {
            let text = format!("{line}type = \"pgd\"\neps = 0.1\nsteps = 7\n");
            let entry: Entry = toml::from_str(&text).unwrap();
            assert_eq!(entry.target, target);
            let again: Entry = toml::from_str(&toml::to_string(&entry).unwrap()).unwrap();
            assert_eq!(again, entry);
        }
        for (text, part) in [
            ("type = \"pgd\"\neps = 0.1\ntarget = \"all\"", "next, others"),
            ("type = \"pgd\"\neps = 0.1\nstps = 3", "unknown field `stps`"),
            ("type = \"pdg\"\neps = 0.1", "unknown variant `pdg`"),
        ] {
            let message = toml::from_str::<Entry>(text).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn every_other_class_is_aimed_at_once() {
        let text = "type = \"fgsm\"\neps = 0.1\ntarget = \"others\"";
        let entry: Entry = toml::from_str(text).unwrap();
        for label in 0..4 {
            let aims = entry.aims(4);
            let mut targets: Vec<i64> =
                aims.iter().filter_map(|&aim| Target::of(aim, label, 4)).collect();
            targets.push(label);
            targets.sort_unstable();
            assert_eq!(targets, [0, 1, 2, 3]);
        }
    }
}
