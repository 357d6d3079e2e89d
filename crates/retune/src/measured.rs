//! What a tuned model shows on the test rows. The backbone passes over validation and test rows once; the temperature, the
//! thresholds and the figures come from the vectors that it gives, which a head can read as often as it takes.

use retune_data::Example;
use retune_data::batch::{HostBatch, Views};
use retune_data::picture::Tta;
use retune_data::processor::Labels;
use retune_eval::{Calibration, Event, Matrix};

use crate::decide;
use crate::embedding;
use crate::error::Result;
use crate::features::SequenceVectors;
use crate::forgetting;
use crate::model::Model;
use crate::outcome::{Outcome, predictions};
use crate::pictures;
use crate::plan::Plan;
use crate::proof::Floor;
use crate::run::stage;
use crate::scoring;
use crate::train::Flow;

type On<'a> = &'a mut dyn FnMut(&Event) -> Flow;

/// The model as it is kept, and what it shows on the test rows. `features` are what its backbone makes of all rows, where
/// that is known.
pub(crate) fn measured(
    plan: &Plan,
    model: Model,
    (features, floors): (Option<&SequenceVectors>, &[Floor]),
    on: On,
) -> Result<(Model, Outcome)> {
    let own;
    let vectors = if let Some(known) = features {
        known
    } else {
        own = passed(plan, &model, on)?;
        &own
    };
    let (model, calibration) = calibrated(plan, model, vectors)?;
    let scores = |rows: &[Example]| -> Result<Matrix> {
        let outputs = |host: &HostBatch| vectors.outputs(&model, host);
        let given = (rows, Views::Known);
        let (first, _) =
            scoring::scores_of(&outputs, plan.task, &plan.processor, given, &mut |_| ())?;
        let views = (rows, plan.recipe.pictures.tta);
        scoring::over_views(first, (&model, plan.task), &plan.processor, views)
    };
    let (decision, notes) = decide::fit(plan, &scores, on)?;
    stage(on, "evaluate", Some(plan.test.len() as u64));
    let before = floors.iter().find(|floor| floor.name == "base_model");
    let rows = embedding::rated_rows(plan);
    let mut outcome = Outcome::new(
        plan,
        (scores(&rows)?, decision),
        before.map(|floor| &floor.scores[0]),
    );
    let (parent_test, why) = forgetting::measure(plan, &model, on);
    outcome.evaluated.parent_test = parent_test;
    outcome.evaluated.notes.extend(notes.into_iter().chain(why));
    outcome.evaluated.calibration = calibration;
    outcome.evaluated.notes.extend(views_note(plan));
    outcome.pictures = pictures::of(plan, &model, &outcome.predictions)?;
    Ok((model, outcome))
}

/// What is said where answers are averages over views of a picture.
fn views_note(plan: &Plan) -> Option<String> {
    let tta = plan.recipe.pictures.tta;
    (tta != Tta::None).then(|| {
        format!(
            "the models answer with the mean over {} views of each picture ({tta}); the linear models, on frozen features \
             and on colours and edges, see one",
            tta.views()
        )
    })
}

/// Whether confidence can be set right: numbers and vectors have none.
fn has_confidence(plan: &Plan) -> bool {
    !matches!(plan.processor.labels(), Labels::Number { .. }) && !embedding::rates(plan.task)
}

/// The pass over the rows that the measurement looks at.
fn passed(plan: &Plan, model: &Model, on: On) -> Result<SequenceVectors> {
    let (name, rows) = if has_confidence(plan) {
        ("calibrate", [&plan.valid[..], &plan.test].concat())
    } else {
        ("evaluate", embedding::rated_rows(plan).into_owned())
    };
    stage(on, name, Some(rows.len() as u64));
    SequenceVectors::computed(model, &plan.processor, &rows, &mut |done| {
        on(&Event::Progress { done: done as u64 });
    })
}

/// The model with its confidence set right on the validation rows: the output layer divided by the temperature that
/// makes them likeliest (Guo et al., arXiv:1706.04599), and what that does on the test rows. Answers stay the same.
fn calibrated(
    plan: &Plan,
    mut model: Model,
    vectors: &SequenceVectors,
) -> Result<(Model, Option<Calibration>)> {
    if !has_confidence(plan) {
        return Ok((model, None));
    }
    let logits = |model: &Model, rows: &[Example]| -> Result<_> {
        let outputs = |host: &HostBatch| vectors.outputs(model, host);
        let matrix = scoring::outputs_of(&outputs, &plan.processor, (rows, Views::Known))?;
        let of = predictions(plan, rows, matrix, false);
        Ok((of.scores, of.targets))
    };
    let (valid, answers) = logits(&model, &plan.valid)?;
    let temperature = retune_eval::temperature(&valid, &answers);
    let (test, answers) = logits(&model, &plan.test)?;
    let found = Calibration::measure(&test, &answers, temperature);
    model.head = model.head.at_temperature(temperature);
    Ok((model, found))
}
