//! Points with a halo whose area shows a third quantity: the trade-off of utility, robustness and
//! privacy in one look.

use super::{Axis, Frame, WIDTH, extent};
use crate::report::svg::{Anchor, shorten};

/// A point.
pub(in crate::report) struct Bubble {
    pub(in crate::report) name: String,
    /// A second line under the name.
    pub(in crate::report) note: String,
    /// Number of the colour.
    pub(in crate::report) series: usize,
    pub(in crate::report) x: f64,
    pub(in crate::report) y: f64,
    /// Area of the halo, 1 being the largest; absent if unknown.
    pub(in crate::report) halo: Option<f64>,
}

/// Radius of a halo of 1.
const HALO: f64 = 64.0;
const HEIGHT: f64 = 360.0;

/// Draws points over two axes of percentages that show what is there with some room, and say so.
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
        if let Some(halo) = bubble.halo.filter(|h| h.is_finite()) {
            let radius = HALO * halo.clamp(0.0, 1.0).sqrt();
            frame.svg.circle(at, radius, &format!("halo s{}", bubble.series), &bubble.note);
        }
        let hint = format!("{}: {}", bubble.name, bubble.note);
        frame.svg.circle(at, 5.0, &format!("dot s{}", bubble.series), &hint);
    }
    let mut taken: Vec<f64> = Vec::new();
    let mut sorted = finite;
    sorted.sort_by(|a, b| b.y.total_cmp(&a.y));
    for bubble in sorted {
        let (x, y) = frame.at(bubble.x, bubble.y);
        let y = free_line(&mut taken, y);
        let (shift, anchor) = match x > WIDTH * 0.55 {
            true => (-11.0, Anchor::End),
            false => (11.0, Anchor::Start),
        };
        frame.svg.text((x + shift, y - 2.0), anchor, "label", &shorten(&bubble.name, 30));
        frame.svg.text((x + shift, y + 13.0), anchor, "note", &shorten(&bubble.note, 40));
    }
    frame.svg.finish(title, description)
}

/// The height nearest below `y` at which no label stands yet; labels are placed from the top down.
fn free_line(taken: &mut Vec<f64>, y: f64) -> f64 {
    const LABEL: f64 = 32.0;
    let free = taken.last().map_or(y, |last| y.max(last + LABEL)).min(HEIGHT - 60.0);
    taken.push(free);
    free
}

/// `range` with room on both sides, no narrower than a tenth and not beyond what a fraction can be
/// by more than a little.
fn roomy((low, high): (f64, f64)) -> (f64, f64) {
    let room = ((high - low) * 0.22).max((0.1 - (high - low)) / 2.0).max(0.02);
    ((low - room).max(-0.06), (high + room).min(1.06))
}
