//! What training warned of.

use super::Judge;

impl Judge<'_> {
    /// Adds a line for each warning.
    pub(super) fn warn(&self, warnings: &mut Vec<String>) {
        for report in &self.reports {
            let training = report.training.iter().flat_map(|training| &training.warnings);
            warnings.extend(training.map(|warning| format!("{}: {warning}", report.name)));
        }
    }
}
