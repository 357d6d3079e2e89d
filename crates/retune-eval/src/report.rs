//! `RunRecord → report.html`: one page that needs no other file, no network and no script; likewise a page for a label
//! curve, for a range test, for a search, for a model of fraud and for several runs. And `RunRecord → README.md`, the model card.
//!
//! Strings of a record reach the page only through `html::text`; the content-security policy in the head lets nothing
//! run or load even so, but for pictures that are part of the page.

mod answers;
mod candidates;
mod card;
mod chart;
mod compare;
mod curves;
mod decision;
mod figures;
mod fraud;
mod headline;
mod html;
mod labels;
mod parent;
mod pictures;
mod proof;
mod rates;
mod series;
mod whiskers;

use std::fmt::Write;

use self::html::{count, hint, section, text, words};
use crate::curve::LabelCurve;
use crate::fraud::FraudEvaluated;
use crate::halving::Search;
use crate::range_test::RangeTest;
use crate::records::{Comparison, RunRecord};

pub use self::card::card;

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
        proof::verdict(r),
        parent::parent(r),
        headline::notes(r),
        figures::metrics(r),
        answers::before_after(r),
        section("training", "Training", &curves::curves(r)),
        answers::confusion(r),
        answers::calibration(r),
        decision::decision(r),
        figures::classes(r),
        figures::slices(r),
        answers::mistakes(r),
        pictures::pictures(r),
        r.curve.as_ref().map_or(String::new(), labels::labels),
        proof::costs(r),
        pairs("data", "Data", &r.data),
        pairs("machine", "Machine and versions", &r.machine),
        reproduce(r),
    ]
    .concat();
    let lead = match proof::sentence(r) {
        none if none.is_empty() => none,
        sentence => format!("<p class=\"lead\">{sentence}</p>\n"),
    };
    let header = format!(
        "{lead}<h1><bdi>{title}</bdi></h1>\n<p class=\"quiet\">{}</p>\n",
        facts(r)
    );
    page(&title, &header, &body)
}

/// The page of a label-efficiency curve.
pub fn render_curve(curve: &LabelCurve) -> String {
    let title = "Score by number of labels";
    let body = match labels::labels(curve) {
        none if none.is_empty() => section("labels", title, &hint("No points were recorded.")),
        part => part,
    };
    page(title, &format!("<h1>{title}</h1>\n"), &body)
}

/// The page of a learning-rate range test.
pub fn render_rates(test: &RangeTest) -> String {
    let title = "Learning-rate range test";
    let body = match rates::rates(test) {
        none if none.is_empty() => section("rates", title, &hint("No steps were recorded.")),
        part => part,
    };
    page(title, &format!("<h1>{title}</h1>\n"), &body)
}

/// The page of a search over candidates; `command` trains the best one.
pub fn render_search(search: &Search, command: &str) -> String {
    let title = "Search over candidates";
    let body = match candidates::candidates(search, command) {
        none if none.is_empty() => section("candidates", title, &hint("Nothing was measured.")),
        part => part,
    };
    page(title, &format!("<h1>{title}</h1>\n"), &body)
}

/// The page of several runs: their figures, the paired differences of those with the same test rows, and their curves.
pub fn render_compare(runs: &[RunRecord], comparisons: &[Comparison]) -> String {
    let title = format!("Comparison of {}", count(runs.len(), "run"));
    let body = compare::body(runs, comparisons);
    page(&title, &format!("<h1>{title}</h1>\n"), &body)
}

/// The page of a model of fraud and its floors.
pub fn render_fraud(title: &str, e: &FraudEvaluated) -> String {
    let title = if title.trim().is_empty() {
        "Fraud".to_owned()
    } else {
        text(title)
    };
    let header = format!(
        "<h1><bdi>{title}</bdi></h1>\n<p class=\"quiet\">{}</p>\n",
        fraud::facts(e)
    );
    page(&title, &header, &fraud::body(e))
}

/// A whole page around its parts; everything is HTML already.
fn page(title: &str, header: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>{header}{}</header>\n\
         <main>\n{body}</main>\n</body>\n</html>\n",
        contents(body),
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
        ("verdict", "Did it help?"),
        ("parent", "Before"),
        ("runs", "Runs"),
        ("differences", "Differences"),
        ("metrics", "Figures"),
        ("queue", "The queue"),
        ("days", "Days"),
        ("patterns", "Patterns"),
        ("segments", "Segments"),
        ("examples", "Before and after"),
        ("training", "Training"),
        ("confusion", "Confusion"),
        ("calibration", "Confidence"),
        ("scatter", "Predictions"),
        ("threshold", "Decision"),
        ("classes", "Classes"),
        ("slices", "Slices"),
        ("mistakes", "Mistakes"),
        ("maps", "Where it looks"),
        ("right", "Answered right"),
        ("training-pictures", "Training pictures"),
        ("labels", "Labels"),
        ("rates", "Rates"),
        ("candidates", "Candidates"),
        ("cost", "Cost"),
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
