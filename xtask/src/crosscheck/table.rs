//! The comparison for people, as Markdown, and for programs, as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::rows::{Measure, Row};
use super::verdict::{Found, weaker as is_weaker};
use super::{Answer, OURS};

/// The other tools, as the script names them, and for people.
const PEERS: [(&str, &str); 3] =
    [("torchattacks", "torchattacks"), ("foolbox", "Foolbox"), ("art", "ART")];

impl Answer {
    fn found(&self, side: &str) -> Option<&Found> {
        self.sides.get(side)?.as_ref().ok()
    }

    /// The tools than which the program is weaker; `None` if its figures are missing, or everybody else's.
    fn stronger_tools(&self) -> Option<Vec<&'static str>> {
        let ours = self.found(OURS)?;
        PEERS.iter().find(|(side, _)| self.found(side).is_some())?;
        let peers = PEERS.iter().filter(|(side, _)| {
            self.found(side).is_some_and(|peer| is_weaker(self.row, ours, peer))
        });
        Some(peers.map(|(_, name)| *name).collect())
    }
}

/// How many comparisons find the program weaker.
pub(super) fn weaker(answers: &[Answer]) -> usize {
    answers.iter().map(|answer| answer.stronger_tools().map_or(1, |tools| tools.len())).sum()
}

/// The tables.
pub(super) fn report(answers: &[Answer], samples: u64) -> String {
    let mut text = format!(
        "{samples} MNIST test images, drawn at random (a fifth of them where an attack sees decisions only). \
         Everybody's images were measured by PyTorch; what left ball or box does not count.\n"
    );
    let parts = [
        (Measure::Held, "Robust accuracy (lower is stronger), and queries for each image"),
        (Measure::Distance, "Mean distance of the fooled images, the share fooled, and queries"),
    ];
    for (measure, title) in parts {
        let rows: Vec<&Answer> = answers.iter().filter(|a| a.row.measure == measure).collect();
        if rows.is_empty() {
            continue;
        }
        let names: Vec<&str> = PEERS.iter().map(|(_, name)| *name).collect();
        let _ = writeln!(text, "\n{title}:\n\n| | Inocula | {} | |", names.join(" | "));
        let _ = writeln!(text, "|---|{}---|", "--:|".repeat(PEERS.len() + 1));
        for answer in rows {
            let cells: Vec<String> = std::iter::once(OURS)
                .chain(PEERS.iter().map(|(side, _)| *side))
                .map(|side| cell(answer.row, answer.sides.get(side)))
                .collect();
            let verdict = match answer.stronger_tools() {
                None => "not compared".into(),
                Some(tools) if tools.is_empty() => "no weaker".into(),
                Some(tools) => format!("**weaker than {}**", tools.join(", ")),
            };
            let _ = writeln!(text, "| {} | {} | {verdict} |", answer.row.name, cells.join(" | "));
        }
    }
    let failed = answers.iter().flat_map(|answer| {
        answer.sides.iter().filter_map(move |(side, found)| {
            let why = found.as_ref().err()?;
            Some(format!("- {}, {side}: {why}\n", answer.row.name))
        })
    });
    let failed: String = failed.collect();
    if !failed.is_empty() {
        let _ = write!(text, "\nFailed:\n\n{failed}");
    }
    text
}

fn cell(row: &Row, found: Option<&Result<Found, String>>) -> String {
    let found = match found {
        None => return "-".into(),
        Some(Err(_)) => return "failed".into(),
        Some(Ok(found)) => found,
    };
    let outside = match found.outside {
        0 => String::new(),
        n => format!(", {n} outside"),
    };
    let queries = found.queries;
    match row.measure {
        Measure::Held => format!("{:.1} %{outside} ({queries:.0})", 100.0 * found.held()),
        Measure::Distance => {
            let mean = found.mean().map_or("-".into(), |mean| format!("{mean:.4}"));
            format!("{mean}, {:.0} %{outside} ({queries:.0})", 100.0 * found.share())
        }
    }
}

/// Everything, image by image.
pub(super) fn data(answers: &[Answer], samples: u64) -> Value {
    let rows: Vec<Value> = answers
        .iter()
        .map(|answer| {
            let sides: serde_json::Map<String, Value> = answer
                .sides
                .iter()
                .map(|(side, found)| {
                    let value = match found {
                        Ok(found) => json!(found),
                        Err(why) => json!({ "error": why }),
                    };
                    (side.clone(), value)
                })
                .collect();
            json!({
                "row": answer.row.name,
                "network": answer.row.network.preset(),
                "attack": answer.row.attack,
                "weaker_than": answer.stronger_tools(),
                "sides": sides,
            })
        })
        .collect();
    json!({ "samples": samples, "rows": rows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crosscheck::rows::ROWS;
    use std::collections::BTreeMap;

    fn found(fooled: usize) -> Found {
        Found {
            right: (0..10).map(|i| i > 0).collect(),
            fooled: (0..10).map(|i| i >= 10 - fooled).collect(),
            distance: vec![0.5; 10],
            outside: 0,
            queries: 3.0,
            seconds: 1.0,
        }
    }

    #[test]
    fn a_stronger_tool_is_named_and_counted() {
        let sides = |ours, theirs| {
            let all = [(OURS, Ok(found(ours))), ("foolbox", Ok(found(theirs)))];
            let mut sides: BTreeMap<String, Result<Found, String>> =
                all.into_iter().map(|(side, found)| (side.to_owned(), found)).collect();
            sides.insert("art".into(), Err("ValueError: shape".into()));
            sides
        };
        let answers = [
            Answer { row: &ROWS[0], sides: sides(3, 6) },
            Answer { row: &ROWS[1], sides: sides(6, 3) },
            Answer { row: &ROWS[2], sides: BTreeMap::new() },
        ];
        let text = report(&answers, 10);
        assert!(text.contains("| FGSM, Linf 0.1 | 60.0 % (3) | - | 30.0 % (3) | failed | **weaker than Foolbox** |"), "{text}");
        assert!(
            text.contains("| FGM, L2 1.5 | 30.0 % (3) | - | 60.0 % (3) | failed | no weaker |")
        );
        assert!(text.contains("not compared") && text.contains("art: ValueError: shape"));
        assert_eq!(weaker(&answers), 2, "what was not measured is no success");
        assert_eq!(data(&answers, 10)["rows"][0]["weaker_than"], json!(["Foolbox"]));
    }
}
