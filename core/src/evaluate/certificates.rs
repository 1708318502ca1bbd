//! Certificates held against the attacks of the run: certified <= truth <= attacked, sample by sample.
//!
//! Every example that fooled a model is remembered by its distance in Linf, whatever norm its attack kept
//! to and whoever made it: within the certified radius it contradicts the certificate. That is an error,
//! not a warning, since one of the two computations is then wrong and every figure is in doubt.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Judge, Progress, place};
use crate::attack::{Norm, Outcome, Threat};
use crate::certify::{Bound, Certified, certify_rows};
use crate::metrics::clopper_pearson;
use crate::place::Placement;
use crate::report::CertificateReport;
use crate::{Result, bail};

/// A certificate of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certify {
    /// How the network is bounded.
    pub method: Bound,
    /// Radius of the Linf ball; the plan's budget if absent, where that is in Linf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
}

impl Certify {
    /// The radius in a plan with this budget.
    fn eps_in(&self, threat: Threat) -> Option<f64> {
        self.eps.or((threat.norm == Norm::Linf).then_some(threat.eps))
    }

    pub(super) fn check(&self, threat: Threat) -> Result<()> {
        let name = self.method.name();
        match self.eps_in(threat) {
            None => bail!(
                Config,
                "evaluate: {name} certifies balls in linf, and the plan's budget is in {}; give the \
                 certificate an eps of its own",
                threat.norm
            ),
            Some(eps) if !(eps >= 0.0 && eps.is_finite()) => {
                bail!(Config, "evaluate: {name}: eps = {eps} must be finite and at least 0")
            }
            Some(_) => Ok(()),
        }
    }
}

/// For each attacked sample, the nearest example in Linf that fooled one model.
pub(super) struct Witnesses(Vec<Option<Witness>>);

#[derive(Clone)]
struct Witness {
    distance: f64,
    attack: String,
}

impl Witnesses {
    pub(super) fn new(samples: usize) -> Self {
        Witnesses(vec![None; samples])
    }

    /// Examples at these distances, and the classes that the model gives them.
    pub(super) fn note(&mut self, attack: &str, away: &[f64], seen: &[i64], labels: &[i64]) {
        let fooled = (away.iter().zip(seen.iter().zip(labels)))
            .map(|(&d, (seen, label))| (seen != label).then_some(d));
        self.note_sizes(attack, &fooled.collect::<Vec<_>>());
    }

    /// The distance at which each sample was fooled, if it was.
    pub(super) fn note_sizes(&mut self, attack: &str, sizes: &[Option<f64>]) {
        for (known, &size) in self.0.iter_mut().zip(sizes) {
            let Some(distance) = size else { continue };
            if known.as_ref().is_none_or(|w| distance < w.distance) {
                *known = Some(Witness { distance, attack: attack.to_owned() });
            }
        }
    }

    /// Whether each sample was fooled within `radius`.
    fn within(&self, radius: f64) -> impl Iterator<Item = bool> {
        self.0.iter().map(move |w| w.as_ref().is_some_and(|w| w.distance <= radius))
    }

    /// The first sample that is certified within `radius` and was fooled there.
    fn contradiction(&self, known: &[Certified], radius: f64) -> Option<(usize, &Witness)> {
        let both = |(known, w): (&Certified, &'_ Option<Witness>)| {
            known.holds && w.as_ref().is_some_and(|w| w.distance <= radius)
        };
        let at = known.iter().zip(&self.0).position(both)?;
        Some((at, self.0[at].as_ref()?))
    }
}

impl Judge<'_> {
    /// The distance in Linf of each example to its original, if the plan certifies anything.
    pub(super) fn distances_to_certify(&self, outcome: &Outcome) -> Result<Option<Vec<f64>>> {
        if self.plan.certify.is_empty() {
            return Ok(None);
        }
        let each: usize = self.test.shape.iter().product();
        let values = outcome.adversarial.to_f64_vec()?;
        let away = self.rows.iter().zip(values.chunks(each)).map(|(&row, values)| {
            let clean = &self.test.features[row * each..(row + 1) * each];
            Norm::Linf.of(values.iter().zip(clean).map(|(v, c)| v - f64::from(*c)))
        });
        Ok(Some(away.collect()))
    }

    /// Tries every certificate on one sample of every model, before anything is computed.
    pub(super) fn check_certifiable(&self) -> Result<()> {
        for contender in self.contenders {
            for certify in &self.plan.certify {
                let network = &contender.network;
                let (x, y) = place(network).tensors(self.test, &self.rows[..1])?;
                let margins = certify.method.margins(network, network.params(), (&x, &y), 0.0);
                margins.and_then(|m| m.check().map(drop)).map_err(|e| {
                    e.context(format!("{} of {}", certify.method.name(), contender.name))
                })?;
            }
        }
        Ok(())
    }

    /// Certifies every model, and holds what is certified against every example of the run.
    pub(super) fn certify(&mut self, progress: Progress<'_>) -> Result<()> {
        let features = self.test.shape.iter().product();
        let bounds = [f64::from(self.test.bounds.0), f64::from(self.test.bounds.1)];
        for certify in &self.plan.certify {
            let Some(eps) = certify.eps_in(self.plan.threat) else { continue };
            let name = certify.method.name();
            // What rounding may add to a perturbation of the budget.
            let radius = eps + Threat::new(Norm::Linf, eps).tolerance(features, bounds);
            for (i, contender) in self.contenders.iter().enumerate() {
                let network = &contender.network;
                let place = Placement { batch: 64, ..place(network) };
                let phase = format!("{name} of {}", contender.name);
                let (mut done, total) = (0, self.rows.len());
                progress(&phase, 0, total)?;
                let started = Instant::now();
                let known = certify_rows(
                    certify.method,
                    network,
                    self.test,
                    &self.rows,
                    eps,
                    &place,
                    &mut |n| {
                        done += n;
                        progress(&phase, done, total)
                    },
                )?;
                let seconds = started.elapsed().as_secs_f64();
                let witnesses = &self.witnesses[i];
                if let Some((at, witness)) = witnesses.contradiction(&known, radius) {
                    bail!(
                        Numeric,
                        "evaluate: {name} certifies test sample {} of {} within linf {eps}, but {} fools \
                         it at a distance of {}; certificate or attack is wrong, so no figure of this run \
                         can be trusted: rerun it on another backend, and report it as a defect",
                        self.rows[at],
                        contender.name,
                        witness.attack,
                        witness.distance
                    );
                }
                let held = known.iter().zip(witnesses.within(radius));
                let attacked = held.filter(|(known, fooled)| known.correct && !fooled).count();
                let certified = known.iter().filter(|k| k.holds).count();
                self.reports[i].certificates.push(CertificateReport {
                    method: name.to_owned(),
                    norm: Norm::Linf,
                    epsilon: eps,
                    samples: total as u64,
                    certified_accuracy: certified as f64 / total as f64,
                    interval: clopper_pearson(certified as u64, total as u64, 0.05)?,
                    attacked_accuracy: attacked as f64 / total as f64,
                    seconds,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certified_sample_that_was_fooled_within_the_radius_is_found() {
        let sample = |holds| Certified { correct: true, margin: 1.0, holds };
        let known = [sample(true), sample(false), sample(true), sample(true)];
        let mut witnesses = Witnesses::new(4);
        assert!(witnesses.contradiction(&known, 0.1).is_none());
        // Fooled, but far away or not certified.
        witnesses.note("PGD-40", &[0.2, 0.05, 0.1, 0.05], &[1, 1, 0, 0], &[0, 0, 0, 0]);
        assert!(witnesses.contradiction(&known, 0.1).is_none());
        assert_eq!(witnesses.within(0.1).collect::<Vec<_>>(), [false, true, false, false]);
        witnesses.note_sizes("Square-100", &[None, None, Some(0.1), Some(0.04)]);
        witnesses.note_sizes("DDN-300", &[None, None, None, Some(0.09)]);
        let (at, witness) = witnesses.contradiction(&known, 0.1).unwrap();
        assert_eq!((at, witness.attack.as_str()), (2, "Square-100"));
        // The nearest is the one that is told of.
        let last = [sample(false), sample(false), sample(false), sample(true)];
        let (at, witness) = witnesses.contradiction(&last, 0.1).unwrap();
        assert_eq!((at, witness.attack.as_str(), witness.distance), (3, "Square-100", 0.04));
    }

    #[test]
    fn a_radius_is_the_plans_where_that_is_in_linf() {
        let of = |eps| Certify { method: Bound::Crown, eps };
        let (linf, l2) = (Threat::new(Norm::Linf, 0.1), Threat::new(Norm::L2, 0.1));
        assert_eq!(of(None).eps_in(linf), Some(0.1));
        assert!(of(None).check(l2).unwrap_err().to_string().contains("an eps of its own"));
        assert!(of(Some(0.05)).check(l2).is_ok());
        for eps in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(of(Some(eps)).check(linf).is_err());
        }
    }
}
