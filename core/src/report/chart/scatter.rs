//! Points with a halo whose area shows a third quantity: the trade-off of utility, robustness and
//! privacy in one look.

use super::{Axis, Frame, LEFT, WIDTH, extent};
use crate::report::svg::{Anchor, shorten};

/// A point.
pub(in crate::report) struct Bubble {
    /// First line of its label.
    pub(in crate::report) name: String,
    /// Second line of its label.
    pub(in crate::report) note: String,
    /// Shown on hovering and read out.
    pub(in crate::report) hint: String,
    /// Number of the colour.
    pub(in crate::report) series: usize,
    pub(in crate::report) x: f64,
    pub(in crate::report) y: f64,
    /// Area of the halo, 1 being the largest; absent if unknown.
    pub(in crate::report) halo: Option<f64>,
}

impl Bubble {
    /// Radius of the halo, 0 if there is none.
    fn radius(&self) -> f64 {
        let halo = self.halo.filter(|h| h.is_finite()).unwrap_or(0.0);
        HALO * halo.clamp(0.0, 1.0).sqrt()
    }
}

/// Radius of a halo of 1.
const HALO: f64 = 64.0;
const HEIGHT: f64 = 340.0;
/// Units per character of a label's two lines, at the text size of a phone.
const LABEL_LETTER: f64 = 8.3;
const NOTE_LETTER: f64 = 7.8;

/// Draws points over two axes of percentages that show what is there with some room.
pub(in crate::report) fn scatter(
    title: &str,
    description: &str,
    axes: [&str; 2],
    bubbles: &[Bubble],
) -> String {
    let finite: Vec<&Bubble> =
        bubbles.iter().filter(|b| b.x.is_finite() && b.y.is_finite()).collect();
    let axis = |title: &str, of: fn(&Bubble) -> f64| Axis {
        domain: roomy(extent(finite.iter().map(|b| of(b))).unwrap_or((0.0, 1.0))),
        ..Axis::unit(title)
    };
    let mut frame = Frame::new(&axis(axes[0], |b| b.x), &axis(axes[1], |b| b.y), HEIGHT);
    for bubble in &finite {
        let at = frame.at(bubble.x, bubble.y);
        frame.svg.circle(at, bubble.radius(), &format!("halo s{}", bubble.series), &bubble.hint);
        frame.svg.circle(at, 5.0, &format!("dot s{}", bubble.series), &bubble.hint);
    }
    let dots = finite.iter().map(|b| frame.at(b.x, b.y));
    let mut taken: Vec<Area> = dots.map(|(x, y)| Area::around(x, y, 14.0, 14.0)).collect();
    for bubble in &finite {
        let (name, note) = (shorten(&bubble.name, 34), shorten(&bubble.note, 40));
        let width = (name.chars().count() as f64 * LABEL_LETTER)
            .max(note.chars().count() as f64 * NOTE_LETTER);
        let away = 5.0 + bubble.radius().clamp(6.0, 24.0);
        let area = place(frame.at(bubble.x, bubble.y), width, away, &taken);
        // A label stands at the side that faces its point.
        let left_of_point = area.x + width / 2.0 < frame.x.at(bubble.x);
        let (x, anchor) = match left_of_point {
            true => (area.x + width, Anchor::End),
            false => (area.x, Anchor::Start),
        };
        frame.svg.text((x, area.y + 12.0), anchor, "label", &name);
        frame.svg.text((x, area.y + 26.0), anchor, "note", &note);
        taken.push(area);
    }
    frame.svg.finish(title, description)
}

/// A rectangle on the drawing.
#[derive(Clone, Copy)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Area {
    fn around(x: f64, y: f64, width: f64, height: f64) -> Self {
        Area { x: x - width / 2.0, y: y - height / 2.0, width, height }
    }

    /// The area that two rectangles share.
    fn shared(&self, other: &Area) -> f64 {
        let along = |a: f64, b: f64, c: f64, d: f64| ((a + b).min(c + d) - a.max(c)).max(0.0);
        along(self.x, self.width, other.x, other.width)
            * along(self.y, self.height, other.y, other.height)
    }
}

/// Where the label of the point at `(x, y)` covers the least: to the right if it can be, else on the
/// other side, above or below, and ever farther up or down when points crowd.
fn place((x, y): (f64, f64), width: f64, away: f64, taken: &[Area]) -> Area {
    const LINES: f64 = 30.0;
    let room = Area { x: LEFT, y: 0.0, width: WIDTH - LEFT, height: HEIGHT - 46.0 };
    let sides = [x + away, x - away - width, x - width / 2.0];
    let shifts = [0.0, 16.0, -16.0, 32.0, -32.0, 64.0, -64.0, 96.0, -96.0];
    let cost = |area: &Area| {
        let outside = area.width * area.height - area.shared(&room);
        let covered: f64 = taken.iter().map(|t| t.shared(area)).sum();
        let shift = (area.y + LINES / 2.0 - y).abs();
        covered + 4.0 * outside + 0.2 * shift
    };
    let mut best = Area { x: sides[0], y: y - LINES / 2.0, width, height: LINES };
    for (x, shift) in shifts.iter().flat_map(|s| sides.map(|x| (x, *s))) {
        let area = Area { x, y: y - LINES / 2.0 + shift, width, height: LINES };
        if cost(&area) < cost(&best) {
            best = area;
        }
    }
    best
}

/// `range` with room on both sides, no narrower than a tenth, and little beyond 0 and 1.
fn roomy((low, high): (f64, f64)) -> (f64, f64) {
    let span = (high - low).max(0.1);
    let room = (span - (high - low)) / 2.0 + 0.2 * span;
    let beyond = 0.08 * span;
    ((low - room).max(low.min(-beyond)), (high + room).min(high.max(1.0 + beyond)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_off_points_and_each_other() {
        let points = [(200.0, 100.0), (215.0, 112.0), (230.0, 90.0), (410.0, 270.0)];
        let dots = points.map(|(x, y)| Area::around(x, y, 14.0, 14.0));
        let mut taken = dots.to_vec();
        for point in points {
            let label = place(point, 120.0, 11.0, &taken);
            assert!(taken.iter().all(|t| t.shared(&label) == 0.0), "{point:?}");
            assert!(label.x >= LEFT && label.x + label.width <= WIDTH, "{point:?}");
            taken.push(label);
        }
    }

    #[test]
    fn axes_have_room_but_no_impossible_values() {
        for (low, high) in [(0.0, 1.0), (0.95, 0.99), (1.0, 1.0), (0.0, 0.0), (0.4, 0.5)] {
            let (from, to) = roomy((low, high));
            assert!(from < low && to > high, "{low} {high}: {from} {to}");
            assert!(from >= -0.081 && to <= 1.081, "{low} {high}: {from} {to}");
        }
    }
}
