//! The models on further data sets: the same classes from elsewhere, clean and attacked.

use super::tally::Tally;
use super::{Judge, Progress, place};
use crate::attack::{Aim, perturb_rows};
use crate::data::Dataset;
use crate::metrics::Confusion;
use crate::model::predict_rows;
use crate::report::{OtherData, OtherDataModel};
use crate::{Result, bail};

/// Checks that every further data set has samples like those of `test`, and the same classes.
pub(super) fn check(also: &[Dataset], test: &Dataset) -> Result<()> {
    for (i, data) in also.iter().enumerate() {
        let name = &data.name;
        if data.shape != test.shape {
            bail!(
                Shape,
                "evaluate: {name} has samples {:?}, the models take {:?}; choose data of that shape",
                data.shape,
                test.shape
            );
        }
        // Files that number their classes cannot tell of a last class without samples.
        if !test.class_names.starts_with(&data.class_names) {
            bail!(
                Data,
                "evaluate: {name} has the classes {}, the models' data {}; choose data of the same \
                 classes in the same order",
                data.class_names.join(", "),
                test.class_names.join(", ")
            );
        }
        if data.bounds.0 < test.bounds.0 || data.bounds.1 > test.bounds.1 {
            bail!(
                Data,
                "evaluate: {name} has values in {:?}, the models take {:?}; scale it alike",
                data.bounds,
                test.bounds
            );
        }
        if data.is_empty() {
            bail!(Data, "evaluate: {name} has no samples; supply some");
        }
        if also[..i].iter().any(|d| d.name == data.name && d.source == data.source) {
            bail!(Config, "evaluate: {name} is given twice; leave one of the two out");
        }
    }
    Ok(())
}

impl Judge<'_> {
    /// One entry a data set.
    pub(super) fn also(&self, progress: Progress<'_>) -> Result<Vec<OtherData>> {
        let each = self.extras.also.iter().enumerate();
        each.map(|(i, data)| self.on(data, i, progress)).collect()
    }

    fn on(&self, data: &Dataset, number: usize, progress: Progress<'_>) -> Result<OtherData> {
        let strongest = self.plan.strongest();
        let wanted = self.plan.samples.unwrap_or(data.len()).min(data.len());
        let mut rows = self.rng.child("also").index(number as u64).choose(data.len(), wanted);
        rows.sort_unstable();
        let labels: Vec<i64> = rows.iter().map(|&r| data.labels[r]).collect();
        let all: Vec<usize> = (0..data.len()).collect();
        let mut models = Vec::new();
        for contender in self.contenders {
            let (network, place) = (&contender.network, place(&contender.network));
            let phase = format!("{} on {}", contender.name, data.name);
            let (mut done, total) = (0, rows.len());
            progress(&phase, 0, total)?;
            let predictions = predict_rows(network, data, &all, &place)?;
            let confusion = Confusion::from_labels(&data.labels, &predictions, self.test.classes)?;
            let mut robust_accuracy = None;
            if let Some(config) = strongest {
                let outcome = perturb_rows(
                    &*config.check()?,
                    network,
                    data,
                    &rows,
                    Aim::Untargeted,
                    &place,
                    &self.rng.child("attack"),
                    &mut |n| {
                        done += n;
                        progress(&phase, done, total)
                    },
                )?;
                let clean: Vec<i64> = rows.iter().map(|&r| predictions[r]).collect();
                let mut tally = Tally::new(&labels, &clean, self.test.classes, false);
                tally.add(Aim::Untargeted, &outcome.predictions);
                robust_accuracy = Some(tally.robust_accuracy()?);
            }
            models.push(OtherDataModel {
                model: contender.name.clone(),
                clean_accuracy: confusion.accuracy(),
                robust_accuracy,
            });
        }
        let threat = self.plan.threat;
        Ok(OtherData {
            name: data.name.clone(),
            source: data.source.clone(),
            samples: data.len() as u64,
            attacked: rows.len() as u64,
            attack: strongest.map_or(String::new(), |config| {
                format!("{} {} {}", config.label(), threat.norm.symbol(), threat.eps)
            }),
            models,
        })
    }
}
