//! What a training says it cost, against the accountants on the steps that were announced.

use inocula_core::dp::accounting::{Accountant, Mechanism, Sampling};
use inocula_core::report::EpochRecord;
use inocula_core::rng::Rng;
use inocula_core::train::{Clipping, NoiseSchedule, Observer, Private, Rule, fit};
use inocula_core::{Device, Error, ErrorKind, Result};
use inocula_tests::harness::{Outcome, ensure};

use super::{DENSE, config, data, network, private, weights};

/// Remembers what was announced, and prevents a step.
struct Ledger {
    steps: Vec<(usize, f64, f64, u64)>,
    refuse: usize,
    /// Epsilon after each epoch.
    epsilons: Vec<f64>,
}

impl Ledger {
    fn new(refuse: usize) -> Self {
        Ledger { steps: Vec::new(), refuse, epsilons: Vec::new() }
    }
}

impl Observer for Ledger {
    fn mechanism(&mut self, step: usize, m: &Mechanism) -> Result<()> {
        if step == self.refuse {
            return Err(Error::new(ErrorKind::Io, "the ledger is full"));
        }
        self.steps.push((step, m.sampling_rate(), m.noise_multiplier(), m.steps()));
        Ok(())
    }

    fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        self.epsilons.extend(record.epsilon);
        Ok(())
    }
}

/// 50 samples in batches of 8: seven steps an epoch.
const SAMPLES: usize = 50;
const BATCH: usize = 8;

fn usual() -> Private {
    private(1.0, Clipping::Flat { bound: 1.0 })
}

pub(super) fn told(device: &Device) -> Outcome {
    let mut network = network(device, DENSE)?;
    let before = weights(&network)?;
    let schedule = NoiseSchedule::Exponential { factor: 0.5 };
    let config = config(3, BATCH, Rule::Standard {}, Private { schedule, ..usual() });
    let mut refusing = Ledger::new(0);
    let result = fit(&mut network, &data(SAMPLES)?, None, &config, &Rng::new(1), &mut refusing);
    ensure(result.is_err_and(|e| e.kind() == ErrorKind::Io), || "the step was taken".into())?;
    ensure(weights(&network)? == before, || "weights moved without a word".into())?;
    let mut ledger = Ledger::new(usize::MAX);
    fit(&mut network, &data(SAMPLES)?, None, &config, &Rng::new(1), &mut ledger)?;
    let rate = BATCH as f64 / SAMPLES as f64;
    let expected: Vec<_> =
        (0..21).map(|step| (step, rate, [1.0, 0.5, 0.25][step / 7], 1)).collect();
    ensure(ledger.steps == expected, || format!("{:?}", ledger.steps))
}

pub(super) fn epsilon(device: &Device) -> Outcome {
    let steps = NoiseSchedule::Steps { epochs: 2, factor: 0.8 };
    let quantile = Clipping::named("quantile", 1.0)?;
    let wide = Clipping::Quantile { bound: 1.0, quantile: 0.5, rate: 0.2, count_noise: Some(2.0) };
    ensure(quantile != wide, || "the usual noise of the count is 0.4 here".into())?;
    for private in [
        usual(),
        Private { schedule: steps, ..usual() },
        private(1.0, wide),
        Private { sampling: Sampling::Shuffled, ..usual() },
    ] {
        let mut ledger = Ledger::new(usize::MAX);
        let mut network = network(device, DENSE)?;
        let config = config(3, BATCH, Rule::Standard {}, private.clone());
        let trained = fit(&mut network, &data(SAMPLES)?, None, &config, &Rng::new(1), &mut ledger)?;
        let budget = trained.privacy.ok_or("no budget")?;
        let told = ledger.steps.iter().map(|&(_, q, sigma, t)| Mechanism::new(q, sigma, t));
        let told = told.collect::<Result<Vec<_>>>()?;
        let spent = |name: &str| -> Result<f64> {
            Ok(Accountant::named(name)?.spent(&told, private.delta, private.sampling)?.epsilon)
        };
        ensure(budget.epsilon == spent("pld")?, || format!("{budget:?}"))?;
        ensure(budget.rdp_epsilon == Some(spent("rdp")?), || format!("{budget:?}"))?;
        ensure(budget.steps == 21 && budget.delta == private.delta, || format!("{budget:?}"))?;
        let rising = ledger.epsilons.is_sorted_by(|a, b| a < b) && ledger.epsilons.len() == 3;
        ensure(rising && ledger.epsilons.last() == budget.rdp_epsilon.as_ref(), || {
            format!("{:?} for {budget:?}", ledger.epsilons)
        })?;
        let doubted = budget.warnings.iter().any(|line| line.contains("Poisson"));
        ensure(doubted == (private.sampling != Sampling::Poisson), || format!("{budget:?}"))?;
        let steady = matches!(private.schedule, NoiseSchedule::Constant {});
        let phases = if steady { 0 } else { 2 };
        ensure(budget.phases.len() == phases, || format!("{budget:?}"))?;
    }
    Ok(())
}

pub(super) fn calibrated(device: &Device) -> Outcome {
    let asked = Private { noise_multiplier: None, epsilon: Some(2.0), ..usual() };
    let mut network = network(device, DENSE)?;
    let config = config(2, BATCH, Rule::Standard {}, asked);
    let trained = fit(&mut network, &data(SAMPLES)?, None, &config, &Rng::new(1), &mut ())?;
    let epsilon = trained.privacy.ok_or("no budget")?.epsilon;
    ensure(epsilon <= 2.0 && epsilon > 1.99, || format!("{epsilon} was spent"))
}

/// The loss on the training data is no function of what has noise.
pub(super) fn no_loss(device: &Device) -> Outcome {
    let mut network = network(device, DENSE)?;
    let held_out = data(20)?;
    let config = config(2, BATCH, Rule::Standard {}, usual());
    let rng = Rng::new(1);
    let trained = fit(&mut network, &data(SAMPLES)?, Some(&held_out), &config, &rng, &mut ())?;
    let text = serde_json::to_string(&trained.history).map_err(|e| e.to_string())?;
    ensure(!text.contains("loss") && text.contains("clean_accuracy"), || text.clone())
}
