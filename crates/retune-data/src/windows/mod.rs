//! Features over streams of events: how often, how much, how different, and how risky the events of a customer, a terminal
//! or any other entity have been, at the moment of an event.
//!
//! `EventRow ─Engine::step→ features`, one by one when serving, and for whole files by [`features_of`], which replays them
//! through the same engine: what a model learns from is what it will see.
//!
//! **Order.** An event sees itself and the events that came before it, nothing else; of events at one time, those that came
//! earlier. An event older than the newest one seen counts as one of that moment if it is late by no more than the
//! tolerance. If it is older still, it has features (as if it came now) but leaves no trace, and so does an event whose
//! number is known already. All are counted ([`Counts`]).
//!
//! **Labels.** Whether an event was a fraud is known later, by the word of the cardholder or an analyst. A label is used from
//! its own time on and never before the delay: the risk of an entity at `t` is the share of frauds among its events in
//! `(t - delay - window, t - delay]` whose label is known at `t`. An event's own label is no part of its features.
//!
//! **Exactness.** Every figure is a function of the events in its window alone: sums are whole numbers in 128 bits, of
//! amounts rounded to 2^-40. A saved and loaded engine goes on bit for bit.
//!
//! **Memory.** Events leave when no window can hold them, entities with their last event, and [`EngineSpec`] limits both. An
//! event takes about 40 bytes per column of entities, 16 more for each column whose different values are counted, and 80 for
//! its number; an entity about 100 bytes per window.

mod column;
mod engine;
mod event;
mod history;
mod key;
mod offline;
mod spec;
mod state;

pub use engine::{Counts, Engine, EventRow, Taken};
pub(crate) use event::times;
pub use event::{Event, as_label, seconds};
pub(crate) use key::Key;
pub(crate) use offline::features_and;
pub use offline::{Step, features_of, replay};
pub use spec::{EngineSpec, Measure, OfEvent, What};
pub(crate) use state::Bytes;
