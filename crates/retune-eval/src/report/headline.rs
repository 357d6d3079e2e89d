//! The answer at the top of the page: did tuning help, against which floor, by how much, and how sure is that.

use std::fmt::Write;

use super::html::{badge, count, range, section, text};
use super::whiskers::{Whisker, short, whiskers};
use crate::records::{Event, Interval, RunRecord, Word};
use crate::table::{floors, lower_is_better, number};

/// Word and sentence (HTML) for one floor.
struct Comparison {
    word: Word,
    sentence: String,
}

/// The header's card: the primary figure, one sentence in large print, and a picture of the floors. One line per
/// floor follows where no verdict says more about them further down. Floors are held against the usual answers; what
/// decided ones give has a line of its own.
pub(super) fn headline(r: &RunRecord) -> String {
    let e = &r.evaluated;
    let name = text(&e.primary);
    let Some(own) = e.usual().get(&e.primary) else {
        let sentence =
            format!("<p class=\"verdict\">{name} could not be computed: see the notes.</p>");
        return section("result", "Result", &sentence);
    };
    let mut list = String::new();
    let words: Vec<Word> = if let Some(v) = &e.verdict {
        // Its own word also counts floors that could not be rated.
        v.floors.values().map(|f| f.word).chain([v.word]).collect()
    } else {
        let compared = floors(e).into_iter().filter_map(|f| compare(r, f, own));
        compared
            .map(|c| {
                let _ = write!(list, "<li>{} {}</li>", badge(c.word), c.sentence);
                c.word
            })
            .collect()
    };
    if !list.is_empty() {
        list = format!("<ul class=\"floors\">{list}</ul>");
    }
    let out = format!(
        "<div class=\"hero\"><div><p class=\"big\"><b>{}</b> {name}</p>\
         <p class=\"quiet\">95 % interval {} · {} in <bdi>{}</bdi></p>\n<p class=\"verdict\">{}</p>{}{list}</div>{}</div>\n",
        number(own.value),
        range(own),
        count(e.n, "row"),
        text(&e.split),
        conclusion(&words),
        decided(r),
        picture(r, own),
    );
    section("result", "Result", &out)
}

/// The line on answers that are decided for a goal.
fn decided(r: &RunRecord) -> String {
    let e = &r.evaluated;
    let Some(d) = &e.decision else {
        return String::new();
    };
    let own = e.metrics.get(&e.primary);
    let own = own.map_or(String::new(), |own| {
        format!(
            ", {} {} ({})",
            text(&e.primary),
            number(own.value),
            range(own)
        )
    });
    format!(
        "<p>The figure above is that of the usual answers. Decided for {}{own}: see <a href=\"#threshold\">the \
         decision</a>.</p>",
        text(&d.goal)
    )
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
        "scratch" => "the same model from random initialisation".to_owned(),
        "scratch_ids" => "a model of ids from random initialisation".to_owned(),
        "scratch_texts" => "a model of texts from random initialisation".to_owned(),
        "classical" => "a classical model".to_owned(),
        "linear" => "a linear model of the same fields".to_owned(),
        "gbdt" => "gradient-boosted trees on the same fields".to_owned(),
        "network" => "a network on the same fields".to_owned(),
        "popularity" => "what most people take".to_owned(),
        "popularity_7_days" => "what most people took in the last 7 days".to_owned(),
        "markov" => "what most often comes next".to_owned(),
        "item_knn" => "similar items of the last events".to_owned(),
        "ease" => "a linear model of items (EASE)".to_owned(),
        other => text(&other.replace('_', " ")),
    }
}

fn conclusion(all: &[Word]) -> &'static str {
    let any = |word: Word| all.contains(&word);
    match all {
        [] => "No floor was measured on these rows, so this page cannot say whether tuning helped.",
        _ if any(Word::Worse) => "Tuning did not pay off: at least one simpler answer is better.",
        _ if !any(Word::NoEvidence) => {
            "Tuning helped: the model is better than every floor it was held against."
        }
        _ if any(Word::Improved) => {
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
    let (word, certainty) = if let Some(gain) = e.gains.get(key) {
        (
            Word::of(gain),
            format!("95 % interval of the difference {}", range(gain)),
        )
    } else {
        let apart = own.low > floor.high || own.high < floor.low;
        let word = match apart {
            true if by > 0.0 => Word::Improved,
            true => Word::Worse,
            false => Word::NoEvidence,
        };
        let overlap = if apart {
            "the two intervals do not overlap"
        } else {
            "the two intervals overlap"
        };
        (word, overlap.to_owned())
    };
    let size = number(by.abs());
    let side = if by >= 0.0 { "better" } else { "worse" };
    let sentence = match word {
        Word::NoEvidence => format!(
            "against {name}: {side} by {size} on these rows {values}, but {certainty}, so chance can explain it."
        ),
        Word::Improved | Word::Worse => {
            format!("against {name}: {side} by <b>{size}</b> {values}; {certainty}.")
        }
    };
    Some(Comparison { word, sentence })
}

/// Dots and whiskers: the primary metric of the model and of each floor on one scale.
fn picture(r: &RunRecord, own: &Interval) -> String {
    let e = &r.evaluated;
    let floor = |key: &&str| {
        Some(Whisker {
            name: short(&floor_title(key)),
            figure: *e.baselines.get(*key)?.get(&e.primary)?,
            class: "c",
        })
    };
    let tuned = Whisker {
        name: "tuned".to_owned(),
        figure: *own,
        class: "a",
    };
    let rows: Vec<Whisker> = std::iter::once(tuned)
        .chain(floors(e).iter().filter_map(floor))
        .collect();
    let better = if lower_is_better(&e.primary) {
        "← lower is better"
    } else {
        "higher is better →"
    };
    let label = format!(
        "{} of the model and the floors with 95 % intervals",
        text(&e.primary)
    );
    whiskers(&rows, None, &label, better)
}

/// A floor's name over a column (HTML).
pub(super) fn floor_title(key: &str) -> String {
    match key {
        "majority" | "prior" => "ignores the input".to_owned(),
        "base_model" => "before tuning".to_owned(),
        "frozen" => "frozen features".to_owned(),
        "scratch" => "from scratch".to_owned(),
        "scratch_ids" => "from scratch, ids".to_owned(),
        "scratch_texts" => "from scratch, texts".to_owned(),
        "popularity_7_days" => "popular in 7 days".to_owned(),
        "item_knn" => "item-kNN".to_owned(),
        "gbdt" => "trees".to_owned(),
        "ease" => "EASE".to_owned(),
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
        assert_eq!(paired.word, Word::Improved);
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
        assert_eq!(crossing.word, Word::NoEvidence);
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
        assert_eq!(behind.word, Word::Worse);
        let unpaired = against(overlapping.0, overlapping.1, None, "accuracy");
        assert_eq!(unpaired.word, Word::NoEvidence);
        assert!(
            unpaired
                .sentence
                .contains("the two intervals overlap, so chance can explain it")
        );
    }

    #[test]
    fn a_smaller_loss_is_better() {
        assert_eq!(
            against([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], None, "log_loss").word,
            Word::Improved
        );
        assert_eq!(
            against([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], None, "accuracy").word,
            Word::Worse
        );
    }

    #[test]
    fn the_conclusion_claims_no_more_than_the_comparisons() {
        use Word::{Improved, NoEvidence, Worse};
        let of = conclusion;
        assert!(of(&[]).starts_with("No floor"));
        assert!(of(&[Improved, Improved]).starts_with("Tuning helped:"));
        assert!(of(&[Improved, NoEvidence]).starts_with("Tuning helped in part"));
        assert!(of(&[NoEvidence]).starts_with("Not shown"));
        assert!(of(&[Improved, Worse]).starts_with("Tuning did not"));
    }
}
