//! Membership attacks on a network that memorised its data, and on one that never saw any.

use inocula_core::attack::{AttackConfig, Norm, Pgd, Threat};
use inocula_core::data::{Dataset, digits};
use inocula_core::evaluate::{Contender, Plan, evaluate};
use inocula_core::model::{Network, predict_rows};
use inocula_core::nn::{ModelSpec, Preset, init_params};
use inocula_core::optim::{Adam, OptimizerConfig};
use inocula_core::place::Placement;
use inocula_core::privacy::membership::{
    Answers, Augmentation, MEMBERSHIP, MembershipEntry, Needs, Quick, Sample, Scene, ShadowPlan,
    Shadows, Sides, pooled, reports, train_shadows,
};
use inocula_core::report::MembershipReport;
use inocula_core::rng::Rng;
use inocula_core::train::{TrainConfig, fit};
use inocula_core::{DType, Device, Result};
use inocula_tests::harness::{Outcome, ensure};

/// 300 samples to train on and 300 that are kept out. Three labels of ten are drawn anew, so that a
/// network which has them right has them by heart.
fn parts() -> Result<(Dataset, Dataset)> {
    let mut some = digits()?.take_stratified(600, &Rng::new(3));
    let mut rng = Rng::new(6);
    for label in &mut some.labels {
        if rng.bernoulli(0.3) {
            *label = rng.below(10) as i64;
        }
    }
    Ok(some.split_stratified(0.5, &Rng::new(4)))
}

fn spec(train: &Dataset) -> Result<ModelSpec> {
    Preset::find("mlp")?.spec(&train.shape, train.classes, [0.0, 1.0])
}

/// Long enough to know every training sample by heart.
fn config() -> TrainConfig {
    let optimizer = OptimizerConfig::Adam(Adam { lr: 3e-3, ..Adam::default() });
    TrainConfig { epochs: 60, batch_size: 32, optimizer, ..TrainConfig::default() }
}

fn fresh(device: &Device, train: &Dataset) -> Result<Network> {
    let spec = spec(train)?;
    let params = init_params(&spec, device, DType::F32, &Rng::new(21).child("init"))?;
    Network::new(spec, params, device)
}

fn over_fitted(device: &Device, train: &Dataset) -> Result<Network> {
    let mut network = fresh(device, train)?;
    fit(&mut network, train, None, &config(), &Rng::new(22), &mut ())?;
    Ok(network)
}

fn shadows(device: &Device, pool: &Dataset, rng: &Rng) -> Result<Shadows> {
    let (spec, train) = (spec(pool)?, config());
    let plan = ShadowPlan {
        count: 8,
        spec: &spec,
        train: &train,
        pool,
        augmentations: &[Augmentation::NONE],
        place: "a device",
        rng,
        folder: None,
    };
    train_shadows(&plan, std::slice::from_ref(device), &mut |_, _, _| Ok(()))
}

/// All attacks with shadow models on `target`.
fn attacked(
    target: &Network,
    (train, test): (&Dataset, &Dataset),
    shadows: &Shadows,
    rng: &Rng,
) -> Result<Vec<MembershipReport>> {
    let sample = Sample::draw((train.len(), test.len()), None, None, Some(60), rng)?;
    let views = sample.views(target, (train, test), shadows, &[Augmentation::NONE])?;
    let (members, others) = (train.select(&sample.members), test.select(&sample.non_members));
    let place = Placement::new(target.device());
    let answers = Sides {
        members: Answers::of(target, &members, &place)?,
        non_members: Answers::of(target, &others, &place)?,
    };
    let scene = Scene {
        model: target,
        members: &members,
        non_members: &others,
        answers: &answers,
        place: &place,
        evasion: None,
        queries: 100,
        views: Some(&views),
        rng,
    };
    let needs = |e: &&MembershipEntry| e.needs == Needs::Shadows || e.name == "class_thresholds";
    let entries: Vec<&MembershipEntry> = MEMBERSHIP.iter().filter(needs).collect();
    reports(&entries, &scene, &mut |_, _, _| Ok(()))
}

/// Attacks whose score of a sample is relative to shadow models without it.
const STRONG: [&str; 4] = [
    "LiRA online, fixed variance",
    "LiRA offline (paper, eq. 4), fixed variance",
    "RMIA online",
    "RMIA offline",
];

pub(crate) fn told(device: &Device) -> Outcome {
    let (train, test) = parts()?;
    let rng = Rng::new(23);
    let shadows = shadows(device, &pooled(&train, &test), &rng)?;
    let data = (&train, &test);
    let known = attacked(&over_fitted(device, &train)?, data, &shadows, &rng)?;
    let unknown = attacked(&fresh(device, &train)?, data, &shadows, &rng)?;
    let find =
        |all: &[MembershipReport], name: &str| all.iter().find(|r| r.attack == name).cloned();
    for name in STRONG {
        let (Some(known), Some(unknown)) = (find(&known, name), find(&unknown, name)) else {
            return Err(format!("{name} is not among the attacks").into());
        };
        ensure(known.leaks() && known.auc > 0.6, || format!("{name}: {}", known.verdict()))?;
        ensure(!unknown.leaks(), || format!("{name} on an untrained one: {}", unknown.verdict()))?;
        ensure(unknown.verdict().contains("another attack may find more"), || unknown.verdict())?;
        let refused = &known.refused;
        ensure(refused.iter().any(|r| r.contains("240 non-members")), || format!("{refused:?}"))?;
    }
    // Every attack has a report; the authors' offline variant and the fixed variance are named.
    ensure(known.len() == 4 + 1 + 6 + 2, || format!("{} reports", known.len()))?;
    ensure(find(&known, "LiRA offline (as coded), variance per example").is_some(), || {
        "gone".into()
    })?;
    let shokri = find(&known, "shadow attack").and_then(|r| r.learnt);
    ensure(shokri.is_some_and(|l| l.balanced_accuracy > 0.55), || format!("{shokri:?}"))?;
    let tuned = find(&known, "RMIA offline").map(|r| r.notes).unwrap_or_default();
    ensure(tuned.iter().any(|n| n.contains("tuned with a shadow model")), || format!("{tuned:?}"))
}

pub(crate) fn alone(device: &Device) -> Outcome {
    let (train, test) = parts()?;
    let target = over_fitted(device, &train)?;
    let place = Placement::new(device);
    let rows: Vec<usize> = (0..30).collect();
    let (members, others) = (train.select(&rows), test.select(&rows));
    let answers = Sides {
        members: Answers::of(&target, &members, &place)?,
        non_members: Answers::of(&target, &others, &place)?,
    };
    let rng = Rng::new(31);
    let with = |eps: f64, name: &str, batch: usize| -> Result<_> {
        let evasion = AttackConfig::Pgd(Pgd { steps: 5, ..Pgd::new(Norm::Linf, eps) });
        let place = Placement { batch, ..place.clone() };
        let scene = Scene {
            model: &target,
            members: &members,
            non_members: &others,
            answers: &answers,
            place: &place,
            evasion: Some(&evasion),
            queries: 150,
            views: None,
            rng: &rng,
        };
        (MembershipEntry::named(name)?.run)(&scene, &mut |_, _, _| Ok(()))
    };
    // The loss at the worst point of a ball is no smaller than at its centre, and grows with it.
    let plain = &with(0.1, "thresholds", 64)?[0];
    let (near, far) = (&with(0.02, "robust", 64)?[0], &with(0.15, "robust", 64)?[0]);
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    let (a, b, c) = (mean(&plain.members), mean(&near.members), mean(&far.members));
    ensure(a > b && b > c, || format!("scores {a}, {b}, {c} must fall as the ball grows"))?;
    ensure(far.attack.contains("loss threshold at PGD-5 L∞ 0.15"), || far.attack.clone())?;

    let counts = &with(0.1, "augmentation", 64)?[0];
    let whole = |s: &f64| (0.0..=13.0).contains(s) && s.fract() == 0.0;
    ensure(counts.members.iter().chain(&counts.non_members).all(whole), || format!("{counts:?}"))?;
    ensure(counts == &with(0.1, "augmentation", 7)?[0], || "batches change the views".into())?;

    // Wrong samples are on the wrong side already; right ones are at some distance of it.
    let distance = &with(0.1, "boundary", 64)?[0];
    let predicted = predict_rows(&target, &others, &rows, &place)?;
    for (i, d) in distance.non_members.iter().enumerate() {
        let right = predicted[i] == others.labels[i];
        ensure((*d > 0.0) == right, || format!("sample {i}, right: {right}, is at {d}"))?;
    }
    Ok(())
}

/// The report of an evaluation has the attacks of its plan, in the order of the table.
pub(crate) fn evaluation(device: &Device) -> Outcome {
    let (train, test) = parts()?;
    let network = over_fitted(device, &train)?;
    let contender = Contender { name: "one".into(), network, baseline: true, training: None };
    let threat = Threat::new(Norm::Linf, 0.1);
    let pgd = AttackConfig::Pgd(Pgd { steps: 2, ..Pgd::new(Norm::Linf, 0.1) });
    let plan = |attacks: &[&str]| Plan {
        radii: vec![0.1],
        samples: Some(20),
        pictures: 0,
        check: 0,
        membership: Quick { attacks: attacks.iter().map(|&a| a.into()).collect(), samples: 50 },
        ..Plan::new(threat, vec![pgd.clone()])
    };
    let usual = Quick::default().attacks;
    let usual: Vec<&str> = usual.iter().map(String::as_str).collect();
    let contenders = [contender];
    let judge = |attacks: &[&str]| {
        evaluate(&contenders, &train, &test, &plan(attacks), &Rng::new(1), &mut |_, _, _| Ok(()))
    };
    let found = judge(&usual)?.models.remove(0).membership;
    let names: Vec<&str> = found.iter().map(|r| r.attack.as_str()).collect();
    ensure(names.len() == 4 + 4 + 1 + 4, || format!("{names:?}"))?;
    ensure(names[0] == "loss threshold" && names[8] == "label-only augmentation", || {
        format!("{names:?}")
    })?;
    ensure(found[0].members == 300 && found[8].members == 50, || "other samples".into())?;
    let learnt = found[4].learnt.is_some() && found[4].members == 150;
    ensure(learnt, || "thresholds by class are learnt on the half that is not judged".into())?;
    let refused = judge(&["lira"]).err().map(|e| e.to_string()).unwrap_or_default();
    ensure(refused.contains("audit membership"), || refused.clone())
}
