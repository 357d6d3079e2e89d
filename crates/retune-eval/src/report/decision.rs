//! Answers decided for a goal: what they change against the usual ones, class by class.

use super::html::{figure, heads, hint, section, table, text, words};
use crate::records::{Change, Chosen, Decided, Interval, RunRecord};
use crate::table::number;

/// What is said wherever decided answers stand beside floors.
pub(super) const USUAL: &str = "Floors, gains and the verdict are about the usual answers of both sides: the class with the largest score, and \
     labels from 0.5 on. A threshold that one side alone has chosen would compare goals and not models.";

/// The thresholds, their figures where they were chosen, and the rated rows before and after.
pub(super) fn decision(r: &RunRecord) -> String {
    let Some(d) = &r.evaluated.decision else {
        return String::new();
    };
    let head = heads(&["class", "", "precision", "recall", "F1"]);
    let rows: Vec<Vec<String>> = d.thresholds.iter().flat_map(rows).collect();
    let mut body = format!(
        "<p>Answers are decided for this goal: {}.{}</p>\n",
        text(&d.goal),
        unmet(d)
    );
    body.push_str(&table(
        "The classes with the usual answers and with the decided ones",
        "figures",
        &head,
        &rows,
    ));
    body.push_str(&d.cost.map_or(String::new(), cost));
    body.push_str(&hint(USUAL));
    section("threshold", "Decision", &body)
}

/// The sentence about classes whose goal was not reached where thresholds were chosen.
fn unmet(d: &Decided) -> String {
    let missed: Vec<String> = d
        .thresholds
        .iter()
        .filter(|c| !c.threshold.met)
        .map(|c| words(&c.after.class))
        .collect();
    if missed.is_empty() {
        return String::new();
    }
    format!(
        " <b>No threshold reached it on the validation rows for {}</b>: the nearest one was taken.",
        missed.join(", ")
    )
}

/// Three lines of a class: where the threshold was chosen, the rated rows before, and after.
fn rows(c: &Chosen) -> [Vec<String>; 3] {
    let t = &c.threshold;
    let name = words(&c.after.class);
    let of = |label: String, figures: [String; 3]| {
        let [precision, recall, f1] = figures;
        vec![name.clone(), label, precision, recall, f1]
    };
    let three = |c: &crate::records::PerClass| [&c.precision, &c.recall, &c.f1].map(figure);
    [
        of(
            format!("validation rows, from {}", number(t.value)),
            [t.precision, t.recall, t.f1].map(number),
        ),
        of("these rows, from 0.5".to_owned(), three(&c.before)),
        of(
            format!("these rows, from {}", number(t.value)),
            three(&c.after),
        ),
    ]
}

fn cost(c: Change) -> String {
    let row = |name: &str, i: &Interval| vec![name.to_owned(), figure(i)];
    let rows = [
        row("usual answers", &c.before),
        row("decided answers", &c.after),
    ];
    table(
        "Mean cost of a row",
        "figures",
        &heads(&["", "cost"]),
        &rows,
    )
}
