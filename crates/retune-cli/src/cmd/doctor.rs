//! `retune doctor`: whether the model of a run trains as its method says, told from the run's first batch.

use std::process::ExitCode;

use clap::Args;
use retune::doctor::check;

use super::plan;
use crate::args::RunArgs;
use crate::console::{Console, answer, answer_json};
use crate::failure::{Failure, GATE};
use crate::interrupt;

#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    run: RunArgs,

    /// Print only JSON
    #[arg(long)]
    json: bool,
}

/// Examines and prints what was found; exit code 1 when something is wrong.
pub fn run(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let mut console = Console::new();
    let plan = plan::resolve(&args.run.recipe()?, None, &mut console)?;
    let report = check(&plan, &mut interrupt::watched(&mut console));
    console.end();
    let report = report?;
    if args.json {
        answer_json(&report)?;
    } else {
        answer(report.to_string().trim_end());
    }
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(GATE)
    })
}
