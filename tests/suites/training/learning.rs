//! The training loop: what it trains on, that seeds decide it, what it achieves, how it fails.

use std::sync::Mutex;

use inocula_core::attack::{AttackConfig, Fgsm, Keep, Norm, Pgd};
use inocula_core::model::{Classifier, Network, confusion};
use inocula_core::optim::{OptimizerConfig, Sgd};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Batch, Rule, TrainConfig, fit};
use inocula_core::{Device, ErrorKind, Result, Tensor};
use inocula_tests::harness::{Outcome, ensure};

use super::{Aim, attacked, config, data, network, robust};

/// Remembers which samples it was asked to perturb, and sets them to 1.
struct Recorder(Mutex<Vec<usize>>);

impl Recorder {
    fn rule(ratio: f64) -> Rule {
        let attacks = vec![AttackConfig::Fgsm(Fgsm::new(Norm::Linf, 0.2))];
        Rule::Mixed { ratio, attacks }
    }
}

impl Classifier for Recorder {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        if let Ok(mut sizes) = self.0.lock() {
            sizes.push(x.dim(0));
        }
        let flat = x.reshape(&[x.dim(0), 64]);
        Ok(flat.narrow(1, 0, 10))
    }
    fn bounds(&self) -> [f64; 2] {
        [0.0, 1.0]
    }
    fn classes(&self) -> usize {
        10
    }
}

pub(super) fn mixed_ratio(device: &Device) -> Outcome {
    let (train, _) = data()?;
    let ids: Vec<usize> = (0..9).collect();
    let (x, y) = Placement::new(device).tensors(&train, &ids)?;
    // ceil(ratio * 9)
    for (ratio, count) in [(0.0, 0), (0.1, 1), (0.5, 5), (0.95, 9), (1.0, 9)] {
        let rule = Recorder::rule(ratio).check()?;
        let model = Recorder(Mutex::new(Vec::new()));
        let mut chosen = Vec::new();
        for step in 0..4 {
            let batch = Batch { x: &x, y: &y, ids: &ids, step, progress: 0.0 };
            let inputs = rule.inputs(&model, &batch, &Rng::new(2))?;
            let change = (&inputs - &x).abs().sum_per_sample().to_f64_vec()?;
            let changed: Vec<usize> = (0..9).filter(|&i| change[i] > 0.0).collect();
            ensure(changed.len() == count, || format!("ratio {ratio}: {changed:?}"))?;
            chosen.push(changed);
        }
        if count > 0 && count < 9 {
            chosen.dedup();
            ensure(chosen.len() > 1, || format!("always the same samples: {chosen:?}"))?;
        }
    }
    Ok(())
}

pub(super) fn same_bits(device: &Device) -> Outcome {
    let (train, test) = data()?;
    let train = train.take_stratified(300, &Rng::new(1));
    let attack = AttackConfig::Pgd(Pgd { steps: 3, ..Pgd::new(Norm::Linf, 0.1) });
    let weights = |seed: u64| -> Result<Vec<f32>> {
        let mut model = network(device, "small-cnn")?;
        let config = config(2, Rule::Madry { attack: attack.clone() });
        fit(&mut model, &train, Some(&test), &config, &Rng::new(seed), &mut ())?;
        let mut all = Vec::new();
        for (_, p) in model.params().iter() {
            all.extend(p.to_vec::<f32>()?);
        }
        Ok(all)
    };
    let (a, b, c) = (weights(1)?, weights(1)?, weights(2)?);
    ensure(a == b, || "the same seed gave other weights".into())?;
    ensure(a != c, || "another seed gave the same weights".into())
}

pub(super) fn pays(device: &Device) -> Outcome {
    let (train, test) = data()?;
    let strong = AttackConfig::Pgd(Pgd { steps: 20, ..Pgd::new(Norm::Linf, 0.1) }).check()?;
    let rows: Vec<usize> = (0..test.len()).collect();
    let judge = |model: &Network| -> Result<(f64, f64)> {
        let outcome = attacked(model, &*strong, &test, &rows, 256, Aim::Untargeted)?;
        let clean = confusion(model, &test, &Placement::new(device))?.accuracy();
        Ok((clean, robust(&outcome.success)))
    };
    let mut scores = Vec::new();
    let inner = AttackConfig::Pgd(Pgd { steps: 5, keep: Keep::Last, ..Pgd::new(Norm::Linf, 0.1) });
    for rule in [Rule::Standard {}, Rule::Madry { attack: inner }] {
        let mut model = network(device, "mlp")?;
        fit(&mut model, &train, None, &config(15, rule), &Rng::new(4), &mut ())?;
        scores.push(judge(&model)?);
    }
    let [(plain_clean, plain), (adversarial_clean, adversarial)] = scores[..] else {
        return Err("two models were trained".into());
    };
    ensure(plain_clean > 0.93 && adversarial_clean > 0.85, || format!("{scores:?}"))?;
    ensure(adversarial > plain + 0.2, || format!("{scores:?}"))
}

pub(super) fn explodes(device: &Device) -> Outcome {
    let (train, _) = data()?;
    let optimizer = OptimizerConfig::Sgd(Sgd { lr: 1e30, momentum: 0.0, weight_decay: 0.0 });
    let config = TrainConfig { optimizer, ..config(2, Rule::Standard {}) };
    let mut model = network(device, "mlp")?;
    let result = fit(&mut model, &train, None, &config, &Rng::new(1), &mut ());
    match result {
        Err(err) if err.kind() == ErrorKind::Numeric => {
            ensure(err.to_string().contains("lower the learning rate"), || err.to_string())
        }
        other => Err(format!("{other:?}").into()),
    }
}
