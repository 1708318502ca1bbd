//! Tells the code of a Rust file from its comments and literals.
//!
//! A small scanner rather than a parser crate: the rules need words and lines only, and a scanner
//! also reads files that do not compile.

/// `text` with comments and the contents of literals blanked; lines and columns (in characters) stay.
pub(super) fn code(text: &str) -> String {
    split(text).0
}

/// `text` with everything blanked but comments and the contents of literals.
pub(super) fn prose(text: &str) -> String {
    split(text).1
}

fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut prose) = (String::new(), String::new());
    let mut at = 0;
    while at < chars.len() {
        let (len, is_code) = match literal(&chars, at) {
            Some(len) => (len.max(1), false),
            None => (1, true),
        };
        for &c in &chars[at..(at + len).min(chars.len())] {
            let blank = if c == '\n' { '\n' } else { ' ' };
            code.push(if is_code { c } else { blank });
            prose.push(if is_code { blank } else { c });
        }
        at += len;
    }
    (code, prose)
}

/// Length of the comment or literal that starts at `at`, if one does.
fn literal(chars: &[char], at: usize) -> Option<usize> {
    let rest = &chars[at..];
    let starts = |s: &str| s.chars().zip(rest).filter(|(a, b)| a == *b).count() == s.len();
    if starts("//") {
        return Some(rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()));
    }
    if starts("/*") {
        return Some(block_comment(rest));
    }
    match rest[0] {
        '"' => Some(quoted(rest, '"')),
        '\'' if rest.get(1) == Some(&'\\') || rest.get(2) == Some(&'\'') => {
            Some(quoted(rest, '\''))
        }
        'r' if !after_word(chars, at) => raw_string(rest),
        _ => None,
    }
}

/// Whether the character before `at` is part of a word other than the `b` or `c` of a literal.
fn after_word(chars: &[char], at: usize) -> bool {
    let word = |i: usize| chars[i].is_alphanumeric() || chars[i] == '_';
    let prefixed = at >= 1 && matches!(chars[at - 1], 'b' | 'c');
    let from = if prefixed { at - 1 } else { at };
    from >= 1 && word(from - 1)
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut i) = (0usize, 0);
    while i < rest.len() {
        match (rest[i], rest.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut i = 1;
    while i < rest.len() && rest[i] != quote {
        i += if rest[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(rest.len())
}

/// `r"..."`, `r#"..."#` and so on; `None` for a raw identifier or a word that starts with r.
fn raw_string(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let mut i = 2 + hashes;
    while i < rest.len() {
        let closed = rest[i] == '"' && rest[i + 1..].iter().take(hashes).all(|&c| c == '#');
        if closed && i + hashes < rest.len() {
            return Some(i + 1 + hashes);
        }
        i += 1;
    }
    Some(rest.len())
}

/// Whether `word` stands alone in `line`, that is, not within a longer word.
pub(super) fn finds_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, found)| {
        !line[..at].ends_with(part) && !line[at + found.len()..].starts_with(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_told_from_code() {
        for (text, want) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x \" y", 'z', '\'', &'a str)"#, "f(        ,    ,     , &'a str)"),
            (r##"r#"unsafe " "# + bar"x""##, "               + bar   "),
            (r#"br"\" r#type"#, "b     r#type"),
            ("fn for_<'a>(r: &'a u8) {}", "fn for_<'a>(r: &'a u8) {}"),
            ("\"open", "     "),
        ] {
            let got = code(text);
            assert_eq!(got.chars().count(), text.chars().count(), "{text}");
            assert_eq!(got.replace(' ', ""), want.replace(' ', ""), "{text}");
        }
        assert_eq!(prose("let x = \"word\"; // more").trim_start(), "\"word\"  // more");
    }

    #[test]
    fn words_stand_alone() {
        assert!(finds_word("an unsafe {", "unsafe"));
        assert!(!finds_word("unsafe_code", "unsafe"));
        assert!(!finds_word("an_unsafe", "unsafe"));
    }
}
