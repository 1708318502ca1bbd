//! Clients that want something else than the others, to test rules of the server with.
//!
//! An attacker acts at two places: it may change its data before it trains, and what it sends
//! afterwards. It knows the weights that it was sent and what everybody knows of the federation, not
//! what others send: stronger attackers exist, tailored to a rule.

mod gaussian;
mod label_flip;
mod replacement;
mod sign_flip;
mod trigger;

use serde::{Deserialize, Serialize};

pub use trigger::Trigger;

use crate::data::Dataset;
use crate::error::nearest;
use crate::rng::Rng;
use crate::{Result, bail};

/// Which clients attack, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attackers {
    /// How many; which ones, the seed decides.
    pub count: usize,
    /// What they do.
    pub attacker: Attacker,
}

/// What an attacker does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Attacker {
    /// Trains on label `classes - 1 - y` for y (Fang et al. 2020, section 5.1).
    LabelFlip {},
    /// Trains as it should, and sends the update times `-scale` (Li et al. 2019, RSA, section 5).
    SignFlip {
        /// What it multiplies with.
        #[serde(default = "one")]
        scale: f64,
    },
    /// Trains a share of its samples with a trigger to be `target`, and sends the update times `boost`,
    /// so that the mean becomes its own model (Bagdasaryan et al. 2020, section 4.2).
    Replacement {
        /// The class that samples with the trigger shall be taken for.
        #[serde(default)]
        target: usize,
        /// Share of its samples with the trigger.
        #[serde(default = "half")]
        poisoned: f64,
        /// What the update is multiplied with; the clients of a round over the attackers among them if
        /// absent, which replaces the mean of equal clients.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boost: Option<f64>,
        /// The mark.
        #[serde(default)]
        trigger: Trigger,
    },
    /// Sends normal noise in the place of an update (Blanchard et al. 2017, section 6).
    Gaussian {
        /// Standard deviation of each value.
        #[serde(default = "one")]
        std: f64,
    },
}

fn one() -> f64 {
    1.0
}

fn half() -> f64 {
    0.5
}

/// An attacker that can be asked for by name.
pub struct AttackerEntry {
    /// Name on the command line and in configurations.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// The attacker at its usual constants.
    pub usual: fn() -> Attacker,
}

/// Every attacker.
pub const ATTACKERS: &[AttackerEntry] = &[
    AttackerEntry {
        name: "label_flip",
        summary: "trains on the labels in reverse order",
        usual: || Attacker::LabelFlip {},
    },
    AttackerEntry {
        name: "sign_flip",
        summary: "sends its update with the sign turned; Li et al. 2019",
        usual: || Attacker::SignFlip { scale: one() },
    },
    AttackerEntry {
        name: "replacement",
        summary: "sends a boosted update with a backdoor; Bagdasaryan et al. 2020",
        usual: || Attacker::Replacement {
            target: 0,
            poisoned: half(),
            boost: None,
            trigger: Trigger::default(),
        },
    },
    AttackerEntry {
        name: "gaussian",
        summary: "sends noise; Blanchard et al. 2017",
        usual: || Attacker::Gaussian { std: one() },
    },
];

impl Attacker {
    /// The attacker of this name at its usual constants.
    ///
    /// # Errors
    /// There is none; the message lists them.
    pub fn named(name: &str) -> Result<Self> {
        if let Some(entry) = ATTACKERS.iter().find(|a| a.name == name) {
            return Ok((entry.usual)());
        }
        let names: Vec<&str> = ATTACKERS.iter().map(|a| a.name).collect();
        let hint = nearest(name, names.iter().copied());
        let hint = hint.map_or(String::new(), |near| format!("; did you mean {near}?"));
        bail!(Config, "attacker: {name:?} is not one of {}{hint}", names.join(", "))
    }

    /// Name, as in [`ATTACKERS`].
    pub fn name(&self) -> &'static str {
        match self {
            Attacker::LabelFlip {} => "label_flip",
            Attacker::SignFlip { .. } => "sign_flip",
            Attacker::Replacement { .. } => "replacement",
            Attacker::Gaussian { .. } => "gaussian",
        }
    }

    /// Sets the scale, boost or standard deviation.
    ///
    /// # Errors
    /// The attacker has none.
    pub fn set_strength(&mut self, new: f64) -> Result<()> {
        match self {
            Attacker::LabelFlip {} => {
                bail!(
                    Config,
                    "attacker: label_flip has no strength; choose another, or leave it out"
                )
            }
            Attacker::SignFlip { scale } => *scale = new,
            Attacker::Replacement { boost, .. } => *boost = Some(new),
            Attacker::Gaussian { std } => *std = new,
        }
        Ok(())
    }

    /// Checks every constant.
    ///
    /// # Errors
    /// Names the one that is out of range.
    pub fn check(&self) -> Result<()> {
        let positive = |name: &str, value: f64| -> Result<()> {
            if !(value > 0.0 && value.is_finite()) {
                bail!(Config, "attacker: {name} = {value} must be positive and finite");
            }
            Ok(())
        };
        match self {
            Attacker::LabelFlip {} => Ok(()),
            Attacker::SignFlip { scale } => positive("scale", *scale),
            Attacker::Gaussian { std } => positive("std", *std),
            Attacker::Replacement { poisoned, boost, trigger, .. } => {
                if !(*poisoned > 0.0 && *poisoned <= 1.0) {
                    bail!(Config, "attacker: poisoned = {poisoned} must be in (0, 1]");
                }
                boost.map_or(Ok(()), |boost| positive("boost", boost))?;
                trigger.check()
            }
        }
    }

    /// Checks what depends on the data.
    ///
    /// # Errors
    /// The target is none of the classes.
    pub fn check_for(&self, data: &Dataset) -> Result<()> {
        match self {
            Attacker::Replacement { target, .. } if *target >= data.classes => {
                let classes = data.classes;
                bail!(Config, "attacker: target = {target} is not one of the {classes} classes")
            }
            _ => Ok(()),
        }
    }

    /// The trigger of a backdoor and the class that it stands for.
    pub fn backdoor(&self) -> Option<(&Trigger, usize)> {
        match self {
            Attacker::Replacement { trigger, target, .. } => Some((trigger, *target)),
            _ => None,
        }
    }

    /// Whether it trains at all.
    pub(super) fn trains(&self) -> bool {
        !matches!(self, Attacker::Gaussian { .. })
    }

    /// What it trains on in the place of `data`.
    pub(super) fn poison(&self, data: Dataset, rng: &Rng) -> Dataset {
        match self {
            Attacker::LabelFlip {} => label_flip::flipped(data),
            Attacker::Replacement { target, poisoned, trigger, .. } => {
                replacement::poisoned(data, *poisoned, trigger, *target, rng)
            }
            _ => data,
        }
    }

    /// What it sends in the place of `delta`, in a round of `clients` of which `attackers` attack.
    pub(super) fn send(&self, delta: &mut [f64], [clients, attackers]: [usize; 2], rng: &Rng) {
        match self {
            Attacker::LabelFlip {} => {}
            Attacker::SignFlip { scale } => sign_flip::flip(delta, *scale),
            Attacker::Replacement { boost, .. } => {
                let all = clients as f64 / attackers.max(1) as f64;
                replacement::boost(delta, boost.unwrap_or(all));
            }
            Attacker::Gaussian { std } => gaussian::fill(delta, *std, rng),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::digits;

    #[test]
    fn an_attacker_has_one_name_everywhere() {
        for entry in ATTACKERS {
            let attacker: Attacker = toml::from_str(&format!("type = \"{}\"", entry.name)).unwrap();
            assert_eq!(attacker, (entry.usual)());
            assert_eq!(attacker.name(), entry.name);
            attacker.check().unwrap();
        }
        let text = Attacker::named("sign-flip").unwrap_err().to_string();
        assert!(text.contains("did you mean sign_flip?"), "{text}");
    }

    #[test]
    fn labels_are_reversed() {
        let data = digits().unwrap().select(&[0, 1, 2, 3]);
        let flipped = Attacker::LabelFlip {}.poison(data.clone(), &Rng::new(1));
        let want: Vec<i64> = data.labels.iter().map(|y| 9 - y).collect();
        assert_eq!((flipped.labels, flipped.features), (want, data.features));
    }

    #[test]
    fn what_is_sent() {
        let send = |attacker: Attacker| {
            let mut delta = vec![1.0, -2.0];
            attacker.send(&mut delta, [10, 2], &Rng::new(1));
            delta
        };
        assert_eq!(send(Attacker::LabelFlip {}), [1.0, -2.0]);
        assert_eq!(send(Attacker::SignFlip { scale: 3.0 }), [-3.0, 6.0]);
        assert_eq!(send(Attacker::named("replacement").unwrap()), [5.0, -10.0]);
        let noise = Attacker::Gaussian { std: 2.0 };
        let mut many = vec![0.0; 20_000];
        noise.send(&mut many, [10, 2], &Rng::new(1));
        let variance = many.iter().map(|v| v * v).sum::<f64>() / many.len() as f64;
        // Five standard errors.
        assert!((variance / 4.0 - 1.0).abs() < 5.0 * (2.0 / 20_000.0_f64).sqrt(), "{variance}");
    }

    #[test]
    fn a_share_of_the_samples_gets_the_trigger_and_the_target() {
        let data = digits().unwrap().select(&(0..100).collect::<Vec<_>>());
        let made = Attacker::named("replacement").unwrap().poison(data.clone(), &Rng::new(1));
        let each: usize = data.shape.iter().product();
        let sample = |set: &Dataset, i: usize| set.features[i * each..(i + 1) * each].to_vec();
        let marked: Vec<usize> = (0..100)
            .filter(|&i| sample(&made, i) != sample(&data, i) || made.labels[i] != data.labels[i])
            .collect();
        // Samples of class 0 with a mark already there would not differ; there is none.
        assert_eq!(marked.len(), 50);
        for i in marked {
            assert_eq!(made.labels[i], 0);
            let mut want = sample(&data, i);
            Trigger::default().put(&mut want, &data.shape, data.bounds.1);
            assert_eq!(sample(&made, i), want);
        }
    }

    #[test]
    fn constants_out_of_range_are_named() {
        let replacement = |poisoned, boost| Attacker::Replacement {
            target: 0,
            poisoned,
            boost,
            trigger: Trigger::default(),
        };
        for (attacker, part) in [
            (Attacker::SignFlip { scale: 0.0 }, "scale = 0"),
            (Attacker::Gaussian { std: -1.0 }, "std = -1"),
            (replacement(0.0, None), "poisoned = 0"),
            (replacement(0.5, Some(f64::NAN)), "boost = NaN"),
        ] {
            let text = attacker.check().unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
        let mut far = Attacker::named("replacement").unwrap();
        if let Attacker::Replacement { target, .. } = &mut far {
            *target = 10;
        }
        assert!(far.check_for(&digits().unwrap()).is_err());
        assert!(Attacker::LabelFlip {}.set_strength(1.0).is_err());
    }
}
