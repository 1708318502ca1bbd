//! Runs suites over devices.

use std::io::Write as _;
use std::process::ExitCode;

use inocula_core::op::OpCode;
use inocula_core::{DType, Device};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::rows::{ROWS, Row, required, whole};

/// What a case may end in, other than success.
pub type Outcome = Result<(), Failed>;

/// What is tested of a device.
pub type Check = fn(&Device) -> Outcome;

/// What a device must compute for a case to say anything about it.
#[derive(Debug, Clone, Copy)]
pub enum Needs {
    /// One operation on one element type, itself or by decomposition.
    Op(OpCode, DType),
    /// Every primitive on these element types.
    All(&'static [DType]),
}

impl Needs {
    /// Whether `device` has it.
    fn met_by(self, device: &Device) -> bool {
        match self {
            Needs::Op(code, dtype) => {
                device.supports(code, dtype) || code.is_fused() && whole(device, dtype)
            }
            Needs::All(dtypes) => dtypes.iter().all(|&dtype| whole(device, dtype)),
        }
    }
}

/// A test of one device.
pub struct Case {
    /// Name, `suite::case`.
    pub name: String,
    /// What it takes.
    pub needs: Needs,
    /// The test.
    pub run: Box<dyn Fn(&Device) -> Outcome + Send + Sync>,
}

impl Case {
    /// A case of this name, for devices that compute everything in f32 and f64.
    pub fn new(
        name: impl Into<String>,
        run: impl Fn(&Device) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        let needs = Needs::All(&[DType::F32, DType::F64]);
        Case { name: name.into(), needs, run: Box::new(run) }
    }

    /// The same case for devices that have what it `needs`.
    #[must_use]
    pub fn needs(self, needs: Needs) -> Self {
        Case { needs, ..self }
    }
}

/// Runs every case on every device that can run it; the exit status tells whether all passed.
pub fn run(cases: Vec<Case>) -> ExitCode {
    let args = Arguments::from_args();
    let mut trials = Vec::new();
    let cases: &'static [Case] = cases.leak();
    for row in ROWS.iter() {
        match &row.device {
            Ok(device) => trials.extend(on_device(row.name, device, cases)),
            Err(why) => trials.push(absent(row, why)),
        }
    }
    libtest_mimic::run(&args, trials).exit_code()
}

/// The trials of a row. Cases that its device cannot run are no trials: what it does not claim was
/// not tested, and a list of it is `supports`.
fn on_device(
    name: &'static str,
    device: &'static Device,
    cases: &'static [Case],
) -> impl Iterator<Item = Trial> {
    let fit = cases.iter().filter(|case| case.needs.met_by(device));
    fit.map(move |case| Trial::test(format!("[{name}] {}", case.name), move || (case.run)(device)))
}

/// One trial in place of those of a device that is not there.
fn absent(row: &Row, why: &str) -> Trial {
    let (name, why) = (row.name, why.to_owned());
    if required(row.backend) {
        return Trial::test(format!("[{name}] opens"), move || Err(why.into()));
    }
    // A skip must not look like a pass, and the reason is too long for a name.
    let mut err = std::io::stderr();
    let _ = writeln!(err, "[{name}] skipped: {why}");
    Trial::test(format!("[{name}] skipped"), || Ok(())).with_ignored_flag(true)
}

/// Fails with a message unless `holds`.
///
/// # Errors
/// The message, when it does not hold.
pub fn ensure(holds: bool, message: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(message().into()) }
}
