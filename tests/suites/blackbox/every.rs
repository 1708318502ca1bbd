//! What holds for every black-box attack, whatever it does.

use inocula_core::attack::{
    ATTACKS, Access, AttackConfig, Basis, Boundary, Draws, Goal, HopSkipJump, Nes, Norm,
    Outcome as Found, Simba, Spsa, Square, Substitute, Threat, Zoo, perturb,
};
use inocula_core::model::Classifier;
use inocula_core::rng::Rng;
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::brief::with_queries;
use inocula_tests::harness::{Outcome, ensure};

use crate::subjects::{LabelsOnly, Noting, attack, linear, small};

/// Every black-box attack with few queries, and how many.
fn attacks() -> Vec<(AttackConfig, usize)> {
    let square = |norm, eps| AttackConfig::Square(Square { queries: 40, ..Square::new(norm, eps) });
    let hop = |norm, eps| {
        let few = HopSkipJump { queries: 300, first_estimate: 30, ..HopSkipJump::new(norm) };
        AttackConfig::HopSkipJump(HopSkipJump { eps: Some(eps), ..few })
    };
    let nes = |norm, eps| AttackConfig::Nes(Nes { queries: 200, pairs: 10, ..Nes::new(norm, eps) });
    let spsa = |norm, eps| {
        let spsa = Spsa { queries: 200, pairs: 10, rate: 0.1, ..Spsa::new(norm, eps) };
        AttackConfig::Spsa(spsa)
    };
    let simba = |basis, norm, eps| {
        AttackConfig::Simba(Simba { queries: 150, basis, ..Simba::new(norm, eps) })
    };
    let few = Zoo { queries: 1200, coordinates: 12, rate: 0.05, ..Zoo::new() };
    let zoo = Zoo { eps: Some(2.0), ..few };
    let boundary = Boundary { queries: 400, check_every: 3, eps: Some(1.5), ..Boundary::new() };
    let substitute = |norm, eps| {
        let brief = Substitute { queries: 30, rounds: 3, epochs: 10, ..Substitute::new(norm, eps) };
        AttackConfig::Substitute(brief)
    };
    vec![
        (square(Norm::Linf, 0.2), 40),
        (square(Norm::L2, 1.2), 40),
        (square(Norm::L1, 6.0), 40),
        (hop(Norm::L2, 1.2), 300),
        (hop(Norm::Linf, 0.2), 300),
        (AttackConfig::Boundary(boundary), 400),
        (nes(Norm::Linf, 0.2), 200),
        (nes(Norm::L2, 1.2), 200),
        (spsa(Norm::Linf, 0.2), 200),
        (spsa(Norm::L2, 1.2), 200),
        (simba(Basis::Pixel, Norm::L2, 1.2), 150),
        (simba(Basis::Dct, Norm::Linf, 0.2), 150),
        (AttackConfig::Zoo(zoo), 1200),
        (substitute(Norm::Linf, 0.2), 30),
        (substitute(Norm::L2, 1.2), 30),
    ]
}

/// Every attack of the table that asks for no gradient is among the attacks above; those that no norm bounds
/// have a suite with others of their kind.
fn complete() -> Outcome {
    let have: Vec<&str> = attacks().iter().map(|(config, _)| config.name()).collect();
    for entry in ATTACKS.iter().filter(|entry| !entry.norms.is_empty()) {
        let checked =
            [Norm::Linf, Norm::L2, Norm::L1].map(|norm| (entry.at)(Threat::new(norm, 0.1)).check());
        let blind = checked.into_iter().flatten().any(|a| a.access() != Access::Gradient);
        ensure(!blind || have.contains(&entry.name), || format!("{} is not tested", entry.name))?;
    }
    Ok(())
}

/// One sample at a time, so that what the model is asked is asked for that sample.
pub(crate) fn budgets_and_access(device: &Device) -> Outcome {
    complete()?;
    let (network, x, y) = small(device, 6)?;
    for (config, queries) in attacks() {
        let label = || config.label();
        let run = config.check()?;
        for i in 0..x.dim(0) {
            let (x, y) = (x.narrow(0, i, 1), y.narrow(0, i, 1));
            let draws = Draws::new(Rng::new(1), vec![i as u64]);
            let noting = Noting::new(&network);
            let goal = Goal::Untargeted(y);
            let found = run.run(&noting, &x, &goal, &draws)?;
            let asked = noting.asked();
            let rows: usize = asked.iter().map(|q| q.rows).sum();
            ensure(rows <= queries, || format!("{}: {rows} queries of {queries}", label()))?;
            ensure(asked.iter().all(|q| !q.tracked), || format!("{}: a gradient", label()))?;
            let mut points = asked.iter().flat_map(|q| &q.points);
            let inside = points.all(|v| (0.0..=1.0).contains(v));
            ensure(inside, || format!("{}: asks outside of the box", label()))?;
            if run.access() == Access::Decision {
                let again = run.run(&LabelsOnly(&network), &x, &goal, &draws)?;
                let same = again.to_vec::<f32>()? == found.to_vec::<f32>()?;
                ensure(same, || format!("{}: uses more than labels", label()))?;
            }
            let still = network.logits(&found)?;
            let fools = goal.reached(&still).to_vec::<i64>()? == [1];
            // A last pair of queries is of no use without a third.
            ensure(rows + 2 >= queries || fools || run.access() == Access::Decision, || {
                format!("{}: gave up after {rows} queries of {queries}", label())
            })?;
        }
        let whole = attack(&network, &x, &Goal::Untargeted(y.clone()), &config)?;
        ensure(whole.queries <= (queries * x.dim(0)) as u64, label)?;
        ensure(whole.gradient_calls == 0, label)?;
        let threat = run.threat();
        let inside = whole.distance.iter().all(|d| *d <= threat.eps * (1.0 + 1e-5));
        ensure(inside, || format!("{}: left the ball, {:?}", label(), whole.distance))?;
    }
    Ok(())
}

/// The same seed gives the same questions and the same bits, another seed other questions.
pub(crate) fn seeds(device: &Device) -> Outcome {
    let (model, x, y) = small(device, 4)?;
    let goal = Goal::Untargeted(y);
    for (config, _) in attacks() {
        let run = |seed| -> Result<(Vec<f32>, Vec<f32>)> {
            let noting = Noting::new(&model);
            let draws = Draws::new(Rng::new(seed), (0..4).collect());
            let found = config.check()?.run(&noting, &x, &goal, &draws)?.to_vec()?;
            Ok((found, noting.asked().into_iter().flat_map(|q| q.points).collect()))
        };
        let (first, again, other) = (run(1)?, run(1)?, run(2)?);
        ensure(first == again, || format!("{}: the same seed, other bits", config.label()))?;
        ensure(first.1 != other.1, || format!("{}: the seed changes nothing", config.label()))?;
    }
    Ok(())
}

/// A wider ball and more queries fool no fewer, and both together more than few queries in a narrow ball.
pub(crate) fn strength(device: &Device) -> Outcome {
    let samples = 24;
    let (model, x, y) = small(device, samples)?;
    let goal = Goal::Untargeted(y);
    for (config, queries) in attacks() {
        let Threat { norm, eps } = config.check()?.threat();
        let fooled = |share: f64, queries: usize| -> Result<usize> {
            let config =
                with_queries(&config, queries)?.with_threat(Threat::new(norm, share * eps));
            Ok(samples - attack(&model, &x, &goal, &config)?.held())
        };
        let [all, narrow, few] =
            [fooled(1.0, queries)?, fooled(0.4, queries)?, fooled(1.0, queries / 8)?];
        let least = fooled(0.4, queries / 8)?;
        ensure(narrow <= all && few <= all && least < all, || {
            format!("{} {norm}: {all}, {narrow}, {few}, {least}", config.label())
        })?;
    }
    Ok(())
}

/// Samples that leave the batch change nothing for the others. A substitute learns from all of them, and
/// is the one attack that does not promise this.
pub(crate) fn batches(device: &Device) -> Outcome {
    let (model, x, y) = small(device, 26)?;
    for (config, _) in attacks() {
        if matches!(config, AttackConfig::Substitute(_)) {
            continue;
        }
        let whole = attack(&model, &x, &Goal::Untargeted(y.clone()), &config)?;
        let mut parts: Vec<Found> = Vec::new();
        for start in [0, 13] {
            let draws = Draws::new(Rng::new(1), (start as u64..start as u64 + 13).collect());
            let goal = Goal::Untargeted(y.narrow(0, start, 13));
            parts.push(perturb(&*config.check()?, &model, &x.narrow(0, start, 13), &goal, &draws)?);
        }
        let success: Vec<bool> = parts.iter().flat_map(|p| p.success.clone()).collect();
        ensure(success == whole.success, || format!("{}: other successes", config.label()))?;
        let mut apart: f64 = 0.0;
        let joined = [parts[0].adversarial.to_f64_vec()?, parts[1].adversarial.to_f64_vec()?];
        for (a, b) in joined.concat().iter().zip(whole.adversarial.to_f64_vec()?) {
            apart = apart.max((a - b).abs());
        }
        ensure(apart < 1e-3, || format!("{}: results differ by {apart}", config.label()))?;
    }
    Ok(())
}

/// Feature vectors, one feature, images of any proportions; labels and targets. A linear model of
/// random weights is fooled in some of them, and nothing ends in an error.
pub(crate) fn shapes_and_targets(device: &Device) -> Outcome {
    let shapes: [&[usize]; 5] = [&[20], &[1], &[1, 2, 9], &[3, 7, 4], &[5, 3]];
    let (samples, classes) = (8, 4);
    for (config, _) in attacks() {
        let (mut fooled, mut hit) = (0, 0);
        for shape in shapes {
            let features: usize = shape.iter().product();
            let mut rng = Rng::new(features as u64);
            let weights: Vec<f32> = (0..classes * features).map(|_| rng.normal() as f32).collect();
            let model = linear(device, shape, &weights, &[0.0; 4], [0.0, 1.0])?;
            let mut values = vec![0f32; samples * features];
            rng.fill_uniform(&mut values, 0.0, 1.0);
            let dims: Vec<usize> = [samples].iter().chain(shape).copied().collect();
            let x = Tensor::from_slice(device, &values, &dims)?;
            let y = model.logits(&x)?.argmax(1).reshape(&[samples]);
            let next: Vec<i64> = y.to_vec::<i64>()?.iter().map(|y| (y + 1) % 4).collect();
            let next = Tensor::from_slice(device, &next, &[samples])?;
            // The budgets above, where they are not more than such small inputs have room for.
            let threat = config.check()?.threat();
            let most = inocula_core::attack::ball::diameter(threat.norm, features, [0.0, 1.0]);
            let config = config.with_threat(Threat::new(threat.norm, threat.eps.min(most)));
            let successes = |goal| -> Result<usize> {
                let found = attack(&model, &x, &goal, &config)?.success;
                Ok(found.iter().filter(|s| **s).count())
            };
            fooled += successes(Goal::Untargeted(y))?;
            hit += successes(Goal::Targeted(next))?;
        }
        ensure(fooled > 0, || format!("{}: fools none", config.label()))?;
        ensure(hit > 0 && hit <= fooled, || {
            format!("{}: hits {hit}, fools {fooled}", config.label())
        })?;
    }
    Ok(())
}

/// The same logits everywhere: a failure, not an error.
pub(crate) fn constant(device: &Device) -> Outcome {
    let model = linear(device, &[8], &[0.0; 24], &[1.0, 0.0, 0.0], [0.0, 1.0])?;
    let x = Tensor::full(device, DType::F32, &[2, 8], 0.5);
    let goal = Goal::Untargeted(Tensor::from_slice(device, &[0i64, 0], &[2])?);
    for (config, _) in attacks() {
        let norm = config.check()?.threat().norm;
        let outcome = attack(&model, &x, &goal, &config.with_threat(Threat::new(norm, 0.3)))?;
        ensure(outcome.success == [false, false], || format!("{}: {outcome:?}", config.label()))?;
    }
    Ok(())
}

pub(crate) fn bad_requests(_: &Device) -> Outcome {
    let square = Square::new(Norm::Linf, 0.1);
    let (nes, spsa) = (Nes::new(Norm::Linf, 0.1), Spsa::new(Norm::Linf, 0.1));
    let pupil = Substitute::new(Norm::Linf, 0.1);
    let (simba, zoo) = (Simba::new(Norm::L2, 1.0), Zoo::new());
    let (hop, walk) = (HopSkipJump::new(Norm::L2), Boundary::new());
    let refused = [
        (AttackConfig::Square(Square { norm: Norm::L0, ..square.clone() }), "choose linf"),
        (AttackConfig::Square(Square { eps: -1.0, ..square.clone() }), "eps = -1"),
        (AttackConfig::Square(Square { queries: 0, ..square.clone() }), "queries = 0"),
        (AttackConfig::Square(Square { share: 0.0, ..square }), "share = 0"),
        (AttackConfig::HopSkipJump(HopSkipJump::new(Norm::L1)), "choose l2 or linf"),
        (AttackConfig::HopSkipJump(HopSkipJump { queries: 0, ..hop.clone() }), "queries = 0"),
        (AttackConfig::HopSkipJump(HopSkipJump { gamma: 0.0, ..hop }), "gamma = 0"),
        (AttackConfig::Boundary(Boundary { norm: Norm::Linf, ..walk.clone() }), "choose l2"),
        (AttackConfig::Boundary(Boundary { sphere_step: 2.0, ..walk.clone() }), "sphere_step = 2"),
        (AttackConfig::Boundary(Boundary { adaptation: 1.0, ..walk }), "adaptation = 1"),
        (AttackConfig::Nes(Nes { norm: Norm::L1, ..nes.clone() }), "choose linf or l2"),
        (AttackConfig::Nes(Nes { momentum: 1.0, ..nes.clone() }), "momentum = 1"),
        (AttackConfig::Nes(Nes { step: Some(-1.0), ..nes }), "step = -1"),
        (AttackConfig::Spsa(Spsa { pairs: 0, ..spsa.clone() }), "pairs = 0"),
        (AttackConfig::Spsa(Spsa { rate: 0.0, ..spsa }), "rate = 0"),
        (AttackConfig::Simba(Simba { low: 2.0, ..simba.clone() }), "low = 2"),
        (AttackConfig::Simba(Simba { norm: Norm::L1, ..simba }), "choose l2 or linf"),
        (AttackConfig::Zoo(Zoo { norm: Norm::Linf, ..zoo.clone() }), "choose l2"),
        (AttackConfig::Zoo(Zoo { searches: 0, ..zoo }), "searches = 0"),
        (AttackConfig::Substitute(Substitute { rounds: 0, ..pupil.clone() }), "rounds = 0"),
        (AttackConfig::Substitute(Substitute { spread: 0.0, ..pupil.clone() }), "spread = 0"),
        (AttackConfig::Substitute(Substitute { model: "mpl".into(), ..pupil }), "did you mean mlp"),
    ];
    for (config, expected) in refused {
        let text = config.check().err().map(|e| e.to_string()).unwrap_or_default();
        ensure(text.contains(expected), || format!("{text:?} lacks {expected:?}"))?;
    }
    Ok(())
}
