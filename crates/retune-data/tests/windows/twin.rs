//! The features by their definitions: for each figure, one walk over all events before.

use retune_data::windows::{EngineSpec, OfEvent, Taken, What};

use super::stream::Event;

struct Seen {
    event: Event,
    /// The moment it counts for.
    time: i64,
    /// Known from when on, in the order in which they came.
    labels: Vec<(i64, bool)>,
}

impl Seen {
    /// What is known at `t`: of the labels known by then the one known last, and of equal ones the last that came.
    fn label(&self, t: i64) -> Option<bool> {
        let known = self.labels.iter().filter(|l| l.0 <= t);
        known.max_by_key(|l| l.0).map(|l| l.1)
    }
}

pub struct Twin {
    spec: EngineSpec,
    seen: Vec<Seen>,
    now: i64,
    horizon: i64,
}

impl Twin {
    pub fn new(spec: &EngineSpec) -> Self {
        let longest = spec.measures.iter().map(|m| m.window).max().unwrap();
        Self {
            spec: spec.clone(),
            seen: Vec::new(),
            now: i64::MIN / 2,
            horizon: longest + spec.delay,
        }
    }

    fn find(&mut self, id: &str) -> Option<&mut Seen> {
        let from = self.now - self.horizon;
        let mut kept = self.seen.iter_mut().rev().take_while(|s| s.time > from);
        kept.find(|s| s.event.id.as_deref() == Some(id))
    }

    pub fn label(&mut self, id: &str, fraud: bool, at: i64) -> bool {
        let found = self.find(id);
        found.map(|seen| seen.labels.push((at, fraud))).is_some()
    }

    pub fn step(&mut self, event: &Event) -> (Vec<f32>, Taken) {
        let again = event
            .id
            .as_deref()
            .is_some_and(|id| self.find(id).is_some());
        let taken = if again {
            Taken::Again
        } else if event.time >= self.now {
            self.now = event.time;
            Taken::InOrder
        } else if event.time >= self.now - self.spec.tolerance {
            Taken::Late
        } else {
            Taken::TooLate
        };
        let mut features = self.of_event(event);
        for measure in &self.spec.measures {
            let column = self.column(&measure.entity);
            let figure = if event.entities[column].is_none() {
                f64::NAN
            } else {
                self.figure(event, column, &measure.what, (measure.window, !again))
            };
            features.push(figure as f32);
        }
        if matches!(taken, Taken::InOrder | Taken::Late) {
            let at = event.label_time.unwrap_or(event.time + self.spec.delay);
            self.seen.push(Seen {
                labels: event.label.iter().map(|&fraud| (at, fraud)).collect(),
                event: event.clone(),
                time: self.now,
            });
        }
        (features, taken)
    }

    fn column(&self, name: &str) -> usize {
        self.spec.entities.iter().position(|e| e == name).unwrap()
    }

    fn of_event(&self, event: &Event) -> Vec<f32> {
        let of = |of: &OfEvent| match of {
            OfEvent::Amount => event.amount.map_or(f32::NAN, |a| a as f32),
            // 2018-03-31 was a Saturday.
            OfEvent::Weekend => {
                let days = (event.time - 1_522_454_400)
                    .div_euclid(86_400)
                    .rem_euclid(7);
                if days < 2 { 1.0 } else { 0.0 }
            }
            OfEvent::Night => {
                let hour = event.time.rem_euclid(86_400) as f64 / 3600.0;
                if hour <= 6.0 { 1.0 } else { 0.0 }
            }
        };
        self.spec.event.iter().map(of).collect()
    }

    fn figure(
        &self,
        event: &Event,
        column: usize,
        what: &What,
        (window, with): (i64, bool),
    ) -> f64 {
        let t = self.now;
        let mine = |from: i64, to: i64| {
            let recent = self.seen.iter().rev();
            let recent = recent.take_while(move |s| s.time > from);
            recent
                .filter(move |s| s.time <= to && s.event.entities[column] == event.entities[column])
        };
        let before: Vec<&Event> = mine(t - window, t).map(|s| &s.event).collect();
        let mut all = before.clone();
        if with {
            all.push(event);
        }
        let amounts = |of: &[&Event]| of.iter().filter_map(|e| e.amount).collect::<Vec<f64>>();
        let mean = |a: &[f64]| a.iter().sum::<f64>() / a.len() as f64;
        let known = |s: &&Seen| s.label(t).is_some();
        let old = || mine(t - self.spec.delay - window, t - self.spec.delay).filter(known);
        match what {
            What::Count => all.len() as f64,
            What::Sum => amounts(&all).iter().sum::<f64>() + 0.0,
            What::Mean => mean(&amounts(&all)),
            What::Max => amounts(&all).into_iter().fold(f64::NAN, f64::max),
            What::Distinct { of } => {
                let of = self.column(of);
                let mut values: Vec<_> =
                    all.iter().filter_map(|e| e.entities[of].clone()).collect();
                values.sort();
                values.dedup();
                values.len() as f64
            }
            What::SinceLast => {
                let last = mine(t - window, t).next();
                last.map_or(f64::NAN, |s| (t - s.time) as f64)
            }
            What::RatioToMean => match (event.amount, mean(&amounts(&before))) {
                (Some(amount), mean) if mean != 0.0 => amount / mean,
                _ => f64::NAN,
            },
            What::RiskCount => old().count() as f64,
            What::Risk => {
                let frauds = old().filter(|s| s.label(t) == Some(true)).count();
                frauds as f64 / old().count() as f64
            }
        }
    }
}
