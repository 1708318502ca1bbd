//! Rectangles of pixels, for attacks that change one at a time.

use crate::rng::Rng;

/// A sample as channels of rows and columns; what is not an image is one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Image {
    /// Of samples of a batch `[N, C, H, W]`, `[N, H, W]` or `[N, ...]`.
    pub(super) fn of(batch: &[usize]) -> Self {
        let (channels, height, width) = match *batch {
            [_, c, h, w] => (c, h, w),
            [_, h, w] => (1, h, w),
            _ => (1, 1, batch.iter().skip(1).product()),
        };
        Image { channels, height, width }
    }

    /// A window of `share` of the pixels: a square of side `round(sqrt(share H W))`, or, where the
    /// image is not as high or as wide, as long as it takes to hold as many.
    pub(super) fn window(self, share: f64) -> Window {
        let pixels = share * (self.height * self.width) as f64;
        let side = (pixels.sqrt().round() as usize).max(1);
        let long = |across: usize| (pixels / across as f64).round() as usize;
        let (height, width) = match (side > self.height, side > self.width) {
            (true, false) => (self.height, long(self.height)),
            (false, true) => (long(self.width), self.width),
            _ => (side, side),
        };
        Window { height: height.clamp(1, self.height), width: width.clamp(1, self.width) }
    }

    /// The largest square that holds at most so many values over all channels, or, where the image is not
    /// as high or as wide, the longest rectangle; `None` if that is not one pixel.
    pub(super) fn holding(self, values: f64) -> Option<Window> {
        let all = self.height * self.width;
        let pixels = (values / self.channels.max(1) as f64).floor().clamp(0.0, all as f64) as usize;
        let side = pixels.isqrt();
        if side == 0 {
            return None;
        }
        let (height, width) = match (side >= self.height, side >= self.width) {
            (true, _) => (self.height, pixels / self.height),
            (false, true) => (pixels / self.width, self.width),
            (false, false) => (side, side),
        };
        Some(Window { height: height.min(self.height), width: width.min(self.width) })
    }
}

/// The extent of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Window {
    /// Each side at least 3 and odd, as far as the image allows.
    pub(super) fn odd(self, image: Image) -> Self {
        let odd = |side: usize, most: usize| (side.max(3) | 1).min(most);
        Window { height: odd(self.height, image.height), width: odd(self.width, image.width) }
    }

    /// The window at a place where it fits into the image, each equally likely.
    pub(super) fn placed(self, image: Image, rng: &mut Rng) -> Placed {
        let Window { height, width } = self;
        let row = rng.below(image.height - height + 1);
        Placed { row, column: rng.below(image.width - width + 1), height, width }
    }
}

/// A window at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Placed {
    /// Positions of its pixels in one channel of a sample, row by row.
    pub(super) fn pixels(
        self,
        image: Image,
        channel: usize,
    ) -> impl Iterator<Item = usize> + Clone {
        let start = (channel * image.height + self.row) * image.width + self.column;
        (0..self.height).flat_map(move |row| {
            let first = start + row * image.width;
            first..first + self.width
        })
    }

    /// Whether a position of a sample is within, in whatever channel.
    pub(super) fn holds(self, image: Image, at: usize) -> bool {
        let (row, column) = (at / image.width % image.height, at % image.width);
        (self.row..self.row + self.height).contains(&row)
            && (self.column..self.column + self.width).contains(&column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image_is_a_row() {
        assert_eq!(Image::of(&[9, 3, 5, 7]), Image { channels: 3, height: 5, width: 7 });
        assert_eq!(Image::of(&[9, 5, 7]), Image { channels: 1, height: 5, width: 7 });
        assert_eq!(Image::of(&[9, 7]), Image { channels: 1, height: 1, width: 7 });
    }

    #[test]
    fn windows_hold_their_share_of_any_image() {
        let image = |height, width| Image { channels: 1, height, width };
        let sides = |image: Image, share: f64| {
            let Window { height, width } = image.window(share);
            [height, width]
        };
        assert_eq!(sides(image(28, 28), 0.8), [25, 25]);
        assert_eq!(sides(image(28, 28), 0.8 / 512.0), [1, 1]);
        assert_eq!(sides(image(1, 100), 0.8), [1, 80]);
        assert_eq!(sides(image(100, 4), 0.5), [50, 4]);
        assert_eq!(sides(image(4, 9), 1.0), [4, 9]);
        assert_eq!(sides(image(2, 2), 0.001), [1, 1]);
        assert_eq!(image(5, 2).window(0.1).odd(image(5, 2)), Window { height: 3, width: 2 });
    }

    #[test]
    fn windows_hold_no_more_than_their_values() {
        let sides = |channels, height, width, values| {
            let window = Image { channels, height, width }.holding(values)?;
            Some([window.height, window.width])
        };
        assert_eq!(sides(1, 28, 28, 25.0), Some([5, 5]));
        assert_eq!(sides(3, 28, 28, 25.0), Some([2, 2]));
        assert_eq!(sides(1, 28, 28, 35.9), Some([5, 5]));
        assert_eq!(sides(1, 1, 20, 7.0), Some([1, 7]));
        assert_eq!(sides(1, 9, 2, 9.0), Some([4, 2]));
        assert_eq!(sides(1, 4, 5, 1e9), Some([4, 5]));
        assert_eq!(sides(3, 4, 5, 2.0), None);
        assert_eq!(sides(1, 4, 5, -1.0), None);
    }

    #[test]
    fn a_placed_window_holds_its_pixels() {
        let image = Image { channels: 2, height: 5, width: 4 };
        let place = Placed { row: 1, column: 2, height: 2, width: 2 };
        assert_eq!(place.pixels(image, 1).collect::<Vec<_>>(), [26, 27, 30, 31]);
        let held: Vec<usize> = (20..40).filter(|&at| place.holds(image, at)).collect();
        assert_eq!(held, [26, 27, 30, 31]);
    }
}
