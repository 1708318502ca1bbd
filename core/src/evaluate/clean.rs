//! One model on unperturbed test samples: utility and calibration.

use super::{Contender, Judge, Progress, place};
use crate::Result;
use crate::data::Dataset;
use crate::metrics::{CALIBRATION_BINS, Confusion, calibration};
use crate::model::Classifier as _;
use crate::place::Placement;
use crate::report::{CalibrationReport, ClassificationReport, ModelReport};

impl Judge<'_> {
    /// Opens the report of a model with what needs no attack on its inputs.
    pub(super) fn clean(
        &mut self,
        contender: &Contender,
        train: &Dataset,
        progress: Progress<'_>,
    ) -> Result<()> {
        let network = &contender.network;
        let place = place(network);
        let (logits, predictions) = self.answers(contender, &place)?;
        let test = self.test;
        let confusion = Confusion::from_labels(&test.labels, &predictions, test.classes)?;
        let calibration = calibration(&logits, &test.labels, CALIBRATION_BINS)?;
        let right = |&r: &usize| predictions[r] == test.labels[r];
        self.held.push(self.rows.iter().map(right).collect());
        self.clean.push(self.rows.iter().map(|&r| predictions[r]).collect());
        self.reports.push(ModelReport {
            name: contender.name.clone(),
            baseline: contender.baseline,
            parameters: network.spec().numel()? as u64,
            training: contender.training.clone(),
            clean: ClassificationReport::new(&confusion, &test.class_names)?,
            calibration: Some(CalibrationReport::from(&calibration)),
            attacks: Vec::new(),
            worst_case_accuracy: None,
            mean_perturbation_to_fool: None,
            distributions: Vec::new(),
            certificates: Vec::new(),
            findings: Vec::new(),
            membership: self.membership(contender, train, progress)?,
            inversion: None,
            reconstruction: None,
            attributes: None,
            audited_epsilon: None,
            privacy_budget: contender.training.as_ref().and_then(|t| t.privacy.clone()),
        });
        Ok(())
    }

    /// Logits `[N, classes]` of all test samples, row by row, and the classes predicted.
    fn answers(&self, contender: &Contender, place: &Placement) -> Result<(Vec<f64>, Vec<i64>)> {
        let all: Vec<usize> = (0..self.test.len()).collect();
        let (mut logits, mut predictions) = (Vec::new(), Vec::with_capacity(all.len()));
        for rows in place.portions(&all) {
            let z = contender.network.logits(&place.tensors(self.test, rows)?.0)?;
            predictions.extend(z.argmax(1).to_vec::<i64>()?);
            logits.extend(z.to_f64_vec()?);
        }
        Ok((logits, predictions))
    }
}
