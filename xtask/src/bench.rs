//! `cargo xtask bench`: how long attacks and training steps take here.

use clap::{Arg, ArgAction};

use crate::workspace::{cargo, run as execute};
use crate::{Command, Outcome};

pub(crate) const COMMAND: Command = Command {
    name: "bench",
    about: "Measure inference, attacks and training on the CPU backend",
    args: |command| {
        command.arg(
            Arg::new("smoke")
                .long("smoke")
                .action(ArgAction::SetTrue)
                .help("Small sizes in the development build: only shows that it runs"),
        )
    },
    run: |args| run(args.get_flag("smoke")),
};

/// Runs the benchmark.
pub(crate) fn run(smoke: bool) -> Outcome {
    if smoke {
        // The profile and the choice of packages are those of the tests, so that nothing is built
        // anew: with one package alone, cargo would unify the features of dependencies otherwise.
        let args = ["bench", "--profile", "dev", "--workspace", "--bench", "core", "--", "--smoke"];
        return execute(cargo(&args));
    }
    execute(cargo(&["bench", "-p", "inocula-tests", "--bench", "core"]))
}
