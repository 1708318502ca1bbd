//! Attacks that search, on networks that are not trained, as in a client's first round.

use inocula_core::place::Placement;
use inocula_core::privacy::reconstruction::matching::{Distance, Target, gradients};
use inocula_core::privacy::reconstruction::{
    Cosine, Defence, Dlg, Experiment, Features, LocalTraining, Method, Seen, Updates, observe,
};
use inocula_core::rng::Rng;
use inocula_core::{DType, Device, Tensor};
use inocula_tests::harness::{Outcome, ensure};

use crate::subjects::{attack, preset, records, single, smooth};

const ROWS: [usize; 2] = [3, 80];

/// The paper's claim: what it recovers cannot be told from the record. 40 dB is an error of one part in
/// a hundred of the range.
pub(crate) fn dlg(device: &Device) -> Outcome {
    let method = Method::Idlg(Dlg { steps: 200, restarts: 3 });
    let found = attack(&single(method), &smooth(device, DType::F64)?, &ROWS)?;
    ensure(found.report.psnr.min > 40.0, || found.report.finding.clone())?;
    ensure(found.report.labels.is_some_and(|l| l.successes == 2), || "a label is wrong".into())
}

pub(crate) fn dlg_labels(device: &Device) -> Outcome {
    let method = Method::Dlg(Dlg { steps: 300, restarts: 6 });
    let found = attack(&single(method), &smooth(device, DType::F64)?, &[3])?;
    ensure(found.report.psnr.min > 40.0, || found.report.finding.clone())?;
    let right = found.report.labels.map_or(0, |l| l.successes);
    ensure(right == 1, || "the label was not found".into())
}

fn cosine_attack() -> Experiment {
    single(Method::Cosine(Cosine { steps: 300, ..Cosine::default() }))
}

/// Three hundred steps on a convolutional network with ReLU: 25 dB and more, where the mean record
/// has 10.
pub(crate) fn cosine(device: &Device) -> Outcome {
    let found = attack(&cosine_attack(), &preset(device, DType::F32, "wong-small")?, &ROWS)?;
    ensure(found.report.psnr.min > 25.0, || found.report.finding.clone())?;
    let base = found.report.baseline_psnr.max;
    ensure(base < 15.0 && found.report.baseline_recovered.successes == 0, || format!("{base}"))
}

/// A batch is found as one, and each reconstruction counts for one record.
pub(crate) fn batch(device: &Device) -> Outcome {
    let experiment = Experiment { batch: 2, ..cosine_attack() };
    let found = attack(&experiment, &preset(device, DType::F32, "wong-small")?, &ROWS)?;
    ensure(found.report.labels.is_some_and(|l| l.successes == 2), || "a label is wrong".into())?;
    ensure(found.report.psnr.min > 18.0, || found.report.finding.clone())?;
    ensure(found.rows.iter().map(|r| r.row).eq(ROWS), || "records are out of order".into())
}

/// The noise of epsilon around 1 leaves less than the mean record tells.
pub(crate) fn noise(device: &Device) -> Outcome {
    let network = preset(device, DType::F32, "wong-small")?;
    let defence = Some(Defence { clip: 1.0, noise_multiplier: 1.0 });
    let found = attack(&Experiment { defence, ..cosine_attack() }, &network, &ROWS)?;
    ensure(found.report.psnr.max < 12.0, || found.report.finding.clone())?;
    ensure(found.report.recovered.successes == 0, || found.report.finding.clone())?;
    let finding = &found.report.finding;
    ensure(finding.contains("95 % interval") && finding.contains("another may not"), || {
        finding.clone()
    })
}

/// Four local steps: unrolled they are matched; taken for one gradient they are matched worse.
pub(crate) fn updates(device: &Device) -> Outcome {
    let local = LocalTraining { epochs: 2, batch: 1, lr: 0.5 };
    let search = Cosine { steps: 300, ..Cosine::default() };
    let method = Method::Updates(Updates { local, search: search.clone() });
    let experiment = Experiment { batch: 2, labels_known: true, ..single(method.clone()) };
    let network = preset(device, DType::F32, "wong-small")?;
    let found = attack(&experiment, &network, &ROWS)?;
    ensure(found.report.psnr.min > 18.0, || found.report.finding.clone())?;
    let (data, _) = records()?;
    let (x, y) = Placement::new(device).tensors(&data, &ROWS)?;
    let as_one =
        gradients(&network, &network.params().tracked(), &x, &Target::Classes(y.clone()), false)?;
    let difference = local.difference(&network, &x, &y, false)?;
    let apart = Distance::Cosine.between(&difference, &as_one)?.item()?;
    ensure(apart > 0.01, || format!("several steps differ from one gradient by {apart:e} only"))?;
    let again = local.difference(&network, &x.tracked(), &y, true)?;
    let off = Distance::Cosine.between(&difference, &again)?.item()?;
    ensure(off.abs() < 1e-5, || format!("with a graph the steps come out {off:e} apart"))
}

/// The first layers keep the record, the logits do not.
pub(crate) fn outputs(device: &Device) -> Outcome {
    let network = preset(device, DType::F32, "wong-small")?;
    let psnr = |depth: usize| {
        let method = Method::Features(Features { steps: 300, ..Features::default() });
        let experiment = Experiment { depth: Some(depth), batch: 2, ..single(method) };
        attack(&experiment, &network, &ROWS).map(|found| found.report.psnr)
    };
    let (first, logits) = (psnr(2)?, psnr(8)?);
    ensure(first.min > 25.0, || format!("behind the first layers {first:?}"))?;
    ensure(logits.mean < first.mean - 5.0, || format!("logits {logits:?}, layers {first:?}"))
}

pub(crate) fn bad_requests(device: &Device) -> Outcome {
    let network = preset(device, DType::F32, "mlp")?;
    let refused = |experiment: &Experiment, rows: &[usize], part: &str| {
        let text =
            attack(experiment, &network, rows).err().map(|e| e.message().unwrap_or("").to_owned());
        ensure(text.as_ref().is_some_and(|t| t.contains(part)), || format!("{part}: {text:?}"))
    };
    let usual = cosine_attack();
    let cosine = |c: Cosine| single(Method::Cosine(c));
    refused(&cosine(Cosine { steps: 0, ..Cosine::default() }), &[0], "steps = 0")?;
    refused(&cosine(Cosine { lr: f64::NAN, ..Cosine::default() }), &[0], "lr = NaN")?;
    refused(&cosine(Cosine { restarts: 0, ..Cosine::default() }), &[0], "restarts = 0")?;
    refused(&Experiment { batch: 0, ..usual.clone() }, &[0], "0 at a time")?;
    refused(&usual, &[], "0 records")?;
    let defence = Some(Defence { clip: -1.0, noise_multiplier: 1.0 });
    refused(&Experiment { defence, ..usual.clone() }, &[0], "bound = -1")?;
    let features = single(Method::named("features")?);
    refused(&Experiment { depth: Some(99), ..features.clone() }, &[0], "layer 99")?;
    let defence = Some(Defence { clip: 1.0, noise_multiplier: 1.0 });
    refused(&Experiment { defence, ..features }, &[0], "outputs have none")?;
    ensure(Method::named("cosin").is_err_and(|e| e.to_string().contains("mean cosine?")), || {
        "a mistyped method".into()
    })?;
    // A gradient of zero shows nothing, and that is said.
    let method = Method::named("cosine")?;
    let x = Tensor::zeros(device, DType::F32, &[1, 1, 8, 8]);
    let y = Tensor::from_slice(device, &[0i64], &[1])?;
    let leaked = observe(&method, &network, (&x, &y), None, None, &Rng::new(1))?;
    let inocula_core::privacy::reconstruction::Leaked::Gradient(g) = leaked else {
        return Err("no gradient".into());
    };
    let zero = g.iter().map(|g| g.fill(0.0)).collect();
    let leaked = inocula_core::privacy::reconstruction::Leaked::Gradient(zero);
    let seen = Seen { network: &network, samples: 1, leaked };
    let err = method.run(&seen, None, &Rng::new(1), &mut |_, _| Ok(())).err();
    ensure(err.is_some_and(|e| e.to_string().contains("nothing to match")), || "zero".into())
}
