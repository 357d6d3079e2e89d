//! Why a command ended early, how it is shown and with which exit code.

use std::process::ExitCode;

use retune::error::Problem;

use crate::console;

/// A gate of the recipe was not met.
pub const GATE: u8 = 1;
/// The request or its data is at fault.
pub const USER: u8 = 2;
/// The program is at fault.
pub const INTERNAL: u8 = 3;
/// Stopped at once by a second Ctrl-C; what shells report for SIGINT.
pub const INTERRUPTED: u8 = 130;

/// The end of a command that could not do what was asked.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    lines: Vec<String>,
}

impl Failure {
    /// Something the user can mend; `text` names the place and the cure.
    pub fn user(text: impl Into<String>) -> Self {
        Self {
            code: USER,
            lines: vec![text.into()],
        }
    }

    /// Writes the failure to stderr and gives the exit code.
    pub fn show(&self) -> ExitCode {
        if let [only] = self.lines.as_slice() {
            console::tell(&format!("error: {only}"));
        } else {
            console::tell(&format!(
                "error: {} problems were found, so nothing was started",
                self.lines.len()
            ));
            for line in &self.lines {
                console::tell(&format!("  {line}"));
            }
        }
        ExitCode::from(self.code)
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self {
            code: USER,
            lines: problems.iter().map(line).collect(),
        }
    }
}

impl From<retune::Error> for Failure {
    fn from(error: retune::Error) -> Self {
        match error {
            retune::Error::Problems(problems) => problems.into(),
            other => Self {
                code: u8::try_from(other.exit_code()).unwrap_or(INTERNAL),
                lines: vec![other.to_string()],
            },
        }
    }
}

impl From<retune::data::DataError> for Failure {
    fn from(error: retune::data::DataError) -> Self {
        Self::user(error.to_string())
    }
}

impl From<retune::hub::HubError> for Failure {
    fn from(error: retune::hub::HubError) -> Self {
        Self::user(error.to_string())
    }
}

/// A problem as the user knows it: the recipe key, the flag that sets it, and what is wrong.
fn line(problem: &Problem) -> String {
    match flag(&problem.key) {
        Some(flag) => format!("{} ({flag}): {}", problem.key, problem.text),
        None => problem.to_string(),
    }
}

/// Sections of a recipe whose keys have flags of the same name.
const SECTIONS: [&str; 9] = [
    "data",
    "processor",
    "train",
    "loss",
    "pictures",
    "decide",
    "tune",
    "recommend",
    "tables",
];

/// The flag of `train` that sets a recipe key.
fn flag(key: &str) -> Option<String> {
    let name = match key {
        "data.train" => "data",
        "data.slices" => "slice",
        "tables.entities" => "entity",
        "decide.goal" => "decide",
        key if key.starts_with("gates.") => "gate",
        key if key.starts_with("method.") => "with",
        "method" | "verdict" | "require" | "refit" | "model" | "task" | "seed" | "out"
        | "device" | "threads" | "memory" | "precision" => key,
        key => {
            let (section, name) = key.split_once('.')?;
            SECTIONS.contains(&section).then_some(name)?
        }
    };
    Some(format!("--{}", name.replace('_', "-")))
}

/// Makes a panic say that it is a bug and what to do about it.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let place = info
            .location()
            .map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
        let text = info.payload_as_str().unwrap_or("no message");
        console::tell(&format!(
            "error: this is a bug in retune, not in your data: {text}{place}\n  \
             please report it with the command you typed; nothing was half-written, so the command can be repeated"
        ));
    }));
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_section_names_its_flag() {
        for (key, wanted) in [
            ("data.train", "--data"),
            ("data.slices", "--slice"),
            ("data.valid_share", "--valid-share"),
            ("processor.max_length", "--max-length"),
            ("pictures.on_bad", "--on-bad"),
            ("method", "--method"),
            ("method.lora.rank", "--with"),
            ("train.lr", "--lr"),
            ("tune.over", "--over"),
            ("gates.accuracy", "--gate"),
            ("model", "--model"),
        ] {
            assert_eq!(flag(key).unwrap(), wanted, "{key}");
        }
        assert_eq!(flag("recipe"), None);
    }

    /// The guide's table of knobs has a row of `--flag`, `key`, default and meaning for each.
    #[test]
    fn keys_lead_to_the_flags_that_the_guide_names() {
        let guide = include_str!("../../../docs/guide.md");
        let quoted =
            |cell: &str| Some(cell.trim().strip_prefix('`')?.split_once('`')?.0.to_owned());
        let row = |line: &str| {
            let mut cells = line.strip_prefix('|')?.split('|');
            let (flag, key) = (quoted(cells.next()?)?, quoted(cells.next()?)?);
            (flag.starts_with("--") && key.contains('.')).then_some((flag, key))
        };
        let rows: Vec<_> = guide.lines().filter_map(row).collect();
        assert!(rows.len() > 80, "{} rows", rows.len());
        for (wanted, key) in rows {
            assert_eq!(
                flag(&key).as_ref(),
                wanted.split([' ', '=']).next().map(str::to_owned).as_ref(),
                "{key}"
            );
        }
    }

    #[test]
    fn a_bug_is_told_apart_from_a_request_at_fault() {
        assert_eq!(
            Failure::from(retune::Error::Internal(String::new())).code,
            INTERNAL
        );
        assert_eq!(Failure::from(retune::Error::User(String::new())).code, USER);
    }
}
