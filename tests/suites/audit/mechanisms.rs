//! Right mechanisms keep their claim, and each broken one is caught.

use inocula_core::dp::accounting::{Accountant, Mechanism as Accounted};
use inocula_core::dp::audit::{
    Canaries, Claim, Verdict, coins, dirac_update, gradient_canaries, judge,
};
use inocula_core::dp::clip::clipped_sum;
use inocula_core::dp::mechanism::Mechanism;
use inocula_core::dp::noise::{self, Secret};
use inocula_core::rng::Rng;
use inocula_core::{Aval, DType, Device, Result, Shape, Tensor};
use inocula_tests::rows::registry;

const DELTA: f64 = 1e-5;
const CONFIDENCE: f64 = 0.95;
/// Norm of a canary's gradient over the bound.
const EXCESS: f64 = 10.0;
const BATCH: f64 = 50.0;

fn device() -> Device {
    registry().open("ndarray").expect("the built-in backend")
}

/// An experiment and the noise multiplier that is claimed of it.
#[derive(Clone, Copy)]
struct Setup {
    canaries: Canaries,
    sigma: f64,
}

/// With and without sampling. Of claims above 4 or so, so few canaries can refute nothing.
const SETUPS: [Setup; 3] = [
    Setup { canaries: Canaries { count: 600, steps: 4, sampling_rate: 1.0 }, sigma: 3.0 },
    Setup { canaries: Canaries { count: 600, steps: 1, sampling_rate: 1.0 }, sigma: 2.0 },
    Setup { canaries: Canaries { count: 600, steps: 16, sampling_rate: 0.25 }, sigma: 2.0 },
];

impl Setup {
    fn claim(&self) -> Claim {
        let Canaries { steps, sampling_rate, .. } = self.canaries;
        let history = [Accounted::new(sampling_rate, self.sigma, steps).unwrap()];
        Claim::accounted(&history, Accountant::named("pld").unwrap(), DELTA).unwrap()
    }

    fn mechanism(&self) -> Mechanism {
        Mechanism { bound: 0.5, noise_multiplier: self.sigma, expected_batch: BATCH }
    }

    /// The verdict on a mechanism that is run instead of the claimed one.
    fn audit(
        &self,
        claim: &Claim,
        seed: u64,
        release: impl FnMut(u64, &[usize]) -> Result<Vec<f64>>,
    ) -> Verdict {
        let rng = Rng::new(seed);
        let coins = coins(self.canaries.count, &rng);
        let sampling = Secret::seeded(&rng.child("sampling"));
        let scores = gradient_canaries(&self.canaries, &coins, &sampling, release).unwrap();
        judge(&scores, &coins, claim, CONFIDENCE).unwrap()
    }

    /// The same for the real mechanism with other constants; canaries keep their norm.
    fn audit_constants(&self, claim: &Claim, seed: u64, constants: Mechanism) -> Verdict {
        let (device, rng) = (device(), Rng::new(seed).child("noise"));
        let norm = EXCESS * self.mechanism().bound;
        self.audit(claim, seed, |step, batch| {
            let count = self.canaries.count;
            dirac_update(&device, &constants, norm, count, batch, &rng.index(step))
        })
    }
}

#[test]
fn the_right_mechanism_keeps_its_claim() {
    for setup in SETUPS {
        let claim = setup.claim();
        let verdicts: Vec<Verdict> =
            (0..4).map(|s| setup.audit_constants(&claim, s, setup.mechanism())).collect();
        let exceeded = verdicts.iter().find(|v| v.exceeded);
        assert!(exceeded.is_none(), "{exceeded:?} of {}", claim.spent().epsilon);
        // It leaks all the same, and an audit that sees nothing of it would catch nothing either.
        let seen = verdicts.iter().map(|v| v.epsilon).fold(0.0, f64::max);
        assert!(seen > 0.05 * claim.spent().epsilon, "{seen} of {}", claim.spent().epsilon);
    }
}

/// Secret noise added to a clipped sum is the mechanism of private runs.
#[test]
fn secret_noise_keeps_the_claim() {
    let device = device();
    for setup in SETUPS {
        let claim = setup.claim();
        let Setup { canaries: Canaries { count, .. }, sigma } = setup;
        for secret in [Secret::seeded(&Rng::new(5)), Secret::seeded(&Rng::new(6))] {
            let verdict = setup.audit(&claim, 7, |step, batch| {
                let mut rows = vec![0.0; batch.len() * count];
                rows.chunks_mut(count).zip(batch).for_each(|(row, i)| row[*i] = EXCESS);
                let grads = Tensor::from_f64(&device, DType::F32, &rows, &[batch.len(), count])?;
                let sum = clipped_sum(&[grads], 1.0)?.swap_remove(0);
                let aval = Aval::new(DType::F32, Shape::new(&[count])?);
                let noise = noise::private(&device, aval, sigma, &secret.index(step))?;
                (sum + noise).to_f64_vec()
            });
            assert!(!verdict.exceeded, "{verdict:?} of {}", claim.spent().epsilon);
        }
    }
}

/// Each way to break the mechanism by its constants.
#[test]
fn noise_and_clipping_that_are_wrong_are_caught() {
    for setup in SETUPS {
        let claim = setup.claim();
        let right = setup.mechanism();
        let sigma = right.noise_multiplier;
        let wide = 1e6 * right.bound;
        let broken = [
            ("noise omitted", Mechanism { noise_multiplier: 0.0, ..right }),
            // The noise stays what it was, but gradients ten times the bound enter whole.
            (
                "clipping omitted",
                Mechanism { bound: wide, noise_multiplier: sigma * right.bound / wide, ..right },
            ),
            // Noise for a mean, of standard deviation sigma C / B, on a sum that is yet to be divided.
            (
                "batch divided before the noise",
                Mechanism { noise_multiplier: sigma / BATCH, ..right },
            ),
        ];
        for (what, constants) in broken {
            for seed in 0..2 {
                let verdict = setup.audit_constants(&claim, seed, constants);
                let claimed = claim.spent().epsilon;
                assert!(verdict.exceeded, "{what}: {verdict:?} of {claimed}");
                assert!(verdict.curve_refuted, "{what}: {verdict:?} of {claimed}");
                assert!(verdict.epsilon > claimed, "{what}: {verdict:?} of {claimed}");
            }
        }
    }
}

/// Adaptive clipping (Andrew et al. 2021) releases two things at each step: gradients with noise
/// sigma_eff, and how many of them were within the bound, each counted as 1/2 or -1/2, with noise
/// sigma_b. Together they are worth sigma, sigma^-2 = sigma_eff^-2 + (2 sigma_b)^-2. To account with
/// sigma_eff is to forget the count.
struct Adaptive {
    sigma_eff: f64,
    sigma_b: f64,
}

impl Adaptive {
    const SIGMA: f64 = 4.0;
    const STEPS: usize = 256;

    /// Most of the budget goes to the count, far more than anybody would give it, so that a canary's
    /// part in it shows.
    fn new() -> Self {
        let sigma_b = 0.505 * Self::SIGMA;
        let rest = Self::SIGMA.powi(-2) - (2.0 * sigma_b).powi(-2);
        Adaptive { sigma_eff: rest.powf(-0.5), sigma_b }
    }

    fn setup(&self, sigma: f64) -> Setup {
        let steps = Self::STEPS as u64;
        Setup { canaries: Canaries { count: Self::STEPS, steps, sampling_rate: 1.0 }, sigma }
    }

    /// Canary i is within the bound at step t if the Hadamard matrix says so: the counts of all steps
    /// then tell canaries apart, though each is one number. The two scores are added in the
    /// proportion of signal to variance, which is the best there is.
    fn release(&self, secret: &Secret, step: u64, batch: &[usize]) -> Vec<f64> {
        let sign =
            |i: usize| if (i & step as usize).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
        let mut draws = secret.stream(step);
        let within: f64 = batch.iter().map(|i| 0.5 * sign(*i)).sum();
        let count = within + self.sigma_b * draws.normal();
        let mut gradients = vec![0.0; Self::STEPS];
        batch.iter().for_each(|i| gradients[*i] = 1.0);
        let along = |(i, gradient): (usize, f64)| {
            let gradient = gradient + self.sigma_eff * draws.normal();
            gradient / self.sigma_eff.powi(2) + 0.5 * sign(i) * count / self.sigma_b.powi(2)
        };
        gradients.into_iter().enumerate().map(along).collect()
    }
}

#[test]
fn accounting_with_sigma_eff_is_caught() {
    let adaptive = Adaptive::new();
    let audit = |sigma: f64, seed: u64| {
        let (setup, secret) = (adaptive.setup(sigma), Secret::seeded(&Rng::new(seed).child("a")));
        let claim = setup.claim();
        let release = |step, batch: &[usize]| Ok(adaptive.release(&secret, step, batch));
        (setup.audit(&claim, seed, release), claim.spent().epsilon)
    };
    for seed in 0..4 {
        let (verdict, claimed) = audit(Adaptive::SIGMA, seed);
        assert!(!verdict.exceeded, "sigma: {verdict:?} of {claimed}");
        let (verdict, claimed) = audit(adaptive.sigma_eff, seed);
        assert!(verdict.epsilon > claimed, "sigma_eff: {verdict:?} of {claimed}");
    }
}

/// A model that memorises, seen from outside only, by the losses of its canaries.
#[test]
fn losses_of_canaries_catch_a_model_that_memorises() {
    use inocula_core::dp::audit::score::loss_drops;
    let setup = SETUPS[0];
    let mut rng = Rng::new(9);
    let coins = coins(1000, &rng.child("which"));
    let before: Vec<f64> = coins.iter().map(|_| 2.3 + rng.normal()).collect();
    for (drop, caught) in [(4.0, true), (0.0, false)] {
        let after: Vec<f64> = coins
            .iter()
            .zip(&before)
            .map(|(coin, loss)| loss - drop * f64::from(u8::from(*coin)) + 0.5 * rng.normal())
            .collect();
        let scores = loss_drops(&before, &after).unwrap();
        let claim = setup.claim().with_epsilon(3.0);
        let verdict = judge(&scores, &coins, &claim, CONFIDENCE).unwrap();
        assert_eq!(verdict.exceeded, caught, "{verdict:?}");
    }
}
