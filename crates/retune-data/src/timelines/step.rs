//! One event in, its codes out, and the timeline of its card one event longer.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::code::{NUMBERS, OWN, ROLES, clock, gap, numbers, partner};
use super::spec::{TimelineSpec, logarithm};
use crate::error::Result;
use crate::fields::Cells;
use crate::table::Table;
use crate::windows::{Engine, EventRow, Key, Taken, features_and};

/// Events of a part of a timeline.
const PART: u64 = 32;
/// Events of a card that are kept: what [`first_seen`] needs.
pub(super) const KEPT: usize = 64;
/// Cards that are remembered; then those idle longest are forgotten.
pub(super) const MOST_CARDS: usize = 1_000_000;

/// The first event of a timeline that event `index` is seen with: the beginning of the part before its own.
pub fn first_seen(index: u64) -> u64 {
    (index / PART).saturating_sub(1) * PART
}

/// Codes and numbers of events, one row each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moments {
    /// Codes of an event.
    pub width: usize,
    /// `[events, width]`.
    pub codes: Vec<u16>,
    /// `[events, NUMBERS]`.
    pub numbers: Vec<f32>,
}

impl Moments {
    /// Room for no event yet.
    pub fn new(width: usize) -> Self {
        Self {
            width,
            ..Self::default()
        }
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.numbers.len() / NUMBERS
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    fn clear(&mut self) {
        self.codes.clear();
        self.numbers.clear();
    }

    fn push(&mut self, event: &Kept) {
        self.codes.extend(&event.codes);
        self.numbers.extend(event.numbers);
    }
}

/// An event of a timeline.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    pub time: i64,
    /// Logarithm of the amount; NaN without one.
    pub amount: f64,
    pub partner: Key,
    pub codes: Vec<u16>,
    pub numbers: [f32; NUMBERS],
}

/// What one card has done.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Timeline {
    /// Events so far.
    pub count: u64,
    /// Number of its last event among those of all cards.
    pub last: u64,
    /// The newest ones.
    pub kept: VecDeque<Kept>,
}

/// The timelines of all cards, one implementation for training and streams.
#[derive(Debug, Clone)]
pub struct Timelines {
    spec: TimelineSpec,
    /// Events so far.
    pub(super) events: u64,
    pub(super) cards: HashMap<Key, Timeline>,
    /// Cards by the numbers of their events; those whose number is not their last one count for nothing.
    idle: VecDeque<(u64, Key)>,
}

impl Timelines {
    /// Without any event.
    ///
    /// # Errors
    /// A damaged spec.
    pub fn new(spec: TimelineSpec) -> Result<Self> {
        spec.check()?;
        Ok(Self {
            spec,
            events: 0,
            cards: HashMap::new(),
            idle: VecDeque::new(),
        })
    }

    /// How events become codes.
    pub fn spec(&self) -> &TimelineSpec {
        &self.spec
    }

    /// Events taken in so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Forgets every event.
    pub fn clear(&mut self) {
        self.events = 0;
        self.cards.clear();
        self.idle.clear();
    }

    /// Takes an event of the card that its first entity names, with the cells of its fields, after all events before it. `seen`
    /// then holds the events it is seen with, itself last. One that is not to be kept leaves no trace.
    pub fn step(&mut self, event: &EventRow<'_>, cells: &[f32], keep: bool, seen: &mut Moments) {
        seen.width = ROLES + self.spec.extras.len();
        seen.clear();
        let key = Key::of_optional(event.entities.first().copied().flatten());
        if let Some(card) = self.cards.get(&key) {
            let visible = (card.count - first_seen(card.count)) as usize;
            let from = card.kept.len().saturating_sub(visible);
            card.kept
                .iter()
                .skip(from)
                .for_each(|event| seen.push(event));
        }
        let (event, _) = self.take(event, cells, keep);
        seen.push(&event);
    }

    /// The event in codes, and its number in its timeline, which takes it in if it is to be kept.
    fn take(&mut self, event: &EventRow<'_>, cells: &[f32], keep: bool) -> (Kept, u64) {
        let key = Key::of_optional(event.entities.first().copied().flatten());
        // An event of nobody has no past and leaves none.
        let card = self.cards.get(&key).filter(|_| !key.is_none());
        let found = self.moment(event, cells, card);
        let index = card.map_or(0, |card| card.count);
        self.events += u64::from(keep);
        if keep && !key.is_none() {
            let card = self.cards.entry(key).or_default();
            card.count += 1;
            card.last = self.events;
            card.kept.push_back(found.clone());
            if card.kept.len() > KEPT {
                card.kept.pop_front();
            }
            self.remember(key);
        }
        (found, index)
    }

    fn moment(&self, event: &EventRow<'_>, cells: &[f32], card: Option<&Timeline>) -> Kept {
        let before = || {
            card.into_iter()
                .flat_map(|card| card.kept.iter().rev().take(OWN))
        };
        let with = Key::of_optional(event.entities.get(1).copied().flatten());
        let met = before()
            .position(|old| old.partner == with)
            .map(|at| at + 1);
        let amount = event.amount.map_or(f64::NAN, logarithm);
        let since = before()
            .next()
            .map(|old| event.time.saturating_sub(old.time));
        let (hour, day) = clock(event.time);
        let roles = [
            self.spec.amount(amount),
            gap(since),
            hour,
            day,
            partner(!with.is_none(), met),
        ];
        let extras = self.spec.extras.iter().zip(cells);
        Kept {
            time: event.time,
            amount,
            partner: with,
            codes: roles
                .into_iter()
                .chain(extras.map(|(extra, cell)| extra.code(*cell)))
                .collect(),
            numbers: numbers(
                amount,
                before().map(|old| old.amount),
                (f64::from(self.spec.centre), f64::from(self.spec.spread)),
            ),
        }
    }

    /// Puts a card last among those that may be forgotten, and forgets the first where there are too many.
    pub(super) fn remember(&mut self, key: Key) {
        self.idle.push_back((self.events, key));
        if self.idle.len() > 2 * self.cards.len() + 1024 {
            let cards = &self.cards;
            self.idle
                .retain(|(number, key)| cards.get(key).is_some_and(|card| card.last == *number));
        }
        while self.cards.len() > MOST_CARDS {
            let Some((number, key)) = self.idle.pop_front() else {
                return;
            };
            if self.cards.get(&key).is_some_and(|card| card.last == number) {
                self.cards.remove(&key);
            }
        }
    }
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of its timeline.
    pub timeline: u32,
    /// Number of events before it there.
    pub index: u32,
    /// Whether later events see it; one that repeats another is seen by none.
    pub kept: bool,
}

/// The events of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// Of every row of the table.
    pub moments: Moments,
    /// Of every row of the table.
    pub places: Vec<Place>,
    /// Rows of each timeline that are kept, in order.
    pub timelines: Vec<Vec<u32>>,
}

/// Rows of a table that are seen together, and those of them that are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// In order of their timeline.
    pub rows: Vec<u32>,
    /// Which of the wanted rows each is, and its place among `rows`.
    pub asked: Vec<(usize, u32)>,
}

impl Told {
    /// The parts of timelines that hold some rows: each is seen with the events before it in its part, as [`Told::seen`] says.
    pub fn parts(&self, wanted: &[usize]) -> Vec<Part> {
        let mut parts: BTreeMap<(u32, u64), Part> = BTreeMap::new();
        let mut alone = Vec::new();
        for (number, row) in wanted.iter().enumerate() {
            let place = self.places[*row];
            let index = u64::from(place.index);
            let from = first_seen(index);
            if !place.kept {
                let rows = self.seen(*row);
                let asked = vec![(number, rows.len() as u32 - 1)];
                alone.push(Part { rows, asked });
                continue;
            }
            let part = parts.entry((place.timeline, index / PART)).or_default();
            let own = &self.timelines[place.timeline as usize];
            let until = (place.index as usize + 1).max(from as usize + part.rows.len());
            part.rows = own[from as usize..until].to_vec();
            part.asked.push((number, (index - from) as u32));
        }
        parts.into_values().chain(alone).collect()
    }

    /// The rows that a row is seen with, in order, itself last.
    pub fn seen(&self, row: usize) -> Vec<u32> {
        let place = self.places[row];
        let from = first_seen(u64::from(place.index)) as usize;
        let before = &self.timelines[place.timeline as usize][from..place.index as usize];
        before.iter().copied().chain([row as u32]).collect()
    }
}

/// The events of a table in order of time through the same steps as a stream: features by `engine` (`[rows, its width]`),
/// and the events by `timelines`, for which `cells` are the fields of every row. Both have seen all rows afterwards.
///
/// # Errors
/// As [`crate::windows::features_of`].
pub fn moments_of(
    table: &Table,
    engine: &mut Engine,
    (timelines, cells): (&mut Timelines, &Cells),
) -> Result<(Vec<f32>, Told)> {
    let rows = table.rows();
    let width = ROLES + timelines.spec.extras.len();
    let nowhere = Place {
        timeline: 0,
        index: 0,
        kept: false,
    };
    let mut told = Told {
        moments: Moments {
            width,
            codes: vec![0; rows * width],
            numbers: vec![0.0; rows * NUMBERS],
        },
        places: vec![nowhere; rows],
        timelines: Vec::new(),
    };
    let mut numbers: HashMap<Key, u32> = HashMap::new();
    let features = features_and(table, engine, &mut |row, event, taken| {
        let key = Key::of_optional(event.entities.first().copied().flatten());
        let keep = matches!(taken, Taken::InOrder | Taken::Late);
        let own: &[f32] = if cells.width == 0 {
            &[]
        } else {
            cells.row(row)
        };
        let (kept, index) = timelines.take(event, own, keep);
        // A card that was forgotten begins anew.
        let number = match numbers.get(&key) {
            Some(number) if index > 0 => *number,
            _ => {
                let number = told.timelines.len() as u32;
                told.timelines.push(Vec::new());
                numbers.insert(key, number);
                number
            }
        };
        told.places[row] = Place {
            timeline: number,
            index: index as u32,
            kept: keep,
        };
        if keep {
            told.timelines[number as usize].push(row as u32);
        }
        told.moments.codes[row * width..(row + 1) * width].copy_from_slice(&kept.codes);
        told.moments.numbers[row * NUMBERS..(row + 1) * NUMBERS].copy_from_slice(&kept.numbers);
    })?;
    Ok((features, told))
}
