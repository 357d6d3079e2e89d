//! Networks of tables: how they are trained on a plan's rows, alone or with a model of events.

use std::borrow::Cow;

use burn::module::Module as _;
use retune_data::fields::Cells;
use retune_data::processor::Labels;
use retune_eval::Matrix;

use super::bundle::Kept;
use super::history::History;
use super::inputs::Inputs;
use super::joint::{Ground, Joint, place};
use super::net::{self, Job, Net, NetForm, Pace};
use super::plan::{Family, Plan, Rows};
use super::run::{On, Trained, units, validation};
use super::undersample::learned;
use crate::error::{Error, Result};
use crate::events::bundle::fresh;
use crate::losses::Objective;
use crate::methods::MethodRecipe;
use crate::run::stage;
use crate::train::state::Snapshot;
use crate::train::{Fitted, SaveWhen};
use crate::weights::{Place, Source, merged};

/// Learning rate of networks where the recipe names none.
pub(crate) const USUAL_LR: f64 = 2e-3;
/// Passes, validations without improvement, learning rate and dropout of networks where the recipe names none.
const USUAL: (f64, usize, f64, f64) = (40.0, 8, USUAL_LR, 0.1);

/// Decay of the average of a network's weights that is kept.
const AVERAGE: f64 = 0.98;

/// Where a model of events begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    /// With the one that the recipe goes on from, if it names one.
    Gone,
    /// With random numbers.
    Random,
}

impl Start {
    /// What of the model of events trains from here: all of one of random numbers.
    fn method(self, plan: &Plan) -> MethodRecipe {
        match self {
            Self::Gone => plan.recipe.method.clone(),
            Self::Random => MethodRecipe::default(),
        }
    }
}

/// A network, from random numbers.
pub(super) fn taught(
    plan: &Plan,
    (name, start): (&str, Start),
    saved: (Option<net::Save<'_>>, Option<Snapshot>),
    on: On,
) -> Result<Trained> {
    let method = start.method(plan);
    let method = method.method();
    let history = plan
        .history
        .as_ref()
        .filter(|_| plan.family == Family::Events);
    let (frozen, joint) = match history {
        Some(history) if method.frozen_backbone() => (Some(history), None),
        joint => (None, joint),
    };
    let train = learned(plan, &plan.train);
    let engineered = plan.inputs().len() - plan.fields.fields.len();
    let fields = Inputs::fit(&plan.fields.fields, engineered, &train.cells);
    let said = |of: Option<&History>, rows: &Rows| of.map(|of| of.columns(&of.model, &rows.at));
    let of_train = said(history, &train);
    let inputs = match &of_train {
        Some(said) => fields.clone().and_plain(said),
        None => fields.clone(),
    };
    let train = told(&train, of_train.filter(|_| frozen.is_some()));
    let [valid, test] = [&plan.valid, &plan.test].map(|rows| told(rows, said(frozen, rows)));
    let (form, net) = begun(plan, &inputs)?;
    let objective = objective(plan, &train)?;
    let job = Job {
        inputs: &inputs,
        pace: pace(plan, train.targets.len()),
        objective: objective.as_ref(),
        units: units(&plan.labels),
        train: train.known(),
        valid: valid.known(),
    };
    stage(on, name, Some(job.steps().0));
    if let Some(history) = joint {
        let ground = Ground {
            method,
            goes_on: matches!(start, Start::Gone) && history.goes_on(),
            history,
            fields: &fields,
            at: [&train.at, &valid.at],
        };
        return taught_jointly(plan, (&ground, &job, form), net, saved, on);
    }
    let past = frozen.map(|history| crate::weights::host_values(&history.model));
    let trained = taught_alone(plan, (&job, form), (net, &test.cells), saved, on)?;
    Ok(Trained { past, ..trained })
}

/// Rows with what a frozen model of events said of them beside what is known of them.
fn told(rows: &Rows, said: Option<Cells>) -> Cow<'_, Rows> {
    let Some(said) = said else {
        return Cow::Borrowed(rows);
    };
    Cow::Owned(Rows {
        at: rows.at.clone(),
        cells: rows.cells.beside(&said),
        targets: rows.targets.clone(),
    })
}

/// A network that reads a job's inputs and nothing else.
fn taught_alone(
    plan: &Plan,
    (job, form): (&Job, NetForm),
    (net, test): (Net, &Cells),
    saved: (Option<net::Save<'_>>, Option<Snapshot>),
    on: On,
) -> Result<Trained> {
    let rate = |scores: &Matrix| validation(plan, scores);
    let fitted: Fitted<Net> = job.fit(net, &rate, saved, on)?;
    crate::ops::cpu::release();
    let plain = fitted.model.valid();
    let classes = job.objective.is_some();
    let of = |cells: &Cells| net::answers(&plain, job.inputs, cells, job.units, classes);
    Ok(Trained {
        valid: of(job.valid.cells),
        test: of(test),
        steps: (fitted.best_step, fitted.steps),
        interrupted: fitted.interrupted,
        note: None,
        kept: Kept::Net {
            weights: crate::weights::host_values(&plain),
            form,
            inputs: job.inputs.clone(),
        },
        past: None,
    })
}

/// What classes are learned by.
fn objective(plan: &Plan, train: &Rows) -> Result<Option<Objective>> {
    if matches!(plan.labels, Labels::Number { .. }) {
        return Ok(None);
    }
    let found = Objective::of(&plan.recipe.loss, &plan.labels, &train.targets);
    found
        .map(Some)
        .map_err(|problem| Error::Problems(vec![problem]))
}

/// Networks of random numbers for these inputs.
fn begun(plan: &Plan, inputs: &Inputs) -> Result<(NetForm, Net)> {
    let of = &plan.recipe.tables;
    let form = NetForm {
        inputs: inputs.width(),
        outputs: plan.labels.outputs(),
        members: of.members,
        width: of.net_width,
        layers: of.net_layers,
        dropout: plan.recipe.train.dropout.unwrap_or(USUAL.3),
    };
    let place = Place::cpu(true, plan.recipe.products());
    let keys = |path: &str| vec![path.to_string()];
    let mut source = Source::new(None, &keys, &place, plan.recipe.seed, Net::spread(&form));
    let net = Net::load(&mut source, &form).map_err(|error| Error::Internal(error.to_string()))?;
    Ok((form, net))
}

/// The same with a model of events, which goes on from one that learned without labels where the ground says so.
fn taught_jointly(
    plan: &Plan,
    (ground, job, form): (&Ground, &Job, NetForm),
    net: Net,
    (save, from): (Option<net::Save<'_>>, Option<Snapshot>),
    on: On,
) -> Result<Trained> {
    let place = place(ground.method, plan.recipe.products());
    let scale = place.adapters.as_ref().map(|updates| updates.scale);
    let seed = plan.recipe.seed;
    let past = if ground.goes_on {
        ground.history.begin(&place, seed)?
    } else {
        fresh(&ground.history.of.form, &place, seed)?
    };
    let rate = |scores: &Matrix| validation(plan, scores);
    let fitted = ground.fit(job, Joint { past, net }, (&rate, save, from), on)?;
    crate::ops::cpu::release();
    let plain = fitted.model.valid();
    let of = |rows: &Rows| ground.answers(job, &plain, (&rows.cells, &rows.at));
    let past = crate::weights::host_values(&plain.past);
    Ok(Trained {
        valid: of(&plan.valid),
        test: of(&plan.test),
        steps: (fitted.best_step, fitted.steps),
        interrupted: fitted.interrupted,
        note: None,
        kept: Kept::Net {
            weights: crate::weights::host_values(&plain.net),
            form,
            inputs: job.inputs.clone(),
        },
        past: Some(match scale {
            Some(scale) => merged(past, scale),
            None => past,
        }),
    })
}

fn pace(plan: &Plan, rows: usize) -> Pace {
    let (epochs, patience, lr, _) = USUAL;
    let train = &plan.recipe.train;
    Pace {
        epochs: train.epochs.unwrap_or(epochs),
        patience: train.patience.unwrap_or(patience),
        lr: train.lr.unwrap_or(lr),
        batch: batch(plan, rows),
        weight_decay: train.weight_decay,
        clip_norm: train.clip_norm,
        average: Some(train.ema.unwrap_or(AVERAGE)).filter(|decay| *decay > 0.0),
        max_steps: train.max_steps,
        save: match train.checkpoint_every {
            Some(steps) => SaveWhen::Steps(steps),
            None => SaveWhen::Time(crate::job::BETWEEN_STATES),
        },
        seed: plan.recipe.seed,
    }
}

/// Rows per step of a network: as the recipe says, or so many that a pass has thirty-two steps, from 32 to 256.
fn batch(plan: &Plan, rows: usize) -> usize {
    let usual = || (rows / 32).next_power_of_two().clamp(32, 256);
    plan.recipe.tables.rows_per_step.unwrap_or_else(usual)
}
