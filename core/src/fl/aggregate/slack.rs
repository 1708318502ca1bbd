//! Slack re-weighting (Zhu et al. 2023, "Combating exacerbated heterogeneity for robust models in
//! federated learning", SFAT, equations 3 and 4): adversarial training makes skewed clients drift apart,
//! and the mean is dominated by those that it makes worst. The clients whose summed loss, samples
//! times mean, is smallest get `(1 + alpha) / (1 - alpha)` times their weight.

use super::super::update::Update;
use super::mean::Sum;
use crate::{Result, bail};

pub(super) fn slack(updates: &[Update], slack: f64, kept: f64) -> Result<Vec<f64>> {
    let mut losses = Vec::new();
    for update in updates {
        let Some(loss) = update.loss else {
            bail!(
                Config,
                "federation: slack weighs clients by their losses, and client {} tells none; choose \
                 another rule for private clients",
                update.client
            );
        };
        losses.push(update.samples as f64 * loss);
    }
    let mut order: Vec<usize> = (0..updates.len()).collect();
    order.sort_by(|&a, &b| losses[a].total_cmp(&losses[b]));
    let favoured = ((kept * updates.len() as f64).ceil() as usize).min(updates.len());
    let mut weights = vec![1.0; updates.len()];
    order[..favoured].iter().for_each(|&i| weights[i] = (1.0 + slack) / (1.0 - slack));
    let mut sum = Sum::default();
    for (update, weight) in updates.iter().zip(weights) {
        sum.add(weight * update.samples as f64, &update.delta);
    }
    sum.mean()
}
