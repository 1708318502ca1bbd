//! `inocula audit dp`: attacks this program's own noisy steps, and says whether they leak more than
//! is claimed.
//!
//! It runs what training runs, gradients of samples through the backend, flat clipping and the sum, with
//! noise of a seed. A refuted claim is a failure with exit status 1, so that a script stops there.

use inocula_core::dp::accounting::{Accountant, Mechanism as Accounted, Sampling, Spent};
use inocula_core::dp::audit::{
    Canaries, Claim, Verdict, coins, dirac_update, gradient_canaries, judge,
};
use inocula_core::dp::mechanism::Mechanism;
use inocula_core::dp::noise::Secret;
use inocula_core::report::{NoisePhase, PrivacyBudget};
use inocula_core::rng::Rng;
use inocula_core::{Result, bail};
use serde::Serialize;

use super::dp::{at_least, at_most, explain, json};
use super::leakage;
use crate::args::{Audit, AuditCommand, AuditDp};
use crate::{backends, interrupt, output};

/// Norm of a canary's gradient over the bound it is clipped to: what was not clipped would stand out.
const EXCESS: f64 = 10.0;

pub(super) fn run(flags: &Audit, quiet: bool) -> Result<()> {
    match &flags.command {
        AuditCommand::Dp(flags) => noisy_steps(flags),
        AuditCommand::Inversion(flags) => leakage::inversion(flags, quiet),
        AuditCommand::Reconstruction(flags) => leakage::reconstruction(flags, quiet),
        AuditCommand::Updates(flags) => leakage::updates(flags, quiet),
        AuditCommand::Attributes(flags) => leakage::attributes(flags, quiet),
        AuditCommand::Membership(flags) => super::membership::run(flags, quiet),
        AuditCommand::Exposure(flags) => super::exposure::run(flags, quiet),
    }
}

/// The result as JSON.
#[derive(Serialize)]
struct Report<'a> {
    claimed: &'a Spent,
    audited: &'a Verdict,
    seed: u64,
    backend: &'a str,
}

/// The noisy steps that are audited: stretches of equal noise, in their order.
struct Steps {
    sampling_rate: f64,
    phases: Vec<NoisePhase>,
    delta: f64,
}

impl Steps {
    /// Those of a private run, else those that the flags name.
    fn of(flags: &AuditDp, budget: Option<&PrivacyBudget>) -> Result<Self> {
        let one = |noise_multiplier, steps| vec![NoisePhase { noise_multiplier, steps }];
        if let Some(b) = budget {
            let phases = match b.phases.is_empty() {
                true => one(b.noise_multiplier, b.steps),
                false => b.phases.clone(),
            };
            return Ok(Steps { sampling_rate: b.sampling_rate, phases, delta: b.delta });
        }
        let named = (flags.sampling_rate, flags.noise_multiplier, flags.steps, flags.delta);
        let (Some(sampling_rate), Some(noise), Some(steps), Some(delta)) = named else {
            bail!(
                Config,
                "audit: name a run, or --sampling-rate, --noise-multiplier, --steps and --delta"
            );
        };
        Ok(Steps { sampling_rate, phases: one(noise, steps), delta })
    }

    fn total(&self) -> u64 {
        self.phases.iter().map(|p| p.steps).sum()
    }

    /// The noise of a step, counted from 0.
    fn noise_multiplier(&self, step: u64) -> f64 {
        let mut end = 0;
        let phase = self.phases.iter().find(|p| {
            end += p.steps;
            step < end
        });
        phase.or(self.phases.last()).map_or(0.0, |p| p.noise_multiplier)
    }
}

fn noisy_steps(flags: &AuditDp) -> Result<()> {
    let run =
        flags.run.as_deref().map(|run| leakage::AuditedNoise::open(run, flags)).transpose()?;
    let steps = Steps::of(flags, run.as_ref().map(leakage::AuditedNoise::budget))?;
    let canaries = Canaries {
        count: flags.canaries,
        steps: steps.total(),
        sampling_rate: steps.sampling_rate,
    };
    canaries.check()?;
    let claim = claimed(flags, &steps)?;
    let spent = &with_doubts(claim.spent(), run.as_ref().map(leakage::AuditedNoise::budget))?;
    let coins = coins(canaries.count, &Rng::new(flags.seed));
    let scores = scores(flags, &steps, &canaries, &coins)?;
    let verdict = judge(&scores, &coins, &claim, flags.confidence)?;
    if flags.json {
        let backend = &flags.backend;
        json(&Report { claimed: spent, audited: &verdict, seed: flags.seed, backend })?;
    } else {
        show(&verdict, spent, flags);
    }
    if let Some(run) = run {
        // Written also if the claim is refuted: then above all it belongs into the report.
        run.publish(&verdict, spent, flags)?;
    }
    refuse(&verdict, spent)
}

/// What is said of the mechanism, from values that were checked.
fn claimed(flags: &AuditDp, steps: &Steps) -> Result<Claim> {
    if !(steps.delta > 0.0 && steps.delta < 1.0) {
        bail!(Config, "delta {}: must be in (0, 1) for an audit, say 1e-5", steps.delta);
    }
    if !(flags.confidence > 0.0 && flags.confidence < 1.0) {
        bail!(Config, "confidence {}: must be in (0, 1), say 0.95", flags.confidence);
    }
    let accountant = Accountant::named(&flags.accountant)?;
    let phase = |p: &NoisePhase| Accounted::new(steps.sampling_rate, p.noise_multiplier, p.steps);
    let history = steps.phases.iter().map(phase).collect::<Result<Vec<_>>>()?;
    let claim = Claim::accounted(&history, accountant, steps.delta)?;
    match flags.claim {
        None => Ok(claim),
        Some(epsilon) if epsilon >= 0.0 => Ok(claim.with_epsilon(epsilon)),
        Some(epsilon) => bail!(Config, "claim {epsilon}: must be an epsilon of at least 0"),
    }
}

/// What is claimed, with all that the training of the run said against its claim: the audit goes through
/// the noise of the run as if it were secret and sampled as accounted, so it cannot find these out.
fn with_doubts(claimed: &Spent, budget: Option<&PrivacyBudget>) -> Result<Spent> {
    let mut spent = claimed.clone();
    let Some(budget) = budget else { return Ok(spent) };
    if !budget.sampling.is_empty() {
        spent.sampling = budget.sampling.parse::<Sampling>()?;
    }
    for warning in &budget.warnings {
        if !spent.warnings.contains(warning) {
            spent.warnings.push(warning.clone());
        }
    }
    Ok(spent)
}

fn scores(flags: &AuditDp, steps: &Steps, canaries: &Canaries, coins: &[bool]) -> Result<Vec<f64>> {
    let device = backends::open(&flags.backend)?;
    let mechanism = |step| Mechanism {
        bound: 1.0,
        noise_multiplier: steps.noise_multiplier(step),
        expected_batch: (0.5 * canaries.sampling_rate * canaries.count as f64).max(1.0),
    };
    mechanism(0).check()?;
    let rng = Rng::new(flags.seed);
    let (sampling, noise) = (Secret::seeded(&rng.child("sampling")), rng.child("noise"));
    gradient_canaries(canaries, coins, &sampling, |step, batch| {
        interrupt::check()?;
        let (mechanism, noise) = (mechanism(step), noise.index(step));
        let norm = EXCESS * mechanism.bound;
        dirac_update(&device, &mechanism, norm, canaries.count, batch, &noise)
    })
}

fn show(verdict: &Verdict, spent: &Spent, flags: &AuditDp) {
    output::line(format!("claimed epsilon {}", at_most(spent.epsilon)));
    output::line(format!(
        "audited lower bound {} at {}% confidence",
        at_least(verdict.epsilon),
        // Not 99.99999999999999.
        (verdict.confidence * 1e10).round() / 1e8
    ));
    output::line(format!(
        "  guesses       {} of {} canaries, {} right",
        verdict.guesses, verdict.canaries, verdict.correct
    ));
    output::line(format!("  bound         {}", verdict.method));
    let curve = if verdict.curve_refuted { "refuted" } else { "not refuted" };
    output::line(format!("  whole curve   {curve}"));
    output::line(format!("  seed          {} on {}", flags.seed, flags.backend));
    explain(spent);
}

fn refuse(verdict: &Verdict, spent: &Spent) -> Result<()> {
    if !verdict.exceeded {
        return Ok(());
    }
    let bound = match verdict.epsilon > spent.epsilon {
        true => format!("the lower bound {} exceeds it", at_least(verdict.epsilon)),
        false => "its trade-off curve is refuted".to_owned(),
    };
    bail!(
        Numeric,
        "audit: the claimed epsilon {} is too small, {bound}; publish no figure before the cause is \
         found",
        at_most(spent.epsilon)
    )
}
