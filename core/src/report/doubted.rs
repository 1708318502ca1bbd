//! How a figure in doubt is shown: with a mark, in every table that has it, and a line that says why.

use super::{ModelReport, Report};

/// Behind a figure about which the checker found something.
pub(super) const MARK: &str = "†";

impl ModelReport {
    /// Whether a finding is about the figure of the attack with this label.
    pub fn is_doubted(&self, label: &str) -> bool {
        self.findings.iter().any(|finding| finding.figure == label)
    }
}

/// What is added to a sentence about a model's robustness that is in doubt.
pub(super) fn in_doubt(model: &ModelReport) -> Option<&'static str> {
    (!model.findings.is_empty()).then_some("; the check doubts this figure (†)")
}

impl Report {
    /// Why marked figures may be too high, a line a finding.
    pub fn doubts(&self) -> Vec<String> {
        let all = self.models_in_order().into_iter().flat_map(|model| &model.findings);
        all.map(|finding| format!("{MARK} {}", finding.line())).collect()
    }
}
