//! Models of what a card does: a transformer over its events that learns without labels, and what it says of an event.
//!
//! ```text
//! Table ─Timelines→ Told ─EventBatch→ EventModel ─pretrain→ bundle ─open→ EventBase ─→ surprises, states
//! ```
//!
//! An event is the sum of the vectors of its codes ([`retune_data::timelines`]), a small network of its own, and then
//! [`crate::seq`] over the events of a card. Without labels it learns to tell the next event of a card from those before it,
//! and what is hidden of an event from the rest. What it finds surprising about an event are numbers that any model of a
//! table can read ([`crate::tables`]); its state is what a network learns frauds from.

pub mod batch;
pub mod bundle;
pub mod model;
pub mod plan;
pub mod pretrain;
mod shipped;

pub use bundle::{EventBase, load};
pub use model::{EventForm, EventModel};
pub use plan::Plan;

use crate::recipe::Recipe;

/// Name of the family in recipes.
pub const FAMILY: &str = "events";

/// Whether a recipe asks for a pre-training on events.
pub fn asked(recipe: &Recipe) -> bool {
    recipe.task.as_deref() == Some(bundle::TASK)
}
