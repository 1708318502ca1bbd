//! The rules of the server by name, with where each comes from.
//!
//! A name stands for a setting of one part of a federation: how updates are combined, what the server
//! does with the result, or what clients add to their loss. Parts combine, so several names can be
//! given, such as `fedprox` and `krum`.

use super::{Aggregate, Federation, ServerOptimizer};
use crate::error::nearest;
use crate::{Result, bail};

/// A rule that can be asked for by name.
pub struct AggregatorEntry {
    /// Name on the command line.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// Sets its part at its usual constants, for the number of attackers that is configured.
    set: fn(&mut Federation),
}

/// Every rule.
pub const AGGREGATORS: &[AggregatorEntry] = &[
    AggregatorEntry {
        name: "fedavg",
        summary: "the mean by samples; McMahan et al. 2017",
        set: |f| {
            f.aggregate = Aggregate::default();
            f.server = ServerOptimizer::default();
        },
    },
    AggregatorEntry {
        name: "fedprox",
        summary: "clients pulled to the weights of the round; Li et al. 2020",
        set: |f| f.proximal = 0.01,
    },
    AggregatorEntry {
        name: "fedavgm",
        summary: "momentum at the server; Hsu et al. 2019",
        set: |f| f.server = ServerOptimizer::momentum(),
    },
    AggregatorEntry {
        name: "fedadam",
        summary: "Adam at the server; Reddi et al. 2021",
        set: |f| f.server = ServerOptimizer::Adam(super::server::Adaptive::default()),
    },
    AggregatorEntry {
        name: "fedyogi",
        summary: "Yogi at the server; Reddi et al. 2021",
        set: |f| f.server = ServerOptimizer::Yogi(super::server::Adaptive::default()),
    },
    AggregatorEntry {
        name: "median",
        summary: "the median of each coordinate; Yin et al. 2018",
        set: |f| f.aggregate = Aggregate::Median {},
    },
    AggregatorEntry {
        name: "trimmed_mean",
        summary: "the mean without the extremes of each coordinate; Yin et al. 2018",
        set: |f| f.aggregate = Aggregate::TrimmedMean { byzantine: f.byzantine() },
    },
    AggregatorEntry {
        name: "krum",
        summary: "the update closest to its neighbours; Blanchard et al. 2017",
        set: |f| f.aggregate = Aggregate::Krum { byzantine: f.byzantine() },
    },
    AggregatorEntry {
        name: "multi_krum",
        summary: "the mean of those that Krum likes best; Blanchard et al. 2017",
        set: |f| f.aggregate = Aggregate::MultiKrum { byzantine: f.byzantine(), keep: None },
    },
    AggregatorEntry {
        name: "bulyan",
        summary: "Krum, then the values closest to the median; El Mhamdi et al. 2018",
        set: |f| f.aggregate = Aggregate::Bulyan { byzantine: f.byzantine() },
    },
    AggregatorEntry {
        name: "geometric_median",
        summary: "the point of least distance to all; Pillutla et al. 2022",
        set: |f| f.aggregate = Aggregate::geometric_median(),
    },
    AggregatorEntry {
        name: "norm_bound",
        summary: "the mean of updates scaled down to a norm; Sun et al. 2019",
        set: |f| f.aggregate = Aggregate::NormBound { bound: None },
    },
    AggregatorEntry {
        name: "calfat",
        summary: "logits calibrated by the classes of each client; Chen et al. 2022",
        set: |f| f.calibrate = true,
    },
    AggregatorEntry {
        name: "sfat",
        summary: "more weight on clients of small loss; Zhu et al. 2023",
        set: |f| f.aggregate = Aggregate::slack(),
    },
];

impl Federation {
    /// Byzantine clients to count on: those that attack, or one.
    fn byzantine(&self) -> usize {
        self.attackers.as_ref().map_or(1, |a| a.count)
    }

    /// Sets the part that `name`, one of [`AGGREGATORS`], stands for.
    ///
    /// # Errors
    /// There is none of the name; the message lists them.
    pub fn set_aggregator(&mut self, name: &str) -> Result<()> {
        if let Some(entry) = AGGREGATORS.iter().find(|a| a.name == name) {
            (entry.set)(self);
            return Ok(());
        }
        let names: Vec<&str> = AGGREGATORS.iter().map(|a| a.name).collect();
        let hint = nearest(name, names.iter().copied());
        let hint = hint.map_or(String::new(), |near| format!("; did you mean {near}?"));
        bail!(Config, "federation: {name:?} is not one of {}{hint}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::TrainConfig;

    #[test]
    fn every_name_sets_something_that_passes() {
        let plain = Federation { clients: 10, ..Federation::default() };
        for entry in AGGREGATORS {
            let mut federation = plain.clone();
            federation.set_aggregator(entry.name).unwrap();
            assert!(entry.name == "fedavg" || federation != plain, "{}", entry.name);
            federation.check(&TrainConfig::default()).unwrap();
        }
        let text = plain.clone().set_aggregator("krumm").unwrap_err().to_string();
        assert!(text.contains("did you mean krum?"), "{text}");
    }

    #[test]
    fn parts_combine() {
        let mut federation = Federation::default();
        for name in ["fedprox", "fedadam", "median"] {
            federation.set_aggregator(name).unwrap();
        }
        assert_eq!(federation.proximal, 0.01);
        assert_eq!(federation.aggregate, Aggregate::Median {});
        assert!(matches!(federation.server, ServerOptimizer::Adam(_)));
    }
}
