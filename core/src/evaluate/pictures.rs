//! Pictures: samples as the strongest attack changed them on each model.

use super::Judge;
use crate::attack::Outcome;
use crate::report::{Picture, PictureGrid, PictureRow, Verdict};
use crate::{DType, Result};

/// What an attack made of the pictured samples on one model.
pub(super) struct Shot {
    /// Row-major `[pictured, ...]`.
    values: Vec<f32>,
    predictions: Vec<i64>,
}

impl Judge<'_> {
    /// The samples that are pictured: the first of each class, as positions among those attacked.
    fn pictured(&self) -> Vec<usize> {
        if !matches!(*self.test.shape, [1 | 3, _, _]) {
            return Vec::new();
        }
        let mut shown: Vec<usize> = Vec::new();
        for class in 0..self.test.classes as i64 {
            shown.extend(self.labels.iter().position(|&l| l == class));
        }
        shown.truncate(self.plan.pictures);
        shown
    }

    /// Keeps of an outcome what is pictured.
    pub(super) fn shot(&self, outcome: &Outcome) -> Result<Shot> {
        let mut shot = Shot { values: Vec::new(), predictions: Vec::new() };
        for at in self.pictured() {
            let sample = outcome.adversarial.narrow(0, at, 1).cast(DType::F32);
            shot.values.extend(sample.to_vec::<f32>()?);
            shot.predictions.push(outcome.predictions[at]);
        }
        Ok(shot)
    }

    /// The first sample of each class: clean, and as each model's strongest attack changed it.
    pub(super) fn pictures(&self, shots: &[Shot]) -> Result<Vec<PictureGrid>> {
        let shown = self.pictured();
        let Some(config) = self.plan.strongest().filter(|_| !shown.is_empty()) else {
            return Ok(Vec::new());
        };
        let name = |class: i64| {
            self.test.class_names.get(class as usize).map_or("?", String::as_str).to_owned()
        };
        let bounds = [f64::from(self.test.bounds.0), f64::from(self.test.bounds.1)];
        let each: usize = self.test.shape.iter().product();
        let picture = |values: &[f32], label: String| {
            Picture::from_sample(values, &self.test.shape, bounds, label)
        };
        let clean = shown.iter().map(|&i| {
            let row = self.rows[i];
            picture(&self.test.features[row * each..(row + 1) * each], name(self.labels[i]))
        });
        let mut rows =
            vec![PictureRow { label: "input".into(), cells: clean.collect::<Result<_>>()? }];
        for (contender, shot) in self.contenders.iter().zip(shots) {
            let cells = shown.iter().enumerate().map(|(at, &i)| {
                let class = shot.predictions[at];
                let right = class == self.labels[i];
                let verdict = if right { Verdict::Good } else { Verdict::Bad };
                let cell = picture(&shot.values[at * each..(at + 1) * each], name(class))?;
                Ok(cell.judged(verdict))
            });
            rows.push(PictureRow {
                label: contender.name.clone(),
                cells: cells.collect::<Result<_>>()?,
            });
        }
        let threat = config.check()?.threat();
        Ok(vec![PictureGrid {
            title: "Adversarial examples".into(),
            caption: format!(
                "What {} at {} {} makes of test samples, and the class each model then sees. A \
                 sample that a model had wrong already is shown unchanged.",
                config.label(),
                threat.norm.symbol(),
                threat.eps
            ),
            columns: shown.iter().map(|&i| format!("class {}", name(self.labels[i]))).collect(),
            rows,
        }])
    }
}
