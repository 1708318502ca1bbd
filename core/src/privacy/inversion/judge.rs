//! Whether an inversion shows a class, or only the model's own blind spot: the judgement of a network
//! that was trained apart (Zhang et al. 2020, section 4.2), and plain distances to the training data.
//!
//! A model that likes a sample proves nothing, since the attack made it so. A second network with other
//! weights has no reason to agree unless the sample looks like the class.

use super::Inverted;
use crate::data::Dataset;
use crate::metrics::{mse, psnr, ssim};
use crate::model::{Classifier, Network, confusion, predict};
use crate::nn::Layer;
use crate::place::Placement;
use crate::privacy::reconstruction::features;
use crate::report::{InversionAttack, PSNR_MOST, Rate, Spread};
use crate::rng::Rng;
use crate::{DType, Result, Tensor, bail};

/// A network that judges, with what it knows of the training data.
pub struct Evaluator<'a> {
    network: &'a Network,
    train: &'a Dataset,
    /// Features of every training sample, row-major.
    features: Vec<Vec<f32>>,
    /// Mean features, and mean values, of each class.
    means: Vec<[Vec<f32>; 2]>,
    /// Accuracy on held-out samples.
    pub accuracy: f64,
    /// Mean distance of held-out samples to the mean features of their class.
    pub real_distance: f64,
}

impl<'a> Evaluator<'a> {
    /// A judge by `network` of inversions of a model that was trained on `train`.
    ///
    /// # Errors
    /// A set is empty or lacks a class, the network does not fit the data, or the device failed.
    pub fn new(network: &'a Network, train: &'a Dataset, held_out: &Dataset) -> Result<Self> {
        if held_out.is_empty() {
            bail!(Data, "inversion: there are no held-out samples to judge the evaluator by");
        }
        let place = Placement { dtype: network.dtype(), ..Placement::new(network.device()) };
        let features = features_of(network, train, &place)?;
        let values: Vec<Vec<f32>> =
            (0..train.len()).map(|row| record(train, row).to_vec()).collect();
        let mut means = Vec::new();
        for class in 0..train.classes {
            let rows = rows_of(train, class as i64);
            if rows.is_empty() {
                bail!(Data, "inversion: class {class} has no training sample to compare with");
            }
            means.push([mean(&features, &rows), mean(&values, &rows)]);
        }
        let held = features_of(network, held_out, &place)?;
        let distances = held.iter().zip(&held_out.labels);
        let distances = distances.map(|(f, &y)| distance(f, &means[y as usize][0]));
        let real_distance = distances.sum::<f64>() / held_out.len() as f64;
        let accuracy = confusion(network, held_out, &place)?.accuracy();
        Ok(Evaluator { network, train, features, means, accuracy, real_distance })
    }

    /// The mean sample of a class.
    pub fn class_mean(&self, class: i64) -> &[f32] {
        &self.means[class as usize][1]
    }

    /// The training sample of `class` that is nearest to `values` in squared error.
    ///
    /// # Errors
    /// `values` are not those of a sample.
    pub fn nearest(&self, values: &[f32], class: i64) -> Result<&[f32]> {
        let mut best: Option<(f64, &[f32])> = None;
        for row in rows_of(self.train, class) {
            let error = mse(values, record(self.train, row))?;
            if best.is_none_or(|(least, _)| error < least) {
                best = Some((error, record(self.train, row)));
            }
        }
        match best {
            Some((_, record)) => Ok(record),
            None => bail!(Data, "inversion: class {class} has no training sample to compare with"),
        }
    }
}

/// Figures of inversions of `classes` by the attack of this name.
///
/// # Errors
/// The samples do not fit the data, or the device failed.
pub fn judge(
    attack: &str,
    inverted: &Inverted,
    classes: &[i64],
    evaluator: &Evaluator<'_>,
    rng: &Rng,
) -> Result<InversionAttack> {
    let (train, network) = (evaluator.train, evaluator.network);
    let range = f64::from(train.bounds.1) - f64::from(train.bounds.0);
    let x = inverted.x.to_device(network.device())?.cast(network.dtype());
    let recognised = agreement(network, &x, classes)?;
    let recognised_noise = agreement(network, &noise(network, classes.len(), rng)?, classes)?;
    let seen = rows(&last_features(network, &x)?)?;
    let samples = rows(&x)?;
    let mut figures = Figures::default();
    for ((values, features), &class) in samples.iter().zip(&seen).zip(classes) {
        let near = rows_of(train, class).into_iter();
        let near = near.map(|row| distance(features, &evaluator.features[row]));
        figures.feature.push(distance(features, &evaluator.means[class as usize][0]));
        figures.nearest_feature.push(near.fold(f64::INFINITY, f64::min));
        let nearest = evaluator.nearest(values, class)?;
        let references = [evaluator.class_mean(class), nearest];
        for (reference, at) in references.into_iter().zip(0..) {
            let quality = psnr(mse(values, reference)?, range).min(PSNR_MOST);
            figures.psnr[at].push(quality);
            if train.shape.len() == 3 {
                let s = ssim(values, reference, &train.shape, range)?;
                figures.ssim[at].push(s.value);
                figures.window = Some(s.window);
            }
        }
    }
    let similar = |values: &[f64]| match values.is_empty() {
        true => Ok(None),
        false => Spread::of(values).map(Some),
    };
    Ok(InversionAttack {
        attack: attack.to_owned(),
        finding: finding(attack, &recognised, &recognised_noise, evaluator.accuracy),
        recognised,
        recognised_noise,
        confidence: Spread::of(&inverted.confidence)?,
        feature_distance: Spread::of(&figures.feature)?,
        nearest_feature_distance: Spread::of(&figures.nearest_feature)?,
        psnr_to_mean: Spread::of(&figures.psnr[0])?,
        psnr_to_nearest: Spread::of(&figures.psnr[1])?,
        ssim_to_mean: similar(&figures.ssim[0])?,
        ssim_to_nearest: similar(&figures.ssim[1])?,
        ssim_window: figures.window,
        gradient_steps: inverted.gradient_steps,
        seconds: None,
    })
}

#[derive(Default)]
struct Figures {
    feature: Vec<f64>,
    nearest_feature: Vec<f64>,
    psnr: [Vec<f64>; 2],
    ssim: [Vec<f64>; 2],
    window: Option<usize>,
}

fn finding(attack: &str, found: &Rate, noise: &Rate, accuracy: f64) -> String {
    let counts = format!(
        "a network trained apart recognises {} of the inversions of {attack}; it gives noise the \
         wanted class in {:.1} % and is right on {:.1} % of real samples",
        found.describe(),
        100.0 * noise.rate,
        100.0 * accuracy
    );
    if found.interval.low > noise.rate {
        return counts;
    }
    format!("{counts}. That is no more than noise gives: this attack failed, another may not")
}

fn agreement(network: &Network, x: &Tensor, classes: &[i64]) -> Result<Rate> {
    let seen = predict(network, x)?;
    Rate::new(seen.iter().zip(classes).filter(|(a, b)| a == b).count(), classes.len())
}

/// Samples that are uniform in the box.
fn noise(network: &Network, n: usize, rng: &Rng) -> Result<Tensor> {
    let [lo, hi] = network.bounds();
    let shape = super::batch_shape(network, n);
    let mut draws = rng.child("noise");
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| draws.uniform(lo, hi)).collect();
    Tensor::from_f64(network.device(), network.dtype(), &values, &shape)
}

/// What the layers before the last fully connected one give; the logits where there is no such layer.
fn last_features(network: &Network, x: &Tensor) -> Result<Tensor> {
    let layers = &network.spec().layers;
    match layers.iter().rposition(|l| matches!(l, Layer::Linear(_))) {
        Some(depth @ 1..) => features(network, x, depth),
        _ => network.logits(x),
    }
}

fn features_of(network: &Network, data: &Dataset, place: &Placement) -> Result<Vec<Vec<f32>>> {
    let all: Vec<usize> = (0..data.len()).collect();
    let mut found = Vec::with_capacity(data.len());
    for part in place.portions(&all) {
        found.extend(rows(&last_features(network, &place.tensors(data, part)?.0)?)?);
    }
    Ok(found)
}

/// The samples of a batch, each as its values.
fn rows(x: &Tensor) -> Result<Vec<Vec<f32>>> {
    let values = x.cast(DType::F32).to_vec::<f32>()?;
    let each = (values.len() / x.dim(0).max(1)).max(1);
    Ok(values.chunks(each).map(<[f32]>::to_vec).collect())
}

fn record(data: &Dataset, row: usize) -> &[f32] {
    let each: usize = data.shape.iter().product();
    &data.features[row * each..(row + 1) * each]
}

fn rows_of(data: &Dataset, class: i64) -> Vec<usize> {
    (0..data.len()).filter(|&row| data.labels[row] == class).collect()
}

fn mean(values: &[Vec<f32>], rows: &[usize]) -> Vec<f32> {
    let mut sums = vec![0.0f64; values.first().map_or(0, Vec::len)];
    for &row in rows {
        sums.iter_mut().zip(&values[row]).for_each(|(s, v)| *s += f64::from(*v));
    }
    sums.into_iter().map(|s| (s / rows.len() as f64) as f32).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
}
