//! Which events count: kinds of events, a lowest rating, repeats, and users and items with enough events.

use serde::{Deserialize, Serialize};

use crate::error::{DataError, Result};
use crate::table::{list_names, suggestion};

use super::Interactions;

/// What happens to several events of one user with one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repeats {
    /// All stay.
    #[default]
    Keep,
    /// Only the first stays.
    First,
    /// Only the last stays.
    Last,
}

/// Which events stay. The steps are taken in the order of the fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Filters {
    /// Names of the events that stay; all where empty.
    pub events: Vec<String>,
    /// The lowest rating that stays; events without a rating go. Off by default, as in the literature: that somebody
    /// rated a film says more than how.
    pub min_rating: Option<f32>,
    /// Repeats.
    pub repeats: Repeats,
    /// Users with fewer events go. With items, counted again until nothing changes (a k-core).
    pub min_user_events: usize,
    /// Items with fewer events go.
    pub min_item_events: usize,
}

impl Default for Filters {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            min_rating: None,
            repeats: Repeats::Keep,
            min_user_events: 5,
            min_item_events: 1,
        }
    }
}

/// No user has events enough.
fn nobody_is_left(f: &Filters) -> DataError {
    let (users, items) = (f.min_user_events, f.min_item_events);
    let (of, or) = if items > 1 {
        (
            format!(" with items of {items} events"),
            " or --min-item-events",
        )
    } else {
        (String::new(), "")
    };
    DataError::Split {
        problem: format!("no user has {users} events{of}"),
        cure: format!("lower --min-user-events{or}, or give more data"),
    }
}

impl Interactions {
    /// Drops the events that do not count, then users and items without events.
    ///
    /// With a cut-off, users and items are counted, and repeats looked for, among the events before it only, so that
    /// nothing known later decides. Events from the cut-off on stay if their user does.
    ///
    /// # Errors
    /// An unknown name of an event; a rating asked for where there are none; no event left.
    pub fn filter(mut self, f: &Filters, cut_off: Option<i64>) -> Result<Self> {
        self.filter_events(&f.events)?;
        self.filter_ratings(f.min_rating)?;
        let before = cut_off.map_or(self.len(), |t| self.time.partition_point(|&x| x < t));
        let before = self.filter_repeats(f.repeats, before);
        self.filter_rare(f, before);
        if self.is_empty() {
            return Err(nobody_is_left(f));
        }
        self.renumber();
        Ok(self)
    }

    /// Drops events that are not among some names.
    pub(super) fn filter_events(&mut self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let Some(event) = &self.event else {
            return Err(DataError::Split {
                problem: format!("there is no column of events to find `{}` in", names[0]),
                cure: "name it with --event COLUMN, or keep all events".to_string(),
            });
        };
        for name in names {
            if !event.names.contains(name) {
                let there: Vec<&str> = event.names.iter().map(String::as_str).collect();
                return Err(DataError::Split {
                    problem: format!(
                        "no event is called `{name}`{}",
                        suggestion(name, there.iter().copied())
                    ),
                    cure: format!("name some of {}", list_names(&there)),
                });
            }
        }
        let wanted: Vec<bool> = event.names.iter().map(|n| names.contains(n)).collect();
        let keep = event.code.iter().map(|&c| wanted[c as usize]).collect();
        self.keep(keep, "their event is another");
        Ok(())
    }

    /// Drops events with a rating below `lowest`, or with none.
    pub(super) fn filter_ratings(&mut self, lowest: Option<f32>) -> Result<()> {
        let Some(lowest) = lowest else {
            return Ok(());
        };
        let Some(rating) = &self.rating else {
            return Err(DataError::Split {
                problem: format!(
                    "a lowest rating of {lowest} is asked for, and there is no column of ratings"
                ),
                cure: "name it with --rating COLUMN, or drop --min-rating".to_string(),
            });
        };
        let keep = rating.iter().map(|&r| r >= lowest).collect();
        self.keep(keep, &format!("their rating is below {lowest} or missing"));
        Ok(())
    }

    /// Drops repeats among the first `before` events; returns how many of these are left.
    fn filter_repeats(&mut self, repeats: Repeats, before: usize) -> usize {
        if repeats == Repeats::Keep {
            return before;
        }
        let by_user = self.by_user();
        let mut keep = vec![true; self.len()];
        // The last user seen with each item, counted from 1.
        let mut taken = vec![0_u32; self.items.len()];
        for u in 0..self.users.len() {
            let mut visit = |&e: &u32| {
                let item = self.item[e as usize] as usize;
                keep[e as usize] = taken[item] != u as u32 + 1;
                taken[item] = u as u32 + 1;
            };
            let events = by_user.of(u).iter().filter(|&&e| (e as usize) < before);
            if repeats == Repeats::First {
                events.for_each(&mut visit);
            } else {
                events.rev().for_each(&mut visit);
            }
        }
        let left = keep[..before].iter().filter(|&&k| k).count();
        self.keep(keep, "they repeat an item of their user");
        left
    }

    /// Drops users and items that are rare among the first `before` events, until none is left that is.
    fn filter_rare(&mut self, f: &Filters, before: usize) {
        let mut user = vec![true; self.users.len()];
        let mut item = vec![true; self.items.len()];
        loop {
            let mut users = vec![0_usize; user.len()];
            let mut items = vec![0_usize; item.len()];
            for (&u, &i) in self.user[..before].iter().zip(&self.item[..before]) {
                if user[u as usize] && item[i as usize] {
                    users[u as usize] += 1;
                    items[i as usize] += 1;
                }
            }
            let mut changed = false;
            for (kept, counts, least) in [
                (&mut user, &users, f.min_user_events),
                (&mut item, &items, f.min_item_events),
            ] {
                for (kept, &count) in kept.iter_mut().zip(counts) {
                    // Whoever has no event before the cut-off is left to the protocol.
                    let rare = *kept && count < least && count > 0;
                    *kept &= !rare;
                    changed |= rare;
                }
            }
            if !changed {
                break;
            }
        }
        let dropped = |kept: &[bool]| kept.iter().filter(|&&k| !k).count();
        let (users, items) = (dropped(&user), dropped(&item));
        let keep = (0..self.len())
            .map(|e| user[self.user[e] as usize] && (e >= before || item[self.item[e] as usize]))
            .collect();
        let parts = [
            (users, "users", f.min_user_events),
            (items, "items", f.min_item_events),
        ];
        let parts = parts.iter().filter(|(n, ..)| *n > 0);
        let why: Vec<String> = parts
            .map(|(n, what, least)| format!("{n} {what} have fewer than {least} events"))
            .collect();
        let why = why.join(" and ");
        self.keep(keep, &why);
    }

    /// Keeps the events marked, with a note of how many go and why.
    fn keep(&mut self, keep: Vec<bool>, why: &str) {
        let order: Vec<u32> = (0..self.len() as u32)
            .filter(|&e| keep[e as usize])
            .collect();
        let gone = self.len() - order.len();
        if gone > 0 {
            self.notes.push(format!(
                "{gone} of {} events are left out: {why}",
                self.len()
            ));
            self.pick(&order);
        }
    }
}
