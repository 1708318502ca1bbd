//! `cargo xtask sanitize`: the code of the C boundary under AddressSanitizer, leaks included.
//!
//! Those tests run both directions of the boundary against each other in one process, so every
//! pointer that crosses is seen. The sanitizer's runtime comes with Rust, but its flag is one of the
//! nightly compiler, which `RUSTC_BOOTSTRAP` makes the stable one take. Miri would see more, and
//! cannot load a library; it needs a nightly toolchain that not every machine has.

use std::path::Path;
use std::process::Command as Process;

use crate::workspace::{cargo, run as execute, target};
use crate::{Command, Outcome};

pub(crate) const COMMAND: Command = Command {
    name: "sanitize",
    about: "Run the tests of the C boundary under AddressSanitizer",
    args: |command| command,
    run: |_| run(),
};

/// Runs them, or says why they cannot be run here.
pub(crate) fn run() -> Outcome {
    let host = match runtime() {
        Ok(host) => host,
        Err(why) => {
            println!("sanitize: skipped: {why}");
            return Ok(());
        }
    };
    let mut tests = cargo(&["test", "-p", "inocula-core", "--features", "plugins", "--lib"]);
    // Dependencies are compiled once more for this: lightly, since nothing is measured.
    tests.args(["--config", "profile.dev.package.\"*\".opt-level=1", "--target", &host]);
    tests.arg("--target-dir").arg(target().join("sanitize")).args(["--", "abi::"]);
    tests.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
    tests.env("ASAN_OPTIONS", "detect_leaks=1");
    execute(tests)
}

/// The host's target, if its sanitizer is installed.
fn runtime() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = |args: &[&str]| -> Result<String, String> {
        let output = Process::new(&rustc).args(args).output();
        let output = output.map_err(|err| format!("rustc does not start: {err}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let version = said(&["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc does not name its host")?.to_owned();
    let sysroot = said(&["--print", "sysroot"])?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib").join(&host).join("lib");
    let library = library.join("librustc-stable_rt.asan.a");
    match library.is_file() {
        true => Ok(host),
        false => Err(format!("this Rust comes without a sanitizer for {host}")),
    }
}
