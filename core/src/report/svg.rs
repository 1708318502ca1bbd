//! Drawing primitives for inline SVG: elements, scales and tick marks.
//!
//! Colours come from classes of the page's style sheet, so that a drawing follows light and dark.
//! No coordinate that is NaN or infinite is ever written: a browser would drop the whole element
//! and say nothing.

use std::fmt;
use std::fmt::Write as _;

/// Text from data, escaped for element content and for quoted attributes.
pub(super) struct Esc<'a>(pub(super) &'a str);

impl fmt::Display for Esc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Control characters are no HTML, even as references.
                c if c.is_control() && !matches!(c, '\n' | '\t') => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A coordinate: at most two decimals, always finite.
struct Num(f64);

impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.0.is_finite() { (self.0 * 100.0).round() / 100.0 + 0.0 } else { 0.0 };
        write!(f, "{value}")
    }
}

/// Where a text stands relative to its position.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

/// A drawing in progress. Positions are in user units, y down.
pub(super) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Svg { width, height, body: String::new() }
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let (x1, y1, x2, y2) = (Num(from.0), Num(from.1), Num(to.0), Num(to.1));
        self.push(format_args!(
            r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#
        ));
    }

    /// A rectangle; a `title` is shown on hovering and read out.
    pub(super) fn rect(&mut self, at: (f64, f64), size: (f64, f64), class: &str, title: &str) {
        let (x, y, w, h) = (Num(at.0), Num(at.1), Num(size.0.max(0.0)), Num(size.1.max(0.0)));
        self.push(format_args!(
            r#"<rect class="{class}" x="{x}" y="{y}" width="{w}" height="{h}" rx="2">{}</rect>"#,
            Title(title)
        ));
    }

    /// A rectangle without rounding whose fill has the given opacity.
    pub(super) fn cell(&mut self, at: (f64, f64), side: (f64, f64), opacity: f64, title: &str) {
        let (x, y, w, h) = (Num(at.0), Num(at.1), Num(side.0), Num(side.1));
        self.push(format_args!(
            r#"<rect class="heat" fill-opacity="{}" x="{x}" y="{y}" width="{w}" height="{h}">{}</rect>"#,
            Num(opacity),
            Title(title)
        ));
    }

    pub(super) fn circle(&mut self, at: (f64, f64), radius: f64, class: &str, title: &str) {
        let (x, y, r) = (Num(at.0), Num(at.1), Num(radius.max(0.0)));
        self.push(format_args!(
            r#"<circle class="{class}" cx="{x}" cy="{y}" r="{r}">{}</circle>"#,
            Title(title)
        ));
    }

    /// A line through `points`, of which those that are not finite are left out.
    pub(super) fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        let mut list = String::new();
        for (x, y) in points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
            let _ = write!(list, "{},{} ", Num(*x), Num(*y));
        }
        self.push(format_args!(r#"<polyline class="{class}" points="{}"/>"#, list.trim_end()));
    }

    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        self.push(format_args!(
            r#"<text class="{class}" x="{}" y="{}" text-anchor="{}">{}</text>"#,
            Num(at.0),
            Num(at.1),
            anchor.name(),
            Esc(text)
        ));
    }

    /// A text turned by `degrees` clockwise around its position.
    pub(super) fn turned(
        &mut self,
        at: (f64, f64),
        degrees: f64,
        anchor: Anchor,
        class: &str,
        text: &str,
    ) {
        let (x, y) = (Num(at.0), Num(at.1));
        self.push(format_args!(
            r#"<text class="{class}" transform="translate({x} {y}) rotate({})" text-anchor="{}">{}</text>"#,
            Num(degrees),
            anchor.name(),
            Esc(text)
        ));
    }

    /// The element, with the name and the description that a screen reader gives it.
    pub(super) fn finish(self, title: &str, description: &str) -> String {
        format!(
            r#"<svg viewBox="0 0 {w} {h}" role="img" aria-label="{label}"><title>{title}</title><desc>{description}</desc>{body}</svg>"#,
            w = Num(self.width),
            h = Num(self.height),
            label = Esc(title),
            title = Esc(title),
            description = Esc(description),
            body = self.body
        )
    }

    fn push(&mut self, element: fmt::Arguments<'_>) {
        let _ = self.body.write_fmt(element);
    }
}

/// A `<title>` child, or nothing.
struct Title<'a>(&'a str);

impl fmt::Display for Title<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, "<title>{}</title>", Esc(self.0))
    }
}

/// A linear map from data to positions.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub(super) domain: (f64, f64),
    range: (f64, f64),
}

impl Scale {
    /// Maps `domain` to `range`; a domain of no extent is widened so that its value is in the middle.
    pub(super) fn new(domain: (f64, f64), range: (f64, f64)) -> Self {
        let (low, high) = domain;
        let domain = match (low.is_finite() && high.is_finite(), high > low) {
            (false, _) => (0.0, 1.0),
            (true, true) => (low, high),
            (true, false) => {
                let half = if low == 0.0 { 0.5 } else { low.abs() / 2.0 };
                (low - half, low + half)
            }
        };
        Scale { domain, range }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value - self.domain.0) / (self.domain.1 - self.domain.0);
        self.range.0 + share * (self.range.1 - self.range.0)
    }

    /// About `count` round values within the domain: 1, 2 or 5 times a power of ten apart.
    pub(super) fn ticks(&self, count: usize) -> Vec<f64> {
        let (low, high) = self.domain;
        let step = round_step((high - low) / count.max(1) as f64);
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        // Dividing by the inverse of a step below one keeps 0.3 from becoming 0.30000000000000004.
        let value = |k: i64| {
            if step < 1.0 { k as f64 / (1.0 / step).round() } else { k as f64 * step }
        };
        (first..=last).map(value).collect()
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|s| s * power >= rough * (1.0 - 1e-9));
    step.unwrap_or(10.0) * power
}

/// `text` cut to `limit` characters, the last of which is then an ellipsis.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// `text` broken at spaces into at most `lines` lines of at most `limit` characters. What does not
/// fit is cut; there is always a line.
pub(super) fn wrap(text: &str, limit: usize, lines: usize) -> Vec<String> {
    let mut wrapped: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let full = wrapped.len() == lines.max(1);
        match wrapped.last_mut() {
            Some(line) if full || line.chars().count() + 1 + word.chars().count() <= limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => wrapped.push(word.to_owned()),
        }
    }
    if wrapped.is_empty() {
        wrapped.push(String::new());
    }
    wrapped.iter().map(|line| shorten(line, limit.max(1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_always_numbers() {
        let shown = [1.0, -0.001, 2.345, f64::NAN, f64::INFINITY, 1e9].map(|v| Num(v).to_string());
        assert_eq!(shown, ["1", "0", "2.35", "0", "0", "1000000000"]);
        let mut svg = Svg::new(10.0, 10.0);
        svg.polyline(&[(0.0, 1.0), (f64::NAN, 2.0), (3.0, f64::INFINITY), (4.0, 5.0)], "x");
        assert!(svg.finish("t", "d").contains(r#"points="0,1 4,5""#));
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let ticks = |low, high, n| Scale::new((low, high), (0.0, 1.0)).ticks(n);
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(ticks(0.0, 0.3, 3), [0.0, 0.1, 0.2, 0.3]);
        assert_eq!(ticks(1.0, 20.0, 4), [5.0, 10.0, 15.0, 20.0]);
        assert!(!ticks(0.97, 0.99, 4).is_empty());
        for (low, high) in [(0.0, 0.0), (3.0, 3.0), (f64::NAN, 1.0), (-1.0, -1.0)] {
            let scale = Scale::new((low, high), (0.0, 100.0));
            assert!(scale.ticks(4).iter().all(|t| scale.at(*t).is_finite()));
            assert!(scale.ticks(4).len() >= 2);
        }
    }

    #[test]
    fn text_is_escaped_and_shortened_by_characters() {
        assert_eq!(
            Esc("<a b='\"'>&\u{1}").to_string(),
            "&lt;a b=&#39;&quot;&#39;&gt;&amp;\u{fffd}"
        );
        assert_eq!(shorten("häßlich", 7), "häßlich");
        assert_eq!(shorten("häßlich!", 5), "häßl…");
        let name = "PGD adversarial training";
        assert_eq!(wrap(name, 12, 3), ["PGD", "adversarial", "training"]);
        assert_eq!(wrap(name, 16, 3), ["PGD adversarial", "training"]);
        assert_eq!(wrap(name, 12, 2), ["PGD", "adversarial…"]);
        assert_eq!(wrap("", 12, 2), [""]);
    }
}
