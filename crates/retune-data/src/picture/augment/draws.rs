//! Random numbers of one key: the same key gives the same numbers on every machine and thread count.

use crate::random::mix;

/// The key of one sample in one epoch: what [`super::Knobs::apply`] changes depends on it alone.
pub fn key(seed: u64, epoch: u64, sample: u64) -> u64 {
    mix(mix(seed, epoch), sample)
}

/// A sequence of draws.
pub(super) struct Draws {
    key: u64,
    count: u64,
}

impl Draws {
    pub fn new(key: u64) -> Self {
        Self { key, count: 0 }
    }

    fn bits(&mut self) -> u64 {
        self.count += 1;
        mix(self.key, self.count)
    }

    /// Uniform from 0 up to and without 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform from `low` to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform from `low` to `high` in the logarithm: as often doubled as halved.
    pub fn log_between(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// One of `0..n`; `n` is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Whether something of this probability happens.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Standard normal (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}
