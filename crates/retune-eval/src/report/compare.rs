//! Several runs side by side: their figures, paired differences where the test rows are the same, and their curves.

use super::curves;
use super::html::{duration, figure, heads, hint, section, table, text, words};
use super::proof::differences;
use crate::records::{Comparison, RunRecord};
use crate::table::lower_is_better;

/// The parts of the page.
pub(super) fn body(runs: &[RunRecord], comparisons: &[Comparison]) -> String {
    [
        section("runs", "Runs", &figures(runs)),
        section("differences", "Paired differences", &paired(comparisons)),
        section("training", "Training", &curves::overlay(runs)),
    ]
    .concat()
}

fn figures(runs: &[RunRecord]) -> String {
    let row = |r: &RunRecord| {
        let e = &r.evaluated;
        let own = e.metrics.get(&e.primary);
        let arrow = if lower_is_better(&e.primary) {
            " <small>lower is better</small>"
        } else {
            ""
        };
        let seconds = r.costs.get("tuned").map(|c| duration(c.seconds));
        vec![
            words(&r.title),
            words(&r.model),
            words(&r.method),
            format!("{}{arrow}", words(&e.primary)),
            own.map_or("–".to_owned(), figure),
            e.n.to_string(),
            e.verdict
                .as_ref()
                .map_or("–".to_owned(), |v| v.word.to_string()),
            seconds.unwrap_or("–".to_owned()),
        ]
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    let head = heads(&[
        "run",
        "model",
        "method",
        "metric",
        "tuned",
        "test rows",
        "verdict over the floors",
        "time",
    ]);
    table("Figures with 95 % intervals", "figures", &head, &rows)
}

/// One table and picture for each run that others are compared with.
fn paired(comparisons: &[Comparison]) -> String {
    if comparisons.is_empty() {
        return hint(
            "No two of these runs were measured on the same test rows: only their intervals can be compared, and \
             intervals that overlap do not say that the runs are alike.",
        );
    }
    let mut lefts: Vec<&str> = Vec::new();
    for c in comparisons {
        if !lefts.contains(&c.left.as_str()) {
            lefts.push(&c.left);
        }
    }
    let mut out = hint(
        "Both runs of a difference answer the same test rows, so it is more certain than their two intervals suggest. \
         Positive: the first one is better.",
    );
    for left in lefts {
        let others = comparisons.iter().filter(|c| c.left == left);
        let rows = others.map(|c| (text(&c.right), &c.verdict)).collect();
        out.push_str(&differences(
            &format!("{} against the others", text(left)),
            rows,
        ));
    }
    out
}
