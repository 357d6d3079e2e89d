//! A made-up world of card payments with known frauds, to try fraud detection without anybody's data.
//!
//! `World ─simulate→ Transaction, Transaction, … in order of time`
//!
//! Written from the published description of the simulator of the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot
//! and Bontempi, 2022, chapter 3); no code is taken from it. Customers and terminals lie in a square; a customer pays at
//! terminals nearby. Four patterns of fraud:
//!
//! 1. amounts above a limit;
//! 2. terminals that are taken over, all their payments, for some weeks;
//! 3. customers whose card data are stolen: every third of their payments, five times as high, for two weeks;
//! 4. card testing: bursts of tiny payments within minutes, at any terminals. This one, the days without pattern 3 and the
//!    benign drift of amounts are additions of this project.
//!
//! **Memory.** Pattern 3 looks two weeks ahead, so two weeks of payments are held, and no more: 4 MB for the published world,
//! whatever its number of days.
//!
//! **Randomness.** Every day and purpose has its own sequence of draws, by counter. A world that differs in a drift, a
//! burst or a label delay therefore has the same payments otherwise, and a seed gives the same world everywhere.
//!
//! Figures on such worlds compare methods; they say nothing about real frauds.

mod place;
mod prior;
mod run;
mod write;

use serde::{Deserialize, Serialize};

use crate::error::{DataError, Result};

pub use run::simulate;
pub use write::{transactions_csv, write_transactions};

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// Seconds of 3,000 years: times further from 1970 are a slip.
const FAR: i64 = 100_000_000_000;
/// Most days that a terminal or a card is in wrong hands, and most payments of a burst.
const MOST: usize = 10_000;

/// The side of the square in which customers and terminals lie.
const SIDE: f64 = 100.0;

/// Everything that makes a world. `World::default()` is the published one: 5,000 customers, 10,000 terminals, 183 days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct World {
    /// Seed of all draws.
    pub seed: u64,
    /// Number of customers, from 1.
    pub customers: usize,
    /// Number of terminals, from 1.
    pub terminals: usize,
    /// Number of days, from 1.
    pub days: usize,
    /// The first midnight, in seconds since 1970.
    pub start: i64,
    /// A customer pays at the terminals at most this far away, in a square with sides of 100.
    pub radius: f64,
    /// Least and greatest mean amount of a customer, in the currency's unit; each customer's is uniform between.
    pub mean_amount: [f64; 2],
    /// Standard deviation of a customer's amounts, as a multiple of their mean.
    pub spread: f64,
    /// Least and greatest number of payments of a customer per day; each customer's is uniform between.
    pub rate: [f64; 2],
    /// Mean and standard deviation of the second of the day; payments outside the day do not happen.
    pub second: [f64; 2],
    /// Pattern 1.
    pub large: Vec<Large>,
    /// Pattern 2.
    pub terminal_fraud: Vec<TerminalFraud>,
    /// Pattern 3.
    pub card_fraud: Option<CardFraud>,
    /// Pattern 4.
    pub bursts: Option<Bursts>,
    /// Honest amounts that rise one day. Amounts over the limit of pattern 1 are frauds before and after.
    pub drift: Option<Drift>,
    /// Seconds from a payment to its label.
    pub label_delay: i64,
}

/// Pattern 1: amounts above a limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Large {
    /// Only amounts above this are frauds, in the currency's unit.
    pub above: f64,
    /// Share of these that are, 0 to 1.
    pub share: f64,
}

/// Pattern 2: each day some terminals are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalFraud {
    /// New ones per day.
    pub per_day: usize,
    /// For so many days, the first one included.
    pub days: usize,
    /// Share of their payments that are frauds, 0 to 1.
    pub share: f64,
}

/// Pattern 3: each day the cards of some customers are stolen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardFraud {
    /// New ones per day.
    pub per_day: usize,
    /// For so many days, the first one included.
    pub days: usize,
    /// Of so many of their payments together, one is a fraud; the rest of the division is honest.
    pub one_in: usize,
    /// By how much the amount of a fraud is multiplied; twice, if stolen twice.
    pub factor: i64,
    /// First day of a pause and the first day after it. No payment within is a fraud of this pattern.
    pub pause: Option<[usize; 2]>,
}

/// Pattern 4: bursts of tiny payments.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    /// First day.
    pub from_day: usize,
    /// Customers per day.
    pub per_day: usize,
    /// Payments of a burst.
    pub payments: usize,
    /// Seconds within which they happen, below a day.
    pub within: f64,
    /// Least and greatest amount.
    pub amount: [f64; 2],
}

/// All honest amounts are multiplied from a day on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// First day.
    pub from_day: usize,
    /// By how much.
    pub factor: f64,
}

/// One payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    /// Number from 0, in order of time.
    pub id: u64,
    /// Seconds since 1970.
    pub time: i64,
    /// Number of the customer, from 0.
    pub customer: u32,
    /// Number of the terminal, from 0.
    pub terminal: u32,
    /// Amount in hundredths of the currency's unit.
    pub cents: i64,
    /// Whether it is a fraud.
    pub fraud: bool,
    /// The pattern that made it one, 1 to 4; 0 for none.
    pub pattern: u8,
    /// When it is known whether it is a fraud, in seconds since 1970.
    pub label_time: i64,
}

/// Counts over a whole world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Number of payments.
    pub transactions: u64,
    /// Number of payments by pattern; `patterns[0]` are the honest ones.
    pub patterns: [u64; 5],
    /// Customers without a terminal nearby, who never pay.
    pub stranded: usize,
}

impl Summary {
    /// Number of frauds.
    pub fn frauds(&self) -> u64 {
        self.patterns[1..].iter().sum()
    }

    /// Share of the payments that are frauds, 0 to 1.
    pub fn fraud_share(&self) -> f64 {
        self.frauds() as f64 / self.transactions.max(1) as f64
    }
}

impl Default for World {
    fn default() -> Self {
        Self {
            seed: 0,
            customers: 5000,
            terminals: 10_000,
            days: 183,
            // 2018-04-01.
            start: 1_522_540_800,
            radius: 5.0,
            mean_amount: [5.0, 100.0],
            spread: 0.5,
            rate: [0.0, 4.0],
            second: [43_200.0, 20_000.0],
            large: vec![Large {
                above: 220.0,
                share: 1.0,
            }],
            terminal_fraud: vec![TerminalFraud {
                per_day: 2,
                days: 28,
                share: 1.0,
            }],
            card_fraud: Some(CardFraud {
                per_day: 3,
                days: 14,
                one_in: 3,
                factor: 5,
                pause: None,
            }),
            bursts: None,
            drift: None,
            label_delay: 7 * DAY,
        }
    }
}

impl World {
    /// The published world over 110 days, made to test updating: pattern 4 begins on day 60, and pattern 3 pauses from day 60
    /// to day 87, so that a model can be late with the one and forget the other.
    pub fn extended() -> Self {
        let world = Self::default();
        Self {
            days: 110,
            card_fraud: world.card_fraud.map(|fraud| CardFraud {
                pause: Some([60, 88]),
                ..fraud
            }),
            bursts: Some(Bursts {
                from_day: 60,
                per_day: 3,
                payments: 10,
                within: 600.0,
                amount: [1.0, 5.0],
            }),
            ..world
        }
    }

    /// A world of random size, rates, amounts and frauds, for pre-training.
    ///
    /// Its frauds are mixtures of behaviours like patterns 1 and 2, never with the published parameters, and none is like
    /// pattern 3 or 4: what a model knows about those it has not seen here.
    pub fn randomised(seed: u64) -> Self {
        prior::draw(seed)
    }

    /// Whether the world can be.
    ///
    /// # Errors
    /// A number that is out of its range, by name.
    pub fn check(&self) -> Result<()> {
        let wrong = |problem: String, cure: &str| {
            Err(DataError::Simulate {
                problem,
                cure: cure.to_string(),
            })
        };
        for (name, count, most) in [
            ("customers", self.customers, 10_000_000),
            ("terminals", self.terminals, 10_000_000),
            ("days", self.days, 36_500),
        ] {
            if !(1..=most).contains(&count) {
                return wrong(format!("{name} is {count}"), &format!("give 1 to {most}"));
            }
        }
        for (name, [low, high], most) in [
            ("mean_amount", self.mean_amount, 1e9),
            ("rate", self.rate, 1e4),
            ("radius", [self.radius; 2], 1e3),
            ("spread", [self.spread; 2], 1e3),
        ] {
            if !(0.0 <= low && low <= high && high <= most) {
                return wrong(
                    format!("{name} is {low} to {high}"),
                    &format!("give numbers from 0 to {most}, the lower one first"),
                );
            }
        }
        if !(self.second[0].is_finite() && self.second[1] >= 0.0 && self.second[1].is_finite()) {
            return wrong(
                format!("second is {:?}", self.second),
                "give the mean and the standard deviation of a second of the day",
            );
        }
        for (name, seconds, least) in [
            ("label_delay", self.label_delay, 0),
            ("start", self.start, -FAR),
        ] {
            if !(least..=FAR).contains(&seconds) {
                return wrong(
                    format!("{name} is {seconds} seconds"),
                    &format!("give {least} to {FAR}"),
                );
            }
        }
        self.check_frauds()
    }

    fn check_frauds(&self) -> Result<()> {
        let mut problems = Vec::new();
        let taken = self.terminal_fraud.iter().map(|fraud| fraud.per_day);
        if let Some(most) = taken.max().filter(|&n| n > self.terminals) {
            problems.push(format!(
                "{most} of {} terminals taken a day",
                self.terminals
            ));
        }
        let stolen = self.card_fraud.iter().map(|fraud| fraud.per_day);
        let tested = self.bursts.iter().map(|bursts| bursts.per_day);
        if let Some(most) = stolen.chain(tested).max().filter(|&n| n > self.customers) {
            problems.push(format!(
                "{most} of {} customers struck a day",
                self.customers
            ));
        }
        let terminals = self.terminal_fraud.iter().map(|fraud| fraud.share);
        let mut shares = terminals.chain(self.large.iter().map(|large| large.share));
        if let Some(share) = shares.find(|share| !(0.0..=1.0).contains(share)) {
            problems.push(format!("a share of {share}, which is not from 0 to 1"));
        }
        let days = self.terminal_fraud.iter().map(|fraud| fraud.days);
        let days = days.chain(self.card_fraud.iter().map(|fraud| fraud.days));
        let payments = self.bursts.iter().map(|bursts| bursts.payments);
        if let Some(most) = days.chain(payments).max().filter(|&n| n > MOST) {
            problems.push(format!("{most} days or payments of a fraud, over {MOST}"));
        }
        if let Some(fraud) = &self.card_fraud
            && !((1..=1000).contains(&fraud.factor) && fraud.one_in > 0)
        {
            problems.push(format!(
                "card_fraud with factor {} and one_in {}, which are from 1 (to 1000)",
                fraud.factor, fraud.one_in
            ));
        }
        if let Some(bursts) = &self.bursts
            && !((0.0..DAY as f64).contains(&bursts.within)
                && 0.0 <= bursts.amount[0]
                && bursts.amount[0] <= bursts.amount[1]
                && bursts.amount[1] <= 1e9)
        {
            problems.push("bursts longer than a day, or with amounts below 0".to_string());
        }
        if let Some(drift) = &self.drift
            && !(0.0..=1000.0).contains(&drift.factor)
        {
            problems.push(format!(
                "a drift by {}, which is not from 0 to 1000",
                drift.factor
            ));
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(DataError::Simulate {
            problem: format!("the world has {}", problems.join(", and ")),
            cure: "change these numbers".to_string(),
        })
    }
}

#[cfg(test)]
mod tests;
