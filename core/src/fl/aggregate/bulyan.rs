//! Bulyan (El Mhamdi et al. 2018, section 4): Krum picks `n - 2 f` updates one after the other, each
//! among those that are left; then each coordinate is the mean of the `n - 4 f` picked values that are
//! closest to their median. Krum alone bounds the distance in all of the space, which leaves room for
//! one coordinate to be anything.
//!
//! Towards the end of the picking fewer than `2 f + 3` are left, for which Krum promises nothing; the
//! paper lets it go on, and so does this, with at least one neighbour.

use super::super::update::Update;
use super::krum::{distances, scores};
use super::median::middle;
use super::{by_coordinate, deltas};

pub(super) fn bulyan(updates: &[Update], byzantine: usize) -> Vec<f64> {
    let distances = distances(updates);
    let mut left: Vec<usize> = (0..updates.len()).collect();
    let mut picked = Vec::new();
    while picked.len() < updates.len() - 2 * byzantine {
        let scores = scores(&distances, &left, byzantine);
        let best = (0..left.len()).min_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
        picked.push(left.remove(best));
    }
    picked.sort_unstable();
    let all = deltas(updates);
    let vectors: Vec<&[f64]> = picked.iter().map(|&i| all[i]).collect();
    let kept = picked.len() - 2 * byzantine;
    by_coordinate(&vectors, |values| {
        let median = middle(values);
        values.sort_by(|a, b| (a - median).abs().total_cmp(&(b - median).abs()));
        values[..kept].iter().sum::<f64>() / kept as f64
    })
}
