//! The events of one entity, and sums over its windows that are kept up to date as events come and go.
//!
//! Each window has a pointer to its oldest event. An event enters every window at the end and leaves each once at the
//! front, so that it costs the same whatever the length of the windows. Sums are whole numbers (of 2^-40 units of the amount,
//! in 128 bits): they do not drift, and do not depend on what has come and gone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use super::key::Key;

/// Units of a sum in one of the amount: a power of two, so that scaling is exact.
const UNITS: f64 = (1_u64 << 40) as f64;

/// Amounts further from 0 are taken for missing: they would not fit into a sum.
pub(super) const LARGEST_AMOUNT: f64 = 1e15;

/// What one window of a column of entities has to know.
#[derive(Debug, Clone, Default)]
pub(super) struct FramePlan {
    /// Seconds.
    pub window: i64,
    /// Whether the greatest amount is asked for.
    pub max: bool,
    /// Whose different values are asked for: indices into [`HistoryPlan::others`].
    pub distinct: Vec<usize>,
}

/// What the histories of one column of entities have to know.
#[derive(Debug, Clone, Default)]
pub(super) struct HistoryPlan {
    pub frames: Vec<FramePlan>,
    /// Lengths of the windows of labels, in seconds.
    pub risks: Vec<i64>,
    /// Seconds from an event to the windows of labels.
    pub delay: i64,
    /// The columns whose values are kept beside the events.
    pub others: Vec<usize>,
}

/// What is known of an event's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Label {
    Unknown = 0,
    Honest = 1,
    Fraud = 2,
}

impl Label {
    pub fn of(fraud: bool) -> Self {
        if fraud { Self::Fraud } else { Self::Honest }
    }
}

/// One event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Number of the event among all that entered the engine.
    pub seq: u64,
    pub time: i64,
    /// Not a number where it is missing.
    pub amount: f64,
    pub label: Label,
    /// When the label became known.
    pub label_at: i64,
}

/// A label that is not known yet, or not looked at yet. The order of the fields is that of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pending {
    pub at: i64,
    /// Number of the label among all labels: of two for one moment, the later one holds.
    pub order: u64,
    pub seq: u64,
    pub fraud: bool,
}

/// Sums over the events `tail..` of a history.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    tail: u64,
    amounts: u64,
    sum: i128,
    /// Positions and amounts, falling: the first is the greatest in the window.
    greatest: VecDeque<(u64, f64)>,
    /// How often each value is in the window, per column.
    values: Vec<HashMap<Key, u32>>,
}

impl Frame {
    /// Number of amounts.
    pub fn amounts(&self) -> u64 {
        self.amounts
    }

    /// Sum of the amounts with one more, if there is one.
    pub fn sum_with(&self, amount: Option<f64>) -> f64 {
        (self.sum + amount.map_or(0, units)) as f64 / UNITS
    }

    pub fn greatest(&self) -> Option<f64> {
        self.greatest.front().map(|g| g.1)
    }

    /// Number of different values, and whether `key` is one.
    pub fn different(&self, at: usize, key: Key) -> (usize, bool) {
        let values = &self.values[at];
        (values.len(), values.contains_key(&key))
    }

    fn enter(&mut self, plan: &FramePlan, position: u64, entry: &Entry, others: &[Key]) {
        if !entry.amount.is_nan() {
            self.amounts += 1;
            self.sum += units(entry.amount);
            if plan.max {
                while self.greatest.back().is_some_and(|g| g.1 <= entry.amount) {
                    self.greatest.pop_back();
                }
                self.greatest.push_back((position, entry.amount));
            }
        }
        for (values, &other) in self.values.iter_mut().zip(&plan.distinct) {
            if !others[other].is_none() {
                *values.entry(others[other]).or_default() += 1;
            }
        }
    }

    /// The event at `tail` leaves.
    fn leave(&mut self, plan: &FramePlan, entry: &Entry, others: &[VecDeque<Key>], at: usize) {
        if !entry.amount.is_nan() {
            self.amounts -= 1;
            self.sum -= units(entry.amount);
            if self.greatest.front().is_some_and(|g| g.0 == self.tail) {
                self.greatest.pop_front();
            }
        }
        for (values, &other) in self.values.iter_mut().zip(&plan.distinct) {
            let key = others[other][at];
            if let Some(count) = values.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    values.remove(&key);
                }
            }
        }
        self.tail += 1;
    }
}

fn units(amount: f64) -> i128 {
    (amount * UNITS).round() as i128
}

/// Known labels of the events `tail..head` of a history.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RiskFrame {
    tail: u64,
    head: u64,
    pub known: u64,
    pub frauds: u64,
}

impl RiskFrame {
    fn add(&mut self, label: Label) {
        self.known += u64::from(label != Label::Unknown);
        self.frauds += u64::from(label == Label::Fraud);
    }

    fn take(&mut self, label: Label) {
        self.known -= u64::from(label != Label::Unknown);
        self.frauds -= u64::from(label == Label::Fraud);
    }
}

/// The events of one entity, in the order in which they entered; times never fall.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// Position of the oldest event kept.
    first: u64,
    entries: VecDeque<Entry>,
    /// Values of other columns beside the events, per column.
    others: Vec<VecDeque<Key>>,
    frames: Vec<Frame>,
    risks: Vec<RiskFrame>,
    pending: BinaryHeap<Reverse<Pending>>,
}

impl History {
    pub fn new(plan: &HistoryPlan) -> Self {
        let frame = |frame: &FramePlan| Frame {
            values: vec![HashMap::new(); frame.distinct.len()],
            ..Frame::default()
        };
        Self {
            others: vec![VecDeque::new(); plan.others.len()],
            frames: plan.frames.iter().map(frame).collect(),
            risks: vec![RiskFrame::default(); plan.risks.len()],
            ..Self::default()
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }

    /// The values of other columns beside the event at `at`.
    pub fn others(&self, at: usize) -> impl Iterator<Item = Key> + '_ {
        self.others.iter().map(move |keys| keys[at])
    }

    /// The labels that wait for their time, in order of their use.
    pub fn pending(&self) -> Vec<Pending> {
        let mut out: Vec<Pending> = self.pending.iter().map(|p| p.0).collect();
        out.sort_unstable();
        out
    }

    pub fn frame(&self, at: usize) -> &Frame {
        &self.frames[at]
    }

    pub fn risk(&self, at: usize) -> &RiskFrame {
        &self.risks[at]
    }

    /// Number of events in a window.
    pub fn count(&self, frame: usize) -> u64 {
        self.end() - self.frames[frame].tail
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn entry(&self, position: u64) -> Option<&Entry> {
        self.entries.get((position - self.first) as usize)
    }

    /// Moves all windows on to end at `now`, and takes notice of the labels known by then.
    pub fn advance(&mut self, plan: &HistoryPlan, now: i64) {
        for (frame, of) in self.frames.iter_mut().zip(&plan.frames) {
            let from = now.saturating_sub(of.window);
            loop {
                let at = (frame.tail - self.first) as usize;
                match self.entries.get(at).filter(|entry| entry.time <= from) {
                    Some(entry) => frame.leave(of, entry, &self.others, at),
                    None => break,
                }
            }
        }
        self.learn(now);
        let until = now.saturating_sub(plan.delay);
        for at in 0..self.risks.len() {
            let from = until.saturating_sub(plan.risks[at]);
            let mut risk = self.risks[at];
            while let Some(entry) = self.entry(risk.head).filter(|e| e.time <= until) {
                risk.add(entry.label);
                risk.head += 1;
            }
            while risk.tail < risk.head
                && let Some(entry) = self.entry(risk.tail).filter(|e| e.time <= from)
            {
                risk.take(entry.label);
                risk.tail += 1;
            }
            self.risks[at] = risk;
        }
    }

    /// Applies the labels that are known at `now`.
    fn learn(&mut self, now: i64) {
        while let Some(Reverse(next)) = self.pending.peek().copied() {
            if next.at > now {
                return;
            }
            self.pending.pop();
            let Ok(at) = self.entries.binary_search_by_key(&next.seq, |e| e.seq) else {
                continue;
            };
            let position = self.first + at as u64;
            let entry = &mut self.entries[at];
            // A label that was known earlier came late: the newer one holds.
            if entry.label != Label::Unknown && next.at < entry.label_at {
                continue;
            }
            let before = entry.label;
            entry.label = Label::of(next.fraud);
            entry.label_at = next.at;
            for risk in &mut self.risks {
                if (risk.tail..risk.head).contains(&position) {
                    risk.take(before);
                    risk.add(Label::of(next.fraud));
                }
            }
        }
    }

    /// An event enters; `others` are its values of the columns of the plan.
    pub fn push(&mut self, plan: &HistoryPlan, entry: Entry, others: &[Key]) {
        let position = self.end();
        for (frame, of) in self.frames.iter_mut().zip(&plan.frames) {
            frame.enter(of, position, &entry, others);
        }
        for (keys, &other) in self.others.iter_mut().zip(others) {
            keys.push_back(other);
        }
        self.entries.push_back(entry);
    }

    /// A label that is known from `pending.at` on, if its event is here. `false` if so many labels wait already that this one is
    /// lost.
    pub fn wait(&mut self, pending: Pending) -> bool {
        let here = self.entries.binary_search_by_key(&pending.seq, |e| e.seq);
        if here.is_err() {
            return true;
        }
        let room = self.pending.len() < 16 + 4 * self.entries.len();
        if room {
            self.hold(pending);
        }
        room
    }

    /// As [`History::wait`], however many wait, and if the event has gone in the meantime.
    pub fn hold(&mut self, pending: Pending) {
        self.pending.push(Reverse(pending));
    }

    /// The oldest event leaves the history, and every window that it is still in.
    pub fn pop(&mut self, plan: &HistoryPlan) {
        let Some(&oldest) = self.entries.front() else {
            return;
        };
        for (frame, of) in self.frames.iter_mut().zip(&plan.frames) {
            if frame.tail == self.first {
                frame.leave(of, &oldest, &self.others, 0);
            }
        }
        for risk in &mut self.risks {
            if risk.tail == self.first {
                if risk.head > self.first {
                    risk.take(oldest.label);
                }
                risk.tail += 1;
                risk.head = risk.head.max(risk.tail);
            }
        }
        for keys in &mut self.others {
            keys.pop_front();
        }
        self.entries.pop_front();
        self.first += 1;
    }
}
