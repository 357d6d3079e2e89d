//! `retune runs`: every run below a folder, the newest first.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use retune::eval::table::{align, cell};
use retune::runs::{self, Reached, Run, RunState};

use super::{duration, program, quoted};
use crate::console::{answer, answer_json};
use crate::failure::Failure;

/// Characters of a model's name that are shown; of a longer one, its end.
const MODEL: usize = 28;

#[derive(Debug, Args)]
pub struct RunsArgs {
    /// Folder of runs
    #[arg(value_name = "DIR", default_value = "runs")]
    folder: PathBuf,

    /// Print only JSON
    #[arg(long)]
    json: bool,
}

/// Prints one line per run.
pub fn run(args: &RunsArgs) -> Result<ExitCode, Failure> {
    let found = runs::runs(&args.folder)?;
    if args.json {
        answer_json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        answer(&format!(
            "no runs below {}; `retune train FILE` makes one",
            args.folder.display()
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let heads = [
        "run", "task", "method", "model", "figure", "verdict", "time", "state", "created",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(found.iter().map(|run| line(run, &args.folder)));
    answer(align(&rows).trim_end());
    for run in &found {
        let folder = run.folder.display().to_string();
        match &run.state {
            RunState::Unfinished(_) => answer(&format!(
                "unfinished {folder}: go on with {} train --resume {}",
                program(),
                quoted(&folder)
            )),
            RunState::Damaged { what } => answer(&format!("damaged {folder}: {what}")),
            RunState::Finished | RunState::Running(_) => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(run: &Run, root: &Path) -> Vec<String> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let below = run.folder.strip_prefix(root).ok();
    let name = below.filter(|path| !path.as_os_str().is_empty());
    let figure = run.metric.as_ref().zip(run.figure.as_ref());
    let minutes: String = run.created.replace('T', " ").chars().take(16).collect();
    vec![
        name.unwrap_or(&run.folder).display().to_string(),
        or_dash(&run.task),
        or_dash(&run.method),
        end(&or_dash(&run.model), MODEL),
        figure.map_or("-".to_owned(), |(name, value)| {
            format!("{name} {}", cell(value))
        }),
        run.word.map_or("-".to_owned(), |word| word.to_string()),
        run.seconds.map_or("-".to_owned(), duration),
        state(&run.state),
        minutes,
    ]
}

fn state(state: &RunState) -> String {
    let reached = |reached: &Reached| match reached.steps {
        Some(steps) => format!("at step {} of {steps}", reached.step),
        None => "before its first step".to_owned(),
    };
    match state {
        RunState::Finished => "finished".to_owned(),
        RunState::Unfinished(at) => format!("unfinished {}", reached(at)),
        RunState::Running(at) => format!("running {}", reached(at)),
        RunState::Damaged { .. } => "damaged".to_owned(),
    }
}

/// The last characters of a text.
fn end(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().skip(length - most + 1).collect();
    format!("…{kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(end("golden/bert-tiny", 28), "golden/bert-tiny");
        assert_eq!(end("models/är/bert", 5), "…bert");
    }
}
