//! Attacks that search, on networks that are not trained, as a client's first round is.

use inocula_core::privacy::reconstruction::{
    Cosine, Defence, Dlg, Experiment, Features, LocalTraining, Method, Updates,
};
use inocula_core::{DType, Device};
use inocula_tests::harness::{Outcome, ensure};

use crate::subjects::{attack, preset, single, smooth};

pub(crate) fn dlg(device: &Device) -> Outcome {
    let method = Method::Idlg(Dlg { steps: 200, restarts: 3 });
    let found = attack(&single(method), &smooth(device, DType::F64)?, &[3])?;
    eprintln!("{}", found.report.finding);
    ensure(found.report.psnr.min > 40.0, || found.report.finding.clone())
}

pub(crate) fn dlg_labels(device: &Device) -> Outcome {
    let method = Method::Dlg(Dlg { steps: 200, restarts: 4 });
    let found = attack(&single(method), &smooth(device, DType::F64)?, &[3])?;
    eprintln!("{}", found.report.finding);
    ensure(found.report.psnr.min > 40.0, || found.report.finding.clone())?;
    let right = found.report.labels.map_or(0, |l| l.successes);
    ensure(right == 1, || "the label was not found".into())
}

fn cosine_attack() -> Experiment {
    single(Method::Cosine(Cosine { steps: 300, ..Cosine::default() }))
}

pub(crate) fn cosine(device: &Device) -> Outcome {
    let network = preset(device, DType::F32, "small-cnn")?;
    let found = attack(&cosine_attack(), &network, &[3])?;
    eprintln!("{} {:?}", found.report.finding, found.report.ssim);
    ensure(found.report.psnr.min > 20.0, || found.report.finding.clone())
}

pub(crate) fn noise(device: &Device) -> Outcome {
    let network = preset(device, DType::F32, "small-cnn")?;
    let defence = Some(Defence { clip: 1.0, noise_multiplier: 1.0 });
    let found = attack(&Experiment { defence, ..cosine_attack() }, &network, &[3])?;
    eprintln!("{} {:?}", found.report.finding, found.report.ssim);
    ensure(found.report.psnr.max < 12.0, || found.report.finding.clone())
}

pub(crate) fn updates(device: &Device) -> Outcome {
    let local = LocalTraining { epochs: 3, batch: 1, lr: 0.05 };
    let search = Cosine { steps: 200, ..Cosine::default() };
    let experiment = Experiment {
        batch: 1,
        labels_known: true,
        ..single(Method::Updates(Updates { local, search }))
    };
    let network = preset(device, DType::F32, "small-cnn")?;
    let found = attack(&experiment, &network, &[3])?;
    eprintln!("{} {:?}", found.report.finding, found.report.ssim);
    ensure(found.report.psnr.min > 20.0, || found.report.finding.clone())
}

pub(crate) fn outputs(device: &Device) -> Outcome {
    let network = preset(device, DType::F32, "small-cnn")?;
    for depth in [1, 3, 6, 10] {
        let method = Method::Features(Features { steps: 200, ..Features::default() });
        let experiment = Experiment { depth: Some(depth), batch: 4, ..single(method) };
        let found = attack(&experiment, &network, &[3, 4, 5, 6])?;
        eprintln!("{} {:?}", found.report.finding, found.report.ssim);
    }
    Ok(())
}

pub(crate) fn bad_requests(_: &Device) -> Outcome {
    Ok(())
}

pub(crate) fn explore(device: &Device) -> Outcome {
    let var = |n: &str, d: f64| std::env::var(n).ok().and_then(|v| v.parse().ok()).unwrap_or(d);
    let model = std::env::var("MODEL").unwrap_or("small-cnn".into());
    for dtype in [DType::F32, DType::F64] {
        let network = if model == "smooth" { smooth(device, dtype)? } else { preset(device, dtype, &model)? };
        let method = Method::Cosine(Cosine { steps: var("STEPS", 300.0) as usize, lr: var("LR", 0.1), tv: var("TV", 0.01), restarts: var("RESTARTS", 1.0) as usize });
        let found = attack(&Experiment { batch: var("B", 1.0) as usize, ..single(method) }, &network, &[3, 40, 80, 99])?;
        eprintln!("{dtype} {:?} {:?}", found.report.psnr, found.rows.iter().map(|r| r.psnr).collect::<Vec<_>>());
    }
    Ok(())
}
