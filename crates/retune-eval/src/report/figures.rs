//! Tables of figures: metrics beside the floors, classes, slices.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::headline::floor_title;
use super::html::{figure, heads, hint, section, table, text, words};
use crate::metrics::metric;
use crate::records::{Evaluated, Interval, RunRecord, SliceMetrics};
use crate::table::{floors, lower_is_better, ordered};

/// Columns of a slice table beside the number of rows.
const SLICE_METRICS: usize = 4;

/// The metric table and what each metric means.
pub(super) fn metrics(r: &RunRecord) -> String {
    let e = &r.evaluated;
    let floors = floors(e);
    let mut head = heads(&["metric", "tuned"]);
    head.extend(e.decision.iter().map(|_| "tuned, usual answers".to_owned()));
    head.extend(floors.iter().map(|f| floor_title(f)));
    let mut meanings = String::new();
    let mut rows = Vec::new();
    for name in ordered(e) {
        let mark = if name == e.primary {
            " <span class=\"badge\">decides</span>"
        } else {
            ""
        };
        let arrow = if lower_is_better(&name) {
            " <small>lower is better</small>"
        } else {
            ""
        };
        let mut row = vec![
            format!("{}{mark}{arrow}", text(&name)),
            figure(&e.metrics[&name]),
        ];
        let usual = e.decision.iter().map(|d| &d.usual);
        let others = usual.chain(floors.iter().map(|f| &e.baselines[*f]));
        row.extend(others.map(|figures| figures.get(&name).map_or("–".to_owned(), figure)));
        rows.push(row);
        if let Some(m) = metric(&name) {
            let _ = write!(meanings, "<dt>{}</dt><dd>{}</dd>", m.name, text(m.doc));
        }
    }
    let mut body = table(
        "Figures with 95 % bootstrap intervals",
        "figures",
        &head,
        &rows,
    );
    if !meanings.is_empty() {
        let _ = writeln!(
            body,
            "<details><summary>What the metrics mean</summary><dl>{meanings}</dl></details>"
        );
    }
    section("metrics", "Figures", &body)
}

/// Precision, recall and F1 of each class or label.
pub(super) fn classes(r: &RunRecord) -> String {
    let row = |c: &crate::records::PerClass| {
        let bar = format!(
            "<span class=\"bar\" aria-hidden=\"true\"><span style=\"width:{:.0}%\"></span></span>",
            100.0 * c.f1.value.clamp(0.0, 1.0)
        );
        let f1 = format!("{}{bar}", figure(&c.f1));
        vec![
            words(&c.class),
            c.support.to_string(),
            figure(&c.precision),
            figure(&c.recall),
            f1,
        ]
    };
    let rows: Vec<Vec<String>> = r.evaluated.per_class.iter().map(row).collect();
    let head = heads(&["class", "rows", "precision", "recall", "F1"]);
    section(
        "classes",
        "By class",
        &table(
            "Precision, recall and F1 of each class",
            "figures",
            &head,
            &rows,
        ),
    )
}

/// One table per slice column; a value whose interval misses the overall figure is marked.
pub(super) fn slices(r: &RunRecord) -> String {
    let e = &r.evaluated;
    let names = sliced_by(e);
    let mut body = String::new();
    for (column, values) in &e.slices {
        let mut sorted: Vec<(&String, &SliceMetrics)> = values.iter().collect();
        sorted.sort_by_key(|(_, s)| std::cmp::Reverse(s.n));
        let rows: Vec<Vec<String>> = sorted
            .iter()
            .map(|(value, s)| slice_row(r, value, s, &names))
            .collect();
        let mut head = heads(&["value", "rows"]);
        head.extend(names.iter().map(|n| text(n)));
        body.push_str(&table(
            &format!("By {}", text(column)),
            "figures",
            &head,
            &rows,
        ));
    }
    if !body.is_empty() {
        let sentence = "▲ and ▼ mark values whose whole interval is better or worse than the figure of all rows. \
                        With many values some are marked by chance.";
        body.insert_str(0, &hint(sentence));
    }
    section("slices", "By slice", &body)
}

/// The metrics that slices are shown by: the first ones of the figures, or what slices have in their place.
fn sliced_by(e: &Evaluated) -> Vec<String> {
    let slices = || e.slices.values().flat_map(BTreeMap::values);
    let known = |name: &String| slices().any(|slice| slice.metrics.contains_key(name));
    let names: Vec<String> = ordered(e).into_iter().filter(known).collect();
    let names = if names.is_empty() {
        let own: BTreeSet<&String> = slices().flat_map(|slice| slice.metrics.keys()).collect();
        own.into_iter().cloned().collect()
    } else {
        names
    };
    names.into_iter().take(SLICE_METRICS).collect()
}

fn slice_row(r: &RunRecord, value: &str, s: &SliceMetrics, names: &[String]) -> Vec<String> {
    let cell = |name: &String| {
        let Some(own) = s.metrics.get(name) else {
            return "–".to_owned();
        };
        let whole = r.evaluated.metrics.get(name);
        let mark = whole.map_or("", |whole| mark(own, whole.value, lower_is_better(name)));
        format!("{}{mark}", figure(own))
    };
    [words(value), s.n.to_string()]
        .into_iter()
        .chain(names.iter().map(cell))
        .collect()
}

fn mark(own: &Interval, whole: f64, lower_is_better: bool) -> &'static str {
    let (above, below) = (own.low > whole, own.high < whole);
    match (above, below) {
        (false, false) => "",
        (true, _) if !lower_is_better => {
            " <span class=\"better\" title=\"better than all rows\">▲</span>"
        }
        (_, true) if lower_is_better => {
            " <span class=\"better\" title=\"better than all rows\">▲</span>"
        }
        _ => " <span class=\"worse\" title=\"worse than all rows\">▼</span>",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_without_the_usual_figures_show_their_own() {
        let mut r = crate::records::sample::record();
        let usual = sliced_by(&r.evaluated);
        assert_eq!(usual.first(), Some(&r.evaluated.primary));
        for slice in r
            .evaluated
            .slices
            .values_mut()
            .flat_map(BTreeMap::values_mut)
        {
            let figure = Interval {
                value: 1.25,
                low: 1.0,
                high: 1.5,
            };
            slice.metrics = [("fpr_ratio@threshold".to_owned(), figure)].into();
        }
        assert_eq!(sliced_by(&r.evaluated), ["fpr_ratio@threshold"]);
        assert!(slices(&r).contains("1.250"), "{}", slices(&r));
    }

    #[test]
    fn slices_are_marked_only_when_their_interval_misses_the_whole() {
        let own = Interval {
            value: 0.5,
            low: 0.4,
            high: 0.6,
        };
        assert_eq!(mark(&own, 0.45, false), "");
        assert!(mark(&own, 0.3, false).contains('▲') && mark(&own, 0.3, true).contains('▼'));
        assert!(mark(&own, 0.7, false).contains('▼') && mark(&own, 0.7, true).contains('▲'));
    }
}
