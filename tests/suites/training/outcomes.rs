//! What the rules achieve on the digits.

use inocula_core::attack::{AttackConfig, Keep, Norm, Pgd};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Batch, Rule, TrainConfig, fit};
use inocula_core::{Device, Result};
use inocula_tests::harness::{Outcome, ensure};

use super::{Aim, attacked, config, data, network, robust};

const EPS: f64 = 0.15;

fn inner() -> AttackConfig {
    AttackConfig::Pgd(Pgd { steps: 4, keep: Keep::Last, ..Pgd::new(Norm::Linf, EPS) })
}

fn fast(grad_align: f64) -> Rule {
    Rule::Fast { eps: EPS, step: None, grad_align }
}

pub(super) fn pays(device: &Device) -> Outcome {
    let (train, test) = data()?;
    let rows: Vec<usize> = (0..200).collect();
    let attack = AttackConfig::Pgd(Pgd { steps: 20, ..Pgd::new(Norm::Linf, EPS) }).check()?;
    let held = |rule: Rule, epochs: usize| -> Result<f64> {
        let mut model = network(device, "mlp")?;
        fit(&mut model, &train, None, &config(epochs, rule), &Rng::new(4), &mut ())?;
        Ok(robust(&attacked(&model, &*attack, &test, &rows, 200, Aim::Untargeted)?.success))
    };
    let plain = held(Rule::Standard {}, 8)?;
    let rules = [
        (Rule::Mart { beta: 6.0, attack: inner() }, 8),
        (fast(0.0), 8),
        (fast(0.2), 8),
        (Rule::Free { eps: EPS, replays: 4 }, 6),
        (Rule::Awp { gamma: 0.005, rule: Box::new(Rule::Madry { attack: inner() }) }, 8),
    ];
    for (rule, epochs) in rules {
        let name = rule.describe();
        let now = held(rule, epochs)?;
        ensure(now >= plain + 0.15, || format!("{name}: robust accuracy {now}, plain {plain}"))?;
    }
    Ok(())
}

/// Gradients turn less within the ball of a model that was penalised for it.
pub(super) fn straightens(device: &Device) -> Outcome {
    let (train, test) = data()?;
    let ids: Vec<usize> = (0..100).collect();
    let (x, y) = Placement::new(device).tensors(&test, &ids)?;
    let batch = Batch { x: &x, y: &y, ids: &ids, step: 0, progress: 0.0 };
    let turn = |grad_align: f64| -> Result<f64> {
        let mut model = network(device, "mlp")?;
        fit(&mut model, &train, None, &config(8, fast(grad_align)), &Rng::new(4), &mut ())?;
        let losses = |weight: f64| {
            let (mut dropout, rng) = (Rng::new(1), Rng::new(2));
            fast(weight).check()?.losses(&model, model.params(), &batch, &mut dropout, &rng)
        };
        (losses(1.0)? - losses(0.0)?).mean_all().item()
    };
    // An MLP is nearly straight: without weight the penalty is a hundredth of the loss.
    let (without, with) = (turn(0.0)?, turn(10.0)?);
    ensure(with < 0.8 * without, || format!("1 - cos is {with}, without the penalty {without}"))
}

pub(super) fn one_step(device: &Device) -> Outcome {
    let (train, test) = data()?;
    let watched = |monitor: AttackConfig| {
        let rule = fast(0.0);
        let config = TrainConfig { monitor: Some(monitor), ..config(2, rule) };
        fit(&mut network(device, "mlp")?, &train, Some(&test), &config, &Rng::new(4), &mut ())
    };
    let monitor = fast(0.0).usual_monitor().ok_or("nothing watches single steps")?;
    for record in watched(monitor)?.history {
        let (Some(steps), Some(one)) = (record.robust_accuracy, record.one_step_accuracy) else {
            return Err(format!("not measured: {record:?}").into());
        };
        // The steps begin at a random point, and may miss a few of 200 samples that one step from the
        // sample itself finds.
        ensure(one + 0.02 >= steps && one < 1.0, || format!("{record:?}"))?;
    }
    let fgsm = inocula_core::attack::Fgsm::new(Norm::Linf, EPS);
    let single = watched(AttackConfig::Fgsm(fgsm))?;
    let measured = single.history.iter().any(|record| record.one_step_accuracy.is_some());
    ensure(!measured, || "one step was measured twice".into())
}
