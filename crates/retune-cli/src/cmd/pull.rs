//! `retune pull`: fetches a pre-trained model into the cache.

use std::process::ExitCode;

use clap::Args;
use retune::hub::{HubOptions, resolve, verify};

use crate::console::{Console, answer};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct PullArgs {
    /// A name of `retune list models`, or org/name[@revision] of the hub
    #[arg(value_name = "REF")]
    reference: String,

    /// Check the SHA-256 of a model that is here already; a damaged one is fetched again
    #[arg(long)]
    verify: bool,
}

/// Fetches the model and prints the folder it is in.
pub fn run(args: &PullArgs) -> Result<ExitCode, Failure> {
    let mut console = Console::new();
    console.note(&format!("looking for {}", args.reference));
    let fetch = if args.verify { verify } else { resolve };
    let found = fetch(&args.reference, &HubOptions::from_env(), &mut |p| {
        console.download(p);
    });
    console.end();
    answer(&found?.folder.display().to_string());
    Ok(ExitCode::SUCCESS)
}
