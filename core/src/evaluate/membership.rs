//! Membership inference on each model, by the attacks that need no other models.

use super::{Contender, Judge, Progress, place};
use crate::Result;
use crate::data::Dataset;
use crate::privacy::membership::quick;
use crate::report::MembershipReport;

impl Judge<'_> {
    pub(super) fn membership(
        &self,
        contender: &Contender,
        train: &Dataset,
        progress: Progress<'_>,
    ) -> Result<Vec<MembershipReport>> {
        let network = &contender.network;
        let rng = self.rng.child("membership");
        let (plan, place) = (self.plan, place(network));
        quick(network, (train, self.test), &plan.membership, plan.threat, &place, &rng, progress)
    }
}
