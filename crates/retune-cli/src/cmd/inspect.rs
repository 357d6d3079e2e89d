//! `retune inspect`: what a data file holds, which column plays which role, and why.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use retune::closer_look::{CloserLook, closer_look, doubts_table};
use retune::data::inspect::{Inspection, inspect};
use retune::data::processor::load_tokenizer;
use retune::data::roles::{RoleRequest, detect};
use retune::data::survey::survey;
use retune::data::write;
use retune::hub::{CATALOGUE, HubOptions, resolve};
use retune::recipe::Recipe;
use serde::Serialize;

use super::{plan, table};
use crate::args::FileArgs;
use crate::console::{Console, answer, answer_json};
use crate::failure::Failure;
use crate::interrupt;

/// Doubts that are listed; the rest is counted.
const SHOWN: usize = 10;

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Data file: .csv, .tsv, .jsonl, .json, .parquet, or a folder of text files by class
    data: PathBuf,

    /// Column to read; twice for a pair of texts
    #[arg(long, value_name = "COL")]
    text: Vec<String>,

    /// Column to learn
    #[arg(long, value_name = "COL")]
    label: Option<String>,

    /// Column to leave alone; may be repeated
    #[arg(long, value_name = "COL")]
    ignore: Vec<String>,

    /// Model whose tokens are counted [default: the first of `retune list models`, where it is on this machine]
    #[arg(long, value_name = "REF")]
    model: Option<String>,

    /// Look closer: rows whose label is probably wrong, near-copies on two sides of the split, tokens and columns that
    /// give the label away; takes a pass of the model
    #[arg(long)]
    deep: bool,

    /// Labelled file for validation, with --deep
    #[arg(long, value_name = "FILE", requires = "deep")]
    valid: Option<PathBuf>,

    /// Labelled file for the test, with --deep
    #[arg(long, value_name = "FILE", requires = "deep")]
    test: Option<PathBuf>,

    /// File for the rows whose label is doubted: .csv, .jsonl or .parquet, with --deep
    #[arg(long, value_name = "FILE", requires = "deep")]
    out: Option<PathBuf>,

    /// Tokens per text beyond which a text counts as too long
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_length: usize,

    #[command(flatten)]
    file: FileArgs,

    /// Print only JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    #[serde(flatten)]
    closer: Option<&'a CloserLook>,
}

/// Prints the findings.
pub fn run(args: &InspectArgs) -> Result<ExitCode, Failure> {
    if let Some(path) = &args.out {
        write::check(path)?;
    }
    let mut console = Console::new();
    console.note(&format!("reading {}", args.data.display()));
    let rows = table(&args.data, &args.file)?;
    let request = RoleRequest {
        text: args.text.clone(),
        label: args.label.clone(),
        ignore: args.ignore.clone(),
        ..RoleRequest::default()
    };
    let roles = detect(&rows, &request)?;
    let count = if roles.pictures {
        None
    } else {
        counter(args, &mut console)?
    };
    let mut found = inspect(&rows, &roles, count.as_deref(), args.max_length);
    if let (true, [column]) = (roles.pictures, &roles.text[..]) {
        found.add_survey(&rows, &survey(&rows, column)?);
    }
    let closer = if args.deep {
        Some(look_closer(args, &mut console)?)
    } else {
        None
    };
    if args.json {
        answer_json(&Found {
            inspection: &found,
            closer: closer.as_ref(),
        })?;
    } else {
        answer(found.to_string().trim_end());
        if let Some(closer) = &closer {
            answer(&format!("\n{}", shown(closer, args.out.as_deref())));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The closer look, on the split and with the model that `train` would take.
fn look_closer(args: &InspectArgs, console: &mut Console) -> Result<CloserLook, Failure> {
    let read = args.file.options()?;
    let mut recipe = Recipe {
        model: args.model.clone(),
        ..Recipe::default()
    };
    recipe.data.train = Some(args.data.clone());
    recipe.data.valid.clone_from(&args.valid);
    recipe.data.test.clone_from(&args.test);
    recipe.data.text.clone_from(&args.text);
    recipe.data.label.clone_from(&args.label);
    recipe.data.ignore.clone_from(&args.ignore);
    recipe.data.delimiter.clone_from(&args.file.delimiter);
    recipe.data.encoding = read.encoding;
    let plan = plan::resolve(&recipe, None, console)?;
    interrupt::listen()?;
    let found = closer_look(&plan, &mut interrupt::watched(console));
    console.end();
    let found = found?;
    if let Some(path) = &args.out {
        write::write(&doubts_table(&plan.table, &found.doubts), path)?;
    }
    Ok(found)
}

/// The closer look in words.
fn shown(found: &CloserLook, out: Option<&Path>) -> String {
    let mut text = format!("{}\nLabels in doubt: {}\n", found.deep, found.doubts.len());
    for doubt in found.doubts.iter().take(SHOWN) {
        let _ = writeln!(
            text,
            "  {}: `{}`, rather `{}` ({:.2})\n    \"{}\"",
            doubt.place, doubt.label, doubt.instead, doubt.suspicion, doubt.text
        );
    }
    if let Some(more @ 1..) = found.doubts.len().checked_sub(SHOWN) {
        let _ = match out {
            Some(path) => writeln!(text, "  and {more} more, all in {}", path.display()),
            None => writeln!(text, "  and {more} more; --out doubts.csv writes them all"),
        };
    }
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text.trim_end().to_owned()
}

type Counter = Box<dyn Fn(&str) -> usize>;

/// Counts the tokens of a text, where a model is at hand: looking at a file should be instant.
fn counter(args: &InspectArgs, console: &mut Console) -> Result<Option<Counter>, Failure> {
    let mut hub = HubOptions::from_env();
    hub.offline |= args.model.is_none();
    let reference = args.model.as_deref().unwrap_or(CATALOGUE[0].name);
    let found = resolve(reference, &hub, &mut |p| console.download(p));
    console.end();
    let folder = match found {
        Ok(found) => found.folder,
        Err(error) if args.model.is_some() => return Err(error.into()),
        Err(_) => {
            console.note(&format!(
                "lengths are in words; `retune pull {reference}` lets them be counted in tokens"
            ));
            return Ok(None);
        }
    };
    let tokenizer = load_tokenizer(&folder)?;
    // A text that the tokenizer refuses has no tokens to count; encoding it later names the row.
    Ok(Some(Box::new(move |text| {
        tokenizer.encode(text, false).map_or(0, |e| e.len())
    })))
}
