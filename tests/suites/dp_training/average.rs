//! The moving average of the weights, against its sum over a training that is run step by step.

use inocula_core::train::{Clipping, Private, Rule};
use inocula_core::{Device, Result};
use inocula_tests::harness::{Outcome, ensure};

use super::{DENSE, config, data, network, private, train, weights};

/// Steps; each epoch is one, so a training of fewer epochs ends where a longer one was.
const STEPS: usize = 4;

fn end(device: &Device, steps: usize, average: Option<f64>) -> Result<Vec<f64>> {
    let mut network = network(device, DENSE)?;
    let private = Private { average, ..private(1.0, Clipping::Flat { bound: 1.0 }) };
    train(&mut network, &data(9)?, &config(steps, 9, Rule::Standard {}, private), 2)?;
    Ok(weights(&network)?.concat())
}

pub(super) fn closed_form(device: &Device) -> Outcome {
    let path = (1..=STEPS).map(|t| end(device, t, None)).collect::<Result<Vec<_>>>()?;
    for decay in [0.3_f64, 0.99] {
        let shares = (1..=STEPS).map(|t| (1.0 - decay) * decay.powi((STEPS - t) as i32));
        let shares: Vec<f64> = shares.map(|s| s / (1.0 - decay.powi(STEPS as i32))).collect();
        let got = end(device, STEPS, Some(decay))?;
        for (i, got) in got.iter().enumerate() {
            let want: f64 = path.iter().zip(&shares).map(|(w, share)| w[i] * share).sum();
            ensure((got - want).abs() <= 1e-12 * want.abs().max(1.0), || {
                format!("decay {decay}: weight {i} is {got}, not {want}")
            })?;
        }
        ensure(got != path[STEPS - 1], || "the average is the last weights".into())?;
    }
    Ok(())
}
