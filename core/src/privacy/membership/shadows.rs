//! Trains shadow models: many small trainings at once, each on a device of its own.
//!
//! A job is a thread with a device, and takes the next number that nobody has. A shadow model reads
//! nothing but its number, the plan and the device's kind, so how many jobs there are changes no bit of
//! it; devices of one thread each, because ten trainings beside each other use a processor better than
//! one that divides its batches. Jobs report to the thread that called, which alone talks to the
//! outside and, asked to stop, lets them stop after their step.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Instant;

use super::augment::Augmentation;
use super::{Progress, design, store};
use crate::data::Dataset;
use crate::model::{Classifier as _, Network};
use crate::nn::{ModelSpec, init_params};
use crate::place::Placement;
use crate::rng::Rng;
use crate::train::{Observer, TrainConfig, fit};
use crate::{DType, Device, Error, ErrorKind, Result, bail, fs};

/// What is trained.
pub struct ShadowPlan<'a> {
    /// How many models: an even number, since they come in pairs.
    pub count: usize,
    /// The network, that of the target.
    pub spec: &'a ModelSpec,
    /// The training, that of the target, its rule and privacy included.
    pub train: &'a TrainConfig,
    /// The samples; each model is trained on half of them and answers to all.
    pub pool: &'a Dataset,
    /// The views of a sample that a model answers to, the sample itself first.
    pub augmentations: &'a [Augmentation],
    /// The device spec, which decides the last bits.
    pub place: &'a str,
    /// Randomness.
    pub rng: &'a Rng,
    /// Where finished models are kept and looked for, if anywhere.
    pub folder: Option<&'a Path>,
}

/// What is known of a shadow model.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadow {
    /// For each sample of the pool, whether the model was trained on it.
    pub inside: Vec<bool>,
    /// Logits on the pool, `[N, classes]` for each view.
    pub logits: Vec<Vec<f32>>,
    /// Time that it took, in seconds.
    pub seconds: f64,
}

/// All shadow models, in the order of their numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadows {
    /// The models.
    pub models: Vec<Shadow>,
    /// How many of them were there already.
    pub reused: usize,
}

impl ShadowPlan<'_> {
    fn check(&self) -> Result<()> {
        let (count, pool) = (self.count, self.pool.len());
        if count < 4 || !count.is_multiple_of(2) {
            bail!(
                Config,
                "shadow models: {count} do not make pairs; train an even number from 4 on"
            );
        }
        if pool < 4 {
            bail!(Config, "shadow models: half of {pool} samples is no training set; supply more");
        }
        if self.augmentations.first() != Some(&Augmentation::NONE) {
            bail!(Usage, "shadow models: the first view must be the sample itself");
        }
        self.train.check()?;
        self.train.check_for(pool / 2)
    }

    /// The target's training without what a shadow model does not need: nothing is measured after
    /// epochs, and the noise of a private one follows from the seed, since nobody publishes it.
    fn training(&self) -> TrainConfig {
        let private = self.train.private.clone();
        let private = private.map(|p| crate::train::Private { seeded: true, ..p });
        TrainConfig { monitor: None, private, ..self.train.clone() }
    }
}

/// What a job tells.
enum Told {
    /// How much of the steps of a model is done.
    Step(usize, f64),
    /// A model is trained, or failed.
    Done(usize, Result<Shadow>),
}

/// Trains the shadow models that `plan.folder` does not have yet, one at a time on each of `devices`.
///
/// The result is the same for any number of devices, which must be alike.
///
/// # Errors
/// The plan is out of range, a file of the folder is of another plan, a training failed, or `progress`
/// stopped it; the models that were finished by then are kept in the folder.
pub fn train_shadows(
    plan: &ShadowPlan<'_>,
    devices: &[Device],
    progress: Progress<'_>,
) -> Result<Shadows> {
    plan.check()?;
    let Some(first) = devices.first() else {
        bail!(Usage, "shadow models: there is no device to train on; pass at least one");
    };
    let fingerprint = store::fingerprint(plan)?;
    let mut models: Vec<Option<Shadow>> = Vec::with_capacity(plan.count);
    for shadow in 0..plan.count {
        let kept = plan
            .folder
            .map(|folder| store::load(&store::path(folder, shadow), &fingerprint, plan, first));
        models.push(kept.transpose()?.flatten());
    }
    let open: Vec<usize> = (0..plan.count).filter(|&k| models[k].is_none()).collect();
    let reused = plan.count - open.len();
    if let (Some(folder), false) = (plan.folder, open.is_empty()) {
        fs::create_dir(folder)?;
    }
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = Work { plan, config: &plan.training(), fingerprint: &fingerprint, stop: &stop };
    let mut failure = None;
    std::thread::scope(|scope| {
        // Jobs wait to be heard, so that a stop reaches them within two steps.
        let (tell, heard) = sync_channel(1);
        for device in devices.iter().take(open.len()) {
            let (tell, open, next, work) = (tell.clone(), &open, &next, &work);
            scope.spawn(move || {
                while let Some(&shadow) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let trained = work.train(shadow, device, &tell);
                    let failed = trained.is_err();
                    // The receiver lives as long as the scope.
                    if tell.send(Told::Done(shadow, trained)).is_err() || failed {
                        break;
                    }
                }
            });
        }
        drop(tell);
        failure = listen(&heard, &mut models, &stop, progress);
    });
    if let Some(err) = failure {
        return Err(err);
    }
    match models.into_iter().collect::<Option<Vec<Shadow>>>() {
        Some(models) => Ok(Shadows { models, reused }),
        None => bail!(Usage, "shadow models: a job ended early; run again to go on"),
    }
}

/// Gathers models until every job is gone; the first reason to stop, if there was one.
fn listen(
    heard: &Receiver<Told>,
    models: &mut [Option<Shadow>],
    stop: &AtomicBool,
    progress: Progress<'_>,
) -> Option<Error> {
    /// Units of progress of a model.
    const PARTS: f64 = 1000.0;
    let mut shares: Vec<f64> = models.iter().map(|m| f64::from(u8::from(m.is_some()))).collect();
    let mut failure: Option<Error> = None;
    let note = |failure: &mut Option<Error>, err: Error| {
        stop.store(true, Ordering::Relaxed);
        // Jobs that stop because another failed add nothing.
        if failure.is_none() {
            *failure = Some(err);
        }
    };
    for told in heard {
        match told {
            Told::Step(shadow, share) => shares[shadow] = share,
            Told::Done(shadow, Ok(model)) => {
                (shares[shadow], models[shadow]) = (1.0, Some(model));
            }
            Told::Done(shadow, Err(err)) => {
                note(&mut failure, err.context(format_args!("shadow model {shadow}")));
            }
        }
        let done = shares.iter().map(|share| (share * PARTS) as usize).sum();
        if failure.is_none()
            && let Err(err) = progress("shadow models", done, models.len() * PARTS as usize)
        {
            note(&mut failure, err);
        }
    }
    failure
}

/// What every job reads.
struct Work<'a> {
    plan: &'a ShadowPlan<'a>,
    config: &'a TrainConfig,
    fingerprint: &'a str,
    stop: &'a AtomicBool,
}

impl Work<'_> {
    fn train(&self, shadow: usize, device: &Device, tell: &SyncSender<Told>) -> Result<Shadow> {
        let (plan, started) = (self.plan, Instant::now());
        let rng = plan.rng.child("shadow").index(shadow as u64);
        let inside = design::half(plan.pool.len(), shadow, plan.rng);
        let rows: Vec<usize> = (0..inside.len()).filter(|&row| inside[row]).collect();
        let data = plan.pool.select(&rows);
        let params = init_params(plan.spec, device, DType::F32, &rng.child("init"))?;
        let mut network = Network::new(plan.spec.clone(), params, device)?;
        let mut watch = Watch { shadow, stop: self.stop, tell };
        fit(&mut network, &data, None, self.config, &rng.child("train"), &mut watch)?;
        let views = plan.augmentations.iter().map(|view| {
            watch.check()?;
            logits(&network, &view.apply(plan.pool)?)
        });
        let logits = views.collect::<Result<_>>()?;
        let trained = Shadow { inside, logits, seconds: started.elapsed().as_secs_f64() };
        if let Some(folder) = plan.folder {
            store::save(&store::path(folder, shadow), &trained, self.fingerprint, device)?;
        }
        Ok(trained)
    }
}

/// Logits of all samples in f32, in which the network has them.
pub(super) fn logits(network: &Network, data: &Dataset) -> Result<Vec<f32>> {
    let place = Placement::new(network.device());
    let rows: Vec<usize> = (0..data.len()).collect();
    let mut all = Vec::with_capacity(data.len() * data.classes);
    for rows in place.portions(&rows) {
        let (x, _) = place.tensors(data, rows)?;
        all.extend(network.logits(&x)?.cast(DType::F32).to_vec::<f32>()?);
    }
    match all.iter().all(|z| z.is_finite()) {
        true => Ok(all),
        false => bail!(Numeric, "it answers NaN or infinity; train with a lower learning rate"),
    }
}

/// Tells how a training goes, and ends it when asked.
struct Watch<'a> {
    shadow: usize,
    stop: &'a AtomicBool,
    tell: &'a SyncSender<Told>,
}

impl Watch<'_> {
    fn check(&self) -> Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::new(ErrorKind::Cancelled, "stopped with the others")),
        }
    }
}

impl Observer for Watch<'_> {
    fn step(&mut self, step: usize, steps: usize, _: f64) -> Result<()> {
        self.check()?;
        // Nobody listens any more where the others have stopped.
        let _ = self.tell.send(Told::Step(self.shadow, step as f64 / steps.max(1) as f64));
        Ok(())
    }
}
