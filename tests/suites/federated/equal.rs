//! Where a federation must come to the same as training in one place, and losses of clients.

use inocula_core::data::Dataset;
use inocula_core::fl::{Federation, Partition};
use inocula_core::grad::grad;
use inocula_core::loss::cross_entropy;
use inocula_core::model::Network;
use inocula_core::nn::Mode;
use inocula_core::place::Placement;
use inocula_core::rng::Rng;
use inocula_core::train::fit;
use inocula_core::{DType, Device, Result, Tensor};
use inocula_tests::harness::{Outcome, ensure};

use super::{How, data, distance, network, sgd, weights};

/// The randomness of a client in a round.
fn of_client(client: u64, round: u64) -> Rng {
    Rng::new(7).child("client").index(client).index(round)
}

/// The mean of one client's weights is its weights, to the last bit.
pub(crate) fn one_client(device: &Device) -> Outcome {
    let federation = Federation { clients: 1, rounds: 1, ..Federation::default() };
    let config = sgd(3, 32);
    let (federated, _) = How::on(device).whole(&config, &federation)?;
    let mut alone = network(device, DType::F32)?;
    fit(&mut alone, &data()?.0, None, &config, &of_client(0, 1), &mut ())?;
    ensure(federated == weights(&alone)?, || "other weights than by training alone".into())
}

/// One step of each client on all of its data, weighted by samples, is one step on all data: in exact
/// arithmetic, so in f64 to 1e-12 of weights around 1.
pub(crate) fn full_batches(device: &Device) -> Outcome {
    let partition = Partition::DirichletByClass { alpha: 0.5 };
    let federation = Federation { clients: 5, rounds: 3, partition, ..Federation::default() };
    let mut federated = network(device, DType::F64)?;
    How::on(device).run(&mut federated, &sgd(1, 1000), &federation, None, &mut ())?;
    let mut alone = network(device, DType::F64)?;
    fit(&mut alone, &data()?.0, None, &sgd(3, 1000), &Rng::new(1), &mut ())?;
    let start = weights(&network(device, DType::F64)?)?;
    let (federated, alone) = (weights(&federated)?, weights(&alone)?);
    let (apart, moved) = (distance(&federated, &alone), distance(&start, &alone));
    ensure(moved > 0.01 && apart < 1e-12, || format!("{apart} apart after a way of {moved}"))
}

pub(crate) fn proximal_zero(device: &Device) -> Outcome {
    let plain = Federation { clients: 3, rounds: 2, ..Federation::default() };
    let run = |proximal| {
        let federation = Federation { proximal, ..plain.clone() };
        How::on(device).whole(&sgd(2, 32), &federation)
    };
    ensure(run(0.0)?.0 == How::on(device).whole(&sgd(2, 32), &plain)?.0, || "other bits".into())?;
    ensure(run(0.0)?.0 != run(0.5)?.0, || "the term does nothing".into())
}

/// The second of two steps on all data has `mu (w_1 - w_0)` in addition to the gradient.
pub(crate) fn proximal(device: &Device) -> Outcome {
    let (mu, lr) = (0.7, 0.1);
    let federation = Federation { clients: 1, rounds: 1, proximal: mu, ..Federation::default() };
    let mut pulled = network(device, DType::F64)?;
    How::on(device).run(&mut pulled, &sgd(2, 1000), &federation, None, &mut ())?;
    let mut step = network(device, DType::F64)?;
    let w0 = weights(&step)?;
    let train = data()?.0;
    let mut next = || -> Result<Vec<f64>> {
        fit(&mut step, &train, None, &sgd(1, 1000), &Rng::new(1), &mut ())?;
        weights(&step)
    };
    let (w1, w2) = (next()?, next()?);
    let want: Vec<f64> = (0..w0.len()).map(|i| w2[i] - lr * mu * (w1[i] - w0[i])).collect();
    let (apart, term) = (distance(&weights(&pulled)?, &want), distance(&want, &w2));
    ensure(term > 1e-3 && apart < 1e-12, || format!("{apart} apart, the term is {term}"))
}

/// A step of a client whose logits are shifted by the logarithms of its class shares, against the same
/// computed here.
pub(crate) fn calibrated(device: &Device) -> Outcome {
    let partition = Partition::Dirichlet { alpha: 0.3 };
    let base = Federation { clients: 4, rounds: 1, partition, ..Federation::default() };
    let federation = Federation { calibrate: true, ..base.clone() };
    let mut shifted = network(device, DType::F64)?;
    How::on(device).run(&mut shifted, &sgd(1, 1000), &federation, None, &mut ())?;
    let train = data()?.0;
    let parts = base.partition.split(&train.labels, train.classes, 4, &Rng::new(7))?;
    let start = network(device, DType::F64)?;
    let mut want = vec![0.0; weights(&start)?.len()];
    for rows in &parts {
        let after = calibrated_step(&start, &train.select(rows))?;
        let share = rows.len() as f64 / train.len() as f64;
        want.iter_mut().zip(after).for_each(|(sum, w)| *sum += share * w);
    }
    let apart = distance(&weights(&shifted)?, &want);
    let mut plain = network(device, DType::F64)?;
    How::on(device).run(&mut plain, &sgd(1, 1000), &base, None, &mut ())?;
    let effect = distance(&weights(&plain)?, &want);
    ensure(effect > 1e-3 && apart < 1e-12, || format!("{apart} apart, the shift does {effect}"))
}

/// The weights after one step on all of `data`.
fn calibrated_step(network: &Network, data: &Dataset) -> Result<Vec<f64>> {
    let mut counts = vec![1e-6; data.classes];
    data.labels.iter().for_each(|&y| counts[y as usize] += 1.0);
    let total: f64 = counts.iter().sum();
    let logs: Vec<f64> = counts.iter().map(|c| (c / total).ln()).collect();
    let device = network.device();
    let shift = Tensor::from_f64(device, DType::F64, &logs, &[1, data.classes])?;
    let place = Placement { dtype: DType::F64, ..Placement::new(device) };
    let (x, y) = place.tensors(data, &(0..data.len()).collect::<Vec<_>>())?;
    let params = network.params().tracked();
    let logits = network.forward(&params, &x, &mut Mode::Eval)? + shift;
    let loss = cross_entropy(&logits, &y).mean_all();
    let mut after = Vec::new();
    for (w, g) in params.values().into_iter().zip(grad(&loss, &params.values())?) {
        after.extend((w.detach() - g * 0.1).to_f64_vec()?);
    }
    Ok(after)
}
