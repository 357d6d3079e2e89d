//! `retune inspect`: what a data file holds, which column plays which role, and why.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use retune::data::inspect::inspect;
use retune::data::processor::load_tokenizer;
use retune::data::roles::{RoleRequest, detect};
use retune::hub::{CATALOGUE, HubOptions, resolve};

use super::table;
use crate::args::FileArgs;
use crate::console::{Console, answer, answer_json};
use crate::failure::Failure;

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

    /// Tokens per text beyond which a text counts as too long
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_length: usize,

    #[command(flatten)]
    file: FileArgs,

    /// Print only JSON
    #[arg(long)]
    json: bool,
}

/// Prints the findings.
pub fn run(args: &InspectArgs) -> Result<ExitCode, Failure> {
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
    let count = counter(args, &mut console)?;
    let found = inspect(&rows, &roles, count.as_deref(), args.max_length);
    if args.json {
        answer_json(&found)?;
    } else {
        answer(found.to_string().trim_end());
    }
    Ok(ExitCode::SUCCESS)
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
