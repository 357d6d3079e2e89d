//! How long a model of events takes for one event: feeds the events of a JSON Lines file to it, one at a time and on one
//! thread, and prints events per second and the latency of each answer in microseconds, as JSON.
//! `cargo build --release --workspace --example score_latency`, then
//! `target/release/examples/score_latency BUNDLE EVENTS.jsonl [fresh]`
//!
//! An answer is what `retune score` computes of a line: features of the past, score, and reasons for an alert. Reading the
//! line is timed by itself. With `fresh` the model begins without any past, for a file that begins where its data begin.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use retune::tables::scorer::Scorer;
use serde_json::{Map, Value, json};

type Failed = Box<dyn std::error::Error>;

/// Events before the first that counts: caches fill, and weights are packed.
const WARMUP: usize = 100;

fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (bundle, events, fresh) = match &words[..] {
        [bundle, events] => (bundle, events, false),
        [bundle, events, word] if word == "fresh" => (bundle, events, true),
        _ => return Err("name a bundle and a file of events: BUNDLE EVENTS.jsonl [fresh]".into()),
    };
    let mut scorer = Scorer::open(Path::new(bundle))?;
    if fresh {
        scorer.forget();
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let found =
        pool.install(|| measured(&mut scorer, Path::new(events)).map_err(|e| e.to_string()));
    println!("{}", found?);
    Ok(())
}

/// Figures of all events of the file.
fn measured(scorer: &mut Scorer, events: &Path) -> Result<Value, Failed> {
    let told = |e: std::io::Error| format!("cannot read {}: {e}", events.display());
    let file = BufReader::new(File::open(events).map_err(told)?);
    let (mut answers, mut alerts, mut reading) = (Vec::new(), Vec::new(), Vec::new());
    for (number, line) in file.lines().enumerate() {
        let line = line.map_err(told)?;
        let at = |e: &dyn std::fmt::Display| format!("line {}: {e}", number + 1);
        let clock = Instant::now();
        let record: Map<String, Value> = serde_json::from_str(&line).map_err(|e| at(&e))?;
        let read = micros(clock);
        let clock = Instant::now();
        let scored = scorer.score(&record).map_err(|e| at(&e))?;
        let took = micros(clock);
        if number < WARMUP {
            continue;
        }
        reading.push(read);
        answers.push(took);
        if scored.alert == Some(true) {
            alerts.push(took);
        }
    }
    if answers.is_empty() {
        return Err(format!(
            "{} has {WARMUP} events or fewer, which warm up; give it more",
            events.display()
        )
        .into());
    }
    let seconds: f64 = answers.iter().chain(&reading).sum::<f64>() / 1e6;
    Ok(json!({
        "events": answers.len(),
        "events_per_s": (answers.len() as f64 / seconds).round(),
        "reading_us": latency(reading),
        "answer_us": latency(answers),
        "answer_with_alert_us": latency(alerts),
        "peak_rss_bytes": retune_kernels::process::peak_resident_bytes(),
    }))
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

/// Number, median, 99th percentile and largest of some times; nothing of none.
fn latency(mut times: Vec<f64>) -> Value {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    let at = |share: f64| times.get((last as f64 * share).round() as usize);
    let shown = |share: f64| at(share).map(|time| (time * 10.0).round() / 10.0);
    json!({ "count": times.len(), "p50": shown(0.5), "p99": shown(0.99), "max": shown(1.0) })
}
