//! `inocula audit inversion`: what the model of a run shows of its classes.

use std::time::Instant;

use inocula_core::model::Network;
use inocula_core::nn::init_params;
use inocula_core::privacy::inversion::{Evaluator, Inversion, Inverted, judge};
use inocula_core::report::{
    InversionAttack, InversionReport, Picture, PictureGrid, PictureRow, Verdict,
};
use inocula_core::rng::Rng;
use inocula_core::train::{TrainConfig, fit};
use inocula_core::{DType, Result, bail};

use super::{Audited, json, optional, rate, show, spread};
use crate::args::AuditInversion;
use crate::config::ModelConfig;
use crate::output;
use crate::progress::{Bar, Training};

pub(in crate::commands) fn run(flags: &AuditInversion, quiet: bool) -> Result<()> {
    let attacks =
        flags.attacks.iter().map(|name| attack(name, flags)).collect::<Result<Vec<_>>>()?;
    if flags.per_class == 0 {
        bail!(Config, "--per-class 0 leaves nothing to invert; give at least 1");
    }
    let audited = Audited::open(&flags.audited, "inversion.json")?;
    let rng = audited.rng("inversion");
    let classes = classes(flags, audited.train.classes)?;
    let mut bar = Bar::new(quiet);
    let (network, description) = evaluator(flags, &audited, &rng, &mut bar)?;
    let evaluator = Evaluator::new(&network, &audited.train, &audited.test)?;
    let (mut reports, mut made) = (Vec::new(), Vec::new());
    for attack in &attacks {
        let started = Instant::now();
        let wanted = wanted(attack, &classes, flags.per_class);
        let rng = rng.child(attack.name());
        let mut heard = |done, total| bar.show(attack.name(), done, total);
        let inverted = attack.run(&audited.run.network, &wanted, &rng, &mut heard)?;
        let mut report = judge(attack.name(), &inverted, &wanted, &evaluator, &rng)?;
        report.seconds = Some(started.elapsed().as_secs_f64());
        reports.push(report);
        made.push((wanted, inverted));
    }
    bar.clear();
    let pictures = pictures(&audited, &classes, &evaluator, &reports, &made)?;
    let result = InversionReport {
        evaluator: description,
        evaluator_accuracy: evaluator.accuracy,
        real_feature_distance: evaluator.real_distance,
        attacks: reports,
        pictures,
    };
    print(&result);
    let config = serde_json::json!({
        "attacks": attacks.iter().map(json).collect::<Result<Vec<_>>>()?,
        "classes": classes,
        "per_class": flags.per_class,
        "evaluator": flags.evaluator,
        "evaluator_epochs": flags.evaluator_epochs,
        "evaluator_samples": flags.evaluator_samples,
    });
    audited.publish("inversion", config, &result, result.pictures.as_ref())
}

/// The attack of this name with what the flags change.
fn attack(name: &str, flags: &AuditInversion) -> Result<Inversion> {
    let mut attack = Inversion::named(name)?;
    match &mut attack {
        Inversion::Miface(c) => {
            c.alpha = flags.steps.unwrap_or(c.alpha);
            c.lambda = flags.lr.unwrap_or(c.lambda);
            c.gamma = flags.confidence.map_or(c.gamma, |confidence| 1.0 - confidence);
        }
        Inversion::Optimised(c) => {
            c.steps = flags.steps.unwrap_or(c.steps);
            c.lr = flags.lr.unwrap_or(c.lr);
            c.tv = flags.tv.unwrap_or(c.tv);
            c.l2 = flags.l2.unwrap_or(c.l2);
        }
    }
    attack.check()?;
    Ok(attack)
}

fn classes(flags: &AuditInversion, count: usize) -> Result<Vec<i64>> {
    let classes = flags.classes.clone().unwrap_or_else(|| (0..count as i64).collect());
    if let Some(class) = classes.iter().find(|c| !(0..count as i64).contains(c)) {
        bail!(Config, "--classes {class}: the model has the classes 0 to {}", count - 1);
    }
    Ok(classes)
}

/// Each class once, or several times where the attack begins at random.
fn wanted(attack: &Inversion, classes: &[i64], per_class: usize) -> Vec<i64> {
    let times = if matches!(attack, Inversion::Miface(_)) { 1 } else { per_class };
    classes.iter().flat_map(|&class| std::iter::repeat_n(class, times)).collect()
}

/// The network that judges, and what it is.
fn evaluator(
    flags: &AuditInversion,
    audited: &Audited,
    rng: &Rng,
    bar: &mut Bar,
) -> Result<(Network, String)> {
    let rng = rng.child("evaluator");
    let model = ModelConfig { preset: flags.evaluator.clone(), layers: None };
    let spec = model.spec(&audited.train)?;
    let params = init_params(&spec, &audited.device, DType::F32, &rng.child("init"))?;
    let mut network = Network::new(spec, params, &audited.device)?;
    let n = flags.evaluator_samples.min(audited.train.len());
    if n == 0 {
        bail!(Config, "--evaluator-samples 0 trains no evaluator; give some thousands");
    }
    let train = audited.train.take_stratified(n, &rng.child("samples"));
    let config = TrainConfig { epochs: flags.evaluator_epochs, ..TrainConfig::default() };
    let mut observer = Training { bar, name: "the evaluator" };
    fit(&mut network, &train, None, &config, &rng.child("train"), &mut observer)?;
    let usual = if audited.train.shape.len() == 3 { "small-cnn" } else { "mlp" };
    let name = flags.evaluator.as_deref().unwrap_or(usual);
    Ok((network, format!("{name}, trained apart on {n} samples")))
}

fn pictures(
    audited: &Audited,
    classes: &[i64],
    evaluator: &Evaluator<'_>,
    reports: &[InversionAttack],
    made: &[(Vec<i64>, Inverted)],
) -> Result<Option<PictureGrid>> {
    let train = &audited.train;
    if !matches!(train.shape[..], [1 | 3, _, _]) {
        return Ok(None);
    }
    let bounds = [f64::from(train.bounds.0), f64::from(train.bounds.1)];
    let picture =
        |values: &[f32], label: String| Picture::from_sample(values, &train.shape, bounds, label);
    let each: usize = train.shape.iter().product();
    let values = made.iter().map(|(_, inverted)| inverted.x.cast(DType::F32).to_vec::<f32>());
    let values = values.collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for &class in classes {
        let mut cells = vec![picture(evaluator.class_mean(class), "mean".into())?];
        for ((wanted, inverted), values) in made.iter().zip(&values) {
            let Some(at) = wanted.iter().position(|&c| c == class) else { continue };
            let sample = &values[at * each..(at + 1) * each];
            let label = format!("confidence {:.2}", inverted.confidence[at]);
            cells.push(picture(sample, label)?.judged(Verdict::Neutral));
            cells.push(picture(evaluator.nearest(sample, class)?, "nearest".into())?);
        }
        rows.push(PictureRow { label: train.class_names[class as usize].clone(), cells });
    }
    let found = reports.iter().flat_map(|r| [r.attack.clone(), "nearest training sample".into()]);
    Ok(Some(PictureGrid {
        title: format!("Inversions of {}", audited.run.name),
        caption:
            "The mean of each class, and what each attack made of the model's weights, beside \
                  the training sample of the class that is nearest to it."
                .into(),
        columns: std::iter::once("class mean".to_owned()).chain(found).collect(),
        rows,
    }))
}

fn print(result: &InversionReport) {
    let row = |a: &InversionAttack| {
        vec![
            a.attack.clone(),
            rate(&a.recognised),
            rate(&a.recognised_noise),
            spread(&a.confidence, 3),
            spread(&a.feature_distance, 2),
            spread(&a.psnr_to_mean, 1),
            spread(&a.psnr_to_nearest, 1),
            optional(a.ssim_to_mean.as_ref(), 3),
            optional(a.ssim_to_nearest.as_ref(), 3),
            a.seconds.map_or("-".into(), |s| format!("{s:.1}")),
        ]
    };
    let headings = [
        "Attack",
        "Recognised",
        "Noise recognised",
        "Confidence",
        "Feature distance",
        "PSNR to mean",
        "PSNR to nearest",
        "SSIM to mean",
        "SSIM to nearest",
        "Seconds",
    ];
    show(&headings, 1, result.attacks.iter().map(row).collect());
    output::line(format!(
        "Evaluator: {}, {:.1} % right on held-out samples, whose feature distance is {:.2}",
        result.evaluator,
        100.0 * result.evaluator_accuracy,
        result.real_feature_distance
    ));
    for attack in &result.attacks {
        output::line(format!("- {}.", attack.finding));
    }
}
