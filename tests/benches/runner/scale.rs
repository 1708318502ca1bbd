//! How much is measured: the sizes of a full run, and small ones that only show that it runs.
//!
//! Rows have the same names on both scales; a report says on which it was made.

use std::time::Duration;

/// Sizes of the work, and for how long it is repeated.
pub(crate) struct Scale {
    /// Samples per batch of the large network.
    pub(crate) batch: usize,
    /// Extents of the two square matrix products.
    pub(crate) matmul: [usize; 2],
    /// Rows and columns of the arrays of elementwise operations and reductions.
    pub(crate) flat: [usize; 2],
    /// Rows and classes of the cross-entropy.
    pub(crate) logits: [usize; 2],
    /// Rows that are gathered.
    pub(crate) picks: usize,
    /// Samples and parameters of the matrix of gradients per sample.
    pub(crate) per_sample: [usize; 2],
    /// Steps of PGD as an attack.
    pub(crate) pgd_steps: usize,
    /// Samples of a step of private training.
    pub(crate) private_batch: usize,
    /// Steps of APGD and of the attack of Carlini and Wagner.
    pub(crate) attack_steps: usize,
    /// Queries of Square.
    pub(crate) queries: usize,
    /// Steps of PGD in adversarial training.
    pub(crate) inner_steps: usize,
    /// The largest size in the suite of growth.
    pub(crate) most: usize,
    /// What a round takes at least.
    pub(crate) round: Duration,
    /// What the runs before the first round take at least.
    pub(crate) warm: Duration,
}

/// Steps of PGD whose iterate is compared: one step of wrong sign grows with every further step, so
/// that only the first tell a wrong gradient from rounding.
pub(crate) const CHECKED_STEPS: usize = 2;

/// Radius of the Linf ball, of the networks for MNIST.
pub(crate) const EPS: f64 = 0.3;

/// A radius at which the network changes no decision.
pub(crate) const SMALL_EPS: f64 = 1e-3;

/// Learning rate of the attack of Carlini and Wagner.
pub(crate) const CW_LR: f64 = 0.01;

/// Weight of the margin in the attack of Carlini and Wagner.
pub(crate) const CW_WEIGHT: f64 = 10.0;

/// A margin that the attack of Carlini and Wagner does not reach.
pub(crate) const CW_ENDLESS: f64 = 50.0;

/// Step of PGD as an attack (Madry et al. 2018 on MNIST).
pub(crate) const PGD_STEP: f64 = 0.01;

/// Step of PGD in adversarial training, long enough to cross the ball in few.
pub(crate) const INNER_STEP: f64 = 0.1;

/// Weight of the divergence in TRADES.
pub(crate) const BETA: f64 = 6.0;

/// Learning rate of Adam.
pub(crate) const LR: f64 = 1e-3;

/// The bound of the norm of a sample's gradient.
pub(crate) const CLIP: f64 = 1.0;

/// Standard deviation of the noise of private training, in units of the bound.
pub(crate) const NOISE: f64 = 1.0;

/// A run whose times mean something.
pub(crate) const FULL: Scale = Scale {
    batch: 128,
    matmul: [256, 1024],
    flat: [1000, 1000],
    logits: [1024, 1000],
    picks: 1024,
    per_sample: [256, 26010],
    private_batch: 256,
    attack_steps: 50,
    queries: 200,
    pgd_steps: 40,
    inner_steps: 7,
    most: usize::MAX,
    round: Duration::from_millis(50),
    warm: Duration::from_millis(200),
};

/// A run that only shows that everything works.
pub(crate) const SMOKE: Scale = Scale {
    batch: 4,
    matmul: [16, 48],
    flat: [40, 30],
    logits: [16, 10],
    picks: 32,
    per_sample: [8, 130],
    private_batch: 6,
    attack_steps: 4,
    queries: 5,
    pgd_steps: 3,
    inner_steps: 2,
    most: 8,
    round: Duration::from_millis(1),
    warm: Duration::ZERO,
};
