//! What needs no search: divisions, signs, and the optimum of a convex model.

use inocula_core::place::Placement;
use inocula_core::privacy::reconstruction::database::Convex;
use inocula_core::privacy::reconstruction::{
    Analytic, Leaked, Method, Seen, infer_labels, observe,
};
use inocula_core::rng::Rng;
use inocula_core::{DType, Device};
use inocula_tests::harness::{Outcome, ensure};
use libtest_mimic::Failed;

use crate::subjects::{preset, records};

/// Largest difference of values over the largest value.
fn relative(got: &[f64], want: &[f64]) -> f64 {
    let scale = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    got.iter().zip(want).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max)
}

/// Reconstructions of `rows` by division, and the records.
fn divided(
    device: &Device,
    dtype: DType,
    model: &str,
    rows: &[usize],
) -> Result<(Vec<f64>, Vec<f64>), Failed> {
    let network = preset(device, dtype, model)?;
    let (data, _) = records()?;
    let (x, y) = Placement { dtype, ..Placement::new(device) }.tensors(&data, rows)?;
    let method = Method::Analytic(Analytic::default());
    let leaked = observe(&method, &network, (&x, &y), None, None, &Rng::new(1))?;
    let seen = Seen { network: &network, samples: rows.len(), leaked };
    let guess = method.run(&seen, None, &Rng::new(1), &mut |_, _| Ok(()))?;
    Ok((guess.x.to_f64_vec()?, x.to_f64_vec()?))
}

pub(crate) fn division(device: &Device) -> Outcome {
    for (dtype, off) in [(DType::F64, 1e-6), (DType::F32, 1e-4)] {
        for model in ["mlp", "logistic"] {
            for row in [0, 17, 400] {
                let (got, want) = divided(device, dtype, model, &[row])?;
                let worst = relative(&got, &want);
                ensure(worst <= off, || format!("{model} in {dtype}, record {row}: {worst:e}"))?;
            }
        }
    }
    Ok(())
}

/// Of eight records in 128 ReLU units, some are shown alone.
pub(crate) fn batch(device: &Device) -> Outcome {
    let rows: Vec<usize> = (0..8).map(|i| i * 31).collect();
    let (got, want) = divided(device, DType::F64, "mlp", &rows)?;
    let shown = |want: &[f64]| got.chunks(64).any(|got| relative(got, want) <= 1e-6);
    let count = want.chunks(64).filter(|want| shown(want)).count();
    ensure(count >= 1, || "no record of eight was shown by a unit of its own".into())
}

/// iDLG's rule has no exception at batches of one.
pub(crate) fn labels(device: &Device) -> Outcome {
    let (data, _) = records()?;
    let place = Placement::new(device);
    let method = Method::named("idlg")?;
    for model in ["small-cnn", "mlp"] {
        let network = preset(device, DType::F32, model)?;
        for row in (0..data.len()).step_by(40) {
            let (x, y) = place.tensors(&data, &[row])?;
            let leaked = observe(&method, &network, (&x, &y), None, None, &Rng::new(1))?;
            let Leaked::Gradient(gradient) = leaked else { return Err("no gradient".into()) };
            let got = infer_labels(&network, &gradient, 1, &Rng::new(1))?;
            ensure(got == [data.labels[row]], || format!("{model}, record {row}: {got:?}"))?;
        }
    }
    Ok(())
}

pub(crate) fn database(device: &Device) -> Outcome {
    let (data, _) = records()?;
    let data = data.take_stratified(150, &Rng::new(4));
    let model = Convex::train(device, &data, 0.01)?;
    for target in [0, 70, 149] {
        let known: Vec<usize> = (0..data.len()).filter(|&r| r != target).collect();
        let got = model.missing(&data, &known)?;
        let want: Vec<f64> =
            data.features[target * 64..(target + 1) * 64].iter().map(|&v| f64::from(v)).collect();
        let worst = relative(&got.x, &want);
        ensure(worst <= 1e-6, || {
            format!("record {target}: {worst:e}, left {:e}", model.gradient_norm)
        })?;
        ensure(got.label == data.labels[target], || {
            format!("record {target}: label {}", got.label)
        })?;
    }
    ensure(Convex::train(device, &data, 0.0).is_err(), || "no penalty was accepted".into())
}
