//! Membership inference on each model: a row an attack.

use super::{Contender, Judge, place};
use crate::Result;
use crate::data::Dataset;
use crate::privacy::membership::loss_threshold;
use crate::report::MembershipReport;

/// False-positive rates at which true-positive rates are reported, as far as the samples can show them.
const RATES: [f64; 2] = [0.01, 0.001];

impl Judge<'_> {
    pub(super) fn membership(
        &self,
        contender: &Contender,
        train: &Dataset,
    ) -> Result<Vec<MembershipReport>> {
        let network = &contender.network;
        let found = loss_threshold(network, train, self.test, &place(network))?;
        Ok(vec![MembershipReport::new("loss threshold", &found.roc, &RATES)])
    }
}
