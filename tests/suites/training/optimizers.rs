//! Optimisers against their textbook recurrences.

use inocula_core::nn::Params;
use inocula_core::optim::{Adam, OptimizerConfig, RmsProp, Sgd};
use inocula_core::{DType, Device, Tensor};
use inocula_tests::harness::{Outcome, ensure};

/// Three steps of each optimiser against the textbook recurrences, in f64.
pub(super) fn recurrences(device: &Device) -> Outcome {
    let grads = [0.5, -1.5, 0.25];
    let wd = 0.1;
    let sgd = |momentum: f64| {
        let (mut p, mut v) = (1.0f64, 0.0);
        for g in grads {
            v = momentum * v + (g + wd * p);
            p -= 0.1 * v;
        }
        p
    };
    let adam = {
        let (mut p, mut m, mut v) = (1.0f64, 0.0, 0.0);
        for (t, g) in (1..).zip(grads) {
            let g = g + wd * p;
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let (m_hat, v_hat) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
            p -= 0.1 * m_hat / (v_hat.sqrt() + 1e-8);
        }
        p
    };
    let rmsprop = |momentum: f64| {
        let (mut p, mut s, mut v) = (1.0f64, 0.0, 0.0);
        for g in grads {
            let g = g + wd * p;
            s = 0.99 * s + 0.01 * g * g;
            v = momentum * v + g / (s.sqrt() + 1e-8);
            p -= 0.1 * v;
        }
        p
    };
    let rms = |momentum| {
        OptimizerConfig::RmsProp(RmsProp {
            lr: 0.1,
            momentum,
            weight_decay: wd,
            ..Default::default()
        })
    };
    let cases = [
        (OptimizerConfig::Sgd(Sgd { lr: 0.1, momentum: 0.0, weight_decay: wd }), sgd(0.0)),
        (OptimizerConfig::Sgd(Sgd { lr: 0.1, momentum: 0.9, weight_decay: wd }), sgd(0.9)),
        (OptimizerConfig::Adam(Adam { lr: 0.1, weight_decay: wd, ..Default::default() }), adam),
        (rms(0.0), rmsprop(0.0)),
        (rms(0.9), rmsprop(0.9)),
    ];
    for (config, want) in cases {
        let mut optimizer = config.check()?;
        let mut params = Params::new();
        params.push("p", Tensor::full(device, DType::F64, &[2], 1.0));
        for g in grads {
            let g = Tensor::full(device, DType::F64, &[2], g);
            params = optimizer.step(params, vec![g], 1.0)?;
        }
        let got = params.get("p")?.to_vec::<f64>()?;
        ensure(got.iter().all(|p| (p - want).abs() < 1e-12), || format!("{config:?}: {got:?}"))?;
    }
    for lr in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let config = OptimizerConfig::Sgd(Sgd { lr, momentum: 0.0, weight_decay: 0.0 });
        ensure(config.check().is_err(), || format!("learning rate {lr} was accepted"))?;
    }
    Ok(())
}
