//! Clients that drop out, are slow or attack, and that the rest learns all the same.

use inocula_core::Device;
use inocula_core::attack::{AttackConfig, Fgsm, Norm};
use inocula_core::fl::{Aggregate, Attacker, Attackers, Federation, Late, Partition, Stragglers};
use inocula_core::train::TrainConfig;
use inocula_tests::harness::{Outcome, ensure};

use super::{How, sgd};

/// Selected are those that answered, dropped out, were late or failed; late ones with part of their
/// epochs answered too. Over many rounds the shares are those that were asked for.
pub(crate) fn counts(device: &Device) -> Outcome {
    for late in [Late::Dropped, Late::Partial] {
        let federation = Federation {
            clients: 12,
            rounds: 20,
            per_round: Some(10),
            dropout: 0.3,
            stragglers: Some(Stragglers { share: 0.5, late }),
            evaluate_every: 20,
            ..Federation::default()
        };
        let (_, outcome) = How::on(device).whole(&sgd(4, 32), &federation)?;
        let (mut dropped, mut slow) = (0, 0);
        for record in &outcome.history {
            let answered = record.answered.unwrap_or(0);
            let silent = if late == Late::Dropped { record.late } else { 0 };
            let all = answered + record.dropped + silent + record.failed;
            ensure(record.selected == Some(10) && all == 10, || format!("{record:?}"))?;
            let judged = record.clean_accuracy.is_some();
            ensure(judged == (record.round == 20), || format!("{record:?}"))?;
            (dropped, slow) = (dropped + record.dropped, slow + record.late);
        }
        // Of 200, 60 drop out; half of the others are slow, a quarter of which draws all its epochs
        // where they may. Four standard errors.
        let want = if late == Late::Dropped { 70.0 } else { 52.5 };
        let near = |count: usize, want: f64| (count as f64 - want).abs() < 4.0 * want.sqrt();
        ensure(near(dropped, 60.0) && near(slow, want), || format!("{dropped} {slow}"))?;
    }
    Ok(())
}

/// Krum for two attackers needs seven updates: with fewer the weights stay.
pub(crate) fn lost(device: &Device) -> Outcome {
    let federation = Federation {
        clients: 8,
        rounds: 8,
        dropout: 0.3,
        aggregate: Aggregate::Krum { byzantine: 2 },
        ..Federation::default()
    };
    let (_, outcome) = How::on(device).whole(&sgd(1, 32), &federation)?;
    let mut before = None;
    for record in &outcome.history {
        let few = record.answered.unwrap_or(0) < 7;
        ensure(record.lost == few, || format!("{record:?}"))?;
        if few && before.is_some() {
            ensure(record.clean_accuracy == before, || format!("moved: {record:?}"))?;
        }
        before = record.clean_accuracy;
    }
    let lost = outcome.history.iter().filter(|r| r.lost).count();
    ensure((1..8).contains(&lost), || format!("{lost} of 8 rounds were lost"))
}

/// One attacker of ten replaces the model under the mean; Krum, told of one, leaves it out.
pub(crate) fn backdoor(device: &Device) -> Outcome {
    let attackers = Some(Attackers { count: 1, attacker: Attacker::named("replacement")? });
    let rates = [Aggregate::default(), Aggregate::Krum { byzantine: 1 }].map(|aggregate| {
        let attackers = attackers.clone();
        let federation = Federation { rounds: 6, attackers, aggregate, ..Federation::default() };
        How::on(device).whole(&sgd(4, 8), &federation)
    });
    let [mean, krum] = rates;
    let (mean, krum) = (mean?.1.history, krum?.1.history);
    let rate = |history: &[inocula_core::fl::RoundRecord]| {
        history.last().and_then(|r| r.backdoor_rate).unwrap_or(f64::NAN)
    };
    let (open, shut) = (rate(&mean), rate(&krum));
    ensure(open > 0.6 && shut < 0.3, || format!("{open} under the mean, {shut} under Krum"))
}

/// Skewed clients drift apart between two rounds, so they come to less in as many.
pub(crate) fn learns(device: &Device) -> Outcome {
    let attack = AttackConfig::Fgsm(Fgsm::new(Norm::Linf, 0.05));
    let config = TrainConfig { monitor: Some(attack), monitor_samples: 50, ..sgd(4, 8) };
    let cases = [(Partition::Iid {}, 0.85), (Partition::Dirichlet { alpha: 0.3 }, 0.7)];
    for (partition, least) in cases {
        let federation = Federation {
            clients: 5,
            rounds: 8,
            partition,
            evaluate_every: 8,
            ..Federation::default()
        };
        let (_, outcome) = How::on(device).whole(&config, &federation)?;
        let last = outcome.history.last().cloned().unwrap_or_default();
        let (clean, robust) = (last.clean_accuracy, last.robust_accuracy);
        ensure(clean > Some(least) && robust < clean && robust.is_some(), || format!("{last:?}"))?;
        let loss = |i: usize| outcome.history[i].loss.unwrap_or(f64::NAN);
        ensure(loss(7) < loss(0), || format!("loss from {} to {}", loss(0), loss(7)))?;
    }
    Ok(())
}
