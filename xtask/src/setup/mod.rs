//! `cargo xtask setup`: fetches what a part of the project needs and the machine does not have.
//!
//! Building the project must never start a download of half a gigabyte by itself, so that is a
//! command of its own; the other commands only ask what is there ([`libtorch::find`]).

mod environment;
pub(crate) mod flower;
pub(crate) mod libtorch;
pub(crate) mod peers;
mod wheels;

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use crate::{Command, Outcome};

pub(crate) const COMMAND: Command =
    Command { name: "setup", about: "Fetch what an optional part of the project needs", args, run };

fn args(command: clap::Command) -> clap::Command {
    let libtorch = clap::Command::new("libtorch")
        .about("Make libtorch available, which the backend tch is built with")
        .long_about(libtorch::HELP)
        .arg(
            Arg::new("dir")
                .long("dir")
                .value_name("FOLDER")
                .value_parser(value_parser!(PathBuf))
                .help("Where to put it [default: the user's cache, so that clones share it]"),
        )
        .arg(
            Arg::new("check")
                .long("check")
                .action(ArgAction::SetTrue)
                .conflicts_with("dir")
                .help("Only say where it is; fail if there is none"),
        );
    let peers = clap::Command::new("peers")
        .about("Make the tools available that `bench --peers` and `crosscheck` compare with");
    let flower = clap::Command::new("flower")
        .about("Make a stock Flower available, whose server the suite `flower` joins");
    command
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([libtorch, peers, flower])
}

fn run(args: &ArgMatches) -> Outcome {
    match args.subcommand() {
        Some(("libtorch", args)) if args.get_flag("check") => {
            println!("setup: libtorch {}", libtorch::find()?);
            Ok(())
        }
        Some(("libtorch", args)) => {
            let found = libtorch::install(args.get_one::<PathBuf>("dir").map(PathBuf::as_path))?;
            libtorch::record(&found)?;
            println!("setup: libtorch {found}");
            println!("setup: `cargo build -p inocula-backend-tch` finds it now");
            Ok(())
        }
        Some(("peers", _)) => {
            println!("setup: the Python of the peers is {}", peers::python()?.display());
            Ok(())
        }
        Some(("flower", _)) => {
            println!("setup: Flower is in {}", flower::install()?.display());
            Ok(())
        }
        _ => unreachable!("the parser requires one of the subcommands"),
    }
}

/// An I/O failure as a line: what was tried, on which path, and why it failed.
fn failed(action: &str, path: &Path, err: &std::io::Error) -> String {
    let hint = match err.kind() {
        std::io::ErrorKind::StorageFull => "; free some space or choose another --dir",
        std::io::ErrorKind::PermissionDenied => "; choose another --dir",
        _ => "",
    };
    format!("cannot {action} {}: {err}{hint}", path.display())
}
