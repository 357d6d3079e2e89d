//! `retune quickstart`: the whole way on built-in sample data, ending with what to type next.

use std::borrow::Cow;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use retune::data::interactions::synthetic::shop;
use retune::data::simulate::{World, transactions_csv};
use retune::recipe::Recipe;
use retune::recommend::TASK;
use retune::run::Finished;
use retune::tables::FRAUD;
use retune::tasks::TASKS;

use super::train::{self, Tuned, Use};
use super::{program, quoted};
use crate::console::{Console, answer, answer_json};
use crate::failure::Failure;

/// Sample data that travels inside the program, so that it works from any folder.
struct Sample {
    task: &'static str,
    file: &'static str,
    content: Content,
    /// The file of items beside it.
    items: Option<(&'static str, Content)>,
    /// The model to tune, where one has to be named.
    model: Option<&'static str>,
    /// Passes over the rows, where the model trains in passes.
    epochs: Option<f64>,
    /// Pixels along each side, where the model's own size is more than the pictures hold.
    picture_size: Option<usize>,
    about: &'static str,
    /// What to ask the model, and what a file of one's own should hold.
    own: [&'static str; 3],
}

/// What is in a sample file.
type Content = fn() -> Cow<'static, [u8]>;

/// Seed of the made-up shop.
const SHOP: u64 = 7;

/// The made-up payments: a small town for two months.
fn town() -> Cow<'static, [u8]> {
    let world = World {
        customers: 400,
        terminals: 800,
        days: 60,
        ..World::default()
    };
    // The world is one that can be.
    transactions_csv(&world).unwrap_or_default().into()
}

const SAMPLES: &[Sample] = &[
    Sample {
        task: "text-classification",
        file: "movie-sentences.csv",
        content: || include_bytes!("../../../../data/movie-sentences.csv").into(),
        items: None,
        model: Some("all-minilm-l6-v2"),
        epochs: Some(2.0),
        picture_size: None,
        about: "2,000 sentences of movie reviews, positive or negative",
        own: [
            "a sentence of your own",
            "\"what a lovely film\"",
            "a file of your own (one column of text, one of labels):\n  % train your-file.csv",
        ],
    },
    Sample {
        task: "image-classification",
        file: "digits.parquet",
        content: || include_bytes!("../../../../data/digits.parquet").into(),
        items: None,
        model: Some("efficientnet-lite0"),
        epochs: Some(4.0),
        picture_size: Some(64),
        about: "1,797 pictures of handwritten digits",
        own: [
            "a picture of your own (white ink on black)",
            "your-picture.png",
            "pictures of your own (a folder for each class):\n  % train your-folder",
        ],
    },
    Sample {
        task: TASK,
        file: "bookshop-events.csv",
        content: || shop(SHOP).interactions.into_bytes().into(),
        items: Some(("bookshop-items.csv", || {
            shop(SHOP).items.into_bytes().into()
        })),
        model: None,
        epochs: Some(40.0),
        picture_size: None,
        about: "a made-up bookshop: 500 readers and 240 books, nothing in it is real",
        own: [
            "a reader",
            "--user r001 --because",
            "a shop of your own (who took what when, and the items with their texts):\n  % train your-events.csv --items your-items.csv",
        ],
    },
    Sample {
        task: FRAUD.name,
        file: "payments.csv",
        content: town,
        items: None,
        model: None,
        epochs: None,
        picture_size: None,
        about: "made-up payments of 400 customers at 800 terminals over two months, nothing in it is real",
        own: [
            "a stream of events (one JSON object per line, with the columns of the data)",
            "--data your-events.jsonl",
            "payments of your own (when, who, where, how much, and whether it was fraud):\n  % train your-payments.csv --task fraud",
        ],
    },
];

#[derive(Debug, Args)]
pub struct QuickstartArgs {
    /// Which sample to tune on: text-classification (or text), image-classification (or image), recommend, fraud
    #[arg(long, value_name = "NAME", default_value = SAMPLES[0].task)]
    task: String,

    /// Folder to write; must be new or empty [default: runs/NAME, after the sample]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print only JSON: the content of the run's metrics.json
    #[arg(long)]
    json: bool,

    /// Another model than the sample's own
    #[arg(long, value_name = "REF", hide = true)]
    model: Option<String>,
}

/// Tunes on the sample and shows the way on.
pub fn run(args: &QuickstartArgs) -> Result<ExitCode, Failure> {
    let mut console = Console::new();
    let sample = find(&args.task)?;
    let place = |name, content: Content| place(name, &content(), args.out.as_deref());
    let data = place(sample.file, sample.content)?;
    let items = sample
        .items
        .map(|(name, content)| place(name, content))
        .transpose()?;
    console.note(&format!(
        "sample data: {} ({})",
        data.display(),
        sample.about
    ));
    let model = args.model.clone().or(sample.model.map(str::to_owned));
    let mut recipe = Recipe {
        model,
        task: Some(sample.task.to_owned()),
        out: args.out.clone(),
        ..Recipe::default()
    };
    recipe.data.train = Some(data);
    recipe.recommend.items = items;
    recipe.train.epochs = sample.epochs;
    recipe.processor.picture_size = sample.picture_size;
    let Tuned { finished, usage } = train::tune(&recipe, None, &mut console)?;
    if args.json {
        answer_json(&finished.evaluated)?;
    } else {
        answer(&train::figures(&finished));
        answer(&closing(sample, &finished, usage));
    }
    Ok(train::exit_code(&finished, &console))
}

fn find(task: &str) -> Result<&'static Sample, Failure> {
    let named =
        |s: &&Sample| s.task == task || s.task.strip_suffix("-classification") == Some(task);
    if let Some(sample) = SAMPLES.iter().find(named) {
        return Ok(sample);
    }
    let offered: Vec<&str> = SAMPLES.iter().map(|s| s.task).collect();
    let why = if TASKS.iter().any(|t| t.name() == task) {
        "has no sample data"
    } else {
        "is not a task"
    };
    Err(Failure::user(format!(
        "`{task}` {why}; quickstart offers: {}",
        offered.join(", ")
    )))
}

/// Writes the sample beside the output folder, where the user can look at it, and gives its path.
fn place(name: &str, content: &[u8], out: Option<&Path>) -> Result<PathBuf, Failure> {
    let folder = out.map_or(Path::new("runs"), |out| {
        out.parent().unwrap_or(Path::new(""))
    });
    let path = folder.join(name);
    if fs::read(&path).is_ok_and(|there| there == content) {
        return Ok(path);
    }
    if path.exists() {
        return Err(Failure::user(format!(
            "{} is there and is not the sample; choose another folder with --out DIR",
            path.display()
        )));
    }
    let written = if folder.as_os_str().is_empty() {
        Ok(())
    } else {
        fs::create_dir_all(folder)
    };
    written
        .and_then(|()| fs::write(&path, content))
        .map_err(|e| {
            Failure::user(format!(
                "cannot write the sample data to {}: {e}; choose another folder with --out DIR",
                path.display()
            ))
        })?;
    Ok(path)
}

/// Test rows before and after tuning, where to look, what to type.
fn closing(sample: &Sample, finished: &Finished, usage: Use) -> String {
    let mut text = String::from("\nfive test rows, before and after tuning\n");
    for (shown, before) in finished.before_after.iter().take(5) {
        let _ = writeln!(
            text,
            "  {before:>10} -> {:<10} (truth: {})  {}",
            shown.predicted, shown.truth, shown.text
        );
    }
    let program = program();
    let bundle = quoted(&finished.bundle.display().to_string());
    let report = finished.bundle.join("report.html");
    let _ = writeln!(text, "\nlook at the report:\n  {}", report.display());
    let [what, example, file] = sample.own;
    let use_it = match usage {
        Use::Predict(_) | Use::Rows => "predict",
        Use::Score => "score",
        Use::History => "train --event-model",
        Use::Recommend => "recommend",
    };
    let _ = writeln!(text, "try {what}:\n  {program} {use_it} {bundle} {example}");
    let _ = write!(text, "tune on {}", file.replace('%', &program));
    text
}
