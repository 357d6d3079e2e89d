//! How many users it takes: the tuned model and what it is held against on growing shares of the users.
//!
//! The shares of a seed are nested. Users outside a share teach nothing, neither as training sequences nor by their
//! validation items; the test asks all users, whose histories are read by whoever has learned from others.

use std::path::Path;

use burn::tensor::Tensor;
use retune_eval::ranking::{
    Answer, History as PastHistory, Past, Place, Popularity, Question, Rated, judge,
};
use retune_eval::ranking::{answer_all, floors};
use retune_eval::{Event, FloorVerdict};
use retune_kernels::dropout::mix;
use serde::{Deserialize, Serialize};

use super::PRIMARY;
use super::bundle;
use super::plan::Plan;
use super::rank::{Asked, Side};
use super::run::{Ground, WEEK, begin, started, texts};
use crate::curve::{Curve, CurveOptions, Terms, concluded};
use crate::error::{Error, Result};
use crate::points::Points;
use crate::run::on_threads;
use crate::train::Flow;
use crate::weights::Place as Where;

/// Fewest users of a share.
const LEAST_USERS: usize = 8;

/// The standing of each user's next item.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Places {
    /// Items above it, and others that tie with it.
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
    let mut points = Points::open(folder, &started(plan)?, &plan.recipe, options)?;
    let (texts, _) = texts(plan, on)?;
    let everybody = plan.histories.len();
    points.fill(
        (options, &models(plan)),
        &|seed, share| share_of(everybody, share, seed).len(),
        &mut |(model, seed, share)| {
            let users = share_of(everybody, share, seed);
            let answers = answers(plan, texts.as_ref(), (model, seed), &users)?;
            Ok(scored(answers))
        },
        on,
    )?;
    let test = Asked::of(&plan.histories, Side::Test);
    let questions = test.questions();
    let past = Past::new(&[], plan.items()).map_err(|error| Error::Internal(error.to_string()))?;
    let popularity = Popularity::of(&past);
    let seed = plan.recipe.seed;
    let gap = |tuned: &[&Places], scratch: &[&Places]| {
        let again = |all: &[&Places]| all.iter().map(|of| again(&of.places)).collect::<Vec<_>>();
        let (tuned, scratch) = (again(tuned), again(scratch));
        let of = |all| rated(all, &questions, &popularity);
        let verdict = judge(&of(&tuned), &[("scratch", of(&scratch))], PRIMARY, seed);
        verdict.floors.get("scratch").map(FloorVerdict::interval)
    };
    let terms = Terms {
        metric: PRIMARY,
        labels: everybody,
        options,
        seed,
    };
    Ok(concluded(&points, &terms, &gap, plan.data_hashes()?))
}

/// Answers of several seeds to the same questions, to be judged.
fn rated<'a>(
    all: &'a [Vec<Answer>],
    questions: &'a [Question<'a>],
    popularity: &'a Popularity,
) -> Vec<Rated<'a>> {
    let rate = |answers: &'a Vec<Answer>| Rated {
        questions,
        answers,
        popularity,
    };
    all.iter().map(rate).collect()
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

/// The score of answers, and the places that it rests on.
fn scored(answers: Vec<Answer>) -> (f64, Places) {
    let place = |answer: Answer| {
        answer
            .places
            .first()
            .map_or([u32::MAX, 0], |p| [p.above, p.tied])
    };
    let places: Vec<[u32; 2]> = answers.into_iter().map(place).collect();
    let means = super::rank::means(&again(&places));
    let score = means.get(PRIMARY).copied().unwrap_or(f64::NAN);
    (score, Places { places })
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
