//! A run: floors, the model, figures and the bundle, from a plan.

use std::time::Instant;

use retune_data::processor::Labels;
use retune_eval::metrics::point;
use retune_eval::{Cost, Evaluated, Event, Matrix, metric};
use retune_kernels::process;

use super::bundle::{self, Kept, Saved};
use super::correction::{Correction, corrected};
use super::figures::{self, Measured, Rival};
use super::gbdt::{self, Trees};
use super::history::History;
use super::linear;
use super::net;
use super::plan::{Family, Plan, Rows};
use super::rolling;
use super::taught::{Start, taught};
use super::undersample::learned;
use crate::error::{Error, Result};
use crate::floors::classical::Effort;
use crate::proof::Meter;
use crate::recipe::VerdictLevel;
use crate::run::{Begun, Finished, Flow, gates, recorder, stage};
use crate::run_folder::{RunFolder, Started};
use crate::train::Validation;
use crate::train::state::Snapshot;
use crate::weights::HostTensor;

pub(super) type On<'a> = &'a mut dyn FnMut(&Event) -> Flow;

/// Carries out a plan. Its folder appears at `plan.out` at once and becomes a bundle when all of it is there.
///
/// # Errors
/// Diverged training, a full disk.
pub fn train(plan: Plan, on: &mut (dyn FnMut(&Event) -> Flow + Send)) -> Result<Finished> {
    let begun = Begun::new(&plan.recipe, &plan.out, started(&plan)?);
    begun.carried_out(None, on, |folder, from, on| {
        carry_out(&plan, folder, from, on)
    })
}

/// Goes on with the unfinished run in `plan.out`: the result is the same, bit for bit, as without the break. Trees are
/// grown anew, which takes seconds.
///
/// # Errors
/// As [`train`]; data or recipe that are not those the run was begun with.
pub fn resume(
    plan: Plan,
    force: bool,
    on: &mut (dyn FnMut(&Event) -> Flow + Send),
) -> Result<Finished> {
    let begun = Begun::new(&plan.recipe, &plan.out, started(&plan)?);
    begun.carried_out(Some(force), on, |folder, from, on| {
        carry_out(&plan, folder, from, on)
    })
}

pub(super) fn started(plan: &Plan) -> Result<Started> {
    Ok(Started {
        retune: env!("CARGO_PKG_VERSION").to_string(),
        data: plan.data_hashes()?,
        base: std::collections::BTreeMap::new(),
    })
}

/// A model that was trained and what it answers, as it says it.
pub(super) struct Trained {
    pub kept: Kept,
    pub valid: Matrix,
    pub test: Matrix,
    /// Step of the weights, and steps done.
    pub steps: (u64, u64),
    pub interrupted: bool,
    pub note: Option<String>,
    /// Weights of the model of events that learned with a network.
    pub past: Option<Vec<HostTensor>>,
}

fn carry_out(
    plan: &Plan,
    mut folder: RunFolder,
    from: Option<Snapshot>,
    on: On,
) -> Result<Finished> {
    let clock = Instant::now();
    let mut record = recorder(on);
    let (mut rivals, mut notes) = (Vec::new(), Vec::new());
    if plan.recipe.verdict != VerdictLevel::Off {
        let mut on = |event: &Event| record(event, &mut folder);
        notes.extend(straight(plan, &mut rivals, &mut on));
    }
    let meter = Meter::start();
    let trained = trained(plan, from, (&mut folder, &mut record))?;
    let cost = Cost {
        peak_rss_bytes: process::peak_resident_bytes(),
        ..meter.cost()
    };
    let before = plan.earlier.iter().filter(|_| !trained.interrupted);
    let earlier = rolling::earlier(plan, before, (&mut folder, &mut record))?;
    let mut on = |event: &Event| record(event, &mut folder);
    if !trained.interrupted {
        for rival in [other, without_history, from_scratch] {
            notes.extend(rival(plan, &mut rivals, &mut on)?);
        }
    }
    notes.extend(trained.note);
    stage(&mut on, "evaluate", Some(plan.test.at.len() as u64));
    let right = corrected(plan, trained.valid, trained.test)?;
    notes.extend(right.note);
    let mut measured = Measured::of(plan, (&right.valid, right.test), rivals, (cost, notes))?;
    stage(&mut on, "save", None);
    rolling::write(&folder, (plan, earlier), &mut measured.evaluated)?;
    let manifest = bundle::save(
        &folder,
        &Saved {
            plan,
            kept: &trained.kept,
            past: trained.past.as_deref(),
            correction: &right.correction,
            measured: &measured,
            steps: trained.steps,
            seconds: clock.elapsed().as_secs_f64(),
        },
    )?;
    figures::write(&folder, plan, (&manifest, &measured))?;
    folder.publish()?;
    Ok(Finished {
        bundle: plan.out.clone(),
        gates: gates(&plan.recipe, &measured.evaluated),
        require: plan.recipe.require,
        evaluated: measured.evaluated,
        before_after: measured.before_after,
        seconds: clock.elapsed().as_secs_f64(),
        peak_bytes: process::peak_resident_bytes(),
        forecast: None,
        interrupted: trained.interrupted,
    })
}

pub(super) type Recorder<'a> = &'a mut dyn FnMut(&Event, &mut RunFolder) -> Flow;

/// The model that was asked for.
fn trained(
    plan: &Plan,
    from: Option<Snapshot>,
    (folder, record): (&mut RunFolder, Recorder),
) -> Result<Trained> {
    match plan.family {
        Family::Gbdt => return grown(plan, &mut |event| record(event, folder)),
        Family::Linear => return lined(plan, [&plan.train, &plan.valid, &plan.test]),
        Family::Tabular | Family::Events => {}
    }
    let keep = plan.recipe.train.keep_checkpoints;
    // The loop saves and reports in turn, both into the one folder.
    let shared = std::cell::RefCell::new(&mut *folder);
    let save: net::Save = &mut |snapshot| shared.borrow_mut().save(snapshot, keep);
    let mut on = |event: &Event| record(event, &mut shared.borrow_mut());
    taught(plan, ("train", Start::Gone), (Some(save), from), &mut on)
}

/// Metrics of answers to the validation rows, as a model says them, and the one that selects.
pub(super) fn validation(plan: &Plan, scores: &Matrix) -> Validation {
    let evaluation = plan.evaluation();
    let scores = Correction::of_prior(plan).apply(scores.clone(), plan.positive);
    let predictions = figures::predictions(plan, &plan.valid, scores);
    let metrics = point(&predictions, &evaluation);
    let name = selecting(plan);
    let value = metrics.get(&name).copied();
    Validation {
        loss: metrics.get("log_loss").copied().unwrap_or(0.0),
        score: value.map_or(f64::NEG_INFINITY, |value| sign(&name) * value),
        metrics,
    }
}

/// What selects models, settings and weights, unless the recipe says: of classes the likelihood of the answers, which a few rows
/// tell better than their order.
pub(super) fn selecting(plan: &Plan) -> String {
    let asked = plan.recipe.train.metric.clone();
    asked.unwrap_or_else(|| match plan.labels {
        Labels::Classes { .. } if !plan.is_fraud() => "log_loss".to_string(),
        _ => plan.evaluation().primary,
    })
}

/// 1 where a larger value of a metric is better, -1 where a smaller one is.
fn sign(name: &str) -> f64 {
    if metric(name).is_none_or(|m| m.higher_is_better) {
        1.0
    } else {
        -1.0
    }
}

/// Adds the linear model; says what was selected.
fn straight(plan: &Plan, rivals: &mut Vec<Rival>, on: On) -> Option<String> {
    if plan.family == Family::Linear {
        return None;
    }
    stage(on, "linear", None);
    let meter = Meter::start();
    let found = straightened(plan, [&plan.train, &plan.valid, &plan.test])?;
    rivals.push(Rival {
        name: "linear",
        scores: Correction::of_prior(plan).apply(found.test, plan.positive),
        cost: meter.cost(),
    });
    Some(format!(
        "linear is a linear model on the same fields: C = {}",
        found.c
    ))
}

/// The linear model on these rows of training, validation and test.
fn straightened(plan: &Plan, [train, valid, test]: [&Rows; 3]) -> Option<linear::Found> {
    let train = learned(plan, train);
    let sides = linear::Sides {
        cells: [&train.cells, &valid.cells, &test.cells],
        targets: &train.targets,
    };
    let words: Vec<_> = plan.words().into_iter().take(train.cells.width).collect();
    let score = |scores: &Matrix| validation(plan, scores).score;
    linear::fit(&sides, &plan.labels, &words, effort(plan), &score)
}

/// The same as a model of its own.
fn lined(plan: &Plan, sides: [&Rows; 3]) -> Result<Trained> {
    let found = straightened(plan, sides);
    let found = found.ok_or_else(|| Error::User("no row is left to learn from".to_string()))?;
    Ok(Trained {
        kept: Kept::Linear(found.line),
        past: None,
        valid: found.valid,
        test: found.test,
        steps: (1, 1),
        interrupted: false,
        note: Some(format!(
            "linear is the best of its penalties on the validation rows: C = {}",
            found.c
        )),
    })
}

fn effort(plan: &Plan) -> Effort {
    match plan.recipe.verdict {
        VerdictLevel::Full => Effort::Full,
        _ => Effort::Fast,
    }
}

/// Adds the other family: trees beside a network always, a network beside trees where the verdict is to be full.
fn other(plan: &Plan, rivals: &mut Vec<Rival>, on: On) -> Result<Option<String>> {
    let wanted = match (plan.family, plan.recipe.verdict) {
        (_, VerdictLevel::Off) | (Family::Gbdt, VerdictLevel::Fast) => return Ok(None),
        (Family::Gbdt, VerdictLevel::Full) => Family::Tabular,
        _ => Family::Gbdt,
    };
    let meter = Meter::start();
    let found = unsaved(plan, wanted, on)?;
    if found.interrupted {
        return Ok(Some(
            "stopped before the other family was measured".to_string(),
        ));
    }
    rivals.push(Rival {
        name: match wanted {
            Family::Gbdt => "gbdt",
            _ => "network",
        },
        scores: Correction::of_prior(plan).apply(found.test, plan.positive),
        cost: meter.cost(),
    });
    Ok(found.note)
}

/// A model of this family that leaves neither steps nor states behind.
pub(super) fn unsaved(plan: &Plan, family: Family, on: On) -> Result<Trained> {
    match family {
        Family::Gbdt => return grown(plan, on),
        Family::Linear => return lined(plan, [&plan.train, &plan.valid, &plan.test]),
        Family::Tabular | Family::Events => {}
    }
    unwatched(plan, ("network", Start::Gone), on)
}

/// A network that leaves neither steps nor states behind.
fn unwatched(plan: &Plan, start: (&str, Start), on: On) -> Result<Trained> {
    let mut watch = |event: &Event| match event {
        Event::Step { step, .. } => on(&Event::Progress { done: *step }),
        Event::Stage { .. } => on(event),
        _ => Flow::Continue,
    };
    taught(plan, start, (None, None), &mut watch)
}

/// Figures of a model that is measured and not saved; nothing where its training was stopped.
pub(super) fn alone(plan: &Plan, on: On) -> Result<Option<Evaluated>> {
    let trained = unsaved(plan, plan.family, on)?;
    if trained.interrupted {
        return Ok(None);
    }
    let right = corrected(plan, trained.valid, trained.test)?;
    let rest = (Cost::default(), Vec::new());
    let measured = Measured::of(plan, (&right.valid, right.test), Vec::new(), rest)?;
    Ok(Some(measured.evaluated))
}

/// Trees: the setting is selected on the validation rows, which then train too.
fn grown(plan: &Plan, on: On) -> Result<Trained> {
    let settings = gbdt::grid().len() as u64;
    stage(on, "trees", Some(settings + 1));
    grown_on(plan, [&plan.train, &plan.valid, &plan.test], on)
}

/// The same on these rows of training, validation and test.
fn grown_on(plan: &Plan, [train, valid, test]: [&Rows; 3], on: On) -> Result<Trained> {
    let settings = gbdt::grid().len() as u64;
    let words: Vec<_> = plan.words().into_iter().take(train.cells.width).collect();
    let fit = (&words[..], plan.recipe.seed);
    let score = |scores: &Matrix| validation(plan, scores).score;
    let mut done = |done: usize| {
        on(&Event::Progress { done: done as u64 });
    };
    let train = learned(plan, train);
    let found = Trees::select(
        (&train.known(), &valid.cells),
        &plan.labels,
        fit,
        &score,
        &mut done,
    )?;
    let answers = found.scores(&valid.cells);
    let all = train.and(&learned(plan, valid));
    let trees = Trees::grow(&all.known(), &plan.labels, fit, found.setting)?;
    done(settings as usize + 1);
    let test = trees.scores(&test.cells);
    Ok(Trained {
        note: Some(format!(
            "gbdt is the best of {settings} settings on the validation rows, which then train too: {}",
            found.setting
        )),
        steps: (trees.setting.trees as u64, trees.setting.trees as u64),
        kept: Kept::Trees(trees),
        past: None,
        valid: answers,
        test,
        interrupted: false,
    })
}

/// Adds trees, or a linear model, without what a model of events says, beside those with it.
fn without_history(plan: &Plan, rivals: &mut Vec<Rival>, on: On) -> Result<Option<String>> {
    let Some(history) = plan.surprising() else {
        return Ok(None);
    };
    if plan.recipe.verdict == VerdictLevel::Off {
        return Ok(None);
    }
    stage(on, "without history", None);
    let meter = Meter::start();
    let found = unsurprised(plan, history)?;
    rivals.push(Rival {
        name: "no_history",
        scores: Correction::of_prior(plan).apply(found.test, plan.positive),
        cost: meter.cost(),
    });
    let told = "no_history is the same kind of model on the same rows, without what the model of events finds surprising";
    Ok(Some(told.to_string()))
}

/// The model on the same rows without what surprises a model of events.
pub(super) fn unsurprised(plan: &Plan, history: &History) -> Result<Trained> {
    let width = plan.train.cells.width - history.of.width();
    let sides = [&plan.train, &plan.valid, &plan.test].map(|rows| rows.first(width));
    let sides = sides.each_ref();
    match plan.family {
        Family::Linear => lined(plan, sides),
        _ => grown_on(plan, sides, &mut |_| Flow::Continue),
    }
}

/// The networks with a model of events of random numbers.
pub(super) fn random(plan: &Plan, on: On) -> Result<Trained> {
    unwatched(plan, ("scratch", Start::Random), on)
}

/// Adds the same networks with a model of events of random numbers, beside one that learned without labels.
fn from_scratch(plan: &Plan, rivals: &mut Vec<Rival>, on: On) -> Result<Option<String>> {
    if !plan.learns_on() || plan.recipe.verdict == VerdictLevel::Off {
        return Ok(None);
    }
    let meter = Meter::start();
    let found = random(plan, on)?;
    if found.interrupted {
        return Ok(Some(
            "stopped before the model from random numbers was measured".to_string(),
        ));
    }
    rivals.push(Rival {
        name: "scratch",
        scores: Correction::of_prior(plan).apply(found.test, plan.positive),
        cost: meter.cost(),
    });
    let told = "scratch is the same model from random numbers, on the same labels";
    Ok(Some(told.to_string()))
}

/// Standard deviation and mean of a number that is learned.
pub(super) fn units(labels: &Labels) -> (f64, f64) {
    match labels {
        Labels::Number { mean, std } => (*std, *mean),
        _ => (1.0, 0.0),
    }
}
