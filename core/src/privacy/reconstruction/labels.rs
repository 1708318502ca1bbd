//! Labels from gradients.
//!
//! With cross-entropy, the gradient of the last layer's bias at class c is the mean of `p_c - [y = c]`:
//! of one sample it is negative at its label and nowhere else (Zhao et al. 2020, iDLG), exactly. Of a
//! batch, a negative entry still proves that its class is there; how often it is there is an estimate,
//! from the mean of `p_c` on inputs of the attacker's own (Wainakh et al. 2022 do it by such impacts).

use crate::model::{Classifier, Network};
use crate::nn::Layer;
use crate::rng::Rng;
use crate::{Error, ErrorKind, Result, Tensor};

/// Inputs on which the mean prediction is estimated.
const PROBES: usize = 64;

/// Entry `[classes]` of the last layer's gradient whose sign tells labels: that of its bias, or the sum
/// over its weight's rows where there is no bias (which needs inputs that are not negative).
fn signals(network: &Network, gradients: &[Tensor]) -> Result<Vec<f64>> {
    let fail = || {
        let text = "labels: the network does not end in a linear layer; pass the labels as known";
        Error::new(ErrorKind::Config, text)
    };
    let Some(Layer::Linear(last)) = network.spec().layers.last() else { return Err(fail()) };
    let gradient = gradients.last().ok_or_else(fail)?;
    if last.bias { gradient.to_f64_vec() } else { gradient.sum(&[1]).to_f64_vec() }
}

/// The labels of the `n` samples that gave `gradients` (of the mean loss, in the order of the
/// network's parameters), ascending. Exact for one sample.
///
/// # Errors
/// The network does not end in a linear layer, or the device failed.
pub fn infer(network: &Network, gradients: &[Tensor], n: usize, rng: &Rng) -> Result<Vec<i64>> {
    let signals = signals(network, gradients)?;
    if n == 1 {
        let lowest = (0..signals.len()).min_by(|&a, &b| signals[a].total_cmp(&signals[b]));
        return Ok(lowest.into_iter().map(|c| c as i64).collect());
    }
    let means = mean_prediction(network, rng)?;
    let share = |c: usize| n as f64 * (means[c] - signals[c]);
    let counts = counts(&signals, &(0..signals.len()).map(share).collect::<Vec<_>>(), n);
    Ok(counts.iter().enumerate().flat_map(|(c, &k)| std::iter::repeat_n(c as i64, k)).collect())
}

/// `n` labels by class: one for each class that must be there, the rest where most are missing from
/// the estimated `shares`.
fn counts(signals: &[f64], shares: &[f64], n: usize) -> Vec<usize> {
    let mut counts = vec![0; signals.len()];
    let mut there: Vec<usize> = (0..signals.len()).filter(|&c| signals[c] < 0.0).collect();
    there.sort_by(|&a, &b| signals[a].total_cmp(&signals[b]));
    there.iter().take(n).for_each(|&c| counts[c] = 1);
    for _ in counts.iter().sum::<usize>()..n {
        let missing = |c: usize| shares[c] - counts[c] as f64;
        let most = (0..counts.len()).max_by(|&a, &b| missing(a).total_cmp(&missing(b)));
        if let Some(c) = most {
            counts[c] += 1;
        }
    }
    counts
}

/// Mean probability of each class on random inputs.
fn mean_prediction(network: &Network, rng: &Rng) -> Result<Vec<f64>> {
    let spec = network.spec();
    let shape: Vec<usize> = [PROBES].iter().chain(&spec.input).copied().collect();
    let mut draws = rng.child("probes");
    let [lo, hi] = spec.bounds;
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| draws.uniform(lo, hi)).collect();
    let x = Tensor::from_f64(network.device(), network.dtype(), &values, &shape)?;
    let p = network.logits(&x)?.softmax(1).sum(&[0]).to_f64_vec()?;
    Ok(p.into_iter().map(|p| p / PROBES as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_with_a_negative_entry_are_there_and_the_rest_fills_up() {
        let signals = [-0.2, 0.1, -0.05, 0.1];
        assert_eq!(counts(&signals, &[2.6, 0.1, 1.2, 0.1], 4), [3, 0, 1, 0]);
        assert_eq!(counts(&signals, &[0.0; 4], 1), [1, 0, 0, 0]);
        assert_eq!(counts(&signals, &[0.0, 0.0, 5.0, 0.0], 3), [1, 0, 2, 0]);
    }
}
