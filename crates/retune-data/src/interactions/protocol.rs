//! How events are divided into what is learned from, what a model is chosen by, and what it is tested on.
//!
//! **Leave one out.** Of each user the last event is the test target, the one before it the validation target, all
//! earlier ones are the training sequence. Almost all publications on sequential recommendation use it. Other users'
//! later events take part in fitting, so it tells how good a model orders items, not how well it tells the future.
//!
//! **Temporal.** There is one cut-off for all. Nothing from it on is used for fitting. Of each user with events before
//! the test target is the first event from the cut-off on, and the validation target the last event before it; users
//! without events before it are counted and left out. This is what a service meets, and what to trust.
//!
//! When a test target is asked for, the validation event is part of the history: it has happened. Floors, which have no
//! choice to make by validation, are fitted on [`Histories::known`]: all events before each user's test event.

use std::ops::Range;

use serde::Serialize;

use super::{Clock, Filters, Interactions, show_moment};
use crate::error::{DataError, Result};

/// How to divide.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Protocol {
    /// Of each user the last event.
    #[default]
    LeaveOneOut,
    /// One moment for all users.
    Temporal(CutOff),
}

/// Where the test period begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CutOff {
    /// With the last share of the events, above 0 and below 1; 0.1 is usual.
    Share(f64),
    /// At a time, in the units of [`Interactions::time`].
    Time(i64),
}

impl CutOff {
    /// Reads `10%`, `0.1`, a date, or a time in the units that files may have.
    ///
    /// # Errors
    /// A text that is none of these.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            DataError::Split {
            problem: format!("`{text}` is no cut-off"),
            cure: "type the share of the events that are test events, such as 10%, or a date such as 2024-05-31"
                .to_string(),
        }
        };
        let plain = text.trim();
        let share = match plain.strip_suffix('%') {
            Some(percent) => Some(percent.trim().parse::<f64>().map_err(|_| wrong())? / 100.0),
            None => plain.parse::<f64>().ok().filter(|&x| x < 1.0),
        };
        match share {
            Some(share) if share > 0.0 && share < 1.0 => Ok(Self::Share(share)),
            Some(_) => Err(wrong()),
            None => super::moments::moment(plain, false)
                .map(|(ns, _)| Self::Time(ns))
                .map_err(|_| wrong()),
        }
    }
}

/// The events of each user, oldest first, divided. Rows are users who have something to learn from or to be tested on.
#[derive(Debug, Clone, Default)]
pub struct Histories {
    /// The user of each row, as a number of [`Interactions::users`].
    pub users: Vec<u32>,
    /// The time from which on nothing is used for fitting, of the temporal protocol.
    pub cut_off: Option<i64>,
    /// What was left out, one sentence each.
    pub notes: Vec<String>,
    /// The items of all rows, one row after the other, oldest first; the test target comes last.
    items: Vec<u32>,
    /// The times of `items`.
    times: Vec<i64>,
    /// What was done, by number of a name in the order of [`Interactions::kinds`]; empty where that is not told.
    kinds: Vec<u32>,
    rows: Vec<Row>,
}

/// Where the parts of a row are in `Histories::items`.
#[derive(Debug, Clone, Copy)]
struct Row {
    start: usize,
    /// End of what may be used for fitting, the validation event included.
    known: usize,
    valid: bool,
    test: bool,
}

/// How many rows and targets there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Users.
    pub users: usize,
    /// Events in training sequences.
    pub training: usize,
    /// Users with a validation target.
    pub valid: usize,
    /// Users with a test target.
    pub test: usize,
    /// Test targets that no user's known events hold: only the text of the item can find them.
    pub cold: usize,
    /// Test targets that are in their user's own known events: a list without seen items cannot hold them.
    pub seen: usize,
}

/// Filters the events and divides them; returns the events that stay with their users and items numbered anew, which
/// the histories refer to.
///
/// # Errors
/// As [`Interactions::filter`]; a cut-off that leaves no event on one side; no user with a test target.
pub fn divide(
    mut events: Interactions,
    filters: &Filters,
    protocol: Protocol,
) -> Result<(Interactions, Histories)> {
    let cut_off = match protocol {
        Protocol::LeaveOneOut => None,
        Protocol::Temporal(cut_off) => {
            // The share is one of the events that count.
            events.filter_events(&filters.events)?;
            events.filter_ratings(filters.min_rating)?;
            Some(moment_of(&events, cut_off)?)
        }
    };
    let events = events.filter(filters, cut_off)?;
    let mut histories = histories(&events, cut_off)?;
    let ties = events.facts().ties;
    if ties > 0.0 {
        histories.notes.push(format!(
            "{:.1} % of the events share user and time with another: these keep the order of the file",
            ties * 100.0
        ));
    }
    Ok((events, histories))
}

/// The time at which the test period begins; there are events on both sides of it.
fn moment_of(events: &Interactions, cut_off: CutOff) -> Result<i64> {
    let (Some(&first), Some(&last)) = (events.time.first(), events.time.last()) else {
        return Err(too_few("there are no events", "give more data"));
    };
    let time = match cut_off {
        CutOff::Share(share) => {
            let n = events.len();
            let at = ((1.0 - share) * n as f64).ceil() as usize;
            events.time[at.min(n - 1)]
        }
        CutOff::Time(time) => time,
    };
    if time <= first || time > last {
        let show = |t| match events.clock {
            Clock::Moments => show_moment(t),
            Clock::Rows => format!("row {t}"),
        };
        let (time, first, last) = (show(time), show(first), show(last));
        return Err(too_few(
            &format!(
                "all events are on one side of the cut-off {time}: they go from {first} to {last}"
            ),
            "name a time between, or a share such as 10%",
        ));
    }
    Ok(time)
}

fn too_few(problem: &str, cure: &str) -> DataError {
    DataError::Split {
        problem: problem.to_string(),
        cure: cure.to_string(),
    }
}

/// Divides events that are in order of time: by a cut-off, or else by leaving out the last of each user.
fn histories(events: &Interactions, cut_off: Option<i64>) -> Result<Histories> {
    let by_user = events.by_user();
    let (_, kinds) = events.kinds();
    let mut out = Histories {
        cut_off,
        ..Histories::default()
    };
    let (mut new, mut single, mut later) = (0_usize, 0_usize, 0_usize);
    for u in 0..events.users.len() {
        let own = by_user.of(u);
        let known = match cut_off {
            Some(time) => own.partition_point(|&e| events.time[e as usize] < time),
            // The only event of a user is no test target: nothing comes before it.
            None => own.len() - usize::from(own.len() > 1),
        };
        let test = known < own.len();
        new += usize::from(known == 0 && test);
        single += usize::from(known == 1 && !test);
        if known == 0 || (known == 1 && !test) {
            continue;
        }
        later += own.len() - known - usize::from(test);
        let kept = &own[..known + usize::from(test)];
        out.push(u as u32, (kept, known), (events, &kinds));
    }
    let notes = [
        (
            new,
            "users have no event before the cut-off: they are not tested",
        ),
        (
            single,
            "users have one event only: there is nothing to learn from them or to test",
        ),
        (
            later,
            "events follow their user's test target: they are not used",
        ),
    ];
    let notes = notes.iter().filter(|(n, _)| *n > 0);
    out.notes = notes.map(|(n, what)| format!("{n} {what}")).collect();
    if out.rows.iter().any(|r| r.test) {
        Ok(out)
    } else {
        Err(too_few(
            "no user has an event to test on and one before it",
            "give users with more events, or name another cut-off",
        ))
    }
}

impl Histories {
    /// Adds a user by places of events, of which `known` come before the test.
    fn push(
        &mut self,
        user: u32,
        (own, known): (&[u32], usize),
        (events, kinds): (&Interactions, &[u32]),
    ) {
        let start = self.items.len();
        let places = || own.iter().map(|&e| e as usize);
        self.items.extend(places().map(|e| events.item[e]));
        self.times.extend(places().map(|e| events.time[e]));
        if !kinds.is_empty() {
            self.kinds.extend(places().map(|e| kinds[e]));
        }
        self.users.push(user);
        self.rows.push(Row {
            start,
            known: start + known,
            valid: known > 1,
            test: own.len() > known,
        });
    }

    /// Number of rows, one per user.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The training sequence of a row: oldest first, without the validation and test events. At least one item.
    pub fn train(&self, row: usize) -> &[u32] {
        &self.items[self.training(row)]
    }

    /// The times of [`Histories::train`].
    pub fn train_times(&self, row: usize) -> &[i64] {
        &self.times[self.training(row)]
    }

    /// The history of a row when its test target is asked for: the training sequence and the validation event.
    pub fn known(&self, row: usize) -> &[u32] {
        let r = self.rows[row];
        &self.items[r.start..r.known]
    }

    /// The times of [`Histories::known`].
    pub fn known_times(&self, row: usize) -> &[i64] {
        let r = self.rows[row];
        &self.times[r.start..r.known]
    }

    /// What was done in [`Histories::train`]; empty where that is not told.
    pub fn train_kinds(&self, row: usize) -> &[u32] {
        self.kinds.get(self.training(row)).unwrap_or_default()
    }

    /// What was done in [`Histories::known`]; empty where that is not told.
    pub fn known_kinds(&self, row: usize) -> &[u32] {
        let r = self.rows[row];
        self.kinds.get(r.start..r.known).unwrap_or_default()
    }

    /// Gives each kind of event another number.
    pub fn number_kinds(&mut self, number: impl Fn(u32) -> u32) {
        for kind in &mut self.kinds {
            *kind = number(*kind);
        }
    }

    /// Tells no longer what was done.
    pub fn forget_kinds(&mut self) {
        self.kinds.clear();
    }

    /// The item that validation asks for, and its time; the history for it is [`Histories::train`].
    pub fn valid(&self, row: usize) -> Option<(u32, i64)> {
        let r = self.rows[row];
        r.valid
            .then(|| (self.items[r.known - 1], self.times[r.known - 1]))
    }

    /// The item that the test asks for, and its time; the history for it is [`Histories::known`].
    pub fn test(&self, row: usize) -> Option<(u32, i64)> {
        let r = self.rows[row];
        r.test.then(|| (self.items[r.known], self.times[r.known]))
    }

    /// Counts rows and targets.
    pub fn counts(&self) -> Counts {
        let most = self.items.iter().max().map_or(0, |&i| i as usize + 1);
        let mut fitted = vec![false; most];
        for row in 0..self.len() {
            for &item in self.known(row) {
                fitted[item as usize] = true;
            }
        }
        let rows = || 0..self.len();
        let tests = || rows().filter_map(|row| Some((row, self.test(row)?.0)));
        Counts {
            users: self.len(),
            training: rows().map(|row| self.train(row).len()).sum(),
            valid: self.rows.iter().filter(|r| r.valid).count(),
            test: self.rows.iter().filter(|r| r.test).count(),
            cold: tests().filter(|&(_, item)| !fitted[item as usize]).count(),
            seen: tests()
                .filter(|(row, item)| self.known(*row).contains(item))
                .count(),
        }
    }

    fn training(&self, row: usize) -> Range<usize> {
        let r = self.rows[row];
        r.start..r.known - usize::from(r.valid)
    }
}
