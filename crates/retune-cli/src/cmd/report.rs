//! `retune report`: a saved model's page or card, written anew from its records.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use retune::Bundle;

use super::write_page;
use crate::console::answer;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folder that `retune train` wrote
    bundle: PathBuf,

    /// Write the model card in place of the page: Markdown, with the front matter that model hubs read
    #[arg(long)]
    card: bool,

    /// Where to write it [default: BUNDLE/report.html, or BUNDLE/card.md]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes the page or the card and prints its path.
pub fn run(args: &ReportArgs) -> Result<ExitCode, Failure> {
    let (text, name) = if args.card {
        (Bundle::card(&args.bundle)?, "card.md")
    } else {
        (Bundle::report(&args.bundle)?, "report.html")
    };
    let path = args.out.clone().unwrap_or_else(|| args.bundle.join(name));
    write_page(&path, &text)?;
    answer(&path.display().to_string());
    Ok(ExitCode::SUCCESS)
}
