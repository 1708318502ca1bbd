//! `inocula audit attributes`: masked fields of a run's records from the rest of them and the model.

use inocula_core::data::{DataSource, csv};
use inocula_core::privacy::attributes::{Field, Records, columns, infer, named};
use inocula_core::report::{AttributeAttack, AttributeFigures, AttributesReport, Lift};
use inocula_core::{Result, bail};

use super::{Audited, rate, show};
use crate::args::AuditAttributes;
use crate::output;
use crate::progress::Bar;

pub(in crate::commands) fn run(flags: &AuditAttributes, quiet: bool) -> Result<()> {
    let attacks = flags.attacks.iter().map(|name| named(name)).collect::<Result<Vec<_>>>()?;
    if flags.samples == 0 {
        bail!(Config, "--samples 0 leaves nothing to attack; give at least 1");
    }
    let audited = Audited::open(&flags.audited, "attributes.json")?;
    let rng = audited.rng("attributes");
    let known = match &audited.run.config.data {
        DataSource::Csv(config) => csv::fields(config)?,
        _ => Vec::new(),
    };
    let n = flags.samples;
    let (auxiliary, others) = audited.test.split_stratified(0.5, &rng.child("auxiliary"));
    let members = audited.train.take_stratified(n, &rng.child("members"));
    let non_members = others.take_stratified(n, &rng.child("non-members"));
    let field = |word: &String| Field::new(word, columns(word, &known)?, &auxiliary);
    let fields = flags.fields.iter().map(field).collect::<Result<Vec<_>>>()?;
    let records = Records { members: &members, non_members: &non_members, auxiliary: &auxiliary };
    let mut bar = Bar::new(quiet);
    let network = &audited.run.network;
    let result = infer(&attacks, network, &fields, &records, &rng, &mut |phase, done, total| {
        bar.show(phase, done, total)
    })?;
    bar.clear();
    print(&result);
    let config = serde_json::json!({
        "fields": flags.fields,
        "attacks": flags.attacks,
        "samples": flags.samples,
    });
    audited.publish("attributes", config, &result, None)
}

fn print(result: &AttributesReport) {
    let points = |lift: &Lift| {
        let [value, low, high] = [lift.value, lift.low, lift.high].map(|v| 100.0 * v);
        format!("{value:+.1} ({low:+.1} to {high:+.1})")
    };
    let over = |figures: &AttributeFigures| {
        figures.best_baseline().map_or("-".into(), |b| points(&b.lift))
    };
    let row = |a: &AttributeAttack| {
        vec![
            a.attack.clone(),
            rate(&a.members.right),
            over(&a.members),
            rate(&a.non_members.right),
            over(&a.non_members),
            points(&a.member_gap),
        ]
    };
    let mut rows: Vec<Vec<String>> = result.attacks.iter().map(row).collect();
    if let Some(first) = result.attacks.first() {
        let pairs = first.members.baselines.iter().zip(&first.non_members.baselines);
        rows.extend(pairs.map(|(inside, outside)| {
            let none = || "-".to_owned();
            let (inside_right, outside_right) = (rate(&inside.right), rate(&outside.right));
            vec![inside.baseline.clone(), inside_right, none(), outside_right, none(), none()]
        }));
    }
    let headings = [
        "Attack",
        "Members right",
        "Over best baseline",
        "Non-members right",
        "Over best baseline",
        "Members over non-members",
    ];
    show(&headings, 1, rows);
    let fields: Vec<String> =
        result.fields.iter().map(|f| format!("{} ({} values)", f.name, f.values)).collect();
    output::line(format!("Masked: {}; {} auxiliary records", fields.join(", "), result.auxiliary));
    for attack in &result.attacks {
        output::line(format!("- {}.", attack.finding));
    }
}
