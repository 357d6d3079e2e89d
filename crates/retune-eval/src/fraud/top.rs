//! The top of the queue: a share of all events becomes alerts, equal scores at its end in part.

use std::collections::HashMap;

use super::evaluate::{Family, Key};
use super::scored::{Groups, Named, Scored, Sums};
use super::settings::{Settings, percent};

/// Sums over alerts.
struct Alerts {
    weight: f64,
    score: f64,
    fraud: f64,
    legit: f64,
    amount: f64,
    /// Fraud by pattern.
    patterns: Vec<f64>,
    /// Legitimate events by segment.
    segments: Vec<f64>,
}

/// Weight of the events of one group that have one name.
struct Share {
    group: u32,
    name: u32,
    weight: f64,
}

/// Figures of the alerts when the share of the settings is reviewed.
pub(super) struct Top<'a> {
    events: &'a Scored,
    groups: &'a Groups,
    ranked: &'a [u32],
    share: f64,
    /// Whether scores are probabilities.
    probabilities: bool,
    /// `[weight, fraud, legit, amount of fraud]` by group.
    sums: Sums<4>,
    /// Fraud by group and pattern.
    fraud: Vec<Share>,
    /// Legitimate events by group and segment.
    legit: Vec<Share>,
}

impl<'a> Top<'a> {
    pub(super) fn new(
        events: &'a Scored,
        groups: &'a Groups,
        ranked: &'a [u32],
        settings: &Settings,
    ) -> Self {
        let sums = groups.sums(|event| {
            let weight = events.weight(event);
            if events.fraud[event] {
                [weight, weight, 0.0, weight * events.amount(event)]
            } else {
                [weight, 0.0, weight, 0.0]
            }
        });
        Self {
            events,
            groups,
            ranked,
            share: settings.alert_share,
            probabilities: events.probabilities(),
            sums,
            fraud: named(events, groups, events.pattern.as_ref(), true),
            legit: named(events, groups, events.segment.as_ref(), false),
        }
    }

    fn patterns(&self) -> usize {
        self.events.pattern.as_ref().map_or(0, |p| p.names.len())
    }

    fn segments(&self) -> usize {
        self.events.segment.as_ref().map_or(0, |s| s.names.len())
    }

    /// The first `share` of the events of a resample.
    fn alerts(&self, drawn: &[u32], events: f64) -> Alerts {
        let mut alerts = Alerts {
            weight: 0.0,
            score: 0.0,
            fraud: 0.0,
            legit: 0.0,
            amount: 0.0,
            patterns: vec![0.0; self.patterns()],
            segments: vec![0.0; self.segments()],
        };
        let score = |event: &u32| self.events.score[*event as usize];
        let weight = |event: usize| {
            f64::from(drawn[self.groups.of[event] as usize]) * self.events.weight(event)
        };
        let mut left = self.share * events;
        for tied in self.ranked.chunk_by(|a, b| score(a) == score(b)) {
            let all: f64 = tied.iter().map(|e| weight(*e as usize)).sum();
            if all == 0.0 {
                continue;
            }
            let part = (left / all).min(1.0);
            for event in tied {
                self.count(*event as usize, part * weight(*event as usize), &mut alerts);
            }
            left -= part * all;
            if left <= 0.0 {
                break;
            }
        }
        alerts
    }

    fn count(&self, event: usize, weight: f64, alerts: &mut Alerts) {
        alerts.weight += weight;
        alerts.score += weight * f64::from(self.events.score[event]);
        let name = |n: &Option<Named>| n.as_ref().and_then(|n| n.of[event]);
        if self.events.fraud[event] {
            alerts.fraud += weight;
            alerts.amount += weight * self.events.amount(event);
            if let Some(pattern) = name(&self.events.pattern) {
                alerts.patterns[pattern as usize] += weight;
            }
        } else {
            alerts.legit += weight;
            if let Some(segment) = name(&self.events.segment) {
                alerts.segments[segment as usize] += weight;
            }
        }
    }
}

impl Family for Top<'_> {
    fn keys(&self) -> Vec<Key> {
        let share = percent(self.share);
        let mut keys = vec![
            Key::Metric(format!("recall@{share}alerts")),
            Key::Metric(format!("precision@{share}alerts")),
        ];
        if self.events.amount.is_some() {
            keys.push(Key::Metric(format!("amount_recall@{share}alerts")));
        }
        if self.probabilities {
            keys.push(Key::Metric(format!("predicted@{share}alerts")));
        }
        keys.extend((0..self.patterns()).map(Key::Pattern));
        keys.extend((0..self.segments()).map(Key::Segment));
        keys
    }

    /// Recall: share of the fraud, or of its amount, among the alerts. Precision is the observed and `predicted` the mean
    /// predicted share of fraud among them: calibration where it counts. By pattern the recall; by segment its
    /// false-positive rate over that of all events, 1 being equal (predictive equality, Corbett-Davies et al. 2017).
    fn fill(&self, drawn: &[u32], out: &mut Vec<f64>) {
        let [events, fraud, legit, amount] = self.sums.of(drawn);
        let alerts = self.alerts(drawn, events);
        out.extend([alerts.fraud / fraud, alerts.fraud / alerts.weight]);
        if self.events.amount.is_some() {
            out.push(alerts.amount / amount);
        }
        if self.probabilities {
            out.push(alerts.score / alerts.weight);
        }
        let of_pattern = by_name(&self.fraud, self.patterns(), drawn);
        out.extend(alerts.patterns.iter().zip(of_pattern).map(|(a, n)| a / n));
        let overall = alerts.legit / legit;
        let of_segment = by_name(&self.legit, self.segments(), drawn);
        let rates = alerts.segments.iter().zip(of_segment).map(|(a, n)| a / n);
        out.extend(rates.map(|rate| rate / overall));
    }
}

/// The events that are fraud, or that are not, by group and name.
fn named(events: &Scored, groups: &Groups, names: Option<&Named>, fraud: bool) -> Vec<Share> {
    let mut weights: HashMap<(u32, u32), f64> = HashMap::new();
    for (event, name) in names.iter().flat_map(|n| n.of.iter().enumerate()) {
        if let Some(name) = name.filter(|_| events.fraud[event] == fraud) {
            *weights.entry((groups.of[event], name)).or_default() += events.weight(event);
        }
    }
    let share = |((group, name), weight)| Share {
        group,
        name,
        weight,
    };
    let mut shares: Vec<Share> = weights.into_iter().map(share).collect();
    // Sums must not depend on the order of a hash table.
    shares.sort_by_key(|s| (s.group, s.name));
    shares
}

/// Weight of each name in a resample.
fn by_name(shares: &[Share], names: usize, drawn: &[u32]) -> Vec<f64> {
    let mut weights = vec![0.0; names];
    for share in shares {
        weights[share.name as usize] += f64::from(drawn[share.group as usize]) * share.weight;
    }
    weights
}
