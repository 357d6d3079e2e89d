//! The answer at the top of the page: did tuning help, against which floor, by how much, and how sure is that.

use std::fmt::Write;

use super::html::{count, range, section, text};
use crate::records::{Event, Interval, RunRecord};
use crate::table::{floors, lower_is_better, number};

/// How the model stands against one floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Better,
    Unclear,
    Worse,
}

impl Verdict {
    fn class(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Unclear => "unclear",
            Self::Worse => "worse",
        }
    }

    /// A word and a sign, so that the verdict does not rest on colour.
    fn badge(self) -> &'static str {
        match self {
            Self::Better => "▲ better",
            Self::Unclear => "≈ not clear",
            Self::Worse => "▼ worse",
        }
    }
}

/// Verdict and sentence (HTML) for one floor.
struct Comparison {
    verdict: Verdict,
    sentence: String,
}

/// The header's card: the primary figure, one sentence in large print, one line per floor, and a picture of them.
pub(super) fn headline(r: &RunRecord) -> String {
    let e = &r.evaluated;
    let name = text(&e.primary);
    let Some(own) = e.metrics.get(&e.primary) else {
        let sentence =
            format!("<p class=\"verdict\">{name} could not be computed: see the notes.</p>");
        return section("result", "Result", &sentence);
    };
    let comparisons: Vec<Comparison> = floors(e)
        .iter()
        .filter_map(|f| compare(r, f, own))
        .collect();
    let mut out = format!(
        "<div class=\"hero\"><div><p class=\"big\"><b>{}</b> {name}</p>\
         <p class=\"quiet\">95 % interval {} · {} in <bdi>{}</bdi></p>\n<p class=\"verdict\">{}</p><ul class=\"floors\">",
        number(own.value),
        range(own),
        count(e.n, "row"),
        text(&e.split),
        conclusion(&comparisons),
    );
    for c in &comparisons {
        let _ = write!(
            out,
            "<li><span class=\"badge {}\">{}</span> {}</li>",
            c.verdict.class(),
            c.verdict.badge(),
            c.sentence
        );
    }
    let _ = writeln!(out, "</ul></div>{}</div>", picture(r, own));
    section("result", "Result", &out)
}

/// What the page cannot promise: notes of the evaluation, then of the run.
pub(super) fn notes(r: &RunRecord) -> String {
    let of_run = r.events.iter().filter_map(|e| {
        if let Event::Note { text } = e {
            Some(text)
        } else {
            None
        }
    });
    let mut out = String::new();
    for note in r.evaluated.notes.iter().chain(of_run) {
        let _ = write!(out, "<li>{}</li>", text(note));
    }
    if out.is_empty() {
        out
    } else {
        section("notes", "Keep in mind", &format!("<ul>{out}</ul>\n"))
    }
}

/// A floor's name in a sentence (HTML).
pub(super) fn floor_name(key: &str) -> String {
    match key {
        "majority" | "prior" => "an answer that ignores the input".to_owned(),
        "base_model" => "the model before tuning".to_owned(),
        "frozen" => "frozen features with a linear head".to_owned(),
        other => text(&other.replace('_', " ")),
    }
}

fn conclusion(all: &[Comparison]) -> &'static str {
    let any = |v: Verdict| all.iter().any(|c| c.verdict == v);
    match all {
        [] => "No floor was measured on these rows, so this page cannot say whether tuning helped.",
        _ if any(Verdict::Worse) => {
            "Tuning did not pay off: at least one simpler answer is better."
        }
        _ if !any(Verdict::Unclear) => {
            "Tuning helped: the model is better than every floor it was held against."
        }
        _ if any(Verdict::Better) => {
            "Tuning helped in part: the model is better than some floors, and these rows cannot tell it from others."
        }
        _ => "Not shown to help: these rows cannot tell the model from the floors.",
    }
}

/// From the paired difference where the record has it, else from whether the two intervals overlap.
fn compare(r: &RunRecord, key: &str, own: &Interval) -> Option<Comparison> {
    let e = &r.evaluated;
    let floor = e.baselines.get(key)?.get(&e.primary)?;
    let sign = if lower_is_better(&e.primary) {
        -1.0
    } else {
        1.0
    };
    let by = sign * (own.value - floor.value);
    let name = floor_name(key);
    let values = format!("({} against {})", number(own.value), number(floor.value));
    let (verdict, certainty) = if let Some(gain) = e.gains.get(key) {
        let verdict = match gain {
            g if g.low > 0.0 => Verdict::Better,
            g if g.high < 0.0 => Verdict::Worse,
            _ => Verdict::Unclear,
        };
        (
            verdict,
            format!("95 % interval of the difference {}", range(gain)),
        )
    } else {
        let apart = own.low > floor.high || own.high < floor.low;
        let verdict = match apart {
            true if by > 0.0 => Verdict::Better,
            true => Verdict::Worse,
            false => Verdict::Unclear,
        };
        let overlap = if apart {
            "the two intervals do not overlap"
        } else {
            "the two intervals overlap"
        };
        (verdict, overlap.to_owned())
    };
    let size = number(by.abs());
    let sentence = match verdict {
        Verdict::Better | Verdict::Worse => {
            format!("than {name} by <b>{size}</b> {values}; {certainty}.")
        }
        Verdict::Unclear => {
            let side = if by >= 0.0 { "better" } else { "worse" };
            format!(
                "against {name}: {side} by {size} on these rows {values}, but {certainty}, so chance can explain it."
            )
        }
    };
    Some(Comparison { verdict, sentence })
}

/// Dots and whiskers: the primary metric of the model and of each floor on one scale.
fn picture(r: &RunRecord, own: &Interval) -> String {
    let e = &r.evaluated;
    let floor = |key: &&str| {
        Some((
            short(&floor_title(key)),
            *e.baselines.get(*key)?.get(&e.primary)?,
        ))
    };
    let rows: Vec<(String, Interval)> = std::iter::once(("tuned".to_owned(), *own))
        .chain(floors(e).iter().filter_map(floor))
        .collect();
    let low = rows.iter().map(|r| r.1.low).fold(f64::INFINITY, f64::min);
    let high = rows
        .iter()
        .map(|r| r.1.high)
        .fold(f64::NEG_INFINITY, f64::max);
    let scale = |v: f64| {
        150.0
            + 240.0
                * if high > low {
                    (v - low) / (high - low)
                } else {
                    0.5
                }
    };
    let mut marks = String::new();
    for (i, (name, figure)) in rows.iter().enumerate() {
        let y = 24.0 + 34.0 * i as f64;
        let class = if i == 0 { "a" } else { "c" };
        let _ = writeln!(
            marks,
            "<text class=\"y\" x=\"138\" y=\"{:.0}\">{name}</text><path class=\"line {class}\" d=\"M{:.1} {y}H{:.1}\"/>\
             <circle class=\"dot {class}\" cx=\"{:.1}\" cy=\"{y}\" r=\"5\"/><text class=\"x\" x=\"{:.1}\" y=\"{:.0}\">{}</text>",
            y + 4.0,
            scale(figure.low),
            scale(figure.high),
            scale(figure.value),
            scale(figure.value),
            y - 9.0,
            number(figure.value)
        );
    }
    let better = if lower_is_better(&e.primary) {
        "← lower is better"
    } else {
        "higher is better →"
    };
    let height = 24 + 34 * rows.len() + 6;
    format!(
        "<svg class=\"chart whiskers\" viewBox=\"0 0 420 {height}\" role=\"img\" aria-label=\"{} of the model and the \
         floors with 95 % intervals\">{marks}<text class=\"x\" x=\"270\" y=\"{}\">{better}</text></svg>",
        text(&e.primary),
        height - 4,
    )
}

/// A name that fits beside the picture. Cutting inside an escaped character would show its pieces, so names that hold
/// one are cut before it.
fn short(html: &str) -> String {
    if html.chars().count() <= 20 {
        return html.to_owned();
    }
    let kept: String = html.chars().take(19).collect();
    let whole = kept
        .rfind('&')
        .map_or(kept.as_str(), |start| &kept[..start]);
    format!("{}…", whole.trim_end())
}

/// A floor's name over a column (HTML).
pub(super) fn floor_title(key: &str) -> String {
    match key {
        "majority" | "prior" => "ignores the input".to_owned(),
        "base_model" => "before tuning".to_owned(),
        "frozen" => "frozen features".to_owned(),
        other => text(&other.replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sample;

    fn against(
        own: [f64; 3],
        floor: [f64; 3],
        gain: Option<[f64; 3]>,
        primary: &str,
    ) -> Comparison {
        let of = |[low, value, high]: [f64; 3]| Interval { value, low, high };
        let mut r = sample::record();
        r.evaluated.primary = primary.to_owned();
        r.evaluated.baselines = [(
            "frozen".to_owned(),
            [(primary.to_owned(), of(floor))].into(),
        )]
        .into();
        r.evaluated.gains = gain
            .map(|g| ("frozen".to_owned(), of(g)))
            .into_iter()
            .collect();
        let own = of(own);
        let found = compare(&r, "frozen", &own);
        found.unwrap_or_else(|| panic!("the floor has the metric"))
    }

    #[test]
    fn the_paired_difference_decides_where_it_is_known() {
        let overlapping = ([0.78, 0.8, 0.82], [0.75, 0.77, 0.79]);
        let paired = against(
            overlapping.0,
            overlapping.1,
            Some([0.01, 0.03, 0.05]),
            "accuracy",
        );
        assert_eq!(paired.verdict, Verdict::Better);
        assert!(
            paired
                .sentence
                .contains("by <b>0.030</b> (0.800 against 0.770)"),
            "{}",
            paired.sentence
        );
        let crossing = against(
            overlapping.0,
            overlapping.1,
            Some([-0.01, 0.03, 0.07]),
            "accuracy",
        );
        assert_eq!(crossing.verdict, Verdict::Unclear);
        assert!(
            crossing.sentence.contains("better by 0.030 on these rows"),
            "{}",
            crossing.sentence
        );
        let behind = against(
            overlapping.1,
            overlapping.0,
            Some([-0.05, -0.03, -0.01]),
            "accuracy",
        );
        assert_eq!(behind.verdict, Verdict::Worse);
        let unpaired = against(overlapping.0, overlapping.1, None, "accuracy");
        assert_eq!(unpaired.verdict, Verdict::Unclear);
        assert!(
            unpaired
                .sentence
                .contains("the two intervals overlap, so chance can explain it")
        );
    }

    #[test]
    fn a_smaller_loss_is_better() {
        assert_eq!(
            against([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], None, "log_loss").verdict,
            Verdict::Better
        );
        assert_eq!(
            against([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], None, "accuracy").verdict,
            Verdict::Worse
        );
    }

    #[test]
    fn the_conclusion_claims_no_more_than_the_comparisons() {
        use Verdict::{Better, Unclear, Worse};
        let of = |verdicts: &[Verdict]| {
            let all: Vec<Comparison> = verdicts
                .iter()
                .map(|&verdict| Comparison {
                    verdict,
                    sentence: String::new(),
                })
                .collect();
            conclusion(&all)
        };
        assert!(of(&[]).starts_with("No floor"));
        assert!(of(&[Better, Better]).starts_with("Tuning helped:"));
        assert!(of(&[Better, Unclear]).starts_with("Tuning helped in part"));
        assert!(of(&[Unclear]).starts_with("Not shown"));
        assert!(of(&[Better, Worse]).starts_with("Tuning did not"));
    }
}
