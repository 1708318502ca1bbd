//! How much one sample may contribute to a step.
//!
//! Every kind multiplies the gradient of a sample by factors that depend on that sample alone (and on
//! what was released before), so that the L2 norm of what it contributes is at most the bound. The
//! noise is in proportion to the bound, so epsilon does not depend on the kind.

use serde::{Deserialize, Serialize};

use crate::dp::clip;
use crate::nn::Params;
use crate::{Error, ErrorKind, Result, Tensor, bail};

/// How each sample's gradient is bounded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Clipping {
    /// `g min(1, C / |g|)` over all parameters (Abadi et al. 2016, algorithm 1).
    Flat {
        /// C, the L2 norm over all parameters.
        bound: f64,
    },
    /// The same in each of the L layers with `C / sqrt(L)`: C again in all (McMahan et al. 2018, section
    /// 3.1). Weight and bias are one layer.
    PerLayer {
        /// C, the L2 norm over all layers.
        bound: f64,
    },
    /// `g C / (|g| + gamma)` (Bu et al. 2023, arXiv 2206.07136, AUTO-S), where C only scales the
    /// learning rate.
    Automatic {
        /// C, the L2 norm over all parameters.
        bound: f64,
        /// What keeps short gradients from being scaled up to all of C; 0.01 in the paper.
        #[serde(default = "gamma")]
        gamma: f64,
    },
    /// As flat, with a bound that moves to a quantile of the norms (Andrew et al. 2021, arXiv
    /// 1905.03871, algorithm 1): `C <- C exp(-rate (b - quantile))` where b is a noisy share of the
    /// samples within C.
    Quantile {
        /// C at the start.
        bound: f64,
        /// The share of samples to leave as they are, in (0, 1).
        #[serde(default = "quantile")]
        quantile: f64,
        /// How fast the bound moves; 0.2 in the paper.
        #[serde(default = "rate")]
        rate: f64,
        /// Standard deviation of the noise on the count of samples within C; a twentieth of the batch
        /// size by default, as in the paper.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count_noise: Option<f64>,
    },
}

fn gamma() -> f64 {
    0.01
}

fn quantile() -> f64 {
    0.5
}

fn rate() -> f64 {
    0.2
}

impl Default for Clipping {
    fn default() -> Self {
        Clipping::Flat { bound: 1.0 }
    }
}

impl Clipping {
    /// The kinds by name, as on the command line.
    pub const NAMES: [&'static str; 4] = ["flat", "per-layer", "automatic", "quantile"];

    /// The kind of this name at a bound, its other constants at their usual values.
    ///
    /// # Errors
    /// There is none; the message lists them.
    pub fn named(name: &str, bound: f64) -> Result<Self> {
        Ok(match name {
            "flat" => Clipping::Flat { bound },
            "per-layer" => Clipping::PerLayer { bound },
            "automatic" => Clipping::Automatic { bound, gamma: gamma() },
            "quantile" => {
                Clipping::Quantile { bound, quantile: quantile(), rate: rate(), count_noise: None }
            }
            _ => bail!(Config, "clipping: {name:?} is not one of {}", Self::NAMES.join(", ")),
        })
    }

    /// Name, as in [`Clipping::NAMES`].
    pub fn name(&self) -> &'static str {
        match self {
            Clipping::Flat { .. } => "flat",
            Clipping::PerLayer { .. } => "per-layer",
            Clipping::Automatic { .. } => "automatic",
            Clipping::Quantile { .. } => "quantile",
        }
    }

    /// C, at the start where it moves.
    pub fn bound(&self) -> f64 {
        match *self {
            Clipping::Flat { bound }
            | Clipping::PerLayer { bound }
            | Clipping::Automatic { bound, .. }
            | Clipping::Quantile { bound, .. } => bound,
        }
    }

    /// The same kind at another bound.
    pub fn set_bound(&mut self, new: f64) {
        match self {
            Clipping::Flat { bound }
            | Clipping::PerLayer { bound }
            | Clipping::Automatic { bound, .. }
            | Clipping::Quantile { bound, .. } => *bound = new,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let positive = |name: &str, value: f64| -> Result<()> {
            if !(value > 0.0 && value.is_finite()) {
                bail!(Config, "private: clipping: {name} = {value} must be positive and finite");
            }
            Ok(())
        };
        positive("bound", self.bound())?;
        match *self {
            Clipping::Flat { .. } | Clipping::PerLayer { .. } => Ok(()),
            Clipping::Automatic { gamma, .. } => positive("gamma", gamma),
            Clipping::Quantile { quantile, rate, count_noise, .. } => {
                if !(quantile > 0.0 && quantile < 1.0) {
                    bail!(Config, "private: clipping: quantile = {quantile} must be in (0, 1)");
                }
                positive("rate", rate)?;
                count_noise.map_or(Ok(()), |noise| positive("count_noise", noise))
            }
        }
    }

    /// Standard deviation of the noise on the count, for the batch size `batch`.
    fn count_noise(&self, batch: f64) -> Option<f64> {
        match *self {
            Clipping::Quantile { count_noise, .. } => Some(count_noise.unwrap_or(batch / 20.0)),
            _ => None,
        }
    }

    /// The noise multiplier of the gradients with which a step costs `sigma` in all.
    ///
    /// A count, centred so that a sample moves it by 1/2, is released beside the gradients, with noise
    /// of `count_noise`. Both together are one Gaussian mechanism of multiplier sigma if
    /// `sigma^-2 = sigma_g^-2 + (2 count_noise)^-2` (Andrew et al. 2021, theorem 1). What is accounted
    /// is sigma, never what this returns.
    ///
    /// # Errors
    /// The count alone costs as much.
    pub(super) fn gradient_noise(&self, sigma: f64, batch: f64) -> Result<f64> {
        let Some(count_noise) = self.count_noise(batch) else { return Ok(sigma) };
        let of_count = sigma / (2.0 * count_noise);
        if of_count.is_nan() || of_count >= 1.0 {
            bail!(
                Config,
                "private: clipping: count_noise = {count_noise} must be above half of the noise \
                 multiplier, {sigma}; set it, say to {sigma}"
            );
        }
        Ok(sigma / (1.0 - of_count * of_count).sqrt())
    }
}

/// Clipping at work: which parameters make a layer, and where the bound is now.
pub(super) struct Clipper {
    clipping: Clipping,
    /// For each parameter, the layer that it belongs to.
    layers: Vec<usize>,
    bound: f64,
}

impl Clipper {
    pub(super) fn new(clipping: &Clipping, params: &Params) -> Self {
        // `conv1.weight` and `conv1.bias` are the layer `conv1`.
        let mut names: Vec<&str> = Vec::new();
        let layers = params.iter().map(|(name, _)| {
            let layer = name.rsplit_once('.').map_or(name, |(layer, _)| layer);
            names.iter().position(|known| *known == layer).unwrap_or_else(|| {
                names.push(layer);
                names.len() - 1
            })
        });
        let layers = layers.collect();
        Clipper { clipping: clipping.clone(), layers, bound: clipping.bound() }
    }

    /// C, the most that one sample contributes.
    pub(super) fn bound(&self) -> f64 {
        self.bound
    }

    /// Goes on with the bound of an earlier part of the training.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn restore(&mut self, bound: f64) -> Result<()> {
        if !(bound > 0.0 && bound.is_finite()) {
            bail!(Data, "state: a clipping bound of {bound}; it is damaged");
        }
        self.bound = bound;
        Ok(())
    }

    /// For each parameter what the samples' gradients in it are multiplied with, `[N]`, given their
    /// squared norms in each; and how many samples are within the bound, where that is counted.
    pub(super) fn factors(&self, norms: Vec<Tensor>) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        let bound = self.bound;
        if let Clipping::PerLayer { .. } = self.clipping {
            return Ok((self.per_layer(&norms)?, None));
        }
        let count = norms.len();
        let Some(total) = norms.into_iter().reduce(|a, b| a + b) else {
            return Err(Error::new(ErrorKind::Usage, "private: the network has no parameters"));
        };
        let (factors, within) = match self.clipping {
            Clipping::Automatic { gamma, .. } => {
                (clip::automatic_factors(&total, bound, gamma)?, None)
            }
            Clipping::Quantile { .. } => {
                let within = clip::norms(&total).le(&total.scalar(bound)).sum_all();
                (clip::factors(&total, bound)?, Some(within.check()?.clone()))
            }
            Clipping::Flat { .. } | Clipping::PerLayer { .. } => {
                (clip::factors(&total, bound)?, None)
            }
        };
        Ok((vec![factors; count], within))
    }

    fn per_layer(&self, norms: &[Tensor]) -> Result<Vec<Tensor>> {
        let count = self.layers.iter().max().map_or(0, |last| last + 1);
        let bound = self.bound / (count as f64).sqrt();
        let of_layer = |layer: usize| -> Result<Tensor> {
            let own = norms.iter().zip(&self.layers).filter(|(_, of)| **of == layer);
            let total = own.map(|(norms, _)| norms.clone()).reduce(|a, b| a + b);
            let empty = || Error::new(ErrorKind::Usage, "private: a layer without parameters");
            clip::factors(&total.ok_or_else(empty)?, bound)
        };
        let factors = (0..count).map(of_layer).collect::<Result<Vec<_>>>()?;
        Ok(self.layers.iter().map(|&layer| factors[layer].clone()).collect())
    }

    /// Moves the bound by a count of `within` of `samples` samples, to which `noise` of the standard
    /// deviation that it is given is added; `batch` is the expected number of samples.
    pub(super) fn learn(
        &mut self,
        within: f64,
        samples: usize,
        batch: f64,
        noise: impl FnOnce(f64) -> f64,
    ) {
        let Clipping::Quantile { quantile, rate, .. } = self.clipping else { return };
        let Some(std) = self.clipping.count_noise(batch) else { return };
        // Centred: a sample moves the sum by 1/2, whether it is within the bound or not.
        let centred = within - 0.5 * samples as f64 + noise(std);
        let share = 0.5 + centred / batch;
        let moved = self.bound * (-rate * (share - quantile)).exp();
        // The exponent is a draw without limits; a bound that left the range of numbers would end
        // the training.
        self.bound = moved.clamp(f64::from(f32::MIN_POSITIVE).sqrt(), f64::from(f32::MAX).sqrt());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn by_quantile(quantile: f64) -> Clipping {
        Clipping::Quantile { bound: 0.1, quantile, rate: 0.2, count_noise: Some(2.0) }
    }

    fn clipper(clipping: Clipping) -> Clipper {
        let bound = clipping.bound();
        Clipper { clipping, layers: vec![0], bound }
    }

    #[test]
    fn gradients_and_count_together_cost_sigma() {
        for sigma in [0.3, 1.0, 3.9] {
            let of_gradients = by_quantile(0.5).gradient_noise(sigma, 100.0).unwrap();
            assert!(of_gradients > sigma);
            // Sensitivities over standard deviations: 1 / sigma_g, and a half over that of the count.
            let both: f64 = (1.0 / of_gradients).powi(2) + (0.5_f64 / 2.0).powi(2);
            assert!((both.sqrt() * sigma - 1.0).abs() < 1e-12, "{sigma}: {of_gradients}");
        }
        for sigma in [4.0, 10.0, f64::NAN] {
            assert!(by_quantile(0.5).gradient_noise(sigma, 100.0).is_err(), "{sigma}");
        }
        let flat = Clipping::Flat { bound: 1.0 };
        assert_eq!(flat.gradient_noise(4.0, 100.0).unwrap(), 4.0);
        // The usual noise is a twentieth of the batch.
        let usual = Clipping::named("quantile", 1.0).unwrap();
        let explicit =
            Clipping::Quantile { bound: 1.0, quantile: 0.5, rate: 0.2, count_noise: Some(5.0) };
        assert_eq!(
            usual.gradient_noise(2.0, 100.0).unwrap(),
            explicit.gradient_noise(2.0, 100.0).unwrap()
        );
    }

    /// Norms of an exponential distribution of mean 1, batches of about 100, noise as configured: the
    /// bound comes to the quantile, which is -ln(1 - q), and stays.
    #[test]
    fn the_bound_comes_to_the_quantile() {
        for quantile in [0.2, 0.5, 0.9] {
            let mut clipper = clipper(by_quantile(quantile));
            let mut rng = Rng::new(4);
            let mut mean = 0.0;
            for step in 0..600 {
                let samples = 80 + rng.below(41);
                let bound = clipper.bound();
                let within = (0..samples).filter(|_| rng.exponential() <= bound).count();
                let noise = rng.normal();
                clipper.learn(within as f64, samples, 100.0, |std| std * noise);
                if step >= 200 {
                    mean += clipper.bound() / 400.0;
                }
            }
            let target = -(1.0 - quantile).ln();
            assert!((mean / target - 1.0).abs() < 0.05, "{quantile}: {mean} for {target}");
        }
    }

    #[test]
    fn no_sample_tells_nothing_of_the_share() {
        let mut clipper = clipper(by_quantile(0.5));
        clipper.learn(0.0, 0, 100.0, |_| 0.0);
        assert_eq!(clipper.bound(), 0.1);
        // One sample more moves what is released by a half, within or not.
        let after = |within: f64, samples: usize| {
            let mut clipper = self::clipper(by_quantile(0.5));
            clipper.learn(within, samples, 100.0, |_| 0.0);
            (clipper.bound() / 0.1).ln() / -0.2 * 100.0
        };
        assert!((after(1.0, 1) - 0.5).abs() < 1e-9);
        assert!((after(0.0, 1) + 0.5).abs() < 1e-9);
    }

    #[test]
    fn bounds_stay_in_the_range_of_numbers() {
        let mut clipper = clipper(by_quantile(0.5));
        clipper.learn(0.0, 1, 1.0, |_| -1e30);
        assert!(clipper.bound().is_finite());
        clipper.learn(0.0, 1, 1.0, |_| 1e30);
        assert!(clipper.bound() > 0.0);
    }

    #[test]
    fn constants_out_of_range_are_named() {
        let automatic = |gamma| Clipping::Automatic { bound: 1.0, gamma };
        let cases = [
            (Clipping::Flat { bound: 0.0 }, "bound = 0"),
            (Clipping::PerLayer { bound: f64::INFINITY }, "bound = inf"),
            (automatic(0.0), "gamma = 0"),
            (by_quantile(0.0), "quantile = 0"),
            (by_quantile(1.0), "quantile = 1"),
            (by_quantile(f64::NAN), "quantile = NaN"),
        ];
        for (clipping, part) in cases {
            let text = clipping.check().unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
        for name in Clipping::NAMES {
            let clipping = Clipping::named(name, 1.5).unwrap();
            assert_eq!((clipping.name(), clipping.bound()), (name, 1.5));
            clipping.check().unwrap();
        }
        assert!(Clipping::named("flatt", 1.0).unwrap_err().to_string().contains("per-layer"));
    }
}
