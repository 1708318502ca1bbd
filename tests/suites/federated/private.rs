//! Secure aggregation, privacy of clients, privacy within them.

use inocula_core::Device;
use inocula_core::dp::accounting::{Accountant, Mechanism, Sampling};
use inocula_core::dp::ledger;
use inocula_core::fl::{ClientPrivacy, Federation, Partition, Secure};
use inocula_core::train::{Private, TrainConfig};
use inocula_tests::harness::{Outcome, ensure};

use super::{How, distance, sgd};

/// What the server gets by masked integers is the mean to their resolution, drop-outs included; where
/// too many drop out for the threshold, the round is lost.
pub(crate) fn secure(device: &Device) -> Outcome {
    let partition = Partition::DirichletByClass { alpha: 1.0 };
    let plain =
        Federation { clients: 8, rounds: 2, dropout: 0.2, partition, ..Federation::default() };
    let hidden =
        Federation { secure: Some(Secure { range: 1.0, threshold: 0.51 }), ..plain.clone() };
    let how = How::on(device);
    let ((want, told), (got, kept)) =
        (how.whole(&sgd(1, 16), &plain)?, how.whole(&sgd(1, 16), &hidden)?);
    let apart = distance(&want, &got);
    // 650 weights, each off by 8 clients' rounding of 2^-28, divided by the weights, which sum to
    // one or more: under 2e-6; and the rounding of f32 twice.
    ensure(apart < 1e-5, || format!("{apart} from the plain mean"))?;
    for (a, b) in told.history.iter().zip(&kept.history) {
        ensure(a.answered == b.answered && b.loss.is_none(), || format!("{a:?} {b:?}"))?;
        ensure(b.cut_off == 0 && !b.lost, || format!("{b:?}"))?;
    }
    let narrow =
        Federation { secure: Some(Secure { range: 1e-4, threshold: 0.51 }), ..plain.clone() };
    let cut = how.whole(&sgd(1, 16), &narrow)?.1.history[0].cut_off;
    ensure(cut > 0, || "nothing was cut off at 1e-4".into())?;
    let strict = Federation { secure: Some(Secure { range: 1.0, threshold: 1.0 }), ..plain };
    let history = how.whole(&sgd(1, 16), &strict)?.1.history;
    let right = history.iter().all(|r| r.lost == (r.dropped > 0));
    ensure(right && history.iter().any(|r| r.lost), || format!("{history:?}"))
}

pub(crate) fn clients(device: &Device) -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("ledger");
    let privacy = ClientPrivacy {
        clip: 0.5,
        noise_multiplier: Some(0.8),
        cap: Some(20),
        ..ClientPrivacy::default()
    };
    let federation = Federation {
        clients: 20,
        rounds: 4,
        per_round: Some(5),
        privacy: Some(privacy),
        ..Federation::default()
    };
    let how = How { ledger: Some(&path), ..How::on(device) };
    let (first, outcome) = how.whole(&sgd(1, 16), &federation)?;
    let recorded = ledger::read(&path)?;
    ensure(recorded.steps() == 4 && recorded.terms.samples == 20, || format!("{recorded:?}"))?;
    let steps = [Mechanism::new(0.25, 0.8, 4)?];
    let want = Accountant::named("pld")?.spent(&steps, 1e-5, Sampling::Poisson)?.epsilon;
    let budget = outcome.privacy.ok_or("no budget")?;
    ensure(budget.epsilon == want && budget.steps == 4, || format!("{budget:?}, want {want}"))?;
    // Nothing that depends on who came is told, and epsilon grows.
    for record in &outcome.history {
        let silent =
            record.answered.is_none() && record.selected.is_none() && record.loss.is_none();
        ensure(silent && record.epsilon.is_some(), || format!("{record:?}"))?;
    }
    let spent: Vec<Option<f64>> = outcome.history.iter().map(|r| r.epsilon).collect();
    ensure(spent.is_sorted(), || format!("{spent:?}"))?;
    // The noise is no seed's.
    let again = How { ledger: Some(&folder.path().join("again")), ..How::on(device) };
    ensure(again.whole(&sgd(1, 16), &federation)?.0 != first, || "the same noise twice".into())
}

pub(crate) fn samples(device: &Device) -> Outcome {
    let folder = tempfile::tempdir()?;
    let private = Private { noise_multiplier: Some(1.2), ..Private::default() };
    let config = TrainConfig { private: Some(private), ..sgd(2, 16) };
    let partition = Partition::DirichletByClass { alpha: 1.0 };
    let federation = Federation {
        clients: 4,
        rounds: 3,
        per_round: Some(3),
        partition,
        ..Federation::default()
    };
    let how = How { ledger: Some(folder.path()), ..How::on(device) };
    let (_, outcome) = how.whole(&config, &federation)?;
    let mut visits = 0;
    for budget in &outcome.clients {
        let path = folder.path().join(format!("client-{:05}", budget.client));
        let recorded = ledger::read(&path)?;
        let epoch = budget.samples.div_ceil(16.min(budget.samples)) as u64;
        let times = recorded.steps() / (2 * epoch);
        ensure(times * 2 * epoch == recorded.steps() && times <= 3, || format!("{budget:?}"))?;
        visits += times;
        let rate = 16.0_f64.min(budget.samples as f64) / budget.samples as f64;
        let steps = [Mechanism::new(rate, 1.2, recorded.steps())?];
        let want = Accountant::named("pld")?.spent(&steps, 1e-5, Sampling::Poisson)?.epsilon;
        ensure(budget.epsilon == want, || format!("{budget:?}, want {want}"))?;
    }
    ensure(visits == 9, || format!("{visits} visits of clients in three rounds of three"))?;
    ensure(outcome.privacy.is_none(), || "a budget of the federation".into())
}
