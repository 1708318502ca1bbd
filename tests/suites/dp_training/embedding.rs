//! Tables of rows: their gradients per sample against batches of one, and what is refused.

use inocula_core::attack::{AttackConfig, Draws, Goal, Norm, Pgd, craft};
use inocula_core::dp::ghost::PerSample;
use inocula_core::grad::grad;
use inocula_core::loss::cross_entropy;
use inocula_core::model::{Classifier as _, Network};
use inocula_core::nn::{Mode, Params};
use inocula_core::rng::Rng;
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::harness::{Outcome, ensure};

use super::network;

const SAMPLES: usize = 7;
const LENGTH: usize = 6;

/// Of 6 or of 40 rows: the one has fewer values than pairs of places, the other has more, so norms
/// are made in both ways.
fn sequences(device: &Device, vocabulary: usize) -> Result<(Network, Tensor, Tensor)> {
    let json = format!(
        r#"{{"input": [{LENGTH}], "classes": 3, "bounds": [0.0, {}], "layers": [
            {{"type": "embedding", "vocabulary": {vocabulary}, "features": 4}},
            {{"type": "layer_norm"}}, {{"type": "flatten"}}, {{"type": "linear", "features": 3}}]}}"#,
        vocabulary - 1
    );
    let mut rng = Rng::new(5);
    // Few numbers, so that a sample takes the same row several times.
    let rows: Vec<f64> = (0..SAMPLES * LENGTH).map(|_| rng.below(4) as f64).collect();
    let x = Tensor::from_f64(device, DType::F64, &rows, &[SAMPLES, LENGTH])?;
    let labels: Vec<i64> = (0..SAMPLES).map(|_| rng.below(3) as i64).collect();
    Ok((network(device, &json)?, x, Tensor::from_slice(device, &labels, &[SAMPLES])?))
}

/// Losses that take every sample once, or once more in reverse.
fn losses(
    network: &Network,
    params: &Params,
    x: &Tensor,
    y: &Tensor,
    twice: bool,
) -> Result<Tensor> {
    let loss = |x: &Tensor| -> Result<Tensor> {
        Ok(cross_entropy(&network.forward(params, x, &mut Mode::Eval)?, y))
    };
    if !twice {
        return loss(x);
    }
    let back: Vec<i64> = (0..LENGTH as i64).rev().collect();
    let reversed = x.take(1, &Tensor::from_slice(x.device(), &back, &[LENGTH])?);
    Ok(loss(x)? + loss(&reversed)?)
}

fn compared(device: &Device, vocabulary: usize, twice: bool) -> Outcome {
    let (network, x, y) = sequences(device, vocabulary)?;
    let params = network.params().tracked();
    let each = PerSample::of(&losses(&network, &params, &x, &y, twice)?, &params.values())?;
    let norms = each.squared_norms()?;
    let factors: Vec<f64> = (0..SAMPLES).map(|n| 0.3 + 0.1 * n as f64).collect();
    let sums = each.weighted_sum(&Tensor::from_f64(device, DType::F64, &factors, &[SAMPLES])?)?;
    let mut wanted: Vec<Vec<f64>> =
        params.values().iter().map(|p| vec![0.0; p.shape().numel()]).collect();
    for (n, factor) in factors.iter().enumerate() {
        let (x, y) = (x.narrow(0, n, 1), y.narrow(0, n, 1));
        let loss = losses(&network, &params, &x, &y, twice)?.sum_all();
        for (i, g) in grad(&loss, &params.values())?.iter().enumerate() {
            let g = g.to_f64_vec()?;
            let square: f64 = g.iter().map(|v| v * v).sum();
            let got = norms[i].to_f64_vec()?[n];
            ensure((got - square).abs() <= 1e-12 * (1.0 + square), || {
                format!("{vocabulary} rows, parameter {i}, sample {n}: {got} for {square}")
            })?;
            wanted[i].iter_mut().zip(&g).for_each(|(sum, v)| *sum += factor * v);
        }
    }
    for (i, (sum, wanted)) in sums.iter().zip(&wanted).enumerate() {
        let got = sum.to_f64_vec()?;
        let off = got.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        ensure(off < 1e-12, || {
            format!("{vocabulary} rows, parameter {i}: the sum is {off:e} off")
        })?;
    }
    Ok(())
}

pub(super) fn by_batches_of_one(device: &Device) -> Outcome {
    for vocabulary in [6, 40] {
        for twice in [false, true] {
            compared(device, vocabulary, twice)?;
        }
    }
    Ok(())
}

/// An attack that needs a gradient where there is none must not pass for one that found nothing.
pub(super) fn no_gradient_in_the_input(device: &Device) -> Outcome {
    let (network, x, y) = sequences(device, 40)?;
    let attack = AttackConfig::Pgd(Pgd { steps: 2, ..Pgd::new(Norm::Linf, 1.0) }).check()?;
    let draws = Draws::new(Rng::new(1), (0..SAMPLES as u64).collect());
    let found = craft(&*attack, &network, &x, &Goal::Untargeted(y), &draws);
    match found.and_then(|found| found.check().cloned()) {
        Err(err) => ensure(err.to_string().contains("square"), || err.to_string())?,
        Ok(_) => return Err("an attack by gradients ran on numbers of rows".to_owned().into()),
    }
    // Numbers in between belong to the row below.
    let (whole, cut) = (network.logits(&x)?, network.logits(&(&x + 0.75))?);
    ensure(whole.to_f64_vec()? == cut.to_f64_vec()?, || "a fraction changed the row".into())
}
