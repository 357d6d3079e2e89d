//! Where customers and terminals are, who pays where, and how each customer pays.

use super::{SIDE, World};
use crate::random::{Draws, mix};

/// Purposes of sequences of draws: adding one leaves the others as they are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Place,
    Payments,
    Large,
    Terminals,
    Cards,
    Bursts,
}

impl World {
    /// The sequence of draws for one purpose on one day.
    pub(super) fn draws(&self, purpose: Purpose, day: usize) -> Draws {
        Draws::new(mix(mix(self.seed, purpose as u64), day as u64))
    }
}

/// A customer's habits.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    /// Mean amount.
    pub mean: f64,
    /// Payments per day.
    pub rate: f64,
    /// Terminals within reach.
    pub near: Vec<u32>,
}

/// Draws all customers.
pub(super) fn customers(world: &World) -> Vec<Customer> {
    let mut draws = world.draws(Purpose::Place, 0);
    let point = |draws: &mut Draws| (draws.between(0.0, SIDE), draws.between(0.0, SIDE));
    let mut terminals: Vec<(f64, f64, u32)> = (0..world.terminals)
        .map(|at| {
            let (x, y) = point(&mut draws);
            (x, y, at as u32)
        })
        .collect();
    // In order of x, those within reach lie in one stretch.
    terminals.sort_by(|a, b| a.0.total_cmp(&b.0));
    (0..world.customers)
        .map(|_| {
            let (x, y) = point(&mut draws);
            let [low, high] = world.mean_amount;
            let mean = draws.between(low, high);
            let [low, high] = world.rate;
            let rate = draws.between(low, high);
            let from = terminals.partition_point(|t| t.0 < x - world.radius);
            let near = terminals[from..]
                .iter()
                .take_while(|t| t.0 <= x + world.radius)
                .filter(|t| (t.0 - x).hypot(t.1 - y) <= world.radius)
                .map(|t| t.2)
                .collect();
            Customer { mean, rate, near }
        })
        .collect()
}
