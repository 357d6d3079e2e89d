//! An inspection as text for a terminal.

use std::fmt::{Display, Formatter, Result};

use super::{Inspection, Percentiles};
use crate::roles::TaskKind;

/// Classes listed; the rest is counted.
const CLASSES: usize = 20;
/// Columns listed; the rest is counted.
const COLUMNS: usize = 40;

impl Display for Percentiles {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(
            f,
            "half {}, 90 % {}, 95 % {}, 99 % {}, longest {}",
            self.p50, self.p90, self.p95, self.p99, self.max
        )
    }
}

impl Display for Inspection {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(
            f,
            "{}: {} rows, {} columns",
            self.file,
            self.rows,
            self.columns.len()
        )?;
        let width = self
            .columns
            .iter()
            .take(COLUMNS)
            .map(|c| c.name.chars().count())
            .max()
            .unwrap_or(0)
            .min(30);
        for c in self.columns.iter().take(COLUMNS) {
            let role = c.role.as_deref().unwrap_or("");
            write!(f, "  {:width$}  {role:5}  {}", c.name, c.holds)?;
            writeln!(
                f,
                "{}",
                if c.missing > 0 {
                    format!(", {} empty", c.missing)
                } else {
                    String::new()
                }
            )?;
        }
        if self.columns.len() > COLUMNS {
            writeln!(f, "  and {} more", self.columns.len() - COLUMNS)?;
        }
        self.show_roles(f)?;
        self.show_labels(f)?;
        if !self.roles.pictures {
            self.show_lengths(f)?;
        }
        self.show_trouble(f)?;
        for (i, note) in self.notes.iter().enumerate() {
            writeln!(f, "{}  - {note}", if i == 0 { "\nNotes\n" } else { "" })?;
        }
        Ok(())
    }
}

impl Inspection {
    fn show_roles(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "\nRoles")?;
        for reason in &self.roles.reasons {
            let what = match (reason.role.as_str(), self.roles.task) {
                ("task", Some(TaskKind::Classification)) => "classes".to_string(),
                ("task", Some(TaskKind::MultiLabel)) => "several labels".to_string(),
                ("task", Some(TaskKind::Regression)) => "a number".to_string(),
                _ => format!("`{}`", reason.column),
            };
            writeln!(f, "  {:5}  {what}: {}", reason.role, reason.why)?;
        }
        if self.roles.label.is_none() {
            writeln!(f, "  label  none found; name it with --label COLUMN")?;
        }
        Ok(())
    }

    fn show_labels(&self, f: &mut Formatter<'_>) -> Result {
        if let Some(n) = &self.numbers {
            writeln!(
                f,
                "\nLabel from {} to {}, median {}, mean {:.4}",
                n.min, n.max, n.median, n.mean
            )?;
        }
        if self.classes.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n{} classes", self.classes.len())?;
        let labelled = (self.rows - self.unlabelled).max(1) as f64;
        let width = self
            .classes
            .iter()
            .take(CLASSES)
            .map(|c| c.name.chars().count())
            .max()
            .unwrap_or(0)
            .min(40);
        for c in self.classes.iter().take(CLASSES) {
            writeln!(
                f,
                "  {:width$}  {:>8}  {:>5.1} %",
                c.name,
                c.rows,
                100.0 * c.rows as f64 / labelled
            )?;
        }
        if self.classes.len() > CLASSES {
            writeln!(f, "  and {} more", self.classes.len() - CLASSES)?;
        }
        Ok(())
    }

    fn show_lengths(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "\nLength of the texts")?;
        writeln!(f, "  words   {}", self.words)?;
        if let Some(tokens) = &self.tokens {
            writeln!(f, "  tokens  {tokens}")?;
        }
        if let Some(cut) = &self.truncated {
            writeln!(
                f,
                "  longer than the {} tokens read: {} rows ({:.1} %)",
                cut.max_length,
                cut.rows,
                100.0 * cut.share
            )?;
            if let Some(proposal) = &cut.proposal {
                writeln!(f, "  {proposal}")?;
            }
        }
        Ok(())
    }

    fn show_trouble(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "\nRows to look at")?;
        writeln!(f, "  without a label      {}", self.unlabelled)?;
        write!(f, "  nearly empty         {}", self.near_empty)?;
        if !self.near_empty_places.is_empty() {
            write!(f, " ({})", self.near_empty_places.join("; "))?;
        }
        writeln!(f)?;
        if let Some(unreadable) = &self.unreadable {
            write!(f, "  unreadable           {}", unreadable.rows)?;
            if !unreadable.first.is_empty() {
                write!(f, " ({})", unreadable.first.join("; "))?;
            }
            writeln!(f)?;
        }
        let inputs = if self.roles.pictures {
            "pictures"
        } else {
            "texts"
        };
        writeln!(
            f,
            "  {:20} {}",
            format!("repeated {inputs}"),
            self.duplicates
        )?;
        writeln!(f, "  conflicting labels   {} {inputs}", self.conflicting)?;
        for c in &self.conflicts {
            writeln!(f, "    \"{}\"  {}", c.text, c.rows.join("; "))?;
        }
        Ok(())
    }
}
