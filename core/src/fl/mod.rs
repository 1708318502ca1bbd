//! Federated training, simulated: many clients, each with data of its own, and a server that only sees
//! what they send.
//!
//! All clients are in one process, so that what depends on their number, their skew, their faults and
//! their attacks can be measured without a network; weights exist for those alone that train at
//! the moment. [`Federation`] is the configuration, [`Simulation`] runs it. The parts: who has which
//! data ([`partition`]), how updates become one ([`aggregate`]), what the server does with it
//! ([`server`]), who attacks ([`attacker`]), privacy of clients ([`privacy`]) and sums that hide their
//! terms ([`secure`]). How a client trains is any [`TrainConfig`](crate::train::TrainConfig); [`Client`] is
//! the same outside of a simulation, where the server is a real one.

pub mod aggregate;
pub mod attacker;
mod client;
mod config;
mod methods;
pub mod partition;
mod pool;
pub mod privacy;
pub mod secure;
pub mod server;
mod simulate;
mod update;

pub use aggregate::Aggregate;
pub use attacker::{ATTACKERS, Attacker, AttackerEntry, Attackers};
pub use client::Client;
pub use config::{Federation, Late, Stragglers};
pub use methods::{AGGREGATORS, AggregatorEntry};
pub use partition::Partition;
pub use privacy::ClientPrivacy;
pub use secure::Secure;
pub use server::ServerOptimizer;
pub use simulate::{ClientBudget, Outcome, RoundRecord, Simulation, State, Watcher};
pub use update::Update;
