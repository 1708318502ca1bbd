//! A reader of markup that is strict enough to catch what a browser would silently repair: tags
//! that do not nest, attributes without quotes, numbers that are none.

/// Elements that have no end tag.
const VOID: &[&str] = &["meta", "img", "br", "hr", "link", "input"];

/// A start tag: its name and attributes.
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Tag {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// All start tags of `html`, or what is wrong with its markup.
pub(crate) fn parse(html: &str) -> Result<Vec<Tag>, String> {
    let mut rest = html.strip_prefix("<!DOCTYPE html>").ok_or("no doctype")?;
    let mut open: Vec<String> = Vec::new();
    let mut tags = Vec::new();
    while let Some(at) = rest.find('<') {
        text_is_sound(&rest[..at])?;
        rest = &rest[at + 1..];
        let end = end_of_tag(rest).ok_or_else(|| format!("no end of tag: {}", head(rest)))?;
        let inside = &rest[..end];
        rest = &rest[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            match open.pop() {
                Some(opened) if opened == name => {}
                other => return Err(format!("</{name}> closes {other:?}")),
            }
            continue;
        }
        let closed = inside.ends_with('/');
        let tag = start_tag(inside.trim_end_matches('/'))?;
        if tag.name == "style" || tag.name == "script" {
            let end = format!("</{}>", tag.name);
            let at = rest.find(&end).ok_or_else(|| format!("no {end}"))?;
            rest = &rest[at + end.len()..];
        } else if !closed && !VOID.contains(&tag.name.as_str()) {
            open.push(tag.name.clone());
        }
        tags.push(tag);
    }
    if open.is_empty() { Ok(tags) } else { Err(format!("left open: {open:?}")) }
}

fn head(text: &str) -> String {
    text.chars().take(60).collect()
}

/// The position of the `>` that ends a tag, quoted ones skipped.
fn end_of_tag(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == '>' && !quoted).then_some(at)
    })
}

fn start_tag(text: &str) -> Result<Tag, String> {
    let name_end = text.find(char::is_whitespace).unwrap_or(text.len());
    let name = text[..name_end].to_owned();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(format!("not a tag: <{}>", head(text)));
    }
    let mut attributes = Vec::new();
    let mut rest = text[name_end..].trim();
    while !rest.is_empty() {
        let (attribute, after) =
            rest.split_once("=\"").ok_or_else(|| format!("attribute of <{}>", head(text)))?;
        let (value, after) =
            after.split_once('"').ok_or_else(|| format!("quotes of <{}>", head(text)))?;
        if attribute.contains(char::is_whitespace) || value.contains('<') {
            return Err(format!("attribute {attribute:?} of <{}>", head(text)));
        }
        text_is_sound(value)?;
        attributes.push((attribute.to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
    Ok(Tag { name, attributes })
}

/// Every `&` begins one of the references that the page uses.
fn text_is_sound(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('&') {
        let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        if !known.iter().any(|k| text[at..].starts_with(k)) {
            return Err(format!("bare ampersand: {}", head(&text[at..])));
        }
    }
    if text.contains('>') { Err(format!("bare >: {}", head(text))) } else { Ok(()) }
}

/// Every number that places something in a drawing is finite, and no size is negative.
pub(crate) fn check_numbers(tags: &[Tag]) -> Result<usize, String> {
    const PLACES: &[&str] =
        &["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "fill-opacity"];
    const SIZES: &[&str] = &["r", "width", "height", "fill-opacity"];
    let mut seen = 0;
    for tag in tags {
        for (name, value) in &tag.attributes {
            let list: Vec<&str> = match name.as_str() {
                "points" | "viewBox" => value.split([' ', ',']).filter(|v| !v.is_empty()).collect(),
                n if PLACES.contains(&n) => vec![value],
                "transform" => value
                    .split(|c: char| !"0123456789.-".contains(c))
                    .filter(|v| !v.is_empty())
                    .collect(),
                _ => continue,
            };
            for number in list {
                let parsed: f64 =
                    number.parse().map_err(|_| format!("{name}={value} in <{}>", tag.name))?;
                let sound = parsed.is_finite() && parsed.abs() < 1e5;
                if !sound || (SIZES.contains(&name.as_str()) && parsed < 0.0) {
                    return Err(format!("{name}={value} in <{}>", tag.name));
                }
                seen += 1;
            }
        }
    }
    Ok(seen)
}

#[test]
fn the_reader_catches_what_it_is_for() {
    let page = |body: &str| format!("<!DOCTYPE html>{body}");
    for bad in [
        "<p><b></p></b>",
        "<p>",
        "</p>",
        "<p class=x></p>",
        "<p>a & b</p>",
        "<p>a > b</p>",
        "<p title=\"<\"></p>",
    ] {
        assert!(parse(&page(bad)).is_err(), "{bad}");
    }
    let tags = parse(&page("<p title=\"&lt;\">a<img src=\"x\"><br/></p>")).unwrap();
    assert_eq!(tags[0].get("title"), Some("&lt;"));
    for bad in ["<rect x=\"NaN\"/>", "<rect width=\"-1\"/>", "<polyline points=\"1,inf\"/>"] {
        assert!(check_numbers(&parse(&page(bad)).unwrap()).is_err(), "{bad}");
    }
}
