//! The report as one page: self-contained, readable without a script, on paper and on a phone.
//!
//! The page loads nothing: the style sheet is inline, plots are inline SVG, pictures are data URIs,
//! and a content security policy forbids the browser anything else. All text from the report is
//! escaped where it is written.

mod access;
mod also;
mod calibration;
mod certificates;
mod classes;
mod comparison;
mod leakage;
mod models;
mod pictures;
mod privacy;
mod robustness;
mod setup;
mod sizes;
mod steps;

use std::fmt::Write as _;

use super::Report;
use super::chart::Pen;
use super::svg::Esc;
use super::table::{Align, Table};
use crate::metrics::Norm;

const STYLE: &str = include_str!("style.css");

/// A part of the page.
struct Section {
    /// Anchor.
    id: &'static str,
    /// Heading, and word in the list of contents.
    title: &'static str,
    /// One or two sentences on how to read it.
    lead: &'static str,
    /// Its contents, or nothing when the report has nothing for it.
    body: fn(&Report) -> String,
}

/// The parts, in reading order: what was found, then what it rests on.
const SECTIONS: &[Section] = &[
    Section {
        id: "comparison",
        title: "Comparison",
        lead: "Every model under the same tests. Differences against the baseline stand below each \
               value: those of percentages in points, green for the better.",
        body: comparison::body,
    },
    Section {
        id: "robustness",
        title: "Robustness",
        lead: "A sample counts as robust when the model is right on it before and after the attack.",
        body: robustness::body,
    },
    Section {
        id: "privacy",
        title: "Privacy",
        lead: "How well an adversary tells training samples from others. Advantage is the largest \
               difference of true- and false-positive rate: 0% is guessing, 100% is certainty.",
        body: privacy::body,
    },
    Section {
        id: "leakage",
        title: "Leakage",
        lead: "What attacks got out of each model beside membership, with intervals of 95%, against \
               guesses that do not ask the model. An attack that fails shows that this attack fails.",
        body: leakage::body,
    },
    Section {
        id: "pictures",
        title: "Pictures",
        lead: "What the numbers look like.",
        body: pictures::body,
    },
    Section {
        id: "models",
        title: "Models",
        lead: "Training, attacks and classes of each model.",
        body: models::body,
    },
    Section {
        id: "setup",
        title: "Setup",
        lead: "What is needed to judge the run and to repeat it.",
        body: setup::body,
    },
];

/// Renders the page. Numbers that are not finite are shown as absent.
pub fn render(report: &Report) -> String {
    let parts: Vec<(&Section, String)> = (SECTIONS.iter())
        .map(|section| (section, (section.body)(report)))
        .filter(|(_, body)| !body.is_empty())
        .collect();
    let mut page = String::with_capacity(1 << 16);
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"generator\" content=\"{program} {version}\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<div class=\"page\">\n",
        program = Esc(&report.program.name),
        version = Esc(&report.program.version),
        title = Esc(&report.title),
    );
    header(&mut page, report);
    page.push_str("<nav aria-label=\"Contents\">");
    for (section, _) in &parts {
        let _ = write!(page, "<a href=\"#{}\">{}</a>", section.id, section.title);
    }
    page.push_str("</nav>\n<main>\n");
    for (section, body) in &parts {
        let Section { id, title, lead, .. } = section;
        let _ = write!(
            page,
            "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n\
             <p class=\"lead\">{lead}</p>\n{body}</section>\n"
        );
    }
    let _ = write!(
        page,
        "</main>\n<footer><p>Made by {} {} on {}. The same numbers are in <code>report.json</code> \
         beside this page.</p></footer>\n</div>\n</body>\n</html>\n",
        Esc(&report.program.name),
        Esc(&report.program.version),
        Esc(&report.created)
    );
    page
}

/// A shield that is open on one side: a body made immune.
const MARK: &str = "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\"><path d=\"M12 2.5 20 5.5v6c0 5-3.4 \
    8.3-8 10-4.6-1.7-8-5-8-10v-6z\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.8\" \
    stroke-linejoin=\"round\"/><circle cx=\"12\" cy=\"11.5\" r=\"3.2\" fill=\"currentColor\"/></svg>";

fn header(page: &mut String, report: &Report) {
    let _ = write!(
        page,
        "<header>\n<p class=\"eyebrow\">{MARK}<span>Robustness, privacy and utility report</span></p>\n\
         <h1>{}</h1>\n<ul class=\"facts\">",
        Esc(&report.title)
    );
    let device = format!("{} on {}", report.backend.backend, report.backend.device);
    let facts = [
        ("Finished", &report.created),
        ("Data", &report.dataset.name),
        ("Computed by", &device),
        ("Seed", &report.seed.to_string()),
    ];
    for (name, value) in facts {
        let _ = write!(page, "<li>{name} <b>{}</b></li>", Esc(value));
    }
    page.push_str("</ul>\n");
    if !report.summary.is_empty() {
        page.push_str("<ul class=\"findings\" aria-label=\"Findings\">\n");
        for line in &report.summary {
            match line.split_once(": ").filter(|(topic, _)| topic.chars().count() <= 24) {
                Some((topic, rest)) => {
                    let _ = writeln!(page, "<li><b>{}</b> {}</li>", Esc(topic), Esc(rest));
                }
                None => {
                    let _ = writeln!(page, "<li>{}</li>", Esc(line));
                }
            }
        }
        page.push_str("</ul>\n");
    }
    warnings(page, &report.warnings);
    page.push_str("</header>\n");
}

fn warnings(page: &mut String, warnings: &[String]) {
    if warnings.is_empty() {
        return;
    }
    let title = if warnings.len() == 1 { "A warning" } else { "Warnings" };
    let _ = write!(
        page,
        "<div class=\"warnings\" role=\"note\" aria-label=\"Warnings\"><h2>{title}</h2><ul>"
    );
    for warning in warnings {
        let _ = write!(page, "<li>{}</li>", Esc(warning));
    }
    page.push_str("</ul></div>\n");
}

/// The number of a model's colour: 0, a grey, is the baseline's; the others go round.
fn series(report: &Report, model: &str) -> usize {
    let is_baseline = |name: &str| report.baseline().is_some_and(|b| b.name == name);
    if is_baseline(model) {
        return 0;
    }
    let others = report.models.iter().filter(|m| !is_baseline(&m.name));
    others.map(|m| &m.name).position(|name| name == model).unwrap_or(6) % 7 + 1
}

/// A figure with a heading, a line of explanation and a drawing.
fn figure(title: &str, text: &str, legend: &[(Pen, String)], drawing: &str) -> String {
    let mut html = format!("<figure>\n<figcaption><h3>{}</h3>", Esc(title));
    if !text.is_empty() {
        let _ = write!(html, "<p>{}</p>", Esc(text));
    }
    html.push_str("</figcaption>\n");
    if !legend.is_empty() {
        html.push_str("<ul class=\"legend\">");
        for (pen, name) in legend {
            let _ = write!(html, "<li>{}{}</li>", pen.sample(), Esc(name));
        }
        html.push_str("</ul>\n");
    }
    let _ = write!(html, "{drawing}\n</figure>\n");
    html
}

/// Figures side by side where there is room; nothing without figures.
fn grid(figures: &[String]) -> String {
    match figures.is_empty() {
        true => String::new(),
        false => format!("<div class=\"grid\">\n{}</div>\n", figures.concat()),
    }
}

/// A table in a frame of its own that scrolls sideways, its first column pinned.
fn table(table: &Table, label: &str) -> String {
    let mut html = format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"{}\" tabindex=\"0\">\
         <table class=\"pinned\">\n<thead><tr>",
        Esc(label)
    );
    let class = |at: usize| match table.columns.get(at).map(|c| c.align) {
        Some(Align::Left) => " class=\"text\"",
        _ => "",
    };
    for (at, column) in table.columns.iter().enumerate() {
        let heading = keep_norms(&column.heading);
        let _ = write!(html, "<th scope=\"col\"{}>{}</th>", class(at), Esc(&heading));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        html.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let text = minus(&cell.text);
            if at == 0 {
                // A model may bring a remark under its name, on a line of its own.
                let (name, tag) = text.split_once('\n').unwrap_or((&text, ""));
                let _ = write!(html, "<th scope=\"row\">{}", Esc(name));
                if !tag.is_empty() {
                    let _ = write!(html, "<span class=\"tag\">{}</span>", Esc(tag));
                }
                html.push_str("</th>");
                continue;
            }
            let _ = write!(html, "<td{}>{}", class(at), Esc(&text));
            if let Some(delta) = &cell.delta {
                let class = match delta.better {
                    Some(true) => " good",
                    Some(false) => " bad",
                    None => "",
                };
                let text = minus(&delta.text);
                let _ = write!(html, "<span class=\"delta{class}\">{}</span>", Esc(&text));
            }
            html.push_str("</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html
}

/// A heading whose norms do not part from their budgets at the end of a line.
fn keep_norms(heading: &str) -> String {
    Norm::ALL.iter().fold(heading.to_owned(), |text, norm| {
        let symbol = norm.symbol();
        text.replace(&format!("{symbol} "), &format!("{symbol}\u{a0}"))
    })
}

/// A leading hyphen as a minus sign, which is as wide as a plus.
fn minus(text: &str) -> String {
    match text.strip_prefix('-').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        Some(rest) => format!("−{rest}"),
        None => text.to_owned(),
    }
}

/// Terms and what they are, those without a value left out.
fn pairs(entries: &[(&str, String)]) -> String {
    let mut html = String::from("<dl class=\"pairs\">");
    for (term, value) in entries.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = write!(html, "<dt>{term}</dt><dd>{}</dd>", Esc(value));
    }
    html.push_str("</dl>\n");
    html
}
