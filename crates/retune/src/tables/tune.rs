//! A search over models of tables and their knobs, on the validation rows only: test rows are not looked at.
//!
//! Every candidate is trained whole, so there is one rung: trees and linear models have no steps to cut short. A point on disk
//! is a training, as in [`crate::tune`].

use std::path::Path;

use retune_eval::halving::Rung;
use retune_eval::{Event, Search, Trial};

use super::plan::{Family, Plan};
use super::run::{On, selecting, started, unsaved, validation};
use super::unread;
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::run::{on_threads, stage};
use crate::train::Flow;
use crate::tune::{Candidate, Trainings, TuneRecipe, Tuned, candidates, problems_of, said};

/// Measures every candidate that is not in `folder` yet, and chooses. `asked` is the recipe that the plan was made of.
///
/// # Errors
/// As [`crate::tune::tune`].
pub fn tune(
    plan: &Plan,
    asked: &Recipe,
    folder: &Path,
    on: &mut (dyn FnMut(&Event) -> Flow + Send),
) -> Result<Tuned> {
    let recipe = start(plan, asked);
    let candidates = candidates(asked, &recipe, "model=gbdt,linear,tabular")?;
    let unread = problems_of(&candidates, |candidate| {
        Family::of(&candidate.recipe).map_or_else(
            |problem| vec![problem],
            |family| unread::of_family(&candidate.recipe, family),
        )
    });
    if !unread.is_empty() {
        return Err(Error::Problems(unread));
    }
    let trainings = Trainings::open(folder, &started(plan)?, &recipe)?;
    on_threads(&plan.recipe, || searched(plan, &candidates, trainings, on))
}

/// The recipe that candidates are made of: one without a model is searched over all that are quick.
fn start(plan: &Plan, asked: &Recipe) -> Recipe {
    let mut recipe = plan.recipe.clone();
    recipe.model.clone_from(&asked.model);
    (recipe.tune, recipe.out) = (TuneRecipe::default(), None);
    recipe
}

fn searched(
    plan: &Plan,
    candidates: &[Candidate],
    mut trainings: Trainings,
    on: On,
) -> Result<Tuned> {
    let names: Vec<String> = candidates.iter().map(Candidate::name).collect();
    let rung = Rung {
        candidates: names.len(),
        share: 1.0,
    };
    let metric = selecting(plan);
    let mut search = Search::new(&metric, plan.valid.at.len(), vec![rung], names);
    let total = candidates.len() as u64;
    stage(on, "candidates", Some(total));
    for (i, candidate) in candidates.iter().enumerate() {
        let trial = match trainings.find(candidate, None) {
            Some(trial) => trial,
            None => trainings.add(candidate, trained(plan, candidate)?)?,
        };
        let text = format!("{}: {}", candidate.name(), said(&trial, &metric));
        on(&Event::Note { text });
        search.candidates[i].trials.push(trial);
        let done = i as u64 + 1;
        if on(&Event::Progress { done }) == Flow::Stop && done < total {
            return Err(trainings.stopped());
        }
    }
    let Some((best, _)) = search.best() else {
        let text = "no candidate has a score on the validation rows";
        return Err(Error::User(text.to_string()));
    };
    let recipe = candidates[best].recipe.clone();
    Ok(Tuned { search, recipe })
}

/// A candidate's model and what the validation rows say of it.
fn trained(plan: &Plan, candidate: &Candidate) -> Result<Trial> {
    let plan = Plan::resolve(&candidate.recipe, Some(&plan.out)).map_err(Error::Problems)?;
    let found = unsaved(&plan, plan.family, &mut |_| Flow::Continue);
    crate::ops::cpu::release();
    let found = match found {
        Ok(found) => found,
        Err(error @ Error::Diverged(_)) => {
            return Ok(Trial {
                steps: 0,
                score: None,
                loss: None,
                note: Some(error.to_string()),
            });
        }
        Err(error) => return Err(error),
    };
    let rated = validation(&plan, &found.valid);
    let score = rated.metrics.get(&selecting(&plan)).copied();
    Ok(Trial {
        steps: if plan.family.is_network() {
            found.steps.1
        } else {
            0
        },
        score: score.filter(|score| score.is_finite()),
        loss: rated.metrics.get("log_loss").copied(),
        note: None,
    })
}
