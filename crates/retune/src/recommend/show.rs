//! A plan as people read it.

use std::fmt;
use std::path::PathBuf;

use retune_data::interactions::protocol::Counts;
use retune_data::interactions::{Facts, show_moment};
use retune_eval::ranking::Seen;
use serde::Serialize;

use super::plan::Plan;
use super::recommender::Form;
use crate::recipe::Recipe;

/// How events were divided, as a sentence fragment.
pub(super) fn division(plan: &Plan) -> String {
    match plan.histories.cut_off {
        None => {
            "of each user the last event is the test, the one before it the validation".to_string()
        }
        Some(moment) => format!(
            "nothing from {} on is learned from; of each user the first event from then on is the test, the last one \
             before it the validation",
            show_moment(moment)
        ),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for reason in self.events.reasons.iter().chain(&self.catalogue.reasons) {
            writeln!(f, "{:<12} `{}`: {}", reason.role, reason.column, reason.why)?;
        }
        let (facts, counts) = &self.facts;
        let mut line = |what: &str, text: String| writeln!(f, "{what:<12} {text}");
        line("task", super::plan::TASK.to_string())?;
        line("model", self.made_of())?;
        line("mode", self.recipe.recommend.mode.name().to_string())?;
        line(
            "events",
            format!(
                "{} of {} users with {} items",
                facts.events, facts.users, facts.items
            ),
        )?;
        line(
            "asked",
            format!(
                "{} users among all {} items; {} of the {} events to learn from train",
                counts.test,
                self.items(),
                counts.training,
                counts.training + counts.valid
            ),
        )?;
        line("split", division(self))?;
        let seen = match self.seen {
            Seen::Filtered => "left out of the ranking",
            Seen::Kept => "ranked like all others",
        };
        line("seen items", seen.to_string())?;
        let pace = &self.pace;
        line(
            "training",
            format!(
                "at most {} passes, until {} validations bring nothing better; {} users per step, learning rate {}",
                pace.epochs
                    .map_or("100 or more".to_string(), |epochs| epochs.to_string()),
                pace.patience,
                pace.batch,
                pace.lr
            ),
        )?;
        for note in &self.notes {
            line("note", note.clone())?;
        }
        line("out", self.out.display().to_string())
    }
}

/// The plan in figures, for `--json`.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Task name.
    pub task: &'static str,
    /// What the model is made of.
    pub form: Form,
    /// What the events are like.
    pub events: Facts,
    /// How many users learn and are asked.
    pub users: Counts,
    /// Number of items.
    pub items: usize,
    /// Folder of the bundle.
    pub out: PathBuf,
    /// Sentences worth reading before the run.
    pub notes: Vec<String>,
    /// The recipe with every choice filled in.
    pub recipe: Recipe,
}

impl Plan {
    /// The plan in figures.
    pub fn summary(&self) -> Summary {
        let (events, users) = self.facts;
        Summary {
            task: super::plan::TASK,
            form: self.form.clone(),
            events,
            users,
            items: self.items(),
            out: self.out.clone(),
            notes: self.notes.clone(),
            recipe: self.recipe.clone(),
        }
    }

    fn made_of(&self) -> String {
        let body = &self.form.body;
        let from = self.origin.as_ref().map_or(String::new(), |origin| {
            format!(", from {}", origin.parent.reference)
        });
        let items = match (&self.encoder, self.form.ids > 0) {
            (Some(encoder), true) => format!("texts by {} and ids", encoder.reference),
            (Some(encoder), false) => format!("texts by {}", encoder.reference),
            (None, _) => "ids".to_string(),
        };
        let kinds = match self.kinds.len() {
            0 => String::new(),
            n => format!(", {n} kinds of events"),
        };
        let categories = match self.categories.len() {
            0 => String::new(),
            n => format!(", {n} categories of {} columns", self.categories.columns()),
        };
        let popularity = if self.form.popularity {
            ", popularity given"
        } else {
            ""
        };
        format!(
            "seq: {} layers of width {}, histories up to {}; items known by {items}{categories}{popularity}{kinds}{from}",
            body.layers, body.width, body.max_length
        )
    }
}
