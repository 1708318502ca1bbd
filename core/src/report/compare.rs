//! The models of a report next to each other and against the baseline.
//!
//! A column exists when at least one model has a value for it. Attacks are matched by name, norm,
//! budget and access, because accuracies under different budgets do not compare.

use super::doubted::{MARK, in_doubt};
use super::format::{self, ABSENT};
use super::table::{Cell, Column, Delta, Table};
use super::{ModelReport, Report};

/// A figure that models are compared by.
struct Figure {
    heading: String,
    unit: Unit,
    /// Which direction is for the better; `None` for a cost that is only stated.
    better: Option<Better>,
    value: Value,
    /// Whether the figure of a model is in doubt.
    doubted: Box<dyn Fn(&ModelReport) -> bool>,
}

/// A figure of a model, if it has it.
type Value = Box<dyn Fn(&ModelReport) -> Option<f64>>;

#[derive(Clone, Copy, PartialEq)]
enum Better {
    Higher,
    Lower,
}

#[derive(Clone, Copy)]
enum Unit {
    Percent,
    Number,
    /// Three decimals.
    Score,
    Seconds,
}

impl Report {
    /// The comparison: a row a model, the baseline first, with differences against it. Differences
    /// of percentages are in points.
    pub fn comparison_table(&self) -> Table {
        let baseline = self.baseline();
        let figures: Vec<Figure> = (figures(self).into_iter())
            .filter(|f| self.models.iter().any(|m| f.of(m).is_some()))
            .collect();
        let columns = std::iter::once(Column::left("Model"))
            .chain(figures.iter().map(|f| Column::right(f.heading.clone())))
            .collect();
        let rows = (self.models_in_order().into_iter())
            .map(|model| {
                let reference = baseline.filter(|b| !std::ptr::eq(*b, model));
                let cells = figures.iter().map(|f| f.cell(model, reference));
                std::iter::once(Cell::text(model.name.clone())).chain(cells).collect()
            })
            .collect();
        Table { columns, rows }
    }

    /// The models, the baseline first.
    pub fn models_in_order(&self) -> Vec<&ModelReport> {
        let baseline = self.baseline();
        let is_baseline = |m: &ModelReport| baseline.is_some_and(|b| std::ptr::eq(b, m));
        let rest = self.models.iter().filter(|m| !is_baseline(m));
        baseline.into_iter().chain(rest).collect()
    }

    /// Up to three lines on robustness, privacy and utility, for [`Report::summary`].
    ///
    /// All three speak of one model, the most robust one that is not the baseline: picking the best
    /// model anew for each line would describe a model that does not exist.
    pub fn draft_summary(&self) -> Vec<String> {
        let others = self.models.iter().filter(|m| !m.baseline);
        let rank = |m: &ModelReport| m.robust_accuracy().unwrap_or(-1.0);
        let best = others.max_by(|a, b| rank(a).total_cmp(&rank(b)));
        let (model, baseline) = match (best, self.baseline()) {
            (Some(model), baseline) => (model, baseline),
            (None, Some(alone)) => (alone, None),
            (None, None) => return Vec::new(),
        };
        FINDINGS.iter().filter_map(|f| f.line(model, baseline)).collect()
    }
}

/// A line of the summary. In its sentence `{model}` and `{value}` stand for the model's, and what
/// follows the bar is said of the baseline.
struct Finding {
    sentence: &'static str,
    of: fn(&ModelReport) -> Option<f64>,
    /// What is added about the model.
    remark: fn(&ModelReport) -> Option<&'static str>,
}

/// That the advantage found is one that chance gives too.
fn by_chance(model: &ModelReport) -> Option<&'static str> {
    let found = model.strongest_membership()?;
    (found.advantage <= found.advantage_by_chance?)
        .then_some("; with so few samples chance gives as much, so nothing was shown to leak")
}

const FINDINGS: &[Finding] = &[
    Finding {
        sentence: "Robustness: {model} gets {value} right under the worst of the attacks|{model} \
                   {value}",
        of: ModelReport::robust_accuracy,
        remark: in_doubt,
    },
    Finding {
        sentence: "Privacy: {model} gives membership inference an advantage of {value}|{model} {value}",
        of: |m| m.strongest_membership().map(|a| a.advantage),
        remark: by_chance,
    },
    Finding {
        sentence: "Utility: {model} gets {value} of clean samples right|{model} {value}",
        of: |m| Some(m.clean.accuracy),
        remark: |_| None,
    },
];

impl Finding {
    /// `Utility: PGD gets 98.4% of clean samples right, plain 99.0% (-0.6 points).`
    fn line(&self, model: &ModelReport, baseline: Option<&ModelReport>) -> Option<String> {
        let of = |m: &ModelReport| (self.of)(m).filter(|v| v.is_finite());
        // The name last, so that braces in it stay as they are.
        let fill = |part: &str, m: &ModelReport, value: f64| {
            part.replace("{value}", &format::percent(value)).replace("{model}", &m.name)
        };
        let (main, other) = self.sentence.split_once('|')?;
        let value = of(model)?;
        let mut line = fill(main, model, value);
        if let Some((baseline, reference)) = baseline.and_then(|b| Some((b, of(b)?))) {
            let points = format::signed((value - reference) * 100.0, 1);
            line.push_str(&format!(", {} ({points} points)", fill(other, baseline, reference)));
        }
        line.push_str((self.remark)(model).unwrap_or_default());
        line.push('.');
        Some(line)
    }
}

fn figures(report: &Report) -> Vec<Figure> {
    use Better::{Higher, Lower};
    use Unit::{Number, Percent, Score, Seconds};
    let mut all = vec![
        Figure::new("Clean accuracy", Percent, Some(Higher), |m| Some(m.clean.accuracy)),
        Figure::new("Precision (macro)", Percent, Some(Higher), |m| Some(m.clean.precision)),
        Figure::new("Recall (macro)", Percent, Some(Higher), |m| Some(m.clean.recall)),
        Figure::new("F1 (macro)", Percent, Some(Higher), |m| Some(m.clean.f1)),
        Figure::new("Calibration error", Percent, Some(Lower), |m| {
            m.calibration.as_ref().map(|c| c.expected_error)
        }),
        Figure::new("Brier score", Score, Some(Lower), |m| m.calibration.as_ref().map(|c| c.brier)),
    ];
    let attacks = distinct(report, |m| m.attacks.iter().map(|a| a.label()).collect());
    let several = attacks.len() > 1;
    all.extend(attacks.iter().cloned().map(|label| {
        let figure = label.clone();
        Figure::new(format!("Accuracy, {label}"), Percent, Some(Higher), move |m| {
            m.attacks.iter().find(|a| a.label() == label).map(|a| a.robust_accuracy)
        })
        .doubted_if(move |m| m.is_doubted(&figure))
    }));
    if several || report.models.iter().any(|m| m.worst_case_accuracy.is_some()) {
        let worst = ModelReport::robust_accuracy;
        let figure = Figure::new("Accuracy, worst case", Percent, Some(Higher), worst);
        all.push(figure.doubted_if(|m| !m.findings.is_empty()));
    }
    let certified = distinct(report, |m| m.certificates.iter().map(|c| c.label()).collect());
    all.extend(certified.into_iter().map(|label| {
        Figure::new(format!("Certified, {label}"), Percent, Some(Higher), move |m| {
            m.certificates.iter().find(|c| c.label() == label).map(|c| c.certified_accuracy)
        })
    }));
    all.extend(attacks.into_iter().map(|label| {
        Figure::new(format!("Success, {label}"), Percent, Some(Lower), move |m| {
            m.attacks.iter().find(|a| a.label() == label).and_then(|a| a.success_rate)
        })
    }));
    let minimal =
        distinct(report, |m| m.mean_perturbation_to_fool.iter().map(|p| p.label()).collect());
    all.extend(minimal.into_iter().map(|label| {
        Figure::new(format!("Mean size to fool, {label}"), Number, Some(Higher), move |m| {
            m.mean_perturbation_to_fool.as_ref().filter(|p| p.label() == label).map(|p| p.mean)
        })
    }));
    let sizes = distinct(report, |m| m.distributions.iter().map(|d| d.label()).collect());
    all.extend(sizes.into_iter().map(|label| {
        Figure::new(format!("Median size to fool, {label}"), Number, Some(Higher), move |m| {
            m.distributions.iter().find(|d| d.label() == label).and_then(|d| d.median())
        })
    }));
    all.push(Figure::new("Membership advantage", Percent, Some(Lower), |m| {
        m.strongest_membership().map(|a| a.advantage)
    }));
    all.push(Figure::new("Advantage by chance, up to", Percent, None, |m| {
        m.strongest_membership().and_then(|a| a.advantage_by_chance)
    }));
    all.push(Figure::new("Membership AUC", Score, Some(Lower), |m| {
        m.strongest_membership().map(|a| a.auc)
    }));
    all.extend([(0.01, "1%"), (0.001, "0.1%")].map(|(fpr, shown)| {
        let heading = format!("Membership TPR at {shown} FPR");
        Figure::new(heading, Percent, Some(Lower), move |m| m.membership_tpr_at(fpr))
    }));
    all.push(Figure::new("Records recovered", Percent, Some(Lower), |m| {
        m.reconstruction.as_ref()?.strongest().map(|a| a.recovered.rate)
    }));
    all.push(Figure::new("Inversions recognised", Percent, Some(Lower), |m| {
        m.inversion.as_ref()?.strongest().map(|a| a.recognised.rate)
    }));
    all.push(Figure::new("Masked fields found", Percent, Some(Lower), |m| {
        m.attributes.as_ref()?.strongest().map(|a| a.members.right.rate)
    }));
    all.push(Figure::new("Claimed epsilon", Number, None, |m| {
        m.privacy_budget.as_ref().map(|b| b.epsilon)
    }));
    all.push(Figure::new("Audited epsilon, at least", Number, None, |m| {
        m.audited_epsilon.as_ref().map(|a| a.epsilon)
    }));
    all.push(Figure::new("Training", Seconds, None, |m| m.training.as_ref().map(|t| t.seconds)));
    all
}

/// All labels of the models, each once, in order of first appearance, the baseline's first.
fn distinct(report: &Report, of: impl Fn(&ModelReport) -> Vec<String>) -> Vec<String> {
    let mut labels = Vec::new();
    for label in report.models_in_order().into_iter().flat_map(of) {
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    labels
}

impl Figure {
    fn new(
        heading: impl Into<String>,
        unit: Unit,
        better: Option<Better>,
        value: impl Fn(&ModelReport) -> Option<f64> + 'static,
    ) -> Self {
        let (heading, value) = (heading.into(), Box::new(value));
        Figure { heading, unit, better, value, doubted: Box::new(|_| false) }
    }

    fn doubted_if(self, doubted: impl Fn(&ModelReport) -> bool + 'static) -> Self {
        Figure { doubted: Box::new(doubted), ..self }
    }

    fn of(&self, model: &ModelReport) -> Option<f64> {
        (self.value)(model).filter(|v| v.is_finite())
    }

    fn cell(&self, model: &ModelReport, baseline: Option<&ModelReport>) -> Cell {
        let Some(value) = self.of(model) else { return Cell::text(ABSENT) };
        let delta = self.better.zip(baseline.and_then(|b| self.of(b)));
        let mark = if (self.doubted)(model) { MARK } else { "" };
        Cell {
            text: self.unit.show(value) + mark,
            delta: delta.map(|(better, reference)| self.unit.delta(value - reference, better)),
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Unit::Percent => format::percent(value),
            Unit::Number => format::number(value),
            Unit::Score => format!("{value:.3}"),
            Unit::Seconds => format::duration(value),
        }
    }

    fn delta(self, difference: f64, better: Better) -> Delta {
        let text = match self {
            Unit::Percent => format::signed(difference * 100.0, 1),
            Unit::Number | Unit::Score | Unit::Seconds => format::signed(difference, 3),
        };
        let higher = difference > 0.0;
        let better = (!format::is_zero(&text)).then_some(higher == (better == Better::Higher));
        Delta { text, better }
    }
}
