//! Other views of a sample: shifts and mirror images of pictures, noise on rows of tables.

use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::rng::Rng;
use crate::{Result, bail};

/// A shift of a picture, after a reflection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Pixels to the right.
    pub dx: i64,
    /// Pixels down.
    pub dy: i64,
    /// Whether left and right are swapped.
    pub flip: bool,
}

impl Augmentation {
    /// The picture itself.
    pub const NONE: Augmentation = Augmentation { dx: 0, dy: 0, flip: false };

    /// The picture itself, and every other shift by at most `radius` pixels in all (`|dx| + |dy|`);
    /// with `flip` each of them mirrored too.
    pub fn shifts(radius: u8, flip: bool) -> Vec<Augmentation> {
        let radius = i64::from(radius);
        let mut all = vec![Augmentation::NONE];
        for dy in -radius..=radius {
            let wide = radius - dy.abs();
            all.extend((-wide..=wide).map(|dx| Augmentation { dx, dy, flip: false }));
        }
        all.dedup();
        let mut seen = vec![Augmentation::NONE];
        seen.extend(all[1..].iter().filter(|a| **a != Augmentation::NONE));
        if flip {
            let mirrored: Vec<_> = seen.iter().map(|a| Augmentation { flip: true, ..*a }).collect();
            seen.extend(mirrored);
        }
        seen
    }

    /// The samples of `data` (`[C, H, W]`) so changed; what comes in at the border repeats it.
    ///
    /// # Errors
    /// The samples are no pictures.
    pub fn apply(self, data: &Dataset) -> Result<Dataset> {
        if self == Augmentation::NONE {
            return Ok(data.clone());
        }
        let [_, height, width] = data.shape[..] else {
            let shape = &data.shape;
            bail!(Config, "membership: samples {shape:?} cannot be shifted; augment pictures only");
        };
        let clamp = |at: i64, extent: usize| at.clamp(0, extent as i64 - 1) as usize;
        let mut features = Vec::with_capacity(data.features.len());
        for plane in data.features.chunks(height * width) {
            for y in 0..height {
                let line = &plane[clamp(y as i64 - self.dy, height) * width..][..width];
                features.extend((0..width).map(|x| {
                    let from = clamp(x as i64 - self.dx, width);
                    line[if self.flip { width - 1 - from } else { from }]
                }));
            }
        }
        Ok(Dataset { features, ..data.select(&[]) }.with_labels_of(data))
    }
}

impl Dataset {
    fn with_labels_of(self, other: &Dataset) -> Dataset {
        Dataset { labels: other.labels.clone(), ..self }
    }
}

/// The samples of `data` with noise of view number `view`: normal, of a twentieth of the value range,
/// clipped to it; where every value is at an end of the range (binary rows), each changes sides with
/// that probability instead (Choquette-Choo et al. 2021, section 4.2).
pub(super) fn noisy(data: &Dataset, view: u64, rng: &Rng) -> Dataset {
    const SHARE: f64 = 0.05;
    let (lo, hi) = data.bounds;
    let binary = data.features.iter().all(|&v| v == lo || v == hi);
    let each: usize = data.shape.iter().product();
    let mut noisy = data.clone();
    for (row, values) in noisy.features.chunks_mut(each).enumerate() {
        let mut rng = rng.index(row as u64).index(view);
        for value in values {
            if !binary {
                let noise = SHARE * f64::from(hi - lo) * rng.normal();
                *value = ((f64::from(*value) + noise) as f32).clamp(lo, hi);
            } else if rng.bernoulli(SHARE) {
                *value = if *value == lo { hi } else { lo };
            }
        }
    }
    noisy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(values: &[f32], shape: &[usize]) -> Dataset {
        Dataset {
            name: "picture".into(),
            source: String::new(),
            licence: String::new(),
            features: values.to_vec(),
            shape: shape.to_vec(),
            labels: vec![0],
            classes: 1,
            class_names: vec!["0".into()],
            bounds: (0.0, 9.0),
        }
    }

    #[test]
    fn shifts_are_counted_once_and_the_picture_comes_first() {
        for (radius, flip, count) in [(0, false, 1), (1, false, 5), (2, false, 13), (1, true, 10)] {
            let all = Augmentation::shifts(radius, flip);
            assert_eq!((all.len(), all[0]), (count, Augmentation::NONE));
            let mut once: Vec<String> = all.iter().map(|a| format!("{a:?}")).collect();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), count);
        }
    }

    #[test]
    fn pictures_move_as_told() {
        let data = picture(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[1, 2, 3]);
        let moved = |dx, dy, flip| Augmentation { dx, dy, flip }.apply(&data).unwrap().features;
        assert_eq!(moved(1, 0, false), [1.0, 1.0, 2.0, 4.0, 4.0, 5.0]);
        assert_eq!(moved(0, -1, false), [4.0, 5.0, 6.0, 4.0, 5.0, 6.0]);
        assert_eq!(moved(0, 0, true), [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        let row = picture(&[1.0, 2.0], &[2]);
        assert!(Augmentation { dx: 1, ..Augmentation::NONE }.apply(&row).is_err());
    }

    #[test]
    fn noise_keeps_to_the_range_and_binary_rows_stay_binary() {
        let rng = Rng::new(1);
        let wide = picture(&[0.0, 4.5, 9.0, 3.0], &[4]);
        let noise = noisy(&wide, 0, &rng);
        assert!(noise.features.iter().all(|v| (0.0..=9.0).contains(v)) && noise != wide);
        assert_eq!(noise, noisy(&wide, 0, &rng));
        let binary = picture(&[0.0, 9.0].repeat(500), &[1000]);
        let changed = noisy(&binary, 0, &rng);
        assert!(changed.features.iter().all(|&v| v == 0.0 || v == 9.0));
        let flips = changed.features.iter().zip(&binary.features).filter(|(a, b)| a != b).count();
        assert!((15..=85).contains(&flips), "{flips} of 1000 at 5 %");
    }
}
