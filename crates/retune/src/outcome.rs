//! What a model showed on the rows of a split: predictions, figures, rows worth showing.

use retune_data::{Example, Target};
use retune_eval::metrics::majority_predictions;
use retune_eval::records::{Pictures, Shown};
use retune_eval::{Decision, Evaluated, Matrix, Predictions, Targets, evaluate};

use crate::bundle;
use crate::embedding;
use crate::pictures;
use crate::plan::Plan;
use crate::scoring;
use crate::tasks::Answer;
use crate::train::Validation;

/// Scores with their right answers. Where vectors are rated, those of the gallery may stand behind those of `rows`.
pub(crate) fn predictions(
    plan: &Plan,
    rows: &[Example],
    scores: Matrix,
    details: bool,
) -> Predictions {
    let (scores, targets) = if embedding::rates(plan.task) {
        embedding::rated(plan, rows, &scores)
    } else {
        let targets: Vec<Target> = rows.iter().map(|e| e.target.clone()).collect();
        (scores, plan.task.targets(&targets))
    };
    let mut predictions = Predictions {
        scores,
        targets,
        slices: Vec::new(),
        ids: Vec::new(),
        decision: None,
    };
    if details {
        let at: Vec<usize> = rows.iter().map(|e| e.meta.row as usize).collect();
        let columns = plan.recipe.data.slices.iter();
        // The plan has checked that every slice column is there.
        predictions.slices = columns
            .filter_map(|column| scoring::slice(&plan.table, column, &at).ok())
            .collect();
        predictions.ids = at.iter().map(|row| plan.table.place(*row)).collect();
    }
    predictions
}

/// Metrics of a validation pass and the one that selects.
pub(crate) fn selection(plan: &Plan, predictions: &Predictions) -> Validation {
    let evaluation = plan.task.evaluation(plan.processor.labels());
    let metrics = retune_eval::metrics::point(predictions, &evaluation);
    let selecting = plan.selecting_metric();
    let value = metrics.get(&selecting.name).copied();
    Validation {
        loss: 0.0,
        metrics,
        score: value.map_or(f64::NEG_INFINITY, |value| selecting.sign * value),
    }
}

/// What the test rows showed.
pub(crate) struct Outcome {
    /// The model's predictions.
    pub predictions: Predictions,
    /// Figures with floors.
    pub evaluated: Evaluated,
    /// A few rows after tuning, with the answer before.
    pub before_after: Vec<(Shown, String)>,
    /// Pictures worth showing.
    pub pictures: Option<Pictures>,
    /// Vectors of the gallery, `[training and validation rows, width]`, where vectors are rated.
    pub gallery: Option<Matrix>,
}

impl Outcome {
    /// Of the test rows' scores and how they become answers; `before` are the scores of the model as it came.
    pub(crate) fn new(
        plan: &Plan,
        (scores, decision): (Matrix, Option<Decision>),
        before: Option<&Matrix>,
    ) -> Self {
        let evaluation = plan.task.evaluation(plan.processor.labels());
        let gallery = embedding::behind(plan, plan.test.len(), &scores);
        let predicted = Predictions {
            decision,
            ..predictions(plan, &plan.test, scores, true)
        };
        Self {
            before_after: before
                .map_or(Vec::new(), |before| before_after(plan, &predicted, before)),
            evaluated: evaluate(&predicted, &evaluation, "test", plan.recipe.seed),
            predictions: predicted,
            pictures: None,
            gallery,
        }
    }

    /// What knowing the training answers alone would say of the test rows, and its name.
    pub(crate) fn prior(&self, plan: &Plan) -> (&'static str, Predictions) {
        let train: Vec<Target> = plan.train.iter().map(|e| e.target.clone()).collect();
        let prior = majority_predictions(&plan.task.targets(&train), &self.predictions);
        (bundle::prior_name(plan.processor.labels()), prior)
    }
}

/// A test row as reports show it.
pub(crate) fn shown(plan: &Plan, index: usize, predicted: &Predictions) -> Shown {
    let example = &plan.test[index];
    let row = example.meta.row as usize;
    let answer = answer(plan, index, predicted);
    let truth = truth(plan, example);
    let error = match (&example.target, answer.value) {
        (Target::Value(wanted), Some(got)) => (f64::from(*wanted) - got).abs(),
        _ => 0.0,
    };
    Shown {
        id: plan.table.place(row),
        text: words(plan, row),
        truth,
        predicted: answer.phrase(),
        confidence: answer.confidence.unwrap_or(error),
        picture: pictures::thumbnail(&plan.processor, example),
    }
}

/// What a model answers to a row; where vectors are rated, the label of what is near it.
pub(crate) fn answer(plan: &Plan, index: usize, predicted: &Predictions) -> Answer {
    if let Targets::Vectors(found) = &predicted.targets {
        return embedding::answer(found, index);
    }
    let decision = predicted.decision.as_ref();
    let scores = predicted.scores.row(index);
    plan.task.answer(scores, plan.processor.labels(), decision)
}

/// The right answer of a row, that of a label unknown to the model included.
pub(crate) fn truth(plan: &Plan, example: &Example) -> String {
    let column = plan.processor.label().map(|label| plan.table.column(label));
    match (&example.target, column) {
        (Target::None, Some(Ok(column))) => {
            let text = column.text(example.meta.row as usize);
            text.unwrap_or_default().trim().to_string()
        }
        (target, _) => plan.task.truth(target, plan.processor.labels()),
    }
}

/// The texts of a row of the table, or the file of its picture, shortened.
pub(crate) fn words(plan: &Plan, row: usize) -> String {
    let texts = plan.roles.text.iter();
    let texts: Vec<String> = texts
        .filter_map(|c| Some(plan.table.column(c).ok()?.text(row)?.into_owned()))
        .collect();
    shortened(&texts.join(" ⏐ "))
}

fn shortened(text: &str) -> String {
    const LIMIT: usize = 400;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// Five test rows of short, readable texts, spread over the split.
fn before_after(plan: &Plan, after: &Predictions, before: &Matrix) -> Vec<(Shown, String)> {
    const WANTED: usize = 5;
    let n = plan.test.len();
    let readable = |i: &usize| (8..=40).contains(&plan.test[*i].tokens());
    let mut rows: Vec<usize> = (0..n).filter(readable).collect();
    if rows.len() < WANTED {
        rows = (0..n).collect();
    }
    let step = (rows.len() / WANTED).max(1);
    let before = predictions(plan, &plan.test, before.clone(), false);
    rows.into_iter()
        .step_by(step)
        .take(WANTED)
        .map(|i| {
            let old = answer(plan, i, &before);
            (shown(plan, i, after), old.phrase())
        })
        .collect()
}
