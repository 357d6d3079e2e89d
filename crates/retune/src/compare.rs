//! Finished runs side by side: their figures, and the paired differences of those that answered the same test rows.
//!
//! `predictions.parquet ─rebuild→ Predictions ─judge→ Comparison`. What is rebuilt has to give the figure that the run
//! itself wrote down; a pair of runs that cannot be compared row by row is named with the reason.

mod answers;
mod users;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use retune_eval::fraud::{self, Scored};
use retune_eval::{Comparison, Predictions, RunRecord, Targets, Verdict, judge};
use serde::Serialize;

pub(crate) use answers::{Answered, answered};

use crate::bundle::{read_json, read_manifest};
use crate::error::{Error, Result};
use crate::recipe::{Change, Recipe};
use answers::Over;

/// Picks the resamples; any number does.
const SEED: u64 = 42;
/// Keys in which the runs of one recipe may differ.
const SEEDS: [&str; 4] = ["seed", "out", "threads", "memory"];

/// Runs and how they differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Folder of each run.
    pub folders: Vec<PathBuf>,
    /// The runs, each under a title of its own.
    pub runs: Vec<RunRecord>,
    /// Differences of the runs that answered the same test rows, for every pair of them.
    pub comparisons: Vec<Comparison>,
    /// The other pairs.
    pub unpaired: Vec<Unpaired>,
    /// What the differences cannot say.
    pub notes: Vec<String>,
}

/// Two runs of which only the intervals can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unpaired {
    /// Title of the one.
    pub left: String,
    /// Title of the other.
    pub right: String,
    /// Why their answers cannot be paired.
    pub why: String,
}

/// Compares the bundles in `folders`, every one with every later one: positive differences say that the earlier one is
/// better. Where `against` names bundles, the runs of `folders` are taken together as one recipe with several seeds, those
/// of `against` as another, and the recipes are compared.
///
/// # Errors
/// Fewer than two folders, one given twice, or one that is no whole bundle; runs of one side whose recipes differ in
/// more than the seed.
pub fn compare(folders: &[PathBuf], against: &[PathBuf]) -> Result<Compared> {
    let all: Vec<PathBuf> = folders.iter().chain(against).cloned().collect();
    let runs = records(&all)?;
    let sides: Vec<Range<usize>> = if against.is_empty() {
        (0..all.len()).map(|i| i..i + 1).collect()
    } else {
        vec![0..folders.len(), folders.len()..all.len()]
    };
    for side in &sides {
        one_recipe(&all[side.clone()])?;
    }
    let answers: Vec<_> = all
        .iter()
        .zip(&runs)
        .map(|(folder, run)| answered(folder, run))
        .collect();
    let side = |range: &Range<usize>| Side {
        title: titles(&runs[range.clone()]),
        models: &answers[range.clone()],
    };
    let (mut comparisons, mut unpaired, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for (at, left) in sides.iter().enumerate() {
        for (next, right) in sides[at + 1..].iter().enumerate() {
            let (left, right) = (side(left), side(right));
            match paired(&left, &right) {
                Ok((comparison, said)) => {
                    notes.extend(said);
                    if against.is_empty() && unlike(&all[at], &all[at + 1 + next])?.is_none() {
                        notes.push(format!(
                            "{} and {} are of one recipe: what tells them apart is the seed",
                            comparison.left, comparison.right
                        ));
                    }
                    comparisons.push(comparison);
                }
                Err(why) => unpaired.push(Unpaired {
                    left: left.title,
                    right: right.title,
                    why,
                }),
            }
        }
    }
    notes.extend(cautions(&sides, comparisons.len()));
    notes.extend(decided(&runs));
    Ok(Compared {
        folders: all,
        runs,
        comparisons,
        unpaired,
        notes,
    })
}

/// One model or more of one recipe.
struct Side<'a> {
    title: String,
    models: &'a [Readable],
}

/// The answers of a run, or why they cannot be used.
type Readable = std::result::Result<Answered, String>;

fn titles(runs: &[RunRecord]) -> String {
    let titles: Vec<&str> = runs.iter().map(|run| run.title.as_str()).collect();
    titles.join(" + ")
}

/// What the differences do not say.
fn cautions(sides: &[Range<usize>], compared: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if compared > 0 && sides.iter().any(|side| side.len() == 1) {
        notes.push(
            "a side of one run is that one model: the same recipe with another seed may differ as much; to compare \
             recipes, train each with three seeds or more and type `retune compare A1 A2 A3 --against B1 B2 B3`"
                .to_string(),
        );
    }
    if compared > 1 {
        notes.push(format!(
            "each of the {compared} intervals misses the true difference in one of twenty cases; together they miss \
             more often"
        ));
    }
    notes
}

/// What is said where answers of a run are decided for a goal.
fn decided(runs: &[RunRecord]) -> Option<String> {
    let decided = runs.iter().filter(|r| r.evaluated.decision.is_some());
    let titles: Vec<&str> = decided.map(|r| r.title.as_str()).collect();
    (!titles.is_empty()).then(|| {
        format!(
            "answers of {} are decided for a goal; differences are about the usual answers of all runs",
            titles.join(", ")
        )
    })
}

/// Checks that the runs of a side differ in their seed only.
fn one_recipe(side: &[PathBuf]) -> Result<()> {
    let Some((first, others)) = side.split_first() else {
        return Ok(());
    };
    for folder in others {
        if let Some(change) = unlike(first, folder)? {
            return Err(Error::User(format!(
                "the runs on one side of --against must be of one recipe with other seeds; {} has {} = {}, {} has {}",
                first.display(),
                change.key,
                change.then,
                folder.display(),
                change.now
            )));
        }
    }
    Ok(())
}

/// What sets the recipes of two runs apart, besides the seed.
fn unlike(one: &Path, other: &Path) -> Result<Option<Change>> {
    let read = |folder: &Path| Recipe::read(&folder.join("recipe.toml")).map_err(Error::Problems);
    let changes = read(one)?.changes(&read(other)?).into_iter();
    let mut others = changes.filter(|change| !SEEDS.contains(&change.key.as_str()));
    Ok(others.next())
}

/// The records of the runs, titled by folder name where that tells them apart, else by path.
fn records(folders: &[PathBuf]) -> Result<Vec<RunRecord>> {
    if folders.len() < 2 {
        return Err(Error::User(
            "one run alone has nothing to be compared with; name two or more folders".to_string(),
        ));
    }
    let mut seen = HashSet::new();
    let mut runs = Vec::new();
    for folder in folders {
        read_manifest(folder)?;
        let place = folder.canonicalize();
        let place = place.map_err(|e| Error::io("read", folder, e))?;
        if !seen.insert(place) {
            return Err(Error::User(format!(
                "{} is named twice; name each run once",
                folder.display()
            )));
        }
        let mut run: RunRecord = read_json(&folder.join("run.json"))?;
        run.evaluated = read_json(&folder.join("metrics.json"))?;
        runs.push(run);
    }
    let name = |folder: &Path| folder.file_name().map(|n| n.to_string_lossy().into_owned());
    let names: BTreeSet<_> = folders.iter().map(|folder| name(folder)).collect();
    let told_apart = names.len() == folders.len();
    for (run, folder) in runs.iter_mut().zip(folders) {
        run.title = match name(folder) {
            Some(name) if told_apart => name,
            _ => folder.display().to_string(),
        };
    }
    Ok(runs)
}

/// The difference of two sides, with what weakens it, or why there is none.
fn paired(left: &Side, right: &Side) -> std::result::Result<(Comparison, Vec<String>), String> {
    let (ours, theirs) = (readable(left)?, readable(right)?);
    let first = ours[0];
    let names = |of: &Answered| of.names.iter().cloned().collect::<BTreeSet<_>>();
    let mut models = Vec::new();
    for other in ours.iter().chain(&theirs) {
        if first.task != other.task {
            return Err(format!("one does {}, the other {}", first.task, other.task));
        }
        if names(first) != names(other) {
            return Err("they answer with different labels or items".to_string());
        }
        let order = same_rows(first, other)?;
        models.push(other.predictions.subset(&order));
    }
    let (ours, theirs) = models.split_at(ours.len());
    let verdict = judged(first, (ours, theirs), &right.title)?;
    let mut notes = verdict.notes.into_iter();
    let Some(found) = verdict.floors.get(&right.title) else {
        let why = notes.next();
        return Err(why.unwrap_or_else(|| "their figures have no difference to rate".to_string()));
    };
    let comparison = Comparison {
        left: left.title.clone(),
        right: right.title.clone(),
        verdict: found.clone(),
    };
    let notes = notes.map(|note| format!("{} against {note}", left.title));
    Ok((comparison, notes.collect()))
}

/// The verdict on models that answered the same rows.
fn judged(
    first: &Answered,
    (ours, theirs): (&[Predictions], &[Predictions]),
    title: &str,
) -> std::result::Result<Verdict, String> {
    let (class, cards) = match &first.over {
        Over::Cards(class, cards) => (class, cards),
        Over::Users(figure) => return Ok(users::judged(figure, (ours, theirs), title)),
        Over::Rows(evaluation) => {
            let floor = (title, theirs.iter().collect());
            let ours: Vec<_> = ours.iter().collect();
            return Ok(judge(&ours, &[floor], evaluation, SEED));
        }
    };
    let frauds = |of: &Predictions| match &of.targets {
        Targets::Class(targets) => targets.iter().map(|t| *t as usize == *class).collect(),
        _ => Vec::new(),
    };
    let scored = |of: &Predictions| Scored {
        score: (0..of.scores.rows)
            .map(|row| of.scores.row(row)[*class])
            .collect(),
        fraud: frauds(of),
        card: Some(cards.clone()).filter(|cards| !cards.is_empty()),
        ..Scored::default()
    };
    let all = |side: &[Predictions]| side.iter().map(scored).collect::<Vec<_>>();
    let (ours, theirs) = (all(ours), all(theirs));
    let floor = (title, theirs.iter().collect());
    let ours: Vec<_> = ours.iter().collect();
    fraud::judge(&ours, &[floor], SEED).map_err(|e| e.to_string())
}

/// The answers of every model of a side, or why one's cannot be used.
fn readable<'a>(side: &Side<'a>) -> std::result::Result<Vec<&'a Answered>, String> {
    let models = side.models.iter();
    let why = |why: &String| format!("{}: {why}", side.title);
    models.map(|model| model.as_ref().map_err(why)).collect()
}

/// Where each row of `left` stands in `right`, when both hold the same rows with the same right answers.
fn same_rows(left: &Answered, right: &Answered) -> std::result::Result<Vec<usize>, String> {
    let (ours, theirs) = (&left.predictions.ids, &right.predictions.ids);
    let places: HashMap<&String, usize> = theirs.iter().zip(0..).collect();
    let found: Vec<usize> = ours
        .iter()
        .filter_map(|id| places.get(id).copied())
        .collect();
    if found.len() != ours.len() || ours.len() != theirs.len() {
        return Err(format!(
            "their test rows differ: {} and {}, {} of them the same",
            ours.len(),
            theirs.len(),
            found.len()
        ));
    }
    if places.len() != theirs.len() && ours != theirs {
        return Err("their test rows cannot be told apart by their places".to_string());
    }
    let order = if ours == theirs {
        (0..ours.len()).collect()
    } else {
        found
    };
    let changed = order.iter().zip(&left.truth);
    match changed
        .filter(|(at, truth)| right.truth[**at] != **truth)
        .count()
    {
        0 => Ok(order),
        n => Err(format!(
            "{n} of their test rows have other labels now and then"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use retune_eval::Matrix;

    use super::*;
    use crate::tables;

    /// Four events of each card are alike, so that taking them for four pieces of evidence makes intervals too narrow.
    #[test]
    fn differences_of_frauds_are_over_cards() {
        let rows = 160;
        let fraud = |row: usize| (row / 4).is_multiple_of(4);
        let answers = |noise: usize| Predictions {
            scores: Matrix {
                rows,
                cols: 2,
                data: (0..rows)
                    .flat_map(|row| {
                        let odd = row / 4 * noise % 7;
                        let score = if fraud(row) { 0.6 } else { 0.3 } + odd as f32 * 0.05;
                        [1.0 - score, score]
                    })
                    .collect(),
            },
            targets: Targets::Class((0..rows).map(|row| u32::from(fraud(row))).collect()),
            slices: Vec::new(),
            ids: Vec::new(),
            decision: None,
        };
        let width = |cards: Vec<u64>| {
            let names = ["no", "yes"].map(str::to_string).to_vec();
            let first = Answered {
                task: tables::FRAUD.name.to_string(),
                names,
                texts: Vec::new(),
                truth: Vec::new(),
                predictions: answers(1),
                over: Over::Cards(1, cards),
            };
            let verdict = judged(&first, (&[answers(0)], &[answers(3)]), "other").unwrap();
            let found = &verdict.floors["other"];
            assert!(found.difference > 0.0, "{found:?}");
            found.high - found.low
        };
        let (cards, rows) = (
            width((0..rows as u64).map(|row| row / 4).collect()),
            width((0..rows as u64).collect()),
        );
        assert!(cards > 1.3 * rows, "{cards} over cards, {rows} over rows");
    }
}
