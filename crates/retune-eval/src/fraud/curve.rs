//! Figures of the whole ranking: average precision, area under the ROC curve, recall and precision along the queue.

use serde::{Deserialize, Serialize};

use super::evaluate::{Family, Key};
use super::order::{Curve, Order, Point};
use super::scored::{BadEvents, Groups, Scored};
use super::settings::{Settings, percent};

impl Point {
    /// Of the alerts from here on, the share that is fraud; not a number where a resample has none.
    pub(super) fn precision(&self) -> f64 {
        self.fraud / (self.fraud + self.legit)
    }
}

impl Curve {
    /// `Σ (R_n - R_{n-1}) P_n` over distinct scores, scikit-learn's `average_precision_score`: equal scores are one
    /// threshold, and nothing is interpolated (Davis & Goadrich 2006 say why). Not a number without fraud.
    pub(super) fn average_precision(&self) -> f64 {
        let (mut sum, mut before) = (0.0, 0.0);
        for point in self.points.iter().filter(|p| p.fraud > 0.0) {
            sum += (point.fraud - before) * point.precision();
            before = point.fraud;
        }
        sum / self.fraud
    }

    /// Probability that a fraud scores higher than a legitimate event, equal scores counting one half (Hanley & McNeil
    /// 1982). Not a number without both kinds.
    pub(super) fn auroc(&self) -> f64 {
        let (mut sum, mut before) = (0.0, 0.0);
        for point in &self.points {
            let below = self.legit - f64::midpoint(point.clear, point.legit);
            sum += (point.fraud - before) * below;
            before = point.fraud;
        }
        sum / (self.fraud * self.legit)
    }

    /// The largest recall of a threshold whose false-positive rate is at most `rate`; nothing between two thresholds is
    /// interpolated. 0 where even the first fraud comes later.
    pub(super) fn recall_at_rate(&self, rate: f64) -> f64 {
        self.largest_recall(|p| p.legit / self.legit <= rate)
    }

    /// The largest recall of a threshold whose precision is at least `wanted`; 0 where none has it.
    pub(super) fn recall_at_precision(&self, wanted: f64) -> f64 {
        self.largest_recall(|p| p.precision() >= wanted)
    }

    fn largest_recall(&self, fits: impl Fn(&Point) -> bool) -> f64 {
        let found = self.points.iter().rev().find(|p| fits(p));
        found.map_or(0.0, |p| p.fraud) / self.fraud
    }

    /// Share of fraud among the first `k` events, equal scores in all orders alike: a fraud whose score is tied over the
    /// end of the queue counts in part. Not a number where there are fewer events.
    pub(super) fn precision_at(&self, k: usize) -> f64 {
        let k = k as f64;
        if self.legit + self.fraud < k {
            return f64::NAN;
        }
        let mut before = 0.0;
        for point in &self.points {
            let (start, end) = (point.clear + before, point.legit + point.fraud);
            if k <= start {
                break;
            }
            if k < end {
                return (before + (point.fraud - before) * (k - start) / (end - start)) / k;
            }
            before = point.fraud;
        }
        before / k
    }
}

/// The figures of the curve at the points of the settings.
pub(super) struct Curves<'a> {
    pub(super) order: &'a Order,
    pub(super) settings: &'a Settings,
}

impl Family for Curves<'_> {
    fn keys(&self) -> Vec<Key> {
        let s = self.settings;
        let rates = s.false_positive_rates.iter();
        let rates = rates.map(|r| format!("recall@{}fpr", percent(*r)));
        let precisions = s.precisions.iter();
        let precisions = precisions.map(|p| format!("recall@{}precision", percent(*p)));
        let alerts = s.alerts.iter().map(|k| format!("precision@{k}"));
        let ranking = ["average_precision", "auroc"].map(str::to_owned);
        let all = ranking.into_iter().chain(rates).chain(precisions);
        all.chain(alerts).map(Key::Metric).collect()
    }

    fn fill(&self, drawn: &[u32], out: &mut Vec<f64>) {
        let (curve, s) = (self.order.curve(drawn), self.settings);
        out.extend([curve.average_precision(), curve.auroc()]);
        let rates = s.false_positive_rates.iter();
        out.extend(rates.map(|r| curve.recall_at_rate(*r)));
        out.extend(s.precisions.iter().map(|p| curve.recall_at_precision(*p)));
        out.extend(s.alerts.iter().map(|k| curve.precision_at(*k)));
    }
}

/// A point of a precision-recall curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RecallPoint {
    /// Share of the fraud that is found.
    pub recall: f64,
    /// Share of the alerts that are fraud.
    pub precision: f64,
}

/// At most `limit` points of the precision-recall curve from the highest threshold down, spread evenly over recall. A
/// picture of the whole is the same; figures are not computed from it.
///
/// # Errors
/// As [`Scored::check`].
pub fn precision_recall(events: &Scored, limit: usize) -> Result<Vec<RecallPoint>, BadEvents> {
    events.check()?;
    let groups = Groups::new(events);
    let curve = Order::new(events, &groups, &events.ranked()).curve(&groups.whole());
    let all = curve.points.iter().filter(|p| p.fraud > 0.0);
    let all: Vec<RecallPoint> = all
        .map(|p| RecallPoint {
            recall: p.fraud / curve.fraud,
            precision: p.precision(),
        })
        .collect();
    let (mut kept, mut next) = (Vec::new(), 0.0);
    for (i, point) in all.iter().enumerate() {
        if point.recall >= next || i + 1 == all.len() {
            kept.push(*point);
            next = point.recall + 1.0 / limit.saturating_sub(2).max(1) as f64;
        }
    }
    Ok(kept)
}
