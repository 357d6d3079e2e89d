//! Vectors in place of answers: whose neighbours rate a model, and the gallery that a bundle keeps.
//!
//! Test rows look for their label among each other, and in a gallery of the training and validation rows where that has
//! it. Groups of rows are the values of the label column: the classes that the model was trained on come first, others,
//! which training has not seen, behind them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use retune_data::example::Framed;
use retune_data::processor::Labels;
use retune_data::survey::Decoded;
use retune_data::{Column, Example, Processor, Table, Target};
use retune_eval::retrieval::{Grouped, NEIGHBOURS, Retrieved, nearest};
use retune_eval::{Matrix, Targets};

use crate::checkpoint::{self, Checkpoint};
use crate::decide::DecideRecipe;
use crate::error::{Error, Problem, Result};
use crate::floors::classical::picture_vectors;
use crate::head::Form;
use crate::model::Model;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::recipe::Recipe;
use crate::scoring;
use crate::tasks::{Answer, Task};

/// File of a bundle with the vectors of its gallery and their classes.
pub(crate) const GALLERY: &str = "gallery.safetensors";
const VECTORS: &str = "vectors";
const CLASSES: &str = "classes";

/// What the floor without a network is, in words.
pub(crate) const EDGES: &str =
    "classical is colours and edges as vectors, in units of the training rows; nothing is trained";

/// Whether models of this task are rated by their vectors.
pub(crate) fn rates(task: &dyn Task) -> bool {
    task.form() != Form::Affine
}

/// What a recipe asks for that vectors have no use for.
pub(crate) fn misfits(recipe: &Recipe, task: &dyn Task) -> Vec<Problem> {
    if !rates(task) {
        return Vec::new();
    }
    let method = recipe.method.method();
    let frozen = method.frozen_backbone().then(|| {
        let text = format!(
            "`{}` leaves the vectors as they came, and {} trains them; try `full` or `last_layers`",
            method.name(),
            task.name()
        );
        Problem::new("method", text)
    });
    let decided = (recipe.decide != DecideRecipe::default()).then(|| {
        let text = format!("{} has no answers to decide; leave it out", task.name());
        Problem::new("decide.goal", text)
    });
    frozen.into_iter().chain(decided).collect()
}

/// Checks, where vectors are rated, that among validation and test rows some can find another of their label, and others to mistake it for.
pub(crate) fn enough(
    (task, processor): (&dyn Task, &Processor),
    table: &Table,
    [valid, test]: [&[usize]; 2],
) -> std::result::Result<(), Problem> {
    if !rates(task) {
        return Ok(());
    }
    for (rows, side, flag) in [(valid, "validation", "valid"), (test, "test", "test")] {
        let mut groups = Groups::new(processor, table);
        let mut found: Vec<u32> = rows.iter().map(|row| groups.of(*row)).collect();
        let all = found.len();
        found.sort_unstable();
        found.dedup();
        if found.len() < 2 || found.len() == all {
            let what = match found.len() {
                0 | 1 => format!("the {all} {side} rows have one label"),
                _ => format!("no two of the {all} {side} rows have the same label"),
            };
            return Err(Problem::new(
                &format!("data.{flag}_share"),
                format!(
                    "{what}, so none can find another of its own among others; take more rows by --{flag}-share, or give \
                     a file by --{flag}"
                ),
            ));
        }
    }
    Ok(())
}

/// Examples of `rows` with their answers; where vectors are rated, labels that the model does not know are
/// [`Target::None`].
///
/// # Errors
/// As [`Processor::examples`].
pub(crate) fn examples(
    (task, processor): (&dyn Task, &Processor),
    (table, decoded): (&Table, &Decoded),
    rows: &[usize],
) -> retune_data::Result<Vec<Example>> {
    if !rates(task) {
        return processor.examples_of((table, decoded), rows, true);
    }
    let mut found = processor.examples_of((table, decoded), rows, false)?;
    let mut groups = Groups::new(processor, table);
    let known = processor.labels().names().len() as u32;
    for (example, row) in found.iter_mut().zip(rows) {
        let group = groups.of(*row);
        if group < known {
            example.target = Target::Class(group);
        }
    }
    Ok(found)
}

/// Numbers of the labels of a table.
struct Groups<'a> {
    column: Option<&'a Column>,
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl<'a> Groups<'a> {
    /// The classes of the processor keep their numbers.
    fn new(processor: &Processor, table: &'a Table) -> Self {
        let names = processor.labels().names().to_vec();
        let column = processor.label().and_then(|label| table.column(label).ok());
        Self {
            column,
            numbers: names.iter().cloned().zip(0..).collect(),
            names,
        }
    }

    fn of(&mut self, row: usize) -> u32 {
        let text = self.column.and_then(|column| column.text(row));
        let name = text.unwrap_or_default().trim().to_string();
        let next = self.names.len() as u32;
        let number = *self.numbers.entry(name.clone()).or_insert(next);
        if number == next {
            self.names.push(name);
        }
        number
    }
}

/// Rows whose scores rate a model on the test rows: these, and where vectors are rated the gallery behind them.
pub(crate) fn rated_rows(plan: &Plan) -> Cow<'_, [Example]> {
    if rates(plan.task) {
        plan.test.iter().chain(shelf(plan)).cloned().collect()
    } else {
        Cow::Borrowed(&plan.test)
    }
}

/// Rows of the gallery.
fn shelf(plan: &Plan) -> impl Iterator<Item = &Example> {
    plan.train.iter().chain(&plan.valid)
}

/// Vectors of `rows`, and what lies near each. `vectors`, `[rows, width]`, may hold those of the gallery behind.
pub(crate) fn rated(plan: &Plan, rows: &[Example], vectors: &Matrix) -> (Matrix, Targets) {
    let at =
        |rows: &[Example]| -> Vec<usize> { rows.iter().map(|e| e.meta.row as usize).collect() };
    let own = cut(vectors, 0, rows.len());
    let mut groups = Groups::new(&plan.processor, &plan.table);
    let of_own: Vec<u32> = at(rows).into_iter().map(|row| groups.of(row)).collect();
    let gallery = behind(plan, rows.len(), vectors);
    let of_gallery: Vec<u32> = shelf(plan)
        .map(|e| groups.of(e.meta.row as usize))
        .collect();
    let found = Retrieved::new(
        Grouped {
            vectors: &own,
            groups: &of_own,
        },
        gallery.as_ref().map(|vectors| Grouped {
            vectors,
            groups: &of_gallery,
        }),
        groups.names,
    );
    (own, Targets::Vectors(found))
}

/// What lies near the `rows` of a table that has nothing to do with a plan, among themselves and in a gallery.
pub(crate) fn rated_rows_of(
    processor: &Processor,
    (table, rows): (&Table, &[usize]),
    vectors: &Matrix,
    gallery: Option<&Gallery>,
) -> Targets {
    let mut groups = Groups::new(processor, table);
    let own: Vec<u32> = rows.iter().map(|row| groups.of(*row)).collect();
    let queries = Grouped {
        vectors,
        groups: &own,
    };
    let shelf = gallery.map(Gallery::grouped);
    Targets::Vectors(Retrieved::new(queries, shelf, groups.names))
}

/// The vectors of the gallery behind those of the first rows; `None` where there are no others.
pub(crate) fn behind(plan: &Plan, first: usize, vectors: &Matrix) -> Option<Matrix> {
    let there = rates(plan.task) && vectors.rows > first;
    there.then(|| cut(vectors, first, vectors.rows))
}

fn cut(all: &Matrix, from: usize, to: usize) -> Matrix {
    Matrix {
        rows: to - from,
        cols: all.cols,
        data: all.data[from * all.cols..to * all.cols].to_vec(),
    }
}

/// Vectors of the gallery by a model; `None` where vectors are not rated.
pub(crate) fn gallery(plan: &Plan, model: &Model) -> Result<Option<Matrix>> {
    if !rates(plan.task) {
        return Ok(None);
    }
    let rows: Vec<Example> = shelf(plan).cloned().collect();
    let processor = &plan.processor;
    let (first, _) = scoring::scores(model, plan.task, processor, &rows, &mut |_| ())?;
    let views = (&rows[..], plan.recipe.pictures.tta);
    scoring::over_views(first, (model, plan.task), processor, views).map(Some)
}

/// What is answered for a row by what is near it.
pub(crate) fn answer(found: &Retrieved, row: usize) -> Answer {
    let near = found.answers[row];
    Answer {
        label: near.and_then(|near| found.names.get(near.group as usize).cloned()),
        confidence: near.map(|near| f64::from(near.cosine)),
        ..Answer::default()
    }
}

/// Vectors of the floor without a network, those of the gallery behind; `None` where vectors are not rated.
///
/// # Errors
/// A picture that cannot be read any more.
pub(crate) fn edges(plan: &Plan) -> Result<Option<Matrix>> {
    let Processor::Image(processor) = &plan.processor else {
        return Ok(None);
    };
    if !rates(plan.task) {
        return Ok(None);
    }
    let rows = rated_rows(plan);
    let of = |rows: &'_ [Example]| -> Vec<Framed> {
        rows.iter().filter_map(Example::picture).cloned().collect()
    };
    let (train, rows) = (of(&plan.train), of(&rows));
    let (train, rows): (Vec<&Framed>, Vec<&Framed>) =
        (train.iter().collect(), rows.iter().collect());
    picture_vectors(processor, &train, &rows).map(Some)
}

/// Known pictures of a bundle: vectors, `[rows, width]`, and the class of each.
pub(crate) struct Gallery {
    vectors: Matrix,
    classes: Vec<u32>,
}

/// Writes the gallery of a run beside the parts of its bundle; nothing where vectors are not rated.
///
/// # Errors
/// A full disk.
pub(crate) fn keep(folder: &Path, plan: &Plan, outcome: &Outcome) -> Result<()> {
    let Some(vectors) = &outcome.gallery else {
        return Ok(());
    };
    let class = |(row, example): (usize, &Example)| match example.target {
        Target::Class(class) => Some((row, class)),
        _ => None,
    };
    let known: Vec<(usize, u32)> = shelf(plan).enumerate().filter_map(class).collect();
    let values = known.iter().flat_map(|(row, _)| vectors.row(*row)).copied();
    let tensors = [
        (
            VECTORS.to_string(),
            vec![known.len(), vectors.cols],
            values.collect(),
        ),
        (
            CLASSES.to_string(),
            vec![known.len()],
            known.iter().map(|(_, class)| *class as f32).collect(),
        ),
    ];
    Ok(checkpoint::write(&folder.join(GALLERY), &tensors, &[])?)
}

impl Gallery {
    /// Of a bundle; `None` where it has none.
    ///
    /// # Errors
    /// A file that is damaged.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(GALLERY);
        if !path.is_file() {
            return Ok(None);
        }
        let file = Checkpoint::open(&path)?;
        let (values, classes) = (file.f32(VECTORS)?, file.f32(CLASSES)?);
        let &[rows, cols] = file.shape(VECTORS).unwrap_or_default() else {
            return Err(Error::Damaged {
                path,
                what: format!("`{VECTORS}` is no matrix; copy the bundle again"),
            });
        };
        if classes.len() != rows {
            let what = format!(
                "it has {rows} vectors and {} classes; copy the bundle again",
                classes.len()
            );
            return Err(Error::Damaged { path, what });
        }
        Ok(Some(Self {
            vectors: Matrix {
                rows,
                cols,
                data: values,
            },
            classes: classes.iter().map(|class| *class as u32).collect(),
        }))
    }

    fn grouped(&self) -> Grouped<'_> {
        Grouped {
            vectors: &self.vectors,
            groups: &self.classes,
        }
    }

    /// Adds the label of the nearest pictures to answers with these vectors, `[answers, width]`.
    pub fn label(&self, vectors: &Matrix, labels: &Labels, answers: &mut [Answer]) {
        let found = nearest(vectors, self.grouped(), NEIGHBOURS);
        for (answer, near) in answers.iter_mut().zip(found) {
            let name = near.and_then(|near| labels.names().get(near.group as usize).cloned());
            answer.label = name;
            answer.confidence = near.map(|near| f64::from(near.cosine));
        }
    }
}
