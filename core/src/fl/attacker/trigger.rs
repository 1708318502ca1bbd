//! The mark that a backdoor reacts to: a bright square in a corner (Gu et al. 2017, BadNets, section
//! 4.1); of samples that are no images, the last features at their largest value.

use serde::{Deserialize, Serialize};

use crate::{Result, bail};

/// A square at the lower right of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trigger {
    /// Its side in pixels; of tables, the number of features.
    pub size: usize,
}

impl Default for Trigger {
    fn default() -> Self {
        Trigger { size: 3 }
    }
}

impl Trigger {
    pub(super) fn check(&self) -> Result<()> {
        if self.size == 0 {
            bail!(Config, "attacker: trigger: size = 0 marks nothing; set at least 1");
        }
        Ok(())
    }

    /// Puts the mark, of value `bright`, on a sample of shape `shape`.
    pub fn put(&self, sample: &mut [f32], shape: &[usize], bright: f32) {
        if let &[channels, height, width] = shape {
            for c in 0..channels {
                for y in height.saturating_sub(self.size)..height {
                    let row = (c * height + y) * width;
                    sample[row + width.saturating_sub(self.size)..row + width].fill(bright);
                }
            }
        } else {
            let from = sample.len().saturating_sub(self.size);
            sample[from..].fill(bright);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_in_the_corner() {
        let mut image = vec![0.0; 2 * 3 * 4];
        Trigger { size: 2 }.put(&mut image, &[2, 3, 4], 1.0);
        let channel = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0];
        assert_eq!(image, [channel, channel].concat());
        let mut table = vec![0.0; 4];
        Trigger { size: 3 }.put(&mut table, &[4], 5.0);
        assert_eq!(table, [0.0, 5.0, 5.0, 5.0]);
        let mut small = vec![0.0; 4];
        Trigger { size: 9 }.put(&mut small, &[1, 2, 2], 1.0);
        assert_eq!(small, [1.0; 4]);
    }
}
