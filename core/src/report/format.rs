//! How numbers are written for people: the same way in the terminal, in Markdown and on the page.

/// Shown where there is no value.
pub(super) const ABSENT: &str = "–";

/// A fraction as a percentage: `98.6%`.
pub(super) fn percent(fraction: f64) -> String {
    if !fraction.is_finite() {
        return ABSENT.into();
    }
    format!("{}%", signless_zero(format!("{:.1}", fraction * 100.0)))
}

/// A number with about four significant digits and no needless zeros: `1.407`, `0.1`, `12300`.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return ABSENT.into();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e7).contains(&magnitude) {
        let text = format!("{value:.2e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'));
    }
    let decimals = match magnitude {
        m if m >= 1000.0 => 0,
        m if m >= 100.0 => 1,
        m if m >= 10.0 => 2,
        m if m >= 0.1 => 3,
        m if m >= 0.01 => 4,
        _ => 6,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => signless_zero(text.trim_end_matches('0').trim_end_matches('.').to_owned()),
        false => text,
    }
}

/// A count with its thousands apart: `60,000`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration: `0.8 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return ABSENT.into();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

/// A difference with its sign: `+0.5`, `-0.5`, and `0.0` for whatever rounds to nothing.
pub(super) fn signed(value: f64, decimals: usize) -> String {
    let text = signless_zero(format!("{value:+.decimals$}"));
    match text.strip_prefix('+') {
        Some(rest) if is_zero(rest) => rest.to_owned(),
        _ => text,
    }
}

fn signless_zero(text: String) -> String {
    match text.strip_prefix('-') {
        Some(rest) if is_zero(rest) => rest.to_owned(),
        _ => text,
    }
}

/// Whether a formatted number is all zeros.
pub(super) fn is_zero(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '0' | '.' | '%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(percent(0.98649), "98.6%");
        assert_eq!(percent(-0.0001), "0.0%");
        assert_eq!(percent(f64::NAN), ABSENT);
        let cases = [
            (0.1, "0.1"),
            (1.4071, "1.407"),
            (-0.00001, "-1e-5"),
            (1.25e8, "1.25e8"),
            (0.0, "0"),
            (0.03137, "0.0314"),
            (12345.6, "12346"),
            (100.0, "100"),
            (10.0, "10"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!([count(7), count(1000), count(1_234_567)], ["7", "1,000", "1,234,567"]);
        let durations = [0.84, 9.99, 200.4, 7500.0].map(duration);
        assert_eq!(durations, ["0.8 s", "10 s", "3 min 20 s", "2 h 5 min"]);
        let signs = [0.51, -0.5, 0.04, -0.04].map(|v| signed(v, 1));
        assert_eq!(signs, ["+0.5", "-0.5", "0.0", "0.0"]);
    }
}
