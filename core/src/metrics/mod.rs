//! What is measured of a classifier: utility, robustness and privacy, from predictions and scores.
//!
//! Everything here runs on the host, on plain slices and in `f64`. The numbers that a report prints
//! then depend on no backend, and each formula can be checked against a table made by hand.
//! Fractions are in `[0, 1]`; the report turns them into percent.
//!
//! A quantity that has no meaning for the data given (the success rate of an attack on a model that
//! was never right, a true-positive rate at 0.1 % false positives from 50 samples) is `None`,
//! never a NaN and never a zero that looks like a result.

mod calibration;
mod confusion;
mod images;
mod interval;
mod membership;
mod membership_interval;
mod robustness;

pub use calibration::{CALIBRATION_BINS, Calibration, CalibrationBin, calibration};
pub use confusion::{ClassScore, Confusion, MacroAverage};
pub use images::{Ssim, mse, psnr, ssim};
pub use interval::{
    Interval, beta_quantile, clopper_pearson, clopper_pearson_lower, clopper_pearson_upper,
    regularized_beta,
};
pub use membership::{Roc, RocPoint};
pub use robustness::{
    Norm, PerturbationSummary, attack_success_rate, robust_accuracy, summarize_perturbations,
    targeted_success_rate,
};
