//! White-box attacks, each held to what makes it that attack: answers of other tools on fixed images,
//! closed forms on linear models, counts on published networks.

#[path = "whitebox/autoattack.rs"]
mod autoattack;
#[path = "whitebox/every.rs"]
mod every;
#[path = "whitebox/traps.rs"]
mod traps;

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use inocula_core::attack::dlr::{dlr, dlr_targeted, next_classes, ranking};
use inocula_core::attack::{
    Apgd, ApgdLoss, AttackConfig, Cw, Ddn, DeepFool, Draws, Ead, Fab, Fgsm, Fmn, Goal, Jsma, Keep,
    MiFgsm, Norm, Outcome as Found, Pgd, perturb,
};
use inocula_core::data::{self, idx};
use inocula_core::grad::grad;
use inocula_core::model::{Classifier, Network};
use inocula_core::nn::{Params, Preset, init_params, load_params};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Rule, TrainConfig, fit};
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::files;
use inocula_tests::harness::{Case, Check, Outcome, ensure, run};
use libtest_mimic::Failed;
use ndarray::{Array1, Array4};
use ndarray_npy::NpzReader;

/// What is tested of a device with the images and the network of the golden vectors.
type Golden = fn(&Images) -> Outcome;

fn main() -> ExitCode {
    let golden: &[(&str, Golden)] = &[
        ("golden::deep_fool_l2", deep_fool_l2),
        ("golden::cw_l2", cw_l2),
        ("golden::mi_fgsm_linf", mi_fgsm),
        ("golden::minimal_attacks_in_l2", others_in_l2),
        ("golden::fab_and_fmn_are_no_farther_than_deep_fool", fab_fmn_linf),
        ("golden::sparse_attacks", sparse),
        ("golden::apgd_is_no_weaker_than_pgd", apgd_against_pgd),
    ];
    let cases: &[(&str, Check)] = &[
        ("apgd::dlr_by_hand", dlr_by_hand),
        ("apgd::any_number_of_classes", any_number_of_classes),
        ("minimal::linear_models_closed_form", closed_form),
        ("minimal::linear_models_in_a_box", closed_form_in_a_box),
        ("minimal::fewest_pixels_of_a_linear_model", fewest_pixels),
        ("cw::saturated_pixels_move", saturated),
        ("mi_fgsm::one_step_is_fgsm", one_step),
        ("mi_fgsm::every_form_fools", every_form),
        ("autoattack::fools_what_any_member_fools", autoattack::union),
        ("autoattack::every_norm", autoattack::norms),
        ("autoattack::no_certified_image_is_fooled", autoattack::certified),
        ("every::a_model_that_cannot_be_fooled", every::constant),
        ("every::results_do_not_depend_on_batches", every::batches),
        ("every::bad_requests", every::bad_requests),
        ("traps::starts_are_uniform", traps::starts),
        ("traps::budgets_are_in_pixels", traps::normalised),
        ("traps::models_are_in_evaluation_mode", traps::evaluation_mode),
        ("traps::examples_in_eight_bits", traps::eight_bits),
        ("autoattack::member_by_member", traps::stages),
        ("mi_fgsm::momentum_in_other_norms", traps::momentum),
        ("published::apgd_on_wong_and_kolter", wong),
    ];
    let golden = golden.iter().map(|&(name, check)| {
        Case::new(name, move |device| match files::oracles() {
            Ok(folder) => check(&Images::read(device, &folder)?),
            Err(why) => files::skip(&why),
        })
    });
    run(cases.iter().map(|&(name, check)| Case::new(name, check)).chain(golden).collect())
}

/// The network of the golden vectors, and the images of one of them.
struct Images {
    model: Network,
    x: Tensor,
    y: Tensor,
}

impl Images {
    /// All vectors have the same images; those of DeepFool stand for all.
    fn read(device: &Device, folder: &Path) -> Result<Self, Failed> {
        let mut npz = NpzReader::new(File::open(folder.join("deepfool_l2.npz"))?)?;
        let x: Array4<f32> = npz.by_name("x")?;
        let y: Array1<i64> = npz.by_name("y")?;
        let values: Vec<f32> = x.iter().copied().collect();
        let model = network(device, &folder.join("cnn.safetensors"), "small-cnn")?;
        Ok(Images {
            model,
            x: Tensor::from_slice(device, &values, x.shape())?,
            y: Tensor::from_slice(device, &y.to_vec(), &[y.len()])?,
        })
    }

    fn attack(&self, config: AttackConfig) -> Result<Found> {
        let goal = Goal::Untargeted(self.y.clone());
        attack(&self.model, &self.x, &goal, config)
    }

    /// Checks that every image is fooled, at a mean distance of at most `limit`.
    fn all_within(&self, config: AttackConfig, limit: f64) -> Outcome {
        let label = config.label();
        let outcome = self.attack(config)?;
        let held = outcome.held();
        ensure(held == 0, || format!("{label}: {held} images held"))?;
        let mean = outcome.distance.iter().sum::<f64>() / outcome.distance.len() as f64;
        ensure(mean <= limit, || format!("{label}: mean distance {mean}, at most {limit}"))
    }
}

fn network(device: &Device, weights: &Path, preset: &str) -> Result<Network, Failed> {
    let spec = Preset::find(preset)?.spec(&[1, 28, 28], 10, [0.0, 1.0])?;
    let params = load_params(weights, &spec, device, DType::F32)?;
    Ok(Network::new(spec, params, device)?)
}

fn attack(model: &dyn Classifier, x: &Tensor, goal: &Goal, config: AttackConfig) -> Result<Found> {
    let draws = Draws::new(Rng::new(1), (0..x.dim(0) as u64).collect());
    perturb(&*config.check()?, model, x, goal, &draws)
}

fn held(success: &[bool]) -> usize {
    success.iter().filter(|s| !**s).count()
}

fn deep_fool_l2(images: &Images) -> Outcome {
    images.all_within(AttackConfig::DeepFool(DeepFool::new(Norm::L2)), 1.513 * 1.01)
}

fn cw_l2(images: &Images) -> Outcome {
    let cw = Cw { searches: 6, steps: 300, weight: 0.01, ..Cw::new() };
    images.all_within(AttackConfig::Cw(cw), 1.407 * 1.01)
}

/// A hundred steps, to save time.
fn fmn(norm: Norm) -> Fmn {
    Fmn { steps: 100, ..Fmn::new(norm) }
}

/// What the attack of Carlini and Wagner needs is enough for the others.
fn others_in_l2(images: &Images) -> Outcome {
    for config in [
        AttackConfig::Ddn(Ddn { steps: 100, ..Ddn::new() }),
        AttackConfig::Fmn(fmn(Norm::L2)),
        AttackConfig::Fab(Fab { steps: 30, targets: 4, ..Fab::new(Norm::L2) }),
    ] {
        images.all_within(config, 1.407 * 1.01)?;
    }
    Ok(())
}

fn fab_fmn_linf(images: &Images) -> Outcome {
    let once = images.attack(AttackConfig::DeepFool(DeepFool::new(Norm::Linf)))?;
    let once = once.distance.iter().sum::<f64>() / once.distance.len() as f64;
    let fab = Fab { steps: 30, targets: 4, ..Fab::new(Norm::Linf) };
    images.all_within(AttackConfig::Fab(fab), once)?;
    images.all_within(AttackConfig::Fmn(fmn(Norm::Linf)), once)
}

/// Two ways to the smallest change in L1 come to sizes that differ by a tenth; the elastic net comes the
/// nearer to it the more the L1 norm weighs. The saliency map needs about the 4 % of pixels that its
/// authors report, and more than an attack that undoes changes.
fn sparse(images: &Images) -> Outcome {
    let mean = |config: AttackConfig| -> Result<f64, Failed> {
        let outcome = images.attack(config.clone())?;
        let left = held(&outcome.success);
        ensure(left == 0, || format!("{}: {left} images held", config.label()))?;
        Ok(outcome.distance.iter().sum::<f64>() / outcome.distance.len() as f64)
    };
    let fast = mean(AttackConfig::Fmn(fmn(Norm::L1)))?;
    let fab = mean(AttackConfig::Fab(Fab { steps: 30, targets: 4, ..Fab::new(Norm::L1) }))?;
    let all = || format!("L1: FMN {fast}, FAB {fab}");
    ensure(fast.max(fab) <= 1.1 * fast.min(fab), all)?;
    let elastic = |beta| {
        let short = Ead { steps: 60, searches: 4, weight: 0.1, ..Ead::new(Norm::L1) };
        mean(AttackConfig::Ead(Ead { beta, ..short }))
    };
    let (light, heavy) = (elastic(1e-3)?, elastic(1e-2)?);
    ensure(heavy < light && fast < heavy, || format!("L1: EAD {light}, {heavy}, FMN {fast}"))?;
    let fewer = mean(AttackConfig::Fmn(fmn(Norm::L0)))?;
    let greedy = images.attack(AttackConfig::Jsma(Jsma::new()))?;
    let fooled = greedy.success.iter().filter(|s| **s).count();
    let few = greedy.distance.iter().sum::<f64>() / fooled as f64;
    ensure(fooled >= 60 && fewer < few && few <= 0.05 * 784.0, || {
        format!("L0: JSMA fools {fooled} by {few} pixels, FMN all by {fewer}")
    })
}

/// The last iterate leaves what that of torchattacks leaves, the best one no more.
fn mi_fgsm(images: &Images) -> Outcome {
    let best = MiFgsm { steps: 20, step: Some(0.01), ..MiFgsm::new(0.1) };
    let last = MiFgsm { keep: Keep::Last, ..best.clone() };
    let last = held(&images.attack(AttackConfig::MiFgsm(last))?.success);
    ensure((last as f64 / 64.0 - 0.578).abs() <= 5e-4, || format!("{last} of 64 held"))?;
    let best = held(&images.attack(AttackConfig::MiFgsm(best))?.success);
    ensure(best <= last, || format!("the best iterates leave {best}, the last ones {last}"))
}

fn apgd_against_pgd(images: &Images) -> Outcome {
    for (norm, eps) in [(Norm::Linf, 0.1), (Norm::L2, 1.5), (Norm::L1, 10.0)] {
        let pgd = Pgd { steps: 40, ..Pgd::new(norm, eps) };
        let pgd = held(&images.attack(AttackConfig::Pgd(pgd))?.success);
        let base = Apgd { steps: 40, ..Apgd::new(norm, eps) };
        let forms = [
            base.clone(),
            Apgd { loss: ApgdLoss::Dlr, ..base.clone() },
            Apgd { steps: 40, ..Apgd::targeted(norm, eps) },
        ];
        let mut left = Vec::new();
        for form in forms {
            left.push(held(&images.attack(AttackConfig::Apgd(form))?.success));
        }
        ensure(left[0] <= pgd && left[2] <= pgd, || format!("{norm}: {left:?}, PGD {pgd}"))?;
    }
    Ok(())
}

fn dlr_by_hand(device: &Device) -> Outcome {
    let z = Tensor::from_slice(device, &[3.0, 7.0, 1.0, 4.0, 5.0f64], &[1, 5])?.tracked();
    let class = |c: i64| Tensor::from_slice(device, &[c], &[1]);
    // Largest first: 7, 5, 4, 3, 1.
    let untargeted = [(1, -(7.0 - 5.0) / (7.0 - 4.0)), (0, -(3.0 - 7.0) / 3.0)];
    for (y, want) in untargeted {
        let got = dlr(&z, &class(y)?).item()?;
        ensure((got - want).abs() < 1e-9, || format!("label {y}: {got} for {want}"))?;
    }
    let got = dlr_targeted(&z, &class(1)?, &class(2)?).item()?;
    let want = -(7.0 - 1.0) / (7.0 - (4.0 + 3.0) / 2.0);
    ensure((got - want).abs() < 1e-9, || format!("targeted: {got} for {want}"))?;
    // -(z_1 - z_4) / (z_1 - z_3): a = 2, b = 3, so -1/b + a/b^2, 1/b, -a/b^2.
    let g = grad(&dlr(&z, &class(1)?), &[&z])?.swap_remove(0).to_vec::<f64>()?;
    let want = [0.0, -1.0 / 3.0 + 2.0 / 9.0, 0.0, -2.0 / 9.0, 1.0 / 3.0];
    ensure(g.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-9), || format!("{g:?}"))?;
    let order = ranking(&z, 4).to_vec::<i64>()?;
    ensure(order == [1, 4, 3, 0], || format!("{order:?}"))?;
    let next = next_classes(&z, &class(4)?, 9).to_vec::<i64>()?;
    ensure(next == [1, 3, 0, 2], || format!("{next:?}"))?;
    // Negative logits: a mask of 0 would win.
    let z = Tensor::from_slice(device, &[-3.0, -7.0, -1.0f64], &[1, 3])?;
    let got = dlr(&z, &class(2)?).item()?;
    ensure((got + 2.0 / 6.0).abs() < 1e-9, || format!("negative logits: {got}"))
}

/// A linear model `z = W x + b` on `features` values in `bounds`.
fn linear(device: &Device, w: &[f32], b: &[f32], bounds: [f64; 2]) -> Result<Network> {
    let features = w.len() / b.len();
    let spec = Preset::find("logistic")?.spec(&[features], b.len(), bounds)?;
    let mut params = Params::new();
    params.push("fc1.weight", Tensor::from_slice(device, w, &[b.len(), features])?);
    params.push("fc1.bias", Tensor::from_slice(device, b, &[b.len()])?);
    Network::new(spec, params, device)
}

/// For two classes and a linear model the smallest perturbation is the margin over the dual norm.
fn closed_form(device: &Device) -> Outcome {
    // Margins z0 - z1 = 3 a + 4 b - 5: 2 and 9; dual norms: L1 norm 7, L2 norm 5, Linf norm 4.
    let model = linear(device, &[3.0, 4.0, 0.0, 0.0], &[-5.0, 0.0], [-10.0, 10.0])?;
    let x = Tensor::from_slice(device, &[1.0f32, 1.0, 2.0, 2.0], &[2, 2])?;
    let label = Tensor::from_slice(device, &[0i64, 0], &[2])?;
    let other = Tensor::from_slice(device, &[1i64, 1], &[2])?;
    let rows = [
        // Two percent beyond the boundary, and a ten-thousandth of the box.
        (AttackConfig::DeepFool(DeepFool::new(Norm::L2)), 5.0, 1.02, 0.0021),
        (AttackConfig::DeepFool(DeepFool::new(Norm::Linf)), 7.0, 1.02, 0.0021),
        (AttackConfig::Cw(Cw { searches: 12, ..Cw::new() }), 5.0, 1.03, 0.0),
        (AttackConfig::Ddn(Ddn::new()), 5.0, 1.03, 0.0),
        (AttackConfig::Fmn(Fmn::new(Norm::L2)), 5.0, 1.03, 0.0),
        (AttackConfig::Fmn(Fmn::new(Norm::Linf)), 7.0, 1.03, 0.0),
        (AttackConfig::Fmn(Fmn::new(Norm::L1)), 4.0, 1.03, 0.0),
        // Where the L1 norm weighs more than the squared length.
        (AttackConfig::Ead(Ead { beta: 0.2, searches: 12, ..Ead::new(Norm::L1) }), 4.0, 1.05, 0.0),
        (AttackConfig::Fab(Fab::new(Norm::L2)), 5.0, 1.01, 0.0),
        (AttackConfig::Fab(Fab::new(Norm::Linf)), 7.0, 1.01, 0.0),
        (AttackConfig::Fab(Fab { targets: 0, restarts: 3, ..Fab::new(Norm::L1) }), 4.0, 1.01, 0.0),
    ];
    for (config, dual, slack, beyond) in rows {
        for goal in [Goal::Untargeted(label.clone()), Goal::Targeted(other.clone())] {
            let outcome = attack(&model, &x, &goal, config.clone())?;
            let what = || format!("{} {:?} {outcome:?}", config.label(), goal);
            ensure(outcome.success == [true, true], what)?;
            for (got, margin) in outcome.distance.iter().zip([2.0, 9.0]) {
                let least = margin / dual;
                ensure(*got >= least * 0.9999 && *got <= least * slack + beyond, what)?;
            }
        }
    }
    Ok(())
}

/// As above where the edge of the box cuts the straight way: 3 a + 4 b + c - 6 = 1.6 at (1, 0.9, 1), and
/// no value may fall below 0.72, so that b gives 0.72 at most and a gives 0.84.
fn closed_form_in_a_box(device: &Device) -> Outcome {
    let w = [3.0, 4.0, 1.0, 0.0, 0.0, 0.0];
    let model = linear(device, &w, &[-6.0, 0.0], [0.72, 10.0])?;
    let x = Tensor::from_slice(device, &[1.0f32, 0.9, 1.0], &[1, 3])?;
    let goal = Goal::Untargeted(Tensor::from_slice(device, &[0i64], &[1])?);
    // (1.6 - 0.72) / (3 + 1); changes 0.264, 0.18, 0.088; 0.28 + 0.18 and 0.04 of the last.
    let least = [(Norm::Linf, 0.22), (Norm::L2, 0.109_84f64.sqrt()), (Norm::L1, 0.5)];
    for (norm, least) in least {
        let mut configs = vec![
            AttackConfig::Fab(Fab::new(norm)),
            AttackConfig::Fmn(Fmn { steps: 1000, ..Fmn::new(norm) }),
        ];
        if norm == Norm::L2 {
            configs.push(AttackConfig::Cw(Cw { searches: 12, ..Cw::new() }));
            configs.push(AttackConfig::Ddn(Ddn { steps: 1000, ..Ddn::new() }));
        }
        for config in configs {
            let outcome = attack(&model, &x, &goal, config.clone())?;
            let (fooled, got) = (outcome.success[0], outcome.distance[0]);
            let what = || format!("{} {norm}: {got} for {least}", config.label());
            ensure(fooled && got >= least * 0.9999 && got <= least * 1.03, what)?;
        }
    }
    Ok(())
}

/// A margin of 5 that white pixels of weight 3, 4, 1, 1 make up: two of them have to go.
fn fewest_pixels(device: &Device) -> Outcome {
    let w = [3.0, 4.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
    let model = linear(device, &w, &[-4.0, 0.0], [0.0, 1.0])?;
    let x = Tensor::full(device, DType::F32, &[1, 4], 1.0);
    for goal in [Goal::Untargeted as fn(Tensor) -> Goal, Goal::Targeted] {
        let class = i64::from(goal(x.clone()).is_targeted());
        let goal = goal(Tensor::from_slice(device, &[class], &[1])?);
        for config in [AttackConfig::Fmn(Fmn::new(Norm::L0)), AttackConfig::Jsma(Jsma::new())] {
            let outcome = attack(&model, &x, &goal, config)?;
            let right = outcome.success == [true] && outcome.distance == [2.0];
            ensure(right, || format!("{outcome:?}"))?;
        }
    }
    Ok(())
}

fn digits(device: &Device) -> Result<(Network, Tensor, Tensor)> {
    let (train, test) = data::digits()?.split_stratified(0.25, &Rng::new(5));
    let spec = Preset::find("small-cnn")?.spec(&[1, 8, 8], 10, [0.0, 1.0])?;
    let params = init_params(&spec, device, DType::F32, &Rng::new(3))?;
    let mut model = Network::new(spec, params, device)?;
    let config = TrainConfig { epochs: 3, rule: Rule::Standard {}, ..TrainConfig::default() };
    fit(&mut model, &train, None, &config, &Rng::new(4), &mut ())?;
    let rows: Vec<usize> = (0..40).collect();
    let (x, y) = Placement::new(device).tensors(&test, &rows)?;
    Ok((model, x, y))
}

/// One step from no momentum is a step of FGSM.
fn one_step(device: &Device) -> Outcome {
    let (model, x, y) = digits(device)?;
    let found = |config: AttackConfig| -> Result<Vec<f32>> {
        attack(&model, &x, &Goal::Untargeted(y.clone()), config)?.adversarial.to_vec()
    };
    let once = MiFgsm { steps: 1, keep: Keep::Last, ..MiFgsm::new(0.1) };
    let fgsm = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, 0.1));
    ensure(found(AttackConfig::MiFgsm(once))? == found(fgsm)?, || "differs from FGSM".into())
}

/// The forms for transfer fool the model itself nearly as often as the plain one, on other paths.
fn every_form(device: &Device) -> Outcome {
    let (model, x, y) = digits(device)?;
    let goal = Goal::Untargeted(y);
    let plain = MiFgsm::new(0.1);
    let forms = [
        MiFgsm { nesterov: true, ..plain.clone() },
        MiFgsm { diversity: 0.5, ..plain.clone() },
        MiFgsm { kernel: 3, ..plain.clone() },
        MiFgsm { nesterov: true, diversity: 1.0, kernel: 3, ..plain.clone() },
    ];
    let whole = attack(&model, &x, &goal, AttackConfig::MiFgsm(plain))?;
    let path = whole.adversarial.to_vec::<f32>()?;
    let fooled = whole.success.iter().filter(|s| **s).count();
    for form in forms {
        let label = form.clone();
        let outcome = attack(&model, &x, &goal, AttackConfig::MiFgsm(form))?;
        let count = outcome.success.iter().filter(|s| **s).count();
        ensure(count + 8 >= fooled, || format!("{label:?} fools {count}, plain {fooled}"))?;
        let other = outcome.adversarial.to_vec::<f32>()? != path;
        ensure(other, || format!("{label:?} is the plain attack"))?;
    }
    Ok(())
}

/// With any number of classes from two on, a strong attack fools a linear model where it can.
fn any_number_of_classes(device: &Device) -> Outcome {
    for classes in [2, 3, 4, 5] {
        let mut w = vec![0.0f32; classes * 2];
        (w[0], w[1]) = (3.0, 4.0);
        let model = linear(device, &w, &vec![0.0; classes], [-1.0, 1.0])?;
        let x = Tensor::from_slice(device, &[0.2f32, 0.2], &[1, 2])?;
        let goal = Goal::Untargeted(Tensor::from_slice(device, &[0i64], &[1])?);
        let (norm, eps) = (Norm::Linf, 0.21);
        let forms = [
            AttackConfig::Apgd(Apgd::new(norm, eps)),
            AttackConfig::Apgd(Apgd { loss: ApgdLoss::Dlr, ..Apgd::new(norm, eps) }),
            AttackConfig::Apgd(Apgd::targeted(norm, eps)),
            AttackConfig::DeepFool(DeepFool { eps: Some(eps), ..DeepFool::new(norm) }),
        ];
        for form in forms {
            let outcome = attack(&model, &x, &goal, form.clone())?;
            ensure(outcome.success == [true], || format!("{} of {classes}", form.label()))?;
        }
    }
    Ok(())
}

/// Black and white pixels, which tanh maps to infinity, can still be changed.
fn saturated(device: &Device) -> Outcome {
    let model = linear(device, &[3.0, -4.0, 0.0, 0.0], &[-2.0, 0.0], [0.0, 1.0])?;
    let x = Tensor::from_slice(device, &[1.0f32, 0.0], &[1, 2])?;
    let goal = Goal::Untargeted(Tensor::from_slice(device, &[0i64], &[1])?);
    let outcome = attack(&model, &x, &goal, AttackConfig::Cw(Cw { searches: 12, ..Cw::new() }))?;
    // Margin 1, L2 norm 5.
    let got = outcome.distance[0];
    ensure(outcome.success[0] && got < 0.2 * 1.05, || format!("{outcome:?}"))?;
    let moved = outcome.adversarial.to_f64_vec()?;
    ensure(moved[0] < 1.0 && moved[1] > 0.0, || format!("{moved:?}"))
}

/// The network of Wong and Kolter (2018) is certified on 941 of the first 1,000 test images: no attack
/// may leave fewer. APGD on the cross-entropy leaves about 954.
fn wong(device: &Device) -> Outcome {
    let (folder, mnist) = match (files::oracles(), files::mnist()) {
        (Ok(folder), Ok(mnist)) => (folder, mnist),
        (Err(why), _) | (_, Err(why)) => return files::skip(&why),
    };
    let (_, test) = idx::mnist(&mnist)?;
    let weights = folder.join("models").join("wong_eps0.1.safetensors");
    let model = network(device, &weights, "wong-small")?;
    let place = Placement { batch: 500, ..Placement::new(device) };
    let rows: Vec<usize> = (0..1000).collect();
    let config = AttackConfig::Apgd(Apgd::new(Norm::Linf, 0.1));
    let mut left = 0;
    for rows in place.portions(&rows) {
        let (x, y) = place.tensors(&test, rows)?;
        left += held(&attack(&model, &x, &Goal::Untargeted(y), config.clone())?.success);
    }
    ensure((951..=957).contains(&left), || format!("{left} of 1,000 held"))
}
