//! Signs that a robustness figure is too good (Carlini et al. 2019, section 4), and what training
//! warned of.

use super::Judge;
use crate::report::{Access, AttackReport};

impl Judge<'_> {
    /// Adds a line for each sign.
    pub(super) fn warn(&self, warnings: &mut Vec<String>) {
        let best = self.plan.strongest().map(crate::attack::AttackConfig::label);
        for report in &self.reports {
            let training = report.training.iter().flat_map(|training| &training.warnings);
            warnings.extend(training.map(|warning| format!("{}: {warning}", report.name)));
            let untargeted = report.attacks.iter().filter(|a| !a.targeted);
            let (transferred, own): (Vec<_>, Vec<_>) =
                untargeted.partition(|a| a.access == Access::Transfer);
            let is_best =
                |a: &&&AttackReport| a.access == Access::WhiteBox && Some(&a.name) == best.as_ref();
            let Some(strongest) = own.iter().find(is_best) else { continue };
            let margin = 2.0 / self.rows.len() as f64;
            // One without gradients that is stronger is the plainest sign.
            for weaker in own.iter().filter(|a| a.name != strongest.name) {
                if weaker.robust_accuracy + margin < strongest.robust_accuracy {
                    warnings.push(format!(
                        "{}: {} leaves {:.1} % but {} leaves {:.1} %: the last attack of a plan \
                         should be the strongest, so the model may mask its gradients",
                        report.name,
                        weaker.name,
                        100.0 * weaker.robust_accuracy,
                        strongest.name,
                        100.0 * strongest.robust_accuracy
                    ));
                }
            }
            for transfer in transferred {
                if transfer.robust_accuracy + margin < strongest.robust_accuracy {
                    warnings.push(format!(
                        "{}: {} examples made on other models are stronger ({:.1} % left) than \
                         {} on the model itself ({:.1} % left): it may mask its gradients",
                        report.name,
                        transfer.name,
                        100.0 * transfer.robust_accuracy,
                        strongest.name,
                        100.0 * strongest.robust_accuracy
                    ));
                }
            }
        }
    }
}
