//! The engine: one event in, its features out, and the state one event further.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::column::{Entities, NONE};
use super::history::{Entry, FramePlan, History, HistoryPlan, LARGEST_AMOUNT, Label, Pending};
use super::key::Key;
use super::spec::{EngineSpec, OfEvent, What};
use crate::error::{DataError, Result};

/// Times further from 1970 are no seconds: 3,000 years.
const LATEST: i64 = 100_000_000_000;

/// One event as it comes.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventRow<'a> {
    /// The number of the event; without one, it cannot be told from another, and no label can come later.
    pub id: Option<&'a str>,
    /// Seconds since 1970.
    pub time: i64,
    /// The amount; one that is not finite or beyond 10^15 counts as missing.
    pub amount: Option<f64>,
    /// Whose event it is: one per column of [`EngineSpec::entities`], in that order. An empty text is none.
    pub entities: &'a [Option<&'a str>],
    /// Whether it is a fraud, if that is known or will be known.
    pub label: Option<bool>,
    /// When the label is known, in seconds since 1970; the delay after `time` where it is not given.
    pub label_time: Option<i64>,
}

/// How an event was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// As the newest event.
    InOrder,
    /// It is older than another by no more than the tolerance, and counts as one of that moment.
    Late,
    /// It is older than the tolerance: it has features, and left no trace.
    TooLate,
    /// An event of this number is here already: it has features as of now, and left no trace.
    Again,
}

/// What an engine has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events in all.
    pub events: u64,
    /// Events taken as [`Taken::Late`].
    pub late: u64,
    /// Events taken as [`Taken::TooLate`].
    pub too_late: u64,
    /// Events taken as [`Taken::Again`].
    pub again: u64,
    /// Labels that came, with their events or later.
    pub labels: u64,
    /// Labels of events that are not here (any more).
    pub labels_unknown: u64,
    /// Labels lost since 16 labels and four more per event waited at an entity.
    pub labels_lost: u64,
    /// Entities forgotten since there were [`EngineSpec::max_entities`].
    pub entities_dropped: u64,
    /// Events forgotten since there were [`EngineSpec::max_events`] of an entity or [`EngineSpec::max_kept`] in all.
    pub events_dropped: u64,
}

impl Counts {
    /// Events that later ones see.
    pub fn kept(&self) -> u64 {
        self.events - self.too_late - self.again
    }

    /// The greatest of the counts.
    pub(super) fn greatest(&self) -> u64 {
        let all = [
            self.events,
            self.late,
            self.too_late,
            self.again,
            self.labels,
            self.labels_unknown,
            self.labels_lost,
            self.entities_dropped,
            self.events_dropped,
        ];
        all.into_iter().max().unwrap_or(0)
    }
}

/// An event that is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub id: Key,
    pub time: i64,
}

/// Where one feature is found.
#[derive(Debug, Clone, Copy)]
enum Figure {
    Count,
    Sum,
    Mean,
    Max,
    /// Place among the values counted in the frame, and the column they come from.
    Distinct(usize, usize),
    SinceLast(i64),
    RatioToMean,
    RiskCount,
    Risk,
}

#[derive(Debug, Clone, Copy)]
struct Output {
    column: usize,
    figure: Figure,
    /// Index of the frame, or of the window of labels.
    frame: usize,
}

/// Features over streams of events, one implementation for training and serving. See the module for what they mean.
#[derive(Debug, Clone)]
pub struct Engine {
    spec: EngineSpec,
    outputs: Vec<Output>,
    /// Seconds after which an event cannot matter.
    horizon: i64,
    /// The newest time seen.
    pub(super) now: i64,
    pub(super) columns: Vec<Entities>,
    /// The kept events, by number from `first`.
    pub(super) kept: VecDeque<Kept>,
    /// The slots of the entities of each kept event: `kept.len() * columns.len()`.
    pub(super) slots: VecDeque<u32>,
    pub(super) first: u64,
    pub(super) ids: HashMap<Key, u64>,
    /// Number of labels so far, which orders them.
    pub(super) labels: u64,
    pub(super) counts: Counts,
    /// Keys and slots of the event at hand.
    keys: Vec<Key>,
    at: Vec<u32>,
}

impl Engine {
    /// An engine without events.
    ///
    /// # Errors
    /// As [`EngineSpec::check`].
    pub fn new(spec: EngineSpec) -> Result<Self> {
        spec.check()?;
        let (plans, outputs) = plans(&spec);
        let reach = spec.measures.iter().map(|measure| match measure.what {
            What::RiskCount | What::Risk => measure.window + spec.delay,
            _ => measure.window,
        });
        Ok(Self {
            horizon: reach.max().unwrap_or(0).max(spec.tolerance),
            outputs,
            now: i64::MIN,
            columns: plans.into_iter().map(Entities::new).collect(),
            kept: VecDeque::new(),
            slots: VecDeque::new(),
            first: 0,
            ids: HashMap::new(),
            labels: 0,
            counts: Counts::default(),
            keys: Vec::new(),
            at: Vec::new(),
            spec,
        })
    }

    /// What is measured.
    pub fn spec(&self) -> &EngineSpec {
        &self.spec
    }

    /// What has been seen.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Number of events that are kept.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Number of entities that are kept, per column.
    pub fn entities(&self) -> Vec<usize> {
        self.columns.iter().map(Entities::len).collect()
    }

    /// Computes the features of an event and takes it into the state. `out` holds them afterwards, [`EngineSpec::width`] of
    /// them, and nothing else.
    ///
    /// # Errors
    /// Another number of entities than the engine has columns, or a time that is not in seconds since 1970. The state is
    /// as before.
    pub fn step(&mut self, row: &EventRow<'_>, out: &mut Vec<f32>) -> Result<Taken> {
        self.refuse(row)?;
        self.counts.events += 1;
        let id = Key::of_optional(row.id);
        let taken = if !id.is_none() && self.ids.contains_key(&id) {
            self.counts.again += 1;
            Taken::Again
        } else if row.time >= self.now {
            self.now = row.time;
            self.forget_old();
            Taken::InOrder
        } else if row.time >= self.now.saturating_sub(self.spec.tolerance) {
            self.counts.late += 1;
            Taken::Late
        } else {
            self.counts.too_late += 1;
            Taken::TooLate
        };
        let amount = row
            .amount
            .filter(|amount| amount.abs() <= LARGEST_AMOUNT)
            // Minus nothing is nothing.
            .map(|amount| amount + 0.0);
        let keys = row.entities.iter().map(|entity| Key::of_optional(*entity));
        self.keys.clear();
        self.keys.extend(keys);
        self.at.clear();
        for (column, &key) in self.columns.iter_mut().zip(&self.keys) {
            let at = column.find(key);
            if let Some((history, plan)) = column.history_mut(at) {
                history.advance(plan, self.now);
            }
            self.at.push(at);
        }
        // An event that is in the state already is not counted once more.
        self.measure(row, amount, taken != Taken::Again, out);
        if matches!(taken, Taken::InOrder | Taken::Late) {
            self.enter(row, id, amount);
        }
        Ok(taken)
    }

    /// Takes notice of the label of an event of the number `id` that is known from `at` (seconds since 1970) on. Of several
    /// labels of an event, the one that is known last holds. `false` if no such event is kept.
    pub fn label(&mut self, id: &str, fraud: bool, at: i64) -> bool {
        self.counts.labels += 1;
        let seq = self.ids.get(&Key::of(id)).copied();
        if let Some(seq) = seq {
            self.wait(seq, fraud, at);
        } else {
            self.counts.labels_unknown += 1;
        }
        seq.is_some()
    }

    /// Forgets everything that has been seen.
    pub fn clear(&mut self) {
        for column in &mut self.columns {
            *column = Entities::new(std::mem::take(&mut column.plan));
        }
        self.now = i64::MIN;
        self.kept.clear();
        self.slots.clear();
        self.ids.clear();
        self.first = 0;
        self.labels = 0;
        self.counts = Counts::default();
    }

    fn refuse(&self, row: &EventRow<'_>) -> Result<()> {
        let problem = if row.entities.len() != self.columns.len() {
            format!(
                "an event has {} entities, and the engine has {} columns of them",
                row.entities.len(),
                self.columns.len()
            )
        } else if let Some(time) = [Some(row.time), row.label_time]
            .into_iter()
            .flatten()
            .find(|time| !(-LATEST..=LATEST).contains(time))
        {
            format!("the time {time} lies more than 3,000 years from 1970")
        } else {
            return Ok(());
        };
        Err(DataError::Windows {
            problem,
            cure: "give times in seconds since 1970 and one entity per column".to_string(),
        })
    }

    fn measure(&self, row: &EventRow<'_>, amount: Option<f64>, with: bool, out: &mut Vec<f32>) {
        out.clear();
        for of in &self.spec.event {
            // 1970 began on a Thursday.
            let weekday = (row.time.div_euclid(86_400) + 3).rem_euclid(7);
            let second = row.time.rem_euclid(86_400);
            out.push(match of {
                OfEvent::Amount => amount.map_or(f32::NAN, |amount| amount as f32),
                OfEvent::Weekend => f32::from(u8::from(weekday >= 5)),
                OfEvent::Night => f32::from(u8::from(second <= 6 * 3600)),
            });
        }
        for output in &self.outputs {
            let figure = if self.keys[output.column].is_none() {
                f64::NAN
            } else {
                let history = self.columns[output.column].history(self.at[output.column]);
                self.figure(history, output, amount, with)
            };
            out.push(figure as f32);
        }
    }

    /// One figure; `with` counts the event itself, which is not in the history yet.
    fn figure(&self, history: &History, o: &Output, amount: Option<f64>, with: bool) -> f64 {
        let own = amount.filter(|_| with);
        let mean = |own: Option<f64>| {
            let frame = history.frame(o.frame);
            let n = frame.amounts() + u64::from(own.is_some());
            frame.sum_with(own) / n as f64
        };
        match o.figure {
            Figure::Count => (history.count(o.frame) + u64::from(with)) as f64,
            Figure::Sum => history.frame(o.frame).sum_with(own),
            Figure::Mean => mean(own),
            Figure::Max => {
                let before = history.frame(o.frame).greatest().unwrap_or(f64::NAN);
                // The greater, or the one that is a number.
                before.max(own.unwrap_or(f64::NAN))
            }
            Figure::Distinct(values, column) => {
                let key = self.keys[column];
                let (different, known) = history.frame(o.frame).different(values, key);
                (different + usize::from(with && !known && !key.is_none())) as f64
            }
            Figure::SinceLast(window) => match history.entries().back() {
                Some(last) if last.time > self.now.saturating_sub(window) => {
                    (self.now - last.time) as f64
                }
                _ => f64::NAN,
            },
            Figure::RatioToMean => match (amount, mean(None)) {
                (Some(amount), mean) if mean != 0.0 => amount / mean,
                _ => f64::NAN,
            },
            Figure::RiskCount => history.risk(o.frame).known as f64,
            Figure::Risk => {
                let risk = history.risk(o.frame);
                risk.frauds as f64 / risk.known as f64
            }
        }
    }

    fn enter(&mut self, row: &EventRow<'_>, id: Key, amount: Option<f64>) {
        let seq = self.first + self.kept.len() as u64;
        let entry = Entry {
            seq,
            time: self.now,
            amount: amount.unwrap_or(f64::NAN),
            label: Label::Unknown,
            label_at: 0,
        };
        for (column, &key) in self.columns.iter_mut().zip(&self.keys) {
            if key.is_none() {
                self.slots.push_back(NONE);
                continue;
            }
            let (at, forgot) = column.see(key, self.spec.max_entities);
            self.counts.entities_dropped += u64::from(forgot);
            self.slots.push_back(at);
            let mut others = [Key::NONE; 8];
            for (other, &of) in others.iter_mut().zip(&column.plan.others) {
                *other = self.keys[of];
            }
            if let Some((history, plan)) = column.history_mut(at) {
                if history.len() >= self.spec.max_events {
                    history.pop(plan);
                    self.counts.events_dropped += 1;
                }
                history.push(plan, entry, &others[..plan.others.len()]);
            }
        }
        self.kept.push_back(Kept { id, time: self.now });
        if !id.is_none() {
            self.ids.insert(id, seq);
        }
        if let Some(fraud) = row.label {
            let after = row.time.saturating_add(self.spec.delay);
            self.counts.labels += 1;
            self.wait(seq, fraud, row.label_time.unwrap_or(after));
        }
        if self.kept.len() > self.spec.max_kept {
            self.forget_first();
            self.counts.events_dropped += 1;
        }
    }

    fn wait(&mut self, seq: u64, fraud: bool, at: i64) {
        let place = (seq - self.first) as usize;
        // Known after the event has left every window: it would wait in vain.
        if at >= self.kept[place].time.saturating_add(self.horizon) {
            return;
        }
        self.labels += 1;
        let pending = Pending {
            at,
            order: self.labels,
            seq,
            fraud,
        };
        let width = self.columns.len();
        for (c, column) in self.columns.iter_mut().enumerate() {
            if column.plan.risks.is_empty() {
                continue;
            }
            if let Some((history, _)) = column.history_mut(self.slots[place * width + c]) {
                self.counts.labels_lost += u64::from(!history.wait(pending));
            }
        }
    }

    fn forget_old(&mut self) {
        let until = self.now.saturating_sub(self.horizon);
        while self.kept.front().is_some_and(|kept| kept.time <= until) {
            self.forget_first();
        }
    }

    /// The oldest event leaves, and with their last event the entities.
    fn forget_first(&mut self) {
        let Some(kept) = self.kept.pop_front() else {
            return;
        };
        self.ids.remove(&kept.id);
        for column in &mut self.columns {
            let at = self.slots.pop_front().unwrap_or(NONE);
            let first = self.first;
            let Some((history, plan)) = column.history_mut(at) else {
                continue;
            };
            // The slot may have been given to another entity, and the event dropped before.
            if history.entries().front().is_some_and(|e| e.seq == first) {
                history.pop(plan);
                if history.len() == 0 {
                    column.forget(at);
                }
            }
        }
        self.first += 1;
    }
}

/// What each column has to keep, and where each measure is found.
fn plans(spec: &EngineSpec) -> (Vec<HistoryPlan>, Vec<Output>) {
    let plan = || HistoryPlan {
        delay: spec.delay,
        ..HistoryPlan::default()
    };
    let mut plans: Vec<HistoryPlan> = spec.entities.iter().map(|_| plan()).collect();
    let place = |name: &String| spec.entities.iter().position(|e| e == name).unwrap_or(0);
    let mut outputs = Vec::with_capacity(spec.measures.len());
    for measure in &spec.measures {
        let column = place(&measure.entity);
        let plan = &mut plans[column];
        let is_risk = matches!(measure.what, What::RiskCount | What::Risk);
        let frame = if is_risk {
            found(&mut plan.risks, |w| *w == measure.window, measure.window)
        } else if measure.what == What::SinceLast {
            0
        } else {
            let new = FramePlan {
                window: measure.window,
                ..FramePlan::default()
            };
            found(&mut plan.frames, |f| f.window == measure.window, new)
        };
        let figure = match &measure.what {
            What::Count => Figure::Count,
            What::Sum => Figure::Sum,
            What::Mean => Figure::Mean,
            What::Max => {
                plan.frames[frame].max = true;
                Figure::Max
            }
            What::Distinct { of } => {
                let of = place(of);
                let other = found(&mut plan.others, |o| *o == of, of);
                let values = &mut plan.frames[frame].distinct;
                Figure::Distinct(found(values, |v| *v == other, other), of)
            }
            What::SinceLast => Figure::SinceLast(measure.window),
            What::RatioToMean => Figure::RatioToMean,
            What::RiskCount => Figure::RiskCount,
            What::Risk => Figure::Risk,
        };
        outputs.push(Output {
            column,
            figure,
            frame,
        });
    }
    (plans, outputs)
}

/// The place of the item that `is` the one meant; `new` is added where there is none.
fn found<T>(items: &mut Vec<T>, is: impl Fn(&T) -> bool, new: T) -> usize {
    items.iter().position(is).unwrap_or_else(|| {
        items.push(new);
        items.len() - 1
    })
}
