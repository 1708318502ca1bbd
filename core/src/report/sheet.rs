//! A grid of pictures as one PNG file, for whoever wants to look without a page.

use super::{PictureGrid, png};
use crate::{Result, bail};

/// Pixels of a sheet for one of a picture, and between two pictures.
const SCALE: usize = 4;
const GAP: usize = 4;

impl PictureGrid {
    /// The pictures, magnified, as one PNG: rows and columns as in the grid, without its texts.
    ///
    /// # Errors
    /// The grid has no picture, or one whose fields do not fit together.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let cells = || self.rows.iter().flat_map(|r| &r.cells);
        let side = |of: fn(&super::Picture) -> usize| cells().map(of).max().unwrap_or(0);
        let (width, height) = (side(|p| p.width), side(|p| p.height));
        let across = self.rows.iter().map(|r| r.cells.len()).max().unwrap_or(0);
        if width * height * across == 0 {
            bail!(Data, "pictures: the grid has none; nothing to write");
        }
        let [step_x, step_y] = [width, height].map(|side| side * SCALE + GAP);
        let (total_x, total_y) = (across * step_x + GAP, self.rows.len() * step_y + GAP);
        let mut pixels = vec![255u8; total_x * total_y * 3];
        for (row, cells) in self.rows.iter().enumerate() {
            for (column, p) in cells.cells.iter().enumerate() {
                if p.pixels.len() != p.width * p.height * p.channels || p.channels == 0 {
                    bail!(Data, "pictures: {} has pixels that do not fit its size", cells.label);
                }
                let (left, top) = (GAP + column * step_x, GAP + row * step_y);
                for y in 0..p.height * SCALE {
                    for x in 0..p.width * SCALE {
                        let from = (y / SCALE * p.width + x / SCALE) * p.channels;
                        let to = ((top + y) * total_x + left + x) * 3;
                        for c in 0..3 {
                            pixels[to + c] = p.pixels[from + c.min(p.channels - 1)];
                        }
                    }
                }
            }
        }
        match png::encode(total_x, total_y, 3, &pixels) {
            Some(png) => Ok(png),
            None => bail!(Data, "pictures: the grid is too large for a PNG; show fewer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Picture, PictureRow};

    #[test]
    fn a_sheet_has_the_size_of_its_grid() {
        let picture = Picture::from_sample(&[0.0, 1.0], &[1, 1, 2], [0.0, 1.0], "x").unwrap();
        let row = PictureRow { label: "r".into(), cells: vec![picture.clone(), picture] };
        let texts = |s: &str| s.to_owned();
        let grid = PictureGrid {
            title: texts("t"),
            caption: texts("c"),
            columns: vec![texts("a"), texts("b")],
            rows: vec![row],
        };
        let png = grid.to_png().unwrap();
        let at = |i: usize| u32::from_be_bytes(png[i..i + 4].try_into().unwrap()) as usize;
        assert_eq!((at(16), at(20)), (2 * (2 * SCALE + GAP) + GAP, SCALE + 2 * GAP));
        assert!(PictureGrid { rows: vec![], ..grid }.to_png().is_err());
    }
}
