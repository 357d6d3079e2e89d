//! What a threshold costs: every alert is reviewed, and every missed fraud is lost.

use serde::{Deserialize, Serialize};

use super::order::{Curve, Order};
use super::scored::{BadEvents, Groups, Scored};

/// Costs in the unit of the amounts (Correa Bahnsen et al., "Cost Sensitive Credit Card Fraud Detection Using Bayes
/// Minimum Risk", 2013): an alert costs its review whether it is fraud or not, a missed fraud its amount, and a
/// legitimate event without an alert nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReviewCost {
    /// Cost of the review of one alert, 0 or more.
    pub review: f64,
    /// Share of the amount of a missed fraud that is recovered all the same, 0 to 1.
    #[serde(default)]
    pub recovery: f64,
}

impl ReviewCost {
    /// Cost of `alerts` and of the missed `amount`.
    pub(super) fn of(&self, alerts: f64, missed: f64) -> f64 {
        self.review * alerts + (1.0 - self.recovery) * missed
    }
}

/// What alerts from a score on cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CostPoint {
    /// Events with at least this score are alerts.
    pub threshold: f64,
    /// How many.
    pub alerts: f64,
    /// The cost of all events together.
    pub cost: f64,
}

/// Cost over thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostCurve {
    /// What was assumed.
    pub of: ReviewCost,
    /// Points by falling threshold, spread evenly over the logarithm of the number of alerts.
    pub points: Vec<CostPoint>,
    /// The cheapest of all thresholds; the highest of equally cheap ones. `None` where no alert at all is cheapest.
    pub cheapest: Option<CostPoint>,
    /// Cost without alerts.
    pub none: f64,
    /// Cost when every event is an alert.
    pub all: f64,
}

/// The cost of every threshold, at most `limit` of them listed. Only thresholds at the score of a fraud can be
/// cheapest: a lower one up to the next fraud adds reviews and finds nothing.
///
/// # Errors
/// As [`Scored::check`]; a missing column of amounts has length 0.
pub fn cost_curve(events: &Scored, cost: ReviewCost, limit: usize) -> Result<CostCurve, BadEvents> {
    events.check()?;
    need_amounts(events)?;
    let groups = Groups::new(events);
    let curve = Order::new(events, &groups, &events.ranked()).curve(&groups.whole());
    let all: Vec<CostPoint> = points(&curve, cost).collect();
    let (mut kept, mut next) = (Vec::new(), 0.0);
    let last = all.last().map_or(1.0, |p| p.alerts.max(2.0)).ln();
    let apart = last / limit.saturating_sub(2).max(1) as f64;
    for (i, point) in all.iter().enumerate() {
        let at = point.alerts.max(1.0).ln();
        if at >= next || i + 1 == all.len() {
            kept.push(*point);
            next = at + apart;
        }
    }
    Ok(CostCurve {
        of: cost,
        points: kept,
        cheapest: cheapest(&curve, cost),
        none: cost.of(0.0, curve.amount),
        all: cost.of(curve.legit + curve.fraud, 0.0),
    })
}

/// Amounts are what a miss costs.
pub(super) fn need_amounts(events: &Scored) -> Result<(), BadEvents> {
    if events.amount.is_some() {
        return Ok(());
    }
    Err(BadEvents::Length {
        column: "amount",
        values: 0,
        events: events.score.len(),
    })
}

fn points(curve: &Curve, cost: ReviewCost) -> impl Iterator<Item = CostPoint> {
    curve.points.iter().map(move |p| {
        let alerts = p.legit + p.fraud;
        CostPoint {
            threshold: f64::from(p.score),
            alerts,
            cost: cost.of(alerts, curve.amount - p.amount),
        }
    })
}

/// The cheapest threshold; `None` where no alert is cheaper than any.
pub(super) fn cheapest(curve: &Curve, cost: ReviewCost) -> Option<CostPoint> {
    let none = cost.of(0.0, curve.amount);
    let mut found: Option<CostPoint> = None;
    for point in points(curve, cost) {
        if point.cost < found.map_or(none, |f| f.cost) {
            found = Some(point);
        }
    }
    found
}
