//! `report.json`: what is written is what is read, and no number that JSON lacks gets in.

use inocula_core::ErrorKind;
use inocula_core::report::Report;

use crate::sample::report;

#[test]
fn a_report_survives_the_way_through_json_to_the_last_bit() {
    let mut report = report();
    // Numbers on which a parser that is only nearly right is off by one unit in the last place.
    report.models[0].clean.f1 = 0.1 + 0.2;
    report.models[0].clean.recall = 1.0 / 3.0;
    report.models[1].clean.f1 = 5e-324;
    report.seed = u64::MAX;
    let text = report.to_json_pretty().unwrap();
    assert!(text.ends_with("}\n") && text.contains("\n  \"schema_version\": 1,\n"));
    assert_eq!(Report::from_json(&text).unwrap(), report);
    assert_eq!(Report::from_json(&text).unwrap().to_json_pretty().unwrap(), text);
}

#[test]
fn nulls_are_kept_in_the_configuration_and_refused_elsewhere() {
    let mut report = report();
    assert!(report.to_json_pretty().unwrap().contains("\"init\": null"));
    report.models[1].attacks[2].success_rate = Some(f64::NAN);
    let err = report.to_json_pretty().unwrap_err();
    assert_eq!(err.kind(), ErrorKind::Numeric);
    assert!(err.to_string().contains("models[1].attacks[2].success_rate"), "{err}");
}

#[test]
fn fields_that_a_later_writer_adds_are_ignored_but_not_a_later_schema() {
    let text = report().to_json_pretty().unwrap();
    let more = text.replacen('{', "{ \"added_later\": [1, 2],", 1);
    assert_eq!(Report::from_json(&more).unwrap(), report());
    let newer = text.replacen("\"schema_version\": 1", "\"schema_version\": 2", 1);
    assert!(Report::from_json(&newer).unwrap_err().to_string().contains("schema version 2"));
    assert_eq!(Report::from_json("{}").unwrap_err().kind(), ErrorKind::Data);
}
