//! Figures as aligned plain text for a console: metrics down, the model and its floors across.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::metrics::METRICS;
use crate::records::{
    Decided, Evaluated, Interval, Metrics, ParentTest, PerClass, SliceMetrics, Verdict,
};

/// Floors in the order in which people ask for them; others follow by name.
const FLOORS: &[(&str, &str)] = &[
    ("base_model", "before tuning"),
    ("frozen", "frozen features"),
    ("scratch", "from scratch"),
    ("scratch_ids", "scratch, ids"),
    ("scratch_texts", "scratch, texts"),
    ("classical", "classical"),
    ("linear", "linear"),
    ("gbdt", "trees"),
    ("network", "network"),
    ("popularity", "popularity"),
    ("popularity_7_days", "last 7 days"),
    ("markov", "Markov"),
    ("item_knn", "item-kNN"),
    ("ease", "EASE"),
    ("majority", "majority"),
    ("prior", "prior"),
];

/// Values of a slice column that are listed; the rest is counted.
const SLICE_VALUES: usize = 20;

/// The figures of `e`: one line per metric, the primary one first and marked with `*`; then the primary metric by
/// slice, largest first; then what was decided for a goal and what became of a
/// parent's answers; then what the figures cannot say. Ends with a line break.
///
/// Columns: the tuned model, where a goal was stated also with the usual answers, then each floor in `baselines`. Cells: `value [low, high]`, the 95 % interval.
pub fn table(e: &Evaluated) -> String {
    let columns = columns(e);
    let mut rows = vec![
        std::iter::once(format!("{} ({} rows)", e.split, e.n))
            .chain(columns.iter().map(|c| c.0.clone()))
            .collect(),
    ];
    for name in ordered(e) {
        let mark = if name == e.primary { "* " } else { "  " };
        let arrow = if lower_is_better(&name) {
            " (lower is better)"
        } else {
            ""
        };
        let cells = columns
            .iter()
            .map(|(_, figures)| figures.get(&name).map_or_else(|| "-".to_owned(), cell));
        rows.push(
            std::iter::once(format!("{mark}{name}{arrow}"))
                .chain(cells)
                .collect::<Vec<_>>(),
        );
    }
    let mut out = align(&rows);
    for (column, values) in &e.slices {
        let name = sliced_by(e, values);
        let _ = write!(out, "\n{name} by `{column}`\n{}", slice(name, values));
    }
    if let Some(d) = &e.decision {
        let _ = write!(out, "\n{}", decision(d));
    }
    if let Some(p) = &e.parent_test {
        let _ = write!(out, "\n{}", parent(p));
    }
    for (i, note) in e.notes.iter().enumerate() {
        let gap = if i == 0 { "\n" } else { "" };
        let _ = writeln!(out, "{gap}note: {note}");
    }
    out
}

/// The verdict: the two answers and what they are about; one line per floor with the difference, its corrected 95 %
/// interval and the word; the smallest difference that these rows would show; notes. Ends with a line break.
pub fn verdict(v: &Verdict) -> String {
    let mut out = format!(
        "did tuning help? {}\nis it worth shipping? {}\n(about {})\n\n",
        v.helped, v.worth_shipping, v.scope
    );
    let row = |name: &str| {
        let f = &v.floors[name];
        vec![
            format!("  against {}", title(name)),
            format!("better by {}", cell(&f.interval())),
            f.word.to_string(),
        ]
    };
    let names = in_order(v.floors.keys().map(String::as_str));
    out.push_str(&align(&names.into_iter().map(row).collect::<Vec<_>>()));
    if let Some(d) = v.detectable {
        let _ = writeln!(
            out,
            "  {} rows show a difference of {} four times in five; most smaller ones stay hidden",
            v.rows,
            number(d)
        );
    }
    for note in &v.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out
}

/// What became of the parent's answers. Ends with a line break.
fn parent(p: &ParentTest) -> String {
    format!(
        "on {} test rows of {}, the model before: {} {} before, {} now; better by {}: {}\n",
        p.n,
        p.parent,
        p.change.metric,
        cell(&p.before),
        cell(&p.after),
        cell(&p.change.interval()),
        p.change.word
    )
}

/// What answers are decided for: one line per class with its threshold and its figures before and after; the cost of a
/// row. Ends with a line break.
fn decision(d: &Decided) -> String {
    let mut out = format!("answers are decided for: {}\n", d.goal);
    let mut rows = vec![
        ["", "", "precision", "recall", "F1"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for c in &d.thresholds {
        let line = |name: String, from: f64, of: &PerClass| {
            let figures = [&of.precision, &of.recall, &of.f1].map(cell);
            let names = [name, format!("from {}", number(from))];
            names.into_iter().chain(figures).collect::<Vec<_>>()
        };
        let mark = if c.threshold.met {
            ""
        } else {
            " (goal not reached)"
        };
        rows.push(line(
            format!("  {}{mark}", c.after.class),
            c.threshold.value,
            &c.after,
        ));
        rows.push(line(String::new(), 0.5, &c.before));
    }
    if rows.len() > 1 {
        out.push_str(&align(&rows));
    }
    if let Some(c) = &d.cost {
        let (before, after) = (cell(&c.before), cell(&c.after));
        let _ = writeln!(
            out,
            "  mean cost of a row {after}, with the usual answers {before}"
        );
    }
    out.push_str(
        "  floors, gains and the verdict are about the usual answers: the largest score, labels from 0.5 on\n",
    );
    out
}

/// The metric that slices are shown by: the primary one, or what they have in its place.
fn sliced_by<'a>(e: &'a Evaluated, values: &'a BTreeMap<String, SliceMetrics>) -> &'a str {
    let mut names = values.values().flat_map(|slice| slice.metrics.keys());
    if names.clone().any(|name| *name == e.primary) {
        return &e.primary;
    }
    names.next().unwrap_or(&e.primary)
}

/// One line per value of a slice column: the value, its rows, the metric.
fn slice(name: &str, values: &BTreeMap<String, SliceMetrics>) -> String {
    let mut largest: Vec<(&String, &SliceMetrics)> = values.iter().collect();
    largest.sort_by_key(|(_, s)| std::cmp::Reverse(s.n));
    let row = |(value, s): &(&String, &SliceMetrics)| {
        let figure = s.metrics.get(name);
        vec![
            format!("  {value}"),
            format!("{} rows", s.n),
            figure.map_or_else(|| "-".to_owned(), cell),
        ]
    };
    let rows: Vec<_> = largest.iter().take(SLICE_VALUES).map(row).collect();
    let mut out = align(&rows);
    if largest.len() > SLICE_VALUES {
        let _ = writeln!(out, "  and {} more", largest.len() - SLICE_VALUES);
    }
    out
}

/// Names of the model's metrics: the primary one first, then in the order of [`METRICS`], unknown ones last.
pub fn ordered(e: &Evaluated) -> Vec<String> {
    let mut names: Vec<String> = e.metrics.keys().cloned().collect();
    let place = |n: &String| {
        METRICS
            .iter()
            .position(|m| m.name == n)
            .unwrap_or(METRICS.len())
    };
    names.sort_by_key(|n| (*n != e.primary, place(n)));
    names
}

/// Names of the floors of `e`, the usual ones first.
pub(crate) fn floors(e: &Evaluated) -> Vec<&str> {
    in_order(e.baselines.keys().map(String::as_str))
}

/// Names of floors, the usual ones first, the others as they came.
pub(crate) fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    let place = |name: &str| FLOORS.iter().position(|f| f.0 == name);
    names.sort_by_key(|name| place(name).unwrap_or(FLOORS.len()));
    names
}

/// Whether a smaller value of this metric is a better one; an unknown metric is taken to be better when larger.
pub(crate) fn lower_is_better(name: &str) -> bool {
    METRICS
        .iter()
        .any(|m| m.name == name && !m.higher_is_better)
}

/// A figure with three decimals, or four significant digits when it is large.
pub fn number(v: f64) -> String {
    match v.abs() {
        a if a >= 1e6 => format!("{v:.3e}"),
        a if a >= 1000.0 => format!("{v:.0}"),
        a if a >= 100.0 => format!("{v:.1}"),
        a if a >= 10.0 => format!("{v:.2}"),
        a if a >= 0.0005 || a == 0.0 => format!("{v:.3}"),
        _ => format!("{v:.1e}"),
    }
}

fn columns(e: &Evaluated) -> Vec<(String, &Metrics)> {
    let floor = |name: &str| (title(name).to_owned(), &e.baselines[name]);
    let usual = e.decision.iter();
    std::iter::once(("tuned".to_owned(), &e.metrics))
        .chain(usual.map(|d| ("tuned, usual answers".to_owned(), &d.usual)))
        .chain(floors(e).into_iter().map(floor))
        .collect()
}

/// A floor's name over a column.
fn title(name: &str) -> &str {
    let usual = FLOORS.iter().find(|f| f.0 == name);
    usual.map_or(name, |f| f.1)
}

/// `value [low, high]`, the 95 % interval.
pub fn cell(i: &Interval) -> String {
    format!(
        "{} [{}, {}]",
        number(i.value),
        number(i.low),
        number(i.high)
    )
}

/// Rows of equally many cells as lines with aligned columns, each ending with a line break.
pub fn align(rows: &[Vec<String>]) -> String {
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (text, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{text:<width$}   ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sample;

    #[test]
    fn columns_align_and_the_primary_metric_leads() {
        let text = table(&sample::evaluated());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "test (400 rows)                tuned                  before tuning          frozen features        majority"
        );
        assert_eq!(
            lines[1],
            "* f1_macro                     0.842 [0.801, 0.878]   0.414 [0.370, 0.455]   0.790 [0.748, 0.831]   0.333 [0.315, 0.350]"
        );
        assert!(
            lines
                .iter()
                .any(|l| l.starts_with("  log_loss (lower is better)")),
            "{text}"
        );
        assert!(
            lines
                .iter()
                .any(|l| l.starts_with("  mcc") && l.ends_with('-')),
            "a floor without the metric shows a dash: {text}"
        );
    }

    #[test]
    fn slices_and_cautions_follow_the_figures() {
        let mut e = sample::evaluated();
        let long = SliceMetrics {
            n: 360,
            metrics: Metrics::new(),
        };
        if let Some(values) = e.slices.get_mut("length") {
            values.insert("very long".to_owned(), long);
        }
        e.notes = vec!["40 rows are few".to_owned()];
        let text = table(&e);
        assert!(
            text.ends_with(
                "\n\nf1_macro by `length`\n  very long   360 rows   -\n  short       40 rows    0.600 [0.500, 0.700]\n\n\
                 note: 40 rows are few\n"
            ),
            "{text}"
        );
        for slice in e.slices.values_mut().flat_map(BTreeMap::values_mut) {
            let of = |value| Interval {
                value,
                low: 1.0,
                high: 1.5,
            };
            slice.metrics = [("fpr_ratio@threshold".to_owned(), of(1.25))].into();
        }
        let text = table(&e);
        let own =
            "\n\nfpr_ratio@threshold by `length`\n  very long   360 rows   1.250 [1.000, 1.500]\n";
        assert!(text.contains(own), "{text}");
    }

    #[test]
    fn a_verdict_says_both_answers_and_every_floor() {
        let text = verdict(&sample::verdict());
        let start = "did tuning help? no evidence\nis it worth shipping? improved\n(about this one model on these 400 \
                     rows; another seed may differ)\n\n  against before tuning     better by 0.428 [0.370, 0.480]    \
                     improved\n";
        assert!(text.starts_with(start), "{text}");
        assert!(
            text.contains("better by 0.012 [-0.020, 0.046]   no evidence\n"),
            "{text}"
        );
        assert!(
            text.contains("400 rows show a difference of 0.047 four times in five"),
            "{text}"
        );
    }

    #[test]
    fn numbers_keep_about_three_digits() {
        let shown = [
            0.84219, 0.0, -0.5, 12.3456, 123.456, 123_456.7, 1.5e9, 0.000_012,
        ]
        .map(number);
        assert_eq!(
            shown,
            [
                "0.842", "0.000", "-0.500", "12.35", "123.5", "123457", "1.500e9", "1.2e-5"
            ]
        );
    }
}
