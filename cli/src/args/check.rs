//! Flags about the check of an attack.

use clap::Args as Flags;

/// The flag that `attack` has.
#[derive(Flags, Clone, Copy)]
pub(crate) struct CheckFlags {
    /// Runs other attacks on up to 96 of the samples, to see whether this one, which must be one by
    /// gradients, was strong enough.
    #[arg(long)]
    pub(crate) check: bool,
}

/// The flag that `evaluate` has.
#[derive(Flags, Clone, Copy)]
pub(crate) struct NoCheckFlags {
    /// Leaves out the check of the attacks, which runs others on up to 96 samples of each model.
    #[arg(long)]
    pub(crate) no_check: bool,
}
