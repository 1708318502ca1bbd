//! The thresholds again, at adversarial versions of the samples (Song et al. 2019, "Privacy risks of
//! securing machine learning models against adversarial examples"): a model that was trained to be
//! robust around its members is more robust there than elsewhere, so its leak shows at the worst point
//! of the ball more than at the sample.
//!
//! Beside the thresholds of the samples themselves, and beside a model that was trained without
//! adversarial samples, this is what tells whether adversarial training raised the leak.

use super::answers::Answers;
use super::scored::{Scored, Sides};
use super::{MembershipEntry, Needs, Progress, Scene, thresholds};
use crate::attack::{Aim, Draws, craft};
use crate::data::Dataset;
use crate::{Result, bail};

pub(super) const ENTRY: MembershipEntry = MembershipEntry {
    name: "robust",
    summary: "the thresholds at adversarial versions of the samples; needs a budget",
    needs: Needs::Gradients,
    run,
};

fn run(scene: &Scene<'_>, progress: Progress<'_>) -> Result<Vec<Scored>> {
    let Some(config) = scene.evasion else {
        bail!(Config, "robust: how large may a perturbation be? pass --eps, say 0.1");
    };
    let attack = config.check()?;
    let threat = attack.threat();
    let bounds = scene.model.bounds();
    if threat.budget().is_some() {
        threat.check_within(scene.members.shape.iter().product(), bounds)?;
    }
    let total = scene.members.len() + scene.non_members.len();
    let mut done = 0;
    let mut answers = |data: &Dataset, tag: &str| -> Result<Answers> {
        let rng = scene.rng.child("robust").child(tag);
        let rows: Vec<usize> = (0..data.len()).collect();
        let mut all = Answers::new(Vec::new(), &[], scene.model.classes())?;
        for rows in scene.place.portions(&rows) {
            let (x, y) = scene.place.tensors(data, rows)?;
            let draws = Draws::new(rng.clone(), rows.iter().map(|&r| r as u64).collect());
            let goal = Aim::Untargeted.goal(&y, data.classes)?;
            let worst = craft(&*attack, scene.model, &x, &goal, &draws)?;
            let labels: Vec<i64> = rows.iter().map(|&r| data.labels[r]).collect();
            all.extend(&Answers::of_batch(scene.model, &worst, &labels)?);
            done += rows.len();
            progress("adversarial members and non-members", done, total)?;
        }
        Ok(all)
    };
    let sides = Sides {
        members: answers(scene.members, "members")?,
        non_members: answers(scene.non_members, "others")?,
    };
    let at = format!(" at {} {} {}", config.label(), threat.norm.symbol(), threat.eps);
    Ok(thresholds::each(&sides, &at))
}
