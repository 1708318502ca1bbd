//! `inocula audit inversion`, `reconstruction` and `attributes`: files, figures, pictures, the report,
//! and what bad arguments get.

#![allow(clippy::unwrap_used, reason = "all of it is test code, whose failures are panics")]

mod common;

use std::path::Path;

use common::{fails, succeeds};
use serde_json::Value;

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A run of two epochs on the digits.
fn digits(folder: &Path) {
    succeeds(folder, &words("train --data digits --model mlp --epochs 2 --out run"));
}

/// A run on a table in which the purpose follows from age and label.
fn table(folder: &Path) {
    let mut text = String::from("age,home,purpose,good\n");
    for i in 0..240usize {
        let (age, home) = (20 + i * 7 % 40, ["own", "rent"][i / 3 % 2]);
        let good = usize::from(i * 13 % 30 < 15);
        let purpose = if i % 10 == 0 { "car" } else { ["car", "tv"][good] };
        text.push_str(&format!("{age},{home},{purpose},{good}\n"));
    }
    std::fs::write(folder.join("table.csv"), text).unwrap();
    let config = "[data]\nkind = \"csv\"\npath = \"table.csv\"\ncategorical = true\n\
                  [model]\npreset = \"mlp\"\n[train]\nepochs = 20\n";
    std::fs::write(folder.join("table.toml"), config).unwrap();
    succeeds(folder, &words("train --config table.toml --out run"));
}

#[test]
fn audits_leave_files_that_the_report_takes_up() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    digits(folder);
    let text = succeeds(
        folder,
        &words(
            "audit reconstruction run --method idlg,analytic,updates,features,database --samples 2 \
         --layer 2 --steps 20 --restarts 1 --records 60",
        ),
    );
    for part in ["95 % interval", "analytic recovers 2 of 2", "database recovers 2 of 2", "7 x 7"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let record = json(&folder.join("run/reconstruction.json"));
    let attacks = record["result"]["attacks"].as_array().unwrap();
    assert_eq!(attacks.len(), 5);
    assert_eq!(attacks[0]["labels"]["rate"], 1.0, "labels of single records are exact");
    assert!(attacks[1]["psnr"]["min"].as_f64().unwrap() > 80.0);
    assert!(attacks[4]["psnr"]["min"].as_f64().unwrap() > 80.0);
    let png = std::fs::read(folder.join("run/reconstruction.png")).unwrap();
    assert_eq!(&png[1..4], b"PNG");

    let text = succeeds(
        folder,
        &words("audit inversion run --classes 0,3 --per-class 2 --steps 40 --evaluator-epochs 1"),
    );
    assert!(text.contains("miface") && text.contains("Evaluator: small-cnn"), "{text}");
    let record = json(&folder.join("run/inversion.json"));
    assert_eq!(record["result"]["attacks"][1]["recognised"]["trials"], 4);
    assert!(folder.join("run/inversion.png").is_file());

    let text = succeeds(folder, &words("audit attributes run --fields 20 --samples 30"));
    assert!(text.contains("imputation") && text.contains("Masked: 20"), "{text}");

    succeeds(folder, &words("evaluate run --eps 0.1 --attacks fgsm --samples 20 --out report"));
    let report = json(&folder.join("report/report.json"));
    let model = &report["models"][0];
    assert_eq!(model["reconstruction"]["attacks"][1]["recovered"]["successes"], 2);
    assert_eq!(model["inversion"]["attacks"].as_array().unwrap().len(), 2);
    assert_eq!(model["attributes"]["fields"][0]["name"], "20");
    let page = std::fs::read_to_string(folder.join("report/report.html")).unwrap();
    for part in ["Data reconstruction", "Model inversion", "Attribute inference", "id=\"leakage\""]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("Records recovered"), "the comparison has it");

    // Results of other weights are not reported as those of this run.
    succeeds(folder, &words("train --data digits --model mlp --epochs 1 --out other"));
    std::fs::copy(folder.join("run/inversion.json"), folder.join("other/inversion.json")).unwrap();
    succeeds(folder, &words("evaluate other --eps 0.1 --attacks fgsm --samples 20 --out second"));
    let report = json(&folder.join("second/report.json"));
    assert!(report["models"][0].get("inversion").is_none());
    let warnings = report["warnings"].to_string();
    for part in ["inversion.json is about other weights", "inocula audit inversion other --force"] {
        assert!(warnings.contains(part), "{warnings}");
    }
}

#[test]
fn fields_of_a_table_go_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    table(folder);
    let text = succeeds(folder, &words("audit attributes run --fields purpose --samples 100"));
    assert!(text.contains("purpose (2 values)"), "{text}");
    let record = json(&folder.join("run/attributes.json"));
    let attack = &record["result"]["attacks"][1];
    assert_eq!(attack["attack"], "map-likelihood");
    assert!(attack["members"]["right"]["rate"].as_f64().unwrap() > 0.6, "{attack}");
    assert!(!folder.join("run/attributes.png").exists());
    let first = std::fs::read(folder.join("run/attributes.json")).unwrap();
    fails(folder, &words("audit attributes run --fields age"), &["attributes.json", "--force"]);
    assert_eq!(std::fs::read(folder.join("run/attributes.json")).unwrap(), first);
    for (fields, parts) in [
        ("purpse", &["no field is called 'purpse'", "did you mean 'purpose'?"][..]),
        ("0..2,1", &["share a column"]),
        ("7..9", &["columns 7..9 of 5"]),
        ("0..5", &["not all"]),
    ] {
        let args = format!("audit attributes run --force --fields {fields}");
        fails(folder, &words(&args), parts);
    }
    // Nothing but pictures has a structural similarity, or is shown.
    succeeds(folder, &words("audit reconstruction run --method analytic --samples 2"));
    let record = json(&folder.join("run/reconstruction.json"));
    assert!(record["result"]["attacks"][0].get("ssim").is_none());
    assert!(record["result"].get("pictures").is_none());
}

#[test]
fn bad_requests_leave_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    digits(folder);
    let cases: [(&str, &[&str]); 12] = [
        ("reconstruction run --method cosin", &["did you mean cosine?"]),
        ("reconstruction run --samples 0", &["--samples 0"]),
        ("reconstruction run --samples 99999", &["training records"]),
        ("reconstruction run --batch 0", &["--batch 0"]),
        ("reconstruction run --clip 0", &["bound = 0"]),
        ("reconstruction run --tv -1", &["tv = -1"]),
        ("reconstruction run --method database --penalty 0 --samples 1", &["penalty = 0"]),
        ("reconstruction run --method features --layer 40", &["layer 40"]),
        ("inversion run --classes 10", &["--classes 10", "0 to 9"]),
        ("inversion run --attacks mifac", &["did you mean miface?"]),
        ("inversion run --confidence 2", &["gamma = -1"]),
        ("inversion nowhere", &["nowhere"]),
    ];
    for (args, parts) in cases {
        fails(folder, &words(&format!("audit {args}")), parts);
    }
    for name in ["reconstruction", "inversion"] {
        assert!(!folder.join(format!("run/{name}.json")).exists());
        assert!(!folder.join(format!("run/{name}.png")).exists());
    }
}
