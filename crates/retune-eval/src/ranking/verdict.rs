//! Whether a recommender beats its floors, by the rules of [`crate::judge`] over users in place of rows.

use super::Rated;
use super::evaluate::mean;
use super::metrics::find;
use crate::bootstrap::{Draws, means};
use crate::records::Verdict;
use crate::verdict::{Estimated, Measured, RESAMPLES, conclude, contrast};

/// Judges the tuned model, or one model per seed, against each floor (likewise) in a figure such as `ndcg@10`. All of
/// them answer the same questions; `seed` picks the resamples of users. Intervals are corrected over the floors.
///
/// Never fails on what it is given to judge: where nothing can be compared the word is [`crate::Word::NoEvidence`] and
/// a note says why.
///
/// # Panics
/// When two models answer different numbers of questions.
pub fn judge(tuned: &[Rated], floors: &[(&str, Vec<Rated>)], key: &str, seed: u64) -> Verdict {
    let all = || tuned.iter().chain(floors.iter().flat_map(|f| &f.1));
    let users = all().next().map_or(0, |model| model.answers.len());
    assert!(
        all().all(|model| model.answers.len() == users),
        "every model answers the same questions"
    );
    conclude(
        estimate(tuned, floors, key, seed),
        key,
        (tuned.len(), users),
    )
}

fn estimate(tuned: &[Rated], floors: &[(&str, Vec<Rated>)], key: &str, seed: u64) -> Estimated {
    let Some((metric, cutoff)) = find(key).filter(|(metric, _)| metric.finds) else {
        return Estimated::not_a_metric(key);
    };
    let mut out = Estimated::default();
    let mut columns = Vec::new();
    let mut measure = |name: &str, models: &[Rated]| {
        let own = models.iter().map(|m| metric.column(&m.users(), cutoff));
        let own: Vec<Vec<f64>> = own.collect();
        let value = own.iter().map(|c| mean(c)).sum::<f64>() / own.len() as f64;
        let measured = Measured {
            name: name.to_owned(),
            models: own.len(),
            value,
        };
        if value.is_finite() {
            columns.extend(own);
            Ok(measured)
        } else {
            Err(format!("{name}: no user to rate"))
        }
    };
    let own = match measure("the tuned model", tuned) {
        Ok(own) => own,
        Err(note) => {
            out.notes.push(note);
            return out;
        }
    };
    let mut sides = Vec::new();
    for (name, models) in floors {
        match measure(name, models) {
            Ok(side) => sides.push(side),
            Err(note) => out.notes.push(note),
        }
    }
    let draws = Draws {
        seed,
        count: RESAMPLES,
    };
    out.estimates = contrast((&own, &sides), &means(&columns, draws), 1.0, seed);
    out
}
