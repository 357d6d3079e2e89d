//! What one model said of events, column by column.

use std::collections::HashMap;
use std::fmt;

/// Seconds of a day. Days begin at multiples of it.
pub(super) const DAY: i64 = 86_400;

/// Scored events, one value per event in every column that is there. What needs a column that is not there is left
/// out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored {
    /// The higher, the more suspicious; as probabilities of fraud where calibration is to be rated.
    pub score: Vec<f32>,
    /// Whether the event is fraud.
    pub fraud: Vec<bool>,
    /// When it happened, in seconds; days begin at multiples of 86,400.
    pub time: Option<Vec<i64>>,
    /// Key of the card or account; events of one key are resampled together.
    pub card: Option<Vec<u64>>,
    /// Amount of money. Only that of fraud is read.
    pub amount: Option<Vec<f64>>,
    /// Which way of fraud; read of fraud only.
    pub pattern: Option<Named>,
    /// A group of customers or a channel, in which false alarms are compared.
    pub segment: Option<Named>,
    /// How many events of the whole stream one event stands for: `1 / share` where a share was kept. 1 if not there.
    pub weight: Option<Vec<f64>>,
}

/// A column of names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Named {
    /// The different names.
    pub names: Vec<String>,
    /// Which of them each event has.
    pub of: Vec<Option<u32>>,
}

/// Why scored events cannot be rated.
#[derive(Debug, Clone, PartialEq)]
pub enum BadEvents {
    /// A column has another number of values than there are events.
    Length {
        /// The column.
        column: &'static str,
        /// Its values.
        values: usize,
        /// The scores.
        events: usize,
    },
    /// A value that no figure can be computed from.
    Value {
        /// The column.
        column: &'static str,
        /// Which event, from 0.
        event: usize,
        /// The value.
        value: f64,
        /// What is needed.
        needed: &'static str,
    },
    /// A setting that is not a share.
    Setting {
        /// Its name.
        name: &'static str,
        /// The value.
        value: f64,
    },
    /// Two models were not rated on the same events.
    Different {
        /// The first column that differs.
        column: &'static str,
    },
}

impl fmt::Display for BadEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length {
                column,
                values,
                events,
            } => write!(
                f,
                "{values} values of `{column}` for {events} scores; give one per event, or leave the column out"
            ),
            Self::Value {
                column,
                event,
                value,
                needed,
            } => write!(
                f,
                "`{column}` of event {event} (counted from 0) is {value}, not {needed}; leave the event out or correct it"
            ),
            Self::Setting { name, value } => write!(
                f,
                "`{name}` is {value}, not a share above 0 and up to 1; write 0.01 for 1 %"
            ),
            Self::Different { column } => write!(
                f,
                "`{column}` differs between the two models; score the same events in the same order with both"
            ),
        }
    }
}

impl std::error::Error for BadEvents {}

impl Scored {
    /// Whether every column fits.
    ///
    /// # Errors
    /// Lengths that differ; scores, amounts or weights that are not finite; amounts of fraud or weights below 0; an
    /// index without a name.
    pub fn check(&self) -> Result<(), BadEvents> {
        let names = |n: &Option<Named>| n.as_ref().map(|n| n.of.len());
        for (column, values) in [
            ("fraud", Some(self.fraud.len())),
            ("time", self.time.as_ref().map(Vec::len)),
            ("card", self.card.as_ref().map(Vec::len)),
            ("amount", self.amount.as_ref().map(Vec::len)),
            ("pattern", names(&self.pattern)),
            ("segment", names(&self.segment)),
            ("weight", self.weight.as_ref().map(Vec::len)),
        ] {
            let events = self.score.len();
            if let Some(values) = values.filter(|v| *v != events) {
                return Err(BadEvents::Length {
                    column,
                    values,
                    events,
                });
            }
        }
        let scores = self.score.iter().map(|s| f64::from(*s));
        all("score", scores, "a finite number", |_, s| s.is_finite())?;
        all(
            "amount",
            iter(self.amount.as_ref()),
            "0 or more",
            |event, a| a.is_finite() && (a >= 0.0 || !self.fraud[event]),
        )?;
        all("weight", iter(self.weight.as_ref()), "0 or more", |_, w| {
            w.is_finite() && w >= 0.0
        })?;
        for (column, named) in [("pattern", &self.pattern), ("segment", &self.segment)] {
            let Some(named) = named else { continue };
            let index = |i: &Option<u32>| i.map_or(0.0, f64::from);
            let known = named.names.len() as f64;
            all(
                column,
                named.of.iter().map(index),
                "the index of a name",
                |event, i| named.of[event].is_none() || i < known,
            )?;
        }
        Ok(())
    }

    /// Whether both are about the same events, whatever the scores.
    pub(super) fn check_same(&self, other: &Self) -> Result<(), BadEvents> {
        for (column, same) in [
            ("fraud", self.fraud == other.fraud),
            ("card", self.card == other.card),
            ("weight", self.weight == other.weight),
        ] {
            if !same {
                return Err(BadEvents::Different { column });
            }
        }
        Ok(())
    }

    /// What an event counts for.
    pub(super) fn weight(&self, event: usize) -> f64 {
        self.weight.as_ref().map_or(1.0, |w| w[event])
    }

    /// Amount of an event; 0 without the column.
    pub(super) fn amount(&self, event: usize) -> f64 {
        self.amount.as_ref().map_or(0.0, |a| a[event])
    }

    /// Whether every score can be a probability.
    pub(super) fn probabilities(&self) -> bool {
        self.score.iter().all(|s| (0.0..=1.0).contains(s))
    }

    /// Events from the highest score to the lowest, equal ones in their order.
    pub(super) fn ranked(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.score.len() as u32).collect();
        order.sort_by(|a, b| self.score[*b as usize].total_cmp(&self.score[*a as usize]));
        order
    }

    /// The first day and the number of days from it to the last one.
    pub(super) fn days(&self) -> Option<(i64, usize)> {
        let days = || self.time.iter().flatten().map(|t| t.div_euclid(DAY));
        let (first, last) = (days().min()?, days().max()?);
        Some((first, (last - first + 1) as usize))
    }
}

/// Values of a column; none where it is not there.
fn iter(column: Option<&Vec<f64>>) -> impl Iterator<Item = f64> {
    column.into_iter().flatten().copied()
}

fn all(
    column: &'static str,
    values: impl Iterator<Item = f64>,
    needed: &'static str,
    fits: impl Fn(usize, f64) -> bool,
) -> Result<(), BadEvents> {
    let mut values = values.enumerate();
    match values.find(|(event, value)| !fits(*event, *value)) {
        None => Ok(()),
        Some((event, value)) => Err(BadEvents::Value {
            column,
            event,
            value,
            needed,
        }),
    }
}

/// What is resampled: cards, or events where no card is known.
pub(super) struct Groups {
    /// Group of each event, numbered as they first appear.
    pub(super) of: Vec<u32>,
    /// How many there are.
    pub(super) count: usize,
}

impl Groups {
    pub(super) fn new(events: &Scored) -> Self {
        let Some(cards) = &events.card else {
            let count = events.score.len();
            return Self {
                of: (0..count as u32).collect(),
                count,
            };
        };
        let mut numbers: HashMap<u64, u32> = HashMap::new();
        let number = |card: &u64| {
            let next = numbers.len() as u32;
            *numbers.entry(*card).or_insert(next)
        };
        let of = cards.iter().map(number).collect();
        Self {
            of,
            count: numbers.len(),
        }
    }

    /// Every group once: the events themselves.
    pub(super) fn whole(&self) -> Vec<u32> {
        vec![1; self.count]
    }

    /// Sums over the events of each group.
    pub(super) fn sums<const N: usize>(&self, figures: impl Fn(usize) -> [f64; N]) -> Sums<N> {
        let mut sums = vec![[0.0; N]; self.count];
        for (event, group) in self.of.iter().enumerate() {
            add(&mut sums[*group as usize], &figures(event), 1.0);
        }
        Sums::new(&sums)
    }
}

/// Sums by group. Where groups are single events most sums are alike: those are counted, and only the others are gone
/// through.
pub(super) struct Sums<const N: usize> {
    usual: [f64; N],
    /// Groups with other sums.
    others: Vec<(u32, [f64; N])>,
}

impl<const N: usize> Sums<N> {
    fn new(sums: &[[f64; N]]) -> Self {
        // The majority vote of Boyer and Moore finds a value that more than half of the groups have, if there is one.
        let (mut usual, mut lead) = ([0.0; N], 0_u64);
        for sum in sums {
            if lead == 0 {
                usual = *sum;
            }
            lead = if *sum == usual { lead + 1 } else { lead - 1 };
        }
        let others = sums.iter().enumerate().filter(|(_, sum)| **sum != usual);
        Self {
            usual,
            others: others.map(|(group, sum)| (group as u32, *sum)).collect(),
        }
    }

    /// The sums over a resample.
    pub(super) fn of(&self, drawn: &[u32]) -> [f64; N] {
        let mut usual: u64 = drawn.iter().map(|times| u64::from(*times)).sum();
        let mut total = [0.0; N];
        for (group, sum) in &self.others {
            let times = drawn[*group as usize];
            usual -= u64::from(times);
            add(&mut total, sum, f64::from(times));
        }
        add(&mut total, &self.usual, usual as f64);
        total
    }
}

/// `sum += times * what`, value by value.
fn add<const N: usize>(sum: &mut [f64; N], what: &[f64; N], times: f64) {
    for (sum, what) in sum.iter_mut().zip(what) {
        *sum += times * what;
    }
}
