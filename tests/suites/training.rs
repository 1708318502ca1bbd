//! Attacks, optimisers and training, held to what they promise: budgets, determinism, mixing ratios,
//! recurrences, and that adversarial training makes a model robust.

#[path = "training/degenerate.rs"]
mod degenerate;
#[path = "training/formulas.rs"]
mod formulas;
#[path = "training/learning.rs"]
mod learning;
#[path = "training/noise.rs"]
mod noise;
#[path = "training/optimizers.rs"]
mod optimizers;
#[path = "training/outcomes.rs"]
mod outcomes;
#[path = "training/resume.rs"]
mod resume;
#[path = "training/sources.rs"]
mod sources;
#[path = "training/trades.rs"]
mod trades;

use std::process::ExitCode;

use inocula_core::attack::{
    Access, Aim, Attack, AttackConfig, Draws, Fgsm, Goal, Norm, Pgd, Threat, perturb, perturb_rows,
};
use inocula_core::data::{Dataset, digits};
use inocula_core::model::{BlackBox, Classifier, Network};
use inocula_core::nn::{Params, Preset, init_params};
use inocula_core::optim::{Adam, OptimizerConfig};
use inocula_core::place::Placement;
use inocula_core::privacy::membership::loss_threshold;
use inocula_core::rng::Rng;
use inocula_core::train::{Rule, TrainConfig, fit};
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::attacks::white_box;
use inocula_tests::brief::with_queries;
use inocula_tests::harness::{Case, Check, Outcome, ensure, run};

fn main() -> ExitCode {
    let cases: &[(&str, Check)] = &[
        ("attack::every_attack_keeps_to_ball_and_box", ball_and_box),
        ("attack::results_do_not_depend_on_batches", batches),
        ("attack::projections_are_nearest_points", projections),
        ("attack::more_restarts_are_no_weaker", restarts),
        ("attack::linear_model_closed_form", closed_form),
        ("attack::black_box_gives_no_gradient", black_box),
        ("attack::nan_is_a_failure_not_a_picture", nan_attack),
        ("attack::bad_requests", bad_requests),
        ("optim::recurrences", optimizers::recurrences),
        ("train::mixed_ratio_replaces_that_share", learning::mixed_ratio),
        ("train::same_seed_same_bits", learning::same_bits),
        ("train::adversarial_training_pays", learning::pays),
        ("resume::same_bits", resume::same_bits),
        ("resume::recorded_steps_count", resume::recorded_steps_count),
        ("resume::mistakes_are_named", resume::refusals),
        ("trades::losses_are_the_formula", trades::formula),
        ("trades::inner_maximum_grows_within_the_ball", trades::inner_maximum),
        ("trades::training_pays", trades::pays),
        ("trades::mistakes_are_named", trades::mistakes),
        ("rules::losses_are_their_formulas", formulas::losses),
        ("rules::losses_have_the_gradients_of_differences", formulas::gradients),
        ("rules::grad_align_is_one_minus_the_cosine", formulas::alignment),
        ("rules::perturbed_weights_are_those_of_the_formula", formulas::perturbed_weights),
        ("rules::free_follows_its_algorithm", formulas::free),
        ("rules::with_nothing_to_add_a_rule_is_the_plain_one", degenerate::same_bits),
        ("rules::seeds_decide", degenerate::seeds),
        ("rules::mistakes_are_named", degenerate::mistakes),
        ("rules::couplings_are_told", degenerate::couplings),
        ("rules::ensemble_takes_turns", sources::turns),
        ("rules::ensemble_refuses_other_models", sources::refused),
        ("rules::training_pays", outcomes::pays),
        ("rules::grad_align_straightens", outcomes::straightens),
        ("rules::one_step_is_measured_beside_the_monitor", outcomes::one_step),
        ("noise::is_gaussian", noise::is_gaussian),
        ("noise::is_of_seed_step_and_sample", noise::is_of_seed_step_and_sample),
        ("noise::loss_is_the_plain_one_of_noisy_samples", noise::loss),
        ("noise::certificates_are_earned", noise::pays),
        ("train::loss_that_explodes_is_an_error", learning::explodes),
        ("model::second_device_gives_the_same", second_device),
        ("privacy::an_over_fitted_model_leaks", leaks),
    ];
    run(cases.iter().map(|&(name, check)| Case::new(name, check)).collect())
}

/// The digits, split the same way each time.
fn data() -> Result<(Dataset, Dataset)> {
    Ok(digits()?.split_stratified(0.25, &Rng::new(5)))
}

fn network(device: &Device, preset: &str) -> Result<Network> {
    let spec = Preset::find(preset)?.spec(&[1, 8, 8], 10, [0.0, 1.0])?;
    let params = init_params(&spec, device, DType::F32, &Rng::new(3))?;
    Network::new(spec, params, device)
}

fn config(epochs: usize, rule: Rule) -> TrainConfig {
    let optimizer = OptimizerConfig::Adam(Adam { lr: 3e-3, ..Adam::default() });
    TrainConfig { epochs, batch_size: 64, optimizer, rule, ..TrainConfig::default() }
}

fn trained(device: &Device, preset: &str, epochs: usize) -> Result<Network> {
    let mut model = network(device, preset)?;
    let (train, _) = data()?;
    fit(&mut model, &train, None, &config(epochs, Rule::Standard {}), &Rng::new(4), &mut ())?;
    Ok(model)
}

fn attacked(
    model: &Network,
    attack: &dyn Attack,
    test: &Dataset,
    rows: &[usize],
    batch: usize,
    aim: Aim,
) -> Result<inocula_core::attack::Outcome> {
    let place = Placement { batch, ..Placement::new(model.device()) };
    perturb_rows(attack, model, test, rows, aim, &place, &Rng::new(9), &mut |_| Ok(()))
}

fn robust(success: &[bool]) -> f64 {
    success.iter().filter(|s| !**s).count() as f64 / success.len() as f64
}

fn ball_and_box(device: &Device) -> Outcome {
    let model = trained(device, "mlp", 3)?;
    let (_, test) = data()?;
    let rows: Vec<usize> = (0..60).collect();
    for entry in white_box() {
        let mut norms = 0;
        let budgets = [(Norm::Linf, 0.1), (Norm::L2, 0.7), (Norm::L1, 3.0), (Norm::L0, 12.0)];
        for (norm, eps) in budgets {
            // Not every attack is defined in every norm.
            let Ok(attack) = with_queries(&(entry.at)(Threat::new(norm, eps)), 100)?.check() else {
                continue;
            };
            norms += 1;
            // One change for all samples cannot lead each to a class of its own.
            let target = if attack.coupling().is_some() { Aim::Class(3) } else { Aim::Next };
            for aim in [Aim::Untargeted, target] {
                let outcome = attacked(&model, &*attack, &test, &rows, 32, aim)?;
                let what = || format!("{} {norm} {aim:?}", entry.name);
                let values = outcome.adversarial.to_f64_vec()?;
                ensure(values.iter().all(|v| (0.0..=1.0).contains(v)), what)?;
                for (i, x) in values.chunks(64).enumerate() {
                    let clean = &test.features[rows[i] * 64..][..64];
                    let change = x.iter().zip(clean).map(|(a, b)| a - f64::from(*b));
                    let size = norm.of(change);
                    ensure(size <= eps * (1.0 + 1e-5), || format!("{}: {size}", what()))?;
                    ensure((size - outcome.distance[i]).abs() < 1e-9, what)?;
                }
                let place = Placement::new(device);
                let (_, y) = place.tensors(&test, &rows)?;
                let reached = aim.goal(&y, 10)?.reached(&model.logits(&outcome.adversarial)?);
                let reached: Vec<bool> =
                    reached.to_vec::<i64>()?.into_iter().map(|r| r == 1).collect();
                ensure(reached == outcome.success, what)?;
                ensure(outcome.success.iter().any(|s| *s), || format!("{} fools none", what()))?;
                let white = attack.access() == Access::Gradient;
                ensure((outcome.gradient_calls > 0) == white, what)?;
            }
        }
        ensure(norms > 0, || format!("{} refuses every norm", entry.name))?;
    }
    Ok(())
}

fn batches(device: &Device) -> Outcome {
    let model = trained(device, "mlp", 2)?;
    let (_, test) = data()?;
    let rows: Vec<usize> = (0..40).collect();
    for norm in [Norm::Linf, Norm::L2] {
        let attack =
            AttackConfig::Pgd(Pgd { steps: 5, restarts: 2, ..Pgd::new(norm, 0.2) }).check()?;
        let whole = attacked(&model, &*attack, &test, &rows, 40, Aim::Untargeted)?;
        let parts = attacked(&model, &*attack, &test, &rows, 7, Aim::Untargeted)?;
        let (a, b) = (whole.adversarial.to_f64_vec()?, parts.adversarial.to_f64_vec()?);
        let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        ensure(off < 1e-4, || format!("{norm}: batches of 40 and 7 differ by {off}"))?;
        ensure(whole.success == parts.success, || "other successes".into())?;
    }
    Ok(())
}

/// A projection is the nearest point: nothing else in the set, found at random, is nearer.
fn projections(device: &Device) -> Outcome {
    let (n, d) = (6, 20);
    let mut rng = Rng::new(21);
    let mut draw = |lo: f64, hi: f64| -> Result<Tensor> {
        let values: Vec<f64> = (0..n * d).map(|_| rng.uniform(lo, hi)).collect();
        Tensor::from_f64(device, DType::F64, &values, &[n, d])
    };
    let (x0, far) = (draw(0.0, 1.0)?, draw(-1.0, 2.0)?);
    // The L2 ball and the box are projected onto in turn, which is not the nearest point of both;
    // with a wide box it is.
    for (norm, eps, bounds) in
        [(Norm::Linf, 0.2, [0.0, 1.0]), (Norm::L2, 0.8, [-9.0, 9.0]), (Norm::L1, 1.5, [0.0, 1.0])]
    {
        let threat = Threat::new(norm, eps);
        let nearest = threat.project(&far, &x0, bounds);
        let again = threat.project(&nearest, &x0, bounds);
        let moved = (&again - &nearest).abs().sum_all().item()?;
        ensure(moved < 1e-6, || format!("{norm}: projecting twice moves by {moved}"))?;
        let distance = (&nearest - &far).square().sum_per_sample().to_f64_vec()?;
        for _ in 0..50 {
            let other = threat.project(&draw(-1.0, 2.0)?, &x0, bounds);
            // Any point between two of a convex set is in it.
            for t in [1.0, 0.3, 0.03] {
                let between = &nearest + &((&other - &nearest) * t);
                let d = (&between - &far).square().sum_per_sample().to_f64_vec()?;
                for (d, best) in d.iter().zip(&distance) {
                    ensure(*d >= best - 1e-7, || format!("{norm}: {d} is nearer than {best}"))?;
                }
            }
        }
    }
    Ok(())
}

fn restarts(device: &Device) -> Outcome {
    let model = trained(device, "small-cnn", 4)?;
    let (_, test) = data()?;
    let rows: Vec<usize> = (0..120).collect();
    let base = Pgd { steps: 5, ..Pgd::new(Norm::Linf, 0.08) };
    let (mut last, mut once) = (1.0, None);
    for restarts in [1, 2, 4] {
        let attack = AttackConfig::Pgd(Pgd { restarts, ..base.clone() }).check()?;
        let outcome = attacked(&model, &*attack, &test, &rows, 120, Aim::Untargeted)?;
        let now = robust(&outcome.success);
        ensure(now <= last, || format!("{restarts} restarts leave {now}, fewer left {last}"))?;
        last = now;
        let calls = outcome.gradient_calls;
        let all = restarts as u64 * *once.get_or_insert(calls);
        let dropped = restarts == 1 || calls < all;
        ensure(dropped, || {
            format!("{restarts} restarts go on with fooled samples: {calls} of {all}")
        })?;
    }
    ensure(last > 0.0 && last < 1.0, || format!("the budget {last} decides nothing"))
}

/// For two classes and a linear model the smallest perturbation is the margin over the dual norm.
fn closed_form(device: &Device) -> Outcome {
    let spec = Preset::find("logistic")?.spec(&[2], 2, [-10.0, 10.0])?;
    let mut params = Params::new();
    params.push("fc1.weight", Tensor::from_slice(device, &[3.0f32, 4.0, 0.0, 0.0], &[2, 2])?);
    params.push("fc1.bias", Tensor::from_slice(device, &[-5.0f32, 0.0], &[2])?);
    let model = Network::new(spec, params, device)?;
    // Margin z0 - z1 = 3 + 4 - 5 = 2; dual norms: L1 norm 7, L2 norm 5, Linf norm 4.
    let x = Tensor::from_slice(device, &[1.0f32, 1.0], &[1, 2])?;
    let goal = Goal::Untargeted(Tensor::from_slice(device, &[0i64], &[1])?);
    let draws = Draws::new(Rng::new(1), vec![0]);
    for (norm, dual) in [(Norm::Linf, 7.0), (Norm::L2, 5.0), (Norm::L1, 4.0)] {
        let smallest = 2.0 / dual;
        for (eps, fools) in [(smallest * 1.01, true), (smallest * 0.99, false)] {
            let attack = AttackConfig::Pgd(Pgd::new(norm, eps)).check()?;
            let outcome = perturb(&*attack, &model, &x, &goal, &draws)?;
            ensure(outcome.success == [fools], || format!("{norm} at {eps}: {outcome:?}"))?;
        }
    }
    Ok(())
}

fn black_box(device: &Device) -> Outcome {
    let model = BlackBox(network(device, "mlp")?);
    let x = Tensor::full(device, DType::F32, &[2, 1, 8, 8], 0.5);
    let logits = model.logits(&x)?.argmax(1).to_vec::<i64>()?;
    let goal = Goal::Untargeted(Tensor::from_slice(device, &logits, &[2])?);
    let attack = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, 0.1)).check()?;
    let draws = Draws::new(Rng::new(1), vec![0, 1]);
    let text = perturb(&*attack, &model, &x, &goal, &draws).err().map(|e| e.to_string());
    let text = text.unwrap_or_default();
    ensure(text.contains("black-box"), || format!("{text:?}"))
}

/// An attack that breaks every rule.
struct Broken;

impl Attack for Broken {
    fn threat(&self) -> Threat {
        Threat::new(Norm::Linf, 0.1)
    }
    fn access(&self) -> Access {
        Access::Score
    }
    fn run(&self, _: &dyn Classifier, x: &Tensor, _: &Goal, _: &Draws) -> Result<Tensor> {
        // The first sample is NaN, the others leave ball and box.
        let first = Tensor::iota(x.device(), x.dim(0)).cast(x.dtype()).per_sample(x);
        let nan = first.fill(f64::NAN);
        Ok((x + 5.0) + nan.where_(&first.eq(&first.fill(0.0)), &first.fill(0.0)))
    }
}

fn nan_attack(device: &Device) -> Outcome {
    let model = network(device, "mlp")?;
    let x = Tensor::full(device, DType::F32, &[3, 1, 8, 8], 0.5);
    let y = model.logits(&x)?.argmax(1).reshape(&[3]);
    let draws = Draws::new(Rng::new(1), vec![0, 1, 2]);
    let outcome = perturb(&Broken, &model, &x, &Goal::Untargeted(y), &draws)?;
    ensure(outcome.distance[0] == 0.0 && !outcome.success[0], || format!("{outcome:?}"))?;
    ensure(outcome.distance[1..].iter().all(|d| (d - 0.1).abs() < 1e-6), || {
        format!("not projected: {:?}", outcome.distance)
    })
}

fn bad_requests(device: &Device) -> Outcome {
    let model = network(device, "mlp")?;
    let ok = Tensor::full(device, DType::F32, &[2, 1, 8, 8], 0.5);
    let label = |v: &[i64]| Tensor::from_slice(device, v, &[v.len()]);
    let at = |eps| AttackConfig::Fgsm(Fgsm::new(Norm::Linf, eps)).check();
    let draws = Draws::new(Rng::new(1), vec![0, 1]);
    let bright = &ok + 1.0;
    let requests = [
        (at(0.1)?, &bright, label(&[0, 1])?, "outside of the model's bounds"),
        (at(0.1)?, &ok, label(&[0])?, "for 2 samples"),
        (at(0.1)?, &ok, label(&[0, 10])?, "class 10"),
        (at(8.0)?, &ok, label(&[0, 1])?, "exceeds the box"),
    ];
    for (attack, x, y, expected) in requests {
        let result = perturb(&*attack, &model, x, &Goal::Untargeted(y), &draws);
        let text = result.err().map(|e| e.to_string()).unwrap_or_default();
        ensure(text.contains(expected), || format!("{text:?} lacks {expected:?}"))?;
    }
    let refused = [
        AttackConfig::Fgsm(Fgsm::new(Norm::Linf, -0.1)),
        AttackConfig::Fgsm(Fgsm::new(Norm::L2, f64::NAN)),
        AttackConfig::Pgd(Pgd { steps: 0, ..Pgd::new(Norm::L2, 1.0) }),
        AttackConfig::Pgd(Pgd { random_start: false, restarts: 2, ..Pgd::new(Norm::L2, 1.0) }),
    ];
    for config in refused {
        ensure(config.check().is_err(), || format!("{config:?} was accepted"))?;
    }
    Ok(())
}

fn second_device(device: &Device) -> Outcome {
    let model = trained(device, "small-cnn", 1)?;
    let other = inocula_tests::rows::registry().open("ndarray?threads=1")?;
    let params = model.params().to_device(&other)?;
    let moved = Network::new(model.spec().clone(), params, &other)?;
    let (_, test) = data()?;
    let rows: Vec<usize> = (0..test.len()).collect();
    let (x, _) = Placement::new(device).tensors(&test, &rows)?;
    let a = model.logits(&x)?.to_f64_vec()?;
    let b = moved.logits(&x.to_device(&other)?)?.to_f64_vec()?;
    let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    ensure(off < 1e-4, || format!("logits differ by {off}"))?;
    let mixed = model.logits(&x.to_device(&other)?);
    let text = mixed.err().map(|e| e.to_string()).unwrap_or_default();
    ensure(text.contains("to_device"), || format!("{text:?}"))
}

/// Few samples, many epochs: the loss of members falls far below that of others.
fn leaks(device: &Device) -> Outcome {
    let (train, test) = data()?;
    let few = train.take_stratified(100, &Rng::new(1));
    let mut model = network(device, "mlp")?;
    fit(&mut model, &few, None, &config(60, Rule::Standard {}), &Rng::new(4), &mut ())?;
    let place = Placement::new(device);
    let over_fitted = loss_threshold(&model, &few, &test, &place)?;
    let fresh = loss_threshold(&network(device, "mlp")?, &few, &test, &place)?;
    let chance = over_fitted.roc.advantage_by_chance(1e-3);
    let (over, fresh) = (over_fitted.roc.advantage(), fresh.roc.advantage());
    ensure(over > chance, || format!("advantage {over}, by chance up to {chance}"))?;
    ensure(over_fitted.yeom_advantage <= over + 1e-12, || "above the best threshold".into())?;
    ensure(fresh < chance, || format!("untrained {fresh}, by chance up to {chance}"))
}
