//! The noise of a step: that it is there, how much, and what decides it.

use inocula_core::attack::{AttackConfig, Norm, Pgd};
use inocula_core::dp::accounting::Mechanism;
use inocula_core::rng::Rng;
use inocula_core::train::{Clipping, Observer, Private, Rule, fit};
use inocula_core::{Device, Error, ErrorKind, Result};
use inocula_tests::harness::{Outcome, ensure};

use super::{DENSE, DROPOUT, SILENT, config, data, moved, network, private, train, weights};

/// Stops a training before a step.
struct StopAt(usize);

impl Observer for StopAt {
    fn mechanism(&mut self, step: usize, _: &Mechanism) -> Result<()> {
        match step == self.0 {
            true => Err(Error::new(ErrorKind::Usage, "far enough")),
            false => Ok(()),
        }
    }
}

/// The first step alone, of a training on two samples with batches of one.
fn first_step(device: &Device, sigma: f64, seed: u64) -> Result<f64> {
    let mut network = network(device, DENSE)?;
    let before = weights(&network)?;
    let private = private(sigma, Clipping::Flat { bound: 1.0 });
    let config = config(1, 1, Rule::Standard {}, private);
    let stopped = fit(&mut network, &data(2)?, None, &config, &Rng::new(seed), &mut StopAt(1));
    match stopped {
        Err(err) if err.to_string().contains("far enough") => {}
        Err(err) => return Err(err),
        Ok(_) => return Err(Error::new(ErrorKind::Usage, "the training was not stopped")),
    }
    Ok(moved(&before, &network)?.concat().iter().fold(0.0, |most, v| v.abs().max(most)))
}

/// A quarter of the first batches has neither of the two samples: without noise nothing moves there,
/// with noise everything does.
pub(super) fn nobody(device: &Device) -> Outcome {
    let mut empty = 0;
    for seed in 0..40 {
        if first_step(device, SILENT, seed)? < 1e-7 {
            empty += 1;
            let moved = first_step(device, 1.0, seed)?;
            ensure(moved > 0.1, || format!("seed {seed}: nobody and no noise: {moved}"))?;
        }
    }
    // Ten are expected, with a standard deviation of 2.7.
    ensure((1..=23).contains(&empty), || format!("{empty} of 40 batches are empty"))
}

/// With a noisy count beside them, gradients get more noise than is accounted: here twice as much.
pub(super) fn room_for_the_count(device: &Device) -> Outcome {
    let (samples, sigma) = (8, 1.5_f64);
    let quantile = |sigma: f64| Clipping::Quantile {
        bound: 1.0,
        quantile: 0.5,
        rate: 0.2,
        // sigma^-2 - (2 count_noise)^-2 is then a quarter of sigma^-2.
        count_noise: Some(sigma / 3f64.sqrt()),
    };
    for (clipping, expected) in
        [(Clipping::Flat { bound: 1.0 }, sigma), (quantile(sigma), 2.0 * sigma)]
    {
        let step = |sigma: f64, clipping: &Clipping| -> Result<_> {
            let mut network = network(device, DENSE)?;
            let before = weights(&network)?;
            let config = config(1, samples, Rule::Standard {}, private(sigma, clipping.clone()));
            let trained = train(&mut network, &data(samples)?, &config, 3)?;
            Ok((moved(&before, &network)?.concat(), trained))
        };
        let (noisy, trained) = step(sigma, &clipping)?;
        let (quiet, _) = step(SILENT, &clipping)?;
        let n = noisy.len() as f64;
        let squares: f64 = noisy.iter().zip(&quiet).map(|(a, b)| (a - b).powi(2)).sum();
        let std = (squares / n).sqrt() * samples as f64;
        // The standard error of a standard deviation of n normal draws is std / sqrt(2 n).
        ensure((std / expected - 1.0).abs() < 5.0 / (2.0 * n).sqrt(), || {
            format!("{}: noise of {std} for {expected}", clipping.name())
        })?;
        let budget = trained.privacy.ok_or("no budget")?;
        ensure(budget.noise_multiplier == sigma, || {
            format!("{}: {} is accounted", clipping.name(), budget.noise_multiplier)
        })?;
    }
    Ok(())
}

/// All samples in each batch and no noise to speak of: what differs between two runs with one seed is what
/// attacks and dropout drew, which nobody may know either. A training without such draws repeats.
pub(super) fn secret_draws(device: &Device) -> Outcome {
    let pgd = AttackConfig::Pgd(Pgd { steps: 1, ..Pgd::new(Norm::Linf, 0.2) });
    for (what, json, rule) in [
        ("nothing", DENSE, Rule::Standard {}),
        ("dropout", DROPOUT, Rule::Standard {}),
        ("a random start", DENSE, Rule::Madry { attack: pgd }),
    ] {
        let end = |seeded: bool| -> Result<Vec<f64>> {
            let mut network = network(device, json)?;
            let private = Private { seeded, ..private(SILENT, Clipping::Flat { bound: 1.0 }) };
            train(&mut network, &data(12)?, &config(1, 12, rule.clone(), private), 1)?;
            Ok(weights(&network)?.concat())
        };
        let apart = |seeded: bool| -> Result<f64> {
            let (a, b) = (end(seeded)?, end(seeded)?);
            Ok(a.iter().zip(&b).fold(0.0, |most, (a, b)| (a - b).abs().max(most)))
        };
        let (secret, known) = (apart(false)?, apart(true)?);
        ensure(known == 0.0, || format!("{what}: a seeded run differs by {known}"))?;
        ensure((secret > 1e-4) == (what != "nothing"), || {
            format!("{what}: two private runs with one seed differ by {secret}")
        })?;
    }
    Ok(())
}

pub(super) fn same_bits(device: &Device) -> Outcome {
    let end = |seed: u64| -> Result<Vec<f64>> {
        let mut network = network(device, DENSE)?;
        let private = private(1.0, Clipping::Flat { bound: 1.0 });
        train(&mut network, &data(30)?, &config(3, 8, Rule::Standard {}, private), seed)?;
        Ok(weights(&network)?.concat())
    };
    let (a, b, c) = (end(1)?, end(1)?, end(2)?);
    ensure(a == b, || "the same seed gave other weights".into())?;
    ensure(a != c, || "another seed gave the same weights".into())
}

/// With weights that do not move, the bound comes to the quantile of the norms that there are.
pub(super) fn quantile(device: &Device) -> Outcome {
    let samples = 40;
    let bound_of = |quantile: f64| -> Result<f64> {
        let count_noise = Some(0.5);
        let clipping = Clipping::Quantile { bound: 1.0, quantile, rate: 0.2, count_noise };
        let mut network = network(device, DENSE)?;
        let mut config = config(100, samples, Rule::Standard {}, private(0.1, clipping));
        config.optimizer.set_lr(1e-15);
        let trained = train(&mut network, &data(samples)?, &config, 5)?;
        Ok(trained.privacy.map_or(f64::NAN, |budget| budget.clipping_norm))
    };
    let mut norms = norms(device, samples)?;
    norms.sort_by(f64::total_cmp);
    for (quantile, at) in [(0.25, 10), (0.5, 20), (0.75, 30)] {
        let (bound, norm) = (bound_of(quantile)?, norms[at]);
        // Around the quantile the bound wavers by a tenth of what the share is off, a few hundredths.
        ensure((bound / norm).ln().abs() < 0.1, || format!("{bound} for {norm} at {quantile}"))?;
    }
    Ok(())
}

/// Norms of the gradients of each sample.
fn norms(device: &Device, samples: usize) -> Result<Vec<f64>> {
    use inocula_core::dp::ghost::PerSample;
    use inocula_core::place::Placement;
    use inocula_core::train::Batch;
    let (network, data) = (network(device, DENSE)?, data(samples)?);
    let place = Placement { dtype: network.dtype(), ..Placement::new(device) };
    let ids: Vec<usize> = (0..samples).collect();
    let (x, y) = place.tensors(&data, &ids)?;
    let params = network.params().tracked();
    let batch = Batch { x: &x, y: &y, ids: &ids, step: 0, progress: 0.0 };
    let rule = Rule::Standard {}.check()?;
    let losses = rule.losses(&network, &params, &batch, &mut Rng::new(1), &Rng::new(1))?;
    let squares = PerSample::of(&losses, &params.values())?.squared_norms()?;
    let total = squares.into_iter().reduce(|a, b| a + b);
    let total = total.ok_or_else(|| Error::new(ErrorKind::Usage, "no parameters"))?;
    total.sqrt().to_f64_vec()
}
