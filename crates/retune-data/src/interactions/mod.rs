//! Interactions of users with items, for recommendation: who took what, when; and the catalogue of the items.
//!
//! `files ─read→ Interactions ─filter→ Interactions ─divide→ Histories`, and beside it `files ─read→ Catalogue`.
//!
//! **Order.** Events are sorted by time, stably: events of one time keep the order of the file. This is no detail. In
//! MovieLens-1M, 77 % of the events share user and time with another, and ordering these by item id instead changes a
//! quarter of all test targets. The share is part of [`Facts`].
//!
//! **Memory.** Users and items are numbers from 0; each id is kept once. An event takes 16 bytes, and 4 more each for a
//! rating and a weight and 2 for an event name. No file is kept as a table: reading takes at most 48 bytes per event
//! beside the bytes of the file (of a Parquet file, those of 8,192 rows), and 10 million events fit into half a gigabyte.
//! A JSON array is the exception: it is read as a whole first.

pub mod catalogue;
mod columns;
mod filter;
pub mod folder;
mod join;
mod likely;
pub(crate) mod moments;
pub mod protocol;
mod reader;
mod source;
pub mod synthetic;

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::error::Result;
use crate::read::ReadOptions;
use crate::roles::Reason;
use reader::Reader;
use source::{Cells, Source};

pub use columns::Columns;
pub use filter::{Filters, Repeats};
pub use join::{Shop, join};
pub use likely::likely;
pub use moments::{SECOND, show_moment};

/// Rows looked at to tell the columns.
const SAMPLE: usize = 20_000;

/// What the user says about files of interactions.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The columns that the user names.
    pub columns: Columns,
    /// Take the order of the rows for the order of time, and look for no column of times.
    pub file_order: bool,
    /// Delimiter and encoding.
    pub read: ReadOptions,
}

/// What `Interactions::time` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Nanoseconds since 1970, UTC.
    #[default]
    Moments,
    /// Numbers of rows: there is an order, and no durations.
    Rows,
}

/// Events in order of time; those of one time in the order of the file. All columns have one entry per event.
#[derive(Debug, Clone, Default)]
pub struct Interactions {
    /// The id of each user; `user` indexes this list.
    pub users: Vec<String>,
    /// The id of each item; `item` indexes this list.
    pub items: Vec<String>,
    /// Who.
    pub user: Vec<u32>,
    /// What.
    pub item: Vec<u32>,
    /// When; see `clock`.
    pub time: Vec<i64>,
    /// What the times are.
    pub clock: Clock,
    /// Ratings; not a number where the file has none.
    pub rating: Option<Vec<f32>>,
    /// Weights; 1 where the file has none.
    pub weight: Option<Vec<f32>>,
    /// What was done.
    pub event: Option<Events>,
    /// Why each column got its role.
    pub reasons: Vec<Reason>,
    /// What was decided, left out or odd, one sentence each.
    pub notes: Vec<String>,
}

/// Names of what was done, by number.
#[derive(Debug, Clone, Default)]
pub struct Events {
    /// The names; `code` indexes this list. An empty name stands for an empty cell.
    pub names: Vec<String>,
    /// One per event.
    pub code: Vec<u16>,
}

/// Figures that say what kind of data this is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Facts {
    /// Number of events.
    pub events: usize,
    /// Number of users with an event.
    pub users: usize,
    /// Number of items with an event.
    pub items: usize,
    /// Share of the events that share user and time with another, 0 to 1: their order is that of the file.
    pub ties: f64,
    /// Share of the events whose user had an event with the same item before, 0 to 1.
    pub repeats: f64,
    /// Users with one event only.
    pub single: usize,
    /// Median over users of the time between first and last event, in seconds; 0 where there are no times.
    pub median_span: f64,
}

/// Reads interactions from one or more files, whose rows follow one another.
///
/// # Errors
/// A file that cannot be read; a column that cannot be told or is not there; a value that is no time or no number, or a
/// time in another unit than the first, with file, row and column; no event at all.
pub fn read(paths: &[PathBuf], request: &Request) -> Result<Interactions> {
    let mut reader = Reader::default();
    for path in paths {
        reader.add(path, request)?;
    }
    reader.finish(request)
}

impl Interactions {
    /// Number of events.
    pub fn len(&self) -> usize {
        self.user.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty()
    }

    /// The events of each user, in order: of user `u` they are `events[starts[u]..starts[u + 1]]`.
    pub fn by_user(&self) -> ByUser {
        let mut starts = vec![0_usize; self.users.len() + 1];
        for &u in &self.user {
            starts[u as usize + 1] += 1;
        }
        for u in 0..self.users.len() {
            starts[u + 1] += starts[u];
        }
        let mut next = starts.clone();
        let mut events = vec![0_u32; self.len()];
        for (event, &u) in self.user.iter().enumerate() {
            events[next[u as usize]] = event as u32;
            next[u as usize] += 1;
        }
        ByUser { starts, events }
    }

    /// Names of what was done, the most frequent first, and which of them each event is; nothing where all events are of
    /// one kind.
    pub fn kinds(&self) -> (Vec<&str>, Vec<u32>) {
        let Some(Events { names, code }) = &self.event else {
            return (Vec::new(), Vec::new());
        };
        let mut counts = vec![0_usize; names.len()];
        for &c in code {
            counts[c as usize] += 1;
        }
        let mut used: Vec<usize> = (0..names.len()).filter(|&c| counts[c] > 0).collect();
        used.sort_by_key(|&c| (std::cmp::Reverse(counts[c]), &names[c]));
        if used.len() < 2 {
            return (Vec::new(), Vec::new());
        }
        let mut number = vec![0_u32; names.len()];
        for (n, &c) in (0..).zip(&used) {
            number[c] = n;
        }
        let named = used.iter().map(|&c| names[c].as_str()).collect();
        (named, code.iter().map(|&c| number[c as usize]).collect())
    }

    /// Counts what is worth knowing before anything is trained.
    pub fn facts(&self) -> Facts {
        let by_user = self.by_user();
        let (mut ties, mut repeats, mut single, mut users) = (0_usize, 0_usize, 0, 0);
        let mut spans = Vec::with_capacity(self.users.len());
        // The last user who took each item, counted from 1.
        let mut taken = vec![0_u32; self.items.len()];
        for u in 0..self.users.len() {
            let events = by_user.of(u);
            let times: Vec<i64> = events.iter().map(|&e| self.time[e as usize]).collect();
            let (Some(first), Some(last)) = (times.first(), times.last()) else {
                continue;
            };
            users += 1;
            single += usize::from(times.len() == 1);
            spans.push(last.saturating_sub(*first));
            let runs = times.chunk_by(|a, b| a == b).filter(|run| run.len() > 1);
            ties += runs.map(<[i64]>::len).sum::<usize>();
            for &e in events {
                let item = self.item[e as usize] as usize;
                repeats += usize::from(taken[item] == u as u32 + 1);
                taken[item] = u as u32 + 1;
            }
        }
        spans.sort_unstable();
        let middle = spans.get(spans.len() / 2).copied().unwrap_or(0);
        let n = self.len().max(1) as f64;
        Facts {
            events: self.len(),
            users,
            items: taken.iter().filter(|&&t| t > 0).count(),
            ties: ties as f64 / n,
            repeats: repeats as f64 / n,
            single,
            median_span: match self.clock {
                Clock::Moments => middle as f64 / SECOND as f64,
                Clock::Rows => 0.0,
            },
        }
    }

    /// Puts the events in order of time; those of one time stay in the order they have.
    fn sort(&mut self) {
        if self.time.is_sorted() {
            return;
        }
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        // Stable: the order of the file decides between equal times.
        order.sort_by_key(|&e| self.time[e as usize]);
        self.pick(&order);
    }

    /// Keeps the events at `order`, in that order.
    fn pick(&mut self, order: &[u32]) {
        fn picked<T: Copy>(column: &mut Vec<T>, order: &[u32]) {
            *column = order.iter().map(|&e| column[e as usize]).collect();
        }
        picked(&mut self.user, order);
        picked(&mut self.item, order);
        picked(&mut self.time, order);
        for column in [&mut self.rating, &mut self.weight].into_iter().flatten() {
            picked(column, order);
        }
        if let Some(event) = &mut self.event {
            picked(&mut event.code, order);
        }
    }

    /// Drops users and items without events; the others keep their order.
    fn renumber(&mut self) {
        self.user = renumbered(&mut self.users, &self.user);
        self.item = renumbered(&mut self.items, &self.item);
    }
}

/// Keeps the names that are used, and returns the codes by their new numbers.
fn renumbered(names: &mut Vec<String>, codes: &[u32]) -> Vec<u32> {
    let mut used = vec![false; names.len()];
    for &c in codes {
        used[c as usize] = true;
    }
    let mut number = vec![0_u32; names.len()];
    let mut next = 0;
    for (number, &used) in number.iter_mut().zip(&used) {
        *number = next;
        next += u32::from(used);
    }
    let mut at = 0;
    names.retain(|_| {
        at += 1;
        used[at - 1]
    });
    codes.iter().map(|&c| number[c as usize]).collect()
}

/// The events of each user.
#[derive(Debug, Clone)]
pub struct ByUser {
    starts: Vec<usize>,
    events: Vec<u32>,
}

impl ByUser {
    /// The events of a user, in order of time.
    pub fn of(&self, user: usize) -> &[u32] {
        &self.events[self.starts[user]..self.starts[user + 1]]
    }
}

/// Numbers for ids, in order of their first appearance.
#[derive(Default)]
struct Codes(HashMap<Box<str>, u32>);

impl Codes {
    fn of(&mut self, id: &str) -> u32 {
        if let Some(&code) = self.0.get(id) {
            return code;
        }
        let code = self.0.len() as u32;
        self.0.insert(id.into(), code);
        code
    }

    fn into_names(self) -> Vec<String> {
        let mut names = vec![String::new(); self.0.len()];
        for (name, code) in self.0 {
            names[code as usize] = name.into_string();
        }
        names
    }
}
