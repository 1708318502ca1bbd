//! Perturbations and the DP mechanism, compared between every pair of backends.
//!
//! A sign turns a difference in the last bit of a gradient into one of a whole step, and forty steps
//! carry that anywhere; to compare the last iterates would test nothing, or fail at random. So what
//! is compared: gradients at the same iterates, by relative tolerance; a single step, exactly where
//! the gradient is clearly not 0; whole attacks by what they promise and achieve.
//!
//! Black-box attacks ask for no gradient, so of their questions the answers are compared. They go on from
//! comparisons of scores: in f32 two backends part at the first that rounding decides, and from there on
//! ask other questions. In f64 rounding is a billion times finer than what scores differ by, and proposals
//! are the same bits everywhere, so there whole attacks must agree sample by sample and in their queries.

use std::process::ExitCode;
use std::sync::{LazyLock, Mutex};

use inocula_core::attack::{
    ATTACKS, Access, AttackConfig, Draws, Fgsm, Goal, Norm, Threat, perturb,
};
use inocula_core::data::{Dataset, digits};
use inocula_core::dp::{clip, noise};
use inocula_core::grad::grad;
use inocula_core::loss::cross_entropy;
use inocula_core::model::{Classifier, Network};
use inocula_core::nn::{Params, Preset, init_params};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Rule, TrainConfig, fit};
use inocula_core::{Aval, DType, Device, Result, Shape, Tensor};
use inocula_tests::brief::with_queries;
use inocula_tests::harness::{Outcome, ensure};
use inocula_tests::pairs::{PairCase, run};
use inocula_tests::rows::{REFERENCE, whole};
use inocula_tests::tolerance::{F32, deviation};

/// Samples attacked.
const SAMPLES: usize = 64;

fn main() -> ExitCode {
    let mut cases = vec![
        PairCase::new("perturbations::one_step_is_exact_where_the_gradient_is_clear", one_step),
        PairCase::new("dp::clipped_sums_agree_and_keep_their_bound", clipping),
        PairCase::new("dp::one_sample_moves_the_sum_by_at_most_the_bound", sensitivity),
        PairCase::new("dp::noise_is_the_same_bits_of_the_claimed_scale", same_noise),
    ];
    for entry in ATTACKS {
        let budgets = [(Norm::Linf, 0.1), (Norm::L2, 0.7), (Norm::L1, 3.0), (Norm::L0, 12.0)];
        for (norm, eps) in budgets.into_iter().filter(|(norm, _)| entry.norms.contains(norm)) {
            let config = (entry.at)(Threat::new(norm, eps));
            // Not every attack is defined in every norm.
            let Ok(attack) = config.check() else { continue };
            let name = |what: &str| format!("perturbations::{}_{norm}_{what}", entry.name);
            if attack.access() != Access::Gradient {
                let (answers, end) = (config.clone(), config);
                cases.push(PairCase::new(name("answers_to_its_questions"), move |a, b| {
                    answers_agree(&answers, a, b)
                }));
                cases.push(PairCase::new(name("end_to_end"), move |a, b| black_box(&end, a, b)));
                continue;
            }
            let brief = with_queries(&config, QUERIES)
                .unwrap_or_else(|err| panic!("{}: {err}", entry.name));
            let (same, whole) = (brief.clone(), brief);
            cases.push(PairCase::new(name("gradients_at_its_iterates"), move |a, b| {
                at_iterates(&same, a, b)
            }));
            cases.push(PairCase::new(name("end_to_end"), move |a, b| end_to_end(&whole, a, b)));
        }
    }
    run(cases)
}

/// A small convolutional network, trained once on the reference.
static TRAINED: LazyLock<(Network, Dataset)> = LazyLock::new(|| {
    let train = || -> Result<(Network, Dataset)> {
        let (train, test) = digits()?.split_stratified(0.25, &Rng::new(5));
        let spec = Preset::find("small-cnn")?.spec(&[1, 8, 8], 10, [0.0, 1.0])?;
        let params = init_params(&spec, &REFERENCE, DType::F32, &Rng::new(3))?;
        let mut network = Network::new(spec, params, &REFERENCE)?;
        let config = TrainConfig { epochs: 2, rule: Rule::Standard {}, ..TrainConfig::default() };
        fit(&mut network, &train, None, &config, &Rng::new(4), &mut ())?;
        Ok((network, test))
    };
    train().unwrap_or_else(|err| panic!("the network to attack could not be trained: {err}"))
});

/// The trained network and a batch of test samples on `device`.
fn subject(device: &Device) -> Result<(Network, Tensor, Tensor)> {
    let (network, test) = &*TRAINED;
    let rows: Vec<usize> = (0..SAMPLES).collect();
    let (x, y) = Placement::new(device).tensors(test, &rows)?;
    let params = moved(network.params(), device)?;
    Ok((Network::new(network.spec().clone(), params, device)?, x, y))
}

fn moved(params: &Params, device: &Device) -> Result<Params> {
    let values: Result<Vec<Tensor>> = params.values().iter().map(|p| p.to_device(device)).collect();
    params.with_values(values?)
}

fn draws() -> Draws {
    Draws::new(Rng::new(9), (0..SAMPLES as u64).collect())
}

/// Logits and the gradient of the loss in `x`.
fn answer(network: &Network, x: &Tensor, y: &Tensor) -> Result<(Vec<f64>, Vec<f64>)> {
    let x = x.tracked();
    let logits = network.logits(&x)?;
    let g = grad(&cross_entropy(&logits, y), &[&x])?.swap_remove(0);
    Ok((logits.to_f64_vec()?, g.to_f64_vec()?))
}

/// A classifier that notes what it is asked.
struct Noting<'a> {
    network: &'a Network,
    asked: Mutex<Vec<Vec<f32>>>,
}

impl Classifier for Noting<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        if let Ok(mut asked) = self.asked.lock() {
            asked.push(x.to_vec()?);
        }
        self.network.logits(x)
    }

    fn bounds(&self) -> [f64; 2] {
        self.network.bounds()
    }

    fn classes(&self) -> usize {
        self.network.classes()
    }
}

/// Questions of an attack that are put to both devices, evenly spread over all that it asked.
const QUESTIONS: usize = 200;

/// Points at which the attack asked the reference are put to both devices. Attacks drop samples that
/// they are done with, so the label is not that of the data: it is the class after the one that the
/// reference predicts, whose gradient is clear.
fn at_iterates(config: &AttackConfig, a: &Device, b: &Device) -> Outcome {
    let (network, x, y) = subject(&REFERENCE)?;
    let noting = Noting { network: &network, asked: Mutex::default() };
    config.check()?.run(&noting, &x, &Goal::Untargeted(y), &draws())?;
    let asked = noting.asked.into_inner().unwrap_or_default();
    ensure(!asked.is_empty(), || "the attack asked nothing".into())?;
    let ((net_a, ..), (net_b, ..)) = (subject(a)?, subject(b)?);
    let each: usize = x.shape().iter().skip(1).product();
    for (step, point) in asked.iter().enumerate().step_by(asked.len().div_ceil(QUESTIONS)) {
        let mut shape = x.shape().to_vec();
        shape[0] = point.len() / each;
        let at = |device| Tensor::from_slice(device, point, &shape);
        let predicted: Vec<i64> = network.logits(&at(&REFERENCE)?)?.argmax(1).to_vec()?;
        let other: Vec<i64> = predicted.iter().map(|class| (class + 1) % 10).collect();
        let label = |device| Tensor::from_slice(device, &other, &[other.len()]);
        let (logits_a, grad_a) = answer(&net_a, &at(a)?, &label(a)?)?;
        let (logits_b, grad_b) = answer(&net_b, &at(b)?, &label(b)?)?;
        let off = deviation(&logits_a, &logits_b);
        ensure(off <= F32, || format!("question {step}: logits differ by {off:e}"))?;
        let off = relative(&grad_a, &grad_b);
        ensure(off <= F32 || all_at_kinks(point, &other, &grad_a, &grad_b)?, || {
            format!("question {step}: gradients differ by {off:e}, and not at a kink")
        })?;
    }
    Ok(())
}

/// Points around one where two devices disagree, and how far off they are: enough rounding errors
/// of a network of a few layers to cross a kink that is within one.
const NEIGHBOURS: usize = 64;
const APART: f64 = 4e-6;

/// Whether every sample whose gradients differ lies within rounding of a kink of the network (a ReLU
/// at 0, two equal values under a pool), where the gradient has several values: each device must
/// give one that f64 gives within [`APART`] of the point.
fn all_at_kinks(point: &[f32], labels: &[i64], a: &[f64], b: &[f64]) -> Result<bool> {
    let (network, x, _) = subject(&REFERENCE)?;
    let mut shape = x.shape().to_vec();
    shape[0] = labels.len();
    let y = Tensor::from_slice(&REFERENCE, labels, &[labels.len()])?;
    let values = network.params().values().iter().map(|p| p.cast(DType::F64)).collect();
    let params = network.params().with_values(values)?;
    let exact = Network::new(network.spec().clone(), params, &REFERENCE)?;
    let each = point.len() / labels.len();
    let scale = b.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let same = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= F32 * scale);
    let mut open: Vec<[bool; 2]> =
        a.chunks(each).zip(b.chunks(each)).map(|(a, b)| [!same(a, b); 2]).collect();
    let mut rng = Rng::new(17);
    for neighbour in 0..NEIGHBOURS {
        let apart = if neighbour == 0 { 0.0 } else { APART };
        let near: Vec<f64> =
            point.iter().map(|&v| f64::from(v) + rng.uniform(-apart, apart)).collect();
        let near = Tensor::from_slice(&REFERENCE, &near, &shape)?;
        let (_, truth) = answer(&exact, &near, &y)?;
        for (i, open) in open.iter_mut().enumerate() {
            let row = i * each..(i + 1) * each;
            for (open, found) in open.iter_mut().zip([a, b]) {
                *open &= !same(&found[row.clone()], &truth[row.clone()]);
            }
        }
    }
    Ok(open.iter().flatten().all(|open| !open))
}

/// The largest difference relative to the largest magnitude.
fn relative(a: &[f64], b: &[f64]) -> f64 {
    let scale = b.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs() / scale);
    apart.fold(0.0, |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d) })
}

/// Share of the largest gradient below which its sign is left to rounding.
const DEAD_ZONE: f64 = 1e-4;

fn one_step(a: &Device, b: &Device) -> Outcome {
    let step = |device: &Device| -> Result<(Vec<f32>, Vec<f64>)> {
        let (network, x, y) = subject(device)?;
        let (_, g) = answer(&network, &x, &y)?;
        let goal = Goal::Untargeted(y);
        let fgsm = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, 0.1)).check()?;
        Ok((fgsm.run(&network, &x, &goal, &draws())?.to_vec()?, g))
    };
    let ((x_a, g_a), (x_b, g_b)) = (step(a)?, step(b)?);
    let mut unclear = 0;
    // The scale of a gradient is that of its sample: a confident one has a small gradient everywhere.
    for (sample, (g_a, g_b)) in g_a.chunks(64).zip(g_b.chunks(64)).enumerate() {
        let largest = g_a.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for (i, (l, r)) in g_a.iter().zip(g_b).enumerate() {
            if l.abs().min(r.abs()) <= DEAD_ZONE * largest {
                unclear += 1;
                continue;
            }
            let (l, r) = (x_a[sample * 64 + i], x_b[sample * 64 + i]);
            ensure(l == r, || format!("sample {sample}, pixel {i}: {l} and {r}"))?;
        }
    }
    ensure(unclear * 10 < x_a.len(), || format!("{unclear} of {} are unclear", x_a.len()))
}

fn end_to_end(config: &AttackConfig, a: &Device, b: &Device) -> Outcome {
    let attack = config.check()?;
    let threat = attack.threat();
    let whole = |device: &Device| -> Result<(f64, f64)> {
        let (network, x, y) = subject(device)?;
        let outcome = perturb(&*attack, &network, &x, &Goal::Untargeted(y.clone()), &draws())?;
        let inside = outcome.distance.iter().all(|d| *d <= threat.eps * (1.0 + 1e-5));
        let values: Vec<f32> = outcome.adversarial.to_vec()?;
        if !inside || values.iter().any(|v| !(0.0..=1.0).contains(v)) {
            inocula_core::bail!(Numeric, "left the ball or the box");
        }
        let loss = cross_entropy(&network.logits(&outcome.adversarial)?, &y).sum_all().item()?;
        let fooled = outcome.success.iter().filter(|s| **s).count();
        Ok((fooled as f64, loss))
    };
    let ((fooled_a, loss_a), (fooled_b, loss_b)) = (whole(a)?, whole(b)?);
    // Samples on the edge may fall on either side.
    ensure((fooled_a - fooled_b).abs() <= 2.0, || format!("fooled {fooled_a} and {fooled_b}"))?;
    let off = (loss_a - loss_b).abs() / loss_b;
    ensure(off <= 0.02, || format!("losses {loss_a} and {loss_b}"))
}

/// Samples and queries of a black-box attack.
const FEW: usize = 16;
const QUERIES: usize = 150;

/// The network and a few samples in `dtype`.
fn few(device: &Device, dtype: DType) -> Result<(Network, Tensor, Tensor)> {
    let (network, x, y) = subject(device)?;
    let values = network.params().values().iter().map(|p| p.cast(dtype)).collect();
    let params = network.params().with_values(values)?;
    let network = Network::new(network.spec().clone(), params, device)?;
    Ok((network, x.narrow(0, 0, FEW).cast(dtype), y.narrow(0, 0, FEW)))
}

fn few_draws() -> Draws {
    Draws::new(Rng::new(9), (0..FEW as u64).collect())
}

/// What the attack asks the reference is put to both devices.
fn answers_agree(config: &AttackConfig, a: &Device, b: &Device) -> Outcome {
    let (network, x, y) = few(&REFERENCE, DType::F32)?;
    let noting = Noting { network: &network, asked: Mutex::default() };
    let attack = with_queries(config, QUERIES)?.check()?;
    attack.run(&noting, &x, &Goal::Untargeted(y), &few_draws())?;
    let asked = noting.asked.into_inner().unwrap_or_default();
    ensure(!asked.is_empty(), || "the attack asked nothing".into())?;
    let ((net_a, ..), (net_b, ..)) = (subject(a)?, subject(b)?);
    let each: usize = x.shape().iter().skip(1).product();
    for (step, point) in asked.iter().enumerate().step_by(asked.len().div_ceil(QUESTIONS)) {
        let mut shape = x.shape().to_vec();
        shape[0] = point.len() / each;
        let logits = |network: &Network, device: &Device| {
            network.logits(&Tensor::from_slice(device, point, &shape)?)?.to_f64_vec()
        };
        let off = deviation(&logits(&net_a, a)?, &logits(&net_b, b)?);
        ensure(off <= F32, || format!("question {step}: logits differ by {off:e}"))?;
    }
    Ok(())
}

/// In f64 the same samples are fooled, by the same points, after the same number of questions. A device
/// without f64 is held to the invariants, and to a count: chance moves single samples.
fn black_box(config: &AttackConfig, a: &Device, b: &Device) -> Outcome {
    let attack = with_queries(config, QUERIES)?.check()?;
    let threat = attack.threat();
    let exact = whole(a, DType::F64) && whole(b, DType::F64);
    let dtype = if exact { DType::F64 } else { DType::F32 };
    let run = |device: &Device| -> Result<(Vec<bool>, u64, Vec<f64>)> {
        let (network, x, y) = few(device, dtype)?;
        let outcome = perturb(&*attack, &network, &x, &Goal::Untargeted(y), &few_draws())?;
        let inside = outcome.distance.iter().all(|d| *d <= threat.eps * (1.0 + 1e-5));
        let values = outcome.adversarial.to_f64_vec()?;
        if !inside || values.iter().any(|v| !(0.0..=1.0).contains(v)) {
            inocula_core::bail!(Numeric, "left the ball or the box");
        }
        Ok((outcome.success, outcome.queries, values))
    };
    let ((fooled_a, asked_a, x_a), (fooled_b, asked_b, x_b)) = (run(a)?, run(b)?);
    if !exact {
        let count = |fooled: &[bool]| fooled.iter().filter(|f| **f).count();
        let (a, b) = (count(&fooled_a), count(&fooled_b));
        return ensure(a.abs_diff(b) <= FEW / 4, || format!("fooled {a} and {b}"));
    }
    ensure(fooled_a == fooled_b, || format!("fooled {fooled_a:?} and {fooled_b:?}"))?;
    ensure(asked_a == asked_b, || format!("{asked_a} and {asked_b} queries"))?;
    let apart = x_a.iter().zip(&x_b).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    ensure(apart < 1e-6, || format!("results differ by {apart:e}"))
}

/// Per-sample gradients of two parameters, of sizes from far below to far above the bound.
fn gradients(device: &Device, n: usize) -> Result<Vec<Tensor>> {
    let mut rng = Rng::new(21);
    let shapes: [&[usize]; 2] = [&[n, 6, 3, 3], &[n, 6]];
    let one = |shape: &[usize]| {
        let size: usize = shape[1..].iter().product();
        let mut values = Vec::new();
        for sample in 0..n {
            let scale = 10f64.powi(sample as i32 % 7 - 4);
            values.extend((0..size).map(|_| scale * rng.normal()));
        }
        Tensor::from_f64(device, DType::F32, &values, shape)
    };
    shapes.map(one).into_iter().collect()
}

const BOUND: f64 = 0.75;

/// Rounding that a clipped norm may carry: the norm is a sum of some 60 squares in f32, its root and
/// two divisions.
const ULPS: f64 = 16.0 * f32::EPSILON as f64;

fn norm(parts: &[Tensor]) -> Result<f64> {
    let mut sum = 0.0;
    for part in parts {
        sum += part.to_f64_vec()?.iter().map(|v| v * v).sum::<f64>();
    }
    Ok(sum.sqrt())
}

fn clipping(a: &Device, b: &Device) -> Outcome {
    let n = 28;
    for device in [a, b] {
        let grads = gradients(device, n)?;
        for i in 0..n {
            let of_one: Vec<Tensor> = grads.iter().map(|g| g.narrow(0, i, 1)).collect();
            let (before, clipped) = (norm(&of_one)?, clip::clipped_sum(&of_one, BOUND)?);
            let after = norm(&clipped)?;
            ensure(after <= BOUND * (1.0 + ULPS), || format!("sample {i}: {after:e}"))?;
            let want = before.min(BOUND);
            ensure((after - want).abs() <= want * 1e-5, || format!("{after} for {want}"))?;
        }
    }
    let sums = |device: &Device| -> Result<Vec<f64>> {
        let mut all = Vec::new();
        for sum in clip::clipped_sum(&gradients(device, n)?, BOUND)? {
            all.extend(sum.to_f64_vec()?);
        }
        Ok(all)
    };
    let off = deviation(&sums(a)?, &sums(b)?);
    ensure(off <= F32, || format!("clipped sums differ by {off:e}"))
}

/// The sum without each of the samples, against the sum with all, on one device and across the two.
fn sensitivity(a: &Device, b: &Device) -> Outcome {
    let n = 14;
    let total = |grads: &[Tensor]| -> Result<Vec<f64>> {
        let sums = clip::clipped_sum(grads, BOUND)?;
        let parts: Result<Vec<Vec<f64>>> = sums.iter().map(Tensor::to_f64_vec).collect();
        Ok(parts?.concat())
    };
    let without = |device: &Device, i: usize| -> Result<Vec<f64>> {
        let rest: Vec<i64> = (0..n as i64).filter(|&j| j != i as i64).collect();
        let rest = Tensor::from_slice(device, &rest, &[n - 1])?;
        let grads: Vec<Tensor> = gradients(device, n)?.iter().map(|g| g.take(0, &rest)).collect();
        total(&grads)
    };
    let all = [total(&gradients(a, n)?)?, total(&gradients(b, n)?)?];
    let mut largest: f64 = 0.0;
    for i in 0..n {
        for less in [without(a, i)?, without(b, i)?] {
            for all in &all {
                let moved = all.iter().zip(&less).map(|(a, b)| (a - b).powi(2));
                largest = largest.max(moved.sum::<f64>().sqrt());
            }
        }
    }
    // The sums round too: n terms of at most the bound.
    let allowed = BOUND * (1.0 + ULPS * n as f64);
    ensure(largest <= allowed, || format!("one sample moves the sum by {largest}"))?;
    ensure(largest >= BOUND * 0.99, || format!("no sample reaches the bound: {largest}"))
}

fn same_noise(a: &Device, b: &Device) -> Outcome {
    let (std, n) = (1.3 * BOUND, 40_000);
    let aval = Aval::new(DType::F32, Shape::new(&[n])?);
    let draw = |device| noise::gaussian(device, aval, std, &Rng::new(17).child("noise"));
    let (left, right) = (draw(a)?.to_vec::<f32>()?, draw(b)?.to_vec::<f32>()?);
    let same = left.iter().zip(&right).all(|(l, r)| l.to_bits() == r.to_bits());
    ensure(same && left.len() == right.len(), || "the bits differ".into())?;
    // Added to a zero, it is still the noise, to the bit.
    let added = (Tensor::zeros(a, DType::F32, &[n]) + draw(a)?).to_vec::<f32>()?;
    ensure(added == left, || "adding it to 0 changed it".into())?;
    let moment =
        |k: i32| left.iter().map(|v| (f64::from(*v) / std).powi(k)).sum::<f64>() / n as f64;
    // Four standard errors of each moment of a standard normal: 0, 1, 3.
    let se = 4.0 / (n as f64).sqrt();
    for (k, want, spread) in [(1, 0.0, 1.0), (2, 1.0, 2f64.sqrt()), (4, 3.0, 96f64.sqrt())] {
        let got = moment(k);
        ensure((got - want).abs() <= se * spread, || format!("moment {k} is {got}"))?;
    }
    Ok(())
}
