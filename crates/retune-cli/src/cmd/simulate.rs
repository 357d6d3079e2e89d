//! `retune simulate`: made-up data with a known truth.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};
use retune::data::simulate::{Drift, World, write_transactions};
use retune::recipe::Span;

use crate::console::tell;
use crate::failure::Failure;

/// Factor of all amounts from the day of `--drift-from` on.
const DRIFT: f64 = 1.3;

#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// What to make up
    what: What,

    /// File to write: .csv or .parquet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// The world: plain (183 days, three patterns of fraud), extended (110 days, a fourth pattern and a pause of the third)
    /// or random (another one for each seed, without patterns 3 and 4)
    #[arg(long, value_name = "WHICH", default_value = "plain")]
    world: Which,

    /// Customers [default: 5000, or what the random world has]
    #[arg(long, value_name = "N")]
    customers: Option<usize>,

    /// Terminals [default: 10000, or what the random world has]
    #[arg(long, value_name = "N")]
    terminals: Option<usize>,

    /// Days [default: those of the world]
    #[arg(long, value_name = "N")]
    days: Option<usize>,

    /// Day from which on all amounts are a third larger, which is no fraud
    #[arg(long, value_name = "DAY")]
    drift_from: Option<usize>,

    /// How long it takes until a label is known [default: 7d]
    #[arg(long, value_name = "SPAN", value_parser = str::parse::<Span>)]
    label_delay: Option<Span>,

    /// Seed of every random choice
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Payments of customers at terminals, after the Fraud Detection Handbook
    Transactions,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Plain,
    Extended,
    Random,
}

/// Writes the file and says what is in it.
pub fn run(args: &SimulateArgs) -> Result<ExitCode, Failure> {
    let What::Transactions = args.what;
    let mut world = match args.world {
        Which::Plain => World::default(),
        Which::Extended => World::extended(),
        Which::Random => World::randomised(args.seed),
    };
    world.seed = args.seed;
    world.customers = args.customers.unwrap_or(world.customers);
    world.terminals = args.terminals.unwrap_or(world.terminals);
    world.days = args.days.unwrap_or(world.days);
    world.label_delay = args.label_delay.map_or(world.label_delay, |span| span.0);
    if let Some(from_day) = args.drift_from {
        world.drift = Some(Drift {
            from_day,
            factor: DRIFT,
        });
    }
    let clock = Instant::now();
    let found = write_transactions(&args.out, &world)?;
    let patterns: Vec<String> = (1..found.patterns.len())
        .filter(|kind| found.patterns[*kind] > 0)
        .map(|kind| format!("{} of pattern {kind}", found.patterns[kind]))
        .collect();
    tell(&format!(
        "wrote {} made-up transactions to {} in {:.0} s; {:.2} % are frauds: {}",
        found.transactions,
        args.out.display(),
        clock.elapsed().as_secs_f64(),
        found.fraud_share() * 100.0,
        patterns.join(", ")
    ));
    Ok(ExitCode::SUCCESS)
}
