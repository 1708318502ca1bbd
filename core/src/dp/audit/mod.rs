//! Attacks on the mechanism itself, to see whether it leaks more than the accountant says.
//!
//! An accountant proves an upper bound of epsilon for the mechanism in the paper. Whether the
//! program is that mechanism, no accountant can tell: noise of the wrong scale, a norm that is
//! clipped after the sum, a step that is not accounted. An audit attacks the program and proves a
//! *lower* bound. One above the claim is a proof, at its confidence, that the claim is wrong. One
//! below proves nothing: this attack, with this many canaries, found nothing.
//!
//! One run is enough (Steinke, Nasr and Jagielski 2023, "Privacy auditing with one (1) training
//! run"): m canaries join the data or not, each by a coin of its own ([`coins`]); the auditor scores
//! each by what was released ([`score`]), guesses of the clearest cases whether they were in
//! ([`Guesses`]), and is right too often if the mechanism leaks. How often is too often is said by
//! [`one_run`] for any (epsilon, delta), and more sharply by [`fdp`] for a whole trade-off curve.
//! [`many_runs`] has the older bound from independent runs.
//!
//! [`gradient_canaries`] is the strongest experiment: canaries are gradients, each along a direction
//! of its own, and the auditor sees every noisy update. [`judge`] puts the bounds beside the claim.

pub mod fdp;
pub mod many_runs;
pub mod one_run;
pub mod score;

mod experiment;
mod guess;
mod normal;
mod verdict;

pub use self::experiment::{Canaries, coins, dirac_update, gradient_canaries};
pub use self::guess::Guesses;
pub use self::verdict::{Claim, Verdict, judge};
