//! What is measured over the events of an entity, as plain data.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::error::{DataError, Result};

/// Most columns of entities.
const MOST_ENTITIES: usize = 8;
/// Most measures of one engine.
const MOST_MEASURES: usize = 512;
/// Most different windows of one column of entities. Every entity keeps a few sums for each.
pub(super) const MOST_WINDOWS: usize = 24;
/// Longest window or delay in seconds: a hundred years.
const LONGEST: i64 = 3_155_760_000;

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// What an [`Engine`](super::Engine) measures, and on which columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineSpec {
    /// Column of the number of an event; without it, an event that comes twice counts twice and labels cannot come later.
    #[serde(default)]
    pub id: Option<String>,
    /// Column of the time of an event.
    pub time: String,
    /// Column of amounts.
    #[serde(default)]
    pub amount: Option<String>,
    /// Columns that tell whose event it is, such as `customer_id` and `terminal_id`; 1 to 8.
    pub entities: Vec<String>,
    /// Column of labels: whether an event is a fraud.
    #[serde(default)]
    pub label: Option<String>,
    /// Column of the times at which labels are known; without it, `delay` after the event.
    #[serde(default)]
    pub label_time: Option<String>,
    /// Seconds after which the label of an event is used, from 0; 7 days by default.
    #[serde(default = "week")]
    pub delay: i64,
    /// What is told of the event itself.
    #[serde(default)]
    pub event: Vec<OfEvent>,
    /// What is measured over the events of its entities.
    pub measures: Vec<Measure>,
    /// Seconds by which an event may be late and still enter the state; an hour by default.
    #[serde(default = "hour")]
    pub tolerance: i64,
    /// Most entities kept of one column; the one that was idle longest goes first. A million by default.
    #[serde(default = "million")]
    pub max_entities: usize,
    /// Most events kept of one entity; the oldest go first. 100,000 by default.
    #[serde(default = "hundred_thousand")]
    pub max_events: usize,
    /// Most events kept in all; the oldest go first. 10 million by default.
    #[serde(default = "ten_million")]
    pub max_kept: usize,
}

fn week() -> i64 {
    7 * DAY
}

fn hour() -> i64 {
    HOUR
}

fn million() -> usize {
    1_000_000
}

fn hundred_thousand() -> usize {
    100_000
}

fn ten_million() -> usize {
    10_000_000
}

/// What is told of an event by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfEvent {
    /// Its amount.
    Amount,
    /// 1 on Saturdays and Sundays (UTC), else 0.
    Weekend,
    /// 1 from midnight to 6 o'clock (UTC) inclusive, else 0.
    Night,
}

/// One figure over the events of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// The column of the entity.
    pub entity: String,
    /// What is measured.
    pub what: What,
    /// Length of the window in seconds, from 1.
    pub window: i64,
}

/// What is measured over the events of an entity in the window `(t - window, t]`, the event at `t` and those before it. Of
/// events at one time, only those that came earlier count. Not a number where there is nothing to measure.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Number of events.
    Count,
    /// Sum of their amounts.
    Sum,
    /// Mean of their amounts.
    Mean,
    /// Greatest of their amounts.
    Max,
    /// Number of different values of another column of entities.
    Distinct {
        /// That column.
        of: String,
    },
    /// Seconds since the event before, if that lies in the window.
    SinceLast,
    /// The event's amount divided by the mean of those before it.
    RatioToMean,
    /// Number of events in `(t - delay - window, t - delay]` whose label is known at `t`.
    RiskCount,
    /// Share of frauds among these.
    Risk,
}

impl EngineSpec {
    /// A sensible set of measures: those of the Fraud Detection Handbook (amount, weekend, night; count and mean amount of
    /// 1, 7 and 30 days; count and fraud share of 1, 7 and 30 days after the delay), for every entity, and counts of 10
    /// minutes and an hour, the seconds since the last event, the amount compared with the mean and the greatest of 30 days,
    /// the sum of a day, and the different other entities of a day. Without amounts or labels, their measures are left out.
    pub fn usual(time: &str, entities: &[&str], amount: Option<&str>, label: Option<&str>) -> Self {
        let mut event = vec![OfEvent::Weekend, OfEvent::Night];
        if amount.is_some() {
            event.insert(0, OfEvent::Amount);
        }
        let days = [DAY, 7 * DAY, 30 * DAY];
        let mut measures = Vec::new();
        for &entity in entities {
            let mut add = |what: What, windows: &[i64]| {
                measures.extend(windows.iter().map(|&window| Measure {
                    entity: entity.to_string(),
                    what: what.clone(),
                    window,
                }));
            };
            add(What::Count, &[10 * MINUTE, HOUR, DAY, 7 * DAY, 30 * DAY]);
            if amount.is_some() {
                add(What::Mean, &days);
                add(What::Sum, &[DAY]);
                add(What::Max, &[30 * DAY]);
                add(What::RatioToMean, &[30 * DAY]);
            }
            add(What::SinceLast, &[30 * DAY]);
            for &of in entities.iter().filter(|&&of| of != entity) {
                add(What::Distinct { of: of.to_string() }, &[DAY]);
            }
            if label.is_some() {
                add(What::RiskCount, &days);
                add(What::Risk, &days);
            }
        }
        Self {
            id: None,
            time: time.to_string(),
            amount: amount.map(str::to_string),
            entities: entities.iter().map(ToString::to_string).collect(),
            label: label.map(str::to_string),
            label_time: None,
            delay: week(),
            event,
            measures,
            tolerance: hour(),
            max_entities: million(),
            max_events: hundred_thousand(),
            max_kept: ten_million(),
        }
    }

    /// The name of each feature in plain words, such as `customer_id: count in 1 d`, in the order of the features.
    pub fn names(&self) -> Vec<String> {
        let amount = self.amount.as_deref().unwrap_or("amount");
        let event = self.event.iter().map(|of| match of {
            OfEvent::Amount => amount.to_string(),
            OfEvent::Weekend => "weekend".to_string(),
            OfEvent::Night => "night".to_string(),
        });
        let measures = self.measures.iter().map(|measure| {
            let (entity, window) = (&measure.entity, duration(measure.window));
            let late = duration(self.delay);
            match &measure.what {
                What::Count => format!("{entity}: count in {window}"),
                What::Sum => format!("{entity}: sum of {amount} in {window}"),
                What::Mean => format!("{entity}: mean {amount} in {window}"),
                What::Max => format!("{entity}: greatest {amount} in {window}"),
                What::Distinct { of } => format!("{entity}: different {of} in {window}"),
                What::SinceLast => format!("{entity}: seconds since the last in {window}"),
                What::RatioToMean => format!("{entity}: {amount} by mean in {window}"),
                What::RiskCount => format!("{entity}: known labels in {window}, {late} ago"),
                What::Risk => format!("{entity}: fraud share in {window}, {late} ago"),
            }
        });
        event.chain(measures).collect()
    }

    /// Number of features.
    pub fn width(&self) -> usize {
        self.event.len() + self.measures.len()
    }

    /// Whether an engine can be made of this.
    ///
    /// # Errors
    /// A measure of a column that is no entity, or of amounts or labels that no column holds; a window, delay, tolerance or
    /// limit out of its range; a measure that is there twice.
    pub fn check(&self) -> Result<()> {
        if self.entities.is_empty() || self.entities.len() > MOST_ENTITIES {
            return wrong(
                format!("{} columns of entities", self.entities.len()),
                "name 1 to 8, such as customer_id and terminal_id",
            );
        }
        if self.width() == 0 || self.measures.len() > MOST_MEASURES {
            return wrong(
                format!("{} measures", self.measures.len()),
                &format!("give 1 to {MOST_MEASURES}"),
            );
        }
        for (name, seconds) in [("delay", self.delay), ("tolerance", self.tolerance)] {
            if !(0..=LONGEST).contains(&seconds) {
                return wrong(
                    format!("{name} is {seconds} seconds"),
                    "give 0 seconds to 100 years",
                );
            }
        }
        for (name, limit) in [
            ("max_entities", self.max_entities),
            ("max_events", self.max_events),
            ("max_kept", self.max_kept),
        ] {
            if !(1..=1 << 30).contains(&limit) {
                return wrong(format!("{name} is {limit}"), "give 1 to 1,073,741,824");
            }
        }
        let mut columns = HashSet::new();
        if let Some(twice) = self.entities.iter().find(|name| !columns.insert(*name)) {
            return wrong(
                format!("the entity `{twice}` is there twice"),
                "name it once",
            );
        }
        self.check_measures()
    }

    fn check_measures(&self) -> Result<()> {
        let mut seen = HashSet::new();
        for name in self.names() {
            if let Some(twice) = seen.replace(name) {
                return wrong(format!("`{twice}` is there twice"), "ask for it once");
            }
        }
        let known = |column: &String| self.entities.contains(column);
        for measure in &self.measures {
            let of = match &measure.what {
                What::Distinct { of } => Some(of),
                _ => None,
            };
            if let Some(column) = of.into_iter().chain([&measure.entity]).find(|c| !known(c)) {
                return wrong(
                    format!("a measure needs `{column}`, which is no entity"),
                    &format!("name one of {}", self.entities.join(", ")),
                );
            }
            if !(1..=LONGEST).contains(&measure.window) {
                return wrong(
                    format!(
                        "a window of `{}` has {} seconds",
                        measure.entity, measure.window
                    ),
                    "give 1 second to 100 years",
                );
            }
            if measure.what.needs_amount() && self.amount.is_none() {
                return wrong(
                    format!("a measure of `{}` needs amounts", measure.entity),
                    "name the column of amounts, or leave the measure out",
                );
            }
        }
        if self.event.contains(&OfEvent::Amount) && self.amount.is_none() {
            return wrong(
                "the event's amount is asked for, and no column holds amounts".to_string(),
                "name the column of amounts",
            );
        }
        for entity in &self.entities {
            let of = self.measures.iter().filter(|m| m.entity == *entity);
            let windows: HashSet<i64> = of.map(|m| m.window).collect();
            if windows.len() > MOST_WINDOWS {
                return wrong(
                    format!("{} different windows of `{entity}`", windows.len()),
                    &format!("use at most {MOST_WINDOWS}"),
                );
            }
        }
        Ok(())
    }
}

impl What {
    fn needs_amount(&self) -> bool {
        matches!(self, Self::Sum | Self::Mean | Self::Max | Self::RatioToMean)
    }
}

fn wrong(problem: String, cure: &str) -> Result<()> {
    Err(DataError::Windows {
        problem,
        cure: cure.to_string(),
    })
}

/// `10 min`, `1 h`, `7 d` or `90 s`.
fn duration(seconds: i64) -> String {
    match seconds {
        s if s > 0 && s % DAY == 0 => format!("{} d", s / DAY),
        s if s > 0 && s % HOUR == 0 => format!("{} h", s / HOUR),
        s if s > 0 && s % MINUTE == 0 => format!("{} min", s / MINUTE),
        s => format!("{s} s"),
    }
}
