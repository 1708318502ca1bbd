//! Rules with nothing to add are the plain ones to the last bit; seeds decide the rest; constants that
//! make no sense are named.

use inocula_core::attack::{AttackConfig, Fgsm, Norm, Pgd};
use inocula_core::model::Network;
use inocula_core::nn::{ModelSpec, init_params};
use inocula_core::rng::Rng;
use inocula_core::train::{Rule, fit};
use inocula_core::{DType, Device, Result};
use inocula_tests::harness::{Outcome, ensure};

use super::{config, data};

const EPS: f64 = 0.1;

fn pgd() -> AttackConfig {
    AttackConfig::Pgd(Pgd { steps: 2, ..Pgd::new(Norm::Linf, EPS) })
}

fn awp(gamma: f64, rule: Rule) -> Rule {
    Rule::Awp { gamma, rule: Box::new(rule) }
}

fn fast(eps: f64, grad_align: f64) -> Rule {
    Rule::Fast { eps, step: None, grad_align }
}

/// Weights after an epoch on a few samples; dropout tells passes from each other.
fn trained(device: &Device, rule: Rule, seed: u64) -> Result<Vec<f32>> {
    let json = r#"{"input": [1, 8, 8], "classes": 10, "bounds": [0.0, 1.0], "layers": [
        {"type": "flatten"}, {"type": "linear", "features": 24}, {"type": "relu"},
        {"type": "dropout", "p": 0.2}, {"type": "linear", "features": 10}]}"#;
    let spec: ModelSpec = serde_json::from_str(json)
        .map_err(|e| inocula_core::Error::new(inocula_core::ErrorKind::Config, e.to_string()))?;
    let params = init_params(&spec, device, DType::F32, &Rng::new(3))?;
    let mut network = Network::new(spec, params, device)?;
    let train = data()?.0.take_stratified(150, &Rng::new(1));
    fit(&mut network, &train, None, &config(1, rule), &Rng::new(seed), &mut ())?;
    let mut all = Vec::new();
    for (_, p) in network.params().iter() {
        all.extend(p.to_vec::<f32>()?);
    }
    Ok(all)
}

pub(super) fn same_bits(device: &Device) -> Outcome {
    let madry = || Rule::Madry { attack: pgd() };
    let trades = |beta| Rule::Trades { beta, attack: pgd() };
    let pairs = [
        (trades(0.0), Rule::Standard {}),
        (Rule::Free { eps: 0.0, replays: 1 }, Rule::Standard {}),
        (fast(0.0, 0.0), Rule::Standard {}),
        (Rule::Mixed { ratio: 0.0, attacks: vec![pgd()] }, Rule::Standard {}),
        (Rule::Mixed { ratio: 1.0, attacks: vec![pgd()] }, madry()),
        (awp(0.0, madry()), madry()),
        (awp(0.0, trades(2.0)), trades(2.0)),
    ];
    for (empty, plain) in pairs {
        let what = || format!("{} is not {}", empty.describe(), plain.describe());
        ensure(trained(device, empty.clone(), 4)? == trained(device, plain.clone(), 4)?, what)?;
    }
    Ok(())
}

pub(super) fn seeds(device: &Device) -> Outcome {
    let mut seen = vec![trained(device, Rule::Standard {}, 4)?];
    let rules = [
        Rule::Trades { beta: 6.0, attack: pgd() },
        Rule::Mart { beta: 6.0, attack: pgd() },
        fast(EPS, 0.0),
        fast(EPS, 0.5),
        Rule::Free { eps: EPS, replays: 3 },
        Rule::Noise { sigma: EPS },
        awp(0.01, Rule::Madry { attack: pgd() }),
    ];
    for rule in rules {
        let name = rule.describe();
        let [a, b] = [trained(device, rule.clone(), 4)?, trained(device, rule.clone(), 4)?];
        ensure(a == b, || format!("{name}: the same seed gave other weights"))?;
        ensure(trained(device, rule, 5)? != a, || format!("{name}: the seed changes nothing"))?;
        ensure(!seen.contains(&a), || format!("{name} trains as another rule"))?;
        seen.push(a);
    }
    Ok(())
}

pub(super) fn mistakes(_: &Device) -> Outcome {
    let fgsm = || AttackConfig::Fgsm(Fgsm::new(Norm::Linf, EPS));
    let cases = [
        (Rule::Mart { beta: -1.0, attack: pgd() }, "beta = -1"),
        (Rule::Trades { beta: f64::INFINITY, attack: pgd() }, "beta = inf"),
        (fast(-0.1, 0.0), "eps = -0.1"),
        (Rule::Fast { eps: EPS, step: Some(f64::NAN), grad_align: 0.0 }, "step = NaN"),
        (fast(EPS, -0.5), "grad_align = -0.5"),
        (Rule::Free { eps: f64::NAN, replays: 4 }, "eps = NaN"),
        (Rule::Free { eps: EPS, replays: 0 }, "replays = 0"),
        (Rule::Ensemble { models: Vec::new(), attack: fgsm() }, "models = []"),
        (Rule::Noise { sigma: 0.0 }, "sigma = 0"),
        (awp(0.01, Rule::Noise { sigma: f64::NAN }), "sigma = NaN"),
        (awp(f64::NAN, Rule::Standard {}), "gamma = NaN"),
        (awp(0.01, Rule::Free { eps: EPS, replays: 4 }), "around free"),
        (awp(0.01, awp(0.01, Rule::Standard {})), "around awp"),
        (awp(0.01, Rule::Mart { beta: f64::NAN, attack: fgsm() }), "beta = NaN"),
    ];
    for (rule, expected) in cases {
        let text = rule.check().err().map(|e| e.to_string()).unwrap_or_default();
        ensure(text.contains(expected) && !text.contains('\n'), || {
            format!("{}: {text:?} lacks {expected:?}", rule.name())
        })?;
    }
    Ok(())
}

/// Only rules that give every sample a loss of its own let a clipped gradient bound a sample.
pub(super) fn couplings(_: &Device) -> Outcome {
    let mixed = |ratio| Rule::Mixed { ratio, attacks: vec![pgd()] };
    let ensemble = Rule::Ensemble { models: vec!["other".into()], attack: pgd() };
    let cases = [
        (Rule::Standard {}, false),
        (mixed(0.5), true),
        (mixed(1.0), false),
        (Rule::Noise { sigma: EPS }, false),
        (Rule::Madry { attack: pgd() }, false),
        (Rule::Trades { beta: 6.0, attack: pgd() }, false),
        (Rule::Mart { beta: 6.0, attack: pgd() }, false),
        (fast(EPS, 0.5), false),
        (Rule::Free { eps: EPS, replays: 1 }, true),
        (ensemble.clone(), false),
        (awp(0.01, Rule::Standard {}), true),
        (awp(0.0, Rule::Standard {}), false),
        (awp(0.0, mixed(0.5)), true),
    ];
    for (rule, coupled) in cases {
        let why = rule.check()?.coupling();
        ensure(why.is_some() == coupled, || format!("{}: {why:?}", rule.describe()))?;
    }
    for (rule, outside) in [(awp(0.0, ensemble), true), (Rule::Standard {}, false)] {
        let what = rule.check()?.outside();
        ensure(what.is_some() == outside, || format!("{}: {what:?}", rule.describe()))?;
    }
    Ok(())
}
