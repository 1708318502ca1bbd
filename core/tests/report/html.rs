//! The page: complete, well-formed, closed to hostile text and to the network.

use inocula_core::report::html::render;

use crate::markup::{check_numbers, parse};
use crate::sample::{BASELINE, PGD, TRADES, report};

#[test]
fn the_sample_page_is_complete_and_well_formed() {
    let page = render(&report());
    if let Some(path) = std::env::var_os("INOCULA_REPORT_SAMPLE") {
        std::fs::write(path, &page).unwrap();
    }
    let tags = parse(&page).unwrap();
    assert!(check_numbers(&tags).unwrap() > 500);
    for model in [BASELINE, PGD, TRADES] {
        assert!(page.contains(model), "{model}");
    }
    let ids: Vec<&str> =
        tags.iter().filter(|t| t.name == "section").map(|t| t.get("id").unwrap()).collect();
    assert_eq!(ids, ["comparison", "robustness", "privacy", "pictures", "models", "setup"]);
    for anchor in tags.iter().filter(|t| t.name == "a") {
        let target = anchor.get("href").unwrap().strip_prefix('#').unwrap();
        assert!(ids.contains(&target), "{target}");
    }
    // Bars, trade-off, robustness, transfer, two ROCs, advantage, three trainings, loss, three confusions.
    let drawings: Vec<_> =
        tags.iter().filter(|t| t.name == "svg" && t.get("role").is_some()).collect();
    assert_eq!(drawings.len(), 14);
    for drawing in drawings {
        assert!(!drawing.get("aria-label").unwrap().is_empty());
    }
    let pictures: Vec<_> = tags.iter().filter(|t| t.name == "img").collect();
    assert_eq!(pictures.len(), 12);
    for picture in pictures {
        assert!(picture.get("src").unwrap().starts_with("data:image/png;base64,iVBORw0KGgo"));
        assert!(picture.get("alt").unwrap().contains("digit"));
    }
    assert!(page.contains("rates below 0.3% false positives"), "the warning");
    assert!(page.contains("&quot;init&quot;: null"), "the exact configuration");
    assert!(page.contains("delta good") && page.contains("delta bad"));
}

#[test]
fn nothing_is_loaded_from_anywhere() {
    let page = render(&report());
    for tag in parse(&page).unwrap() {
        assert!(
            !["script", "link", "iframe", "object", "use", "image"].contains(&tag.name.as_str())
        );
        for (name, value) in &tag.attributes {
            assert!(!name.starts_with("on"), "{name}");
            let loads = matches!(name.as_str(), "src" | "href" | "srcset" | "data" | "xlink:href");
            assert!(!loads || value.starts_with("data:") || value.starts_with('#'), "{value}");
        }
    }
    for forbidden in ["url(", "@import", "http-equiv=\"refresh\"", "src=\"http", "href=\"http"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains("default-src 'none'"));
    // The address in the data set's source stands there as text.
    assert!(page.contains("https://doi.org/"));
}

#[test]
fn hostile_text_stays_text_wherever_it_stands() {
    const HOSTILE: &str =
        "</title></style><script>alert('x')</script>\"><img src=q onerror=\"e()\">&\n\u{0}";
    let mut report = report();
    let rename = |name: &mut String| *name = format!("{HOSTILE}{name}");
    rename(&mut report.title);
    rename(&mut report.created);
    rename(&mut report.program.name);
    rename(&mut report.backend.spec);
    rename(&mut report.dataset.source);
    rename(&mut report.threat.as_mut().unwrap().scale);
    report.warnings.iter_mut().for_each(rename);
    report.summary.iter_mut().for_each(rename);
    report.config = serde_json::json!({ HOSTILE: HOSTILE });
    for model in &mut report.models {
        rename(&mut model.name);
        rename(&mut model.training.as_mut().unwrap().description);
        rename(&mut model.mean_perturbation_to_fool.as_mut().unwrap().attack);
        model.clean.per_class.iter_mut().for_each(|c| rename(&mut c.name));
        model.attacks.iter_mut().for_each(|a| rename(&mut a.name));
        model.membership.iter_mut().for_each(|m| rename(&mut m.attack));
    }
    for curve in &mut report.curves {
        rename(&mut curve.model);
        rename(&mut curve.attack);
    }
    for matrix in &mut report.transfer {
        rename(&mut matrix.attack);
        matrix.sources.iter_mut().chain(&mut matrix.targets).for_each(rename);
    }
    for grid in &mut report.pictures {
        rename(&mut grid.title);
        rename(&mut grid.caption);
        grid.columns.iter_mut().for_each(rename);
        for row in &mut grid.rows {
            rename(&mut row.label);
            row.cells.iter_mut().for_each(|c| rename(&mut c.label));
        }
    }
    let page = render(&report);
    let tags = parse(&page).unwrap();
    assert!(tags.iter().all(|t| t.name != "script" && t.get("onerror").is_none()));
    assert_eq!(tags.iter().filter(|t| t.name == "img").count(), 12);
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)"));
    assert!(!page.contains('\0'));
    check_numbers(&tags).unwrap();
}
