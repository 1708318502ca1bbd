//! Runs suites over pairs of devices: two that are each right by a tolerance may still differ where
//! it matters, such as in the sign of a gradient.

use std::process::ExitCode;

use inocula_core::{DType, Device};
use libtest_mimic::{Arguments, Trial};

use crate::harness::Outcome;
use crate::rows::{ROWS, whole};

/// What is tested of two devices.
pub type PairCheck = dyn Fn(&Device, &Device) -> Outcome + Send + Sync;

/// A test of two devices.
pub struct PairCase {
    /// Name, `suite::case`.
    pub name: String,
    /// The test.
    pub run: Box<PairCheck>,
}

impl PairCase {
    /// A case of this name, for devices that compute everything in f32.
    pub fn new(
        name: impl Into<String>,
        run: impl Fn(&Device, &Device) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        PairCase { name: name.into(), run: Box::new(run) }
    }
}

/// Runs every case on every pair of rows that are there. Rows that are not are told of by the suites
/// of single devices.
pub fn run(cases: Vec<PairCase>) -> ExitCode {
    let args = Arguments::from_args();
    let cases: &'static [PairCase] = cases.leak();
    let there = ROWS.iter().filter_map(|row| Some((row.name, row.device.as_ref().ok()?)));
    let there: Vec<(&str, &Device)> =
        there.filter(|(_, device)| whole(device, DType::F32)).collect();
    let mut trials = Vec::new();
    for (i, &(a, left)) in there.iter().enumerate() {
        for &(b, right) in &there[i + 1..] {
            for case in cases {
                let name = format!("[{a} / {b}] {}", case.name);
                trials.push(Trial::test(name, move || (case.run)(left, right)));
            }
        }
    }
    libtest_mimic::run(&args, trials).exit_code()
}
