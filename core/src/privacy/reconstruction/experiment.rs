//! A method on records whose answers are known: what it sees, what it makes of it, and how near that
//! is, against the best guess of somebody who saw nothing.

use super::assign::assign;
use super::{Defence, Method, Progress, Seen, observe};
use crate::data::Dataset;
use crate::metrics::{mse, psnr, ssim};
use crate::model::Network;
use crate::place::Placement;
use crate::report::{DefenceReport, PSNR_MOST, Rate, ReconstructionAttack, Spread};
use crate::rng::Rng;
use crate::{DType, Result, bail};

/// What is tried.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// The method.
    pub method: Method,
    /// Records that share a gradient, an update or outputs.
    pub batch: usize,
    /// Layers behind which outputs are seen; all of them if absent. Of the method `features` only.
    pub depth: Option<usize>,
    /// Whether the attacker knows the labels. Otherwise they are read off the gradient.
    pub labels_known: bool,
    /// Clipping and noise before anything is seen.
    pub defence: Option<Defence>,
    /// PSNR from which a record counts as recovered, in decibels.
    pub recovered_from: f64,
}

/// A record beside what was made of it.
#[derive(Debug, Clone)]
pub struct PictureRowOf {
    /// Its row in the data.
    pub row: usize,
    /// What it was taken for, row-major.
    pub guess: Vec<f32>,
    /// PSNR in decibels.
    pub psnr: f64,
}

/// What an experiment gave.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The figures.
    pub report: ReconstructionAttack,
    /// Each record with its reconstruction.
    pub rows: Vec<PictureRowOf>,
}

impl Experiment {
    /// Attacks the records `rows` of `data`, `batch` at a time. `others` are records of the same kind:
    /// their mean is the guess without a leak.
    ///
    /// # Errors
    /// A constant is out of range, a set is empty, or the device failed.
    pub fn run(
        &self,
        network: &Network,
        data: &Dataset,
        rows: &[usize],
        others: &Dataset,
        rng: &Rng,
        progress: Progress<'_>,
    ) -> Result<Outcome> {
        self.check(rows)?;
        let place = Placement { dtype: network.dtype(), ..Placement::new(network.device()) };
        let (mut found, mut right) = (Vec::new(), 0);
        let groups: Vec<&[usize]> = rows.chunks(self.batch).collect();
        for (i, group) in groups.iter().enumerate() {
            let rng = rng.index(group[0] as u64);
            let (x, y) = place.tensors(data, group)?;
            let defence = self.defence.as_ref();
            let noise = rng.child("noise");
            let leaked = observe(&self.method, network, (&x, &y), self.depth, defence, &noise)?;
            let seen = Seen { network, samples: group.len(), leaked };
            let classes: Vec<i64> = group.iter().map(|&r| data.labels[r]).collect();
            let known = self.labels_known.then_some(&classes[..]);
            let mut heard = |step: usize, steps: usize| {
                progress(i * 1000 + 1000 * step / steps.max(1), groups.len() * 1000)
            };
            let guess = self.method.run(&seen, known, &rng.child("attack"), &mut heard)?;
            right += guess.labels.as_ref().map_or(0, |l| in_common(l, &classes));
            let guesses = guess.x.cast(DType::F32).to_vec::<f32>()?;
            found.extend(paired(data, group, &guesses)?);
        }
        let guessed = !self.labels_known && !matches!(self.method, Method::Features(_));
        let labels = if guessed { Some(Rate::new(right, rows.len())?) } else { None };
        let what = self.leak();
        let mut outcome =
            judge(self.method.name(), &what, data, found, others, self.recovered_from)?;
        outcome.report.labels = labels;
        outcome.report.batch = self.batch.min(rows.len()) as u64;
        outcome.report.defence = self
            .defence
            .map(|d| DefenceReport { clipping_norm: d.clip, noise_multiplier: d.noise_multiplier });
        Ok(outcome)
    }

    fn check(&self, rows: &[usize]) -> Result<()> {
        self.method.check()?;
        if let Some(defence) = &self.defence {
            defence.check()?;
        }
        if self.batch == 0 || rows.is_empty() {
            let (rows, batch) = (rows.len(), self.batch);
            bail!(
                Config,
                "reconstruction: {rows} records {batch} at a time; give at least 1 of each"
            );
        }
        if !self.recovered_from.is_finite() {
            bail!(Config, "reconstruction: recovered_from must be a number of decibels, say 20");
        }
        Ok(())
    }

    /// What is seen, in words.
    fn leak(&self) -> String {
        match (&self.method, self.depth) {
            (Method::Features(_), Some(depth)) => format!("outputs of the first {depth} layers"),
            (Method::Features(_), None) => "logits".into(),
            (Method::Updates(u), _) => format!(
                "update of {} steps of SGD on {} records",
                u.local.steps(self.batch).count(),
                self.batch
            ),
            _ if self.batch == 1 => "gradient of one record".into(),
            _ => format!("gradient of {} records", self.batch),
        }
    }
}

/// Labels that two lists have in common, whatever their order.
fn in_common(a: &[i64], b: &[i64]) -> usize {
    let mut rest = b.to_vec();
    let mut found =
        |label: &i64| rest.iter().position(|l| l == label).map(|at| rest.swap_remove(at));
    a.iter().filter(|label| found(label).is_some()).count()
}

/// The records of `group` with the guesses that the best assignment gives them.
fn paired(data: &Dataset, group: &[usize], guesses: &[f32]) -> Result<Vec<(usize, Vec<f32>)>> {
    let guesses: Vec<&[f32]> = guesses.chunks(record(data, 0).len()).collect();
    let costs = |row: &usize| guesses.iter().map(|g| mse(record(data, *row), g)).collect();
    let costs: Vec<Vec<f64>> = group.iter().map(costs).collect::<Result<_>>()?;
    let columns = assign(&costs);
    Ok(group.iter().zip(columns).map(|(row, column)| (*row, guesses[column].to_vec())).collect())
}

fn record(data: &Dataset, row: usize) -> &[f32] {
    let each: usize = data.shape.iter().product();
    &data.features[row * each..(row + 1) * each]
}

/// Figures of guesses `(row, values)` for records of `data`, against the mean of `others`.
///
/// # Errors
/// There is no guess, one does not fit the records, or there are no others.
pub fn judge(
    method: &str,
    leak: &str,
    data: &Dataset,
    guesses: Vec<(usize, Vec<f32>)>,
    others: &Dataset,
    recovered_from: f64,
) -> Result<Outcome> {
    let mean = mean_record(others)?;
    let range = f64::from(data.bounds.1) - f64::from(data.bounds.0);
    let quality = |error: f64| psnr(error, range).min(PSNR_MOST);
    let (mut errors, mut similar, mut base, mut rows) = (vec![], vec![], vec![], vec![]);
    let mut window = None;
    for (row, guess) in guesses {
        let truth = record(data, row);
        let error = mse(truth, &guess)?;
        errors.push(error);
        base.push(quality(mse(truth, &mean)?));
        if data.shape.len() == 3 {
            let s = ssim(truth, &guess, &data.shape, range)?;
            similar.push(s.value);
            window = Some(s.window);
        }
        rows.push(PictureRowOf { row, guess, psnr: quality(error) });
    }
    let over = |values: &mut dyn Iterator<Item = f64>| {
        let values: Vec<f64> = values.collect();
        Rate::new(values.iter().filter(|v| **v >= recovered_from).count(), values.len())
    };
    let recovered = over(&mut rows.iter().map(|r| r.psnr))?;
    let baseline_recovered = over(&mut base.iter().copied())?;
    let psnr = Spread::of(&rows.iter().map(|r| r.psnr).collect::<Vec<_>>())?;
    let baseline_psnr = Spread::of(&base)?;
    let ssim = if similar.is_empty() { None } else { Some(Spread::of(&similar)?) };
    let finding =
        finding(method, leak, &recovered, [psnr.mean, baseline_psnr.mean], recovered_from);
    let report = ReconstructionAttack {
        method: method.to_owned(),
        leak: leak.to_owned(),
        samples: rows.len() as u64,
        batch: 1,
        defence: None,
        labels: None,
        mse: Spread::of(&errors)?,
        psnr,
        ssim,
        ssim_window: window,
        baseline_psnr,
        recovered_from,
        recovered,
        baseline_recovered,
        seconds: None,
        finding,
    };
    Ok(Outcome { report, rows })
}

/// The mean of the records of a set.
fn mean_record(others: &Dataset) -> Result<Vec<f32>> {
    if others.is_empty() {
        bail!(Data, "reconstruction: there are no other records to guess from; supply some");
    }
    let mut sums = vec![0.0f64; others.shape.iter().product()];
    for row in 0..others.len() {
        sums.iter_mut().zip(record(others, row)).for_each(|(s, v)| *s += f64::from(*v));
    }
    Ok(sums.into_iter().map(|s| (s / others.len() as f64) as f32).collect())
}

fn finding(
    method: &str,
    leak: &str,
    recovered: &Rate,
    [psnr, base]: [f64; 2],
    from: f64,
) -> String {
    let counts = recovered.describe();
    let level = format!("mean PSNR {psnr:.1} dB, the mean record {base:.1} dB");
    if recovered.successes > 0 {
        return format!(
            "{method} recovers {counts} at {from} dB or better from the {leak}; {level}"
        );
    }
    format!(
        "{method} recovers {counts} at {from} dB or better from the {leak}; {level}. This attack \
         failed, another may not"
    )
}
