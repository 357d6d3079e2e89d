//! What the user sees: results on stdout; progress, notes and errors on stderr.
//!
//! A terminal gets one moving bar. Anything else gets plain lines, at most one per tenth of a stage, so that
//! a log stays readable.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use retune::eval::Event;
use retune::hub::Progress;
use serde::Serialize;

use crate::failure::{Failure, USER};

/// Stages that end sooner than this print no lines between their first and last.
const QUIET: Duration = Duration::from_secs(5);

/// Writes a result to stdout.
pub fn answer(text: &str) {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    let Err(error) = written else { return };
    let code = if error.kind() == io::ErrorKind::BrokenPipe {
        // The reader has gone (`retune list metrics | head -1`): nothing is left to say.
        0
    } else {
        tell(&format!(
            "error: cannot write the result: {error}; free some space, or write it somewhere else"
        ));
        i32::from(USER)
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "without a stdout there is nothing to go on for"
    )]
    std::process::exit(code);
}

/// Writes a result to stdout as one JSON document.
pub fn answer_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Failure::user(format!("cannot write the result as JSON: {e}")))?;
    answer(&text);
    Ok(())
}

/// Writes a line to stderr; a closed stderr is no reason to end a run.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Shows the progress of one command.
pub struct Console {
    began: Instant,
    /// Present when stderr is a terminal.
    bar: Option<ProgressBar>,
    stage: Stage,
    /// The metric that decides; all are shown where it is not known.
    metric: Option<String>,
}

/// The unit of progress: a download, an evaluation, the training.
struct Stage {
    name: String,
    began: Instant,
    total: Option<u64>,
    /// The next tenth worth a line.
    tenth: u64,
}

impl Stage {
    fn new(name: &str, total: Option<u64>) -> Self {
        Self {
            name: name.to_owned(),
            began: Instant::now(),
            total: total.filter(|t| *t > 0),
            tenth: 1,
        }
    }

    /// What its progress counts.
    fn unit(&self) -> &'static str {
        if self.name.starts_with("training") {
            "steps"
        } else if self.name.ends_with("curve") {
            "points"
        } else if self.name.ends_with("candidates") {
            "trainings"
        } else {
            "rows"
        }
    }

    /// Whether `done` reaches the next tenth; moves on to the one after.
    fn reaches(&mut self, done: u64) -> bool {
        let Some(total) = self.total else {
            return false;
        };
        let reached = done.saturating_mul(10) / total;
        let due = reached >= self.tenth;
        if due {
            self.tenth = reached + 1;
        }
        due
    }

    /// Time to the end at the pace so far.
    fn left(&self, done: u64) -> Option<Duration> {
        let total = self.total?;
        let share = total.saturating_sub(done) as f64 / done.max(1) as f64;
        Duration::try_from_secs_f64(self.began.elapsed().as_secs_f64() * share).ok()
    }
}

impl Console {
    /// A console for one command; draws a bar where stderr is a terminal.
    pub fn new() -> Self {
        let bar = io::stderr().is_terminal().then(ProgressBar::no_length);
        Self {
            began: Instant::now(),
            bar,
            stage: Stage::new("", None),
            metric: None,
        }
    }

    /// Of the figures of a validation, shows this one: a line holds no more.
    pub fn watch(&mut self, metric: &str) {
        self.metric = Some(metric.to_owned());
    }

    /// A line above the bar, with the time since the start.
    pub fn note(&self, text: &str) {
        let line = format!("[{:>6.1} s] {text}", self.began.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(&line)),
            None => tell(&line),
        }
    }

    /// Shows a step of a download.
    pub fn download(&mut self, progress: Progress) {
        match progress {
            Progress::Started { file, total } => {
                let size = total.map_or_else(String::new, |t| format!(" ({})", HumanBytes(t)));
                self.begin(&format!("fetching {file}{size}"), total);
            }
            Progress::Bytes { done } => {
                self.advance(done, &|done| HumanBytes(done).to_string());
            }
            Progress::Finished => self.end(),
            Progress::Waiting { text } | Progress::Note { text } => self.note(&text),
        }
    }

    /// Shows an event of a run.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Stage { name, total } => self.begin(sentence(name), *total),
            Event::Progress { done } => {
                let (total, unit) = (self.stage.total, self.stage.unit());
                self.advance(*done, &|done| match total {
                    Some(total) => format!("{done} of {total} {unit}"),
                    None => format!("{done} done"),
                });
            }
            Event::Step {
                step,
                steps,
                epoch,
                loss,
                lr,
                ..
            } => {
                self.stage.total = Some(*steps);
                self.advance(*step, &|step| {
                    format!("step {step} of {steps}, epoch {epoch:.2}, loss {loss:.4}, lr {lr:.2e}")
                });
            }
            Event::Validated {
                step,
                loss,
                metrics,
                best,
            } => {
                let best = if *best { ", best so far" } else { "" };
                self.note(&format!(
                    "validation after step {step}: loss {loss:.4}, {}{best}",
                    self.figures(metrics)
                ));
            }
            Event::Stopped {
                step,
                reason,
                best_step,
            } => {
                let why = reason.replace('_', " ");
                self.note(&format!(
                    "training ended at step {step} ({why}); kept the model of step {best_step}"
                ));
            }
            // A saved state is no news: it shows when a run goes on.
            Event::Saved { .. } => {}
            Event::Note { text } => self.note(text),
        }
    }

    /// Removes the bar: results follow.
    pub fn end(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.stage = Stage::new("", None);
    }

    fn begin(&mut self, name: &str, total: Option<u64>) {
        self.stage = Stage::new(name, total);
        match &self.bar {
            Some(bar) => {
                bar.reset();
                bar.set_style(style(self.stage.total.is_some()));
                bar.set_prefix(name.to_owned());
                bar.set_message("");
                if let Some(total) = self.stage.total {
                    bar.set_length(total);
                }
                bar.enable_steady_tick(Duration::from_millis(200));
            }
            None => self.note(name),
        }
    }

    fn figures(&self, metrics: &BTreeMap<String, f64>) -> String {
        let watched = |name: &str| self.metric.as_deref().is_none_or(|metric| metric == name);
        let shown: Vec<String> = metrics
            .iter()
            .filter(|(name, _)| watched(name))
            .map(|(name, value)| format!("{name} {value:.4}"))
            .collect();
        shown.join(", ")
    }

    fn advance(&mut self, done: u64, show: &dyn Fn(u64) -> String) {
        if let Some(bar) = &self.bar {
            if let Some(total) = self.stage.total.filter(|t| bar.length() != Some(*t)) {
                bar.set_style(style(true));
                bar.set_length(total);
            }
            bar.set_position(done);
            bar.set_message(show(done));
            return;
        }
        let training = self.stage.name == sentence("train");
        if self.stage.reaches(done) && (training || self.stage.began.elapsed() > QUIET) {
            let left = self.stage.left(done).filter(|left| left.as_secs() > 0);
            let left = left.map_or_else(String::new, |left| {
                format!(", {} left", HumanDuration(left))
            });
            self.note(&format!("{}{left}", show(done)));
        }
    }
}

fn style(sized: bool) -> ProgressStyle {
    let template = if sized {
        "{prefix} {bar:20} {percent:>3} % {eta} left  {wide_msg}"
    } else {
        "{spinner} {prefix} {elapsed}  {wide_msg}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A stage of the run in words.
fn sentence(stage: &str) -> &str {
    match stage {
        "read" => "reading the data",
        "encode" => "turning texts into tokens",
        "base_model" => "measuring the model before tuning",
        "frozen" => "measuring frozen features with a linear head",
        "features" => "computing what the frozen model makes of each row",
        "doubt" => "asking models about rows that they have not seen",
        "train" => "training",
        "rates" => "training at rising learning rates",
        "candidates" => "trying candidates",
        "refit" => "training once more on all rows",
        "again" => "training once more with another seed",
        "curve" => "measuring the points of the curve",
        "calibrate" => "setting the confidence right on the validation rows",
        "decide" => "choosing the decision threshold on the validation rows",
        "parent" => "measuring what the model before knew",
        "classical" => "measuring a classical model",
        "scratch" => "training the same model from random numbers, to compare",
        "scratch_ids" => "training a model of ids from random numbers, to compare",
        "scratch_texts" => "training a model of texts from random numbers, to compare",
        "texts" => "computing what the text encoder makes of each item",
        "floors" => "measuring what counting alone gives",
        "rolling" => "training for an earlier test period, and measuring there",
        "evaluate" => "measuring on the test rows",
        "save" => "saving",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_prints_once_per_tenth() {
        let mut stage = Stage::new("training", Some(200));
        let lines = (1..=200).filter(|step| stage.reaches(*step)).count();
        assert_eq!(lines, 10);
        let mut short = Stage::new("training", Some(3));
        assert_eq!((1..=3).filter(|step| short.reaches(*step)).count(), 3);
    }

    #[test]
    fn a_stage_of_unknown_size_prints_no_tenths() {
        let mut stage = Stage::new("saving", None);
        assert!((1..=200).all(|done| !stage.reaches(done)));
    }
}
