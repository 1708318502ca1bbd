//! Per-sample gradients from one backward pass, against their definition: a loop of batches of one.

use std::process::ExitCode;

use inocula_core::dp::clip;
use inocula_core::dp::contributions::{Contributions, capacity, portion};
use inocula_core::dp::ghost::PerSample;
use inocula_core::dp::mechanism::Mechanism;
use inocula_core::dp::noise::{self, Secret};
use inocula_core::grad::grad;
use inocula_core::loss::cross_entropy;
use inocula_core::nn::{Mode, ModelSpec, Params, forward, init_params};
use inocula_core::rng::Rng;
use inocula_core::{DType, Device, ErrorKind, Result, Tensor};
use inocula_tests::harness::{Case, Check, Outcome, ensure, run};
use inocula_tests::tolerance::deviation;

/// Samples of a batch.
const SAMPLES: usize = 5;

/// What sums of a few thousand products in f32 may deviate by.
const TOLERANCE: f64 = 1e-4;

fn main() -> ExitCode {
    let cases: &[(&str, Check)] = &[
        ("ghost::norms_and_sums_are_those_of_batches_of_one", by_definition),
        ("ghost::two_passes_of_a_sample_are_clipped_as_one", two_passes),
        ("ghost::clipped_sum_keeps_its_bound", bounded),
        ("mechanism::noise_has_its_scale_and_the_mean_its_divisor", mechanism),
        ("contributions::portions_add_up_to_the_batch", portions),
        ("clip::a_squared_norm_below_zero_counts_as_zero", below_zero),
        ("ghost::empty_batch_gives_zeros", empty),
        ("ghost::unused_parameter_has_gradient_zero", unused),
        ("ghost::other_uses_of_a_parameter_are_named", other_uses),
        ("layers::norms_are_their_formula", norms),
    ];
    run(cases.iter().map(|&(name, check)| Case::new(name, check)).collect())
}

/// Networks whose layers take every way through the code: dense layers, convolutions whose norm
/// comes from Gram matrices (few pixels, a weight of more than 16,384 numbers) and from gradients that
/// are made, with strides, padding, dilation and groups; norms with scales and shifts by channel and by
/// place.
const NETWORKS: [(&str, &str); 5] = [
    (
        "dense",
        r#"{"input": [12], "classes": 4, "layers": [
            {"type": "linear", "features": 9}, {"type": "relu"},
            {"type": "linear", "features": 7}, {"type": "tanh"},
            {"type": "linear", "features": 4}]}"#,
    ),
    (
        "convolutions",
        r#"{"input": [2, 9, 8], "classes": 3, "layers": [
            {"type": "conv2d", "channels": 6, "kernel": 3, "padding": 1}, {"type": "relu"},
            {"type": "max_pool2d", "kernel": 2},
            {"type": "conv2d", "channels": 8, "kernel": 3, "stride": 2, "padding": 1, "groups": 2},
            {"type": "relu"}, {"type": "flatten"}, {"type": "linear", "features": 3}]}"#,
    ),
    (
        "few pixels",
        r#"{"input": [3, 6, 6], "classes": 3, "layers": [
            {"type": "conv2d", "channels": 4, "kernel": 3}, {"type": "relu"},
            {"type": "conv2d", "channels": 10, "kernel": 3}, {"type": "relu"},
            {"type": "conv2d", "channels": 12, "kernel": 2, "groups": 2}, {"type": "tanh"},
            {"type": "flatten"}, {"type": "linear", "features": 3}]}"#,
    ),
    (
        "large weights",
        r#"{"input": [48, 5, 5], "classes": 3, "layers": [
            {"type": "conv2d", "channels": 40, "kernel": 3}, {"type": "tanh"},
            {"type": "conv2d", "channels": 256, "kernel": 2, "groups": 2},
            {"type": "tanh"}, {"type": "flatten"}, {"type": "linear", "features": 3}]}"#,
    ),
    (
        "norms",
        r#"{"input": [2, 5, 5], "classes": 3, "layers": [
            {"type": "conv2d", "channels": 6, "kernel": 2}, {"type": "group_norm", "groups": 3},
            {"type": "relu"}, {"type": "layer_norm"}, {"type": "tanh"}, {"type": "flatten"},
            {"type": "linear", "features": 8}, {"type": "layer_norm"}, {"type": "relu"},
            {"type": "group_norm", "groups": 2}, {"type": "linear", "features": 3}]}"#,
    ),
];

/// A network with its weights, and a batch.
struct Subject {
    spec: ModelSpec,
    params: Params,
    x: Tensor,
    y: Tensor,
}

impl Subject {
    fn new(json: &str, device: &Device, dtype: DType) -> Result<Self, Box<dyn std::error::Error>> {
        let spec: ModelSpec = serde_json::from_str(json)?;
        spec.check()?;
        let params = init_params(&spec, device, dtype, &Rng::new(3))?;
        let mut rng = Rng::new(8);
        let shape: Vec<usize> =
            std::iter::once(SAMPLES).chain(spec.input.iter().copied()).collect();
        let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
        let x = Tensor::from_f64(device, dtype, &values, &shape)?;
        let labels: Vec<i64> = (0..SAMPLES as i64).map(|i| i % spec.classes as i64).collect();
        let y = Tensor::from_slice(device, &labels, &[SAMPLES])?;
        Ok(Subject { spec, params, x, y })
    }

    /// Losses `[N]` of some samples.
    fn losses(&self, params: &Params, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        Ok(cross_entropy(&forward(&self.spec, params, x, &mut Mode::Eval)?, y))
    }

    /// Of every sample: the gradient in each parameter, by its definition.
    fn one_by_one(
        &self,
        losses: impl Fn(&Params, &Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Vec<Vec<Vec<f64>>>> {
        (0..SAMPLES)
            .map(|i| {
                let params = self.params.tracked();
                let loss = losses(&params, &self.x.narrow(0, i, 1), &self.y.narrow(0, i, 1))?;
                let grads = grad(&loss.sum_all(), &params.values())?;
                grads.iter().map(Tensor::to_f64_vec).collect()
            })
            .collect()
    }
}

fn squared(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum()
}

/// Norms and weighted sums of `each` are those of `want`.
fn agree(name: &str, each: &PerSample, want: &[Vec<Vec<f64>>], device: &Device) -> Outcome {
    let norms = each.squared_norms()?;
    let weights = [0.5, 0.0, -1.0, 2.0, 1.0];
    let dtype = norms.first().ok_or("no parameter")?.dtype();
    let sums = each.weighted_sum(&Tensor::from_f64(device, dtype, &weights, &[SAMPLES])?)?;
    for (p, (norms, sum)) in norms.iter().zip(&sums).enumerate() {
        let expected: Vec<f64> = want.iter().map(|sample| squared(&sample[p])).collect();
        let off = deviation(&norms.to_f64_vec()?, &expected);
        ensure(off <= TOLERANCE, || format!("{name}, parameter {p}: norms {off:e} off"))?;
        let mut expected = vec![0.0; want[0][p].len()];
        for (sample, weight) in want.iter().zip(weights) {
            expected.iter_mut().zip(&sample[p]).for_each(|(e, g)| *e += weight * g);
        }
        let off = deviation(&sum.to_f64_vec()?, &expected);
        ensure(off <= TOLERANCE, || format!("{name}, parameter {p}: sum {off:e} off"))?;
    }
    Ok(())
}

fn by_definition(device: &Device) -> Outcome {
    for dtype in [DType::F32, DType::F64] {
        for (name, json) in NETWORKS {
            let subject = Subject::new(json, device, dtype).map_err(|e| e.to_string())?;
            let params = subject.params.tracked();
            let losses = subject.losses(&params, &subject.x, &subject.y)?;
            let each = PerSample::of(&losses, &params.values())?;
            let want = subject.one_by_one(|p, x, y| subject.losses(p, x, y))?;
            agree(name, &each, &want, device)?;
        }
    }
    Ok(())
}

/// As under TRADES: the gradient of a sample is the sum over its clean and its perturbed pass.
fn two_passes(device: &Device) -> Outcome {
    for (name, json) in NETWORKS {
        let subject = Subject::new(json, device, DType::F64).map_err(|e| e.to_string())?;
        let losses = |params: &Params, x: &Tensor, y: &Tensor| -> Result<Tensor> {
            let moved = subject.losses(params, &(x * 0.5 + 0.25), y)?;
            Ok(subject.losses(params, x, y)? + moved * 3.0)
        };
        let params = subject.params.tracked();
        let each = PerSample::of(&losses(&params, &subject.x, &subject.y)?, &params.values())?;
        agree(name, &each, &subject.one_by_one(losses)?, device)?;
    }
    Ok(())
}

fn bounded(device: &Device) -> Outcome {
    let subject = Subject::new(NETWORKS[1].1, device, DType::F64).map_err(|e| e.to_string())?;
    let params = subject.params.tracked();
    let losses = subject.losses(&params, &subject.x, &subject.y)?;
    let each = PerSample::of(&losses, &params.values())?;
    let want = subject.one_by_one(|p, x, y| subject.losses(p, x, y))?;
    let bound = 0.3;
    let sums = each.clipped_sum(bound)?;
    for (p, sum) in sums.iter().enumerate() {
        let mut expected = vec![0.0; want[0][p].len()];
        for sample in &want {
            let norm = sample.iter().map(|g| squared(g)).sum::<f64>().sqrt();
            let factor = (bound / norm).min(1.0);
            expected.iter_mut().zip(&sample[p]).for_each(|(e, g)| *e += factor * g);
        }
        let off = deviation(&sum.to_f64_vec()?, &expected);
        ensure(off <= 1e-9, || format!("parameter {p}: {off:e} off"))?;
    }
    // The loop above shows equality; this shows that the bound was at work at all.
    let clipped = each.squared_norms()?.into_iter().reduce(|a, b| a + b).ok_or("no parameter")?;
    let factors = clip::factors(&clipped, bound)?.to_f64_vec()?;
    ensure(factors.iter().any(|f| *f < 1.0), || format!("nothing was clipped: {factors:?}"))
}

/// Gram norms are sums of terms that cancel: rounding can carry that of a short gradient below 0.
fn below_zero(device: &Device) -> Outcome {
    for dtype in [DType::F32, DType::F64] {
        let squares = Tensor::from_f64(device, dtype, &[-1e-9, -1e-30, 0.0, 4.0], &[4])?;
        let flat = clip::factors(&squares, 0.5)?.to_f64_vec()?;
        ensure(flat == [1.0, 1.0, 1.0, 0.25], || format!("{dtype:?}: {flat:?}"))?;
        let automatic = clip::automatic_factors(&squares, 1.0, 0.5)?.to_f64_vec()?;
        let off = deviation(&automatic, &[2.0, 2.0, 2.0, 0.4]);
        ensure(off <= 1e-6, || format!("{dtype:?}: {automatic:?}"))?;
    }
    Ok(())
}

/// Whatever the portions, their sums are those of the batch: layers are summed at once or kept, and
/// the dense network has one of each.
fn portions(device: &Device) -> Outcome {
    for (name, json) in NETWORKS {
        let subject = Subject::new(json, device, DType::F64).map_err(|e| e.to_string())?;
        let params = subject.params.tracked();
        let each = |at: usize, size: usize| -> Result<PerSample> {
            let [x, y] = [&subject.x, &subject.y].map(|t| t.narrow(0, at, size));
            PerSample::of(&subject.losses(&params, &x, &y)?, &params.values())
        };
        // Other factors in each parameter, as when layers are clipped by themselves.
        let factors = |at: usize, size: usize| -> Result<Vec<Tensor>> {
            let of = |param: usize| -> Result<Tensor> {
                let values = (at..at + size).map(|i| 0.3 * i as f64 - 0.2 * param as f64);
                Tensor::from_f64(device, DType::F64, &values.collect::<Vec<_>>(), &[size])
            };
            (0..params.len()).map(of).collect()
        };
        let whole = each(0, SAMPLES)?.weighted_sums(&factors(0, SAMPLES)?)?;
        for sizes in [&[SAMPLES][..], &[2, 3], &[1, 1, 1, 1, 1], &[4, 0, 1]] {
            // Gradients that are made, of all samples at once and of one at a time.
            for made_bytes in [usize::MAX, 1] {
                let (mut contributions, mut at) = (Contributions::within(made_bytes), 0);
                for &size in sizes {
                    let of_portion = each(at, size)?;
                    let (norms, mut done) = (of_portion.squared_norms()?, 0);
                    contributions.add(&of_portion, |some| {
                        let count = some[0].dim(0);
                        for (some, all) in some.iter().zip(&norms) {
                            let want = all.narrow(0, done, count).to_f64_vec()?;
                            assert!(deviation(&some.to_f64_vec()?, &want) <= 1e-12, "{name}");
                        }
                        done += count;
                        factors(at + done - count, count)
                    })?;
                    ensure(done == size, || format!("{name}, {sizes:?}: {done} of {size}"))?;
                    at += size;
                }
                ensure(contributions.samples() == SAMPLES, || format!("{name}, {sizes:?}"))?;
                let sums = contributions.sums()?;
                ensure(sums.len() == whole.len(), || format!("{name}: {} sums", sums.len()))?;
                for (p, (sum, want)) in sums.iter().zip(&whole).enumerate() {
                    ensure(sum.shape() == want.shape(), || format!("{name}: {}", sum.shape()))?;
                    let off = deviation(&sum.to_f64_vec()?, &want.to_f64_vec()?);
                    ensure(off <= 1e-12, || format!("{name}, {sizes:?}, {p}: {off:e} off"))?;
                }
            }
        }
        let few = factors(0, SAMPLES)?.split_off(1);
        let err = Contributions::default().add(&each(0, SAMPLES)?, |_| Ok(few.clone())).err();
        ensure(err.is_some(), || format!("{name}: a factor was missing"))?;
    }
    ensure(Contributions::default().sums()?.is_empty(), || "sums of nothing".into())?;
    // Two MiB of each sample: 32 at a time, or fewer, where that makes portions of one size.
    ensure(capacity(1 << 21) == 32 && capacity(usize::MAX) == 1, || "capacity".into())?;
    for (samples, capacity, want) in [(32, 32, 32), (33, 32, 17), (100, 32, 25), (0, 32, 1)] {
        let got = portion(samples, capacity);
        ensure(got == want, || format!("{samples} by {capacity}: {got}"))?;
    }
    Ok(())
}

/// Every part of every sample has mean 0 and variance 1, then scale and shift.
fn norms(device: &Device) -> Outcome {
    let json = r#"{"input": [4, 3], "classes": 12, "layers": [
        {"type": "group_norm", "groups": 2, "eps": 0.01}, {"type": "layer_norm"},
        {"type": "flatten"}]}"#;
    let subject = Subject::new(json, device, DType::F64).map_err(|e| e.to_string())?;
    let drawn = |seed: u64, p: &Tensor| -> Result<Tensor> {
        let mut rng = Rng::new(seed);
        let values: Vec<f64> = (0..p.shape().numel()).map(|_| rng.normal()).collect();
        Tensor::from_f64(device, DType::F64, &values, &p.shape())
    };
    let values = subject.params.values();
    let params = values.iter().zip(1..).map(|(p, seed)| drawn(seed, p));
    let params = subject.params.with_values(params.collect::<Result<_>>()?)?;
    let [scale, shift, scales, shifts] = &params.values()[..] else {
        return Err(format!("{} parameters", params.len()).into());
    };
    let [scale, shift] = [scale.to_f64_vec()?, shift.to_f64_vec()?];
    let [scales, shifts] = [scales.to_f64_vec()?, shifts.to_f64_vec()?];
    let standard = |part: &[f64], eps: f64| -> Vec<f64> {
        let n = part.len() as f64;
        let mean = part.iter().sum::<f64>() / n;
        let variance = part.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        part.iter().map(|v| (v - mean) / (variance + eps).sqrt()).collect()
    };
    let mut expected = Vec::new();
    for sample in subject.x.to_f64_vec()?.chunks(12) {
        // Two groups of two channels of three values.
        let grouped: Vec<f64> = sample.chunks(6).flat_map(|part| standard(part, 0.01)).collect();
        let by_channel = |(i, v): (usize, &f64)| v * scale[i / 3] + shift[i / 3];
        let between: Vec<f64> = grouped.iter().enumerate().map(by_channel).collect();
        let by_place = |(i, v): (usize, f64)| v * scales[i] + shifts[i];
        expected.extend(standard(&between, 1e-5).into_iter().enumerate().map(by_place));
    }
    let got = forward(&subject.spec, &params, &subject.x, &mut Mode::Eval)?.to_f64_vec()?;
    let off = deviation(&got, &expected);
    ensure(off <= 1e-12, || format!("{off:e} off"))
}

/// Without noise the mean is the clipped sum over the expected batch; with noise it differs from
/// that by draws of standard deviation sigma C / B.
fn mechanism(device: &Device) -> Outcome {
    let subject = Subject::new(NETWORKS[1].1, device, DType::F64).map_err(|e| e.to_string())?;
    let params = subject.params.tracked();
    let losses = subject.losses(&params, &subject.x, &subject.y)?;
    let each = PerSample::of(&losses, &params.values())?;
    let quiet = Mechanism { bound: 0.3, noise_multiplier: 0.0, expected_batch: 4.0 };
    let flat = |mechanism: Mechanism| -> Result<Vec<f64>> {
        let parts = mechanism.mean(&each, &Rng::new(6))?;
        Ok(parts.iter().map(Tensor::to_f64_vec).collect::<Result<Vec<_>>>()?.concat())
    };
    let sums = each.clipped_sum(quiet.bound)?;
    let sums = sums.iter().map(Tensor::to_f64_vec).collect::<Result<Vec<_>>>()?.concat();
    let want: Vec<f64> = sums.iter().map(|v| v / 4.0).collect();
    let plain = flat(quiet)?;
    let off = deviation(&plain, &want);
    ensure(off <= 1e-12, || format!("without noise: {off:e} off"))?;
    let noisy = flat(Mechanism { noise_multiplier: 2.0, ..quiet })?;
    let draws: Vec<f64> = noisy.iter().zip(&plain).map(|(a, b)| a - b).collect();
    let std = (squared(&draws) / draws.len() as f64).sqrt();
    let (expected, n) = (2.0 * 0.3 / 4.0, draws.len() as f64);
    // The standard error of a standard deviation of n normal draws is std / sqrt(2 n).
    ensure((std - expected).abs() <= 5.0 * expected / (2.0 * n).sqrt(), || {
        format!("{std} over {n} draws for {expected}")
    })?;
    means(device, &each, &quiet)?;
    in_place(device)?;
    let bad = Mechanism { bound: f64::NAN, ..quiet };
    let line = bad.mean(&each, &Rng::new(6)).err().ok_or("a bound of NaN was taken")?.to_string();
    ensure(line.contains("bound = NaN"), || line.clone())
}

/// A release of means is one of sums, to the rounding of its divisions.
fn means(device: &Device, each: &PerSample, quiet: &Mechanism) -> Outcome {
    let loud = Mechanism { noise_multiplier: 2.0, ..*quiet };
    let secret = Secret::seeded(&Rng::new(7));
    let shares = Tensor::full(device, DType::F64, &[SAMPLES], 0.3);
    let of = |scale: f64| each.weighted_sum(&(&shares * scale));
    let sums = loud.release(of(1.0)?, &secret)?;
    let means = loud.release_mean(of(0.25)?, &secret)?;
    let (mut found, mut want) = (Vec::new(), Vec::new());
    for (mean, sum) in means.iter().zip(&sums) {
        found.extend(mean.to_f64_vec()?);
        want.extend(sum.to_f64_vec()?);
    }
    let off = deviation(&found, &want);
    ensure(off <= 1e-12 && !found.is_empty(), || format!("means: {off:e} off"))
}

/// Noise that is added where a sum lies is the noise that would be uploaded and added, and leaves alone what
/// somebody else holds.
fn in_place(device: &Device) -> Outcome {
    let (n, std, secret) = (100_000, 2.5, Secret::seeded(&Rng::new(8)));
    let values: Vec<f64> = (0..n).map(|i| f64::from(i) / 7.0).collect();
    for dtype in [DType::F32, DType::F64] {
        let sum = || Tensor::from_f64(device, dtype, &values, &[values.len()]);
        let noise = noise::private(device, sum()?.aval(), std, &secret)?;
        let want = (sum()? + noise).to_f64_vec()?;
        let held = sum()?;
        let kept = noise::add_private(held.clone(), std, &secret)?.to_f64_vec()?;
        let own = noise::add_private(sum()?, std, &secret)?.to_f64_vec()?;
        ensure(own == want && kept == want, || format!("{dtype}: other noise"))?;
        ensure(held.to_f64_vec()? == sum()?.to_f64_vec()?, || format!("{dtype}: held, moved"))?;
    }
    let whole = Tensor::from_slice(device, &[1_i64], &[1])?;
    let refused = noise::add_private(whole, std, &secret).is_err();
    ensure(refused, || "integers took noise".into())
}

fn empty(device: &Device) -> Outcome {
    for (name, json) in NETWORKS {
        let subject = Subject::new(json, device, DType::F32).map_err(|e| e.to_string())?;
        let params = subject.params.tracked();
        let none = |t: &Tensor| t.narrow(0, 0, 0);
        let losses = subject.losses(&params, &none(&subject.x), &none(&subject.y))?;
        let each = PerSample::of(&losses, &params.values())?;
        for (sum, param) in each.clipped_sum(1.0)?.iter().zip(params.values()) {
            ensure(sum.shape() == param.shape(), || format!("{name}: {}", sum.shape()))?;
            let values = sum.to_f64_vec()?;
            ensure(values.iter().all(|v| *v == 0.0), || format!("{name}: not zero"))?;
        }
    }
    Ok(())
}

fn unused(device: &Device) -> Outcome {
    let subject = Subject::new(NETWORKS[0].1, device, DType::F32).map_err(|e| e.to_string())?;
    let params = subject.params.tracked();
    let other = Tensor::zeros(device, DType::F32, &[2, 3]).tracked();
    let losses = subject.losses(&params, &subject.x, &subject.y)?;
    let each = PerSample::of(&losses, &[&other])?;
    let norms = each.squared_norms()?[0].to_f64_vec()?;
    ensure(norms == [0.0; SAMPLES], || format!("norms {norms:?}"))?;
    let sum = each.clipped_sum(1.0)?.swap_remove(0);
    ensure(sum.shape()[..] == [2, 3], || format!("sum {}", sum.shape()))
}

fn other_uses(device: &Device) -> Outcome {
    let subject = Subject::new(NETWORKS[0].1, device, DType::F32).map_err(|e| e.to_string())?;
    let params = subject.params.tracked();
    let losses = subject.losses(&params, &subject.x, &subject.y)?;
    // Weight decay written into the loss: every sample's loss then has all of the penalty.
    let penalty = params.values()[0].square().sum_all();
    let err = PerSample::of(&(losses + penalty), &params.values()).err();
    let Some(err) = err else { return Err("a penalty on the weights was accepted".into()) };
    ensure(err.kind() == ErrorKind::Unsupported, || format!("{err}"))?;
    let line = err.to_string();
    ensure(line.contains("per-sample gradients"), || line.clone())
}
