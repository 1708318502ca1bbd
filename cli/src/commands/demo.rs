//! `inocula demo`: the main job on data that come with the program.
//!
//! A baseline, a model trained on a mix of clean and FGSM samples, and one trained on PGD samples,
//! all with the same initial weights and data order; each is attacked by FGSM and PGD, by itself and
//! with the others' examples.

use inocula_core::attack::{AttackConfig, Fgsm, Norm, Pgd, Threat};
use inocula_core::data::digits;
use inocula_core::evaluate::{Contender, Plan, evaluate};
use inocula_core::model::Network;
use inocula_core::nn::{Preset, init_params};
use inocula_core::optim::{Adam, OptimizerConfig};
use inocula_core::rng::Rng;
use inocula_core::train::{Rule, Schedule, TrainConfig, fit};
use inocula_core::{DType, Result};

use super::train;
use crate::args::Demo;
use crate::progress::{Bar, Training};
use crate::reporting::{self, Setting};
use crate::{backends, output, runs};

/// Radius of the Linf ball of all attacks, in units of a range of pixels from 0 to 1.
const EPS: f64 = 0.15;

pub(super) fn run(flags: &Demo, quiet: bool) -> Result<()> {
    let device = backends::open(&flags.backend)?;
    runs::prepare(&flags.out, "report.json", true)?;
    let rng = Rng::new(flags.seed);
    let (train, test) = digits()?.split_stratified(0.25, &rng.child("split"));
    output::note(format!(
        "{} training and {} test images of 8x8 pixels ({}, {})",
        train.len(),
        test.len(),
        train.source,
        train.licence
    ));
    let spec = Preset::find("small-cnn")?.spec(&train.shape, train.classes, [0.0, 1.0])?;
    let mut contenders = Vec::new();
    for (name, rule) in rules() {
        let params = init_params(&spec, &device, DType::F32, &rng.child("init"))?;
        let mut network = Network::new(spec.clone(), params, &device)?;
        let config = training(rule);
        let mut bar = Bar::new(quiet);
        let mut shown = Training { bar: &mut bar, name };
        let own = rng.child("train");
        let trained = fit(&mut network, &train, Some(&test), &config, &own, &mut shown)?;
        bar.clear();
        let report = train::report(trained, &config, test.len());
        let baseline = contenders.is_empty();
        contenders.push(Contender { name: name.into(), network, baseline, training: Some(report) });
    }
    let plan = plan();
    let mut bar = Bar::new(quiet);
    let judged = rng.child("evaluate");
    let findings =
        evaluate(&contenders, &train, &test, &plan, &judged, &mut |phase, done, total| {
            bar.show(phase, done, total)
        })?;
    bar.clear();
    let trainings: Vec<TrainConfig> = rules().into_iter().map(|(_, r)| training(r)).collect();
    let setting = Setting {
        title: "Handwritten digits: standard against adversarial training".into(),
        backend: &flags.backend,
        device: &device,
        seed: flags.seed,
        config: serde_json::json!({ "plan": plan, "train": trainings, "model": spec }),
    };
    let report = reporting::report(setting, &plan, &train, &test, findings);
    reporting::publish(&flags.out, &report)
}

fn rules() -> [(&'static str, Rule); 3] {
    let fgsm = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, EPS));
    let pgd = AttackConfig::Pgd(Pgd { steps: 10, ..Pgd::new(Norm::Linf, EPS) });
    [
        ("baseline", Rule::Standard {}),
        ("fgsm-mixed", Rule::Mixed { ratio: 0.5, attacks: vec![fgsm] }),
        ("pgd-trained", Rule::Madry { attack: pgd }),
    ]
}

fn training(rule: Rule) -> TrainConfig {
    TrainConfig {
        epochs: 60,
        batch_size: 64,
        optimizer: OptimizerConfig::Adam(Adam { lr: 2e-3, ..Adam::default() }),
        schedule: Schedule::Steps { at: vec![0.6, 0.85], factor: 0.3 },
        rule,
        monitor: Some(AttackConfig::Pgd(Pgd { steps: 10, ..Pgd::new(Norm::Linf, EPS) })),
        ..TrainConfig::default()
    }
}

fn plan() -> Plan {
    let attacks = vec![
        AttackConfig::Fgsm(Fgsm::new(Norm::Linf, EPS)),
        AttackConfig::Pgd(Pgd { restarts: 3, ..Pgd::new(Norm::Linf, EPS) }),
    ];
    Plan {
        radii: vec![0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5],
        pictures: 10,
        ..Plan::new(Threat::new(Norm::Linf, EPS), attacks)
    }
}
