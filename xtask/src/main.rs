//! The project's own commands, run as `cargo xtask <command>`.
//!
//! A command is one file with a [`Command`] and one line in [`COMMANDS`]. They are Rust rather than
//! shell so that they run wherever the project builds, and they depend on none of its crates, so
//! that they still work when those do not compile.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output of these commands is their purpose"
)]

mod abi;
mod bench;
mod ci;
mod crosscheck;
mod plugins;
mod sanitize;
mod setup;
mod tally;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::ArgMatches;

/// What a command ends in: nothing, or the line that says why it failed, which is empty where the
/// command has printed it.
type Outcome = Result<(), String>;

/// A command of this program.
struct Command {
    name: &'static str,
    /// One line for `--help`.
    about: &'static str,
    /// Adds the command's own arguments.
    args: fn(clap::Command) -> clap::Command,
    run: fn(&ArgMatches) -> Outcome,
}

/// Every command.
const COMMANDS: &[Command] = &[
    test::COMMAND,
    ci::COMMAND,
    tidy::COMMAND,
    bench::COMMAND,
    crosscheck::COMMAND,
    setup::COMMAND,
    abi::COMMAND,
    sanitize::COMMAND,
];

fn main() -> ExitCode {
    let matches = parser().get_matches();
    let chosen = matches
        .subcommand()
        .and_then(|(name, args)| Some((COMMANDS.iter().find(|c| c.name == name)?, args)));
    let Some((command, args)) = chosen else {
        unreachable!("the parser requires one of the commands of the table");
    };
    match (command.run)(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            if !why.is_empty() {
                eprintln!("xtask {}: {why}", command.name);
            }
            ExitCode::FAILURE
        }
    }
}

fn parser() -> clap::Command {
    let commands = COMMANDS.iter().map(|c| (c.args)(clap::Command::new(c.name).about(c.about)));
    clap::Command::new("cargo xtask")
        .about("Builds, tests and checks Inocula")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_well_formed() {
        parser().debug_assert();
    }

    #[test]
    fn what_follows_two_dashes_is_left_to_cargo() {
        let matches =
            parser().try_get_matches_from(["xtask", "test", "--", "-p", "x", "--", "pgd"]).unwrap();
        let (_, args) = matches.subcommand().unwrap();
        assert_eq!(test::extra(args), ["-p", "x", "--", "pgd"]);
    }
}
