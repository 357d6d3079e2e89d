//! What the model answers: confusion matrix, reliability or scatter, mistakes, rows before and after tuning.

use std::fmt::Write;

use super::chart::{Axis, Chart};
use super::html::{TEXTS, count, heads, hint, section, table, text, words};
use super::pictures::{grid, noun, thumbnail};
use super::proof::temperature;
use crate::records::{RunRecord, Shown};
use crate::table::number;

/// Classes up to which cells carry their counts and columns their names.
const READABLE: usize = 12;

/// Classes beyond which a matrix is a blur: only the pairs most often confused are listed.
const DRAWABLE: usize = 100;

/// Pairs in the list of confusions.
const PAIRS: usize = 10;

/// The confusion matrix, coloured by share of the true class, and the pairs most often confused.
pub(super) fn confusion(r: &RunRecord) -> String {
    let counts = &r.evaluated.confusion;
    if counts.is_empty() {
        return String::new();
    }
    let mut body = String::new();
    if counts.len() <= DRAWABLE {
        body.push_str(&hint("Rows are the truth, columns the answers; the stronger the colour of a cell, the larger its share of its row."));
        body.push_str(&matrix(r));
    }
    body.push_str(&pairs(r));
    section("confusion", "Confusion", &body)
}

fn class_name(r: &RunRecord, k: usize) -> String {
    r.classes
        .get(k)
        .map_or_else(|| k.to_string(), |name| words(name))
}

fn matrix(r: &RunRecord) -> String {
    let counts = &r.evaluated.confusion;
    let small = counts.len() > READABLE;
    let class = if small { "heat small" } else { "heat" };
    let mut head = heads(&["truth \\ answer"]);
    head.extend((0..counts.len()).map(|k| {
        if small {
            (k + 1).to_string()
        } else {
            class_name(r, k)
        }
    }));
    let mut out = format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"Confusion matrix\" tabindex=\"0\"><table class=\"{class}\">\
         <caption>Confusion matrix</caption><thead><tr>"
    );
    for h in &head {
        let _ = write!(out, "<th scope=\"col\">{h}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for (truth, row) in counts.iter().enumerate() {
        let support: u64 = row.iter().sum();
        let number = if small {
            format!("<small>{}</small> ", truth + 1)
        } else {
            String::new()
        };
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{number}{}</th>",
            class_name(r, truth)
        );
        for (answer, &n) in row.iter().enumerate() {
            let share = if support == 0 {
                0.0
            } else {
                n as f64 / support as f64
            };
            let strong = if share > 0.5 { " strong" } else { "" };
            let right = if truth == answer { "right" } else { "wrong" };
            let _ = write!(
                out,
                "<td class=\"{right}{strong}\" style=\"--share:{:.0}%\">{}</td>",
                100.0 * share,
                if small && n == 0 {
                    String::new()
                } else {
                    n.to_string()
                }
            );
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

fn pairs(r: &RunRecord) -> String {
    let mut wrong: Vec<(u64, u64, usize, usize)> = Vec::new();
    for (truth, row) in r.evaluated.confusion.iter().enumerate() {
        let support = row.iter().sum();
        let cells = row
            .iter()
            .enumerate()
            .filter(|&(answer, &n)| answer != truth && n > 0);
        wrong.extend(cells.map(|(answer, &n)| (n, support, truth, answer)));
    }
    // Two classes have two pairs at most, and the matrix shows them already.
    if r.evaluated.confusion.len() < 3 {
        return String::new();
    }
    wrong.sort_by_key(|w| std::cmp::Reverse(w.0));
    let row = |&(n, support, truth, answer): &(u64, u64, usize, usize)| {
        let share = format!("{:.0} %", 100.0 * n as f64 / support as f64);
        vec![
            class_name(r, truth),
            class_name(r, answer),
            n.to_string(),
            share,
        ]
    };
    let rows: Vec<Vec<String>> = wrong.iter().take(PAIRS).map(row).collect();
    table(
        "Most often confused",
        "",
        &heads(&["truth", "answer", "rows", "share of the class"]),
        &rows,
    )
}

/// Confidence against share right, or prediction against truth.
pub(super) fn calibration(r: &RunRecord) -> String {
    let confidence = reliability(r) + &temperature(r);
    section("calibration", "Confidence", &confidence)
        + &section("scatter", "Predictions", &scatter(r))
}

fn reliability(r: &RunRecord) -> String {
    let bins = &r.reliability;
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else {
        return String::new();
    };
    let total: u64 = bins.iter().map(|b| b.2).sum();
    let largest = bins.iter().map(|b| b.2).max().unwrap_or(1).max(1);
    let description = format!(
        "Share of right answers by confidence over {}: {} at confidence {}, {} at confidence {}.",
        count(total as usize, "answer"),
        number(first.1),
        number(first.0),
        number(last.1),
        number(last.0)
    );
    let axes = (
        Axis::over("confidence", 0.0, 1.0),
        Axis::over("share right", 0.0, 1.0),
    );
    let mut chart = Chart::new("reliability", "Reliability diagram", &description, axes);
    chart.diagonal();
    chart.name("even no-dot", "confidence equals share right");
    let points: Vec<(f64, f64)> = bins.iter().map(|b| (b.0, b.1)).collect();
    chart.line("b", &points);
    for &(confidence, right, n) in bins {
        let size = 2.5 + 6.5 * (n as f64 / largest as f64).sqrt();
        let hover = format!(
            "confidence {}: {} right of {}",
            number(confidence),
            number(right),
            count(n as usize, "answer")
        );
        chart.dot("b", (confidence, right), size, &hover);
    }
    chart.name("b", "the model (larger dot: more answers)");
    let sentence = "Below the dotted line the model is surer than it should be, above it less sure than it could be.";
    format!(
        "{}<div class=\"charts\">{}</div>\n",
        hint(sentence),
        chart.finish()
    )
}

fn scatter(r: &RunRecord) -> String {
    if r.scatter.is_empty() {
        return String::new();
    }
    let both = || r.scatter.iter().flat_map(|p| [p.0, p.1]);
    let axes = (
        Axis::around("truth", both()),
        Axis::around("prediction", both()),
    );
    let description = format!(
        "Prediction against truth of {}.",
        count(r.scatter.len(), "row")
    );
    let mut chart = Chart::new("values", "Prediction against truth", &description, axes);
    r.scatter
        .iter()
        .for_each(|&p| chart.dot("a many", p, 2.5, ""));
    chart.diagonal();
    chart.name("even no-dot", "prediction equals truth");
    format!("<div class=\"charts\">{}</div>\n", chart.finish())
}

/// The most confident mistakes, or the largest errors.
pub(super) fn mistakes(r: &RunRecord) -> String {
    let value = r.classes.is_empty();
    let (title, measure) = if value {
        ("Largest errors", "error")
    } else {
        ("Most confident mistakes", "confidence")
    };
    let mut body = grid(&r.mistakes);
    let mut verb = format!("The small figure is the {measure}. Look at these");
    if body.is_empty() {
        "Read these".clone_into(&mut verb);
        let row = |s: &Shown| {
            vec![
                thumbnail(s) + &long_words(&s.text),
                words(&s.truth),
                words(&s.predicted),
                number(s.confidence),
                place(&s.id),
            ]
        };
        let rows: Vec<Vec<String>> = r.mistakes.iter().map(row).collect();
        let head = heads(&[noun(r), "truth", "answer", measure, "row"]);
        body = table(title, TEXTS, &head, &rows);
    }
    if body.is_empty() {
        return body;
    }
    let sentence = format!(
        "{verb} first: they show wrong labels in the data as well as weaknesses of the model."
    );
    section("mistakes", title, &format!("{}{body}", hint(&sentence)))
}

/// A few rows with the answers before and after tuning.
pub(super) fn before_after(r: &RunRecord) -> String {
    let signed = |answer: &str, truth: &str| {
        // Two numbers are never exactly equal, so a tick would say nothing.
        let sign = match answer == truth {
            _ if r.classes.is_empty() => "",
            true => " <span class=\"better\" title=\"right\">✓</span>",
            false => " <span class=\"worse\" title=\"wrong\">✗</span>",
        };
        format!("{}{sign}", words(answer))
    };
    let row = |(s, before): &(Shown, String)| {
        vec![
            thumbnail(s) + &long_words(&s.text),
            words(&s.truth),
            signed(before, &s.truth),
            signed(&s.predicted, &s.truth),
        ]
    };
    let rows: Vec<Vec<String>> = r.before_after.iter().map(row).collect();
    let head = heads(&[noun(r), "truth", "before tuning", "after tuning"]);
    section(
        "examples",
        "Before and after",
        &table("Answers before and after tuning", TEXTS, &head, &rows),
    )
}

fn long_words(raw: &str) -> String {
    format!("<span class=\"words\" dir=\"auto\">{}</span>", words(raw))
}

fn place(id: &str) -> String {
    format!("<small class=\"place\">{}</small>", text(id))
}
