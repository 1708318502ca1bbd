//! Certificates in the report of an evaluation.

use inocula_core::Device;
use inocula_core::data::digits;
use inocula_core::evaluate::{Contender, Plan, evaluate};
use inocula_core::nn::Preset;
use inocula_core::report::Access;
use inocula_core::rng::Rng;
use inocula_core::train::{TrainConfig, fit};
use inocula_tests::harness::{Outcome, ensure};
use serde_json::json;

use super::network;

/// A report of two models with attacks of each access, targets, a smallest change in another norm and
/// transfer: what is certified is at most what they leave, and no certificate is contradicted, which
/// `evaluate` checks sample by sample.
pub(super) fn holds(device: &Device) -> Outcome {
    let (train, test) = digits()?.split_stratified(0.25, &Rng::new(5));
    let train = train.take_stratified(200, &Rng::new(1));
    let spec = Preset::find("mlp")?.spec(&[1, 8, 8], 10, [0.0, 1.0])?;
    let mut contenders = Vec::new();
    for (name, epochs) in [("untrained", 0), ("trained", 4)] {
        let mut network = network(device, spec.clone(), 2)?;
        if epochs > 0 {
            let config = TrainConfig { epochs, ..TrainConfig::default() };
            fit(&mut network, &train, None, &config, &Rng::new(3), &mut ())?;
        }
        let baseline = contenders.is_empty();
        contenders.push(Contender { name: name.into(), network, baseline, training: None });
    }
    let plan = json!({
        "threat": { "norm": "linf", "eps": 0.02 },
        "samples": 24,
        "pictures": 0,
        "radii": [0.01, 0.02],
        "attacks": [
            { "type": "square", "eps": 0.02, "queries": 15 },
            { "type": "pgd", "eps": 0.02, "steps": 5 },
            { "type": "pgd", "eps": 0.02, "steps": 4, "target": "next" },
        ],
        "minimal": [{ "type": "ddn", "steps": 20 }],
        "certify": [
            { "method": "crown" },
            { "method": "interval" },
            { "method": "crown", "eps": 0.005 },
        ],
        "smoothing": { "eps": 0.2, "samples": 12, "vote": { "sigma": 0.25, "estimation": 500 } },
    });
    let plan: Plan = serde_json::from_value(plan).map_err(|e| e.to_string())?;
    let found = evaluate(&contenders, &train, &test, &plan, &Rng::new(9), &mut |_, _, _| Ok(()))?;
    let mut certified = 0.0;
    for model in &found.models {
        let [crown, interval, narrow, vote] = &model.certificates[..] else {
            return Err(format!("{} certificates", model.certificates.len()).into());
        };
        for c in [crown, interval, narrow, vote] {
            let (low, high) = (c.certified_accuracy, c.attacked_accuracy);
            ensure(low <= high, || {
                format!("{}: {} certifies {low} of {high}", model.name, c.label())
            })?;
            certified += low;
        }
        let worst = model.worst_case_accuracy.unwrap_or(0.0);
        ensure(crown.certified_accuracy <= worst && crown.attacked_accuracy <= worst, || {
            format!("{}: {crown:?} beside {worst}", model.name)
        })?;
        ensure(narrow.certified_accuracy >= crown.certified_accuracy, || format!("{narrow:?}"))?;
        ensure(interval.certified_accuracy <= crown.certified_accuracy, || {
            format!("{interval:?}")
        })?;
        let is_vote =
            vote.label().starts_with("smoothing, sigma 0.25, L2 0.2") && vote.samples == 12;
        ensure(is_vote, || format!("{vote:?}"))?;
        let square = model.attacks.iter().find(|a| a.access == Access::Score).ok_or("no square")?;
        let asked = square.queries_each.ok_or("no queries were counted")?;
        let sum = asked.mean * asked.samples as f64;
        ensure(asked.max <= 15 && (sum - square.queries as f64).abs() < 0.5, || {
            format!("{asked:?} of {} queries", square.queries)
        })?;
    }
    ensure(certified > 0.0, || "nothing was certified, so nothing was shown".into())
}
