//! Timelines: what a card has done, event after event, in codes that a sequence model reads.
//!
//! Models of sequences want the events themselves where [`crate::windows`] gives sums over them. Each event becomes a few
//! codes (how large its amount is among all amounts, how long after the event before, hour, day of the week, how long ago
//! the card met that terminal, and the fields of its row) and a few numbers (its amount beside those of the card so far).
//! None of them depends on the name, the place or the unit of a column, so that a model of one table can read another.
//!
//! One implementation serves training and streams: [`Timelines::step`] takes events in order of time, and keeps of each card
//! what its next events are read beside. A card's events are read in parts: event `i` is seen with those from
//! [`first_seen`]`(i)` on, at least 32 before it where there are so many, and at most 63.

mod code;
mod spec;
mod state;
mod step;

pub use code::{AMOUNT, DAY, GAP, HOUR, NUMBERS, PARTNER, ROLES};
pub use spec::{Extra, TimelineSpec};
pub use step::{Moments, Part, Place, Timelines, Told, first_seen, moments_of};

#[cfg(test)]
mod tests;
