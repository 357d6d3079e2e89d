//! How many labels it takes: the model of a table and what it is held against on growing shares of the labels before the test.
//!
//! Labels outside a share are hidden, from features of the past, too; events are not. The shares of a seed are nested, and the test
//! rows are the same everywhere.

use std::path::Path;

use retune_eval::{Event, Matrix, Predictions};

use super::correction::Correction;
use super::figures::predictions;
use super::plan::{Family, Plan};
use super::run::{On, random, started, unsaved, unsurprised};
use crate::curve::{Curve, CurveOptions, Scores, Terms, concluded, difference, rated};
use crate::error::{Error, Result};
use crate::points::Points;
use crate::run::on_threads;
use crate::train::Flow;

/// Measures every point that is not in `folder` yet, and concludes.
///
/// # Errors
/// As [`crate::curve::curve`]; a share without a label of every class.
pub fn curve(
    plan: &Plan,
    options: &CurveOptions,
    folder: &Path,
    on: &mut (dyn FnMut(&Event) -> Flow + Send),
) -> Result<Curve> {
    on_threads(&plan.recipe, || measured(plan, options, folder, on))
}

fn measured(plan: &Plan, options: &CurveOptions, folder: &Path, on: On) -> Result<Curve> {
    let mut points = Points::open(folder, &started(plan)?, &plan.recipe, options)?;
    let evaluation = plan.evaluation();
    let labels = plan.train.at.len();
    // The models of a share learn from one plan, which takes as long to make as the file takes to read.
    let mut some: Option<((u64, f64), Plan)> = None;
    points.fill(
        (options, &models(plan)),
        &|_, share| (share * labels as f64).round() as usize,
        &mut |(model, seed, share)| {
            let kept = some.take().filter(|(of, _)| *of == (seed, share));
            let (_, some) = some.insert(match kept {
                Some(kept) => kept,
                None => ((seed, share), shared(plan, (share, seed))?),
            });
            let scores = scores(some, model)?;
            let answered = predictions(plan, &plan.test, scores.clone());
            Ok((rated(&answered, &evaluation), scores.into()))
        },
        on,
    )?;
    let again = |all: &[&Scores]| -> Vec<Predictions> {
        let of = |scores: &&Scores| predictions(plan, &plan.test, scores.matrix());
        all.iter().map(of).collect()
    };
    let terms = Terms {
        metric: &evaluation.primary,
        labels,
        options,
        seed: plan.recipe.seed,
    };
    let gap = |tuned: &[&Scores], scratch: &[&Scores]| {
        difference((&again(tuned), &again(scratch)), &evaluation, terms.seed)
    };
    Ok(concluded(&points, &terms, &gap, plan.data_hashes()?))
}

/// What is measured at each share: the model, the same without what was learned without labels, and the other families that are
/// quick.
fn models(plan: &Plan) -> Vec<&'static str> {
    let mut models = vec!["tuned"];
    if plan.surprising().is_some() || plan.learns_on() {
        models.push("scratch");
    }
    if plan.family != Family::Gbdt {
        models.push("gbdt");
    }
    if plan.family != Family::Linear {
        models.push("linear");
    }
    models
}

/// The plan with a share of its labels.
fn shared(plan: &Plan, (share, seed): (f64, u64)) -> Result<Plan> {
    let mut recipe = plan.recipe.clone();
    recipe.tables.label_share *= share;
    recipe.tables.label_seed = Some(seed);
    let few = |why: &str| {
        let percent = share * 100.0;
        let text = format!(
            "{percent} % of the labels are too few: {why}; leave that share out of --shares"
        );
        Error::User(text)
    };
    let some = Plan::resolve(&recipe, Some(&plan.out)).map_err(|problems| {
        let why: Vec<String> = problems.iter().map(ToString::to_string).collect();
        few(&why.join("; "))
    })?;
    let (wanted, found) = (plan.labels.names(), some.labels.names());
    if wanted != found {
        let lacking = wanted.iter().filter(|name| !found.contains(name));
        let lacking: Vec<&str> = lacking.map(String::as_str).collect();
        return Err(few(&format!("none is {}", lacking.join(" or "))));
    }
    Ok(some)
}

/// What a model that has learned from a plan's labels answers to its test rows.
fn scores(plan: &Plan, model: &str) -> Result<Matrix> {
    let quiet = &mut |_: &Event| Flow::Continue;
    let trained = match (model, plan.surprising()) {
        ("scratch", Some(history)) => unsurprised(plan, history)?,
        ("scratch", None) => random(plan, quiet)?,
        ("gbdt", _) => unsaved(plan, Family::Gbdt, quiet)?,
        ("linear", _) => unsaved(plan, Family::Linear, quiet)?,
        _ => unsaved(plan, plan.family, quiet)?,
    };
    crate::ops::cpu::release();
    Ok(Correction::of_prior(plan).apply(trained.test, plan.positive))
}
