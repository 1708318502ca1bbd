//! Universal perturbations: one for all samples, and the best one where that is known.

use inocula_core::attack::{Aim, AttackConfig, Goal, Norm, Pgd, Universal};
use inocula_core::model::Classifier as _;
use inocula_core::{Device, Tensor};
use inocula_tests::harness::{Outcome, ensure};

use super::{Subject, subjects};

const BUDGETS: [(Norm, f64); 3] = [(Norm::Linf, 0.2), (Norm::L2, 1.2), (Norm::L1, 6.0)];

fn config(norm: Norm, eps: f64) -> AttackConfig {
    AttackConfig::Universal(Universal { epochs: 5, ..Universal::new(norm, eps) })
}

/// What was added to a value is the same for all samples where the box did not cut it.
pub(super) fn one_change(device: &Device) -> Outcome {
    let subject = Subject::new(device, 100)?;
    let before = subject.samples()?.0.to_f64_vec()?;
    for (norm, eps) in BUDGETS {
        let found = subject.attack(&config(norm, eps), Aim::Untargeted, 33)?;
        let after = found.adversarial.to_f64_vec()?;
        let moved = |i: usize| found.distance[i] > 0.0;
        let mut seen = 0;
        for value in 0..64 {
            let changes: Vec<f64> = (0..100)
                .filter(|&i| moved(i))
                .map(|i| i * 64 + value)
                .filter(|&at| after[at] > 0.0 && after[at] < 1.0)
                .map(|at| after[at] - before[at])
                .collect();
            let least = changes.iter().copied().fold(f64::INFINITY, f64::min);
            let most = changes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            ensure(most - least <= 1e-6 || changes.is_empty(), || {
                format!("{norm}: changes of value {value} from {least} to {most}")
            })?;
            seen += usize::from(changes.len() > 1 && most.abs() > 1e-3);
        }
        ensure(seen >= 3, || format!("{norm}: {seen} values could be compared"))?;
    }
    Ok(())
}

/// Of two classes of a linear model, along the gradient as far as the ball goes: it fools exactly the samples
/// whose margin is less than that is worth.
pub(super) fn closed_form(device: &Device) -> Outcome {
    let weights = [3.0, -4.0, 1.0, 0.0, 0.0, 0.0];
    // What a step of length 1 is worth: 8 in Linf, sqrt(26) in L2, 4 in L1.
    let worth = [(Norm::Linf, 8.0), (Norm::L2, 26f64.sqrt()), (Norm::L1, 4.0)];
    let model = subjects::linear(device, &[3], &weights, &[0.0, 0.0], [-9.0, 9.0])?;
    for (norm, worth) in worth {
        let eps = 0.5;
        // Margins of 3 a around what the ball is worth, and one far beyond.
        let margins: Vec<f64> =
            [0.2, 0.5, 0.9, 0.98, 1.02, 1.1, 5.0].iter().map(|s| s * eps * worth).collect();
        let values: Vec<f32> = margins.iter().flat_map(|m| [(m / 3.0) as f32, 0.0, 0.0]).collect();
        let x = Tensor::from_slice(device, &values, &[margins.len(), 3])?;
        let config = AttackConfig::Universal(Universal { batch: 3, ..Universal::new(norm, eps) });
        for (class, goal) in [(0i64, Goal::Untargeted as fn(Tensor) -> Goal), (1, Goal::Targeted)] {
            let goal = goal(Tensor::from_slice(device, &[class; 7], &[7])?);
            let found = subjects::attack(&model, &x, &goal, &config)?;
            let want = [true, true, true, true, false, false, false];
            ensure(found.success == want, || format!("{norm}: {:?}", found.success))?;
        }
    }
    Ok(())
}

/// More than random signs, less than a change for each sample; and a wider ball more than a narrow one.
pub(super) fn strength(device: &Device) -> Outcome {
    let subject = Subject::new(device, 200)?;
    let goal = Goal::Untargeted(subject.samples()?.1);
    for (norm, eps) in BUDGETS {
        let [all, narrow] =
            [subject.fooled(&config(norm, eps))?, subject.fooled(&config(norm, 0.3 * eps))?];
        let each = subject.fooled(&AttackConfig::Pgd(Pgd::new(norm, eps)))?;
        ensure(narrow < all && all < each, || format!("{norm}: {narrow}, {all}, one each {each}"))?;
        if norm == Norm::Linf {
            let x = subject.samples()?.0;
            let signs: Vec<f32> =
                (0..64).map(|i| if i * 7 % 13 < 6 { 0.2 } else { -0.2 }).collect();
            let signs = Tensor::from_slice(device, &signs, &[1, 1, 8, 8])?;
            let logits = subject.network.logits(&(x + &signs).clamp(0.0, 1.0))?;
            let chance = goal.reached(&logits).to_vec::<i64>()?.iter().sum::<i64>() as usize;
            ensure(all > 2 * chance, || format!("{all} fooled, by a random change {chance}"))?;
        }
    }
    // Towards one class, most samples become that class.
    let aimed = Universal::new(Norm::Linf, 0.3);
    let found = subject.attack(&AttackConfig::Universal(aimed), Aim::Class(8), 64)?;
    let eights = found.predictions.iter().filter(|p| **p == 8).count();
    ensure(eights > 100, || format!("{eights} of 200 became an 8"))
}

/// All samples are seen before the first is touched, whatever the batches.
pub(super) fn batches(device: &Device) -> Outcome {
    let subject = Subject::new(device, 50)?;
    for config in [
        config(Norm::Linf, 0.2),
        AttackConfig::UniversalPatch(inocula_core::attack::UniversalPatch::new(16.0)),
    ] {
        let whole = subject.attack(&config, Aim::Untargeted, 50)?;
        let parts = subject.attack(&config, Aim::Untargeted, 7)?;
        let same = whole.adversarial.to_vec::<f32>()? == parts.adversarial.to_vec::<f32>()?;
        ensure(same && whole.success == parts.success, || config.label())?;
        let asked = whole.queries > 50 * 10 && whole.gradient_calls > 0;
        ensure(asked && whole.queries == parts.queries, || format!("{} queries", whole.queries))?;
    }
    Ok(())
}
