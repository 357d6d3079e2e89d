//! What a run showed: figures with intervals, the verdict, and the record for the report.

use std::collections::BTreeMap;

use retune_data::processor::Labels;
use retune_eval::metrics::{majority_predictions, mistakes, reliability};
use retune_eval::records::Shown;
use retune_eval::{
    Cost, Decision, Evaluated, Matrix, Predictions, RunRecord, Targets, Word, evaluate, judge,
};

use super::alerts::{self, Alerts};
use super::plan::{Family, Plan, Rows};
use super::{show, two};
use crate::bundle::{Manifest, pretty, prior_name};
use crate::error::Result;
use crate::recipe::VerdictLevel;
use crate::record;
use crate::run_folder::RunFolder;
use crate::scoring;

/// Mistakes shown.
const MISTAKES: usize = 20;
/// Points of the scatter plot.
const POINTS: usize = 2000;
/// Rows shown with the answers of the model and of the linear one.
const SHOWN: usize = 5;
/// Fields of a row that are shown.
const FIELDS: usize = 8;

/// A model that the tuned one is held against.
pub(super) struct Rival {
    /// Its key in `baselines` and `verdict.floors`.
    pub name: &'static str,
    /// Its answers to the test rows.
    pub scores: Matrix,
    pub cost: Cost,
}

/// What the test showed.
pub(super) struct Measured {
    pub evaluated: Evaluated,
    /// Answers to the test rows.
    pub predictions: Predictions,
    pub before_after: Vec<(Shown, String)>,
    pub costs: BTreeMap<String, Cost>,
    /// Figures of a queue of alerts, for `fraud`.
    pub alerts: Option<Alerts>,
}

/// Answers with what was right.
pub(super) fn predictions(plan: &Plan, rows: &Rows, scores: Matrix) -> Predictions {
    Predictions {
        scores,
        targets: plan.task.targets(&rows.targets),
        slices: Vec::new(),
        ids: Vec::new(),
        decision: None,
    }
}

impl Measured {
    pub fn of(
        plan: &Plan,
        (valid, test): (&Matrix, Matrix),
        rivals: Vec<Rival>,
        (cost, notes): (Cost, Vec<String>),
    ) -> Result<Self> {
        let mut own = predictions(plan, &plan.test, test);
        own.decision = decided(plan, valid);
        let columns = plan.recipe.data.slices.iter();
        own.slices = columns
            .filter_map(|column| scoring::slice(&plan.table, column, &plan.test.at).ok())
            .collect();
        own.ids = plan
            .test
            .at
            .iter()
            .map(|row| plan.table.place(*row))
            .collect();
        let train = plan.task.targets(&plan.train.targets);
        let prior = majority_predictions(&train, &own);
        let prior_name = if plan.is_fraud() {
            "prior"
        } else {
            prior_name(&plan.labels)
        };
        let of = |scores: &Matrix| predictions(plan, &plan.test, scores.clone());
        let mut floors = vec![(prior_name, prior)];
        floors.extend(rivals.iter().map(|rival| (rival.name, of(&rival.scores))));
        let mut costs: BTreeMap<String, Cost> = rivals
            .iter()
            .map(|rival| (rival.name.to_string(), rival.cost))
            .collect();
        costs.insert("tuned".to_string(), cost);
        let (mut evaluated, alerts) = if plan.is_fraud() {
            let (evaluated, alerts) = alerts::measure(plan, (valid, &own), &floors)?;
            (evaluated, Some(alerts))
        } else {
            (figures(plan, &own, &floors), None)
        };
        evaluated.notes.extend(notes);
        evaluated.notes.extend(advice(plan, &evaluated));
        evaluated.notes.extend(stillness(plan, &evaluated));
        if let Some((name, _)) = floors.get(1) {
            let text = format!(
                "rows shown before and after tuning are answered by the {name} model before"
            );
            evaluated.notes.push(text);
        }
        Ok(Self {
            before_after: before_after(plan, &own, floors.get(1)),
            predictions: own,
            evaluated,
            costs,
            alerts,
        })
    }
}

/// How scores become answers where the recipe has a goal: chosen on the validation rows.
fn decided(plan: &Plan, valid: &Matrix) -> Option<Decision> {
    let wanted = &plan.recipe.decide;
    if let Some(goal) = wanted.goal {
        let rows = predictions(plan, &plan.valid, valid.clone());
        return Some(Decision::fit(&rows, goal, plan.positive).0);
    }
    let names = plan.labels.names();
    (!wanted.costs.is_empty()).then(|| Decision::Costs {
        costs: wanted.matrix(names),
    })
}

/// Figures of two classes at the threshold in use; none for other tasks.
pub(super) fn of_two(
    (labels, positive): (&Labels, usize),
    own: &Predictions,
) -> retune_eval::Metrics {
    let (Targets::Class(classes), 2) = (&own.targets, labels.names().len()) else {
        return retune_eval::Metrics::new();
    };
    let chosen = own
        .decision
        .as_ref()
        .map_or(Vec::new(), Decision::thresholds);
    let threshold = chosen.first().map_or(0.5, |(class, threshold)| {
        if *class == positive {
            threshold.value
        } else {
            1.0 - threshold.value
        }
    });
    let scores: Vec<f32> = (0..own.scores.rows)
        .map(|row| own.scores.row(row)[positive])
        .collect();
    let truth: Vec<bool> = classes
        .iter()
        .map(|class| *class as usize == positive)
        .collect();
    two::figures(&scores, &truth, threshold)
}

fn figures(plan: &Plan, own: &Predictions, floors: &[(&str, Predictions)]) -> Evaluated {
    let evaluation = plan.evaluation();
    let seed = plan.recipe.seed;
    let mut evaluated = evaluate(own, &evaluation, "test", seed);
    evaluated
        .metrics
        .extend(of_two((&plan.labels, plan.positive), own));
    for (name, floor) in floors {
        evaluated.compare(name, (own, floor), &evaluation, seed);
    }
    if plan.recipe.verdict != VerdictLevel::Off {
        let sides: Vec<(&str, Vec<&Predictions>)> = floors
            .iter()
            .map(|(name, floor)| (*name, vec![floor]))
            .collect();
        evaluated.verdict = Some(judge(&[own], &sides, &evaluation, seed));
    }
    evaluated
}

/// What to do where trees, or the linear model, are better than the network.
fn advice(plan: &Plan, evaluated: &Evaluated) -> Option<String> {
    let gain = |name: &str| evaluated.gains.get(name).map(|gain| gain.value);
    let verdict = evaluated.verdict.as_ref()?;
    let word = |name: &str| verdict.floors.get(name).map(|floor| floor.word);
    let trees = gain("gbdt").filter(|_| plan.family != Family::Gbdt);
    if let Some(gain) = trees.filter(|gain| *gain < 0.0) {
        let sure = if word("gbdt") == Some(Word::Worse) {
            "better"
        } else {
            "better here, which may be chance"
        };
        return Some(format!(
            "trees are {sure}, by {:.3} in {}, and cost less: type the same with --model gbdt",
            -gain, evaluated.primary
        ));
    }
    (gain("linear")? > 0.0 && word("linear") != Some(Word::Improved))
        .then(|| "a linear model may be as good, and is easier to explain".to_string())
}

/// What to do where training all of a pre-trained model of events has not made it better than one of random numbers.
fn stillness(plan: &Plan, evaluated: &Evaluated) -> Option<String> {
    let verdict = evaluated.verdict.as_ref()?;
    let lost = verdict.floors.get("scratch")?.word != Word::Improved;
    let moves = plan.learns_on() && !plan.recipe.method.method().frozen_backbone();
    (moves && lost).then(|| {
        "what was learned without labels may be worth more where it stays as it came, which is faster, too: type the \
         same with --method head"
            .to_string()
    })
}

/// A row as reports show it: its first fields.
fn shown(plan: &Plan, index: usize, predicted: &Predictions) -> Shown {
    let rows = &plan.test;
    let answer = plan
        .task
        .answer(predicted.scores.row(index), &plan.labels, None);
    let target = &rows.targets[index];
    let error = match (target, answer.value) {
        (retune_data::Target::Value(wanted), Some(got)) => (f64::from(*wanted) - got).abs(),
        _ => 0.0,
    };
    let names = plan.inputs();
    let told: Vec<String> = (0..names.len().min(FIELDS))
        .map(|at| {
            let value = rows.cells.row(index)[at];
            let field = plan.fields.fields.get(at);
            let value = field.map_or_else(|| figure(value), |field| field.show(value));
            format!("{}: {value}", names[at])
        })
        .collect();
    Shown {
        id: plan.table.place(rows.at[index]),
        text: told.join(", "),
        truth: plan.task.truth(target, &plan.labels),
        predicted: answer.phrase(),
        confidence: answer.confidence.unwrap_or(error),
        picture: None,
    }
}

/// A number with as many digits as people read.
pub(super) fn figure(value: f32) -> String {
    if value.is_nan() {
        return "missing".to_string();
    }
    if value == value.round() {
        return format!("{value:.0}");
    }
    format!("{value:.3}")
}

/// A few test rows with the answers of the model, and those of the first floor that looks at them: of a stream of events the
/// most suspicious ones.
fn before_after(
    plan: &Plan,
    own: &Predictions,
    floor: Option<&(&str, Predictions)>,
) -> Vec<(Shown, String)> {
    let step = (own.scores.rows / SHOWN).max(1);
    let mut rows: Vec<usize> = (0..own.scores.rows).collect();
    if plan.is_fraud() {
        let score = |row: &usize| own.scores.row(*row)[plan.positive];
        rows.sort_by(|a, b| score(b).total_cmp(&score(a)));
        rows.truncate(SHOWN);
    } else {
        rows = rows.into_iter().step_by(step).take(SHOWN).collect();
    }
    rows.into_iter()
        .map(|row| {
            let before = floor.map_or(String::new(), |(_, floor)| {
                let answer = plan.task.answer(floor.scores.row(row), &plan.labels, None);
                answer.phrase()
            });
            (shown(plan, row, own), before)
        })
        .collect()
}

/// Writes figures, record, card and report.
pub(super) fn write(
    run: &RunFolder,
    plan: &Plan,
    (manifest, measured): (&Manifest, &Measured),
) -> Result<()> {
    run.write("metrics.json", &pretty(&measured.evaluated)?)?;
    if let Some(alerts) = &measured.alerts {
        run.write("fraud.json", &pretty(&alerts.evaluated)?)?;
        let title = plan.out.file_name().unwrap_or_default().to_string_lossy();
        let page = retune_eval::report::render_fraud(&title, &alerts.evaluated);
        run.write("fraud.html", page.as_bytes())?;
    }
    run.write("bundle.json", &pretty(manifest)?)?;
    record::write(run, &recorded(run, plan, (manifest, measured))?)
}

fn recorded(
    run: &RunFolder,
    plan: &Plan,
    (manifest, measured): (&Manifest, &Measured),
) -> Result<RunRecord> {
    let predictions = &measured.predictions;
    let title = plan.out.file_name().unwrap_or_default().to_string_lossy();
    let wrong = if plan.is_fraud() {
        Vec::new()
    } else {
        mistakes(predictions, MISTAKES)
    };
    Ok(RunRecord {
        title: title.into_owned(),
        task: plan.task.name().to_string(),
        model: plan.family.name().to_string(),
        method: manifest.method.clone(),
        created: manifest.created.clone(),
        reproduce: format!(
            "retune train {}/recipe.toml --out again",
            plan.out.display()
        ),
        recipe_toml: plan.recipe.to_toml(),
        data: show::data(plan),
        machine: record::machine(manifest),
        classes: plan.labels.names().to_vec(),
        events: record::events(&run.events_path())?,
        evaluated: measured.evaluated.clone(),
        reliability: match predictions.targets {
            Targets::Value(_) => Vec::new(),
            _ => reliability(predictions, 10),
        },
        scatter: match &predictions.targets {
            Targets::Value(truth) => (0..truth.len().min(POINTS))
                .map(|i| (f64::from(truth[i]), f64::from(predictions.scores.row(i)[0])))
                .collect(),
            _ => Vec::new(),
        },
        mistakes: wrong
            .into_iter()
            .map(|i| shown(plan, i, predictions))
            .collect(),
        before_after: measured.before_after.clone(),
        costs: measured.costs.clone(),
        curve: None,
        fingerprints: manifest.data.clone(),
        license: None,
        pictures: None,
    })
}
