//! Inputs of the first fully connected layer, read off its gradient.
//!
//! With `z = W x + b`, the gradient of row i of `W` is `g_i x` and that of `b_i` is `g_i`, so the
//! quotient is the input itself (Phong et al. 2018, section 3; Geiping et al. 2020, proposition 3.1):
//! no search, and exact up to rounding. In a batch both are sums over samples, and the quotient of a
//! row is a single sample wherever one sample alone activates that unit.

use serde::{Deserialize, Serialize};

use super::features::Features;
use super::{Guess, Leaked, Seen};
use crate::nn::{Layer, ModelSpec};
use crate::privacy::descend::Progress;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// Division of the first fully connected layer's gradients; where that layer does not see the input
/// itself, what it sees is inverted by `features` afterwards.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Analytic {
    /// The search from the layer's input to that of the network.
    pub features: Features,
}

/// Rows whose quotients differ by less, relative to the larger, show the same sample.
const SAME: f64 = 1e-3;
/// Biases with less of the largest gradient are taken for rounding.
const NOTHING: f64 = 1e-6;

impl Analytic {
    pub(super) fn run(
        &self,
        seen: &Seen<'_>,
        labels: Option<&[i64]>,
        rng: &Rng,
        progress: Progress<'_>,
    ) -> Result<Guess> {
        let Leaked::Gradient(gradients) = &seen.leaked else {
            bail!(Usage, "analytic: it needs a gradient; what was seen is something else");
        };
        let spec = seen.network.spec();
        let layer = first_linear(spec)?;
        let inputs = inputs(seen, gradients)?;
        let direct = |l: &Layer| matches!(l, Layer::Flatten(_) | Layer::Dropout(_));
        let direct = spec.layers[..layer].iter().all(direct);
        let labels = labels.map(<[i64]>::to_vec);
        if direct {
            let shape: Vec<usize> = [seen.samples].iter().chain(&spec.input).copied().collect();
            let x = inputs.reshape(&shape);
            return Ok(Guess { x, labels, objective: 0.0 });
        }
        let seen = Seen { leaked: Leaked::Features { depth: layer, values: inputs }, ..*seen };
        let guess = self.features.run(&seen, rng, progress)?;
        Ok(Guess { labels, ..guess })
    }
}

/// The place of the first fully connected layer with a bias among the layers.
fn first_linear(spec: &ModelSpec) -> Result<usize> {
    match spec.layers.iter().position(|l| matches!(l, Layer::Linear(_))) {
        Some(at) if matches!(&spec.layers[at], Layer::Linear(l) if l.bias) => Ok(at),
        _ => bail!(
            Config,
            "analytic: the network has no fully connected layer with a bias to read; use cosine"
        ),
    }
}

/// Inputs `[N, I]` of that layer: least squares over all rows for one sample, else the quotients that
/// most rows agree on.
fn inputs(seen: &Seen<'_>, gradients: &[Tensor]) -> Result<Tensor> {
    // Fully connected layers are numbered from 1.
    let at = seen.network.params().iter().position(|(name, _)| name == "fc1.weight");
    let Some((dw, db)) = at.and_then(|at| Some((gradients.get(at)?, gradients.get(at + 1)?)))
    else {
        bail!(Usage, "analytic: the gradients are not those of the network's parameters");
    };
    let width = dw.dim(1);
    let (dw, db) = (dw.to_f64_vec()?, db.to_f64_vec()?);
    let values = match seen.samples {
        1 => one_sample(&dw, &db, width)?,
        n => several(&dw, &db, width, n, seen.network.spec().bounds)?,
    };
    let (device, dtype) = (seen.network.device(), seen.network.dtype());
    Tensor::from_f64(device, dtype, &values, &[seen.samples, width])
}

/// The `x` with the least `sum_i |dW_i - db_i x|^2`, which is `sum_i db_i dW_i / sum_i db_i^2`.
fn one_sample(dw: &[f64], db: &[f64], width: usize) -> Result<Vec<f64>> {
    let total: f64 = db.iter().map(|g| g * g).sum();
    if total == 0.0 {
        bail!(
            Numeric,
            "analytic: the gradient of the first fully connected layer is zero, so no unit was \
             active; choose another record or other weights"
        );
    }
    let mut x = vec![0.0; width];
    for (row, g) in dw.chunks(width).zip(db) {
        x.iter_mut().zip(row).for_each(|(x, w)| *x += g * w / total);
    }
    Ok(x)
}

/// Quotients that agree, and how many rows gave them.
struct Candidate {
    x: Vec<f64>,
    rows: usize,
    outside: f64,
}

/// `n` samples, `[n, width]`: first those that most rows show, then those nearest to the box. Where
/// there are fewer, the rest is the mean of the box, so that nothing is claimed.
fn several(dw: &[f64], db: &[f64], width: usize, n: usize, bounds: [f64; 2]) -> Result<Vec<f64>> {
    let largest = db.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    if largest == 0.0 {
        bail!(
            Numeric,
            "analytic: the gradient of the first fully connected layer is zero, so no unit was \
             active; choose other records or other weights"
        );
    }
    let mut found: Vec<Candidate> = Vec::new();
    for (row, g) in dw.chunks(width).zip(db).filter(|(_, g)| g.abs() > NOTHING * largest) {
        let x: Vec<f64> = row.iter().map(|w| w / g).collect();
        match found.iter_mut().find(|c| apart(&c.x, &x) < SAME) {
            Some(same) => same.rows += 1,
            None => found.push(Candidate { outside: outside(&x, bounds), x, rows: 1 }),
        }
    }
    found.sort_by(|a, b| b.rows.cmp(&a.rows).then(a.outside.total_cmp(&b.outside)));
    let middle = vec![f64::midpoint(bounds[0], bounds[1]); width];
    let shown = found.into_iter().map(|c| c.x).chain(std::iter::repeat(middle)).take(n);
    Ok(shown.flatten().collect())
}

/// Euclidean distance relative to the longer of the two.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    let size = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (difference / size(a).max(size(b)).max(f64::MIN_POSITIVE)).sqrt()
}

/// How far values lie outside of the box: a mixture of samples leaves it, a sample does not.
fn outside(x: &[f64], [lo, hi]: [f64; 2]) -> f64 {
    x.iter().map(|&v| (lo - v).max(v - hi).max(0.0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gradients of a layer whose unit i is moved by `g[n][i]` of sample n.
    fn layer(x: &[&[f64]], g: &[&[f64]]) -> (Vec<f64>, Vec<f64>) {
        let (units, width) = (g[0].len(), x[0].len());
        let of = |i: usize, j: usize| x.iter().zip(g).map(|(x, g)| g[i] * x[j]).sum();
        let dw = (0..units).flat_map(|i| (0..width).map(move |j| (i, j))).map(|(i, j)| of(i, j));
        (dw.collect(), (0..units).map(|i| g.iter().map(|g| g[i]).sum()).collect())
    }

    #[test]
    fn units_that_one_sample_activates_show_it_and_mixtures_come_last() {
        let samples: [&[f64]; 2] = [&[0.9, 0.1, 0.4], &[0.0, 1.0, 0.3]];
        let (dw, db) = layer(&samples, &[&[0.5, 0.0, -0.7, 0.2], &[0.0, 0.3, 0.6, 0.0]]);
        let got = several(&dw, &db, 3, 2, [0.0, 1.0]).unwrap();
        assert!(apart(&got[..3], samples[0]) < 1e-12 && apart(&got[3..], samples[1]) < 1e-12);
        let one = one_sample(&dw[..3], &db[..1], 3).unwrap();
        assert!(apart(&one, samples[0]) < 1e-12);
    }

    #[test]
    fn what_nothing_shows_is_not_claimed() {
        let (dw, db) = layer(&[&[0.9, 0.1]], &[&[0.5, 0.2]]);
        let got = several(&dw, &db, 2, 2, [0.0, 1.0]).unwrap();
        assert_eq!(got[2..], [0.5, 0.5]);
        assert!(several(&[0.0; 4], &[0.0; 2], 2, 2, [0.0, 1.0]).is_err());
        assert!(one_sample(&[0.0; 4], &[0.0; 2], 2).is_err());
    }
}
