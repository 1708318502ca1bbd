//! Sound attacks, and attacks that lack something.

use inocula_core::Device;
use inocula_core::attack::{
    Aim, Apgd, ApgdLoss, AttackConfig, Autoattack, Keep, Norm, Pgd, Square, perturb_rows,
};
use inocula_core::doubt::{Attacked, Subject, measure};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_tests::harness::{Outcome, ensure};

use crate::masked::has;
use crate::subjects::{Changed, DIGITS, PLAIN, ROBUST, checked, on, pgd};

/// Plain and robust networks, in three norms, on as many samples as in an evaluation.
pub(crate) fn sound(device: &Device) -> Outcome {
    let (plain, robust) = (on(&PLAIN, device)?, on(&ROBUST, device)?);
    let apgd = AttackConfig::Apgd(Apgd { steps: 30, ..Apgd::new(Norm::L1, 2.0) });
    let l2 = AttackConfig::Pgd(Pgd::new(Norm::L2, 0.5));
    for (name, model, config) in [
        ("plain", &plain, pgd(0.1)),
        ("robust", &robust, pgd(0.1)),
        ("robust", &robust, l2),
        ("robust", &robust, apgd),
    ] {
        let found = checked(model, device, &config, 120, 96)?;
        let left = found.found.held();
        ensure(left > 20, || format!("{name}: only {left} samples left to be wrong about"))?;
        let wrong = || format!("{name}, {}: {:?}", config.label(), found.findings);
        ensure(found.findings.is_empty(), wrong)?;
    }
    Ok(())
}

/// Two steps of a fiftieth of the budget: one step of all of it does better, and the loss still rises.
pub(crate) fn stopped_early(device: &Device) -> Outcome {
    let network = on(&PLAIN, device)?;
    let tiny =
        Pgd { steps: 2, step: Some(0.004), random_start: false, ..Pgd::new(Norm::Linf, 0.2) };
    let found = checked(&network, device, &AttackConfig::Pgd(tiny), 80, 48)?;
    let kinds = ["one_step_beats_iterated", "steps_not_saturated", "incomplete_optimization"];
    has(&found, &kinds)
}

/// A model with a slope only where one pixel, which nothing else depends on, happens to lie: a start in
/// five is of use.
pub(crate) fn few_starts(device: &Device) -> Outcome {
    let network = on(&PLAIN, device)?;
    let model = Changed::new(&network).before(|x, _| {
        // Of a corner pixel moved by up to 0.2 and cut off at 0, a fifth of all starts are above 0.12.
        let n = x.dim(0);
        let corner = x.detach().reshape(&[n, 64]).narrow(1, 0, 1).reshape(&[n]);
        let open = corner.scalar(0.12).lt(&corner).per_sample(x);
        Ok(x.where_(&open, &x.detach()))
    });
    let found = checked(&model, device, &pgd(0.2), 80, 48)?;
    has(&found, &["too_few_restarts", "zero_gradients"])?;
    let steps = found.facts.steps.as_ref().map(|extra| extra.fell);
    ensure(steps.is_some_and(|fell| fell < 5), || format!("more steps did it: {:?}", found.facts))
}

/// Long steps that keep the last iterate go back to where the model is right.
pub(crate) fn lost_success(device: &Device) -> Outcome {
    let network = on(&ROBUST, device)?;
    let mut config =
        Pgd { step: Some(0.3), steps: 9, keep: Keep::Last, ..Pgd::new(Norm::Linf, 0.2) };
    let found = checked(&network, device, &AttackConfig::Pgd(config.clone()), 120, 0)?;
    has(&found, &["silent_success"])?;
    config.keep = Keep::Best;
    let kept = checked(&network, device, &AttackConfig::Pgd(config), 120, 0)?;
    ensure(kept.facts.path.is_some_and(|p| p.silent == 0), || format!("{:?}", kept.facts.path))
}

/// Losses of logit differences need four classes.
pub(crate) fn few_classes(device: &Device) -> Outcome {
    let network = on(&PLAIN, device)?;
    let model = Changed::new(&network).after(|z| z.narrow(1, 0, 3)).classes(3);
    let test = &DIGITS.1;
    let rows: Vec<usize> = (0..60).filter(|&row| test.labels[row] < 3).collect();
    let (right, fooled) = (vec![true; rows.len()], vec![false; rows.len()]);
    let subject = Subject {
        name: "model",
        model: &model,
        data: test,
        rows: &rows,
        right: &right,
        place: &Placement::new(device),
        rng: &Rng::new(1),
        samples: 0,
    };
    let dlr = |loss| AttackConfig::Apgd(Apgd { loss, ..Apgd::new(Norm::Linf, 0.1) });
    let auto = AttackConfig::Autoattack(Autoattack::new(Norm::Linf, 0.1));
    let cases = [(dlr(ApgdLoss::Dlr), Some(3)), (auto, Some(3)), (dlr(ApgdLoss::Ce), None)];
    for (config, classes) in cases {
        let attacked =
            Attacked { config: &config, fooled: &fooled, traces: &Default::default(), stages: &[] };
        let facts = measure(&subject, &attacked, &[], &mut |_, _| Ok(()))?;
        ensure(facts.dlr_classes == classes, || format!("{}: {facts:?}", config.label()))?;
    }
    Ok(())
}

/// The results with a trace are those without, bit for bit, and the trace has every iterate.
pub(crate) fn traces(device: &Device) -> Outcome {
    let network = on(&ROBUST, device)?;
    let short = Pgd { steps: 6, restarts: 2, ..Pgd::new(Norm::Linf, 0.1) };
    let last = Pgd { keep: Keep::Last, ..short.clone() };
    let apgd = Apgd { steps: 12, restarts: 2, ..Apgd::new(Norm::L2, 0.5) };
    let rows: Vec<usize> = (0..50).collect();
    for (config, steps) in [
        (AttackConfig::Pgd(short), 6),
        (AttackConfig::Pgd(last), 6),
        (AttackConfig::Apgd(apgd), 12),
    ] {
        let traced = checked(&network, device, &config, rows.len(), 0)?;
        let (attack, place) = (config.check()?, Placement::new(device));
        let (test, rng, aim) = (&DIGITS.1, Rng::new(9), Aim::Untargeted);
        let bare =
            perturb_rows(&*attack, &network, test, &rows, aim, &place, &rng, &mut |_| Ok(()))?;
        let (a, b) = (bare.adversarial.to_vec::<f32>()?, traced.found.adversarial.to_vec::<f32>()?);
        ensure(a == b && bare.queries == traced.found.queries, || config.label())?;
        let mut seen = 0;
        for (i, &row) in rows.iter().enumerate().filter(|(i, _)| !bare.success[*i]) {
            let runs = traced.traces.runs(row as u64);
            // The start and every step, of each restart, for a sample that was never fooled.
            let whole = runs.len() == 2 && runs.iter().all(|run| run.len() == steps + 1);
            ensure(whole, || format!("{}: sample {i} has {runs:?}", config.label()))?;
            seen += 1;
        }
        ensure(seen > 10, || format!("{}: {seen} samples held", config.label()))?;
    }
    Ok(())
}

/// Attacks without gradients cannot be checked, lists must fit.
pub(crate) fn bad_requests(device: &Device) -> Outcome {
    let network = on(&PLAIN, device)?;
    let square = AttackConfig::Square(Square { queries: 5, ..Square::new(Norm::Linf, 0.1) });
    let error = checked(&network, device, &square, 8, 0).map(|_| ()).map_err(|e| e.to_string());
    let wanted = "Square-5 uses no gradients";
    ensure(error.as_ref().is_err_and(|e| e.contains(wanted)), || format!("{error:?}"))?;
    let place = Placement::new(device);
    let subject = Subject {
        name: "model",
        model: &network,
        data: &DIGITS.1,
        rows: &[0, 1],
        right: &[true],
        place: &place,
        rng: &Rng::new(1),
        samples: 0,
    };
    let (config, traces) = (pgd(0.1), Default::default());
    let attacked =
        Attacked { config: &config, fooled: &[false, false], traces: &traces, stages: &[] };
    let error = measure(&subject, &attacked, &[], &mut |_, _| Ok(())).map(|_| ());
    let fits = error.as_ref().is_err_and(|e| e.to_string().contains("one value for each of the 2"));
    ensure(fits, || format!("{error:?}"))
}
