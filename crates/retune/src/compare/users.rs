//! Recommenders side by side: where the item that each user took stands with either, over the same users and items.

use std::path::Path;

use retune_data::Table;
use retune_data::read::{ReadOptions, read};
use retune_eval::ranking::{self, Answer, Place, Popularity, Question, Rated};
use retune_eval::{Matrix, Predictions, RunRecord, Targets, Verdict};

use super::SEED;
use super::answers::{Answered, Over, as_written, column, texts};
use crate::recommend::{ABOVE, ITEMS, TIED};

/// The places that `predictions.parquet` holds, one row per user.
pub(super) fn answered(folder: &Path, run: &RunRecord, table: &Table) -> Result<Answered, String> {
    let items = read(&folder.join(ITEMS), &ReadOptions::default()).map_err(|e| e.to_string())?;
    let ids = texts(column(table, "row")?);
    let places = [column(table, ABOVE)?, column(table, TIED)?];
    let mut data = Vec::with_capacity(2 * ids.len());
    for row in 0..ids.len() {
        for column in places {
            let place = column.number(row);
            let place = place.ok_or_else(|| format!("`{}` has no value in row {row}", column.name));
            data.push(place? as f32);
        }
    }
    let predictions = Predictions {
        scores: Matrix {
            rows: ids.len(),
            cols: places.len(),
            data,
        },
        // What was right is in the places.
        targets: Targets::Value(vec![0.0; ids.len()]),
        slices: Vec::new(),
        ids,
        decision: None,
    };
    let figure = &run.evaluated.primary;
    let found = ranking::point(&answers(&predictions), figure);
    as_written(run, figure, found.as_ref())?;
    Ok(Answered {
        task: run.task.clone(),
        names: texts(column(&items, "item")?),
        texts: Vec::new(),
        truth: texts(column(table, "truth")?),
        predictions,
        over: Over::Users(figure.clone()),
    })
}

/// The verdict over users.
pub(super) fn judged(
    figure: &str,
    (ours, theirs): (&[Predictions], &[Predictions]),
    title: &str,
) -> Verdict {
    let popularity = Popularity::unknown();
    let nothing = Question {
        history: &[],
        time: 0,
        targets: &[],
    };
    let all = |side: &[Predictions]| side.iter().map(answers).collect::<Vec<_>>();
    let (ours, theirs) = (all(ours), all(theirs));
    let questions = vec![nothing; ours.first().map_or(0, Vec::len)];
    let rated = |answers| Rated {
        questions: &questions,
        answers,
        popularity: &popularity,
    };
    let ours: Vec<Rated> = ours.iter().map(|answers| rated(answers)).collect();
    let theirs = theirs.iter().map(|answers| rated(answers)).collect();
    ranking::judge(&ours, &[(title, theirs)], figure, SEED)
}

/// One answer per user, without the lists.
fn answers(of: &Predictions) -> Vec<Answer> {
    let place = |row| {
        let place = of.scores.row(row);
        Place {
            above: place[0] as u32,
            tied: place[1] as u32,
        }
    };
    (0..of.scores.rows)
        .map(|row| Answer {
            places: vec![place(row)],
            list: Vec::new(),
        })
        .collect()
}
