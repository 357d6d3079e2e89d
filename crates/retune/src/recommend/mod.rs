//! Recommendation: a sequence model over items that are known by their texts, tuned on who took what after what.
//!
//! ```text
//! files ─read→ Interactions + Catalogue ─divide→ Histories ─sequences→ SequenceBatch ─Recommender→ states
//!   ─loss→ Loss ─fit→ Recommender' ─answers→ Answer ─rate→ RankingEvaluated ─save→ bundle ─open→ Shelf
//! ```
//!
//! The loop ([`crate::train`]), the kernels, states of runs and the report page are those of every other task.

pub mod bundle;
pub mod categories;
pub mod curve;
mod figures;
pub mod job;
mod mode;
pub mod plan;
mod popularity;
pub mod rank;
pub mod recommender;
pub mod run;
pub mod sequences;
pub mod shelf;
mod show;
pub mod texts;

use retune_data::interactions::likely;

use crate::recipe::Recipe;

pub(crate) use bundle::ITEMS;
pub use figures::PRIMARY;
pub(crate) use figures::{ABOVE, TIED};
pub use mode::Mode;
pub use plan::{Plan, TASK};
pub use popularity::Untaken;
pub use recommender::Score;
pub use run::{resume, train};
pub use shelf::{Pick, Shelf, User, Wanted};

/// Whether a recipe asks for a recommender: by its task, by its items, or by data that say who took what when while no
/// label is named.
pub fn asked(recipe: &Recipe) -> bool {
    match &recipe.task {
        Some(task) => task == TASK,
        None if recipe.recommend.items.is_some() => true,
        None => {
            recipe.data.label.is_none() && recipe.data.text.is_empty() && says_who_took_what(recipe)
        }
    }
}

/// Whether the data look like users, items and times.
pub fn says_who_took_what(recipe: &Recipe) -> bool {
    let data = recipe.data.train.as_deref();
    data.is_some_and(|path| likely(path, &recipe.data.read_options()))
}
