//! Examples of one model shown to others: who makes them, who sees them, and the matrix of what is left.

use super::entry::Entry;
use super::tally::Tally;
use super::{Judge, place};
use crate::model::{Network, predict, predict_rows};
use crate::place::Placement;
use crate::report::{TransferMatrix, TransferQuantity};
use crate::{Result, Tensor};

/// A model that makes examples or is shown them.
pub(super) struct Party<'a> {
    pub(super) name: &'a str,
    pub(super) network: &'a Network,
}

impl<'a> Judge<'a> {
    /// The models that make examples: those judged, then those that do only this.
    pub(super) fn makers(&self) -> Vec<Party<'a>> {
        let judged = self.contenders.iter().map(|c| (&c.name, &c.network));
        let others = self.extras.sources.iter().map(|s| (&s.name, &s.network));
        judged.chain(others).map(|(name, network)| Party { name, network }).collect()
    }

    /// The models that are shown them: those judged, then those that do only this.
    pub(super) fn viewers(&self) -> Vec<Party<'a>> {
        let judged = self.contenders.iter().map(|c| (&c.name, &c.network));
        let others = self.extras.targets.iter().map(|s| (&s.name, &s.network));
        judged.chain(others).map(|(name, network)| Party { name, network }).collect()
    }

    /// Clean predictions of every viewer on the attacked samples.
    pub(super) fn clean_of_viewers(&self) -> Result<Vec<Vec<i64>>> {
        let mut all = self.clean.clone();
        for target in self.extras.targets {
            let place = place(&target.network);
            all.push(predict_rows(&target.network, self.test, &self.rows, &place)?);
        }
        Ok(all)
    }

    /// The matrix of an attack, from what was counted, `[maker][viewer]`: the accuracy that is left, or for
    /// a targeted attack the share led to the target.
    pub(super) fn matrix(
        &self,
        entry: &Entry,
        tallies: &[Vec<Tally<'_>>],
    ) -> Result<TransferMatrix> {
        let threat = entry.attack.check()?.threat();
        let targeted = entry.target.is_some();
        let value = |tally: &Tally<'_>| match targeted {
            // No pair could be reached where there is none: nothing was.
            true => Ok(tally.success_rate()?.unwrap_or(0.0)),
            false => tally.robust_accuracy(),
        };
        let values = tallies.iter().map(|row| row.iter().map(value).collect::<Result<_>>());
        Ok(TransferMatrix {
            attack: entry.label(),
            norm: threat.norm,
            epsilon: threat.eps,
            quantity: match targeted {
                true => TransferQuantity::TargetedRate,
                false => TransferQuantity::RobustAccuracy,
            },
            sources: self.makers().iter().map(|m| m.name.to_owned()).collect(),
            targets: self.viewers().iter().map(|v| v.name.to_owned()).collect(),
            values: values.collect::<Result<_>>()?,
        })
    }
}

/// Predicted classes of inputs made elsewhere.
pub(super) fn shown(network: &Network, x: &Tensor, place: &Placement) -> Result<Vec<i64>> {
    let x = x.to_device(network.device())?.cast(network.dtype());
    let rows: Vec<usize> = (0..x.dim(0)).collect();
    let mut all = Vec::with_capacity(rows.len());
    for rows in place.portions(&rows) {
        all.extend(predict(network, &x.narrow(0, rows[0], rows.len()))?);
    }
    Ok(all)
}
