//! Rules against their definitions, and what attackers can do to each.

use super::*;
use crate::rng::Rng;

fn update(client: usize, delta: &[f64]) -> Update {
    Update { client, samples: 1, loss: Some(1.0), delta: delta.to_vec() }
}

fn updates(deltas: &[&[f64]]) -> Vec<Update> {
    deltas.iter().enumerate().map(|(i, d)| update(i, d)).collect()
}

fn random(n: usize, length: usize, seed: u64) -> Vec<Update> {
    let mut rng = Rng::new(seed);
    let each = |client| Update {
        client,
        samples: 1 + rng.below(9),
        loss: Some(rng.uniform(0.1, 2.0)),
        delta: (0..length).map(|_| rng.normal()).collect(),
    };
    (0..n).map(each).collect()
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

/// Every rule, for 11 updates of which two are Byzantine.
fn every() -> Vec<Aggregate> {
    vec![
        Aggregate::Mean { uniform: false },
        Aggregate::Mean { uniform: true },
        Aggregate::Median {},
        Aggregate::TrimmedMean { byzantine: 2 },
        Aggregate::Krum { byzantine: 2 },
        Aggregate::MultiKrum { byzantine: 2, keep: None },
        Aggregate::Bulyan { byzantine: 2 },
        Aggregate::geometric_median(),
        Aggregate::NormBound { bound: None },
        Aggregate::slack(),
    ]
}

#[test]
fn by_hand() {
    let three = updates(&[&[1.0, 10.0], &[2.0, -10.0], &[6.0, 0.0]]);
    let of = |rule: Aggregate| rule.combine(&three).unwrap();
    assert_eq!(of(Aggregate::Mean { uniform: true }), [3.0, 0.0]);
    assert_eq!(of(Aggregate::Median {}), [2.0, 0.0]);
    assert_eq!(of(Aggregate::TrimmedMean { byzantine: 1 }), [2.0, 0.0]);
    let four = updates(&[&[1.0], &[5.0], &[2.0], &[100.0]]);
    assert_eq!(Aggregate::Median {}.combine(&four).unwrap(), [3.5]);
    assert_eq!(Aggregate::TrimmedMean { byzantine: 1 }.combine(&four).unwrap(), [3.5]);
    // By samples.
    let mut two = updates(&[&[0.0], &[8.0]]);
    (two[0].samples, two[1].samples) = (3, 1);
    assert_eq!(Aggregate::Mean { uniform: false }.combine(&two).unwrap(), [2.0]);
    assert_eq!(Aggregate::Mean { uniform: true }.combine(&two).unwrap(), [4.0]);
    // Norms 3 and 8, scaled to 4.
    assert_eq!(Aggregate::NormBound { bound: Some(4.0) }.combine(&two).unwrap(), [1.0]);
    // The one of small loss weighs (1 + 1/3) / (1 - 1/3) = 2 times its samples.
    let mut losses = updates(&[&[0.0], &[9.0]]);
    (losses[0].loss, losses[1].loss) = (Some(0.1), Some(0.2));
    let slack = Aggregate::Slack { slack: 1.0 / 3.0, kept: 0.5 };
    assert!(close(&slack.combine(&losses).unwrap(), &[3.0], 1e-12));
    // More samples make a larger summed loss.
    losses[0].samples = 4;
    assert!(close(&slack.combine(&losses).unwrap(), &[9.0 * 2.0 / 6.0], 1e-12));
}

/// Five points on a line, one attacker: distances to the `5 - 1 - 2 = 2` closest decide.
#[test]
fn krum_by_hand() {
    let five = updates(&[&[0.0], &[1.0], &[3.0], &[3.5], &[50.0]]);
    // Scores: 1 + 9, 1 + 4, 0.25 + 4, 0.25 + 6.25, and a great deal.
    assert_eq!(Aggregate::Krum { byzantine: 1 }.combine(&five).unwrap(), [3.0]);
    // The best two are 3 and 1.
    let multi = Aggregate::MultiKrum { byzantine: 1, keep: None };
    assert_eq!(multi.combine(&five).unwrap(), [2.0]);
    let one = Aggregate::MultiKrum { byzantine: 1, keep: Some(1) };
    assert_eq!(one.combine(&five).unwrap(), [3.0]);
}

/// Krum by trying all sets of neighbours instead of sorting distances.
#[test]
fn krum_is_the_least_sum_over_all_neighbourhoods() {
    for seed in 0..20 {
        let (n, f) = (7, 2);
        let updates = random(n, 4, seed);
        let score = |i: usize| -> f64 {
            let sets =
                (0_u32..1 << n).filter(|s| s.count_ones() as usize == n - f - 2 && s >> i & 1 == 0);
            let sum = |set: u32| -> f64 {
                let others = (0..n).filter(|j| set >> j & 1 == 1);
                let squared = |j: usize| -> f64 {
                    let pairs = updates[i].delta.iter().zip(&updates[j].delta);
                    pairs.map(|(a, b)| (a - b).powi(2)).sum()
                };
                others.map(squared).sum()
            };
            sets.map(sum).fold(f64::INFINITY, f64::min)
        };
        let best = (0..n).min_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap();
        let krum = Aggregate::Krum { byzantine: f }.combine(&updates).unwrap();
        assert_eq!(krum, updates[best].delta, "seed {seed}");
    }
}

/// Bulyan with nobody Byzantine picks everybody and keeps everything: the mean.
#[test]
fn bulyan_without_attackers_is_the_mean() {
    let updates = random(5, 6, 1);
    let mean = Aggregate::Mean { uniform: true }.combine(&updates).unwrap();
    let bulyan = Aggregate::Bulyan { byzantine: 0 }.combine(&updates).unwrap();
    assert!(close(&bulyan, &mean, 1e-12));
}

/// Seven on a line with an attacker. Krum picks five of them, of which the three closest to the median
/// count: picked are 2, 1, 3, 0 and 4 (in some order), so 1, 2 and 3.
#[test]
fn bulyan_by_hand() {
    let seven = updates(&[&[0.0], &[1.0], &[2.0], &[3.0], &[4.0], &[40.0], &[1000.0]]);
    let made = Aggregate::Bulyan { byzantine: 1 }.combine(&seven).unwrap();
    assert!(close(&made, &[2.0], 1e-12), "{made:?}");
}

/// At the geometric median the unit vectors to the updates, weighted, cancel.
#[test]
fn the_geometric_median_is_stationary() {
    for seed in 0..5 {
        let updates = random(9, 3, seed);
        let rule = Aggregate::GeometricMedian { iterations: 10_000, smoothing: 1e-9 };
        let point = rule.combine(&updates).unwrap();
        let cost = |p: &[f64]| -> f64 {
            let each = updates.iter().map(|u| {
                let squared: f64 = p.iter().zip(&u.delta).map(|(a, b)| (a - b).powi(2)).sum();
                u.samples as f64 * squared.sqrt()
            });
            each.sum()
        };
        let least = cost(&point);
        for axis in 0..3 {
            for step in [-1e-3, 1e-3] {
                let mut moved = point.clone();
                moved[axis] += step;
                assert!(cost(&moved) > least - 1e-9, "seed {seed}: {axis} {step}");
            }
        }
    }
    // On a line it is the median.
    let line = updates(&[&[0.0], &[1.0], &[2.0], &[30.0], &[500.0]]);
    let rule = Aggregate::GeometricMedian { iterations: 5000, smoothing: 1e-9 };
    assert!(close(&rule.combine(&line).unwrap(), &[2.0], 1e-3));
}

/// Two of eleven send anything: the mean goes where they want, the others stay with the honest.
#[test]
fn attackers_move_robust_rules_by_a_bounded_amount() {
    for rule in every() {
        let mut reach: Vec<f64> = Vec::new();
        for size in [1e3, 1e6, 1e9] {
            let mut updates = random(11, 5, 3);
            updates[2].delta = vec![size; 5];
            updates[7].delta = vec![size; 5];
            updates.iter_mut().for_each(|u| u.samples = 1);
            let made = rule.combine(&updates).unwrap();
            reach.push(made.iter().map(|v| v.abs()).fold(0.0, f64::max));
        }
        let bounded = reach.iter().all(|r| *r < 5.0);
        let means = rule.is_mean() || matches!(rule, Aggregate::Slack { .. });
        assert_eq!(bounded, !means, "{rule:?}: {reach:?}");
        assert!(!means || reach[2] > 1e7, "{rule:?}: {reach:?}");
    }
}

/// With one attacker more than it was told of, a trimmed mean goes where they want, and a median with
/// half of the clients does.
#[test]
fn beyond_the_breakdown_point_nothing_holds() {
    let mut updates = random(11, 2, 4);
    updates[..3].iter_mut().for_each(|u| u.delta = vec![1e9; 2]);
    assert!(Aggregate::TrimmedMean { byzantine: 2 }.combine(&updates).unwrap()[0] > 1e6);
    assert!(Aggregate::Median {}.combine(&updates).unwrap()[0] < 5.0);
    updates[..6].iter_mut().for_each(|u| u.delta = vec![1e9; 2]);
    assert!(Aggregate::Median {}.combine(&updates).unwrap()[0] > 1e6);
}

/// What rules have in common: equal updates come back, and all follow a shift of everybody, but for the
/// bound on norms, which is about the origin.
#[test]
fn rules_agree_with_those_who_agree_and_follow_shifts() {
    let same = updates(&[&[1.5, -2.0][..]; 11]);
    let base = random(11, 4, 9);
    for rule in every() {
        assert!(close(&rule.combine(&same).unwrap(), &[1.5, -2.0], 1e-12), "{rule:?}");
        if matches!(rule, Aggregate::NormBound { .. }) {
            continue;
        }
        let mut moved = base.clone();
        moved.iter_mut().for_each(|u| u.delta.iter_mut().for_each(|v| *v += 7.0));
        let want: Vec<f64> = rule.combine(&base).unwrap().iter().map(|v| v + 7.0).collect();
        assert!(close(&rule.combine(&moved).unwrap(), &want, 1e-8), "{rule:?}");
    }
}

#[test]
fn too_few_clients_and_bad_constants_are_named() {
    let refused = |rule: Aggregate, n| rule.check(n).unwrap_err().to_string();
    let cases = [
        (Aggregate::Krum { byzantine: 2 }, 6, "n >= 2 f + 3"),
        (Aggregate::MultiKrum { byzantine: 2, keep: None }, 6, "at least 7 updates"),
        (Aggregate::Bulyan { byzantine: 2 }, 10, "n >= 4 f + 3"),
        (Aggregate::TrimmedMean { byzantine: 3 }, 6, "n >= 2 f + 1"),
        (Aggregate::MultiKrum { byzantine: 1, keep: Some(9) }, 7, "keep = 9"),
        (Aggregate::NormBound { bound: Some(0.0) }, 3, "bound = 0"),
        (Aggregate::Slack { slack: 1.0, kept: 0.2 }, 3, "slack = 1"),
        (Aggregate::GeometricMedian { iterations: 0, smoothing: 1.0 }, 3, "iterations = 0"),
    ];
    for (rule, n, part) in cases {
        let text = refused(rule, n);
        assert!(text.contains(part), "{text}");
    }
    assert!(every().iter().all(|rule| rule.check(11).is_ok()));
    let few = Aggregate::Krum { byzantine: 1 }.combine(&random(4, 2, 1)).unwrap_err();
    assert!(few.to_string().contains("4 updates"));
    let mut silent = random(3, 2, 1);
    silent[1].loss = None;
    assert!(Aggregate::slack().combine(&silent).unwrap_err().to_string().contains("client 1"));
    let uneven = updates(&[&[1.0], &[1.0, 2.0]]);
    assert!(Aggregate::Median {}.combine(&uneven).is_err());
}
