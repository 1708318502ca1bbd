//! Attacks that see the predicted class only (Choquette-Choo et al. 2021, "Label-only membership
//! inference attacks"): members lie farther from the boundary, and keep their class in more views.

use super::augment::{Augmentation, noisy};
use super::scored::Scored;
use super::{MembershipEntry, Needs, Progress, Scene};
use crate::attack::{Aim, AttackConfig, HopSkipJump, Norm, perturb_rows};
use crate::data::Dataset;
use crate::model::{BlackBox, Classifier, predict_rows};
use crate::rng::Rng;
use crate::{Result, Tensor};

pub(super) const AUGMENTATION: MembershipEntry = MembershipEntry {
    name: "augmentation",
    summary: "label only: in how many shifted or noisy views the class is right",
    needs: Needs::Queries,
    run: augmentation,
};

pub(super) const BOUNDARY: MembershipEntry = MembershipEntry {
    name: "boundary",
    summary: "label only: distance to the boundary by HopSkipJump, thousands of queries a sample",
    needs: Needs::Queries,
    run: boundary,
};

/// Pictures are shifted by at most this many pixels in all: 13 views.
const RADIUS: u8 = 2;
/// Views of a row of a table.
const NOISY: u64 = 20;

fn augmentation(scene: &Scene<'_>, progress: Progress<'_>) -> Result<Vec<Scored>> {
    let mut count = |data: &Dataset, tag: &str| -> Result<Vec<f64>> {
        let rng = scene.rng.child("augmentation").child(tag);
        let rows: Vec<usize> = (0..data.len()).collect();
        let views = views(data);
        let mut right = vec![0.0; data.len()];
        for view in 0..views {
            progress("views of members and non-members", view as usize, views as usize)?;
            let seen = shown(data, view, &rng)?;
            let predicted = predict_rows(scene.model, &seen, &rows, scene.place)?;
            for ((right, class), label) in right.iter_mut().zip(predicted).zip(&data.labels) {
                *right += f64::from(u8::from(class == *label));
            }
        }
        Ok(right)
    };
    let (members, others) = (count(scene.members, "members")?, count(scene.non_members, "others")?);
    let note = format!("right classes in {} views", views(scene.members));
    Ok(vec![Scored::new("label-only augmentation", members, others).noted(note)])
}

fn is_picture(data: &Dataset) -> bool {
    data.shape.len() == 3
}

fn views(data: &Dataset) -> u64 {
    if is_picture(data) { Augmentation::shifts(RADIUS, false).len() as u64 } else { NOISY + 1 }
}

/// View number `view` of the samples, the first being the samples themselves.
fn shown(data: &Dataset, view: u64, rng: &Rng) -> Result<Dataset> {
    match (is_picture(data), view) {
        (true, _) => Augmentation::shifts(RADIUS, false)[view as usize].apply(data),
        (false, 0) => Ok(data.clone()),
        (false, _) => Ok(noisy(data, view, rng)),
    }
}

/// A model by reference, as a black box wants to own one.
struct Asked<'a>(&'a dyn Classifier);

impl Classifier for Asked<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        self.0.logits(x)
    }

    fn bounds(&self) -> [f64; 2] {
        self.0.bounds()
    }

    fn classes(&self) -> usize {
        self.0.classes()
    }
}

fn boundary(scene: &Scene<'_>, progress: Progress<'_>) -> Result<Vec<Scored>> {
    let config = HopSkipJump { queries: scene.queries, ..HopSkipJump::new(Norm::L2) };
    let attack = AttackConfig::HopSkipJump(config).check()?;
    let model = BlackBox(Asked(scene.model));
    let total = scene.members.len() + scene.non_members.len();
    let mut done = 0;
    let mut distances = |data: &Dataset, tag: &str| -> Result<Vec<f64>> {
        let rows: Vec<usize> = (0..data.len()).collect();
        let rng = scene.rng.child("boundary").child(tag);
        let mut heard = |n: usize| {
            done += n;
            progress("distance to the boundary", done, total)
        };
        let aim = Aim::Untargeted;
        let found =
            perturb_rows(&*attack, &model, data, &rows, aim, scene.place, &rng, &mut heard)?;
        // Wrong from the start is at distance 0; never fooled is farther than anything found.
        let each = found.distance.into_iter().zip(found.success);
        Ok(each.map(|(d, fooled)| if fooled { d } else { f64::INFINITY }).collect())
    };
    let (members, others) =
        (distances(scene.members, "members")?, distances(scene.non_members, "others")?);
    let note = format!("L2 distances by HopSkipJump with {} queries a sample", scene.queries);
    Ok(vec![Scored::new("label-only boundary distance", members, others).noted(note)])
}
