//! Dots with whiskers, one row per figure on one scale, as inline SVG.

use std::fmt::Write;

use crate::records::Interval;
use crate::table::number;

/// Where the scale begins and how long it is, in chart units; names stand left of it.
const LEFT: f64 = 150.0;
const LENGTH: f64 = 240.0;

/// One figure with its interval.
pub(super) struct Whisker {
    /// Its name (HTML).
    pub(super) name: String,
    pub(super) figure: Interval,
    /// CSS class of its colour.
    pub(super) class: &'static str,
}

/// The picture. `label` describes it to screen readers and `foot` stands below the scale, both HTML. `mark` is a value
/// to draw a line at, inside the scale.
pub(super) fn whiskers(rows: &[Whisker], mark: Option<f64>, label: &str, foot: &str) -> String {
    let ends = rows.iter().flat_map(|r| [r.figure.low, r.figure.high]);
    let (low, high) = ends
        .chain(mark)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
            (l.min(v), h.max(v))
        });
    let share = |v: f64| {
        if high > low {
            (v - low) / (high - low)
        } else {
            0.5
        }
    };
    let at = |v: f64| LEFT + LENGTH * share(v);
    let height = 24 + 34 * rows.len() + 6;
    let mut marks = String::new();
    if let Some(mark) = mark {
        let (x, end) = (at(mark), height - 18);
        let _ = writeln!(marks, "<path class=\"line even\" d=\"M{x:.1} 6V{end}\"/>");
    }
    for (
        i,
        Whisker {
            name,
            figure,
            class,
        },
    ) in rows.iter().enumerate()
    {
        let y = 24.0 + 34.0 * i as f64;
        let (from, to, x) = (at(figure.low), at(figure.high), at(figure.value));
        let _ = writeln!(
            marks,
            "<text class=\"y\" x=\"138\" y=\"{:.0}\">{name}</text><path class=\"line {class}\" d=\"M{from:.1} {y}H{to:.1}\"/>\
             <circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y}\" r=\"5\"/><text class=\"x\" x=\"{x:.1}\" y=\"{:.0}\">{}</text>",
            y + 4.0,
            y - 9.0,
            number(figure.value)
        );
    }
    format!(
        "<svg class=\"chart whiskers\" viewBox=\"0 0 420 {height}\" role=\"img\" aria-label=\"{label}\">{marks}\
         <text class=\"x\" x=\"270\" y=\"{}\">{foot}</text></svg>",
        height - 4,
    )
}

/// A name that fits beside the picture. Cutting inside an escaped character would show its pieces, so names that hold
/// one are cut before it.
pub(super) fn short(html: &str) -> String {
    if html.chars().count() <= 20 {
        return html.to_owned();
    }
    let kept: String = html.chars().take(19).collect();
    let whole = kept
        .rfind('&')
        .map_or(kept.as_str(), |start| &kept[..start]);
    format!("{}…", whole.trim_end())
}
