//! Random numbers of one key: the same key gives the same numbers on every machine and thread count.

pub(super) use crate::random::Draws;
use crate::random::mix;

/// The key of one sample in one epoch: what [`super::Knobs::apply`] changes depends on it alone.
pub fn key(seed: u64, epoch: u64, sample: u64) -> u64 {
    mix(mix(seed, epoch), sample)
}
