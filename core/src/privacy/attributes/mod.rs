//! Attribute inference: fields of a record that are masked, from the rest of it, its label and the
//! model.
//!
//! Every attack is run on members and on records that the model has not seen, and against two guesses
//! that do not ask the model: the most frequent value, and a network that fills in the field from the
//! others. What an attack has over both is what the model adds; what it has on members over
//! non-members is what is private to the training data. An attack is a file and a line in [`ATTACKS`].

mod fields;
mod learned;
mod model_based;
mod search;

pub use fields::{Field, check as check_fields, columns};

use crate::data::Dataset;
use crate::error::nearest;
use crate::model::Network;
use crate::report::{
    AttributeAttack, AttributeFigures, AttributesReport, BaselineLift, FieldReport, Lift, Rate,
};
use crate::rng::Rng;
use crate::{Result, bail};
use model_based::Likelihood;

pub use super::descend::Progress;

/// What is asked of which model.
pub struct Question<'a> {
    network: &'a Network,
    fields: &'a [Field],
    /// A set of no records of the kind that the model takes.
    empty: Dataset,
}

impl Question<'_> {
    fn is_masked(&self, column: usize) -> bool {
        self.fields.iter().any(|f| f.columns.contains(&column))
    }
}

/// Records of which the attack finds fields.
struct Targets<'a> {
    data: &'a Dataset,
    rows: &'a [usize],
}

/// Finds the number of each masked field's value for each target.
type Find =
    fn(&Question<'_>, &Dataset, &Targets<'_>, &Rng, Progress<'_>) -> Result<Vec<Vec<usize>>>;

/// An attack, or a guess that does not ask the model, in the list.
pub struct AttackEntry {
    /// Name in configurations.
    pub name: &'static str,
    /// What it does and where it comes from.
    pub summary: &'static str,
    /// Whether it searches over values of the fields.
    searches: bool,
    find: Find,
}

/// Every attack.
pub const ATTACKS: &[AttackEntry] = &[
    AttackEntry {
        name: "map-confusion",
        summary: "most probable value by predictions and their confusion (Fredrikson et al. 2014)",
        searches: true,
        find: |question, auxiliary, targets, _, progress| {
            let likelihood = Likelihood::confusion(question.network, auxiliary)?;
            by_model(question, &likelihood, targets, progress)
        },
    },
    AttackEntry {
        name: "map-likelihood",
        summary: "most probable value by the model's own probability of the label",
        searches: true,
        find: |question, _, targets, _, progress| {
            by_model(question, &Likelihood::Probability, targets, progress)
        },
    },
    AttackEntry {
        name: "black-box",
        summary: "a network from the other fields and the model's outputs on the whole record",
        searches: false,
        find: |question, auxiliary, targets, rng, _| {
            let rng = rng.child("black-box");
            learned::run(question, auxiliary, targets.data, targets.rows, true, &rng)
        },
    },
];

/// Guesses that do not ask the model.
const BASELINES: &[AttackEntry] = &[
    AttackEntry {
        name: "most frequent value",
        summary: "the marginals alone",
        searches: false,
        find: |question, _, targets, _, _| {
            let guess: Vec<usize> = question.fields.iter().map(Field::most_frequent).collect();
            Ok(vec![guess; targets.rows.len()])
        },
    },
    AttackEntry {
        name: "imputation",
        summary: "a network from the other fields and the label",
        searches: false,
        find: |question, auxiliary, targets, rng, _| {
            let rng = rng.child("imputation");
            learned::run(question, auxiliary, targets.data, targets.rows, false, &rng)
        },
    },
];

fn by_model(
    question: &Question<'_>,
    likelihood: &Likelihood,
    targets: &Targets<'_>,
    progress: Progress<'_>,
) -> Result<Vec<Vec<usize>>> {
    let mut heard = |done| progress(done, targets.rows.len());
    model_based::run(question, likelihood, targets.data, targets.rows, &mut heard)
}

/// The attack of this name.
///
/// # Errors
/// There is none; the message lists them.
pub fn named(name: &str) -> Result<&'static AttackEntry> {
    if let Some(entry) = ATTACKS.iter().find(|a| a.name == name) {
        return Ok(entry);
    }
    let names = || ATTACKS.iter().map(|a| a.name);
    let hint = nearest(name, names()).map(|n| format!("; did you mean {n}?"));
    let all = names().collect::<Vec<_>>().join(", ");
    bail!(NotFound, "attack: {name:?} is not one of {all}{}", hint.unwrap_or_default())
}

/// The records of an audit. The three sets share no record.
pub struct Records<'a> {
    /// Records that the model was trained on.
    pub members: &'a Dataset,
    /// Records that it was not trained on.
    pub non_members: &'a Dataset,
    /// Records that the attacker has.
    pub auxiliary: &'a Dataset,
}

/// Runs `attacks` for the values of `fields` on members and non-members.
///
/// # Errors
/// A set is empty, the fields overlap, the records do not fit the model, or the device failed.
pub fn infer(
    attacks: &[&AttackEntry],
    network: &Network,
    fields: &[Field],
    records: &Records<'_>,
    rng: &Rng,
    progress: &mut dyn FnMut(&str, usize, usize) -> Result<()>,
) -> Result<AttributesReport> {
    check_fields(fields, records.auxiliary)?;
    for (what, set) in [("members", records.members), ("non-members", records.non_members)] {
        if set.is_empty() {
            bail!(Data, "attributes: there are no {what} to attack; supply some");
        }
    }
    let nobody = Dataset { features: vec![], labels: vec![], ..records.members.clone() };
    let question = Question { network, fields, empty: nobody };
    let judge = |data: &Dataset, found: &[Vec<usize>]| -> Vec<bool> {
        let right = |row: usize| fields.iter().zip(&found[row]).all(|(f, &v)| f.of(data, row) == v);
        (0..data.len()).map(right).collect()
    };
    let sets = [records.members, records.non_members];
    let mut run = |entry: &AttackEntry| -> Result<[Vec<bool>; 2]> {
        let mut of = |data: &Dataset| -> Result<Vec<bool>> {
            let rows: Vec<usize> = (0..data.len()).collect();
            let targets = Targets { data, rows: &rows };
            let mut heard = |done, total| progress(entry.name, done, total);
            heard(0, rows.len())?;
            let find = entry.find;
            let found = find(&question, records.auxiliary, &targets, rng, &mut heard)?;
            Ok(judge(data, &found))
        };
        Ok([of(sets[0])?, of(sets[1])?])
    };
    let baselines = BASELINES.iter().map(|b| Ok((b.name, run(b)?))).collect::<Result<Vec<_>>>()?;
    let mut reports = Vec::new();
    for entry in attacks {
        let right = run(entry)?;
        let search = if entry.searches { search::name(fields) } else { "learned".into() };
        reports.push(report(entry.name, search, &right, &baselines)?);
    }
    let named = |f: &Field| FieldReport { name: f.name.clone(), values: f.values.len() as u64 };
    Ok(AttributesReport {
        fields: fields.iter().map(named).collect(),
        auxiliary: records.auxiliary.len() as u64,
        attacks: reports,
    })
}

fn report(
    name: &str,
    search: String,
    right: &[Vec<bool>; 2],
    baselines: &[(&str, [Vec<bool>; 2])],
) -> Result<AttributeAttack> {
    let figures = |set: usize| -> Result<AttributeFigures> {
        let against = |(name, base): &(&str, [Vec<bool>; 2])| lift(name, &right[set], &base[set]);
        let baselines = baselines.iter().map(against).collect::<Result<_>>()?;
        Ok(AttributeFigures { right: rate(&right[set])?, baselines })
    };
    let (members, non_members) = (figures(0)?, figures(1)?);
    let member_gap = Lift::between(&members.right, &non_members.right)?;
    let finding = finding(name, &members, &member_gap);
    Ok(AttributeAttack {
        attack: name.to_owned(),
        search,
        members,
        non_members,
        member_gap,
        finding,
    })
}

fn lift(name: &str, right: &[bool], base: &[bool]) -> Result<BaselineLift> {
    let count = |a: bool, b: bool| right.iter().zip(base).filter(|p| *p == (&a, &b)).count();
    let lift = Lift::paired(count(true, false), count(false, true), right.len())?;
    Ok(BaselineLift { baseline: name.to_owned(), right: rate(base)?, lift })
}

fn rate(right: &[bool]) -> Result<Rate> {
    Rate::new(right.iter().filter(|r| **r).count(), right.len())
}

fn finding(name: &str, members: &AttributeFigures, gap: &Lift) -> String {
    let counts =
        format!("{name} gets the masked fields of {} members right", members.right.describe());
    let Some(best) = members.best_baseline() else { return counts };
    let lift = best.lift.describe();
    let against = format!("over the better baseline ({}) that is {lift}", best.baseline);
    let verdict = match (best.lift.low > 0.0, gap.low > 0.0) {
        (true, true) => "so the model gives fields away, and those of its own records more",
        (true, false) => {
            "so the model gives fields away, though of records that it has not seen as well"
        }
        (false, _) => {
            "so nothing was shown to come from the model. This attack failed, another may not"
        }
    };
    format!("{counts}; {against}; over non-members it is {}, {verdict}", gap.describe())
}
