//! `retune score`: a stream of events, one answer after the other, each from the past of its card.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use clap::Args;
use retune::data::Table;
use retune::tables::scorer::{Scored, Scorer, record};
use serde_json::{Map, Value};

use super::table;
use crate::args::FileArgs;
use crate::console::tell;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Folder of a model of events that `retune train --task fraud` wrote
    bundle: PathBuf,

    /// Events, oldest first: one JSON object per line, or a table (.csv, .tsv, .parquet); - for lines from stdin
    #[arg(long, value_name = "FILE")]
    data: PathBuf,

    /// Begin with the past that an earlier run left in this file [default: the past at the end of the training data]
    #[arg(long, value_name = "FILE")]
    past: Option<PathBuf>,

    /// Begin without any past
    #[arg(long, conflicts_with = "past")]
    fresh: bool,

    /// Leave the past in this file at the end, to go on from
    #[arg(long, value_name = "FILE")]
    keep_past: Option<PathBuf>,

    /// Print the alerts alone
    #[arg(long)]
    alerts: bool,

    /// Write to this file in place of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    read: FileArgs,
}

/// Scores every event.
pub fn run(args: &ScoreArgs) -> Result<ExitCode, Failure> {
    let mut scorer = Scorer::open(&args.bundle)?;
    if args.fresh {
        scorer.forget();
    }
    if let Some(path) = &args.past {
        scorer.load_past(path)?;
    }
    let events = events(args, &scorer)?;
    let mut out: Box<dyn Write> = match &args.out {
        None => Box::new(io::stdout().lock()),
        Some(path) => Box::new(io::BufWriter::new(File::create(path).map_err(|e| {
            Failure::user(format!(
                "cannot write {}: {e}; choose another --out",
                path.display()
            ))
        })?)),
    };
    let clock = Instant::now();
    let (events, alerts) = stream(args, &mut scorer, events, &mut out)?;
    let seconds = clock.elapsed().as_secs_f64();
    if let Some(path) = &args.keep_past {
        scorer.save_past(path)?;
    }
    tell(&format!(
        "{events} events, {alerts} alerts, {:.0} events/s{}",
        events as f64 / seconds.max(1e-9),
        scorer.oddities()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The number of an event, and the event.
type Numbered = (usize, Map<String, Value>);

/// The events to score, one at a time.
struct Events {
    each: Box<dyn Iterator<Item = Result<Numbered, Failure>>>,
    /// Where the event of a number stands, for people.
    place: Box<dyn Fn(usize) -> String>,
}

/// Those of the file, or of stdin.
fn events(args: &ScoreArgs, scorer: &Scorer) -> Result<Events, Failure> {
    let extension = args
        .data
        .extension()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if ["csv", "tsv", "parquet"]
        .iter()
        .any(|known| extension == *known)
    {
        let table = table(&args.data, &args.read)?;
        scorer.check(&table)?;
        return Ok(rows(table));
    }
    Ok(if args.data == Path::new("-") {
        lines(&args.data, io::stdin().lock())
    } else {
        lines(&args.data, BufReader::new(open(&args.data)?))
    })
}

/// Those of a table.
fn rows(table: Table) -> Events {
    let table = Rc::new(table);
    let same = Rc::clone(&table);
    Events {
        each: Box::new((0..table.rows()).map(move |row| Ok((row, record(&table, row))))),
        place: Box::new(move |row| same.place(row)),
    }
}

/// Those of lines that are not empty.
fn lines(path: &Path, input: impl BufRead + 'static) -> Events {
    let path = path.display().to_string();
    let place = move |number: usize| format!("{path}, line {}", number + 1);
    let at = place.clone();
    let one = move |(number, line): (usize, io::Result<String>)| {
        let line = match line {
            Ok(line) if line.trim().is_empty() => return None,
            Ok(line) => line,
            Err(e) => {
                let text = format!("{}: cannot be read: {e}", at(number));
                return Some(Err(Failure::user(text)));
            }
        };
        let read = serde_json::from_str(&line).map_err(|e| {
            Failure::user(format!(
                "{}: not a JSON object ({e}); write one event per line",
                at(number)
            ))
        });
        Some(read.map(|record| (number, record)))
    };
    Events {
        each: Box::new(input.lines().enumerate().filter_map(one)),
        place: Box::new(place),
    }
}

/// Scores every event; how many events and alerts there were.
fn stream(
    args: &ScoreArgs,
    scorer: &mut Scorer,
    told: Events,
    out: &mut dyn Write,
) -> Result<(u64, u64), Failure> {
    let (mut events, mut alerts) = (0, 0);
    for event in told.each {
        let (number, record) = event?;
        if let Some(known) = label_alone(&record) {
            scorer.learn(known.0, known.1, known.2);
            continue;
        }
        let scored = scorer
            .score(&record)
            .map_err(|e| Failure::user(format!("{}: {e}", (told.place)(number))))?;
        events += 1;
        alerts += u64::from(scored.alert == Some(true));
        let shown = !args.alerts || scored.alert == Some(true);
        if shown && !write(out, &scored)? {
            return Ok((events, alerts));
        }
    }
    match out.flush() {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::user(format!("cannot write the answers: {e}")));
        }
        _ => {}
    }
    Ok((events, alerts))
}

/// A record that only tells what became of an earlier event: its number, whether it was a fraud, and when that was known.
fn label_alone(record: &Map<String, Value>) -> Option<(&str, bool, &str)> {
    let of = record.get("label_of")?.as_str()?;
    let fraud = record.get("fraud")?.as_bool()?;
    let at = record.get("known_at")?.as_str()?;
    Some((of, fraud, at))
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|e| {
        Failure::user(format!(
            "cannot read {}: {e}; check the path",
            path.display()
        ))
    })
}

/// Whether anybody still reads.
fn write(out: &mut dyn Write, scored: &Scored) -> Result<bool, Failure> {
    let line = serde_json::to_string(scored)
        .map_err(|e| Failure::user(format!("cannot write an answer as JSON: {e}")))?;
    match writeln!(out, "{line}") {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::user(format!("cannot write the answers: {e}"))),
    }
}
