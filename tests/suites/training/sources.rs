//! Ensemble adversarial training: whose samples it trains on, and which models it refuses.

use std::path::{Path, PathBuf};

use inocula_core::attack::{AttackConfig, Draws, Fgsm, Goal, Norm, craft};
use inocula_core::model::{Classifier as _, Network};
use inocula_core::nn::{Preset, init_params, save_params};
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::{Batch, Rule, fit};
use inocula_core::{DType, Device, Result};
use inocula_tests::harness::{Outcome, ensure};
use inocula_tests::tolerance::deviation;

use super::trades::probabilities;
use super::{config, data, network};

fn fgsm() -> AttackConfig {
    AttackConfig::Fgsm(Fgsm::new(Norm::Linf, 0.1))
}

/// A logistic model in a folder as `train` leaves one.
fn stored(folder: &Path, device: &Device, classes: usize, seed: u64) -> Result<Network> {
    let spec = Preset::find("logistic")?.spec(&[1, 8, 8], classes, [0.0, 1.0])?;
    let params = init_params(&spec, device, DType::F32, &Rng::new(seed))?;
    inocula_core::fs::create_dir(folder)?;
    let text = format!(
        "input = [1, 8, 8]\nclasses = {classes}\nbounds = [0.0, 1.0]\n\
         [[layers]]\ntype = \"flatten\"\n[[layers]]\ntype = \"linear\"\nfeatures = {classes}\n"
    );
    inocula_core::fs::write_bytes(folder.join("model.toml"), text.as_bytes())?;
    save_params(&folder.join("model.safetensors"), &params)?;
    Network::new(spec, params, device)
}

pub(super) fn turns(device: &Device) -> Outcome {
    let temp = tempfile::tempdir()?;
    let folders: Vec<PathBuf> = ["a", "b"].map(|name| temp.path().join(name)).into();
    let others = [stored(&folders[0], device, 10, 21)?, stored(&folders[1], device, 10, 22)?];
    let own = network(device, "mlp")?;
    let mut rule = Rule::Ensemble { models: folders, attack: fgsm() }.check()?;
    rule.prepare(&own)?;

    let ids: Vec<usize> = (0..12).collect();
    let (x, y) = Placement::new(device).tensors(&data()?.0, &ids)?;
    let attack = fgsm().check()?;
    let goal = Goal::Untargeted(y.clone());
    // No random start: any draws do.
    let draws = Draws::new(Rng::new(1), (0..12).collect());
    let sources = [&others[0], &others[1], &own];
    let mut all = Vec::new();
    for (step, source) in (0..).zip(sources.into_iter().cycle().take(5)) {
        let batch = Batch { x: &x, y: &y, ids: &ids, step, progress: 0.0 };
        let made = rule.inputs(&own, &batch, &Rng::new(2))?;
        let want = craft(&*attack, source, &x, &goal, &draws)?;
        ensure(made.to_vec::<f32>()? == want.to_vec::<f32>()?, || format!("step {step}"))?;
        let losses = rule.losses(&own, own.params(), &batch, &mut Rng::new(1), &Rng::new(2))?;
        let (clean, moved) = (own.logits(&x)?.to_f64_vec()?, own.logits(&made)?.to_f64_vec()?);
        let rows = clean.chunks(10).zip(moved.chunks(10)).zip(y.to_vec::<i64>()?);
        let want = rows.map(|((clean, moved), y)| {
            let xent = |logits: &[f64]| -probabilities(logits)[y as usize].ln();
            0.5 * (xent(clean) + xent(moved))
        });
        let off = deviation(&losses.to_f64_vec()?, &want.collect::<Vec<_>>());
        ensure(off <= 2e-5, || format!("step {step}: losses off by {off}"))?;
        all.push(made.to_vec::<f32>()?);
    }
    let distinct = all[0] != all[1] && all[1] != all[2] && all[0] != all[2];
    ensure(distinct && all[0] == all[3], || "the models do not take turns".into())
}

pub(super) fn refused(device: &Device) -> Outcome {
    let temp = tempfile::tempdir()?;
    let few = temp.path().join("few-classes");
    stored(&few, device, 7, 21)?;
    let torn = temp.path().join("torn");
    stored(&torn, device, 10, 21)?;
    inocula_core::fs::write_bytes(torn.join("model.toml"), b"input = [1, 8")?;
    let missing = temp.path().join("missing");
    let train = data()?.0;
    for (folder, parts) in [
        (few, ["few-classes", "of 7 classes"]),
        (torn, ["torn", "rule: models"]),
        (missing, ["missing", "check the path"]),
    ] {
        let rule = Rule::Ensemble { models: vec![folder], attack: fgsm() };
        let mut own = network(device, "mlp")?;
        let result = fit(&mut own, &train, None, &config(1, rule), &Rng::new(1), &mut ());
        let text = result.err().map(|e| e.to_string()).unwrap_or_default();
        ensure(parts.iter().all(|part| text.contains(part)) && !text.contains('\n'), || {
            format!("{text:?} lacks one of {parts:?}")
        })?;
    }
    Ok(())
}
