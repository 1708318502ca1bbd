//! The vote of a network under Gaussian noise, attacked.
//!
//! What fools the network itself says little of its vote. An attack on the vote ascends the loss of
//! [`MeanSoftmax`], and what it finds is put to the vote. Certificate and vote each hold up to a probability of
//! error, so a sample that is certified and fooled is asked again, with other noise and an error of one in a
//! billion: if both answers stand, one of the computations is wrong.

use super::smoothing::{Smoothing, Vote, noise};
use crate::model::Classifier;
use crate::rng::Rng;
use crate::{Result, Tensor, bail};

/// The mean softmax of a model over draws of noise that stay the same from call to call, as logarithms
/// (Salman et al. 2019, arXiv 1906.04584, section 3.1). Differentiable where the model is.
pub struct MeanSoftmax<'a> {
    model: &'a dyn Classifier,
    sigma: f64,
    draws: usize,
    rng: Rng,
}

/// What is added to a mean probability before its logarithm.
const LEAST: f64 = 1e-12;

impl<'a> MeanSoftmax<'a> {
    /// Over `draws` draws of deviation `sigma`, in units of the inputs.
    ///
    /// # Errors
    /// `sigma` is not positive and finite, or there is no draw.
    pub fn new(model: &'a dyn Classifier, sigma: f64, draws: usize, rng: &Rng) -> Result<Self> {
        if draws == 0 || !(sigma > 0.0 && sigma.is_finite()) {
            bail!(
                Config,
                "smoothing: sigma = {sigma} must be positive, and {draws} draws at least 1"
            );
        }
        Ok(MeanSoftmax { model, sigma, draws, rng: rng.clone() })
    }

    /// Class probabilities of `x` under one of the draws.
    fn softmax(&self, x: &Tensor, draw: usize) -> Result<Tensor> {
        let mut shape = x.shape().to_vec();
        shape[0] = 1;
        let each = shape.iter().product();
        let noise = noise(x.dtype(), each, self.sigma, &mut self.rng.index(draw as u64));
        let noise = Tensor::from_f64(x.device(), x.dtype(), &noise, &shape)?;
        Ok(self.model.logits(&(x + noise))?.softmax(1))
    }
}

impl Classifier for MeanSoftmax<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let mut sum = self.softmax(x, 0)?;
        for draw in 1..self.draws {
            sum = sum + self.softmax(x, draw)?;
        }
        Ok(sum.affine(1.0 / self.draws as f64, LEAST).log())
    }

    fn bounds(&self) -> [f64; 2] {
        self.model.bounds()
    }

    fn classes(&self) -> usize {
        self.model.classes()
    }
}

/// What is known of the vote on a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// It is the label wherever in the ball.
    pub certified: bool,
    /// It is another class at the sample itself or at the example.
    pub fooled: bool,
}

/// A sample with what an attack made of it.
pub struct Case<'a> {
    /// The sample, `[1, ...]`.
    pub x: &'a Tensor,
    /// The example, `[1, ...]`, within `eps` of the sample in L2.
    pub example: &'a Tensor,
    /// The label.
    pub label: i64,
    /// Radius of the ball.
    pub eps: f64,
}

/// Draws that say what the vote is at an example, at most.
const ASKED: usize = 1000;

/// The probability of error where certificate and example disagree.
const SURE: f64 = 1e-9;

impl Case<'_> {
    /// The certificate held against the example.
    ///
    /// # Errors
    /// As [`Smoothing::certify`], or the sample is certified and fooled, and still is when asked again.
    pub fn held(&self, model: &dyn Classifier, vote: Smoothing, rng: &Rng) -> Result<Held> {
        let first = self.ask(model, vote, rng)?;
        if !(first.certified && first.fooled) {
            return Ok(first);
        }
        let sure = Smoothing { alpha: vote.alpha.min(SURE), ..vote };
        let again = self.ask(model, sure, &rng.child("again"))?;
        if again.certified && again.fooled {
            bail!(
                Numeric,
                "smoothing certifies the sample within l2 {}, but the vote at an example within it is \
                 another class",
                self.eps
            );
        }
        Ok(again)
    }

    fn ask(&self, model: &dyn Classifier, vote: Smoothing, rng: &Rng) -> Result<Held> {
        let at_sample = vote.certify(model, self.x, &rng.child("sample"))?;
        let short = Smoothing { estimation: vote.estimation.min(ASKED), ..vote };
        let at_example = short.certify(model, self.example, &rng.child("example"))?;
        let other = |vote| matches!(vote, Vote::Class { class, .. } if class != self.label);
        let certified = match at_sample {
            Vote::Class { class, radius } => class == self.label && radius >= self.eps,
            Vote::Abstain => false,
        };
        Ok(Held { certified, fooled: other(at_sample) || other(at_example) })
    }
}
