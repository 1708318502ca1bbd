//! Parts of a data set.
//!
//! Stratified, because a plain random part of a small set can miss a class altogether and then
//! accuracy on it means little. Both parts keep the order of the file, so that what a seed decides
//! is who belongs to which part and nothing else; the order of training is the trainer's to draw.

use super::Dataset;
use crate::rng::Rng;

impl Dataset {
    /// The samples `rows`, in that order; a row may occur more than once.
    ///
    /// # Panics
    /// A row is not below [`Dataset::len`].
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Dataset {
        let each: usize = self.shape.iter().product();
        let mut features = Vec::with_capacity(rows.len() * each);
        for &row in rows {
            features.extend_from_slice(&self.features[row * each..(row + 1) * each]);
        }
        Dataset {
            name: self.name.clone(),
            source: self.source.clone(),
            licence: self.licence.clone(),
            features,
            shape: self.shape.clone(),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
            classes: self.classes,
            class_names: self.class_names.clone(),
            bounds: self.bounds,
        }
    }

    /// Training and test part: disjoint, together everything, and each class divided as nearly in
    /// the ratio as whole samples allow. The test part has `round(test_fraction * len)` samples;
    /// a fraction outside `[0, 1]` counts as the nearer end of it.
    #[must_use]
    pub fn split_stratified(&self, test_fraction: f64, rng: &Rng) -> (Dataset, Dataset) {
        // `clamp` passes NaN on, and the cast makes 0 of it.
        let test = (self.len() as f64 * test_fraction.clamp(0.0, 1.0)).round() as usize;
        let (chosen, rest) = self.draw(test, rng);
        (self.select(&rest), self.select(&chosen))
    }

    /// `n` samples with the classes in the proportions of the whole; all of them if `n` exceeds
    /// [`Dataset::len`].
    #[must_use]
    pub fn take_stratified(&self, n: usize, rng: &Rng) -> Dataset {
        self.select(&self.draw(n, rng).0)
    }

    /// `n` rows drawn class by class, and the others; both ascending.
    fn draw(&self, n: usize, rng: &Rng) -> (Vec<usize>, Vec<usize>) {
        let mut members = vec![Vec::new(); self.classes];
        for (row, &label) in self.labels.iter().enumerate() {
            members[label as usize].push(row);
        }
        let sizes: Vec<usize> = members.iter().map(Vec::len).collect();
        let rng = rng.child("strata");
        let mut taken = vec![false; self.len()];
        for (class, quota) in quotas(&sizes, n.min(self.len())).into_iter().enumerate() {
            for i in rng.index(class as u64).choose(sizes[class], quota) {
                taken[members[class][i]] = true;
            }
        }
        (0..self.len()).partition(|&row| taken[row])
    }
}

/// Divides `n` among classes in proportion to their `sizes` by largest remainders, so that the
/// quotas sum to `n` and none is further than one from its exact share. Needs `n <= sum(sizes)`.
fn quotas(sizes: &[usize], n: usize) -> Vec<usize> {
    let total = sizes.iter().sum::<usize>().max(1) as u128;
    let scaled = |class: usize| sizes[class] as u128 * n as u128;
    let mut quotas: Vec<usize> =
        (0..sizes.len()).map(|class| (scaled(class) / total) as usize).collect();
    let missing = n - quotas.iter().sum::<usize>();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&class| std::cmp::Reverse(scaled(class) % total));
    order[..missing].iter().for_each(|&class| quotas[class] += 1);
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_sum_up_and_follow_the_shares() {
        assert_eq!(quotas(&[10, 10], 5), [3, 2]);
        assert_eq!(quotas(&[100, 1, 0], 101), [100, 1, 0]);
        assert_eq!(quotas(&[], 0), [0; 0]);
        for n in 0..=60 {
            let sizes = [30, 20, 7, 3];
            let quotas = quotas(&sizes, n);
            assert_eq!(quotas.iter().sum::<usize>(), n);
            for (quota, size) in quotas.iter().zip(sizes) {
                let exact = (size * n) as f64 / 60.0;
                assert!((*quota as f64 - exact).abs() < 1.0 && *quota <= size);
            }
        }
    }
}
