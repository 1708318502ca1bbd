//! How shadow models are made must not show in them.

use inocula_core::data::{Dataset, digits};
use inocula_core::nn::{ModelSpec, Preset};
use inocula_core::privacy::membership::{Augmentation, ShadowPlan, Shadows, train_shadows};
use inocula_core::rng::Rng;
use inocula_core::train::{Private, TrainConfig};
use inocula_core::{Device, Error, ErrorKind, Result};
use inocula_tests::harness::{Outcome, ensure};

/// A pool small enough for seconds.
fn pool() -> Result<Dataset> {
    Ok(digits()?.take_stratified(120, &Rng::new(5)))
}

fn config() -> TrainConfig {
    TrainConfig { epochs: 3, batch_size: 20, ..TrainConfig::default() }
}

fn spec(pool: &Dataset) -> Result<ModelSpec> {
    Preset::find("logistic")?.spec(&pool.shape, pool.classes, [0.0, 1.0])
}

/// Trains with the plan that `change` makes of the usual one.
fn trained(
    jobs: usize,
    device: &Device,
    change: impl FnOnce(&mut ShadowPlan<'_>),
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Shadows> {
    let (pool, train, rng) = (pool()?, config(), Rng::new(9));
    let spec = spec(&pool)?;
    let views = Augmentation::shifts(1, false);
    let mut plan = ShadowPlan {
        count: 4,
        spec: &spec,
        train: &train,
        pool: &pool,
        augmentations: &views,
        place: "a device",
        rng: &rng,
        folder: None,
    };
    change(&mut plan);
    let devices = vec![device.clone(); jobs];
    train_shadows(&plan, &devices, &mut |_, done, _| progress(done))
}

fn quiet(_: usize) -> Result<()> {
    Ok(())
}

/// Without the times, which no two trainings share.
fn bits(shadows: &Shadows) -> Vec<(Vec<bool>, Vec<Vec<u32>>)> {
    let bits = |logits: &Vec<f32>| logits.iter().map(|z| z.to_bits()).collect();
    let each = |s: &inocula_core::privacy::membership::Shadow| {
        (s.inside.clone(), s.logits.iter().map(bits).collect())
    };
    shadows.models.iter().map(each).collect()
}

pub(crate) fn same_bits(device: &Device) -> Outcome {
    let alone = trained(1, device, |_| (), &mut quiet)?;
    let together = trained(3, device, |_| (), &mut quiet)?;
    ensure(bits(&alone) == bits(&together), || "three jobs give other bits than one".into())?;

    let temp = tempfile::tempdir()?;
    let folder = temp.path().join("shadows");
    // Stopped once two models are there.
    let mut stop = |done: usize| match done >= 2500 {
        true => Err(Error::new(ErrorKind::Cancelled, "enough")),
        false => Ok(()),
    };
    let stopped = trained(1, device, |plan| plan.folder = Some(&folder), &mut stop);
    let kind = stopped.err().map(|err| err.kind());
    ensure(kind == Some(ErrorKind::Cancelled), || format!("not stopped but {kind:?}"))?;
    let files = std::fs::read_dir(&folder)?.count();
    ensure((1..4).contains(&files), || format!("{files} files after the stop"))?;
    let resumed = trained(2, device, |plan| plan.folder = Some(&folder), &mut quiet)?;
    ensure(resumed.reused == files, || format!("{} of {files} taken up", resumed.reused))?;
    ensure(bits(&resumed) == bits(&alone), || "a stop shows in the bits".into())?;
    let again = trained(1, device, |plan| plan.folder = Some(&folder), &mut quiet)?;
    ensure(again.reused == 4 && again.models == resumed.models, || "read back otherwise".into())
}

pub(crate) fn grow(device: &Device) -> Outcome {
    let temp = tempfile::tempdir()?;
    let few = trained(1, device, |plan| plan.folder = Some(temp.path()), &mut quiet)?;
    let more = |plan: &mut ShadowPlan<'_>| plan.count = 6;
    let all = trained(
        1,
        device,
        |plan| {
            more(plan);
            plan.folder = Some(temp.path());
        },
        &mut quiet,
    )?;
    ensure(all.reused == 4 && all.models[..4] == few.models[..], || "the first changed".into())?;
    let anew = trained(1, device, more, &mut quiet)?;
    ensure(bits(&anew) == bits(&all), || "six at once are others than four and two".into())
}

pub(crate) fn mistakes(device: &Device) -> Outcome {
    let temp = tempfile::tempdir()?;
    let here = |plan: &mut ShadowPlan<'_>, folder| plan.folder = Some(folder);
    trained(1, device, |plan| here(plan, temp.path()), &mut quiet)?;
    let longer = TrainConfig { epochs: 4, ..config() };
    let private = TrainConfig {
        private: Some(Private { noise_multiplier: Some(1.0), ..Private::default() }),
        batch_size: 100,
        ..config()
    };
    let says = |outcome: Result<Shadows>, part: &str| {
        let text = outcome.err().map(|err| err.to_string()).unwrap_or_default();
        ensure(text.contains(part), || format!("{text:?} lacks {part:?}"))
    };
    let other = trained(
        1,
        device,
        |plan| {
            plan.train = &longer;
            here(plan, temp.path());
        },
        &mut quiet,
    );
    says(other, "of another configuration")?;
    says(trained(1, device, |plan| plan.count = 3, &mut quiet), "even number")?;
    says(trained(1, device, |plan| plan.train = &private, &mut quiet), "more than the 60")?;
    says(trained(0, device, |_| (), &mut quiet), "no device")?;
    std::fs::write(temp.path().join("shadow-0001.safetensors"), b"half")?;
    says(trained(1, device, |plan| here(plan, temp.path()), &mut quiet), "shadow-0001")
}
