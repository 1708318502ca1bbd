//! Which samples belong to which client.
//!
//! Two kinds of label skew are in use, and figures of one say little of the other: with
//! [`Partition::Dirichlet`] all clients have as many samples and the mixture of classes differs, with
//! [`Partition::DirichletByClass`] a class is divided among the clients, so that their sizes differ
//! too. Either way every sample belongs to exactly one client.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;
use crate::{Result, bail};

/// How samples are divided among clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Partition {
    /// At random, in equal parts.
    Iid {},
    /// In equal parts, each of classes in proportions drawn from a Dirichlet distribution with
    /// concentration `alpha` times the proportions of the whole (Hsu et al. 2019, arXiv 1909.06335,
    /// section 3). A class that is used up leaves its share to the others.
    Dirichlet {
        /// Concentration: the smaller, the fewer classes a client has.
        alpha: f64,
    },
    /// Each class by itself, in proportions drawn from a symmetric Dirichlet distribution over the
    /// clients (Yurochkin et al. 2019, section 4). A client left without samples gets one of the
    /// largest client's.
    DirichletByClass {
        /// Concentration: the smaller, the fewer clients share a class.
        alpha: f64,
    },
}

impl Partition {
    /// The kinds by name, as on the command line.
    pub const NAMES: [&'static str; 3] = ["iid", "dirichlet", "dirichlet_by_class"];

    /// The kind of this name; `alpha` does not matter to `iid`.
    ///
    /// # Errors
    /// There is none; the message lists them.
    pub fn named(name: &str, alpha: f64) -> Result<Self> {
        Ok(match name {
            "iid" => Partition::Iid {},
            "dirichlet" => Partition::Dirichlet { alpha },
            "dirichlet_by_class" => Partition::DirichletByClass { alpha },
            _ => bail!(Config, "partition: {name:?} is not one of {}", Self::NAMES.join(", ")),
        })
    }

    /// The concentration, of the kinds that have one.
    pub fn alpha(&self) -> Option<f64> {
        match *self {
            Partition::Iid {} => None,
            Partition::Dirichlet { alpha } | Partition::DirichletByClass { alpha } => Some(alpha),
        }
    }

    /// One line for tables: `dirichlet 0.1`.
    pub fn describe(&self) -> String {
        match self {
            Partition::Iid {} => "iid".into(),
            Partition::Dirichlet { alpha } => format!("dirichlet {alpha}"),
            Partition::DirichletByClass { alpha } => format!("dirichlet by class {alpha}"),
        }
    }

    /// Checks the concentration.
    ///
    /// # Errors
    /// It is not positive.
    pub fn check(&self) -> Result<()> {
        match self.alpha() {
            Some(alpha) if !(alpha > 0.0 && alpha.is_finite()) => {
                bail!(Config, "partition: alpha = {alpha} must be positive and finite, say 0.1")
            }
            _ => Ok(()),
        }
    }

    /// The rows of each client, ascending, for samples of `labels` in `0..classes`.
    ///
    /// # Errors
    /// There are fewer samples than clients.
    pub fn split(
        &self,
        labels: &[i64],
        classes: usize,
        clients: usize,
        rng: &Rng,
    ) -> Result<Vec<Vec<usize>>> {
        self.check()?;
        if labels.len() < clients || clients == 0 {
            bail!(
                Config,
                "partition: {} samples for {clients} clients; every client needs at least one",
                labels.len()
            );
        }
        let rng = rng.child("partition");
        let mut parts = match *self {
            Partition::Iid {} => iid(labels.len(), clients, &rng),
            Partition::Dirichlet { alpha } => equal(labels, classes, clients, alpha, &rng),
            Partition::DirichletByClass { alpha } => {
                by_class(labels, classes, clients, alpha, &rng)
            }
        };
        parts.iter_mut().for_each(|rows| rows.sort_unstable());
        Ok(parts)
    }
}

/// Sizes of `parts` parts of `n` that differ by one at most.
fn sizes(n: usize, parts: usize) -> impl Iterator<Item = usize> {
    (0..parts).map(move |i| n / parts + usize::from(i < n % parts))
}

fn iid(samples: usize, clients: usize, rng: &Rng) -> Vec<Vec<usize>> {
    let mut order = rng.clone().permutation(samples).into_iter();
    sizes(samples, clients).map(|size| order.by_ref().take(size).collect()).collect()
}

/// The rows of each class in random order.
fn shuffled(labels: &[i64], classes: usize, rng: &Rng) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); classes];
    for (row, &label) in labels.iter().enumerate() {
        members[label as usize].push(row);
    }
    for (class, rows) in members.iter_mut().enumerate() {
        rng.child("class").index(class as u64).shuffle(rows);
    }
    members
}

fn equal(labels: &[i64], classes: usize, clients: usize, alpha: f64, rng: &Rng) -> Vec<Vec<usize>> {
    let mut pools = shuffled(labels, classes, rng);
    let prior: Vec<f64> = pools.iter().map(|p| p.len() as f64 / labels.len() as f64).collect();
    let concentrations: Vec<f64> = prior.iter().map(|p| alpha * p).collect();
    let take = |(client, size): (usize, usize)| {
        let mut rng = rng.child("client").index(client as u64);
        let shares = dirichlet(&concentrations, &mut rng);
        (0..size).filter_map(|_| draw(&shares, &mut pools, &mut rng)).collect()
    };
    sizes(labels.len(), clients).enumerate().map(take).collect()
}

/// A row of a class drawn by `shares` among those that are left.
fn draw(shares: &[f64], pools: &mut [Vec<usize>], rng: &mut Rng) -> Option<usize> {
    let left = |weight: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let open = pools.iter().enumerate();
        open.map(|(class, pool)| if pool.is_empty() { 0.0 } else { weight(class) }).collect()
    };
    let mut weights = left(&|class| shares[class]);
    if weights.iter().sum::<f64>() <= 0.0 {
        // All that the client would have is used up: what is left, in its proportions.
        weights = left(&|class| pools[class].len() as f64);
    }
    let mut at = rng.uniform(0.0, 1.0) * weights.iter().sum::<f64>();
    let mut chosen = None;
    for (class, weight) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
        chosen = Some(class);
        at -= weight;
        if at < 0.0 {
            break;
        }
    }
    chosen.and_then(|class| pools[class].pop())
}

fn by_class(
    labels: &[i64],
    classes: usize,
    clients: usize,
    alpha: f64,
    rng: &Rng,
) -> Vec<Vec<usize>> {
    let mut parts = vec![Vec::new(); clients];
    for (class, rows) in shuffled(labels, classes, rng).into_iter().enumerate() {
        let shares = dirichlet(&vec![alpha; clients], &mut rng.child("shares").index(class as u64));
        let (mut sum, mut start) = (0.0, 0);
        for (client, share) in shares.iter().enumerate() {
            sum += share;
            let last = client + 1 == clients;
            let end = if last { rows.len() } else { (sum * rows.len() as f64).round() as usize };
            let end = end.clamp(start, rows.len());
            parts[client].extend_from_slice(&rows[start..end]);
            start = end;
        }
    }
    while let Some(empty) = parts.iter().position(Vec::is_empty) {
        let largest = (0..clients).max_by_key(|&i| (parts[i].len(), clients - i)).unwrap_or(0);
        let moved = parts[largest].pop();
        parts[empty].extend(moved);
    }
    parts
}

/// Shares drawn from a Dirichlet distribution: gamma variates over their sum, in logarithms, because
/// variates of small concentrations are below the smallest double.
pub(super) fn dirichlet(concentrations: &[f64], rng: &mut Rng) -> Vec<f64> {
    let logs: Vec<f64> = concentrations
        .iter()
        .map(|&a| if a > 0.0 { log_gamma_variate(a, rng) } else { f64::NEG_INFINITY })
        .collect();
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let raw: Vec<f64> = logs.iter().map(|log| (log - top).exp()).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|value| value / sum).collect()
}

/// The logarithm of a gamma variate of shape `a` (Marsaglia and Tsang 2000, section 2, and section 6
/// for shapes below 1).
fn log_gamma_variate(a: f64, rng: &mut Rng) -> f64 {
    if a < 1.0 {
        // ln U is minus an exponential variate.
        let scaled = -rng.exponential() / a;
        return log_gamma_variate(a + 1.0, rng) + scaled;
    }
    let d = a - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = rng.normal();
        let v = (1.0 + c * x).powi(3);
        if v <= 0.0 {
            continue;
        }
        if -rng.exponential() < 0.5 * x * x + d - d * v + d * v.ln() {
            return (d * v).ln();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(each: usize) -> Vec<i64> {
        (0..10 * each).map(|i| (i % 10) as i64).collect()
    }

    fn kinds() -> [Partition; 4] {
        [
            Partition::Iid {},
            Partition::Dirichlet { alpha: 0.1 },
            Partition::Dirichlet { alpha: 100.0 },
            Partition::DirichletByClass { alpha: 0.1 },
        ]
    }

    #[test]
    fn every_sample_belongs_to_exactly_one_client() {
        for clients in [1, 3, 7, 100] {
            for kind in kinds() {
                let labels = labels(31);
                let parts = kind.split(&labels, 10, clients, &Rng::new(5)).unwrap();
                assert_eq!(parts.len(), clients);
                assert!(parts.iter().all(|p| !p.is_empty()), "{kind:?} {clients}");
                let mut all = parts.concat();
                all.sort_unstable();
                assert_eq!(all, (0..labels.len()).collect::<Vec<_>>(), "{kind:?} {clients}");
                if !matches!(kind, Partition::DirichletByClass { .. }) {
                    let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
                    let (min, max) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
                    assert!(max - min <= 1, "{kind:?} {clients}: {sizes:?}");
                }
            }
        }
    }

    /// The mean over clients of the share of their most common class.
    fn skew(kind: &Partition) -> f64 {
        let labels = labels(100);
        let parts = kind.split(&labels, 10, 20, &Rng::new(2)).unwrap();
        let top = |rows: &Vec<usize>| {
            let mut counts = [0.0; 10];
            rows.iter().for_each(|&r| counts[labels[r] as usize] += 1.0);
            counts.iter().copied().fold(0.0, f64::max) / rows.len() as f64
        };
        parts.iter().map(top).sum::<f64>() / parts.len() as f64
    }

    /// A Dirichlet draw of ten classes has a largest share of 0.9 on average at a concentration of 0.01
    /// for each, and close to 0.1 at a hundred.
    #[test]
    fn the_concentration_is_the_skew() {
        let at = |alpha| skew(&Partition::Dirichlet { alpha });
        let (low, mid, high) = (at(0.1), at(1.0), at(1000.0));
        assert!(low > 0.7 && low > mid && mid > high && high < 0.3, "{low} {mid} {high}");
        assert!((high - skew(&Partition::Iid {})).abs() < 0.06);
        assert!(skew(&Partition::DirichletByClass { alpha: 0.1 }) > 0.4);
    }

    /// Mean `a_i / A` and variance `a_i (A - a_i) / (A^2 (A + 1))` within five standard errors.
    #[test]
    fn draws_have_the_moments_of_a_dirichlet_distribution() {
        let mut rng = Rng::new(3);
        for concentrations in [vec![0.5, 0.5, 1.0], vec![2.0, 3.0, 5.0], vec![0.02, 0.08, 0.1]] {
            let total: f64 = concentrations.iter().sum();
            let n = 20_000;
            let draws: Vec<Vec<f64>> =
                (0..n).map(|_| dirichlet(&concentrations, &mut rng)).collect();
            assert!(draws.iter().all(|d| (d.iter().sum::<f64>() - 1.0).abs() < 1e-12));
            for (i, a) in concentrations.iter().enumerate() {
                let mean = draws.iter().map(|d| d[i]).sum::<f64>() / n as f64;
                let want = a / total;
                let variance = want * (1.0 - want) / (total + 1.0);
                assert!((mean - want).abs() < 5.0 * (variance / n as f64).sqrt(), "{i}: {mean}");
                let spread = draws.iter().map(|d| (d[i] - want).powi(2)).sum::<f64>() / n as f64;
                assert!((spread / variance - 1.0).abs() < 0.08, "{i}: {spread} {variance}");
            }
        }
        let tiny = dirichlet(&[1e-5; 10], &mut rng);
        assert!(
            tiny.iter().all(|s| s.is_finite()) && (tiny.iter().sum::<f64>() - 1.0).abs() < 1e-12
        );
    }

    #[test]
    fn what_is_no_partition_is_refused() {
        for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Partition::Dirichlet { alpha }.check().is_err(), "{alpha}");
        }
        let few = Partition::Iid {}.split(&[0, 1], 2, 3, &Rng::new(1)).unwrap_err().to_string();
        assert!(few.contains("2 samples for 3 clients"), "{few}");
        assert!(Partition::named("dirichlett", 1.0).is_err());
    }
}
