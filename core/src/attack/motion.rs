//! Rotations and shifts of images, as a finite family: what was done to an image can then be found again
//! from the image alone, which is how a result is held to what the attack says that it does.
//!
//! An image is rotated about its centre, then shifted; values between pixels are bilinear, and what comes
//! from outside of the image has the smallest value of the box, as in the code of Engstrom et al. (2019).
//! It is computed on the host, so that every backend sees the same images to the bit.

use super::window::Image;

/// Every rotation of a grid of angles with every shift of a grid of shifts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motions {
    /// The largest angle either way.
    pub degrees: f64,
    /// The largest shift either way, along rows as along columns, in pixels.
    pub pixels: f64,
    /// Angles, evenly from one end to the other; with 1, none but 0.
    pub angles: usize,
    /// Shifts along each axis, likewise.
    pub shifts: usize,
}

/// A rotation about the centre, from rows towards columns, and then a shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Motion {
    degrees: f64,
    down: f64,
    right: f64,
}

/// `i`-th of `count` values from `-end` to `end`.
fn spaced(i: usize, count: usize, end: f64) -> f64 {
    if count < 2 { 0.0 } else { end * (2.0 * i as f64 / (count - 1) as f64 - 1.0) }
}

impl Motions {
    /// Their number.
    pub fn count(&self) -> usize {
        self.angles * self.shifts * self.shifts
    }

    /// Number `i` of them.
    pub(super) fn get(&self, i: usize) -> Motion {
        let (angle, shift) = (i / (self.shifts * self.shifts), i % (self.shifts * self.shifts));
        Motion {
            degrees: spaced(angle, self.angles, self.degrees),
            down: spaced(shift / self.shifts, self.shifts, self.pixels),
            right: spaced(shift % self.shifts, self.shifts, self.pixels),
        }
    }

    /// Whether one of them makes `after` of `before`, but for rounding.
    pub(super) fn lead_to(
        &self,
        image: Image,
        before: &[f64],
        after: &[f64],
        [lo, hi]: [f64; 2],
    ) -> bool {
        let off = 1e-6 * (1.0 + lo.abs().max(hi.abs()));
        // Middle first: the edges of many images are of one colour, under any motion.
        let half = before.len() / 2;
        let places = (half..before.len()).chain(0..half);
        (0..self.count()).any(|i| {
            let view = View::new(self.get(i), image);
            places.clone().all(|at| (view.value(before, at, lo) - after[at]).abs() <= off)
        })
    }
}

impl Motion {
    /// Appends the image `x` in motion to `out`, with `fill` where it was not.
    pub(super) fn apply(self, image: Image, x: &[f32], [fill, hi]: [f32; 2], out: &mut Vec<f32>) {
        let view = View::new(self, image);
        let values: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        let moved = (0..x.len()).map(|at| view.value(&values, at, f64::from(fill)) as f32);
        // A mean of values within the box is within but for rounding.
        out.extend(moved.map(|v| v.clamp(fill, hi)));
    }
}

/// Where in the original the pixels of an image in motion are.
struct View {
    image: Image,
    motion: Motion,
    sin: f64,
    cos: f64,
}

impl View {
    fn new(motion: Motion, image: Image) -> Self {
        let (sin, cos) = motion.degrees.to_radians().sin_cos();
        View { image, motion, sin, cos }
    }

    /// The value at position `at` of a sample, all channels of which move alike.
    fn value(&self, x: &[f64], at: usize, fill: f64) -> f64 {
        let Image { height, width, .. } = self.image;
        let middle = |extent: usize| (extent as f64 - 1.0) / 2.0;
        let row = (at / width % height) as f64 - middle(height) - self.motion.down;
        let column = (at % width) as f64 - middle(width) - self.motion.right;
        let from = [
            self.cos * row + self.sin * column + middle(height),
            self.cos * column - self.sin * row + middle(width),
        ];
        let (top, left) = (from[0].floor(), from[1].floor());
        let (down, right) = (from[0] - top, from[1] - left);
        let start = at - at % (height * width);
        let pixel = |row: f64, column: f64| {
            let inside =
                (0.0..height as f64).contains(&row) && (0.0..width as f64).contains(&column);
            if inside { x[start + row as usize * width + column as usize] } else { fill }
        };
        let upper = pixel(top, left) * (1.0 - right) + pixel(top, left + 1.0) * right;
        let lower = pixel(top + 1.0, left) * (1.0 - right) + pixel(top + 1.0, left + 1.0) * right;
        upper * (1.0 - down) + lower * down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(motion: Motion, x: &[f32], [channels, height, width]: [usize; 3]) -> Vec<f32> {
        let mut out = Vec::new();
        motion.apply(Image { channels, height, width }, x, [0.0, 9.0], &mut out);
        out
    }

    #[test]
    fn motions_by_hand() {
        let none = Motion { degrees: 0.0, down: 0.0, right: 0.0 };
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(moved(none, &x, [1, 2, 3]), x);
        assert_eq!(moved(Motion { down: 1.0, ..none }, &x, [1, 2, 3]), [0., 0., 0., 1., 2., 3.]);
        assert_eq!(moved(Motion { right: -1.0, ..none }, &x, [1, 2, 3]), [2., 3., 0., 5., 6., 0.]);
        assert_eq!(
            moved(Motion { right: 0.5, ..none }, &x, [2, 1, 3]),
            [0.5, 1.5, 2.5, 2., 4.5, 5.5]
        );
        // A quarter turn of a square, in each channel: what stood above stands at one side.
        let square = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let turned = moved(Motion { degrees: 90.0, ..none }, &square, [2, 2, 2]);
        for (got, want) in turned.iter().zip([2.0, 4.0, 1.0, 3.0, 6.0, 8.0, 5.0, 7.0]) {
            assert!((got - want).abs() < 1e-6, "{turned:?}");
        }
        let back = moved(Motion { degrees: -90.0, ..none }, &turned, [2, 2, 2]);
        assert!(back.iter().zip(square).all(|(a, b)| (a - b).abs() < 1e-6), "{back:?}");
    }

    #[test]
    fn the_family_holds_its_ends_and_the_identity() {
        let motions = Motions { degrees: 30.0, pixels: 3.0, angles: 31, shifts: 5 };
        assert_eq!(motions.count(), 775);
        let all: Vec<Motion> = (0..775).map(|i| motions.get(i)).collect();
        assert_eq!(all[0], Motion { degrees: -30.0, down: -3.0, right: -3.0 });
        assert_eq!(all[774], Motion { degrees: 30.0, down: 3.0, right: 3.0 });
        assert!(all.contains(&Motion { degrees: 0.0, down: 0.0, right: 0.0 }));
        // Equally spaced, but for rounding.
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(
            all.iter().any(|m| near(m.degrees, 2.0) && near(m.down, 1.5) && near(m.right, -1.5))
        );
    }
}
