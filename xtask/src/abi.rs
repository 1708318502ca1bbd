//! `cargo xtask abi`: keeps the operation table of the C header equal to the one of the core.
//!
//! The table is printed by a test of the core, because this program depends on no crate of the
//! workspace.

use clap::{Arg, ArgMatches};

use crate::workspace::{cargo, run as execute};
use crate::{Command, Outcome};

pub(crate) const COMMAND: Command = Command {
    name: "abi",
    about: "Check the operation table of the C header, or write it",
    args: |command| {
        command.arg(
            Arg::new("action")
                .required(true)
                .value_parser(["check", "write"])
                .help("check: fail if the header is behind; write: bring it up to date"),
        )
    },
    run,
};

fn run(args: &ArgMatches) -> Outcome {
    let mut test = cargo(&["test", "--quiet", "-p", "inocula-core", "--test", "abi_header"]);
    if args.get_one::<String>("action").is_some_and(|action| action == "write") {
        test.env("INOCULA_WRITE_HEADER", "1");
    }
    execute(test)
}
