//! How many events per second the feature engine takes: `cargo run --release -p retune-data --example windows_speed [DAYS]`.
//!
//! Steps through a simulated world (5,000 customers, 10,000 terminals) with the usual measures, as a service would.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::time::Instant;

use retune_data::Result;
use retune_data::simulate::{Transaction, World, simulate};
use retune_data::windows::{Engine, EngineSpec, EventRow};

fn main() -> Result<()> {
    let days = std::env::args().nth(1).and_then(|days| days.parse().ok());
    let world = World {
        days: days.unwrap_or(World::extended().days),
        ..World::extended()
    };
    let mut rows: Vec<Transaction> = Vec::new();
    simulate(&world, &mut |t| {
        rows.push(t);
        Ok(())
    })?;
    let names: Vec<[String; 3]> = rows
        .iter()
        .map(|t| [t.id, u64::from(t.customer), u64::from(t.terminal)].map(|n| n.to_string()))
        .collect();
    let entities = ["customer_id", "terminal_id"];
    let mut spec = EngineSpec::usual("event_time", &entities, Some("amount"), Some("is_fraud"));
    spec.id = Some("transaction_id".to_string());
    let width = spec.width();
    let mut engine = Engine::new(spec)?;
    let mut out = Vec::new();
    let began = Instant::now();
    for (t, [id, customer, terminal]) in rows.iter().zip(&names) {
        let row = EventRow {
            id: Some(id),
            time: t.time,
            amount: Some(t.cents as f64 / 100.0),
            entities: &[Some(customer), Some(terminal)],
            label: Some(t.fraud),
            label_time: Some(t.label_time),
        };
        engine.step(&row, &mut out)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut state = Vec::new();
    engine.save(&mut state)?;
    println!(
        "{} events, {width} features each: {:.0} events/s; {} events and {:?} entities kept, {:.1} MB as a file",
        rows.len(),
        rows.len() as f64 / seconds,
        engine.kept(),
        engine.entities(),
        state.len() as f64 / 1e6
    );
    Ok(())
}
