//! Times training steps of a network of tables on made-up rows, through the loop of a run, and prints one line of JSON with
//! the names of bench/peers/tabm.py, which times the same in PyTorch.
//! `cargo build --release --workspace --example table_step`, then
//! `target/release/examples/table_step inputs=219 rows=512 threads=2 precision=bf16`
//!
//! Any of `inputs`, `classes`, `rows`, `members`, `width`, `layers`, `dropout`, `steps`, `warmup`, `threads` and `precision`
//! may be given; those left out are as in the peer. Numbers have 33 inputs each and one column of words has the rest.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::collections::BTreeMap;
use std::time::Duration;

use retune::data::Target;
use retune::data::fields::{Cells, Field, FieldKind};
use retune::eval::Event;
use retune::losses::Objective;
use retune::ops::Precision;
use retune::tables::Known;
use retune::tables::inputs::Inputs;
use retune::tables::net::{Job, Net, NetForm, Pace};
use retune::train::{Flow, SaveWhen, Validation};
use retune::weights::{Place, Source};
use retune_kernels::dropout::mix;
use retune_kernels::process;
use serde_json::{Value, json};

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Names of settings and what they are when left out.
const SETTINGS: [(&str, f64); 10] = [
    ("inputs", 219.0),
    ("classes", 2.0),
    ("rows", 512.0),
    ("members", 16.0),
    ("width", 128.0),
    ("layers", 2.0),
    ("dropout", 0.1),
    ("steps", 200.0),
    ("warmup", 20.0),
    ("threads", 2.0),
];
/// Inputs of a number: steps between 33 quantiles, and a flag for a missing value.
const OF_A_NUMBER: usize = 33;
/// Fewest inputs of words: a flag for one word, for all others and for a missing one.
const OF_WORDS: usize = 3;
/// Steps of a pass over the rows.
const PASS: usize = 16;

fn main() -> Result<(), Failed> {
    let mut settings = BTreeMap::from(SETTINGS);
    let mut precision = Precision::best();
    for word in std::env::args().skip(1) {
        match word.split_once('=') {
            Some(("precision", "f32")) => precision = Precision::F32,
            Some(("precision", "bf16")) => precision = Precision::Bf16,
            Some((key, value)) if settings.contains_key(key) => {
                let known = SETTINGS.into_iter().find(|(name, _)| *name == key);
                let (name, _) = known.ok_or("no such setting")?;
                let least = f64::from(u8::from(!["dropout", "warmup"].contains(&name)));
                let given = value.parse().ok().filter(|given| *given >= least);
                let given = given.ok_or(format!("`{word}`: give a number from {least} on"))?;
                settings.insert(name, given);
            }
            _ => return Err(format!("`{word}` is no setting; write rows=512 or the like").into()),
        }
    }
    let of = |name: &str| settings.get(name).copied().unwrap_or_default();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(of("threads") as usize);
    let figures = pool.build()?.install(|| measured(&of, precision))?;
    println!("{figures}");
    Ok(())
}

/// A table with so many inputs: its fields, and rows of random numbers and words.
fn table(inputs: usize, rows: usize) -> Result<(Vec<Field>, Cells), Failed> {
    if inputs < OF_WORDS {
        return Err(format!("inputs={inputs} is too few; give {OF_WORDS} or more").into());
    }
    let numbers = (inputs - OF_WORDS) / OF_A_NUMBER;
    let words = inputs - numbers * OF_A_NUMBER - 2;
    let field = |name: String, kind: FieldKind| Field { name, kind };
    let mut fields: Vec<Field> = (0..numbers)
        .map(|i| field(format!("n{i}"), FieldKind::Number))
        .collect();
    let each = (0..words).map(|i| format!("w{i}")).collect();
    fields.push(field("words".to_string(), FieldKind::Words(each)));
    let width = fields.len();
    let value = |i: usize| {
        let drawn = mix(i as u64) >> 40;
        if i % width == numbers {
            (drawn % words as u64) as f32
        } else {
            drawn as f32
        }
    };
    let values = (0..rows * width).map(value).collect();
    Ok((fields, Cells { width, values }))
}

/// A network of random numbers.
fn net(form: &NetForm, precision: Precision) -> Result<Net, Failed> {
    let place = Place::cpu(true, precision);
    let keys = |path: &str| vec![path.to_string()];
    let mut source = Source::new(None, &keys, &place, 1, Net::spread(form));
    Ok(Net::load(&mut source, form)?)
}

fn measured(of: &dyn Fn(&str) -> f64, precision: Precision) -> Result<Value, Failed> {
    let whole = |name: &str| of(name) as usize;
    let (rows, classes) = (whole("rows"), whole("classes"));
    let (fields, cells) = table(whole("inputs"), PASS * rows)?;
    let class = |row: usize| Target::Class((mix(row as u64) % classes as u64) as u32);
    let targets: Vec<Target> = (0..cells.rows()).map(class).collect();
    let inputs = Inputs::fit(&fields, 0, &cells);
    let form = NetForm {
        inputs: inputs.width(),
        outputs: classes,
        members: whole("members"),
        width: whole("width"),
        layers: whole("layers"),
        dropout: of("dropout"),
    };
    let net = net(&form, precision)?;
    let few: Vec<usize> = (0..rows).collect();
    let objective = Objective::plain();
    let warmup = of("warmup") as u64;
    let job = Job {
        inputs: &inputs,
        pace: pace(rows, warmup + of("steps") as u64),
        objective: Some(&objective),
        units: (1.0, 0.0),
        train: Known {
            cells: &cells,
            targets: &targets,
        },
        valid: Known {
            cells: &cells.select(&few),
            targets: &targets[..rows],
        },
    };
    let before = process::peak_resident_bytes();
    let Timed { ms, waits, losses } = timed(&job, net, warmup)?;
    let all: f64 = ms.iter().chain(&waits).sum();
    Ok(json!({
        "workload": "table",
        "isa": retune::bench::isa(),
        "precision": precision.name(),
        "threads": rayon::current_num_threads(),
        "steps": ms.len(),
        "rows": rows,
        "inputs": form.inputs,
        "classes": classes,
        "members": form.members,
        "width": form.width,
        "layers": form.layers,
        "ms_per_step_median": median(&ms),
        "ms_per_step_min": ms.iter().copied().fold(f64::INFINITY, f64::min),
        "wait_ms_per_step_median": median(&waits),
        "rows_per_s": rows as f64 * 1e3 * ms.len() as f64 / all,
        "peak_rss_bytes": process::peak_resident_bytes(),
        "peak_rss_before_steps_bytes": before,
        "first_loss": losses.first(),
        "last_loss": losses.last(),
    }))
}

/// Milliseconds of the steps measured and of the waits for their rows, and the losses of all.
#[derive(Default)]
struct Timed {
    ms: Vec<f64>,
    waits: Vec<f64>,
    losses: Vec<f64>,
}

fn timed(job: &Job, net: Net, warmup: u64) -> Result<Timed, Failed> {
    let mut seen = Timed::default();
    let mut on = |event: &Event| {
        if let Event::Step {
            step,
            ms,
            wait_ms,
            loss,
            ..
        } = event
        {
            seen.losses.push(*loss);
            if *step > warmup {
                seen.ms.push(*ms);
                seen.waits.push(*wait_ms);
            }
        }
        Flow::Continue
    };
    let rate = |_: &_| Validation {
        loss: 0.0,
        metrics: BTreeMap::new(),
        score: 0.0,
    };
    job.fit(net, &rate, (None, None), &mut on)?;
    Ok(seen)
}

/// Full steps as a run takes them by default.
fn pace(rows: usize, steps: u64) -> Pace {
    Pace {
        epochs: steps as f64 / PASS as f64 + 1.0,
        patience: usize::MAX,
        lr: 2e-3,
        batch: rows,
        weight_decay: 0.01,
        clip_norm: 1.0,
        average: Some(0.98),
        max_steps: Some(steps),
        save: SaveWhen::Time(Duration::MAX),
        seed: 1,
    }
}

fn median(times: &[f64]) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
