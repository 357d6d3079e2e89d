//! What a run showed: figures with intervals, the verdict, and the record for the report.

use std::collections::BTreeMap;

use retune_data::{Table, Values};
use retune_eval::ranking::{Answer, RankingEvaluated, RankingFigures, Rated, Setting, judge};
use retune_eval::records::{Interval, Metrics, Shown, SliceMetrics};
use retune_eval::{Cost, Evaluated, RunRecord};

use super::plan::{Plan, TASK};
use super::rank::Asked;
use super::run::Rivals;
use super::shelf::made_of;
use super::show;
use crate::bundle::{Manifest, PREDICTIONS, pretty};
use crate::error::Result;
use crate::recipe::Protocol;
use crate::record;
use crate::run_folder::RunFolder;

/// The figure that decides.
pub const PRIMARY: &str = "ndcg@10";
/// Figures of the console, of `metrics.json` and of the report; `ranking.json` holds all of them.
const FIGURES: [&str; 10] = [
    "ndcg@10",
    "hr@10",
    "mrr@10",
    "hr@1",
    "hr@5",
    "hr@20",
    "hr@50",
    "ndcg@20",
    "novelty@10",
    "popularity_bias@10",
];
/// Name of the model before tuning; where there is none, users are shown with what the first floor recommends.
pub(super) const BEFORE: &str = "base_model";
/// Users shown with what they took and what they were recommended.
const SHOWN: usize = 8;
/// In `predictions.parquet`: items that rank above what a user took, and others that rank equal.
pub(crate) const ABOVE: &str = "above";
pub(crate) const TIED: &str = "tied";
/// Items of each user's list that are kept.
const LISTED: usize = 10;
/// Events of a history that are shown.
const RECENT: usize = 3;
/// Characters of an item's name that are shown.
const CALLED: usize = 60;

/// A model that the tuned one is held against.
pub(super) struct Rival {
    /// Its key in `baselines` and `verdict.floors`.
    pub name: &'static str,
    pub answers: Vec<Answer>,
    pub cost: Cost,
}

/// What the test showed.
pub(super) struct Measured {
    pub evaluated: Evaluated,
    pub ranking: RankingEvaluated,
    pub before_after: Vec<(Shown, String)>,
    pub costs: BTreeMap<String, Cost>,
    /// The users asked and what they were answered.
    pub answered: Table,
}

impl Measured {
    pub fn of(
        plan: &Plan,
        asked: &Asked,
        answers: Vec<Answer>,
        rivals: Rivals,
        cost: Cost,
    ) -> Self {
        let questions = asked.questions();
        let seed = plan.recipe.seed;
        let rated = |answers| Rated {
            questions: &questions,
            answers,
            popularity: &rivals.popularity,
        };
        let own = rated(&answers);
        let mut ranking = RankingEvaluated::new(setting(plan), &own, PRIMARY, seed);
        for rival in &rivals.found {
            ranking.compare(rival.name, (&own, &rated(&rival.answers)), seed);
        }
        let floors: Vec<(&str, Vec<Rated>)> = rivals
            .found
            .iter()
            .map(|rival| (rival.name, vec![rated(&rival.answers)]))
            .collect();
        ranking.verdict = Some(judge(&[own], &floors, PRIMARY, seed));
        ranking.absent = rivals.absent.clone();
        ranking.notes.clone_from(&plan.notes);
        let mut costs: BTreeMap<String, Cost> = rivals
            .found
            .iter()
            .map(|rival| (rival.name.to_string(), rival.cost))
            .collect();
        costs.insert("tuned".to_string(), cost);
        let before = rivals
            .found
            .iter()
            .find(|r| r.name == BEFORE)
            .or(rivals.found.first());
        Self {
            before_after: shown(plan, asked, &answers, before),
            answered: answered(plan, asked, &answers),
            evaluated: evaluated(&ranking),
            ranking,
            costs,
        }
    }
}

fn setting(plan: &Plan) -> Setting {
    Setting {
        split: "test".to_string(),
        protocol: match plan.recipe.recommend.protocol {
            Protocol::Loo => "loo",
            Protocol::Temporal => "temporal",
        }
        .to_string(),
        seen: plan.seen,
        tied_events: Some(plan.facts.0.ties),
    }
}

/// The figures as every task has them.
fn evaluated(of: &RankingEvaluated) -> Evaluated {
    let mut notes = of.notes.clone();
    notes.extend(
        of.absent
            .iter()
            .map(|(name, why)| format!("{name} was left out: {why}")),
    );
    let mut slices: BTreeMap<String, BTreeMap<String, SliceMetrics>> = BTreeMap::new();
    for slice in &of.model.slices {
        let metrics = chosen(&slice.metrics);
        let part = SliceMetrics {
            n: slice.n,
            metrics,
        };
        slices
            .entry(slice.by.clone())
            .or_default()
            .insert(slice.value.clone(), part);
    }
    let baselines = of.baselines.iter();
    Evaluated {
        metrics: figures(&of.model),
        baselines: baselines
            .map(|(name, found)| (name.clone(), figures(found)))
            .collect(),
        gains: of.gains.clone(),
        slices,
        verdict: of.verdict.clone(),
        notes,
        ..Evaluated::empty(&of.setting.split, of.model.n, &of.primary)
    }
}

fn figures(of: &RankingFigures) -> Metrics {
    let mut metrics = chosen(&of.metrics);
    let coverage = of.coverage.get("coverage@10").copied();
    let whole = |value| Interval {
        value,
        low: value,
        high: value,
    };
    metrics.extend(coverage.map(|value| ("coverage@10".to_string(), whole(value))));
    metrics
}

fn chosen(all: &Metrics) -> Metrics {
    let some = FIGURES
        .iter()
        .filter_map(|name| Some(((*name).to_string(), *all.get(*name)?)));
    some.collect()
}

/// Users as `predictions.parquet` holds them: `row`, what they took next, where it ranks and what they were recommended.
fn answered(plan: &Plan, asked: &Asked, answers: &[Answer]) -> Table {
    let item = |item: &u32| plan.catalogue.ids[*item as usize].clone();
    let users = asked.histories.iter();
    let users = users.map(|(key, _)| Some(plan.events.users[*key as usize].clone()));
    let lists = answers.iter().map(|answer| {
        let first = answer.list.iter().take(LISTED);
        Some(first.map(item).collect())
    });
    let count = |of: fn(&Answer) -> Option<u32>| {
        let counts = answers.iter().map(|answer| of(answer).map(f64::from));
        Values::Number(counts.collect())
    };
    made_of(vec![
        ("row", Values::Text(users.collect())),
        (
            "truth",
            Values::Text(asked.next.iter().map(|next| Some(item(next))).collect()),
        ),
        ("recommended", Values::List(lists.collect())),
        (
            ABOVE,
            count(|answer| answer.places.first().map(|place| place.above)),
        ),
        (
            TIED,
            count(|answer| answer.places.first().map(|place| place.tied)),
        ),
    ])
}

/// A few users: what they took last, what they took next, and what was recommended before and after.
fn shown(
    plan: &Plan,
    asked: &Asked,
    answers: &[Answer],
    before: Option<&Rival>,
) -> Vec<(Shown, String)> {
    let name = |item: u32| called(plan, item as usize);
    let first = |answer: &Answer| {
        answer
            .list
            .first()
            .map_or(String::new(), |item| name(*item))
    };
    let step = (answers.len() / SHOWN).max(1);
    let rows = (0..answers.len()).step_by(step).take(SHOWN);
    rows.map(|row| {
        let (key, history) = &asked.histories[row];
        let recent: Vec<String> = history
            .last(RECENT)
            .items
            .iter()
            .map(|item| name(*item))
            .collect();
        let shown = Shown {
            id: format!("user {}", plan.events.users[*key as usize]),
            text: recent.join(" → "),
            truth: name(asked.next[row]),
            predicted: first(&answers[row]),
            confidence: 1.0
                + answers[row]
                    .places
                    .first()
                    .map_or(0.0, |place| place.rank()),
            picture: None,
        };
        (
            shown,
            before.map_or(String::new(), |rival| {
                let item = first(&rival.answers[row]);
                match rival.name {
                    BEFORE => item,
                    other => format!("{item} (by {other})"),
                }
            }),
        )
    })
    .collect()
}

/// What an item is called: the beginning of its text, or its id.
fn called(plan: &Plan, item: usize) -> String {
    let text = &plan.catalogue.texts[item];
    let text = if text.is_empty() {
        &plan.catalogue.ids[item]
    } else {
        text
    };
    // Titles come first, and end with a full stop.
    let title = text.split(". ").next().unwrap_or(text);
    if title.chars().count() <= CALLED {
        return title.to_string();
    }
    let cut: String = title.chars().take(CALLED).collect();
    format!("{cut}…")
}

/// Writes figures, record, card and report.
pub(super) fn write(
    run: &RunFolder,
    plan: &Plan,
    (manifest, measured): (&Manifest, &Measured),
) -> Result<()> {
    run.write("metrics.json", &pretty(&measured.evaluated)?)?;
    run.write("ranking.json", &pretty(&measured.ranking)?)?;
    retune_data::write::write(&measured.answered, &run.parts().join(PREDICTIONS))?;
    run.write("bundle.json", &pretty(manifest)?)?;
    record::write(run, &recorded(run, plan, (manifest, measured))?)
}

fn recorded(
    run: &RunFolder,
    plan: &Plan,
    (manifest, measured): (&Manifest, &Measured),
) -> Result<RunRecord> {
    let title = plan
        .out
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(RunRecord {
        title,
        task: TASK.to_string(),
        model: manifest
            .parent
            .as_ref()
            .map_or(manifest.base.reference.clone(), |p| p.reference.clone()),
        method: manifest.method.clone(),
        created: manifest.created.clone(),
        reproduce: format!(
            "retune train {}/recipe.toml --out again",
            plan.out.display()
        ),
        recipe_toml: plan.recipe.to_toml(),
        data: data(plan),
        machine: record::machine(manifest),
        classes: Vec::new(),
        events: record::events(&run.events_path())?,
        evaluated: measured.evaluated.clone(),
        reliability: Vec::new(),
        scatter: Vec::new(),
        mistakes: Vec::new(),
        before_after: measured.before_after.clone(),
        costs: measured.costs.clone(),
        curve: None,
        fingerprints: manifest.data.clone(),
        license: None,
        pictures: None,
    })
}

fn data(plan: &Plan) -> Vec<(String, String)> {
    let (facts, counts) = &plan.facts;
    let pair = |name: &str, text: String| (name.to_string(), text);
    let mut rows = vec![
        pair("events", facts.events.to_string()),
        pair(
            "users",
            format!("{}, of which {} are asked", facts.users, counts.test),
        ),
        pair("items", plan.items().to_string()),
        pair("split", show::division(plan)),
        pair(
            "repeats",
            format!("{:.1} % of the events", facts.repeats * 100.0),
        ),
        pair(
            "ties",
            format!(
                "{:.1} % of the events share user and time with another",
                facts.ties * 100.0
            ),
        ),
        pair(
            "test items that nobody took before",
            counts.cold.to_string(),
        ),
    ];
    for reason in plan.events.reasons.iter().chain(&plan.catalogue.reasons) {
        rows.push((
            format!("column `{}`", reason.column),
            format!("{}: {}", reason.role, reason.why),
        ));
    }
    rows
}
