//! Grids of small pictures, pixel for pixel.

use std::fmt::Write as _;

use crate::report::svg::Esc;
use crate::report::{Picture, PictureGrid, Report, Verdict, png};

pub(super) fn body(report: &Report) -> String {
    report.pictures.iter().map(grid).collect()
}

pub(super) fn grid(grid: &PictureGrid) -> String {
    let mut html = format!(
        "<figure class=\"card\">\n<figcaption><h3>{}</h3><p>{}</p></figcaption>\n\
         <div class=\"scroll\" role=\"region\" aria-label=\"{}\" tabindex=\"0\">\
         <table class=\"pinned pictures\">\n<thead><tr><th scope=\"col\"></th>",
        Esc(&grid.title),
        Esc(&grid.caption),
        Esc(&grid.title)
    );
    for column in &grid.columns {
        let _ = write!(html, "<th scope=\"col\">{}</th>", Esc(column));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in &grid.rows {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", Esc(&row.label));
        for (at, cell) in row.cells.iter().enumerate() {
            let column = grid.columns.get(at).map_or("", String::as_str);
            let alt = format!("{column}, {}: {}", row.label, cell.label);
            html.push_str(&picture(cell, &alt));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n</figure>\n");
    html
}

fn picture(picture: &Picture, alt: &str) -> String {
    let class = match picture.verdict {
        Verdict::Neutral => "",
        Verdict::Good => " class=\"good\"",
        Verdict::Bad => " class=\"bad\"",
    };
    let image = match png::data_uri(picture) {
        Some(uri) => format!(
            "<img src=\"{uri}\" width=\"{}\" height=\"{}\" alt=\"{}\">",
            picture.width,
            picture.height,
            Esc(alt)
        ),
        None => "<em>no picture</em>".into(),
    };
    format!("<td>{image}<small{class}>{}</small></td>", Esc(&picture.label))
}
