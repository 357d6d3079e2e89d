//! False alarms by segment: whether honest customers of one are stopped more often than those of others.

use std::collections::BTreeMap;

use super::record::FraudPart;
use super::scored::{BadEvents, Groups, Named, Scored};
use crate::bootstrap::{Draws, interval, table};

/// Legitimate events of one group and one segment, in weighted events.
struct Cell {
    group: u32,
    /// `None` for events of no segment, which count among all.
    name: Option<u32>,
    legitimate: f64,
    /// Those that are alerts.
    alerts: f64,
}

/// The false-positive rate of each segment over that of all events, when events with at least `threshold` are alerts; 1 is
/// equal (predictive equality, Corbett-Davies et al. 2017). With 95 % intervals over cards, by the resamples of `seed`. A
/// segment without a legitimate event is left out, and all of them are where no alert is false.
///
/// # Errors
/// As [`Scored::check`]; a missing column of segments has length 0.
pub fn false_alarm_ratios(
    events: &Scored,
    threshold: f64,
    seed: u64,
) -> Result<Vec<FraudPart>, BadEvents> {
    events.check()?;
    let Some(segments) = &events.segment else {
        return Err(BadEvents::Length {
            column: "segment",
            values: 0,
            events: events.score.len(),
        });
    };
    let groups = Groups::new(events);
    let cells = cells(events, &groups, (segments, threshold));
    let names = segments.names.len();
    let fill = |drawn: &[u32], out: &mut [f64]| ratios(&cells, drawn, out);
    let mut values = vec![f64::NAN; names];
    fill(&groups.whole(), &mut values);
    let resampled = table(
        (groups.count, names),
        Draws::usual(seed),
        || (),
        |(), drawn, out| fill(drawn, out),
    );
    let figures = segments.names.iter().zip(&values).zip(&resampled);
    let part = |(at, ((name, value), resampled)): (usize, ((&String, &f64), &Vec<f64>))| {
        let own = segments.of.iter().zip(&events.fraud);
        Some(FraudPart {
            name: name.clone(),
            n: own
                .filter(|(of, fraud)| **of == Some(at as u32) && !**fraud)
                .count(),
            figure: interval(*value, resampled)?,
        })
    };
    Ok(figures.enumerate().filter_map(part).collect())
}

/// Sums by group and segment.
fn cells(events: &Scored, groups: &Groups, (segments, threshold): (&Named, f64)) -> Vec<Cell> {
    // Sums must not depend on the order of a hash table.
    let mut found: BTreeMap<(u32, Option<u32>), [f64; 2]> = BTreeMap::new();
    for (event, name) in segments.of.iter().enumerate() {
        if events.fraud[event] {
            continue;
        }
        let sums = found.entry((groups.of[event], *name)).or_default();
        let weight = events.weight(event);
        sums[0] += weight;
        sums[1] += weight * f64::from(events.score[event] >= threshold as f32);
    }
    let cells = found.into_iter();
    cells
        .map(|((group, name), [legitimate, alerts])| Cell {
            group,
            name,
            legitimate,
            alerts,
        })
        .collect()
}

/// The ratio of each name in a resample; not a number where it is undefined.
fn ratios(cells: &[Cell], drawn: &[u32], out: &mut [f64]) {
    let mut all = [0.0; 2];
    let mut own = vec![[0.0; 2]; out.len()];
    for cell in cells {
        let times = f64::from(drawn[cell.group as usize]);
        let sums = [times * cell.legitimate, times * cell.alerts];
        let of_name = cell.name.map(|name| &mut own[name as usize]);
        for into in std::iter::once(&mut all).chain(of_name) {
            into[0] += sums[0];
            into[1] += sums[1];
        }
    }
    let overall = all[1] / all[0];
    for (out, [legitimate, alerts]) in out.iter_mut().zip(own) {
        *out = alerts / legitimate / overall;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Twenty events of ten cards; of segment x four of eight legitimate ones are alerts, of y one of eight.
    fn events() -> Scored {
        let mut events = Scored::default();
        let (mut cards, mut of) = (Vec::new(), Vec::new());
        for i in 0..20u32 {
            let y = i >= 10;
            let (fraud, place) = (i % 10 >= 8, i % 10);
            let alert = fraud || (!y && place < 4) || (y && place == 0);
            events.score.push(if alert { 0.9 } else { 0.1 });
            events.fraud.push(fraud);
            cards.push(u64::from(i / 2));
            of.push(Some(u32::from(y)));
        }
        events.card = Some(cards);
        events.segment = Some(Named {
            names: ["x", "y", "empty"].map(str::to_owned).to_vec(),
            of,
        });
        events
    }

    #[test]
    fn rates_are_over_that_of_all_legitimate_events() {
        let found = false_alarm_ratios(&events(), 0.5, 1).unwrap();
        let named: Vec<(&str, usize)> = found.iter().map(|p| (p.name.as_str(), p.n)).collect();
        assert_eq!(named, [("x", 8), ("y", 8)]);
        let overall = 5.0 / 16.0;
        for (part, rate) in found.iter().zip([4.0 / 8.0, 1.0 / 8.0]) {
            let figure = part.figure;
            assert!((figure.value - rate / overall).abs() < 1e-12, "{part:?}");
            assert!(figure.low < figure.value && figure.value < figure.high);
        }
        // Two events of one card come and go together: without cards the interval is narrower.
        let width = |events: &Scored| {
            let of = false_alarm_ratios(events, 0.5, 1).unwrap()[0].figure;
            of.high - of.low
        };
        let loose = Scored {
            card: None,
            ..events()
        };
        assert!(width(&loose) < width(&events()));
    }

    #[test]
    fn without_false_alarms_or_segments_there_is_no_ratio() {
        assert_eq!(false_alarm_ratios(&events(), 0.95, 1).unwrap(), []);
        let none = Scored {
            segment: None,
            ..events()
        };
        let told = false_alarm_ratios(&none, 0.5, 1).unwrap_err().to_string();
        assert!(told.contains("segment"), "{told}");
    }
}
