//! Attacks that are compared by what they reach, not by their iterates: those that adapt their steps
//! or draw as they go, where no two tools take the same path.
//!
//! The labels are those that the network gives, so that every sample has to be attacked, as tools
//! that leave misclassified samples alone would not do otherwise. Where there is a ball, it is so
//! small that no sample is fooled, so that every tool makes all of its steps or queries; the loss is
//! next to linear in it, which makes the loss that is reached nearly the same for all that ascend it.
//! The attack of Carlini and Wagner is timed with a margin that no step reaches, for the same reason,
//! and compared without one.

use inocula_core::attack::{Apgd, Attack, AttackConfig, Cw, Norm, Square};
use inocula_core::loss::cross_entropy;
use inocula_core::model::Classifier as _;
use inocula_core::{Result, Tensor};

use crate::row::{Context, Output, Row, Tolerance, Work};
use crate::scale::{CW_ENDLESS, CW_LR, CW_WEIGHT, SMALL_EPS};
use crate::subject::{Net, PREDICTED, Subject};

const SUITE: &str = "attacks";

pub(crate) const ROWS: &[Row] = &[
    Row {
        suite: SUITE,
        name: "madry apgd-50",
        flops: |s| Net::Madry.attack_flops(s.batch, s.attack_steps),
        tolerance: Tolerance::CHAINS,
        prepare: |c| {
            let apgd = Apgd {
                steps: c.scale.attack_steps,
                stop_early: false,
                ..Apgd::new(Norm::Linf, SMALL_EPS)
            };
            Ok(Box::new(Reached::new(c, AttackConfig::Apgd(apgd), loss)?))
        },
    },
    Row {
        suite: SUITE,
        name: "madry cw-50",
        flops: |s| Net::Madry.attack_flops(s.batch, s.attack_steps),
        // The nearest point of a path, of which a tool may miss the last step.
        tolerance: Tolerance { relative: 1e-2, outliers: 0.0 },
        prepare: |c| {
            let cw = Cw {
                steps: c.scale.attack_steps,
                searches: 1,
                weight: CW_WEIGHT,
                lr: CW_LR,
                abort_early: false,
                ..Cw::new()
            };
            let endless = Cw { confidence: CW_ENDLESS, ..cw.clone() };
            Ok(Box::new(Reached {
                timed: AttackConfig::Cw(endless).check()?,
                ..Reached::new(c, AttackConfig::Cw(cw), distance)?
            }))
        },
    },
    Row {
        suite: SUITE,
        name: "madry square-200",
        flops: |s| s.queries as f64 * Net::Madry.forward_flops(s.batch),
        // Each tool draws squares of its own.
        tolerance: Tolerance { relative: 1e-2, outliers: 0.0 },
        prepare: |c| {
            let square = Square { queries: c.scale.queries, ..Square::new(Norm::Linf, SMALL_EPS) };
            Ok(Box::new(Reached::new(c, AttackConfig::Square(square), loss)?))
        },
    },
];

/// What is read off a result: its name and value.
type Measure = fn(&Subject, &Tensor) -> Result<Output>;

struct Reached {
    subject: Subject,
    timed: Box<dyn Attack>,
    compared: Box<dyn Attack>,
    measure: Measure,
}

impl Reached {
    fn new(c: &Context, config: AttackConfig, measure: Measure) -> Result<Self> {
        let mut subject = Subject::new(c, Net::Madry, c.scale.batch)?;
        subject.y = c.get(PREDICTED)?;
        Ok(Reached { subject, timed: config.check()?, compared: config.check()?, measure })
    }
}

/// The mean cross-entropy.
fn loss(subject: &Subject, found: &Tensor) -> Result<Output> {
    let loss = cross_entropy(&subject.network.logits(found)?, &subject.y).mean_all();
    Ok(Output::scalar("loss", loss.item()?))
}

/// The mean Euclidean distance from the inputs.
fn distance(subject: &Subject, found: &Tensor) -> Result<Output> {
    let distance = (found - &subject.x).square().sum_per_sample().sqrt().mean_all();
    Ok(Output::scalar("distance", distance.item()?))
}

impl Work for Reached {
    fn run(&mut self) -> Result<()> {
        self.subject.attack(&*self.timed).map(drop)
    }

    fn result(&mut self) -> Result<Vec<Output>> {
        let found = self.subject.attack(&*self.compared)?;
        Ok(vec![(self.measure)(&self.subject, &found)?])
    }
}
