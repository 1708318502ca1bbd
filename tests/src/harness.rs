//! Runs suites over backends.

use std::process::ExitCode;

use inocula_core::{Device, Registry};
use libtest_mimic::{Arguments, Failed, Trial};

/// The backends that are linked in.
pub fn registry() -> Registry {
    Registry::new().with(inocula_backend_ndarray::ENTRY)
}

/// Specs of the devices that every suite runs on. Two thread counts, because a kernel that divides
/// its work wrongly is right on one.
pub const DEVICES: &[&str] = &["ndarray?threads=1", "ndarray?threads=2"];

/// What a case may end in, other than success.
pub type Outcome = Result<(), Failed>;

/// What is tested of a device.
pub type Check = fn(&Device) -> Outcome;

/// A test of one device.
pub struct Case {
    /// Name, `suite::case`.
    pub name: String,
    /// The test.
    pub run: Box<dyn Fn(&Device) -> Outcome + Send + Sync>,
}

impl Case {
    /// A case of this name.
    pub fn new(
        name: impl Into<String>,
        run: impl Fn(&Device) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Case { name: name.into(), run: Box::new(run) }
    }
}

/// Runs every case on every device; the exit status tells whether all passed.
pub fn run(cases: Vec<Case>) -> ExitCode {
    let args = Arguments::from_args();
    let cases: Vec<std::sync::Arc<Case>> = cases.into_iter().map(std::sync::Arc::new).collect();
    let mut trials = Vec::new();
    for &spec in DEVICES {
        let device = registry().open(spec);
        for case in &cases {
            let (case, device) = (case.clone(), device.clone());
            trials
                .push(Trial::test(format!("[{spec}] {}", case.name), move || (case.run)(&device?)));
        }
    }
    libtest_mimic::run(&args, trials).exit_code()
}

/// Fails with a message unless `holds`.
///
/// # Errors
/// The message, when it does not hold.
pub fn ensure(holds: bool, message: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(message().into()) }
}
