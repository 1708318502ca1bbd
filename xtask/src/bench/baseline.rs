//! What moved since an earlier run.
//!
//! Moved means: the middle halves of the rounds of both runs do not overlap. Of seven rounds each,
//! undisturbed, about one row in fifty does so by chance.

use super::results::{Results, Row};

/// How a time relates to that of the baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Change {
    /// Median over median: 2 is twice as slow.
    pub(super) ratio: f64,
    /// Whether it is more than spread.
    pub(super) moved: bool,
}

/// The change of a side's row; nothing where either run has no time.
pub(super) fn change(baseline: &Results, row: &Row, side: &str) -> Option<Change> {
    let new = row.cell(side)?.summary()?;
    let earlier = baseline.rows.iter().find(|r| r.suite == row.suite && r.name == row.name)?;
    let old = earlier.cell(side)?.summary()?;
    let moved = new.low > old.high || new.high < old.low;
    Some(Change { ratio: new.median / old.median, moved })
}

/// In which respects the runs were not alike, in one line; empty where they were.
pub(super) fn differences(baseline: &Results, now: &Results) -> String {
    let (old, new) = (&baseline.host, &now.host);
    let pairs = [
        ("processor", old.cpu.clone(), new.cpu.clone()),
        ("compiler", old.rustc.clone(), new.rustc.clone()),
        ("threads", baseline.threads.to_string(), now.threads.to_string()),
    ];
    let other = pairs.iter().filter(|(_, old, new)| old != new);
    other.map(|(what, old, new)| format!("{what} {old}, now {new}")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::results::tests::{cell, results, row};
    use super::super::results::{Cell, Outcome};
    use super::*;

    #[test]
    fn what_is_beyond_the_spread_moved() {
        let old = results(vec![row("ops", "add", vec![cell("a", &[1.0, 2.0, 3.0])])]);
        let now = |seconds: &[f64]| {
            change(&old, &row("ops", "add", vec![cell("a", seconds)]), "a").unwrap()
        };
        assert_eq!(now(&[2.0, 3.0, 4.0]), Change { ratio: 1.5, moved: false });
        assert_eq!(now(&[4.0, 4.0, 4.0]), Change { ratio: 2.0, moved: true });
        assert_eq!(now(&[1.0, 1.0, 1.0]), Change { ratio: 0.5, moved: true });
    }

    #[test]
    fn only_what_both_measured_is_compared() {
        let failed = Cell { side: "b".into(), outcome: Outcome::Failed("x".into()) };
        let old = results(vec![row("ops", "add", vec![cell("a", &[1.0]), failed])]);
        let new = |suite: &str, name: &str, side: &str| {
            change(&old, &row(suite, name, vec![cell(side, &[1.0])]), side)
        };
        assert!(new("ops", "add", "a").is_some());
        assert_eq!(new("ops", "add", "b"), None);
        assert_eq!(new("ops", "add", "c"), None);
        assert_eq!(new("ops", "mul", "a"), None);
        assert_eq!(new("dp", "add", "a"), None);
    }

    #[test]
    fn other_conditions_are_told() {
        let (old, mut new) = (results(vec![]), results(vec![]));
        assert_eq!(differences(&old, &new), "");
        new.threads += 1;
        new.host.cpu = "other".into();
        assert_eq!(differences(&old, &new), "processor some cpu, now other; threads 2, now 3");
    }
}
