//! Nodes of a Flower federation, as a user starts them: against a stock SuperLink, and against servers
//! that do what a stock one never would.
//!
//! The SuperLink is that of the environment that `cargo xtask setup flower` makes, or that
//! `INOCULA_FLOWER` names; without one its trials are skipped with the reason, unless
//! `INOCULA_REQUIRE_FLOWER` is 1. The others need nothing but the program.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

#[path = "flower/hostile.rs"]
mod hostile;
#[path = "flower/live.rs"]
mod live;
#[path = "flower/place.rs"]
mod place;
#[path = "flower/program.rs"]
mod program;
#[path = "flower/server.rs"]
mod server;
#[path = "flower/updates.rs"]
mod updates;

use std::io::Write as _;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// A trial.
type Check = fn() -> Result<(), Failed>;

/// Trials against servers that the suite plays itself.
const HOSTILE: &[(&str, Check)] = &[
    ("hostile::a_server_that_is_none", hostile::wrong_server),
    ("hostile::a_server_that_speaks_grpc", hostile::grpc),
    ("hostile::a_version_that_is_not_supported", hostile::version),
    ("hostile::an_object_that_is_damaged", hostile::damaged),
    ("hostile::an_object_that_is_too_large", hostile::too_large),
    ("hostile::weights_of_another_network", hostile::other_network),
    ("hostile::weights_that_are_no_numbers", hostile::no_numbers),
    ("hostile::messages_without_end", hostile::unending),
    ("hostile::a_message_is_taken_up_after_a_kill", hostile::killed),
    ("hostile::a_folder_of_another_configuration", hostile::other_folder),
];

/// Trials against a stock SuperLink.
const LIVE: &[(&str, Check)] = &[
    ("live::three_nodes_average_exactly_and_learn", live::rounds),
    ("live::a_restarted_server_is_joined_anew", live::restart),
    ("live::certificates_are_checked", live::certificates),
    ("live::what_updates_give_away_and_to_whom", updates::give_away),
];

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let trial = |(name, check): &(&'static str, Check)| Trial::test(*name, *check);
    let mut trials = Vec::new();
    match program::path() {
        Ok(_) => trials.extend(HOSTILE.iter().map(trial)),
        Err(why) => trials.push(absent("the program", &why)),
    }
    match program::path().and_then(|_| place::environment().map(|_| ())) {
        Ok(()) => trials.extend(LIVE.iter().map(trial)),
        Err(why) => trials.push(absent("live", &why)),
    }
    libtest_mimic::run(&args, trials).exit_code()
}

/// One trial in place of those that cannot be run.
fn absent(what: &str, why: &str) -> Trial {
    let (name, why) = (format!("{what} is there"), why.to_owned());
    if place::required() {
        return Trial::test(name, move || Err(why.into()));
    }
    // A skip must not look like a pass.
    let mut err = std::io::stderr();
    let _ = writeln!(err, "[{what}] skipped: {why}");
    Trial::test(name, || Ok(())).with_ignored_flag(true)
}
