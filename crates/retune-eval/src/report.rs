//! `RunRecord → report.html`: one page that needs no other file, no network and no script.
//!
//! Strings of a record reach the page only through `html::text`; the content-security policy in the head lets nothing
//! run or load even so.

mod answers;
mod chart;
mod curves;
mod figures;
mod headline;
mod html;

use std::fmt::Write;

use self::html::{hint, section, text, words};
use crate::records::RunRecord;

const STYLE: &str = include_str!("report/style.css");

/// The page of a run. Parts without content (no confusion matrix for numbers, no slices) are left out.
pub fn render(r: &RunRecord) -> String {
    let title = if r.title.trim().is_empty() {
        "Report".to_owned()
    } else {
        text(&r.title)
    };
    let body = [
        headline::headline(r),
        headline::notes(r),
        figures::metrics(r),
        answers::before_after(r),
        section("training", "Training", &curves::curves(r)),
        answers::confusion(r),
        answers::calibration(r),
        figures::classes(r),
        figures::slices(r),
        answers::mistakes(r),
        pairs("data", "Data", &r.data),
        pairs("machine", "Machine and versions", &r.machine),
        reproduce(r),
    ]
    .concat();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1><bdi>{title}</bdi></h1>\n<p class=\"quiet\">{}</p>\n{}</header>\n\
         <main>\n{body}</main>\n</body>\n</html>\n",
        facts(r),
        contents(&body),
    )
}

/// One line under the title: task, model, method, time.
fn facts(r: &RunRecord) -> String {
    let fact = |(name, value): (&str, &String)| format!("<span>{name} {}</span>", words(value));
    let all = [
        ("task", &r.task),
        ("model", &r.model),
        ("method", &r.method),
        ("made", &r.created),
    ];
    all.into_iter()
        .filter(|f| !f.1.is_empty())
        .map(fact)
        .collect::<Vec<_>>()
        .join(" · ")
}

/// Links to the parts that the page has.
fn contents(body: &str) -> String {
    let mut links = String::new();
    for (id, name) in [
        ("result", "Result"),
        ("metrics", "Figures"),
        ("examples", "Before and after"),
        ("training", "Training"),
        ("confusion", "Confusion"),
        ("calibration", "Confidence"),
        ("scatter", "Predictions"),
        ("classes", "Classes"),
        ("slices", "Slices"),
        ("mistakes", "Mistakes"),
        ("data", "Data"),
        ("machine", "Machine"),
        ("reproduce", "Reproduce"),
    ] {
        if body.contains(&format!("<section id=\"{id}\"")) {
            let _ = write!(links, "<a href=\"#{id}\">{name}</a> ");
        }
    }
    format!("<nav aria-label=\"Parts of this page\">{links}</nav>\n")
}

fn pairs(id: &str, title: &str, pairs: &[(String, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let mut list = String::from("<dl class=\"pairs\">");
    for (name, value) in pairs {
        let _ = write!(
            list,
            "<div><dt>{}</dt><dd>{}</dd></div>",
            text(name),
            words(value)
        );
    }
    section(id, title, &(list + "</dl>\n"))
}

fn reproduce(r: &RunRecord) -> String {
    let mut body = String::new();
    if !r.reproduce.is_empty() {
        let _ = writeln!(
            body,
            "<pre tabindex=\"0\"><code>{}</code></pre>",
            text(r.reproduce.trim_end())
        );
    }
    if !r.recipe_toml.is_empty() {
        let recipe = text(r.recipe_toml.trim_end());
        body.push_str(&hint(
            "The recipe as it was run, with every default written out:",
        ));
        let _ = writeln!(
            body,
            "<details><summary>Recipe</summary><pre tabindex=\"0\"><code>{recipe}</code></pre></details>"
        );
    }
    section("reproduce", "How to reproduce", &body)
}
