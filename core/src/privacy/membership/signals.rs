//! What of a model's answer tells members from others, all in f64 and from the logits.
//!
//! A softmax in f32 rounds the confidence of every sample that the model is sure of to the same 1, and
//! those are the samples in question; so nothing here goes through a probability that is near 1, but
//! through the sum of the others. Scores are on a logarithmic scale: the order, and with it every ROC
//! curve of one threshold, is that of the signal itself, and a threshold that differs from class to
//! class compares sure samples as finely as doubtful ones.

/// A signal: higher means member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The cross-entropy of the label (Yeom et al. 2018). The posterior of the label ranks alike.
    Loss,
    /// The largest posterior, which needs no label (Salem et al. 2019, adversary 3).
    Confidence,
    /// The entropy of the posteriors (Shokri et al. 2017), which needs no label.
    Entropy,
    /// The modified entropy, in which being sure of a wrong class counts against membership (Song and
    /// Mittal 2021, equation 7).
    ModifiedEntropy,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Signal; 4] =
        [Signal::Loss, Signal::Confidence, Signal::Entropy, Signal::ModifiedEntropy];

    /// Name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Loss => "loss",
            Signal::Confidence => "confidence",
            Signal::Entropy => "entropy",
            Signal::ModifiedEntropy => "modified entropy",
        }
    }

    /// The score of a sample: minus the logarithm of loss or entropy, or the log-odds of the largest
    /// posterior.
    pub fn score(self, logits: &[f64], label: usize) -> f64 {
        let log = |value: f64| -value.max(f64::MIN_POSITIVE).ln();
        match self {
            Signal::Loss => log(cross_entropy(logits, label)),
            Signal::Confidence => phi(logits, largest(logits)),
            Signal::Entropy => log(entropy(logits)),
            Signal::ModifiedEntropy => log(modified_entropy(logits, label)),
        }
    }
}

/// Logit-scaled confidence `log p_y - log(1 - p_y)` (Carlini et al. 2022, section V-A), which is
/// `z_y` minus the logarithm of the sum of `exp` of the others, so that neither end saturates.
pub fn phi(logits: &[f64], label: usize) -> f64 {
    let others = logits.iter().enumerate().filter(|(i, _)| *i != label).map(|(_, z)| *z);
    logits[label] - log_sum_exp(others)
}

/// `log(sum_i exp(z_i - z_y))`: the loss of a sample, in nats.
pub fn cross_entropy(logits: &[f64], label: usize) -> f64 {
    // log(1 + exp(-phi)), from the side that keeps its digits.
    softplus(-phi(logits, label))
}

/// `-sum_i p_i log p_i`, in nats.
fn entropy(logits: &[f64]) -> f64 {
    (0..logits.len()).map(|i| (-cross_entropy(logits, i)).exp() * cross_entropy(logits, i)).sum()
}

/// `-(1 - p_y) log p_y - sum_{i != y} p_i log(1 - p_i)`, in nats.
fn modified_entropy(logits: &[f64], label: usize) -> f64 {
    let each = (0..logits.len()).map(|i| {
        let odds = phi(logits, i);
        // Minus the logarithms of p_i and of 1 - p_i.
        let (is, is_not) = (softplus(-odds), softplus(odds));
        if i == label { (-is_not).exp() * is } else { (-is).exp() * is_not }
    });
    each.sum()
}

/// `log(1 + exp(x))`.
fn softplus(x: f64) -> f64 {
    if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() }
}

/// `log(sum(exp(v)))`; minus infinity of nothing.
pub(super) fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if top.is_finite() { top + values.map(|v| (v - top).exp()).sum::<f64>().ln() } else { top }
}

/// Index of the first largest.
pub(super) fn largest(values: &[f64]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-12 * b.abs().max(1e-300), "{a} != {b}");
    }

    #[test]
    fn the_loss_of_sure_samples_keeps_its_size() {
        close(cross_entropy(&[0.0, 40.0, 0.0], 1), 2.0 * (-40f64).exp());
        close(cross_entropy(&[0.0, 0.0], 0), 2f64.ln());
        close(cross_entropy(&[900.0, 0.0], 1), 900.0);
    }

    #[test]
    fn phi_is_the_log_odds_and_does_not_saturate() {
        let p = [0.7f64, 0.2, 0.1];
        for (label, p) in p.iter().enumerate() {
            close(phi(&[0.7f64.ln(), 0.2f64.ln(), 0.1f64.ln()], label), (p / (1.0 - p)).ln());
        }
        close(phi(&[800.0, 0.0, 0.0], 0), 800.0 - 2f64.ln());
        close(phi(&[800.0, 0.0, 0.0], 1), -800.0);
        close(phi(&[-1e4, 1e4], 0), -2e4);
        assert!(phi(&[60.0, 0.0], 0) < phi(&[61.0, 0.0], 0), "sure samples stay apart");
    }

    #[test]
    fn entropies_are_those_of_the_definitions() {
        let p = [0.6f64, 0.3, 0.1];
        let logits = p.map(f64::ln);
        close(entropy(&logits), -p.iter().map(|p| p * p.ln()).sum::<f64>());
        let by_hand = -0.4 * 0.6f64.ln() - 0.3 * 0.7f64.ln() - 0.1 * 0.9f64.ln();
        close(modified_entropy(&logits, 0), by_hand);
        close(entropy(&[5.0; 8]), 8f64.ln());
        // Sure and wrong: as large as the loss, where plain entropy is as small as if it were right.
        let wrong = [0.0, 30.0];
        assert!(modified_entropy(&wrong, 0) > 29.0 && entropy(&wrong) < 1e-10);
        assert!(modified_entropy(&wrong, 1) < 1e-10);
    }

    #[test]
    fn scores_are_finite_at_the_ends_and_rank_as_their_signals() {
        for signal in Signal::ALL {
            for logits in [[0.0, 2000.0, -2000.0], [0.0, 0.0, 0.0], [-3000.0, 0.0, 1.0]] {
                assert!(signal.score(&logits, 0).is_finite(), "{} of {logits:?}", signal.name());
            }
            let (sure, unsure) = (signal.score(&[9.0, 0.0], 0), signal.score(&[1.0, 0.0], 0));
            assert!(sure > unsure, "{}", signal.name());
        }
    }
}
