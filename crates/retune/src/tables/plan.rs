//! From a recipe to a plan: reads the table, finds what each column is, makes features of the past, divides the rows, and
//! reports every problem before anything is computed.

use std::path::{Path, PathBuf};

use retune_data::fields::{Cast, Cells, Fields};
use retune_data::leaks::Finding;
use retune_data::processor::Labels;
use retune_data::roles::Roles;
use retune_data::split::SplitRecord;
use retune_data::windows::Engine;
use retune_data::{Table, Target};
use retune_eval::Evaluation;

use super::found::Found;
use super::history::History;
use super::{FRAUD, Known, TASKS, evaluation, task, unread};
use crate::error::Problem;
use crate::plan::data::tables;
use crate::plan::{out_folder, unknown};
use crate::recipe::Recipe;
use crate::tasks::Task;

/// The models of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Gradient-boosted trees.
    Gbdt,
    /// A linear model.
    Linear,
    /// Networks that share their layers.
    Tabular,
    /// The same networks over what a model of events says of a card, which learns with them.
    Events,
}

impl Family {
    /// Whether it is trained step by step.
    pub fn is_network(self) -> bool {
        matches!(self, Self::Tabular | Self::Events)
    }

    /// Every family.
    pub const ALL: [Self; 4] = [Self::Gbdt, Self::Linear, Self::Tabular, Self::Events];

    /// Its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gbdt => "gbdt",
            Self::Linear => "linear",
            Self::Tabular => "tabular",
            Self::Events => "events",
        }
    }

    /// The one that a recipe names; trees where it names none.
    ///
    /// # Errors
    /// A name that no family has.
    pub fn of(recipe: &Recipe) -> Result<Self, Problem> {
        let Some(name) = &recipe.model else {
            return Ok(Self::Gbdt);
        };
        let found = Self::ALL.into_iter().find(|family| family.name() == name);
        found.ok_or_else(|| unknown("model", name, Self::ALL.iter().map(|f| f.name())))
    }

    /// One line about it, with its source.
    pub fn about(self) -> &'static str {
        match self {
            Self::Gbdt => {
                "gradient-boosted trees (Friedman 2001), by the forust-ml crate; for tables"
            }
            Self::Linear => "logistic or ridge regression; for tables, and for few labels",
            Self::Tabular => {
                "networks that share their layers (TabM-mini, arXiv:2410.24210); for tables"
            }
            Self::Events => {
                "the same networks over a transformer of each card's events; for frauds"
            }
        }
    }
}

/// Rows of one side.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Their places in the table.
    pub at: Vec<usize>,
    /// `[rows, inputs]`.
    pub cells: Cells,
    /// One per row.
    pub targets: Vec<Target>,
}

impl Rows {
    /// The rows with what is right of them, as models learn from them.
    pub fn known(&self) -> Known<'_> {
        Known {
            cells: &self.cells,
            targets: &self.targets,
        }
    }

    /// These rows with their first inputs alone.
    #[must_use]
    pub fn first(&self, width: usize) -> Self {
        let rows = self.cells.values.chunks_exact(self.cells.width.max(1));
        Self {
            cells: Cells {
                width,
                values: rows.flat_map(|row| &row[..width]).copied().collect(),
            },
            ..self.clone()
        }
    }

    /// These rows and then others.
    #[must_use]
    pub fn and(&self, more: &Self) -> Self {
        let both = |a: &[f32], b: &[f32]| [a, b].concat();
        Self {
            at: [&self.at[..], &more.at].concat(),
            cells: Cells {
                width: self.cells.width,
                values: both(&self.cells.values, &more.cells.values),
            },
            targets: [&self.targets[..], &more.targets].concat(),
        }
    }
}

/// Everything that a run needs, decided.
pub struct Plan {
    /// The recipe with every choice filled in.
    pub recipe: Recipe,
    /// Folder of the bundle to write.
    pub out: PathBuf,
    /// The task.
    pub task: &'static dyn Task,
    /// What the model is.
    pub family: Family,
    /// Every row read.
    pub table: Table,
    /// Label, group and time, with reasons for every column.
    pub roles: Roles,
    /// Who plays which part in a stream of events.
    pub cast: Cast,
    /// The columns that models read.
    pub fields: Fields,
    /// What makes features of the past; it has seen every event.
    pub engine: Option<Engine>,
    /// What a model of events says of every row.
    pub history: Option<History>,
    /// What outputs stand for.
    pub labels: Labels,
    /// Of two classes the one that the task is about.
    pub positive: usize,
    /// Seconds of each row of the table; none without a time.
    pub times: Vec<i64>,
    /// Rows to learn from.
    pub train: Rows,
    /// Rows to select by.
    pub valid: Rows,
    /// Rows to test on.
    pub test: Rows,
    /// Where each row went and why.
    pub split: SplitRecord,
    /// Beginning and length of test periods before this one that are measured, too, in seconds.
    pub earlier: Vec<[i64; 2]>,
    /// Columns and divisions that may make the figures better than they will be.
    pub leaks: Vec<Finding>,
    /// Sentences worth reading before the run.
    pub notes: Vec<String>,
}

impl Plan {
    /// Decides everything; a run that was begun in `begun` goes on there.
    ///
    /// # Errors
    /// Every problem found, not only the first.
    pub fn resolve(recipe: &Recipe, begun: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let mut problems = recipe.problems();
        let out = match begun {
            Some(folder) => folder.to_path_buf(),
            None => out_folder(recipe, &mut problems),
        };
        let family = Family::of(recipe).map_err(|problem| problems.push(problem));
        problems.extend(
            family
                .iter()
                .flat_map(|family| unread::of_family(recipe, *family)),
        );
        let named = recipe.task.as_deref();
        if let Some(name) = named.filter(|name| task(name).is_none()) {
            problems.push(unknown("task", name, TASKS.iter().map(|t| t.name())));
        }
        let read = tables(&recipe.data, &mut problems);
        let (Some((table, given, _)), Ok(family), true) = (read, family, problems.is_empty())
        else {
            return Err(problems);
        };
        let found = Found::of(recipe, table, given).map_err(|problem| vec![problem])?;
        found
            .plan(recipe, out, family)
            .map_err(|problem| vec![problem])
    }

    /// What models are rated by.
    pub fn evaluation(&self) -> Evaluation {
        evaluation(self.task, &self.labels)
    }

    /// Whether events of a stream are rated.
    pub fn is_fraud(&self) -> bool {
        self.task.name() == FRAUD.name
    }

    /// The model of events whose surprises are columns of trees or of a linear model.
    pub(super) fn surprising(&self) -> Option<&History> {
        self.history.as_ref().filter(|_| !self.family.is_network())
    }

    /// Whether a model of events that learned without labels learns on with the networks.
    pub(super) fn learns_on(&self) -> bool {
        self.family == Family::Events && self.history.as_ref().is_some_and(History::goes_on)
    }

    /// Names of the inputs: fields, then features of the past, then surprises.
    pub fn inputs(&self) -> Vec<String> {
        let mut names = self.fields.names();
        names.extend(self.engine.iter().flat_map(|engine| engine.spec().names()));
        // A network of events reads them itself.
        let told = self
            .history
            .iter()
            .filter(|_| self.family != Family::Events);
        names.extend(told.flat_map(|history| history.of.names(history.timelines.spec())));
        names
    }

    /// Of each input how many numbers stand for words; `None` for numbers.
    pub fn words(&self) -> Vec<Option<usize>> {
        let mut words: Vec<Option<usize>> = self
            .fields
            .fields
            .iter()
            .map(retune_data::fields::Field::codes_len)
            .collect();
        words.resize(self.inputs().len(), None);
        words
    }

    /// SHA-256 of each data file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn data_hashes(
        &self,
    ) -> crate::error::Result<std::collections::BTreeMap<String, String>> {
        let files = self.table.files.iter().filter(|path| path.is_file());
        files
            .map(|path| Ok((path.display().to_string(), crate::bundle::sha256(path)?)))
            .collect()
    }
}
