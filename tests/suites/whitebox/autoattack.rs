//! AutoAttack: the worst of its members sample by sample, and no stronger than a certificate.

use inocula_core::attack::{AttackConfig, Autoattack, Draws, Goal, Norm, Pgd, Version, craft};
use inocula_core::certify::{Bound, certify_rows};
use inocula_core::data::{digits, idx};
use inocula_core::model::{Classifier, Network};
use inocula_core::nn::{Preset, init_params};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Rule, TrainConfig, fit};
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::files;
use inocula_tests::harness::{Outcome, ensure};

use crate::{attack, held, network};

/// A small network that is somewhat robust, and samples that it gets right.
fn subject(device: &Device, count: usize) -> Result<(Network, Tensor, Tensor)> {
    let (train, test) = digits()?.split_stratified(0.25, &Rng::new(5));
    let spec = Preset::find("mlp")?.spec(&[1, 8, 8], 10, [0.0, 1.0])?;
    let params = init_params(&spec, device, DType::F32, &Rng::new(3))?;
    let mut network = Network::new(spec, params, device)?;
    let pgd = AttackConfig::Pgd(Pgd { steps: 5, ..Pgd::new(Norm::Linf, 0.1) });
    let config =
        TrainConfig { epochs: 6, rule: Rule::Madry { attack: pgd }, ..TrainConfig::default() };
    fit(&mut network, &train, None, &config, &Rng::new(4), &mut ())?;
    let rows: Vec<usize> = (0..count).collect();
    let (x, y) = Placement::new(device).tensors(&test, &rows)?;
    Ok((network, x, y))
}

/// Each member sees only what is left, so together they fool what any of them fools by itself.
pub(crate) fn union(device: &Device) -> Outcome {
    let (model, x, y) = subject(device, 60)?;
    let goal = Goal::Untargeted(y);
    let clean = goal.reached(&model.logits(&x)?).to_vec::<i64>()?;
    for version in [Version::Standard, Version::Plus, Version::Rand] {
        let whole =
            Autoattack { version, steps: 10, queries: 60, ..Autoattack::new(Norm::Linf, 0.1) };
        let found = attack(&model, &x, &goal, AttackConfig::Autoattack(whole.clone()))?;
        let draws = Draws::new(Rng::new(1), (0..60).collect());
        let mut any = clean.clone();
        for (i, member) in whole.members().iter().enumerate() {
            let made = craft(&*member.check()?, &model, &x, &goal, &draws.index(i as u64))?;
            let reached = goal.reached(&model.logits(&made)?).to_vec::<i64>()?;
            any.iter_mut().zip(reached).for_each(|(any, one)| *any |= one);
        }
        // Rounding, which differs with the batch, may decide a sample at the boundary.
        let apart = any.iter().zip(&found.success).filter(|(a, b)| (**a == 1) != **b).count();
        let count = any.iter().sum::<i64>();
        ensure(apart <= 1 && count > 5 && count < 60, || {
            format!("{version:?}: {apart} of {count} differ from the union")
        })?;
    }
    Ok(())
}

/// In every norm, towards a class as well, and no weaker than PGD of as many steps.
pub(crate) fn norms(device: &Device) -> Outcome {
    let (model, x, y) = subject(device, 60)?;
    for (norm, eps) in [(Norm::Linf, 0.1), (Norm::L2, 0.8), (Norm::L1, 4.0)] {
        let brief = Autoattack { steps: 20, queries: 100, ..Autoattack::new(norm, eps) };
        let goal = Goal::Untargeted(y.clone());
        let found = attack(&model, &x, &goal, AttackConfig::Autoattack(brief.clone()))?;
        let pgd = AttackConfig::Pgd(Pgd { steps: 20, ..Pgd::new(norm, eps) });
        let weaker = held(&attack(&model, &x, &goal, pgd)?.success);
        ensure(held(&found.success) <= weaker, || {
            format!("{norm}: {} held, {weaker} against PGD", held(&found.success))
        })?;
        let targets: Vec<i64> = y.to_vec::<i64>()?.iter().map(|y| (y + 1) % 10).collect();
        let goal = Goal::Targeted(Tensor::from_slice(device, &targets, &[60])?);
        let found = attack(&model, &x, &goal, AttackConfig::Autoattack(brief))?;
        ensure(found.distance.iter().all(|d| *d <= eps * (1.0 + 1e-5)), || format!("{norm}"))?;
    }
    Ok(())
}

/// On the network that Wong and Kolter (2018) certified, no certified image is fooled, and of the others
/// APGD alone leaves no fewer.
pub(crate) fn certified(device: &Device) -> Outcome {
    let (folder, mnist) = match (files::oracles(), files::mnist()) {
        (Ok(folder), Ok(mnist)) => (folder, mnist),
        (Err(why), _) | (_, Err(why)) => return files::skip(&why),
    };
    let (_, test) = idx::mnist(&mnist)?;
    let weights = folder.join("models").join("wong_eps0.1.safetensors");
    let model = network(device, &weights, "wong-small")?;
    let rows: Vec<usize> = (235..275).collect();
    let place = Placement::new(device);
    let known = certify_rows(Bound::Crown, &model, &test, &rows, 0.1, &place, &mut |_| Ok(()))?;
    let (x, y) = place.tensors(&test, &rows)?;
    let brief = Autoattack { steps: 30, queries: 300, ..Autoattack::new(Norm::Linf, 0.1) };
    let found = attack(&model, &x, &Goal::Untargeted(y), AttackConfig::Autoattack(brief))?.success;
    let broken = known.iter().zip(&found).filter(|(known, fooled)| known.holds && **fooled).count();
    let certified = known.iter().filter(|known| known.holds).count();
    ensure(broken == 0 && certified > 20, || {
        format!("{broken} of {certified} certified are fooled")
    })
}
