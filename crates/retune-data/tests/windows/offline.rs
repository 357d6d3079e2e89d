//! Whole tables in any order of rows against one event after the other, with labels that come when they are known.

use retune_data::read::{ReadOptions, read};
use retune_data::simulate::{DAY, Transaction, World, simulate, write_transactions};
use retune_data::windows::{Engine, EngineSpec, EventRow, features_of, replay};
use retune_data::{Column, RowOrigin, Table, Values};

use super::stream::Dice;

fn spec() -> EngineSpec {
    let mut spec = EngineSpec::usual(
        "event_time",
        &["customer_id", "terminal_id"],
        Some("amount"),
        Some("is_fraud"),
    );
    spec.id = Some("transaction_id".to_string());
    spec.label_time = Some("label_time".to_string());
    spec
}

fn world(customers: usize, days: usize) -> World {
    World {
        customers,
        terminals: customers * 2,
        days,
        radius: 8.0,
        ..World::extended()
    }
}

/// Features of each transaction in order, labels delivered at their time by number.
fn online(transactions: &[Transaction]) -> Vec<f32> {
    let mut engine = Engine::new(spec()).unwrap();
    let (mut all, mut out, mut told) = (Vec::new(), Vec::new(), 0);
    for t in transactions {
        while transactions[told].label_time <= t.time {
            let late = &transactions[told];
            engine.label(&late.id.to_string(), late.fraud, late.label_time);
            told += 1;
        }
        let names = [t.id, u64::from(t.customer), u64::from(t.terminal)].map(|n| n.to_string());
        let row = EventRow {
            id: Some(&names[0]),
            time: t.time,
            amount: Some(t.cents as f64 / 100.0),
            entities: &[Some(&names[1]), Some(&names[2])],
            label: None,
            label_time: None,
        };
        engine.step(&row, &mut out).unwrap();
        all.extend_from_slice(&out);
    }
    all
}

fn transactions(world: &World) -> Vec<Transaction> {
    let mut rows = Vec::new();
    simulate(world, &mut |t| {
        rows.push(t);
        Ok(())
    })
    .unwrap();
    rows
}

fn shuffled(n: usize) -> Vec<usize> {
    let mut dice = Dice::new(3);
    let mut order: Vec<usize> = (0..n).collect();
    for at in (1..n).rev() {
        order.swap(at, dice.below(at as u64 + 1) as usize);
    }
    order
}

#[test]
fn a_shuffled_file_gives_what_was_served() {
    let world = world(300, 35);
    let rows = transactions(&world);
    assert!(rows.len() > 18_000, "{}", rows.len());
    let served = online(&rows);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    write_transactions(&path, &world).unwrap();
    let table = read(&path, &ReadOptions::default()).unwrap();
    // Rows of one second keep their order, as they do in a stream; those of different seconds need not.
    let mut order = shuffled(rows.len());
    let mut places: Vec<usize> = (0..rows.len()).collect();
    places.sort_by_key(|&at| (rows[order[at]].time, at));
    let sorted: Vec<usize> = (0..rows.len()).collect();
    for (place, row) in places.into_iter().zip(sorted) {
        order[place] = row;
    }
    assert!(!order.is_sorted());
    let mut engine = Engine::new(spec()).unwrap();
    let features = features_of(&table.select(&order), &mut engine).unwrap();
    let width = spec().width();
    let names = spec().names();
    for (row, &at) in order.iter().enumerate() {
        let got = &features[row * width..(row + 1) * width];
        super::same(got, &served[at * width..(at + 1) * width], &names, at);
    }
    // The risk of terminals is there, and tells frauds.
    let risk = names
        .iter()
        .position(|n| n == "terminal_id: fraud share in 7 d, 7 d ago")
        .unwrap();
    let mean = |of: &dyn Fn(&Transaction) -> bool| {
        let all = rows.iter().enumerate().filter(|(_, t)| of(t));
        let values = all
            .map(|(at, _)| served[at * width + risk])
            .filter(|x| !x.is_nan());
        let values: Vec<f32> = values.collect();
        values.iter().sum::<f32>() / values.len() as f32
    };
    let late = |t: &Transaction| t.time > world.start + 20 * DAY;
    let (bad, good) = (
        mean(&|t| late(t) && t.pattern == 2),
        mean(&|t| late(t) && !t.fraud),
    );
    assert!(bad > 5.0 * good, "{bad} {good}");
}

#[test]
#[ignore = "a million events: half a minute"]
fn a_million_events_give_what_was_served() {
    let rows = transactions(&World::extended());
    assert!(rows.len() > 1_000_000);
    let served = online(&rows);
    let times: Vec<i64> = rows.iter().map(|t| t.time).collect();
    let mut engine = Engine::new(spec()).unwrap();
    let features = replay(&mut engine, &times, |at, step| {
        let t = &rows[at];
        let names = [t.id, u64::from(t.customer), u64::from(t.terminal)].map(|n| n.to_string());
        step(&EventRow {
            id: Some(&names[0]),
            time: t.time,
            amount: Some(t.cents as f64 / 100.0),
            entities: &[Some(&names[1]), Some(&names[2])],
            label: Some(t.fraud),
            label_time: Some(t.label_time),
        })
    })
    .unwrap();
    let differ = features.iter().zip(&served);
    let differ = differ.filter(|(a, b)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan()));
    assert_eq!(differ.count(), 0);
}

fn table(cells: &[[&str; 4]]) -> Table {
    let column = |name: &str, at: usize| Column {
        name: name.to_string(),
        values: Values::Text(cells.iter().map(|row| Some(row[at].to_string())).collect()),
    };
    Table {
        columns: ["when", "card", "amount", "fraud"]
            .into_iter()
            .enumerate()
            .map(|(at, name)| column(name, at))
            .collect(),
        origin: (0..cells.len() as u64)
            .map(|line| RowOrigin {
                file: 0,
                line: line + 2,
            })
            .collect(),
        files: vec!["t.csv".into()],
        ..Table::default()
    }
}

#[test]
fn tables_are_read_as_they_are_written() {
    let spec = EngineSpec::usual("when", &["card"], Some("amount"), Some("fraud"));
    let run = |cells: &[[&str; 4]]| features_of(&table(cells), &mut Engine::new(spec.clone())?);
    let rows = [
        ["2024-01-09 12:00:00", "a", "10", "no"],
        ["2024-01-01 12:00:00", "a", "2.5", "yes"],
        ["2024-01-09 12:00:01", "", "", ""],
    ];
    let features = run(&rows).unwrap();
    let names = spec.names();
    let get = |row: usize, name: &str| {
        features[row * names.len() + names.iter().position(|n| n == name).unwrap()]
    };
    assert_eq!(get(0, "card: count in 30 d"), 2.0);
    assert_eq!(get(0, "card: mean amount in 30 d"), 6.25);
    assert_eq!(get(0, "card: amount by mean in 30 d"), 4.0);
    assert_eq!(
        get(0, "card: seconds since the last in 30 d"),
        8.0 * 86_400.0
    );
    assert_eq!(get(0, "card: fraud share in 7 d, 7 d ago"), 1.0);
    assert_eq!(get(1, "card: known labels in 30 d, 7 d ago"), 0.0);
    assert!(get(1, "card: fraud share in 30 d, 7 d ago").is_nan());
    assert!(get(2, "card: count in 1 d").is_nan() && get(2, "amount").is_nan());
    let error = |row: usize, column: usize, cell: &'static str| {
        let mut rows = rows;
        rows[row][column] = cell;
        run(&rows).unwrap_err().to_string()
    };
    let text = error(1, 0, "soon");
    assert!(
        text.contains("`when` in t.csv, line 3: `soon` is neither a date"),
        "{text}"
    );
    assert!(error(1, 0, "").contains("there is no time"));
    assert!(error(1, 0, "1704110400").contains("seconds since 1970, and those before in dates"));
    assert!(error(0, 2, "much").contains("`much` is not a number"));
    assert!(error(0, 3, "perhaps").contains("says neither fraud nor honest"));
    let spec = EngineSpec::usual("when", &["cart"], None, None);
    let missing = features_of(&table(&rows), &mut Engine::new(spec).unwrap());
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("did you mean `card`?")
    );
}
