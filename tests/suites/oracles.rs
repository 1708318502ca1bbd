//! Answers of other systems to fixed questions: the golden vectors that README.md of their folder
//! describes, with the tolerances it states.

#[path = "oracles/published.rs"]
mod published;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use inocula_core::attack::{Attack, AttackConfig, Draws, Fgsm, Goal, Keep, Norm, Pgd, perturb};
use inocula_core::dp::ghost::PerSample;
use inocula_core::grad::grad;
use inocula_core::loss::cross_entropy;
use inocula_core::model::{Classifier, Network};
use inocula_core::nn::{Preset, load_params};
use inocula_core::privacy::prior::total_variation;
use inocula_core::privacy::reconstruction::matching::{Distance, Target, gradients};
use inocula_core::rng::Rng;
use inocula_core::{DType, Device, Tensor};
use inocula_tests::files;
use inocula_tests::harness::{Case, Outcome, ensure, run};
use inocula_tests::rows::REFERENCE;
use inocula_tests::tolerance::deviation;
use libtest_mimic::Failed;
use ndarray::ArrayD;
use ndarray_npy::NpzReader;

/// What is tested of a device with the files of a folder.
type FileCheck = fn(&Device, &Path) -> Outcome;

fn main() -> ExitCode {
    let needs: [(&str, FileCheck); 9] = [
        ("oracles::forward", forward),
        ("oracles::fgsm_linf", fgsm_linf),
        ("oracles::fgm_l2", fgm_l2),
        ("oracles::pgd_linf", pgd_linf),
        ("oracles::pgd_linf_targeted", pgd_linf_targeted),
        ("oracles::pgd_l2", pgd_l2),
        ("oracles::pgd_l1", pgd_l1),
        ("oracles::per_sample_norms", per_sample_norms),
        ("oracles::gradient_matching", gradient_matching),
    ];
    let mut cases: Vec<Case> = needs
        .into_iter()
        .map(|(name, check)| Case::new(name, move |device| with_folder(device, check)))
        .collect();
    let published: [(&str, FileCheck); 4] = [
        ("published_models::counts", published::counts),
        ("published_models::pgd_on_trades", published::pgd),
        ("published_models::pgd_on_wong_and_kolter", published::pgd_of_all),
        ("published_models::autoattack_on_trades", published::autoattack),
    ];
    for (name, check) in published {
        cases.push(Case::new(name, move |device| with_folder(device, check)));
    }
    run(cases)
}

/// Runs a check on the folder of the vectors, or tells why it is skipped.
fn with_folder(device: &Device, check: FileCheck) -> Outcome {
    match files::oracles() {
        Ok(folder) => check(device, &folder),
        Err(why) => files::skip(&why),
    }
}

/// The arrays of one file.
struct Vectors {
    floats: BTreeMap<String, ArrayD<f32>>,
    labels: BTreeMap<String, ArrayD<i64>>,
}

impl Vectors {
    fn read(folder: &Path, name: &str) -> Result<Self, Failed> {
        let mut npz = NpzReader::new(File::open(folder.join(format!("{name}.npz")))?)?;
        let (mut floats, mut labels) = (BTreeMap::new(), BTreeMap::new());
        for key in npz.names()? {
            let plain = key.trim_end_matches(".npy").to_owned();
            match npz.by_name::<ndarray::OwnedRepr<f32>, ndarray::IxDyn>(&key) {
                Ok(array) => drop(floats.insert(plain, array)),
                Err(_) => drop(labels.insert(plain, npz.by_name(&key)?)),
            }
        }
        Ok(Vectors { floats, labels })
    }

    fn tensor(&self, device: &Device, key: &str) -> Result<Tensor, Failed> {
        if let Some(a) = self.floats.get(key) {
            let values: Vec<f32> = a.iter().copied().collect();
            return Ok(Tensor::from_slice(device, &values, a.shape())?);
        }
        let a = self.labels.get(key).ok_or_else(|| format!("no array {key}"))?;
        let values: Vec<i64> = a.iter().copied().collect();
        Ok(Tensor::from_slice(device, &values, a.shape())?)
    }

    fn values(&self, key: &str) -> Result<Vec<f64>, Failed> {
        let a = self.floats.get(key).ok_or_else(|| format!("no array {key}"))?;
        Ok(a.iter().map(|&v| f64::from(v)).collect())
    }
}

/// The classifier under test.
fn classifier(device: &Device, folder: &Path, dtype: DType) -> Result<Network, Failed> {
    let spec = Preset::find("small-cnn")?.spec(&[1, 28, 28], 10, [0.0, 1.0])?;
    let params = load_params(&folder.join("cnn.safetensors"), &spec, device, dtype)?;
    Ok(Network::new(spec, params, device)?)
}

fn forward(device: &Device, folder: &Path) -> Outcome {
    let v = Vectors::read(folder, "forward")?;
    for dtype in [DType::F32, DType::F64] {
        let model = classifier(device, folder, dtype)?;
        let (x, y) = (v.tensor(device, "x")?.cast(dtype).tracked(), v.tensor(device, "y")?);
        let logits = model.logits(&x)?;
        let loss = cross_entropy(&logits, &y);
        let g = grad(&loss, &[&x])?.swap_remove(0);
        for (key, got) in [("logits", &logits), ("loss", &loss), ("input_grad", &g)] {
            let (got, want) = (got.to_f64_vec()?, v.values(key)?);
            let off = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            ensure(got.len() == want.len() && off <= 1e-4, || format!("{key} {dtype}: {off:e}"))?;
        }
    }
    Ok(())
}

/// Runs an attack on the images of `v`.
fn attack(
    device: &Device,
    folder: &Path,
    v: &Vectors,
    config: &dyn Attack,
    goal: Goal,
) -> Result<(Vec<f64>, Vec<bool>), Failed> {
    attack_in(DType::F32, device, folder, v, config, goal)
}

fn attack_in(
    dtype: DType,
    device: &Device,
    folder: &Path,
    v: &Vectors,
    config: &dyn Attack,
    goal: Goal,
) -> Result<(Vec<f64>, Vec<bool>), Failed> {
    let model = classifier(device, folder, dtype)?;
    let x = v.tensor(device, "x")?.cast(dtype);
    let draws = Draws::new(Rng::new(1), (0..x.dim(0) as u64).collect());
    let outcome = perturb(config, &model, &x, &goal, &draws)?;
    Ok((outcome.adversarial.to_f64_vec()?, outcome.success))
}

fn untargeted(device: &Device, v: &Vectors) -> Result<Goal, Failed> {
    Ok(Goal::Untargeted(v.tensor(device, "y")?))
}

/// The share of values that are within 1e-4 of the vector `key`.
fn share_equal(got: &[f64], v: &Vectors, key: &str) -> Result<f64, Failed> {
    let want = v.values(key)?;
    let equal = got.iter().zip(&want).filter(|(a, b)| (*a - *b).abs() <= 1e-4).count();
    Ok(equal as f64 / want.len() as f64)
}

/// Which images of the vector `key` reach the goal on the classifier.
fn reached(
    device: &Device,
    folder: &Path,
    v: &Vectors,
    key: &str,
    goal: &Goal,
) -> Result<Vec<bool>, Failed> {
    let model = classifier(device, folder, DType::F32)?;
    let logits = model.logits(&v.tensor(device, key)?)?;
    Ok(goal.reached(&logits).to_vec::<i64>()?.into_iter().map(|r| r == 1).collect())
}

fn fgsm_linf(device: &Device, folder: &Path) -> Outcome {
    let (v, f) = (Vectors::read(folder, "fgsm_linf_eps0.1")?, Vectors::read(folder, "forward")?);
    let goal = untargeted(device, &v)?;
    let config = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, 0.1)).check()?;
    let (got, success) = attack(device, folder, &v, &*config, goal.clone())?;
    let fooled = reached(device, folder, &v, "torchattacks", &goal)?;
    ensure(success == fooled, || "another set of images was fooled".into())?;
    let already = already_wrong(device, folder, &v, &goal)?;
    let gradient = f.values("input_grad")?;
    let each = gradient.len() / success.len();
    for key in ["torchattacks", "foolbox", "art"] {
        let want = v.values(key)?;
        for i in (0..want.len()).filter(|i| gradient[*i].abs() > 1e-6 && !already[i / each]) {
            ensure((got[i] - want[i]).abs() <= 1e-6, || {
                format!("{key}: value {i} is {} for {}", got[i], want[i])
            })?;
        }
    }
    Ok(())
}

/// Images that are misclassified to begin with: they are left as they are here, while the other
/// tools perturb them too.
fn already_wrong(
    device: &Device,
    folder: &Path,
    v: &Vectors,
    goal: &Goal,
) -> Result<Vec<bool>, Failed> {
    reached(device, folder, v, "x", goal)
}

fn fgm_l2(device: &Device, folder: &Path) -> Outcome {
    let v = Vectors::read(folder, "fgm_l2_eps1")?;
    let goal = untargeted(device, &v)?;
    let config = AttackConfig::Fgsm(Fgsm::new(Norm::L2, 1.0)).check()?;
    let (got, _) = attack(device, folder, &v, &*config, goal.clone())?;
    let already = already_wrong(device, folder, &v, &goal)?;
    for key in ["foolbox", "art"] {
        let want = v.values(key)?;
        let each = want.len() / already.len();
        let pairs = got.iter().zip(&want).enumerate().filter(|(i, _)| !already[i / each]);
        let off = pairs.map(|(_, (a, b))| (a - b).abs()).fold(0.0, f64::max);
        ensure(off <= 1e-4, || format!("{key}: {off:e}"))?;
    }
    Ok(())
}

/// Whether a device followed the path of the vector. Forty steps along signs have one path only up to
/// rounding: in f64, 96 to 98 % of the values come out the same as the tools', which compute in f32. A
/// backend that adds in another order than the tools must therefore come closer than exact arithmetic
/// does, and fool the same images; the CPU backend and libtorch follow them to 99.9 %.
fn followed(
    device: &Device,
    folder: &Path,
    v: &Vectors,
    config: &Pgd,
    goal: Goal,
    key: &str,
    share: f64,
) -> Outcome {
    if share >= 0.999 {
        return Ok(());
    }
    let equal = || format!("{key}: {share} of the values are equal");
    ensure(!["ndarray", "tch"].contains(&device.info().backend.as_str()), equal)?;
    let classic = AttackConfig::Pgd(config.clone()).check()?;
    let goal = match goal {
        Goal::Untargeted(y) => Goal::Untargeted(y.to_device(&REFERENCE)?),
        Goal::Targeted(y) => Goal::Targeted(y.to_device(&REFERENCE)?),
    };
    let (exact, _) = attack_in(DType::F64, &REFERENCE, folder, v, &*classic, goal)?;
    let exact = share_equal(&exact, v, key)?;
    ensure(share > exact, || format!("{}, in f64 {exact}", equal()))
}

/// The last iterate equals the vector's; the best iterate fools at least as many.
fn iterated(
    device: &Device,
    folder: &Path,
    v: &Vectors,
    config: &Pgd,
    goal: &Goal,
    key: &str,
) -> Result<(f64, Vec<bool>), Failed> {
    let classic = AttackConfig::Pgd(config.clone()).check()?;
    let (mut got, success) = attack(device, folder, v, &*classic, goal.clone())?;
    let already = already_wrong(device, folder, v, goal)?;
    let want = v.values(key)?;
    let each = want.len() / already.len();
    for i in (0..want.len()).filter(|i| already[i / each]) {
        got[i] = want[i];
    }
    let best = AttackConfig::Pgd(Pgd { keep: Keep::Best, ..config.clone() }).check()?;
    let (_, stronger) = attack(device, folder, v, &*best, goal.clone())?;
    let lost = success.iter().zip(&stronger).filter(|(last, best)| **last && !**best).count();
    ensure(lost == 0, || format!("keeping the best iterate lost {lost} images"))?;
    Ok((share_equal(&got, v, key)?, success))
}

fn pgd_linf(device: &Device, folder: &Path) -> Outcome {
    let v = Vectors::read(folder, "pgd_linf_eps0.1_step0.01_40")?;
    let goal = untargeted(device, &v)?;
    for key in ["torchattacks", "foolbox", "art"] {
        let config = Pgd::classic(Norm::Linf, 0.1, 0.01, 40);
        let (share, success) = iterated(device, folder, &v, &config, &goal, key)?;
        followed(device, folder, &v, &config, goal.clone(), key, share)?;
        ensure(success == reached(device, folder, &v, key, &goal)?, || "fooled set".into())?;
    }
    Ok(())
}

fn pgd_linf_targeted(device: &Device, folder: &Path) -> Outcome {
    let v = Vectors::read(folder, "pgd_linf_targeted_eps0.15_step0.01_40")?;
    let goal = Goal::Targeted(v.tensor(device, "target")?);
    let config = Pgd::classic(Norm::Linf, 0.15, 0.01, 40);
    let (share, success) = iterated(device, folder, &v, &config, &goal, "art")?;
    followed(device, folder, &v, &config, goal.clone(), "art", share)?;
    ensure(success == reached(device, folder, &v, "art", &goal)?, || "fooled set".into())
}

fn robust_accuracy(success: &[bool]) -> f64 {
    success.iter().filter(|s| !**s).count() as f64 / success.len() as f64
}

fn pgd_l2(device: &Device, folder: &Path) -> Outcome {
    let v = Vectors::read(folder, "pgd_l2_eps1.5_step0.1_40")?;
    let goal = untargeted(device, &v)?;
    let config = Pgd::classic(Norm::L2, 1.5, 0.1, 40);
    let (_, success) = iterated(device, folder, &v, &config, &goal, "torchattacks")?;
    let accuracy = robust_accuracy(&success);
    ensure((accuracy - 0.344).abs() <= 5e-4, || format!("robust accuracy {accuracy}"))
}

fn pgd_l1(device: &Device, folder: &Path) -> Outcome {
    let v = Vectors::read(folder, "pgd_l1_eps10_step1_40")?;
    let goal = untargeted(device, &v)?;
    let dense = AttackConfig::Pgd(Pgd::classic(Norm::L1, 10.0, 1.0, 40)).check()?;
    let (_, success) = attack(device, folder, &v, &*dense, goal.clone())?;
    let dense = robust_accuracy(&success);
    ensure(dense <= 0.8125, || format!("dense steps: robust accuracy {dense}"))?;
    let sparse = Pgd { random_start: false, step: Some(1.0), ..Pgd::new(Norm::L1, 10.0) };
    let (_, success) = attack(device, folder, &v, &*AttackConfig::Pgd(sparse).check()?, goal)?;
    let sparse = robust_accuracy(&success);
    ensure(sparse < dense, || format!("sparse steps leave {sparse}, dense ones {dense}"))
}

/// Per-sample gradients by batches of one, which is their definition.
///
/// The vectors hold 64 times these: Opacus multiplies by the batch size to undo a mean, and the loss
/// was a sum. That it is exactly 64 follows from the logits alone, through the gradient of the last
/// bias, `softmax - onehot`.
fn per_sample_norms(device: &Device, folder: &Path) -> Outcome {
    let v = Vectors::read(folder, "per_sample_grad")?;
    let model = classifier(device, folder, DType::F32)?;
    let (x, y) = (v.tensor(device, "x")?, v.tensor(device, "y")?);
    let want = v.values("norm")?;
    let mut got = Vec::new();
    for i in 0..want.len() {
        let params = model.params().tracked();
        let mut eval = inocula_core::nn::Mode::Eval;
        let logits = model.forward(&params, &x.narrow(0, i, 1), &mut eval)?;
        let loss = cross_entropy(&logits, &y.narrow(0, i, 1));
        let grads = params.with_values(grad(&loss, &params.values())?)?;
        got.push(grads.norm()?);
    }
    let near = |how: &str, got: &[f64]| {
        got.iter().zip(&want).enumerate().try_for_each(|(i, (got, want))| {
            let got = got * 64.0;
            let off = (got - want).abs() / want;
            ensure(off <= 1e-4, || format!("{how}, sample {i}: norm {got} for {want}"))
        })
    };
    near("batches of one", &got)?;
    let params = model.params().tracked();
    let logits = model.forward(&params, &x, &mut inocula_core::nn::Mode::Eval)?;
    let each = PerSample::of(&cross_entropy(&logits, &y), &params.values())?;
    let norms = each.squared_norms()?.into_iter().reduce(|a, b| a + b).ok_or("no parameter")?;
    near("one backward pass", &norms.sqrt().to_f64_vec()?)
}

/// Gradients of a function of gradients: second order through the whole network.
fn gradient_matching(device: &Device, folder: &Path) -> Outcome {
    let v = Vectors::read(folder, "gradient_matching")?;
    for dtype in [DType::F32, DType::F64] {
        let model = classifier(device, folder, dtype)?;
        let y = v.tensor(device, "y")?;
        let (params, target) = (model.params().tracked(), Target::Classes(y));
        let of = |x: &Tensor, further| gradients(&model, &params, x, &target, further);
        let seen = of(&v.tensor(device, "x")?.cast(dtype), false)?;
        let dummy = v.tensor(device, "dummy")?.cast(dtype).tracked();
        let found = of(&dummy, true)?;
        let l2 = Distance::SquaredL2.between(&seen, &found)?;
        let cosine = Distance::Cosine.between(&seen, &found)?;
        let objective = cosine + total_variation(&dummy).mean_all() * 0.01;
        let rows = [("cosine_tv", objective), ("l2", l2)];
        for (name, value) in rows {
            let g = grad(&value, &[&dummy])?.swap_remove(0).to_f64_vec()?;
            let want = v.values(&format!("{name}_grad"))?;
            let scale = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
            let off = g.iter().zip(&want).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max);
            ensure(off <= 1e-3, || format!("{name} gradient in {dtype}: {off:e}"))?;
            let off = deviation(&[value.item()?], &v.values(&format!("{name}_value"))?);
            ensure(off <= 1e-3, || format!("{name} value in {dtype}: {off:e}"))?;
        }
    }
    Ok(())
}
