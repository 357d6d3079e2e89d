//! Figures worked out by hand, and resamples against events that are written out.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::curve::Curves;
use super::daily::Daily;
use super::evaluate::Family;
use super::fixed::Fixed;
use super::order::Order;
use super::probability::Probabilities;
use super::scored::{DAY, Groups};
use super::top::Top;
use super::*;
use crate::bootstrap::Random;
use crate::metrics::{Sample, metric};
use crate::predictions::{Matrix, Predictions, Targets};
use crate::records::Word;

fn names(names: &[&str], of: impl Iterator<Item = usize>) -> Named {
    Named {
        names: names.iter().map(|n| (*n).to_owned()).collect(),
        of: of.map(|i| Some(i as u32)).collect(),
    }
}

/// Events of `cards` cards over six days, some scores equal, fraud scoring `apart` higher.
fn stream(events: usize, cards: usize, apart: usize) -> Scored {
    let mut random = Random::new(5, 0);
    let mut below = |n: usize| random.below(n);
    let mut out = Scored::default();
    let (mut time, mut card, mut amount, mut weight) = (vec![], vec![], vec![], vec![]);
    let (mut pattern, mut segment) = (vec![], vec![]);
    for _ in 0..events {
        let fraud = below(12) == 0;
        let score = below(60) + if fraud { apart } else { 0 };
        out.score.push(score as f32 / 100.0);
        out.fraud.push(fraud);
        time.push(below(6) as i64 * DAY + 5);
        card.push(below(cards) as u64 * 7);
        amount.push(below(90) as f64);
        weight.push(1.0 + below(3) as f64 / 2.0);
        pattern.push(below(2));
        segment.push(below(3));
    }
    out.pattern = Some(names(&["a", "b"], pattern.into_iter()));
    out.segment = Some(names(&["x", "y", "z"], segment.into_iter()));
    (out.time, out.card) = (Some(time), Some(card));
    (out.amount, out.weight) = (Some(amount), Some(weight));
    out
}

fn settings() -> Settings {
    Settings {
        alerts: vec![10, 40],
        cards: vec![2, 5],
        alert_share: 0.1,
        cost: Some(ReviewCost {
            review: 3.0,
            recovery: 0.2,
        }),
        threshold: Some(0.55),
        ..Settings::default()
    }
}

/// Every figure of a resample.
fn figures(events: &Scored, drawn: Option<&[u32]>) -> Vec<f64> {
    let (groups, ranked, s) = (Groups::new(events), events.ranked(), settings());
    let order = Order::new(events, &groups, &ranked);
    let curves = Curves {
        order: &order,
        settings: &s,
    };
    let top = Top::new(events, &groups, &ranked, &s);
    let probabilities = Probabilities::new(events, &groups);
    let daily = Daily::new(events, &groups, &s.cards).unwrap();
    let fixed = Fixed::new(events, &groups, 0.55, s.cost);
    let families: [&dyn Family; 5] = [&curves, &top, &probabilities, &daily, &fixed];
    let whole = groups.whole();
    let mut out = Vec::new();
    for family in families {
        let before = out.len();
        family.fill(drawn.unwrap_or(&whole), &mut out);
        assert_eq!(out.len() - before, family.keys().len());
    }
    out
}

fn pick<T: Clone>(values: Option<&Vec<T>>, rows: &[(usize, u64)]) -> Option<Vec<T>> {
    rows.iter().map(|r| values?.get(r.0).cloned()).collect()
}

/// The events of the drawn cards one after the other; a card that is drawn again is another card.
fn written_out(events: &Scored, drawn: &[u32]) -> Scored {
    let groups = Groups::new(events);
    let mut rows: Vec<(usize, u64)> = Vec::new();
    for (event, group) in groups.of.iter().enumerate() {
        let copies = u64::from(drawn[*group as usize]);
        let card = events.card.as_ref().unwrap()[event] * 100;
        rows.extend((0..copies).map(|copy| (event, card + copy)));
    }
    let named = |n: &Option<Named>| {
        let n = n.clone().unwrap();
        let of = pick(Some(&n.of), &rows).unwrap();
        Some(Named { of, names: n.names })
    };
    Scored {
        score: rows.iter().map(|r| events.score[r.0]).collect(),
        fraud: rows.iter().map(|r| events.fraud[r.0]).collect(),
        time: pick(events.time.as_ref(), &rows),
        card: Some(rows.iter().map(|r| r.1).collect()),
        amount: pick(events.amount.as_ref(), &rows),
        pattern: named(&events.pattern),
        segment: named(&events.segment),
        weight: pick(events.weight.as_ref(), &rows),
    }
}

#[test]
fn a_resample_equals_its_events_written_out() {
    for (events, apart) in [(400, 20), (200, 40)] {
        let events = stream(events, 30, apart);
        let cards = Groups::new(&events).count;
        let mut random = Random::new(1, 9);
        for _ in 0..20 {
            let mut drawn = vec![0_u32; cards];
            (0..cards).for_each(|_| drawn[random.below(cards)] += 1);
            let (ours, plain) = (
                figures(&events, Some(&drawn)),
                figures(&written_out(&events, &drawn), None),
            );
            for (i, (a, b)) in ours.iter().zip(&plain).enumerate() {
                let same = (a - b).abs() < 1e-9 || (a.is_nan() && b.is_nan());
                assert!(same, "figure {i}: {a}, written out {b}");
            }
        }
    }
}

#[test]
fn ranking_figures_are_those_of_two_classes() {
    let mut events = stream(300, 20, 25);
    events.weight = None;
    let p = Predictions {
        scores: Matrix {
            rows: 300,
            cols: 2,
            data: events.score.iter().flat_map(|s| [1.0 - s, *s]).collect(),
        },
        targets: Targets::Class(events.fraud.iter().map(|f| u32::from(*f)).collect()),
        slices: Vec::new(),
        ids: Vec::new(),
        decision: None,
    };
    let rated = rate(&events, &settings(), 0).unwrap();
    for name in ["average_precision", "auroc", "brier"] {
        let theirs = (metric(name).unwrap().compute)(&Sample::new(&p));
        let ours = rated.metrics[name].value;
        assert!((ours - theirs).abs() < 1e-9, "{name}: {ours} {theirs}");
    }
}

#[test]
fn cards_that_were_found_are_not_called_again() {
    // Day 0: card 1 leads and is fraud; day 1: it leads again but is gone, card 2 is called in vain.
    let events = Scored {
        score: vec![0.9, 0.2, 0.95, 0.3],
        fraud: vec![true, false, true, false],
        time: Some(vec![10, 20, DAY, DAY + 1]),
        card: Some(vec![1, 2, 1, 2]),
        ..Scored::default()
    };
    let groups = Groups::new(&events);
    let precision = |calls: &[usize]| {
        let mut out = Vec::new();
        let daily = Daily::new(&events, &groups, calls).unwrap();
        daily.fill(&groups.whole(), &mut out);
        out
    };
    // Of two calls a day one of four finds a card, although only one card is left on the second day.
    assert_eq!(precision(&[1, 2]), [0.5, 0.25]);
    let without = Scored {
        time: None,
        ..events.clone()
    };
    assert!(Daily::new(&without, &groups, &[1]).is_none());
}

#[test]
fn what_columns_cannot_say_is_noted() {
    let bare = Scored {
        score: vec![3.0, 1.0, 2.0],
        fraud: vec![true, false, false],
        ..Scored::default()
    };
    let rated = rate(&bare, &settings(), 0).unwrap();
    assert_eq!(rated.metrics["average_precision"].value, 1.0);
    assert!(!rated.metrics.contains_key("brier"), "{:?}", rated.metrics);
    let notes = rated.notes.join("\n");
    for said in [
        "card precision is left out: it needs the time and the card",
        "amount recall is left out",
        "cost is left out",
        "calibration is left out",
        "intervals are over events",
        "3 events: intervals over fewer than 100",
        "1 frauds",
        "precision@10 is left out: it is undefined",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    let none = rate(&Scored::default(), &Settings::default(), 0).unwrap();
    assert!(none.metrics.is_empty() && none.n == 0, "{none:?}");
}

#[test]
fn events_that_do_not_fit_are_refused() {
    let good = stream(20, 4, 10);
    assert_eq!(good.check(), Ok(()));
    let said = |events: &Scored| events.check().unwrap_err().to_string();
    let mut short = good.clone();
    short.amount = Some(vec![1.0]);
    assert!(said(&short).contains("1 values of `amount` for 20 scores"));
    let mut broken = good.clone();
    broken.score[3] = f32::NAN;
    assert!(said(&broken).contains("`score` of event 3"));
    let mut debt = good.clone();
    debt.fraud[2] = true;
    debt.amount = Some(vec![-1.0; 20]);
    assert!(said(&debt).contains("is -1, not 0 or more"));
    let mut nameless = good.clone();
    nameless.segment = Some(names(&["x"], (0..20).map(|i| i % 2)));
    assert!(said(&nameless).contains("`segment` of event 1 (counted from 0) is 1"));
    let share = Settings {
        alert_share: 1.5,
        ..Settings::default()
    };
    let error = rate(&good, &share, 0).unwrap_err().to_string();
    assert!(error.contains("`alert_share` is 1.5"), "{error}");
    let mut other = good.clone();
    other.fraud[0] = !other.fraud[0];
    let error = gains(&good, &other, 0).unwrap_err().to_string();
    assert!(error.contains("`fraud` differs"), "{error}");
}

#[test]
fn figures_repeat_by_seed_and_a_model_gains_nothing_on_itself() {
    let events = stream(200, 20, 20);
    let of = |seed| rate(&events, &settings(), seed).unwrap();
    assert_eq!(of(1), of(1));
    assert_ne!(of(1).metrics["auroc"].low, of(2).metrics["auroc"].low);
    let gain = &gains(&events, &events, 1).unwrap()["average_precision"];
    assert_eq!((gain.value, gain.low, gain.high), (0.0, 0.0, 0.0));
}

#[test]
fn goals_are_read_as_they_are_written_and_the_unreachable_is_said() {
    for text in [
        "cost=5",
        "cost=5:0.3",
        "alerts=100",
        "precision=0.5",
        "recall=0.8",
    ] {
        let goal: AlertGoal = text.parse().unwrap();
        assert_eq!(String::from(goal), text);
    }
    for (text, said) in [
        ("f1", "not a goal"),
        ("alerts=0", "cannot be"),
        ("precision=50", "out of range"),
        ("cost=5:2", "cannot be"),
        ("cost=-1", "cannot be"),
        ("cost=a:1", "not a goal"),
    ] {
        let error = text.parse::<AlertGoal>().unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
    let events = Scored {
        score: vec![0.9, 0.8, 0.7, 0.1],
        fraud: vec![false, true, true, false],
        time: Some(vec![0, 1, 2, 3]),
        ..Scored::default()
    };
    let far = choose(&events, AlertGoal::Precision(0.9), 0).unwrap();
    // Precision by threshold: 0, 1/2, 2/3, 1/2.
    assert_eq!((far.threshold.value as f32, far.met), (0.7, false));
    assert!(far.met_share < 0.9, "{far:?}");
    let cost = choose(&events, "cost=5".parse().unwrap(), 0);
    assert!(
        cost.unwrap_err()
            .to_string()
            .contains("0 values of `amount`")
    );
    let few = choose(&events, AlertGoal::AlertsPerDay(0.5), 0).unwrap();
    assert!(!few.met && few.threshold.value > 0.9 && few.precision.is_none());
    assert_eq!(few.recall.unwrap().value, 0.0);
}

#[test]
fn no_alert_is_cheapest_where_reviews_cost_more_than_fraud() {
    let events = stream(100, 10, 20);
    let dear = ReviewCost {
        review: 1e6,
        recovery: 0.0,
    };
    let curve = cost_curve(&events, dear, 20).unwrap();
    assert_eq!(curve.cheapest, None);
    let found = choose(&events, AlertGoal::Cost(dear), 0).unwrap();
    assert!(found.met && found.recall.unwrap().value == 0.0, "{found:?}");
    assert!(
        events
            .score
            .iter()
            .all(|s| f64::from(*s) < found.threshold.value)
    );
}

#[test]
fn undersampled_probabilities_are_put_right_exactly() {
    // 10 frauds and 990 others share a score. One in nine of the others is kept: 10 of 120 are fraud, and 10 of 1000.
    let kept = Undersampling::new(1.0 / 9.0).unwrap();
    assert!((kept.at_true_prior(10.0 / 120.0) - 0.01).abs() < 1e-12);
    assert!((kept.among_kept(0.01) - 10.0 / 120.0).abs() < 1e-12);
    let (b, ps) = (0.1, 0.7);
    let paper = b * ps / (b * ps - ps + 1.0);
    let of = Undersampling::new(b).unwrap();
    assert!((of.at_true_prior(ps) - paper).abs() < 1e-15);
    let logit = |p: f64| (p / (1.0 - p)).ln();
    assert!((logit(paper) - logit(ps) - of.logit_shift()).abs() < 1e-12);
    assert_eq!([0.0, 1.0].map(|p| of.at_true_prior(p)), [0.0, 1.0]);
    assert_eq!(Undersampling::new(1.0).unwrap().at_true_prior(0.3), 0.3);
    for wrong in [0.0, -0.1, 1.1, f64::NAN] {
        let error = Undersampling::new(wrong).unwrap_err().to_string();
        assert!(error.contains("write 0.1 where one in ten was kept"));
    }
}

#[test]
fn a_model_is_judged_over_cards() {
    let (good, poor) = (stream(600, 60, 50), stream(600, 60, 0));
    let flat = Scored {
        score: vec![0.5; 600],
        ..good.clone()
    };
    let verdict = judge(
        &[&good],
        &[("frozen", vec![&flat]), ("classical", vec![&poor])],
        1,
    );
    let verdict = verdict.unwrap();
    assert_eq!(verdict.word, Word::Improved, "{verdict:?}");
    assert_eq!(
        (verdict.rows, verdict.seeds, verdict.floors.len()),
        (60, 1, 2)
    );
    let share = 1.0 - verdict.floors["frozen"].difference;
    let base = rate(&good, &settings(), 0).unwrap().metrics["average_precision"].value;
    let chance = rate(&flat, &settings(), 0).unwrap().metrics["average_precision"].value;
    assert!((1.0 - share - (base - chance)).abs() < 1e-12);
    let none = judge(&[], &[], 1).unwrap();
    assert_eq!(none.word, Word::NoEvidence);
    let mut legit = good.clone();
    legit.fraud.fill(false);
    let none = judge(&[&legit], &[("frozen", vec![&legit])], 1).unwrap();
    assert!(
        none.notes[0].contains("undefined without fraud"),
        "{none:?}"
    );
}
