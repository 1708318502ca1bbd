//! Losses of the rules, in f64, against their formulas and against finite differences.

use inocula_core::attack::{AttackConfig, Draws, Norm, Pgd, Threat};
use inocula_core::data::Dataset;
use inocula_core::grad::{check, grad};
use inocula_core::loss::cross_entropy;
use inocula_core::model::{Classifier as _, Network};
use inocula_core::nn::{Mode, ModelSpec, Params, init_params};
use inocula_core::optim::{OptimizerConfig, Sgd};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Batch, CheckedRule, Rule, TrainConfig, fit};
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::harness::{Outcome, ensure};
use inocula_tests::tolerance::deviation;

use super::trades::{divergence, probabilities};

const SAMPLES: usize = 5;
const CLASSES: usize = 4;
const EPS: f64 = 0.2;

/// A smooth network in f64, a batch, and what a rule makes of it.
struct Subject {
    network: Network,
    data: Dataset,
    x: Tensor,
    y: Tensor,
    ids: Vec<usize>,
}

impl Subject {
    fn new(device: &Device) -> Result<Self> {
        let layers = r#"[{"type": "linear", "features": 5}, {"type": "tanh"},
            {"type": "linear", "features": 4}]"#;
        let json = format!(
            r#"{{"input": [6], "classes": {CLASSES}, "bounds": [0.0, 1.0], "layers": {layers}}}"#
        );
        let spec: ModelSpec = serde_json::from_str(&json).map_err(|e| {
            inocula_core::Error::new(inocula_core::ErrorKind::Config, e.to_string())
        })?;
        let params = init_params(&spec, device, DType::F64, &Rng::new(3))?;
        // Weights that say something, so that neither predictions nor divergences are all alike.
        let params = params.map(|p| p * 3.0);
        let network = Network::new(spec, params, device)?;
        let mut rng = Rng::new(8);
        let data = Dataset {
            name: "random".into(),
            source: "drawn".into(),
            licence: "none".into(),
            // Edges of the box among them.
            features: (0..SAMPLES * 6)
                .map(|_| rng.uniform(-0.2, 1.2).clamp(0.0, 1.0) as f32)
                .collect(),
            shape: vec![6],
            labels: (0..SAMPLES).map(|i| (i % CLASSES) as i64).collect(),
            classes: CLASSES,
            class_names: (0..CLASSES).map(|c| c.to_string()).collect(),
            bounds: (0.0, 1.0),
        }
        .checked()?;
        let ids: Vec<usize> = (0..SAMPLES).collect();
        let place = Placement { dtype: DType::F64, ..Placement::new(device) };
        let (x, y) = place.tensors(&data, &ids)?;
        Ok(Subject { network, data, x, y, ids })
    }

    fn batch(&self) -> Batch<'_> {
        Batch { x: &self.x, y: &self.y, ids: &self.ids, step: 3, progress: 0.0 }
    }

    fn made(&self, rule: &CheckedRule) -> Result<Tensor> {
        rule.inputs(&self.network, &self.batch(), &Rng::new(2))
    }

    fn losses(&self, rule: &CheckedRule, params: &Params, made: &Tensor) -> Result<Tensor> {
        let (mut dropout, rng) = (Rng::new(1), Rng::new(2));
        rule.losses_at(made, &self.network, params, &self.batch(), &mut dropout, &rng)
    }

    fn logits(&self, x: &Tensor) -> Result<Vec<f64>> {
        self.network.logits(x)?.to_f64_vec()
    }
}

fn pgd() -> AttackConfig {
    AttackConfig::Pgd(Pgd { steps: 4, ..Pgd::new(Norm::Linf, EPS) })
}

fn fast(grad_align: f64) -> Rule {
    Rule::Fast { eps: EPS, step: None, grad_align }
}

/// The loss of a sample of label `y`, of its logits as it is and as the rule moved it.
type Formula = fn(&[f64], &[f64], usize) -> f64;

fn xent(logits: &[f64], y: usize) -> f64 {
    -probabilities(logits)[y].ln()
}

fn mart(clean: &[f64], moved: &[f64], y: usize) -> f64 {
    let p = probabilities(moved);
    let others = p.iter().enumerate().filter(|(i, _)| *i != y).map(|(_, p)| *p);
    let nearest = others.fold(0.0, f64::max);
    let boosted = xent(moved, y) - (1.0001 - nearest).ln();
    boosted + 2.5 * divergence(clean, moved) * (1.0 - probabilities(clean)[y])
}

pub(super) fn losses(device: &Device) -> Outcome {
    let s = Subject::new(device)?;
    let mixed = Rule::Mixed { ratio: 0.5, attacks: vec![pgd()] };
    let rules: [(Rule, Formula); 7] = [
        (Rule::Standard {}, |clean, _, y| xent(clean, y)),
        (mixed, |_, moved, y| xent(moved, y)),
        (Rule::Madry { attack: pgd() }, |_, moved, y| xent(moved, y)),
        (Rule::Trades { beta: 2.5, attack: pgd() }, |clean, moved, y| {
            xent(clean, y) + 2.5 * divergence(clean, moved)
        }),
        (Rule::Mart { beta: 2.5, attack: pgd() }, mart),
        (fast(0.0), |_, moved, y| xent(moved, y)),
        (Rule::Free { eps: EPS, replays: 2 }, |clean, _, y| xent(clean, y)),
    ];
    let (clean, labels) = (s.logits(&s.x)?, s.y.to_vec::<i64>()?);
    for (rule, formula) in rules {
        let checked = rule.check()?;
        let made = s.made(&checked)?;
        let far = (&made - &s.x).abs().to_f64_vec()?.into_iter().fold(0.0, f64::max);
        let moves = !matches!(rule, Rule::Standard {} | Rule::Free { .. });
        ensure(far <= EPS + 1e-6 && (far > 0.0) == moves, || format!("{} by {far}", rule.name()))?;
        let moved = s.logits(&made)?;
        let rows = clean.chunks(CLASSES).zip(moved.chunks(CLASSES)).zip(&labels);
        let want: Vec<f64> = rows.map(|((c, m), &y)| formula(c, m, y as usize)).collect();
        let got = s.losses(&checked, s.network.params(), &made)?.to_f64_vec()?;
        let off = deviation(&got, &want);
        ensure(off <= 1e-12, || format!("{}: {got:?} for {want:?}", rule.name()))?;
    }
    Ok(())
}

/// Derivatives in the weights with the adversarial inputs held: what an optimiser descends along.
pub(super) fn gradients(device: &Device) -> Outcome {
    let s = Subject::new(device)?;
    let rules = [
        Rule::Madry { attack: pgd() },
        Rule::Trades { beta: 2.5, attack: pgd() },
        Rule::Mart { beta: 2.5, attack: pgd() },
        fast(0.0),
        fast(0.7),
    ];
    let params = s.network.params();
    let values: Vec<Tensor> = params.values().into_iter().cloned().collect();
    let mut rng = Rng::new(11);
    let mut draw = |like: &Tensor| {
        let drawn: Vec<f64> = (0..like.shape().numel()).map(|_| rng.normal()).collect();
        Tensor::from_f64(device, DType::F64, &drawn, &like.shape())
    };
    let dirs = values.iter().map(&mut draw).collect::<Result<Vec<_>>>()?;
    let u = draw(&s.x.sum_per_sample())?;
    for rule in rules {
        let checked = rule.check()?;
        let made = s.made(&checked)?;
        let f = |values: &[Tensor]| {
            let at = params.with_values(values.to_vec());
            // NaN is no derivative, so that a failure fails the check.
            at.and_then(|at| s.losses(&checked, &at, &made)).unwrap_or_else(|_| u.fill(f64::NAN))
        };
        let found = check::first_order(&f, &values, &dirs, &u)?;
        let name = rule.describe();
        ensure(found.relative() <= 1e-7, || format!("{name}: {found:?}"))?;
        ensure(found.numeric.abs() > 1e-3, || format!("{name}: flat, {found:?}"))?;
    }
    Ok(())
}

pub(super) fn alignment(device: &Device) -> Outcome {
    let s = Subject::new(device)?;
    let (plain, aligned) = (fast(0.0).check()?, fast(0.7).check()?);
    let made = s.made(&plain)?;
    let params = s.network.params();
    let penalty = s.losses(&aligned, params, &made)? - s.losses(&plain, params, &made)?;

    let ids: Vec<u64> = s.ids.iter().map(|&i| i as u64).collect();
    let draws = Draws::new(Rng::new(2).child("align").index(3), ids);
    let near = Threat::new(Norm::Linf, EPS).random_start(&s.x, &draws, [0.0, 1.0])?;
    let slope = |x: &Tensor| -> Result<Vec<f64>> {
        let x = x.tracked();
        grad(&cross_entropy(&s.network.logits(&x)?, &s.y), &[&x])?[0].to_f64_vec()
    };
    let (here, there) = (slope(&s.x)?, slope(&near)?);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let rows = here.chunks(6).zip(there.chunks(6));
    let want: Vec<f64> =
        rows.map(|(a, b)| 0.7 * (1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt())).collect();
    let off = deviation(&penalty.to_f64_vec()?, &want);
    ensure(off <= 1e-9, || format!("{penalty:?} for {want:?}"))?;
    ensure(want.iter().all(|w| *w > 1e-6), || format!("nothing turns: {want:?}"))?;

    // A gradient of 0 has no direction: no penalty, and no NaN on the way back.
    let flat = params.map(|p| p.fill(0.0)).tracked();
    let losses = s.losses(&aligned, &flat, &made)?;
    let want = vec![(CLASSES as f64).ln(); SAMPLES];
    ensure(deviation(&losses.to_f64_vec()?, &want) <= 1e-12, || format!("{losses:?}"))?;
    for g in grad(&losses, &flat.values())? {
        let values = g.to_f64_vec()?;
        ensure(values.iter().all(|v| v.is_finite()), || format!("{values:?}"))?;
    }
    Ok(())
}

/// The weights that AWP takes its losses at are `w + gamma |w| g / |g|` a matrix, and its gradient is the
/// plain one there.
pub(super) fn perturbed_weights(device: &Device) -> Outcome {
    let s = Subject::new(device)?;
    let inner = Rule::Trades { beta: 2.5, attack: pgd() };
    let awp = Rule::Awp { gamma: 0.05, rule: Box::new(inner.clone()) }.check()?;
    let inner = inner.check()?;
    let made = s.made(&awp)?;
    ensure(made.to_f64_vec()? == s.made(&inner)?.to_f64_vec()?, || "other inputs".into())?;

    let start = s.network.params().tracked();
    let slopes = grad(&s.losses(&inner, &start, &made)?.mean_all(), &start.values())?;
    let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let mut moved = Vec::new();
    for ((_, w), g) in start.iter().zip(&slopes) {
        let (mut values, g) = (w.to_f64_vec()?, g.to_f64_vec()?);
        if w.shape().rank() > 1 {
            let scale = 0.05 * length(&values) / length(&g);
            values.iter_mut().zip(&g).for_each(|(w, g)| *w += scale * g);
        }
        moved.push(Tensor::from_f64(device, DType::F64, &values, &w.shape())?.tracked());
    }
    let moved = start.with_values(moved)?;
    let there = s.losses(&inner, &moved, &made)?;
    let found = s.losses(&awp, &start, &made)?;
    let off = deviation(&found.to_f64_vec()?, &there.to_f64_vec()?);
    ensure(off <= 1e-12, || format!("losses differ by {off}"))?;
    let raised = (found.mean_all() - s.losses(&inner, &start, &made)?.mean_all()).item()?;
    ensure(raised > 0.0, || format!("the weights moved downhill: {raised}"))?;
    let want = grad(&there, &moved.values())?;
    for (got, want) in grad(&found, &start.values())?.iter().zip(&want) {
        let off = deviation(&got.to_f64_vec()?, &want.to_f64_vec()?);
        ensure(off <= 1e-11, || format!("gradients differ by {off}"))?;
    }
    Ok(())
}

/// Two epochs in batches of 3 and 2, twice each, against the algorithm written out.
pub(super) fn free(device: &Device) -> Outcome {
    let s = Subject::new(device)?;
    let (lr, replays, rng) = (0.05, 2, Rng::new(6));
    let config = TrainConfig {
        epochs: 2,
        batch_size: 3,
        optimizer: OptimizerConfig::Sgd(Sgd { lr, momentum: 0.0, weight_decay: 0.0 }),
        rule: Rule::Free { eps: EPS, replays },
        ..TrainConfig::default()
    };
    let mut trained = s.network.clone();
    fit(&mut trained, &s.data, None, &config, &rng, &mut ())?;

    let place = Placement { dtype: DType::F64, ..Placement::new(device) };
    let mut network = s.network.clone();
    let mut noise = vec![0.0; 3 * 6];
    for epoch in 1..=2 {
        let order = rng.child("order").index(epoch).permutation(SAMPLES);
        for rows in order.chunks(3) {
            let (x, y) = place.tensors(&s.data, rows)?;
            let clean = x.to_f64_vec()?;
            for _ in 0..replays {
                let reach: Vec<f64> = clean.iter().zip(&noise).map(|(x, d)| x + d).collect();
                let inside = reach.iter().map(|v| v.clamp(0.0, 1.0)).collect::<Vec<f64>>();
                let at = Tensor::from_f64(device, DType::F64, &inside, &x.shape())?.tracked();
                let params = network.params().tracked();
                let loss =
                    cross_entropy(&network.forward(&params, &at, &mut Mode::Eval)?, &y).mean_all();
                let wanted: Vec<&Tensor> = params.values().into_iter().chain([&at]).collect();
                let grads = grad(&loss, &wanted)?;
                let slope = grads[params.len()].to_f64_vec()?;
                for (i, g) in slope.iter().enumerate() {
                    let counts = (0.0..=1.0).contains(&reach[i]) && *g != 0.0;
                    let step = if counts { EPS * g.signum() } else { 0.0 };
                    noise[i] = (noise[i] + step).clamp(-EPS, EPS);
                }
                let steps = params.with_values(grads[..params.len()].to_vec())?;
                network.set_params(network.params().axpy(-lr, &steps)?);
            }
        }
    }
    for ((name, got), (_, want)) in trained.params().iter().zip(network.params().iter()) {
        let off = deviation(&got.to_f64_vec()?, &want.to_f64_vec()?);
        ensure(off <= 1e-12, || format!("{name} differs by {off}"))?;
    }
    Ok(())
}
