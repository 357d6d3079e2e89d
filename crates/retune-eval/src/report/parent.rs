//! What going on with a tuned model did to what it knew before.

use super::html::{badge, count, figure, heads, hint, section, table, text, words};
use crate::records::{ParentTest, RunRecord, Word};

/// The parent's test rows, answered by the parent and by the model that went on from it.
pub(super) fn parent(r: &RunRecord) -> String {
    let Some(p) = &r.evaluated.parent_test else {
        return String::new();
    };
    let row = |name: String, cell: String| vec![name, cell];
    let rows = [
        row("before".to_owned(), figure(&p.before)),
        row("after".to_owned(), figure(&p.after)),
        row(
            "better by".to_owned(),
            format!("{} {}", figure(&p.change.interval()), badge(p.change.word)),
        ),
    ];
    let sentence = format!(
        "This model went on from {}. On {} of its test split{}: {}",
        words(&p.parent),
        count(p.n, "row"),
        left_out(p),
        conclusion(p.change.word)
    );
    let head = heads(&["", &text(&p.change.metric)]);
    let body = hint(&sentence)
        + &table(
            "Test rows of the model before, answered before and after",
            "figures",
            &head,
            &rows,
        );
    section("parent", "What it knew before", &body)
}

fn left_out(p: &ParentTest) -> String {
    let seen = format!("{} that this training has seen", p.seen);
    let unknown = format!("{} of classes that this model does not know", p.unknown);
    let parts: Vec<String> = [(p.seen, seen), (p.unknown, unknown)]
        .into_iter()
        .filter_map(|(n, part)| (n > 0).then_some(part))
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" (left out: {})", parts.join(", "))
    }
}

fn conclusion(word: Word) -> &'static str {
    match word {
        Word::Improved => "it answers them better than before.",
        Word::NoEvidence => "these rows do not show that anything was forgotten, or gained.",
        Word::Worse => {
            "it has forgotten some of what it knew; --replay with the old rows, or --l2sp, holds against that."
        }
    }
}
