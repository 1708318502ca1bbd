//! What the server does with the step that the updates of a round were made into.
//!
//! The step is that of a gradient of the clients' losses with its sign turned, so any optimiser of the
//! first order can follow it (Reddi et al. 2021, algorithm 1). Its state is plain vectors in f64, kept
//! with the state of the simulation.

mod adaptive;
mod momentum;

use serde::{Deserialize, Serialize};

use crate::{Result, bail};

/// How the weights of the server follow a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ServerOptimizer {
    /// `w += lr d`; federated averaging with `lr = 1`.
    Sgd {
        /// Learning rate.
        #[serde(default = "one")]
        lr: f64,
    },
    /// `v = momentum v + d; w += lr v` (Hsu et al. 2019, FedAvgM).
    Momentum {
        /// Learning rate.
        #[serde(default = "one")]
        lr: f64,
        /// Share of the last step that is repeated; 0.9 in the paper.
        #[serde(default = "momentum")]
        momentum: f64,
    },
    /// FedAdam (Reddi et al. 2021, algorithm 2).
    Adam(Adaptive),
    /// FedYogi (Reddi et al. 2021, algorithm 2).
    Yogi(Adaptive),
}

/// Constants of the adaptive optimisers: `m = beta1 m + (1 - beta1) d; w += lr m / (sqrt(v) + tau)`,
/// where v follows the squares of d and begins at tau squared. There is no correction of the bias.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adaptive {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Degree of adaptivity: the smaller, the more.
    pub tau: f64,
}

impl Default for Adaptive {
    fn default() -> Self {
        Adaptive { lr: 0.01, beta1: 0.9, beta2: 0.99, tau: 1e-3 }
    }
}

fn one() -> f64 {
    1.0
}

fn momentum() -> f64 {
    0.9
}

impl Default for ServerOptimizer {
    fn default() -> Self {
        ServerOptimizer::Sgd { lr: 1.0 }
    }
}

impl ServerOptimizer {
    /// FedAvgM at its usual constants.
    pub fn momentum() -> Self {
        ServerOptimizer::Momentum { lr: 1.0, momentum: momentum() }
    }

    /// One line for tables: `FedAdam 0.01`.
    pub fn describe(&self) -> String {
        match self {
            ServerOptimizer::Sgd { lr: 1.0 } => "FedAvg".into(),
            ServerOptimizer::Sgd { lr } => format!("FedAvg, lr {lr}"),
            ServerOptimizer::Momentum { momentum, .. } => format!("FedAvgM {momentum}"),
            ServerOptimizer::Adam(c) => format!("FedAdam {}", c.lr),
            ServerOptimizer::Yogi(c) => format!("FedYogi {}", c.lr),
        }
    }

    /// Replaces the learning rate.
    pub fn set_lr(&mut self, new: f64) {
        match self {
            ServerOptimizer::Sgd { lr } | ServerOptimizer::Momentum { lr, .. } => *lr = new,
            ServerOptimizer::Adam(c) | ServerOptimizer::Yogi(c) => c.lr = new,
        }
    }

    /// Checks every constant.
    ///
    /// # Errors
    /// Names the one that is out of range.
    pub fn check(&self) -> Result<()> {
        let positive = |name: &str, value: f64| -> Result<()> {
            if !(value > 0.0 && value.is_finite()) {
                bail!(Config, "federation: server: {name} = {value} must be positive and finite");
            }
            Ok(())
        };
        let share = |name: &str, value: f64| -> Result<()> {
            if !(0.0..1.0).contains(&value) {
                bail!(Config, "federation: server: {name} = {value} must be in [0, 1)");
            }
            Ok(())
        };
        match self {
            ServerOptimizer::Sgd { lr } => positive("lr", *lr),
            ServerOptimizer::Momentum { lr, momentum } => {
                positive("lr", *lr)?;
                share("momentum", *momentum)
            }
            ServerOptimizer::Adam(c) | ServerOptimizer::Yogi(c) => {
                positive("lr", c.lr)?;
                positive("tau", c.tau)?;
                share("beta1", c.beta1)?;
                share("beta2", c.beta2)
            }
        }
    }

    /// Vectors that it remembers, one value each for a weight.
    pub fn slots(&self) -> usize {
        match self {
            ServerOptimizer::Sgd { .. } => 0,
            ServerOptimizer::Momentum { .. } => 1,
            ServerOptimizer::Adam(_) | ServerOptimizer::Yogi(_) => 2,
        }
    }

    /// What it remembers before the first round, for `length` weights.
    pub fn start(&self, length: usize) -> Vec<Vec<f64>> {
        match self {
            ServerOptimizer::Sgd { .. } => Vec::new(),
            ServerOptimizer::Momentum { .. } => vec![vec![0.0; length]],
            ServerOptimizer::Adam(c) | ServerOptimizer::Yogi(c) => {
                vec![vec![0.0; length], vec![c.tau * c.tau; length]]
            }
        }
    }

    /// Moves `weights` along `step`; `memory` is what [`ServerOptimizer::start`] gave.
    pub fn step(&self, weights: &mut [f64], memory: &mut [Vec<f64>], step: &[f64]) {
        match (self, memory) {
            (ServerOptimizer::Sgd { lr }, _) => super::update::add_scaled(weights, *lr, step),
            (ServerOptimizer::Momentum { lr, momentum }, [v]) => {
                momentum::step(*lr, *momentum, weights, v, step);
            }
            (ServerOptimizer::Adam(c), [m, v]) => {
                adaptive::step(c, adaptive::adam, weights, [m, v], step);
            }
            (ServerOptimizer::Yogi(c), [m, v]) => {
                adaptive::step(c, adaptive::yogi, weights, [m, v], step);
            }
            // The memory is that of another optimiser, which the identity of a state rules out.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two steps of each by hand, in one coordinate.
    #[test]
    fn two_steps_by_hand() {
        let run = |optimizer: ServerOptimizer| {
            let (mut w, mut memory) = (vec![1.0], optimizer.start(1));
            optimizer.step(&mut w, &mut memory, &[0.5]);
            optimizer.step(&mut w, &mut memory, &[-0.25]);
            w[0]
        };
        assert_eq!(run(ServerOptimizer::default()), 1.25);
        assert_eq!(run(ServerOptimizer::Sgd { lr: 2.0 }), 1.5);
        // v = 0.5, then 0.45 - 0.25.
        assert!((run(ServerOptimizer::momentum()) - 1.7).abs() < 1e-15);
        let c = Adaptive { lr: 0.1, beta1: 0.5, beta2: 0.75, tau: 0.1 };
        let (m1, m2) = (0.25, 0.125 - 0.125);
        let v1: f64 = 0.75 * 0.01 + 0.25 * 0.25;
        let v2: f64 = 0.75 * v1 + 0.25 * 0.0625;
        let want = 1.0 + 0.1 * m1 / (v1.sqrt() + 0.1) + 0.1 * m2 / (v2.sqrt() + 0.1);
        assert!((run(ServerOptimizer::Adam(c.clone())) - want).abs() < 1e-15);
        // Yogi: v moves by a quarter of the square, towards it. Then the second step lowers nothing,
        // as m is 0.
        let v1: f64 = 0.01 + 0.25 * 0.25;
        let want = 1.0 + 0.1 * m1 / (v1.sqrt() + 0.1);
        assert!((run(ServerOptimizer::Yogi(c)) - want).abs() < 1e-15);
    }

    /// Where the squares fall, Adam forgets in proportion and Yogi by the square alone.
    #[test]
    fn yogi_forgets_more_slowly() {
        let c = Adaptive::default();
        let (mut adam, mut yogi) = (vec![vec![0.0], vec![1.0]], vec![vec![0.0], vec![1.0]]);
        ServerOptimizer::Adam(c.clone()).step(&mut [0.0], &mut adam, &[0.1]);
        ServerOptimizer::Yogi(c).step(&mut [0.0], &mut yogi, &[0.1]);
        assert!((adam[1][0] - (0.99 + 0.01 * 0.01)).abs() < 1e-15);
        assert!((yogi[1][0] - (1.0 - 0.01 * 0.01)).abs() < 1e-15);
    }

    #[test]
    fn constants_out_of_range_are_named() {
        let adaptive = |tau| ServerOptimizer::Adam(Adaptive { tau, ..Adaptive::default() });
        let cases = [
            (ServerOptimizer::Sgd { lr: 0.0 }, "lr = 0"),
            (ServerOptimizer::Momentum { lr: 1.0, momentum: 1.0 }, "momentum = 1"),
            (adaptive(0.0), "tau = 0"),
        ];
        for (optimizer, part) in cases {
            let text = optimizer.check().unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
    }
}
