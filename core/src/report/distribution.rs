//! The smallest perturbations that fool, sample by sample: their distribution.

use serde::{Deserialize, Serialize};

use super::Access;
use crate::metrics::Norm;

/// How far one attack had to move each sample that a model had right. Upper bounds: another attack may
/// need less.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SizeDistribution {
    /// The attack: `DDN-300`, or `PGD-40` where growing budgets were tried.
    pub attack: String,
    /// What it sees of the model.
    pub access: Access,
    /// The norm.
    pub norm: Norm,
    /// Samples that the model had right: those that were perturbed.
    pub samples: u64,
    /// Of these, the fraction that could not be fooled.
    pub unfooled: f64,
    /// Mean size over the fooled ones; absent if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Quantiles over all perturbed samples, as far as they were fooled: the 90 % quantile is absent where
    /// more than 10 % could not be.
    pub quantiles: Vec<Quantile>,
    /// Points `[size, fraction fooled within it]` by growing size, thinned for drawing. Fractions are of
    /// `samples`, so that the curve ends at 1 less `unfooled`.
    pub curve: Vec<[f64; 2]>,
}

/// A quantile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// The fraction of samples that it leaves below or at it.
    pub fraction: f64,
    /// The size, in units of the data set's values.
    pub size: f64,
}

/// The quantiles that are reported.
const FRACTIONS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];

/// Points that a report keeps of a curve.
const CURVE_POINTS: usize = 100;

impl SizeDistribution {
    /// Of the size for each sample that was perturbed, `None` where it was not fooled. Nothing without
    /// samples.
    pub fn new(attack: String, access: Access, norm: Norm, sizes: &[Option<f64>]) -> Option<Self> {
        let n = sizes.len();
        if n == 0 {
            return None;
        }
        let mut found: Vec<f64> = sizes.iter().flatten().copied().collect();
        found.sort_by(f64::total_cmp);
        let mean = found.iter().sum::<f64>() / found.len() as f64;
        // The smallest size within which at least the fraction of all samples is fooled.
        let quantile = |&fraction: &f64| {
            let rank = (fraction * n as f64 - 1e-9).ceil().max(1.0) as usize;
            found.get(rank - 1).map(|&size| Quantile { fraction, size })
        };
        let last = found.len().saturating_sub(1);
        let points = found.len().min(CURVE_POINTS);
        let at = (0..points).map(|i| if points > 1 { i * last / (points - 1) } else { last });
        let curve = at.map(|i| [found[i], (i + 1) as f64 / n as f64]).collect();
        Some(SizeDistribution {
            attack,
            access,
            norm,
            samples: n as u64,
            unfooled: (n - found.len()) as f64 / n as f64,
            mean: (!found.is_empty()).then_some(mean),
            quantiles: FRACTIONS.iter().filter_map(quantile).collect(),
            curve,
        })
    }

    /// What was measured: `DDN-300 L2`. Equal labels are compared across models.
    pub fn label(&self) -> String {
        format!("{} {}", self.attack, self.norm.symbol())
    }

    /// The size within which half of the samples are fooled, if that many are.
    pub fn median(&self) -> Option<f64> {
        self.quantiles.iter().find(|q| q.fraction == 0.5).map(|q| q.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sizes: &[Option<f64>]) -> Option<SizeDistribution> {
        SizeDistribution::new("DDN-300".into(), Access::WhiteBox, Norm::L2, sizes)
    }

    #[test]
    fn quantiles_are_of_all_samples() {
        // 1, 2, ..., 8 and two that held.
        let mut sizes: Vec<Option<f64>> = (1..=8).rev().map(|s| Some(f64::from(s))).collect();
        sizes.extend([None, None]);
        let d = of(&sizes).unwrap();
        assert_eq!((d.samples, d.unfooled, d.mean), (10, 0.2, Some(4.5)));
        let quantiles: Vec<(f64, f64)> = d.quantiles.iter().map(|q| (q.fraction, q.size)).collect();
        assert_eq!(quantiles, [(0.1, 1.0), (0.25, 3.0), (0.5, 5.0), (0.75, 8.0)]);
        assert_eq!(d.median(), Some(5.0));
        assert_eq!((d.curve[0], d.curve[7]), ([1.0, 0.1], [8.0, 0.8]));
    }

    #[test]
    fn one_none_and_many() {
        assert!(of(&[]).is_none());
        let held = of(&[None]).unwrap();
        assert_eq!((held.unfooled, held.mean, held.curve.len()), (1.0, None, 0));
        assert_eq!(of(&[Some(2.0)]).unwrap().curve, [[2.0, 1.0]]);
        let many: Vec<Option<f64>> = (0..5000).map(|i| Some(f64::from(i))).collect();
        let curve = of(&many).unwrap().curve;
        assert_eq!((curve.len(), curve[0][0], curve[99]), (100, 0.0, [4999.0, 1.0]));
    }
}
