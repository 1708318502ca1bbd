//! What holds for every white-box attack, whatever it does.

use inocula_core::attack::{
    ATTACKS, Access, Apgd, ApgdLoss, AttackConfig, Cw, Ddn, DeepFool, Draws, Fab, Fmn, Goal, Jsma,
    MiFgsm, Norm, Pgd, Threat, perturb,
};
use inocula_core::rng::Rng;
use inocula_core::{DType, Device, Tensor};
use inocula_tests::harness::{Outcome, ensure};

use crate::{attack, digits, linear};

/// Without any gradient and any chance: a failure, not an error, and where there is no budget no change.
pub(crate) fn constant(device: &Device) -> Outcome {
    let model = linear(device, &[0.0; 24], &[1.0, 0.0, 0.0], [0.0, 1.0])?;
    let x = Tensor::full(device, DType::F32, &[2, 8], 0.5);
    let goal = Goal::Untargeted(Tensor::from_slice(device, &[0i64, 0], &[2])?);
    for entry in ATTACKS {
        for &norm in entry.norms {
            let eps = if norm == Norm::L0 { 2.0 } else { 0.3 };
            for threat in [Threat::new(norm, eps), Threat::unbounded(norm)] {
                let config = (entry.at)(threat);
                let Ok(attack_of) = config.check() else { continue };
                if attack_of.access() != Access::Gradient {
                    continue;
                }
                let outcome = attack(&model, &x, &goal, config.clone())?;
                let what = || format!("{} {norm}: {outcome:?}", config.label());
                ensure(outcome.success == [false, false], what)?;
                let still = outcome.distance.iter().all(|d| *d == 0.0);
                ensure(still || !entry.minimal, what)?;
            }
        }
    }
    Ok(())
}

/// Samples that leave the batch, restarts and targets change nothing for the others.
pub(crate) fn batches(device: &Device) -> Outcome {
    let (model, x, y) = digits(device)?;
    let apgd = Apgd { steps: 12, restarts: 2, ..Apgd::new(Norm::Linf, 0.1) };
    let configs = [
        AttackConfig::Apgd(apgd.clone()),
        AttackConfig::Apgd(Apgd { loss: ApgdLoss::Dlr, targets: 3, ..apgd }),
        AttackConfig::Apgd(Apgd { steps: 12, ..Apgd::new(Norm::L1, 3.0) }),
        AttackConfig::Pgd(Pgd { steps: 5, restarts: 3, ..Pgd::new(Norm::Linf, 0.08) }),
        AttackConfig::Cw(Cw { searches: 4, steps: 50, weight: 0.1, ..Cw::new() }),
        AttackConfig::DeepFool(DeepFool::new(Norm::L2)),
        AttackConfig::Fab(Fab { steps: 10, restarts: 2, targets: 2, ..Fab::new(Norm::L2) }),
        AttackConfig::Ddn(Ddn { steps: 20, ..Ddn::new() }),
        AttackConfig::Fmn(Fmn { steps: 20, ..Fmn::new(Norm::Linf) }),
        AttackConfig::MiFgsm(MiFgsm { diversity: 0.5, ..MiFgsm::new(0.1) }),
        AttackConfig::Jsma(Jsma { steps: 20, ..Jsma::new() }),
    ];
    for config in configs {
        let whole = attack(&model, &x, &Goal::Untargeted(y.clone()), config.clone())?;
        let (mut success, mut distance) = (Vec::new(), Vec::new());
        for start in [0, 13, 26] {
            let part = |t: &Tensor| t.narrow(0, start, 13);
            let draws = Draws::new(Rng::new(1), (start as u64..start as u64 + 13).collect());
            let goal = Goal::Untargeted(part(&y));
            let outcome = perturb(&*config.check()?, &model, &part(&x), &goal, &draws)?;
            success.extend(outcome.success);
            distance.extend(outcome.distance);
        }
        let label = config.label();
        ensure(success == whole.success[..39], || format!("{label}: other successes"))?;
        let apart = distance.iter().zip(&whole.distance).map(|(a, b)| (a - b).abs());
        let off = apart.fold(0.0, f64::max);
        ensure(off < 1e-3, || format!("{label}: distances differ by {off}"))?;
    }
    Ok(())
}

pub(crate) fn bad_requests(device: &Device) -> Outcome {
    let refused = [
        (AttackConfig::Cw(Cw { norm: Norm::Linf, ..Cw::new() }), "choose l2"),
        (AttackConfig::Cw(Cw { confidence: -1.0, ..Cw::new() }), "confidence = -1"),
        (AttackConfig::Cw(Cw { eps: Some(-1.0), ..Cw::new() }), "eps = -1"),
        (AttackConfig::DeepFool(DeepFool::new(Norm::L1)), "choose l2 or linf"),
        (AttackConfig::Apgd(Apgd::new(Norm::Linf, f64::INFINITY)), "eps = inf"),
        (AttackConfig::Apgd(Apgd { rho: 1.5, ..Apgd::new(Norm::Linf, 0.1) }), "rho = 1.5"),
        (AttackConfig::Fab(Fab { restarts: 0, ..Fab::new(Norm::L2) }), "restarts = 0"),
        (AttackConfig::Fmn(Fmn { gamma: 2.0, ..Fmn::new(Norm::L2) }), "gamma = 2"),
        (AttackConfig::MiFgsm(MiFgsm { kernel: 4, ..MiFgsm::new(0.1) }), "must be odd"),
        (AttackConfig::Jsma(Jsma { theta: 0.0, ..Jsma::new() }), "theta = 0"),
    ];
    for (config, expected) in refused {
        let text = config.check().err().map(|e| e.to_string()).unwrap_or_default();
        ensure(text.contains(expected), || format!("{text:?} lacks {expected:?}"))?;
    }
    let model = linear(device, &[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0], [0.0, 1.0])?;
    let x = Tensor::from_slice(device, &[0.8f32, 0.2], &[1, 2])?;
    let class = |c: i64| Tensor::from_slice(device, &[c], &[1]);
    let requests = [
        (AttackConfig::Apgd(Apgd::targeted(Norm::Linf, 0.1)), Goal::Targeted(class(1)?), "targets"),
        (
            AttackConfig::MiFgsm(MiFgsm { diversity: 0.5, ..MiFgsm::new(0.1) }),
            Goal::Untargeted(class(0)?),
            "for images",
        ),
        (
            AttackConfig::Ddn(Ddn { eps: Some(9.0), ..Ddn::new() }),
            Goal::Untargeted(class(0)?),
            "box",
        ),
    ];
    for (config, goal, expected) in requests {
        let result = attack(&model, &x, &goal, config);
        let text = result.err().map(|e| e.to_string()).unwrap_or_default();
        ensure(text.contains(expected), || format!("{text:?} lacks {expected:?}"))?;
    }
    Ok(())
}
