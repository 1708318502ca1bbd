//! Privacy of the samples of clients that train privately: each has a ledger, and an epsilon of its own.
//!
//! What a client sends is private for its samples, whoever sees it, so there is no composition over
//! clients: their samples are different ones.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::client::ledger_path;
use crate::dp::accounting::{Accountant, Mechanism, Sampling};
use crate::dp::ledger;
use crate::{Result, bail};

/// The accountant whose epsilon is claimed.
const CLAIMED: &str = "pld";
/// The one that tells epsilon after each round.
const QUICK: &str = "rdp";

/// What a client that trains privately guarantees to its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientBudget {
    /// The client.
    pub client: usize,
    /// Its samples.
    pub samples: usize,
    /// Noisy steps that its ledger has.
    pub steps: u64,
    /// Epsilon of one sample added to or removed from its data.
    pub epsilon: f64,
    /// Delta.
    pub delta: f64,
}

/// What the ledgers of all clients have.
pub(super) struct Accounts {
    spent: Vec<Vec<Mechanism>>,
    delta: f64,
    sampling: Sampling,
    /// Epsilon by the quick accountant of histories that were met.
    quick: HashMap<Vec<[u64; 3]>, f64>,
}

impl Accounts {
    pub(super) fn new(clients: usize, delta: f64, sampling: Sampling) -> Self {
        Accounts { spent: vec![Vec::new(); clients], delta, sampling, quick: HashMap::new() }
    }

    /// Reads the ledgers of a simulation that was stopped; `known` are the steps that its state knows of.
    ///
    /// # Errors
    /// A ledger lacks steps that were taken.
    pub(super) fn restore(&mut self, folder: &Path, known: &[u64]) -> Result<()> {
        for client in 0..self.spent.len() {
            let path = ledger_path(folder, client);
            let steps = known.get(client).copied().unwrap_or(0);
            if path.exists() {
                self.spent[client] = ledger::read(&path)?.composition();
            }
            if self.steps(client) < steps {
                bail!(
                    Data,
                    "{}: {} noisy steps where {steps} were taken; restore the ledger from a copy, or \
                     start anew",
                    path.display(),
                    self.steps(client)
                );
            }
        }
        Ok(())
    }

    /// Takes in all that the ledger of a client has.
    pub(super) fn set(&mut self, client: usize, spent: Vec<Mechanism>) {
        if !spent.is_empty() {
            self.spent[client] = spent;
        }
    }

    fn steps(&self, client: usize) -> u64 {
        self.spent[client].iter().map(Mechanism::steps).sum()
    }

    /// Steps of each client.
    pub(super) fn recorded(&self) -> Vec<u64> {
        (0..self.spent.len()).map(|client| self.steps(client)).collect()
    }

    /// The largest epsilon of a client so far, by the quick accountant.
    pub(super) fn epsilon(&mut self) -> Result<f64> {
        let mut most = 0.0_f64;
        let accountant = Accountant::named(QUICK)?;
        for history in &self.spent {
            let key = key(history);
            let epsilon = match self.quick.get(&key) {
                Some(epsilon) => *epsilon,
                None => accountant.spent(history, self.delta, self.sampling)?.epsilon,
            };
            self.quick.insert(key, epsilon);
            most = most.max(epsilon);
        }
        Ok(most)
    }

    /// The budgets of the clients that took part.
    pub(super) fn budgets(&self, parts: &[Vec<usize>]) -> Result<Vec<ClientBudget>> {
        let accountant = Accountant::named(CLAIMED)?;
        let mut met: HashMap<Vec<[u64; 3]>, f64> = HashMap::new();
        let mut budgets = Vec::new();
        for (client, history) in self.spent.iter().enumerate().filter(|(_, h)| !h.is_empty()) {
            let key = key(history);
            let epsilon = match met.get(&key) {
                Some(epsilon) => *epsilon,
                None => accountant.spent(history, self.delta, self.sampling)?.epsilon,
            };
            met.insert(key, epsilon);
            let (samples, steps) = (parts[client].len(), self.steps(client));
            budgets.push(ClientBudget { client, samples, steps, epsilon, delta: self.delta });
        }
        Ok(budgets)
    }
}

fn key(history: &[Mechanism]) -> Vec<[u64; 3]> {
    let one =
        |m: &Mechanism| [m.sampling_rate().to_bits(), m.noise_multiplier().to_bits(), m.steps()];
    history.iter().map(one).collect()
}
