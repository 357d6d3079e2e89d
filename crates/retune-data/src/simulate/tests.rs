//! Worlds against the published counts, the description and one another.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::read::{ReadOptions, read};

/// A fifth of the published world, with as many terminals within reach and as much fraud per payment.
fn small() -> World {
    World {
        customers: 1000,
        terminals: 2000,
        days: 70,
        radius: 11.18,
        ..World::default()
    }
}

fn all(world: &World) -> (Vec<Transaction>, Summary) {
    let mut rows = Vec::new();
    let summary = simulate(world, &mut |t| {
        rows.push(t);
        Ok(())
    })
    .unwrap();
    (rows, summary)
}

/// What every payment but the changed ones has in common.
fn body(t: &Transaction) -> (i64, u32, u32) {
    (t.time, t.customer, t.terminal)
}

#[test]
fn the_published_world_has_the_published_counts() {
    let mut last = 0;
    let summary = simulate(&World::default(), &mut |t| {
        assert!(t.time >= last);
        last = t.time;
        Ok(())
    })
    .unwrap();
    let [_, large, terminal, card, burst] = summary.patterns;
    // Published: 1,754,155 payments, 14,681 frauds, of these 978, 9,099 and 4,604 by pattern. The number of payments follows
    // the 5,000 drawn rates: standard deviation .8 %. Those of the patterns are counts of clusters: some 10 %.
    let near = |got: u64, want: f64, by: f64| {
        let ratio = got as f64 / want;
        assert!((ratio - 1.0).abs() < by, "{got} of {want}: {summary:?}");
    };
    near(summary.transactions, 1_754_155.0, 0.04);
    near(summary.frauds(), 14_681.0, 0.08);
    near(large, 978.0, 0.25);
    near(terminal, 9099.0, 0.12);
    near(card, 4604.0, 0.12);
    assert_eq!(burst, 0);
    assert!(summary.stranded < 5);
}

#[test]
fn the_extended_world_adds_bursts_and_pauses_stolen_cards() {
    let world = World {
        days: 100,
        ..World::extended()
    };
    let world = World {
        customers: 1000,
        terminals: 2000,
        ..world
    };
    let (rows, summary) = all(&world);
    assert_eq!(summary.patterns[4], 40 * 3 * 10);
    let day = |t: &Transaction| (t.time - world.start) / DAY;
    let mut cards = vec![0; 100];
    for t in &rows {
        match t.pattern {
            3 => cards[day(t) as usize] += 1,
            4 => {
                assert!(day(t) >= 60);
                assert!((100..=500).contains(&t.cents), "{t:?}");
            }
            _ => {}
        }
    }
    assert!(cards[60..88].iter().all(|&n| n == 0), "{cards:?}");
    assert!(cards[30..60].iter().sum::<i32>() > 100, "{cards:?}");
    assert!(cards[88..].iter().sum::<i32>() > 50, "{cards:?}");
    // A burst: ten payments of one customer within ten minutes.
    let bursts: Vec<_> = rows.iter().filter(|t| t.pattern == 4).collect();
    for (at, t) in bursts.iter().enumerate().step_by(97) {
        let with = bursts.iter().filter(|o| {
            o.customer == t.customer && (o.time - t.time).abs() <= 600 && day(o) == day(t)
        });
        assert_eq!(with.count() % 10, 0, "burst of payment {at}");
    }
}

#[test]
fn days_customers_and_amounts_are_as_described() {
    let world = small();
    let (rows, summary) = all(&world);
    let honest: Vec<_> = rows.iter().filter(|t| t.pattern != 3).collect();
    // 2 payments per customer and day, of which P(0 < N(43200, 20000) < 86400) = .969 happen: 135,700.
    let expected = 1000.0 * 70.0 * 2.0 * 0.9692;
    assert!(
        (rows.len() as f64 / expected - 1.0).abs() < 0.06,
        "{summary:?}"
    );
    let seconds: Vec<f64> = honest
        .iter()
        .map(|t| ((t.time - world.start) % DAY) as f64)
        .collect();
    let n = seconds.len() as f64;
    let mean = seconds.iter().sum::<f64>() / n;
    assert!((mean - 43_200.0).abs() < 300.0, "{mean}");
    let sd = (seconds.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n).sqrt();
    // A normal cut at 2.16 standard deviations has .9097 of its standard deviation.
    assert!((sd - 18_190.0).abs() < 250.0, "{sd}");
    // Amounts below 0, 2.3 % of them, are drawn again, around the mean; that is 52.5 on average.
    let amount = honest.iter().map(|t| t.cents as f64).sum::<f64>() / n / 100.0;
    assert!((amount - 52.7).abs() < 3.0, "{amount}");
    assert!(
        honest
            .iter()
            .all(|t| (t.pattern == 0) <= (t.cents <= 22_000))
    );
    assert!(
        rows.iter()
            .all(|t| t.cents >= 0 && t.label_time == t.time + 7 * DAY)
    );
    assert!(rows.iter().enumerate().all(|(at, t)| t.id == at as u64));
    assert_eq!(
        summary.frauds(),
        rows.iter().filter(|t| t.fraud).count() as u64
    );
}

#[test]
fn terminals_are_taken_over_for_four_weeks_and_cards_hit_by_a_third() {
    let world = World {
        card_fraud: None,
        ..small()
    };
    let (rows, _) = all(&world);
    // Per terminal: honest or not, whole days change at once.
    let mut by_terminal: Vec<Vec<(i64, bool)>> = vec![Vec::new(); world.terminals];
    for t in rows.iter().filter(|t| t.pattern != 1) {
        let day = (t.time - world.start) / DAY;
        by_terminal[t.terminal as usize].push((day, t.pattern == 2));
    }
    let mut taken = 0;
    for days in &by_terminal {
        assert!(days.windows(2).all(|p| p[0].0 < p[1].0 || p[0].1 == p[1].1));
        let bad: Vec<i64> = days.iter().filter(|d| d.1).map(|d| d.0).collect();
        let Some((first, last)) = bad.first().zip(bad.last()) else {
            continue;
        };
        taken += 1;
        // Taken twice at most, in this world, but for very few.
        assert!(last - first < 70, "{bad:?}");
    }
    // 140 draws of 2,000 terminals, a few of which repeat.
    assert!((120..=140).contains(&taken), "{taken}");
    let (struck, summary) = all(&small());
    let share = summary.patterns[3] as f64 / (70.0 * 3.0 * 14.0 * 2.0 * 0.969 / 3.0);
    // The last days are cut off: 6.5 of 70 days' worth.
    assert!((0.75..1.05).contains(&share), "{share}");
    for (with, without) in struck.iter().zip(&rows) {
        assert_eq!(body(with), body(without));
        if with.pattern == 3 {
            assert!(with.cents == without.cents * 5 || with.cents == without.cents * 25);
        } else {
            assert_eq!(with, without);
        }
    }
}

#[test]
fn a_seed_is_a_world_and_additions_change_nothing_else() {
    let world = World {
        days: 30,
        ..small()
    };
    let (rows, _) = all(&world);
    assert_eq!(rows, all(&world).0);
    let other = World {
        seed: 1,
        ..world.clone()
    };
    assert_ne!(rows, all(&other).0);
    let drift = World {
        drift: Some(Drift {
            from_day: 20,
            factor: 1.3,
        }),
        label_delay: DAY,
        ..world.clone()
    };
    let mut raised = 0;
    for (a, b) in rows.iter().zip(&all(&drift).0) {
        assert_eq!(body(a), body(b));
        assert_eq!(b.label_time, b.time + DAY);
        let late = (a.time - world.start) / DAY >= 20;
        raised += usize::from(b.cents > a.cents);
        let want = if late {
            a.cents as f64 * 1.3
        } else {
            a.cents as f64
        };
        // Rounded before it is multiplied by up to 25.
        assert!((b.cents as f64 - want).abs() <= 30.0, "{a:?} {b:?}");
    }
    assert!(raised > rows.len() / 4);
    let bursts = World {
        bursts: World::extended()
            .bursts
            .map(|b| Bursts { from_day: 5, ..b }),
        ..world
    };
    let rest: Vec<_> = all(&bursts)
        .0
        .iter()
        .filter(|t| t.pattern != 4)
        .map(body)
        .collect();
    assert_eq!(rest, rows.iter().map(body).collect::<Vec<_>>());
}

#[test]
fn random_worlds_are_possible_different_and_unlike_the_published_one() {
    let mut sizes = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let world = World::randomised(seed);
        world.check().unwrap();
        assert_eq!(world, World::randomised(seed));
        sizes.insert((world.customers, world.days));
        assert!(world.card_fraud.is_none() && world.bursts.is_none());
        assert!(!world.large.is_empty() || !world.terminal_fraud.is_empty());
        for large in &world.large {
            assert!((large.above / 220.0 - 1.0).abs() >= 0.1, "{large:?}");
        }
        for fraud in &world.terminal_fraud {
            assert!(!(25..=31).contains(&fraud.days), "{fraud:?}");
        }
    }
    assert!(sizes.len() > 290, "{}", sizes.len());
    let mut frauds = 0;
    for seed in 0..6 {
        let (_, summary) = all(&World {
            days: 40,
            ..World::randomised(seed)
        });
        assert!(summary.fraud_share() < 0.12, "{seed}: {summary:?}");
        assert!(summary.transactions > 5000, "{seed}: {summary:?}");
        frauds += summary.frauds();
    }
    assert!(frauds > 500, "{frauds}");
}

#[test]
fn files_hold_what_was_simulated() {
    let world = World {
        days: 4,
        customers: 300,
        ..small()
    };
    let (rows, summary) = all(&world);
    let dir = tempfile::tempdir().unwrap();
    for name in ["t.csv", "t.parquet"] {
        let path = dir.path().join(name);
        assert_eq!(
            write_transactions(&path, &world).unwrap(),
            summary,
            "{name}"
        );
        let table = read(&path, &ReadOptions::default()).unwrap();
        assert_eq!(table.rows(), rows.len(), "{name}");
        let cell = |column: &str, row: usize| {
            table
                .column(column)
                .unwrap()
                .text(row)
                .unwrap()
                .into_owned()
        };
        for (row, t) in rows.iter().enumerate().step_by(41) {
            assert_eq!(cell("transaction_id", row), t.id.to_string(), "{name}");
            assert_eq!(cell("event_time", row), iso(t.time), "{name}");
            assert_eq!(cell("label_time", row), iso(t.label_time), "{name}");
            assert_eq!(cell("customer_id", row), t.customer.to_string(), "{name}");
            assert_eq!(cell("terminal_id", row), t.terminal.to_string(), "{name}");
            assert_eq!(
                cell("is_fraud", row),
                u8::from(t.fraud).to_string(),
                "{name}"
            );
            assert_eq!(cell("pattern", row), t.pattern.to_string(), "{name}");
            let amount: f64 = cell("amount", row).parse().unwrap();
            assert_eq!((amount * 100.0).round() as i64, t.cents, "{name}");
        }
        std::fs::remove_file(path).unwrap();
    }
    let text = write_transactions(&dir.path().join("t.xlsx"), &world).unwrap_err();
    assert!(text.to_string().contains("use .csv or .parquet"), "{text}");
    assert!(write_transactions(&dir.path().join("no/t.csv"), &world).is_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

fn iso(seconds: i64) -> String {
    crate::split::moment::iso_text(seconds)
}

#[test]
fn impossible_worlds_are_refused_by_name() {
    let refused = |world: World| simulate(&world, &mut |_| Ok(())).unwrap_err().to_string();
    let none = World {
        customers: 0,
        ..World::default()
    };
    assert!(refused(none).contains("customers is 0; give 1 to"));
    let few = World {
        terminals: 1,
        ..World::default()
    };
    assert!(refused(few).contains("2 of 1 terminals"));
    let rate = World {
        rate: [2.0, f64::NAN],
        ..World::default()
    };
    assert!(refused(rate).contains("rate is 2 to NaN"));
    let share = World {
        large: vec![Large {
            above: 1.0,
            share: 2.0,
        }],
        ..World::default()
    };
    assert!(refused(share).contains("a share of 2"));
    let mut long = World::default();
    long.terminal_fraud[0].days = usize::MAX;
    assert!(refused(long).contains("days or payments of a fraud"));
    let late = World {
        start: i64::MAX,
        ..World::default()
    };
    assert!(refused(late).contains("start is 9223372036854775807 seconds"));
    // An error of the receiver ends the simulation.
    let mut taken = 0;
    let stopped = simulate(&small(), &mut |_| {
        taken += 1;
        Err(DataError::file(
            std::path::Path::new("t"),
            "full".to_string(),
        ))
    });
    assert!(stopped.is_err() && taken == 1);
}
