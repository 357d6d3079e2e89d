//! How many users it takes: the tuned model and what it is held against on growing shares of the users.
//!
//! The shares of a seed are nested. Users outside a share teach nothing, neither as training sequences nor by their
//! validation items; the test asks all users, whose histories are read by whoever has learned from others.

use std::path::Path;

use burn::tensor::Tensor;
use retune_eval::curve::Band;
use retune_eval::ranking::{
    Answer, History as PastHistory, Past, Place, Popularity, Question, Rated, judge,
};
use retune_eval::ranking::{answer_all, floors};
use retune_eval::{CurvePoint, Event, LabelCurve};
use retune_kernels::dropout::mix;
use serde::{Deserialize, Serialize};

use super::PRIMARY;
use super::bundle;
use super::plan::Plan;
use super::rank::{Asked, Side};
use super::run::{Ground, WEEK, begin, started, texts};
use crate::curve::{Curve, CurveOptions};
use crate::error::{Error, Result};
use crate::points::PointFile;
use crate::run::on_threads;
use crate::train::Flow;
use crate::weights::Place as Where;

/// Fewest users of a share.
const LEAST_USERS: usize = 8;

/// A point with the standing of each user's next item.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Done {
    #[serde(flatten)]
    point: CurvePoint,
    /// Items above each user's next one, and others that tie with it.
    places: Vec<[u32; 2]>,
}

type On<'a> = &'a mut dyn FnMut(&Event) -> Flow;

/// Measures every point that is not in `folder` yet, and concludes.
///
/// # Errors
/// As [`crate::curve::curve`].
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
    let (texts, _) = texts(plan, on)?;
    let models = models(plan);
    let total = (options.shares.len() * options.seeds.len() * models.len()) as u64;
    on(&Event::Stage {
        name: "curve".to_string(),
        total: Some(total),
    });
    for &seed in &options.seeds {
        for &share in &options.shares {
            let users = share_of(plan.histories.len(), share, seed);
            for &model in &models {
                let same =
                    |p: &CurvePoint| p.model == model && p.rows == users.len() && p.seed == seed;
                if !all.iter().any(|done| same(&done.point)) {
                    let answers = answers(plan, texts.as_ref(), (model, seed), &users)?;
                    let done = done(answers, (model, share, users.len(), seed));
                    file.add(&done)?;
                    all.push(done);
                }
                if on(&Event::Progress {
                    done: all.len() as u64,
                }) == Flow::Stop
                {
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

/// What is measured at each share.
fn models(plan: &Plan) -> Vec<&'static str> {
    let mut models = vec!["tuned", "popularity", "item_knn", "scratch_ids"];
    if plan.origin.is_some() {
        models.extend(["base_model", "scratch"]);
    }
    models
}

/// Rows of a share of the users, ascending; every share of a seed holds the smaller ones.
fn share_of(users: usize, share: f64, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..users).collect();
    order.sort_by_key(|row| mix(mix(seed) ^ *row as u64));
    order.truncate(((share * users as f64).round() as usize).max(LEAST_USERS));
    order.sort_unstable();
    order
}

/// What a model that has learned from some users answers to all of them.
fn answers(
    plan: &Plan,
    texts: Option<&Tensor<2>>,
    (model, seed): (&str, u64),
    users: &[usize],
) -> Result<Vec<Answer>> {
    let test = Asked::of(&plan.histories, Side::Test);
    if matches!(model, "popularity" | "item_knn") {
        return Ok(counted(plan, model, users, &test.questions()));
    }
    let ground = Ground::of(plan, users.to_vec(), texts.cloned(), seed);
    let form = if model == "scratch_ids" {
        plan.form.ids_alone(plan.items())
    } else {
        plan.form.clone()
    };
    let start = match model {
        "tuned" | "base_model" => begin(plan, &form, seed)?.0,
        _ => bundle::fresh(&form, &Where::cpu(true, plan.recipe.products()), seed)?.0,
    };
    let quiet = &mut |_: &Event| Flow::Continue;
    let trained = match model {
        "base_model" => start,
        _ => ground.job(&form).fit(start, (None, None), quiet)?.model,
    };
    crate::ops::cpu::release();
    Ok(ground.tested(&trained, &form, "curve", quiet).0)
}

/// The same of a floor that only counts what these users took before their test.
fn counted(plan: &Plan, name: &str, users: &[usize], questions: &[Question]) -> Vec<Answer> {
    let of = |row: &usize| PastHistory {
        items: plan.histories.known(*row),
        times: plan.histories.known_times(*row),
    };
    let users: Vec<PastHistory> = users.iter().map(of).collect();
    let Ok(past) = Past::new(&users, plan.items()) else {
        return Vec::new();
    };
    let fitted = floors::fit(&past, WEEK)
        .into_iter()
        .find(|floor| floor.0 == name);
    let scorer = fitted.and_then(|(_, floor)| floor.ok());
    scorer.map_or(Vec::new(), |scorer| {
        answer_all(scorer.as_ref(), questions, plan.items(), plan.seen)
    })
}

fn done(answers: Vec<Answer>, (model, share, rows, seed): (&str, f64, usize, u64)) -> Done {
    let place = |answer: Answer| {
        answer
            .places
            .first()
            .map_or([u32::MAX, 0], |p| [p.above, p.tied])
    };
    let places: Vec<[u32; 2]> = answers.into_iter().map(place).collect();
    let means = super::rank::means(&again(&places));
    Done {
        point: CurvePoint {
            rows,
            share,
            model: model.to_string(),
            seed,
            score: means.get(PRIMARY).copied().unwrap_or(f64::NAN),
        },
        places,
    }
}

/// Answers of which only the places are known.
fn again(places: &[[u32; 2]]) -> Vec<Answer> {
    let answer = |[above, tied]: &[u32; 2]| Answer {
        places: vec![Place {
            above: *above,
            tied: *tied,
        }],
        list: Vec::new(),
    };
    places.iter().map(answer).collect()
}

/// Points, and gaps with intervals over seeds and users.
fn concluded(plan: &Plan, all: &[Done], options: &CurveOptions) -> Result<Curve> {
    let points = all.iter().map(|done| done.point.clone()).collect();
    let mut curve = LabelCurve::new(PRIMARY, points);
    let test = Asked::of(&plan.histories, Side::Test);
    let questions = test.questions();
    let past = Past::new(&[], plan.items()).map_err(|error| Error::Internal(error.to_string()))?;
    let popularity = Popularity::of(&past);
    for gap in &mut curve.gaps {
        let of = |model: &str| -> Vec<Vec<Answer>> {
            let mine = |done: &&Done| done.point.model == model && done.point.rows == gap.rows;
            all.iter()
                .filter(mine)
                .map(|done| again(&done.places))
                .collect()
        };
        let (tuned, scratch) = (of("tuned"), of("scratch"));
        let rate = |answers| Rated {
            questions: &questions,
            answers,
            popularity: &popularity,
        };
        let tuned: Vec<Rated> = tuned.iter().map(|answers| rate(answers)).collect();
        let scratch: Vec<Rated> = scratch.iter().map(|answers| rate(answers)).collect();
        let verdict = judge(&tuned, &[("scratch", scratch)], PRIMARY, plan.recipe.seed);
        if let Some(found) = verdict.floors.get("scratch") {
            *gap = Band {
                score: found.interval(),
                ..*gap
            };
        }
    }
    let users = plan.histories.len();
    let more = if options.more == 0 {
        users
    } else {
        options.more
    };
    curve.forecast = curve.forecast(1.0, users + more, plan.recipe.seed);
    Ok(Curve {
        curve,
        checked: None,
        data: plan.data_hashes()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_seed_are_nested_and_those_of_another_differ() {
        let (few, many) = (share_of(1000, 0.05, 1), share_of(1000, 0.2, 1));
        assert_eq!((few.len(), many.len()), (50, 200));
        assert!(few.iter().all(|row| many.contains(row)));
        assert_ne!(few, share_of(1000, 0.05, 2));
        assert_eq!(share_of(1000, 0.0001, 1).len(), LEAST_USERS);
        assert_eq!(share_of(1000, 1.0, 3), (0..1000).collect::<Vec<_>>());
    }
}
