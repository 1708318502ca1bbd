//! Training under Gaussian noise, for the certificate of randomised smoothing (Lecuyer et al. 2019,
//! "Certified robustness to adversarial examples with differential privacy"; Cohen, Rosenfeld and Kolter
//! 2019, "Certified adversarial robustness via randomized smoothing", section 3.3): the vote under noise
//! is sure only where the network has learnt to do with that noise.
//!
//! The noise is that of the certificate ([`crate::certify::smoothing`]): of one deviation in all
//! values, and not cut off at the box. It is drawn anew in every step, for each sample from a stream of
//! its own.

use super::pass::{Batch, Pass, Step};
use crate::loss::cross_entropy;
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

pub(super) struct Noise {
    /// Standard deviation, in units of the inputs.
    sigma: f64,
}

impl Noise {
    pub(super) fn new(sigma: f64) -> Result<Self> {
        if !(sigma > 0.0 && sigma.is_finite()) {
            bail!(Config, "rule: sigma = {sigma} must be positive and finite");
        }
        Ok(Noise { sigma })
    }
}

impl Step for Noise {
    /// Noise has no radius that could exceed the box.
    fn check_within(&self, _: usize, _: [f64; 2]) -> Result<()> {
        Ok(())
    }

    fn inputs(&self, _: &dyn Classifier, batch: &Batch<'_>, rng: &Rng) -> Result<Tensor> {
        let draws = batch.draws(rng, "gaussian");
        let noise = draws.tensor(batch.x, |rng, values| {
            values.iter_mut().for_each(|v| *v = (self.sigma * rng.normal()) as f32);
        })?;
        Ok(batch.x + &noise)
    }

    fn losses(&self, pass: &mut Pass<'_>, batch: &Batch<'_>, made: &Tensor) -> Result<Tensor> {
        Ok(cross_entropy(&pass.logits(made)?, batch.y))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rule;

    #[test]
    fn only_a_deviation_will_do() {
        for wrong in [0.0, -0.25, f64::NAN, f64::INFINITY] {
            let text = Rule::Noise { sigma: wrong }.check().err().unwrap().to_string();
            let expected = format!("rule: sigma = {wrong} must be positive and finite");
            assert!(text.contains(&expected), "{text}");
        }
        let rule = Rule::Noise { sigma: 0.25 };
        assert_eq!(rule.check().unwrap().coupling(), None);
        assert_eq!((rule.attacks().len(), rule.usual_monitor()), (0, None));
    }

    #[test]
    fn a_file_says_it_in_two_lines() {
        let rule = Rule::Noise { sigma: 0.25 };
        let text = toml::to_string(&rule).unwrap();
        assert_eq!(text, "type = \"noise\"\nsigma = 0.25\n");
        assert_eq!(toml::from_str::<Rule>(&text).unwrap(), rule);
        assert_eq!(rule.describe(), "Gaussian noise, sigma 0.25");
        for wrong in ["type = \"noise\"", "type = \"noise\"\nsigma = 0.25\neps = 0.1"] {
            assert!(toml::from_str::<Rule>(wrong).is_err(), "{wrong}");
        }
    }
}
