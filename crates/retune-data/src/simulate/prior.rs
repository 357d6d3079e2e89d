//! Random worlds for pre-training, all unlike the published one.

use super::{DAY, Drift, Large, TerminalFraud, World};
use crate::random::{Draws, mix};

/// Draws a world. Sizes and scales are uniform in the logarithm, shares and shapes uniform.
pub(super) fn draw(seed: u64) -> World {
    // A stream of its own: the world of a seed has nothing to do with the payments of that seed.
    let mut draws = Draws::new(mix(seed, 0x0077_6f72_6c64));
    let customers = draws.log_between(300.0, 3000.0) as usize;
    let terminals = (customers as f64 * draws.log_between(0.4, 4.0)) as usize;
    // Within reach lie about 8 to 160 terminals: pi radius^2 / 100^2 of all.
    let reach = draws.log_between(8.0, 160.0).min(0.2 * terminals as f64);
    let radius = (reach / terminals as f64 / std::f64::consts::PI).sqrt() * 100.0;
    let scale = draws.log_between(0.3, 30.0);
    let mean_amount = [
        scale * draws.between(2.0, 15.0),
        scale * draws.between(40.0, 160.0),
    ];
    let spread = draws.between(0.2, 0.9);
    let least = draws.between(0.0, 0.4);
    let days = 50 + draws.below(71);
    let drift = draws.chance(0.3).then(|| Drift {
        from_day: days / 4 + draws.below(days / 2),
        factor: draws.between(0.7, 1.5),
    });
    let kinds = 1 + draws.below(3);
    let large = (0..kinds % 2 + draws.below(2))
        .map(|_| large(&mut draws, mean_amount[1], spread))
        .collect();
    let terminal_fraud = (0..kinds / 2 + draws.below(2))
        .map(|_| terminal_fraud(&mut draws, terminals))
        .collect();
    World {
        seed,
        customers,
        terminals,
        days,
        start: World::default().start + draws.below(2000) as i64 * DAY,
        radius,
        mean_amount,
        spread,
        rate: [least, least + draws.log_between(0.8, 6.0)],
        second: [
            draws.between(0.35, 0.65) * DAY as f64,
            draws.between(0.1, 0.35) * DAY as f64,
        ],
        large,
        terminal_fraud,
        card_fraud: None,
        bursts: None,
        drift,
        label_delay: (1 + draws.below(14) as i64) * DAY,
    }
}

/// A limit that few amounts even of the largest customers exceed.
fn large(draws: &mut Draws, mean: f64, spread: f64) -> Large {
    let above = mean * (1.0 + spread * draws.between(1.4, 2.6));
    let share = draws.between(0.3, 1.0);
    // Not the published limit, nor one near it.
    let above = if (above / 220.0 - 1.0).abs() < 0.1 {
        above * 1.25
    } else {
        above
    };
    Large { above, share }
}

/// Between one terminal in 20,000 and one in 1,000 a day, at least one, for days to weeks; at most 5 % at a time.
fn terminal_fraud(draws: &mut Draws, terminals: usize) -> TerminalFraud {
    let wanted = terminals as f64 * draws.log_between(5e-5, 1e-3);
    let per_day = (wanted.round() as usize).max(1);
    let days = (3 + draws.below(50)).min((terminals / 20 / per_day).max(2));
    TerminalFraud {
        per_day,
        // Not the published four weeks, nor about as many.
        days: if (25..=31).contains(&days) {
            days - 7
        } else {
            days
        },
        share: draws.between(0.3, 1.0),
    }
}
