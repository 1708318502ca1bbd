//! Attribute inference on tables whose dependencies are planted.

use inocula_core::data::Dataset;
use inocula_core::model::Network;
use inocula_core::nn::{Preset, init_params};
use inocula_core::privacy::attributes::{ATTACKS, AttackEntry, Field, Records, infer};
use inocula_core::report::{AttributeAttack, AttributesReport};
use inocula_core::rng::Rng;
use inocula_core::train::{TrainConfig, fit};
use inocula_core::{DType, Device};
use inocula_tests::harness::{Outcome, ensure};
use libtest_mimic::Failed;

/// Columns: four numbers in tenths, then the indicators of a text of three.
const WIDTH: usize = 7;
/// Records of members, of non-members, and of the attacker.
const PART: usize = 200;

/// A table whose label is `label` of the first number (0 to 9), the text (0 to 2) and a die (0 to 2).
fn table(n: usize, rng: &Rng, label: fn(usize, usize, usize) -> usize) -> Result<Dataset, Failed> {
    let mut draws = rng.clone();
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let numbers: Vec<usize> = (0..4).map(|_| draws.below(10)).collect();
        // The first text is the most frequent one.
        let text = [0, 0, 1, 2][draws.below(4)];
        features.extend(numbers.iter().map(|&v| v as f32 / 10.0));
        features.extend((0..3).map(|t| f32::from(u8::from(t == text))));
        labels.push(label(numbers[0], text, draws.below(3)) as i64);
    }
    let data = Dataset {
        name: "planted".into(),
        source: "made here".into(),
        licence: "none".into(),
        features,
        shape: vec![WIDTH],
        labels,
        classes: 3,
        class_names: ["a", "b", "c"].map(String::from).to_vec(),
        bounds: (0.0, 1.0),
    };
    Ok(data.checked()?)
}

/// Attacks on a model of so many epochs on such a table, for the columns of each field.
fn audit(
    device: &Device,
    label: fn(usize, usize, usize) -> usize,
    epochs: usize,
    fields: &[(&str, std::ops::Range<usize>)],
    attacks: &[&AttackEntry],
) -> Result<AttributesReport, Failed> {
    let rng = Rng::new(11);
    let part = |name: &str| table(PART, &rng.child(name), label);
    let (members, non_members, auxiliary) = (part("in")?, part("out")?, part("aux")?);
    let spec = Preset::find("mlp")?.spec(&[WIDTH], 3, [0.0, 1.0])?;
    let params = init_params(&spec, device, DType::F32, &rng.child("init"))?;
    let mut network = Network::new(spec, params, device)?;
    let mut config = TrainConfig { epochs, batch_size: 20, ..TrainConfig::default() };
    config.optimizer.set_lr(0.01);
    fit(&mut network, &members, None, &config, &rng.child("train"), &mut ())?;
    let fields = fields.iter().map(|(name, columns)| Field::new(name, columns.clone(), &auxiliary));
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let records = Records { members: &members, non_members: &non_members, auxiliary: &auxiliary };
    Ok(infer(attacks, &network, &fields, &records, &rng, &mut |_, _, _| Ok(()))?)
}

fn every() -> Vec<&'static AttackEntry> {
    ATTACKS.iter().collect()
}

fn found<'a>(report: &'a AttributesReport, name: &str) -> Result<&'a AttributeAttack, Failed> {
    Ok(report.attacks.iter().find(|a| a.attack == name).ok_or("the attack is missing")?)
}

/// The label is the text, with some noise: the model knows it, and so does every attack.
pub(crate) fn planted(device: &Device) -> Outcome {
    let label = |number: usize, text: usize, die: usize| if number < 1 { die } else { text };
    let report = audit(device, label, 20, &[("text", 4..7)], &every())?;
    ensure(report.fields[0].values == 3, || format!("{:?}", report.fields))?;
    for attack in &report.attacks {
        for figures in [&attack.members, &attack.non_members] {
            let marginals = &figures.baselines[0];
            ensure(marginals.baseline == "most frequent value", || marginals.baseline.clone())?;
            ensure(marginals.lift.low > 0.2, || {
                format!("{}: {:?}", attack.attack, marginals.lift)
            })?;
        }
    }
    Ok(())
}

/// The label has nothing to do with the text: the search by labels shows no lift over the marginals. The
/// black-box attack sees what the model makes of the whole record, the text included, so it may well
/// find it; but of members no better than of others.
pub(crate) fn independent(device: &Device) -> Outcome {
    let label = |number: usize, _: usize, die: usize| if number < 2 { die } else { number / 4 };
    let report = audit(device, label, 8, &[("text", 4..7)], &every())?;
    for attack in &report.attacks {
        let gap = &attack.member_gap;
        ensure(gap.low <= 0.0 && gap.high >= 0.0, || format!("{}: {gap:?}", attack.attack))?;
    }
    for name in ["map-confusion", "map-likelihood"] {
        let attack = found(&report, name)?;
        for figures in [&attack.members, &attack.non_members] {
            let lift = &figures.baselines[0].lift;
            ensure(lift.low <= 0.0 && lift.high >= 0.0, || format!("{name}: {lift:?}"))?;
        }
        ensure(attack.finding.contains("another may not"), || attack.finding.clone())?;
    }
    Ok(())
}

/// A model that learnt dice by heart gives the text of its own records away, and of no others.
pub(crate) fn memorised(device: &Device) -> Outcome {
    let label = |_: usize, _: usize, die: usize| die;
    let entry = ATTACKS.iter().find(|a| a.name == "map-likelihood").ok_or("no such attack")?;
    let report = audit(device, label, 150, &[("text", 4..7)], &[entry])?;
    let attack = found(&report, "map-likelihood")?;
    ensure(attack.member_gap.low > 0.0, || attack.finding.clone())?;
    let lift = &attack.members.baselines[1].lift;
    ensure(lift.low > 0.0, || format!("over imputation {lift:?}"))
}

/// Two fields at once, by all their combinations; a record counts when both are right.
pub(crate) fn two_fields(device: &Device) -> Outcome {
    let label = |number: usize, text: usize, _: usize| (number + text) % 3;
    let fields = [("number", 0..1), ("text", 4..7)];
    let entry = ATTACKS.iter().find(|a| a.name == "map-likelihood").ok_or("no such attack")?;
    let report = audit(device, label, 20, &fields, &[entry])?;
    let attack = found(&report, "map-likelihood")?;
    ensure(attack.search == "exact", || attack.search.clone())?;
    ensure(report.fields.iter().map(|f| f.values).eq([10, 3]), || format!("{:?}", report.fields))?;
    let again = audit(device, label, 20, &fields, &[entry])?;
    ensure(again == report, || "another result from the same seed".into())?;
    let overlapping = audit(device, label, 1, &[("a", 4..7), ("b", 6..7)], &[entry]);
    ensure(overlapping.is_err(), || "fields that share a column were taken".into())
}
