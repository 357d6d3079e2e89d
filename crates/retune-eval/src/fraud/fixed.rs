//! A threshold that is fixed beforehand: what its alerts find, and what they cost.

use super::cost::ReviewCost;
use super::evaluate::{Family, Key};
use super::scored::{Groups, Scored, Sums};

/// Sums at a threshold, in weighted events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tally {
    pub(super) events: f64,
    pub(super) alerts: f64,
    pub(super) fraud: f64,
    pub(super) hits: f64,
    pub(super) amount: f64,
    pub(super) found: f64,
}

/// By group, in the order of [`Tally`].
pub(super) struct Tallies(Sums<6>);

impl Tallies {
    /// Alerts are events with at least this score.
    pub(super) fn new(events: &Scored, groups: &Groups, threshold: f64) -> Self {
        Self(groups.sums(|event| {
            let weight = events.weight(event);
            // A threshold was a score; as one it is the same number again, however it was written down in between.
            let alert = weight * f64::from(events.score[event] >= threshold as f32);
            let fraud = f64::from(events.fraud[event]);
            let amount = fraud * events.amount(event);
            let of_fraud = [weight * fraud, alert * fraud];
            let [all, hits] = of_fraud;
            [weight, alert, all, hits, weight * amount, alert * amount]
        }))
    }

    pub(super) fn of(&self, drawn: &[u32]) -> Tally {
        let [events, alerts, fraud, hits, amount, found] = self.0.of(drawn);
        Tally {
            events,
            alerts,
            fraud,
            hits,
            amount,
            found,
        }
    }
}

impl Tally {
    pub(super) fn precision(&self) -> f64 {
        self.hits / self.alerts
    }

    pub(super) fn recall(&self) -> f64 {
        self.hits / self.fraud
    }

    fn false_positive_rate(&self) -> f64 {
        (self.alerts - self.hits) / (self.events - self.fraud)
    }

    pub(super) fn cost(&self, cost: ReviewCost) -> f64 {
        cost.of(self.alerts, self.amount - self.found)
    }

    /// One minus the cost over that of the better of no alerts and all alerts (Correa Bahnsen et al. 2013).
    pub(super) fn savings(&self, cost: ReviewCost) -> f64 {
        let without = cost.of(0.0, self.amount).min(cost.of(self.events, 0.0));
        1.0 - self.cost(cost) / without
    }
}

/// The figures of a threshold.
pub(super) struct Fixed {
    tallies: Tallies,
    days: Option<usize>,
    /// Whether there are amounts.
    amounts: bool,
    cost: Option<ReviewCost>,
}

impl Fixed {
    pub(super) fn new(
        events: &Scored,
        groups: &Groups,
        threshold: f64,
        cost: Option<ReviewCost>,
    ) -> Self {
        let amounts = events.amount.is_some();
        Self {
            tallies: Tallies::new(events, groups, threshold),
            days: events.days().map(|d| d.1),
            amounts,
            cost: cost.filter(|_| amounts),
        }
    }
}

impl Family for Fixed {
    fn keys(&self) -> Vec<Key> {
        let mut names = vec!["precision", "recall", "fpr"];
        names.extend(self.days.map(|_| "alerts_per_day"));
        names.extend(self.amounts.then_some("amount_recall"));
        if self.cost.is_some() {
            names.extend(["cost", "savings"]);
        }
        let key = |name| Key::Metric(format!("{name}@threshold"));
        names.into_iter().map(key).collect()
    }

    /// The cost is the mean cost of an event.
    fn fill(&self, drawn: &[u32], out: &mut Vec<f64>) {
        let tally = self.tallies.of(drawn);
        out.extend([
            tally.precision(),
            tally.recall(),
            tally.false_positive_rate(),
        ]);
        out.extend(self.days.map(|days| tally.alerts / days as f64));
        out.extend(self.amounts.then(|| tally.found / tally.amount));
        if let Some(cost) = self.cost {
            out.extend([tally.cost(cost) / tally.events, tally.savings(cost)]);
        }
    }
}
