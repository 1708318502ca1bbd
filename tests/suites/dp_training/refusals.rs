//! What would cost more privacy than is accounted, or makes no sense, is refused before it starts.

use inocula_core::attack::{AttackConfig, Norm, Substitute, Universal, UniversalPatch};
use inocula_core::train::{Clipping, NoiseSchedule, Private, Rule};
use inocula_core::{Device, ErrorKind};
use inocula_tests::harness::{Outcome, ensure};

use super::{DENSE, config, data, network, pgd, private, train, weights};

fn usual() -> Private {
    private(1.0, Clipping::Flat { bound: 1.0 })
}

/// Rules whose gradient of a sample holds more than that sample.
pub(super) fn couplings(device: &Device) -> Outcome {
    let substitute = AttackConfig::Substitute(Substitute::new(Norm::Linf, 0.1));
    let universal = AttackConfig::Universal(Universal::new(Norm::Linf, 0.1));
    let sticker = AttackConfig::UniversalPatch(UniversalPatch::new(9.0));
    let rules = [
        (Rule::Madry { attack: universal }, "rule madry", "one perturbation for all"),
        (Rule::Madry { attack: sticker }, "rule madry", "one patch for all"),
        (Rule::Free { eps: 0.1, replays: 2 }, "rule free", "other samples"),
        (Rule::Mixed { ratio: 0.5, attacks: vec![pgd()] }, "rule mixed", "others are attacked"),
        (
            Rule::Awp { gamma: 0.01, rule: Box::new(Rule::Standard {}) },
            "rule awp",
            "moved by the whole batch",
        ),
        (Rule::Madry { attack: substitute.clone() }, "rule madry", "substitute"),
        (Rule::Mart { beta: 1.0, attack: substitute.clone() }, "rule mart", "substitute"),
        (
            Rule::Ensemble { models: vec!["other".into()], attack: substitute },
            "rule ensemble",
            "substitute",
        ),
    ];
    for (rule, name, why) in rules {
        refused(device, rule, usual(), 4, &[name, why, "choose"])?;
    }
    Ok(())
}

fn refused(device: &Device, rule: Rule, private: Private, batch: usize, parts: &[&str]) -> Outcome {
    let mut network = network(device, DENSE)?;
    let before = weights(&network)?;
    let what = rule.describe();
    let Err(err) = train(&mut network, &data(10)?, &config(1, batch, rule, private), 1) else {
        return Err(format!("{what}: was trained, without {parts:?}").into());
    };
    let line = err.to_string();
    ensure(err.kind() == ErrorKind::Config && !line.contains('\n'), || line.clone())?;
    ensure(parts.iter().all(|part| line.contains(part)), || format!("{line:?} lacks {parts:?}"))?;
    ensure(weights(&network)? == before, || format!("{what}: the weights moved"))
}

pub(super) fn mistakes(device: &Device) -> Outcome {
    let clipped = |clipping| Private { clipping, ..usual() };
    let noise = |sigma| Private { noise_multiplier: sigma, ..usual() };
    let quantile = |quantile, count_noise| {
        clipped(Clipping::Quantile { bound: 1.0, quantile, rate: 0.2, count_noise })
    };
    let cases = [
        (noise(Some(0.0)), 4, "noise_multiplier = 0"),
        (noise(Some(-1.0)), 4, "noise_multiplier = -1"),
        (noise(Some(f64::NAN)), 4, "noise_multiplier = NaN"),
        (noise(None), 4, "how much noise"),
        (Private { epsilon: Some(1.0), ..usual() }, 4, "remove one"),
        (Private { epsilon: Some(0.0), ..noise(None) }, 4, "epsilon = 0"),
        (Private { delta: 0.0, ..usual() }, 4, "delta = 0"),
        (Private { delta: 1.0, ..usual() }, 4, "delta = 1"),
        (Private { micro_batch: Some(0), ..usual() }, 4, "micro_batch = 0"),
        (Private { average: Some(1.0), ..usual() }, 4, "average = 1"),
        (usual(), 11, "batch_size = 11 is more than the 10"),
        (clipped(Clipping::Flat { bound: 0.0 }), 4, "bound = 0"),
        (clipped(Clipping::Automatic { bound: 1.0, gamma: -1.0 }), 4, "gamma = -1"),
        (quantile(1.0, None), 4, "quantile = 1"),
        (quantile(0.5, Some(0.5)), 4, "count_noise = 0.5 must be above half"),
        (
            Private { schedule: NoiseSchedule::Exponential { factor: 0.0 }, ..usual() },
            4,
            "factor = 0",
        ),
        (noise(Some(1e-200)), 4, "no finite epsilon"),
    ];
    for (private, batch, part) in cases {
        refused(device, Rule::Standard {}, private, batch, &[part])?;
    }
    Ok(())
}
