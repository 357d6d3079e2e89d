//! Day after day of payments, frauds marked, handed out in order of time.

use std::collections::VecDeque;

use super::place::{Customer, Purpose, customers};
use super::{CardFraud, DAY, Summary, Transaction, World};
use crate::error::Result;

/// A payment of a day that is not over yet.
#[derive(Debug, Clone, Copy)]
struct Payment {
    second: u32,
    customer: u32,
    terminal: u32,
    cents: i64,
    pattern: u8,
}

/// Calls `take` with every payment, in order of time.
///
/// # Errors
/// A world that cannot be ([`World::check`]), or the first error of `take`.
pub fn simulate(world: &World, take: &mut dyn FnMut(Transaction) -> Result<()>) -> Result<Summary> {
    world.check()?;
    let people = customers(world);
    let mut summary = Summary {
        stranded: people.iter().filter(|c| c.near.is_empty()).count(),
        ..Summary::default()
    };
    let mut taken = Taken::new(world);
    // The days from the one that is handed out next, by customer.
    let mut ahead: VecDeque<Vec<Payment>> = VecDeque::new();
    let reach = world.card_fraud.map_or(1, |fraud| fraud.days.max(1));
    let mut drawn = 0;
    for day in 0..world.days {
        while drawn < world.days.min(day + reach) {
            ahead.push_back(payments(world, &people, &mut taken, drawn));
            drawn += 1;
        }
        if let Some(fraud) = &world.card_fraud {
            steal(world, fraud, day, &mut ahead);
        }
        let mut today = ahead.pop_front().unwrap_or_default();
        test_cards(world, day, &mut today);
        // Stable: payments of one second stay in the order in which they were drawn.
        today.sort_by_key(|payment| payment.second);
        for payment in today {
            let time = world.start + day as i64 * DAY + i64::from(payment.second);
            take(Transaction {
                id: summary.transactions,
                time,
                customer: payment.customer,
                terminal: payment.terminal,
                cents: payment.cents,
                fraud: payment.pattern > 0,
                pattern: payment.pattern,
                label_time: time + world.label_delay,
            })?;
            summary.transactions += 1;
            summary.patterns[usize::from(payment.pattern)] += 1;
        }
    }
    Ok(summary)
}

/// Which terminals are taken over, by behaviour: the first day on which each is free again.
struct Taken(Vec<Vec<usize>>);

impl Taken {
    fn new(world: &World) -> Self {
        Self(vec![vec![0; world.terminals]; world.terminal_fraud.len()])
    }
}

/// The payments of a day, by customer, with patterns 1 and 2.
fn payments(world: &World, people: &[Customer], taken: &mut Taken, day: usize) -> Vec<Payment> {
    let mut draws = world.draws(Purpose::Terminals, day);
    for (free, fraud) in taken.0.iter_mut().zip(&world.terminal_fraud) {
        for terminal in draws.different(world.terminals, fraud.per_day) {
            free[terminal] = free[terminal].max(day + fraud.days);
        }
    }
    // Chances of frauds that are not certain; the payments themselves do not depend on them.
    let mut chances = world.draws(Purpose::Large, day);
    let mut draws = world.draws(Purpose::Payments, day);
    let drift = world.drift.filter(|drift| day >= drift.from_day);
    let mut out = Vec::new();
    for (customer, person) in people.iter().enumerate() {
        for _ in 0..draws.poisson(person.rate) {
            let second = world.second[0] + world.second[1] * draws.normal();
            let drawn = person.mean * (1.0 + world.spread * draws.normal());
            let again = draws.between(0.0, 2.0 * person.mean);
            let place = draws.below(person.near.len().max(1));
            // All draws are made for payments that do not happen too: they leave the others as they are.
            let in_day = second > 0.0 && second < DAY as f64;
            if !in_day || person.near.is_empty() {
                continue;
            }
            let amount = if drawn < 0.0 { again } else { drawn };
            let amount = amount * drift.map_or(1.0, |drift| drift.factor);
            let cents = (amount * 100.0).round();
            let terminal = person.near[place];
            let mut pattern = 0;
            for large in &world.large {
                let chosen = chances.chance(large.share);
                if chosen && cents > (large.above * 100.0).round() {
                    pattern = 1;
                }
            }
            for (free, fraud) in taken.0.iter().zip(&world.terminal_fraud) {
                let chosen = chances.chance(fraud.share);
                if chosen && day < free[terminal as usize] {
                    pattern = 2;
                }
            }
            out.push(Payment {
                second: second as u32,
                customer: customer as u32,
                terminal,
                cents: cents as i64,
                pattern,
            });
        }
    }
    out
}

/// Pattern 3: the cards stolen on `day`, whose payments are in `ahead` from that day on.
fn steal(world: &World, fraud: &CardFraud, day: usize, ahead: &mut VecDeque<Vec<Payment>>) {
    let mut draws = world.draws(Purpose::Cards, day);
    let victims = draws.different(world.customers, fraud.per_day);
    let mut struck = Vec::new();
    for (later, payments) in ahead.iter().enumerate().take(fraud.days) {
        let pause = fraud.pause.unwrap_or([0, 0]);
        if (pause[0]..pause[1]).contains(&(day + later)) {
            continue;
        }
        for &victim in &victims {
            let victim = victim as u32;
            let from = payments.partition_point(|payment| payment.customer < victim);
            let to = payments.partition_point(|payment| payment.customer <= victim);
            struck.extend((from..to).map(|at| (later, at)));
        }
    }
    let count = struck.len() / fraud.one_in;
    draws.pick(&mut struck, count);
    for &(later, at) in &struck[..count] {
        let payment = &mut ahead[later][at];
        payment.cents = payment.cents.saturating_mul(fraud.factor);
        payment.pattern = 3;
    }
}

/// Pattern 4: adds the bursts of a day.
fn test_cards(world: &World, day: usize, today: &mut Vec<Payment>) {
    let Some(bursts) = world.bursts.filter(|bursts| day >= bursts.from_day) else {
        return;
    };
    let mut draws = world.draws(Purpose::Bursts, day);
    for customer in draws.different(world.customers, bursts.per_day) {
        // The published day leaves room for a burst of ten minutes: 85,000 + 600 seconds.
        let start = draws.between(0.0, (DAY as f64 - bursts.within - 800.0).max(0.0));
        let mut seconds: Vec<f64> = (0..bursts.payments)
            .map(|_| start + draws.between(0.0, bursts.within))
            .collect();
        seconds.sort_by(f64::total_cmp);
        for second in seconds {
            let amount = draws.between(bursts.amount[0], bursts.amount[1]);
            today.push(Payment {
                second: second as u32,
                customer: customer as u32,
                terminal: draws.below(world.terminals) as u32,
                cents: (amount * 100.0).round() as i64,
                pattern: 4,
            });
        }
    }
}
