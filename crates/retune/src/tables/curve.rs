//! How many labels it takes: the model of a table and what it is held against on growing shares of the labels before the test.
//!
//! Labels outside a share are hidden, from features of the past, too; events are not. The shares of a seed are nested, and the test
//! rows are the same everywhere.

use std::path::Path;

use retune_eval::curve::Band;
use retune_eval::metrics::point;
use retune_eval::{CurvePoint, Event, LabelCurve, Matrix, Predictions, judge};
use serde::{Deserialize, Serialize};

use super::correction::Correction;
use super::figures::predictions;
use super::plan::{Family, Plan};
use super::run::{On, random, started, unsaved, unsurprised};
use crate::curve::{Curve, CurveOptions};
use crate::error::{Error, Result};
use crate::points::PointFile;
use crate::run::on_threads;
use crate::train::Flow;

/// A point with what it answered on the test rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Done {
    #[serde(flatten)]
    point: CurvePoint,
    cols: usize,
    scores: Vec<f32>,
}

/// Model, share, rows, seed.
type At<'a> = (&'a str, f64, usize, u64);

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
    let mut recipe = plan.recipe.clone();
    (recipe.out, recipe.threads, recipe.memory) = (None, None, None);
    let (mut file, mut all) = PointFile::open(folder, &started(plan)?, &recipe)?;
    all.retain(|done: &Done| options.wants(&done.point));
    let models = models(plan);
    let total = options.shares.len() * options.seeds.len() * models.len();
    on(&Event::Stage {
        name: "curve".to_string(),
        total: Some(total as u64),
    });
    for &seed in &options.seeds {
        for &share in &options.shares {
            let rows = (share * plan.train.at.len() as f64).round() as usize;
            let known = |model: &&str| {
                let same = |p: &CurvePoint| p.model == *model && p.rows == rows && p.seed == seed;
                all.iter().any(|done| same(&done.point))
            };
            let left: Vec<&str> = models.iter().copied().filter(|m| !known(m)).collect();
            if left.is_empty() {
                continue;
            }
            let some = shared(plan, (share, seed))?;
            for model in left {
                let at = (model, share, rows, seed);
                let done = done(plan, at, scores(&some, model)?);
                file.add(&done)?;
                all.push(done);
                let done = all.len() as u64;
                if on(&Event::Progress { done }) == Flow::Stop {
                    return Err(Error::User(format!(
                        "stopped; the points so far are in {}: the same command goes on",
                        folder.display()
                    )));
                }
            }
        }
    }
    concluded(plan, &all, options)
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

/// A point with its score.
fn done(plan: &Plan, (model, share, rows, seed): At, scores: Matrix) -> Done {
    let evaluation = plan.evaluation();
    let (cols, data) = (scores.cols, scores.data.clone());
    let figures = point(&predictions(plan, &plan.test, scores), &evaluation);
    let score = figures.get(&evaluation.primary).copied();
    Done {
        point: CurvePoint {
            rows,
            share,
            model: model.to_string(),
            seed,
            score: score.unwrap_or(f64::NAN),
        },
        cols,
        scores: data,
    }
}

/// Points, gaps with intervals over seeds and test rows, and a forecast.
fn concluded(plan: &Plan, all: &[Done], options: &CurveOptions) -> Result<Curve> {
    let evaluation = plan.evaluation();
    let points = all.iter().map(|done| done.point.clone()).collect();
    let mut curve = LabelCurve::new(&evaluation.primary, points);
    let seed = plan.recipe.seed;
    for gap in &mut curve.gaps {
        let of = |model: &str| answered(plan, all, (model, gap.rows));
        let (tuned, scratch) = (of("tuned"), of("scratch"));
        let sides = [("scratch", scratch.iter().collect())];
        let verdict = judge(&tuned.iter().collect::<Vec<_>>(), &sides, &evaluation, seed);
        if let Some(found) = verdict.floors.get("scratch") {
            *gap = Band {
                score: found.interval(),
                ..*gap
            };
        }
    }
    let whole = plan.train.at.len();
    let more = if options.more == 0 {
        whole
    } else {
        options.more
    };
    curve.forecast = curve.forecast(1.0, whole + more, seed);
    Ok(Curve {
        curve,
        checked: None,
        data: plan.data_hashes()?,
    })
}

/// What a model answered at a number of labels, by seed.
fn answered(plan: &Plan, all: &[Done], (model, rows): (&str, usize)) -> Vec<Predictions> {
    let mine = |done: &&Done| done.point.model == model && done.point.rows == rows;
    let again = |done: &Done| {
        let scores = Matrix {
            rows: plan.test.at.len(),
            cols: done.cols,
            data: done.scores.clone(),
        };
        predictions(plan, &plan.test, scores)
    };
    all.iter().filter(mine).map(again).collect()
}
