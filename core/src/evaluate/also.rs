//! The models on further data sets: the same classes from elsewhere, clean, attacked, and shown the
//! examples of the others.

use super::entry::Entry;
use super::tally::Tally;
use super::transfer::{Party, shown};
use super::{Judge, Progress, place};
use crate::attack::{Aim, AttackConfig, perturb_rows};
use crate::data::Dataset;
use crate::metrics::Confusion;
use crate::model::predict_rows;
use crate::report::{OtherData, OtherDataModel, TransferMatrix};
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
        let wanted = self.plan.samples.unwrap_or(data.len()).min(data.len());
        let mut rows = self.rng.child("also").index(number as u64).choose(data.len(), wanted);
        rows.sort_unstable();
        let mut models = Vec::new();
        for contender in self.contenders {
            let all: Vec<usize> = (0..data.len()).collect();
            let place = place(&contender.network);
            let predictions = predict_rows(&contender.network, data, &all, &place)?;
            let confusion = Confusion::from_labels(&data.labels, &predictions, self.test.classes)?;
            models.push(OtherDataModel {
                model: contender.name.clone(),
                clean_accuracy: confusion.accuracy(),
                robust_accuracy: None,
            });
        }
        let strongest = self.plan.strongest();
        let transfer = strongest.map(|config| self.shown_on(config, data, &rows, progress));
        let transfer = transfer.transpose()?;
        if let Some(matrix) = &transfer {
            for (i, model) in models.iter_mut().enumerate() {
                model.robust_accuracy = Some(matrix.values[i][i]);
            }
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
            transfer: transfer.filter(|m| m.sources.len() > 1 || m.targets.len() > 1),
        })
    }

    /// The accuracy that examples of every maker on some of `data` leave of every viewer.
    fn shown_on(
        &self,
        config: &AttackConfig,
        data: &Dataset,
        rows: &[usize],
        progress: Progress<'_>,
    ) -> Result<TransferMatrix> {
        let labels: Vec<i64> = rows.iter().map(|&r| data.labels[r]).collect();
        let viewers = self.viewers();
        let clean = |v: &Party<'_>| predict_rows(v.network, data, rows, &place(v.network));
        let cleans: Vec<Vec<i64>> = viewers.iter().map(clean).collect::<Result<_>>()?;
        let attack = config.check()?;
        let mut tallies = Vec::new();
        for (source, maker) in self.makers().iter().enumerate() {
            let phase = format!("{} on {}", maker.name, data.name);
            let (mut done, total) = (0, rows.len());
            progress(&phase, 0, total)?;
            let (at, rng, aim) = (place(maker.network), self.rng.child("attack"), Aim::Untargeted);
            let outcome =
                perturb_rows(&*attack, maker.network, data, rows, aim, &at, &rng, &mut |n| {
                    done += n;
                    progress(&phase, done, total)
                })?;
            let mut row = Vec::new();
            for (target, viewer) in viewers.iter().enumerate() {
                let mut tally = Tally::new(&labels, &cleans[target], self.test.classes, false);
                let seen = match source == target && source < self.contenders.len() {
                    true => outcome.predictions.clone(),
                    false => shown(viewer.network, &outcome.adversarial, &place(viewer.network))?,
                };
                tally.add(aim, &seen);
                row.push(tally);
            }
            tallies.push(row);
        }
        self.matrix(&Entry::from(config.clone()), &tallies)
    }
}
