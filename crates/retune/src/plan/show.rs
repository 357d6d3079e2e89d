//! A plan as people read it.

use std::fmt;

use super::{Plan, Summary};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The task is shown once, by the summary.
        for reason in self.roles.reasons.iter().filter(|r| r.role != "task") {
            writeln!(f, "{:<12} `{}`: {}", reason.role, reason.column, reason.why)?;
        }
        write!(f, "{}", self.summary)?;
        writeln!(f, "{:<12} {}", "split", self.split.how)?;
        writeln!(f, "{:<12} {}", "out", self.out.display())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [train, valid, test] = self.rows;
        writeln!(f, "{:<12} {}", "task", self.task)?;
        writeln!(f, "{:<12} {} ({})", "model", self.model, self.model_source)?;
        writeln!(f, "{:<12} {}", "method", self.method)?;
        for (what, why) in &self.choices {
            writeln!(f, "{:<12} {what}: {why}", "chosen")?;
        }
        if !self.classes.is_empty() {
            writeln!(f, "{:<12} {}", "classes", shortened(&self.classes))?;
        }
        writeln!(
            f,
            "{:<12} {train} training, {valid} validation, {test} test",
            "rows"
        )?;
        match self.picture {
            Some([height, width]) => {
                writeln!(f, "{:<12} {width} x {height} pixels each", "pictures")?;
            }
            None => writeln!(
                f,
                "{:<12} {} per epoch, at most {} per text, {:.1} % of texts cut",
                "tokens",
                self.tokens_per_epoch,
                self.max_length,
                self.truncated_share * 100.0
            )?,
        }
        writeln!(
            f,
            "{:<12} {} ({} per epoch)",
            "steps", self.steps, self.steps_per_epoch
        )?;
        let [all, trained] = self.parameters;
        writeln!(
            f,
            "{:<12} {}, of which {} train",
            "parameters",
            count(all),
            count(trained)
        )?;
        writeln!(
            f,
            "{:<12} about {:.2} GB of memory and {}",
            "forecast",
            self.forecast.memory_bytes as f64 / 1e9,
            duration(self.forecast.seconds)
        )?;
        for note in &self.notes {
            writeln!(f, "{:<12} {note}", "note")?;
        }
        Ok(())
    }
}

fn shortened(classes: &[String]) -> String {
    const SHOWN: usize = 12;
    let first = classes
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if classes.len() <= SHOWN {
        return first;
    }
    format!("{first}, … ({} in all)", classes.len())
}

fn count(n: usize) -> String {
    if n < 100_000 {
        return n.to_string();
    }
    format!("{:.1} million", n as f64 / 1e6)
}

fn duration(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else if seconds < 5400.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3600.0)
    }
}
