//! How shadow models are made must not show in them.

use std::path::Path;

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

/// How shadow models are made.
struct Made<'a> {
    jobs: usize,
    count: usize,
    train: TrainConfig,
    folder: Option<&'a Path>,
}

/// Four models in one job, kept nowhere.
fn usual() -> Made<'static> {
    Made { jobs: 1, count: 4, train: config(), folder: None }
}

fn trained(
    made: &Made<'_>,
    device: &Device,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Shadows> {
    let (pool, rng) = (pool()?, Rng::new(9));
    let spec = spec(&pool)?;
    let views = Augmentation::shifts(1, false);
    let plan = ShadowPlan {
        count: made.count,
        spec: &spec,
        train: &made.train,
        pool: &pool,
        augmentations: &views,
        place: "a device",
        rng: &rng,
        folder: made.folder,
    };
    let devices = vec![device.clone(); made.jobs];
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
    let alone = trained(&usual(), device, &mut quiet)?;
    let together = trained(&Made { jobs: 3, ..usual() }, device, &mut quiet)?;
    ensure(bits(&alone) == bits(&together), || "three jobs give other bits than one".into())?;

    let temp = tempfile::tempdir()?;
    let path = temp.path().join("shadows");
    let folder = Some(path.as_path());
    // Stopped once two models are there.
    let mut stop = |done: usize| match done >= 2500 {
        true => Err(Error::new(ErrorKind::Cancelled, "enough")),
        false => Ok(()),
    };
    let stopped = trained(&Made { folder, ..usual() }, device, &mut stop);
    let kind = stopped.err().map(|err| err.kind());
    ensure(kind == Some(ErrorKind::Cancelled), || format!("not stopped but {kind:?}"))?;
    let files = std::fs::read_dir(&path)?.count();
    ensure((1..4).contains(&files), || format!("{files} files after the stop"))?;
    let resumed = trained(&Made { jobs: 2, folder, ..usual() }, device, &mut quiet)?;
    ensure(resumed.reused == files, || format!("{} of {files} taken up", resumed.reused))?;
    ensure(bits(&resumed) == bits(&alone), || "a stop shows in the bits".into())?;
    let again = trained(&Made { folder, ..usual() }, device, &mut quiet)?;
    ensure(again.reused == 4 && again.models == resumed.models, || "read back otherwise".into())
}

pub(crate) fn grow(device: &Device) -> Outcome {
    let temp = tempfile::tempdir()?;
    let folder = Some(temp.path());
    let few = trained(&Made { folder, ..usual() }, device, &mut quiet)?;
    let all = trained(&Made { count: 6, folder, ..usual() }, device, &mut quiet)?;
    ensure(all.reused == 4 && all.models[..4] == few.models[..], || "the first changed".into())?;
    let anew = trained(&Made { count: 6, ..usual() }, device, &mut quiet)?;
    ensure(bits(&anew) == bits(&all), || "six at once are others than four and two".into())
}

pub(crate) fn mistakes(device: &Device) -> Outcome {
    let temp = tempfile::tempdir()?;
    let folder = Some(temp.path());
    trained(&Made { folder, ..usual() }, device, &mut quiet)?;
    let says = |made: &Made<'_>, part: &str| {
        let outcome = trained(made, device, &mut quiet);
        let text = outcome.err().map(|err| err.to_string()).unwrap_or_default();
        ensure(text.contains(part), || format!("{text:?} lacks {part:?}"))
    };
    let longer = TrainConfig { epochs: 4, ..config() };
    says(&Made { train: longer, folder, ..usual() }, "of another configuration")?;
    says(&Made { count: 3, ..usual() }, "even number")?;
    let private = Private { noise_multiplier: Some(1.0), ..Private::default() };
    let private = TrainConfig { private: Some(private), batch_size: 100, ..config() };
    says(&Made { train: private, ..usual() }, "more than the 60")?;
    says(&Made { jobs: 0, ..usual() }, "no device")?;
    std::fs::write(temp.path().join("shadow-0001.safetensors"), b"half")?;
    says(&Made { folder, ..usual() }, "shadow-0001")
}
