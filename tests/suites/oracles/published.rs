//! Published networks on the MNIST test set, and what is known of them.
//!
//! A million passes through a network are run once for each backend: its rows differ in threads and in how
//! the library was loaded, which other suites compare.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use inocula_core::attack::{
    Aim, AttackConfig, Autoattack, Fgsm, Norm, Outcome as Found, Pgd, perturb_rows,
};
use inocula_core::data::{Dataset, idx};
use inocula_core::model::{Network, predict_rows};
use inocula_core::nn::{ModelSpec, Preset, load_params};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::{DType, Device};
use inocula_tests::files;
use inocula_tests::harness::{Outcome, ensure};
use libtest_mimic::Failed;

/// The backends that have had their turn at a case.
static DONE: Mutex<BTreeSet<(&str, String)>> = Mutex::new(BTreeSet::new());

/// Whether this is the first device of its backend to come to a case.
fn first(case: &'static str, device: &Device) -> bool {
    let backend = device.info().backend.clone();
    DONE.lock().is_ok_and(|mut done| done.insert((case, backend)))
}

fn network(device: &Device, folder: &Path, file: &str, preset: &str) -> Result<Network, Failed> {
    let spec: ModelSpec = Preset::find(preset)?.spec(&[1, 28, 28], 10, [0.0, 1.0])?;
    let path = folder.join("models").join(format!("{file}.safetensors"));
    let params = load_params(&path, &spec, device, DType::F32)?;
    Ok(Network::new(spec, params, device)?)
}

fn attacked(
    network: &Network,
    test: &Dataset,
    rows: &[usize],
    config: &AttackConfig,
) -> Result<Found, Failed> {
    let place = Placement { batch: 500, ..Placement::new(network.device()) };
    let (attack, rng) = (config.check()?, Rng::new(1));
    let aim = Aim::Untargeted;
    Ok(perturb_rows(&*attack, network, test, rows, aim, &place, &rng, &mut |_| Ok(()))?)
}

/// Correct predictions of all 10,000, clean and under FGSM.
pub(crate) fn counts(device: &Device, folder: &Path) -> Outcome {
    let mnist = match files::mnist() {
        Ok(mnist) => mnist,
        Err(why) => return files::skip(&why),
    };
    let (_, test) = idx::mnist(&mnist)?;
    let models = [
        ("trades_smallcnn", "trades-small-cnn", 0.3, 9948usize, 9786usize),
        ("wong_eps0.1", "wong-small", 0.1, 9820, 9610),
    ];
    let all: Vec<usize> = (0..test.len()).collect();
    for (file, preset, eps, clean, under_fgsm) in models {
        let model = network(device, folder, file, preset)?;
        let place = Placement { batch: 500, ..Placement::new(device) };
        let seen = predict_rows(&model, &test, &all, &place)?;
        let right = seen.iter().zip(&test.labels).filter(|(a, b)| a == b).count();
        let fgsm = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, eps));
        let left = attacked(&model, &test, &all, &fgsm)?.held();
        ensure(right.abs_diff(clean) <= 3, || format!("{file}: {right} right, not {clean}"))?;
        ensure(left.abs_diff(under_fgsm) <= 3, || format!("{file}: {left} held"))?;
    }
    Ok(())
}

/// Runs a check on a published network and all test images, at its backend's first turn.
fn on(
    (file, preset): (&str, &str),
    case: &'static str,
    device: &Device,
    folder: &Path,
    check: impl FnOnce(&Network, &Dataset) -> Outcome,
) -> Outcome {
    let mnist = match files::mnist() {
        Ok(mnist) if first(case, device) => mnist,
        Ok(_) => return Ok(()),
        Err(why) => return files::skip(&why),
    };
    let (_, test) = idx::mnist(&mnist)?;
    check(&network(device, folder, file, preset)?, &test)
}

/// The network of Zhang et al.
const TRADES: (&str, &str) = ("trades_smallcnn", "trades-small-cnn");

/// PGD-40 from the original in steps of 0.01.
fn pgd_40(eps: f64) -> AttackConfig {
    AttackConfig::Pgd(Pgd::classic(Norm::Linf, eps, 0.01, 40))
}

/// PGD-40 from the original in steps of 0.01 leaves 943 of the first 1,000. The last iterate is what was
/// counted; the best one leaves no more.
pub(crate) fn pgd(device: &Device, folder: &Path) -> Outcome {
    on(TRADES, "pgd", device, folder, |model, test| {
        let rows: Vec<usize> = (0..1000).collect();
        let left = attacked(model, test, &rows, &pgd_40(0.3))?.held();
        ensure(left.abs_diff(943) <= 3, || format!("{left} of 1,000 held, not 943"))
    })
}

/// The same attack at 0.1 leaves 9,594 of all 10,000 on the network of Wong and Kolter.
pub(crate) fn pgd_of_all(device: &Device, folder: &Path) -> Outcome {
    on(("wong_eps0.1", "wong-small"), "pgd of all", device, folder, |model, test| {
        let rows: Vec<usize> = (0..test.len()).collect();
        let left = attacked(model, test, &rows, &pgd_40(0.1))?.held();
        ensure(left.abs_diff(9594) <= 3, || format!("{left} of 10,000 held, not 9,594"))
    })
}

/// The published figure under AutoAttack is 92.81 % of all images. With fewer steps and queries it leaves a
/// little more; and of 100 images drawn evenly from the classes, 99.9 times in 100 at least 84 belong to
/// the 92.81 % (three deviations of the binomial and a bit). Image by image it leaves none that PGD-40 fools.
pub(crate) fn autoattack(device: &Device, folder: &Path) -> Outcome {
    on(TRADES, "autoattack", device, folder, |model, test| {
        let mut order = Rng::new(7).permutation(test.len());
        let mut counts = [0; 10];
        order.retain(|&row| {
            let count = &mut counts[test.labels[row] as usize];
            *count += 1;
            *count <= 10
        });
        let brief = Autoattack { steps: 20, queries: 200, ..Autoattack::new(Norm::Linf, 0.3) };
        let whole = attacked(model, test, &order, &AttackConfig::Autoattack(brief))?;
        let pgd = attacked(model, test, &order, &pgd_40(0.3))?;
        let missed = pgd.success.iter().zip(&whole.success).filter(|(pgd, all)| **pgd && !**all);
        let (missed, left) = (missed.count(), whole.held());
        // One image at the boundary may go either way.
        ensure(missed <= 1 && left <= pgd.held(), || format!("{missed} that PGD fools are left"))?;
        ensure((84..=98).contains(&left), || format!("{left} of 100 held"))
    })
}
