//! The data half of a plan: rows, roles, split, processor and encoded examples.

use std::ops::Range;
use std::path::Path;

use retune_data::processor::{ImageProcessor, Labels, Long, TextProcessor, load_tokenizer};
use retune_data::read::read as read_file;
use retune_data::roles::{RoleRequest, Roles, detect, labelled_rows};
use retune_data::split::{Given, Split, SplitOptions, by_column, split};
use retune_data::{Column, DataError, Example, Processor, Table};

use super::batches::{TrainRows, steps};
use super::pictures::Looked;
use super::work::{Part, Work};
use super::{Chosen, Plan, Summary, fit, forecast, memory, pictures};
use crate::embedding;
use crate::error::Problem;
use crate::losses::Objective;
use crate::methods;
use crate::model::Reads;
use crate::pretrained::BaseModel;
use crate::recipe::{DataRecipe, Recipe};
use crate::tasks::{self, Task};
use crate::weights::{LoadReport, Named, Place, params};

/// Rows read and what their columns are.
pub(super) struct Read {
    table: Table,
    roles: Roles,
    usable: Vec<usize>,
    /// Labelled rows of the replay file.
    replay: Vec<usize>,
    unlabelled: usize,
    given: Given,
    looked: Looked,
    pub(super) task: Option<&'static dyn Task>,
}

/// Reads every file and finds the roles; problems are collected.
pub(super) fn read(
    recipe: &Recipe,
    named: Option<&'static dyn Task>,
    problems: &mut Vec<Problem>,
) -> Option<Read> {
    if problems
        .iter()
        .any(|p| p.key == "data.delimiter" || p.key == "data.train")
    {
        return None;
    }
    let (mut table, mut given, mut replay) = tables(&recipe.data, problems)?;
    check_slices(recipe, &table, problems);
    let request = request(recipe, named);
    let mut fail = |error: DataError| {
        problems.push(Problem::new(key_of(&error, &request), error.to_string()));
    };
    let roles = detect(&table, &request).map_err(&mut fail).ok()?;
    let Some(kind) = roles.task else {
        problems.push(Problem::new(
            "data.label",
            format!(
                "no label column was found in {}; name it with --label COLUMN",
                table.file()
            ),
        ));
        return None;
    };
    let ranges = (&mut given, &mut replay);
    let looked = pictures::look(&mut table, &roles, recipe.pictures.on_bad, ranges);
    let looked = looked.map_err(|problem| problems.push(problem)).ok()?;
    let mut fail = |error: DataError| problems.push(Problem::new("data.label", error.to_string()));
    let (usable, unlabelled) = labelled_rows(&table, &roles).map_err(&mut fail).ok()?;
    let (replay, usable): (Vec<usize>, Vec<usize>) =
        usable.into_iter().partition(|row| replay.contains(row));
    problems.extend(recipe.loss.misfits(kind));
    problems.extend(pictures::misfit(recipe, &roles));
    Some(Read {
        task: tasks::task_for(kind, reads(&roles)),
        table,
        roles,
        usable,
        replay,
        unlabelled,
        given,
        looked,
    })
}

/// What the recipe says of the columns.
fn request(recipe: &Recipe, named: Option<&'static dyn Task>) -> RoleRequest {
    let data = &recipe.data;
    RoleRequest {
        text: data.text.clone(),
        label: data.label.clone(),
        task: named.map(Task::kind),
        group: data.group_by.clone(),
        time: data.time.clone(),
        ignore: data.ignore.iter().chain(&data.slices).cloned().collect(),
    }
}

/// What a model has to read for these columns.
fn reads(roles: &Roles) -> Reads {
    if roles.pictures {
        Reads::Pictures
    } else {
        Reads::Text
    }
}

impl Read {
    /// What a model has to read.
    pub(super) fn reads(&self) -> Reads {
        reads(&self.roles)
    }
}

/// The recipe key that an error about roles is about.
fn key_of(error: &DataError, request: &RoleRequest) -> &'static str {
    match error {
        DataError::NoColumn { name, .. } if request.text.contains(name) => "data.text",
        DataError::NoColumn { name, .. } if request.group.as_ref() == Some(name) => "data.group_by",
        DataError::NoColumn { name, .. } if request.time.as_ref() == Some(name) => "data.time",
        DataError::Ambiguous { flag, .. } if flag.contains("text") => "data.text",
        DataError::NoColumn { .. } | DataError::Ambiguous { .. } | DataError::Column { .. } => {
            "data.label"
        }
        _ => "data",
    }
}

fn check_slices(recipe: &Recipe, table: &Table, problems: &mut Vec<Problem>) {
    for column in &recipe.data.slices {
        if let Err(error) = table.column(column) {
            problems.push(Problem::new("data.slices", error.to_string()));
        }
    }
}

/// The training file with the validation, test and replay files behind it, and the rows of each.
pub(crate) fn tables(
    data: &DataRecipe,
    problems: &mut Vec<Problem>,
) -> Option<(Table, Given, Range<usize>)> {
    let options = data.read_options();
    let mut open = |key: &str, path: Option<&Path>| {
        path.map(|path| {
            read_file(path, &options).map_err(|e| problems.push(Problem::new(key, e.to_string())))
        })
        .transpose()
    };
    let train = open("data.train", data.train.as_deref());
    let valid = open("data.valid", data.valid.as_deref());
    let test = open("data.test", data.test.as_deref());
    let replay = open("data.replay", data.replay.as_deref());
    let (Ok(Some(train)), Ok(valid), Ok(test), Ok(replay)) = (train, valid, test, replay) else {
        return None;
    };
    let (train, by_name) = match (&valid, &test) {
        (None, None) => by_column(train),
        _ => (train, Given::default()),
    };
    let mut next = train.rows();
    let mut range = |table: &Option<Table>| -> Option<Range<usize>> {
        let start = next;
        next += table.as_ref()?.rows();
        Some(start..next)
    };
    let given = Given {
        valid: range(&valid).or(by_name.valid),
        test: range(&test).or(by_name.test),
    };
    let again = range(&replay).unwrap_or_default();
    let all = [Some(train), valid, test, replay]
        .into_iter()
        .flatten()
        .collect();
    match Table::concat(all) {
        Ok(table) => Some((table, given, again)),
        Err(error) => {
            problems.push(Problem::new("data", error.to_string()));
            None
        }
    }
}

/// Splits, fits the processor on the training rows, and encodes every row.
pub(super) fn encode(mut chosen: Chosen, read: Read) -> Result<Plan, Problem> {
    let data = |error: DataError| Problem::new("data", error.to_string());
    let recipe = &chosen.recipe;
    let (table, roles) = (&read.table, &read.roles);
    let split = divided(recipe, &read).map_err(data)?;
    let known: Vec<usize> = split.train.iter().chain(&read.replay).copied().collect();
    let processor = processor(&chosen, table, roles, &known)?;
    chosen.base.resize(&processor)?;
    let from = (table, &read.looked.decoded);
    let given = (chosen.task, &processor);
    let encode = |rows: &[usize]| embedding::examples(given, from, rows).map_err(data);
    embedding::enough(given, table, [&split.valid, &split.test])?;
    let (train, valid, test) = (
        encode(&split.train)?,
        encode(&split.valid)?,
        encode(&split.test)?,
    );
    let replay = encode(&read.replay)?;
    Objective::new(&recipe.loss, processor.labels(), &train)?;
    let misfit = recipe.decide.misfit(processor.labels());
    misfit.map_or(Ok(()), Err)?;
    let mut notes = [&table.notes[..], &split.record.notes].concat();
    notes.extend(left_out(read.unlabelled));
    notes.extend(again(&recipe.data, replay.len()));
    notes.extend(recipe.decide.note(processor.labels(), &train));
    let encoded = [&train, &valid, &test, &replay].map(Vec::as_slice);
    notes.extend(known_ids(&chosen.base, table, &processor, &encoded)?);
    let encoded = Encoded {
        rows: TrainRows {
            train: &train,
            replay: &replay,
        },
        others: [&valid, &test],
        bytes: memory::data_bytes(table, &encoded),
        text_bytes: text_bytes(table, &roles.text, &train),
    };
    let summary = summarise(&chosen, &processor, encoded, notes)?;
    Ok(Plan {
        recipe: resolved(&chosen, roles, &processor),
        out: chosen.out,
        task: chosen.task,
        base: chosen.base,
        split: split.record,
        table: read.table,
        roles: read.roles,
        survey: read.looked.survey,
        processor,
        train,
        replay,
        valid,
        test,
        cache: chosen.cache,
        summary,
    })
}

fn divided(recipe: &Recipe, read: &Read) -> retune_data::Result<Split> {
    let options = SplitOptions {
        valid_share: recipe.data.valid_share,
        test_share: recipe.data.test_share,
        group: recipe.data.group_by.clone(),
        time: recipe.data.time.clone(),
        seed: recipe.seed,
        max_rows: recipe.data.max_rows,
    };
    split(
        &read.table,
        &read.usable,
        &read.roles,
        &options,
        &read.given,
        &read.looked.alike,
    )
}

fn left_out(unlabelled: usize) -> Option<String> {
    let text = || format!("{unlabelled} rows without a label are left out");
    (unlabelled > 0).then(text)
}

/// What is said of rows that are trained on again.
fn again(data: &DataRecipe, rows: usize) -> Option<String> {
    let file = data.replay.as_deref().filter(|_| rows > 0)?;
    Some(format!(
        "{rows} rows of {} are trained on again: {:.0} % of the rows of each epoch",
        file.display(),
        data.replay_share * 100.0
    ))
}

fn processor(
    chosen: &Chosen,
    table: &Table,
    roles: &Roles,
    known: &[usize],
) -> Result<Processor, Problem> {
    let recipe = &chosen.recipe;
    let label = roles.label.clone().unwrap_or_default();
    let labels = Labels::fit(table, known, &label, chosen.task.kind())
        .map_err(|error| Problem::new("data.label", error.to_string()))?;
    if roles.pictures {
        let preprocess = chosen.base.preprocess(recipe.processor.picture_size);
        return Ok(Processor::Image(ImageProcessor {
            picture: roles.text.clone(),
            label: Some(label),
            labels,
            preprocess: preprocess?,
        }));
    }
    let limit = chosen.base.max_length;
    let max_length = recipe.processor.max_length.unwrap_or(limit);
    if max_length > chosen.base.facts.max_length || max_length < 4 {
        return Err(Problem::new(
            "processor.max_length",
            format!(
                "{max_length} is out of range 4 to {}, which is what the model was built for",
                chosen.base.facts.max_length
            ),
        ));
    }
    let tokenizer = load_tokenizer(&chosen.base.folder)
        .map_err(|error| Problem::new("model", error.to_string()))?;
    Ok(Processor::Text(TextProcessor::new(
        tokenizer,
        roles.text.clone(),
        Some(label),
        labels,
        max_length,
        recipe.processor.long.unwrap_or(Long::Truncate),
    )))
}

/// The recipe with what was detected written in.
fn resolved(chosen: &Chosen, roles: &Roles, processor: &Processor) -> Recipe {
    let mut recipe = chosen.recipe.clone();
    recipe.model = Some(chosen.base.reference.clone());
    recipe.task = Some(chosen.task.name().to_string());
    recipe.out = Some(chosen.out.clone());
    recipe.data.text.clone_from(&roles.text);
    recipe.data.label.clone_from(&roles.label);
    match processor {
        Processor::Text(text) => {
            recipe.processor.max_length = Some(text.max_length);
            recipe.processor.long = Some(text.long);
        }
        Processor::Image(image) => {
            recipe.processor.picture_size = Some(image.preprocess.crop.height);
        }
    }
    recipe.train.lr = Some(recipe.train.lr.unwrap_or_else(|| chosen.lr()));
    recipe.train.epochs = Some(recipe.epochs());
    recipe
}

/// Rows as the summary counts them.
struct Encoded<'a> {
    rows: TrainRows<'a>,
    /// Validation and test rows.
    others: [&'a [Example]; 2],
    /// Of the rows as read and as encoded.
    bytes: f64,
    /// Of the texts of the training rows.
    text_bytes: usize,
}

/// Bytes of the texts of rows.
fn text_bytes(table: &Table, columns: &[String], rows: &[Example]) -> usize {
    let columns = columns.iter().filter_map(|name| table.column(name).ok());
    let of = |column: &Column| {
        let cells = rows.iter().map(|row| {
            column
                .text(row.meta.row as usize)
                .map_or(0, |text| text.len())
        });
        cells.sum::<usize>()
    };
    columns.map(of).sum()
}

fn summarise(
    chosen: &Chosen,
    processor: &Processor,
    encoded: Encoded,
    mut notes: Vec<String>,
) -> Result<Summary, Problem> {
    let recipe = &chosen.recipe;
    let (max_length, picture) = input_size(processor);
    let Encoded { rows, others, .. } = encoded;
    let train = rows.train;
    let (steps, steps_per_epoch) = steps(recipe, rows);
    let cut = processor.truncated(train);
    notes.extend(many_cut(processor, cut));
    let method = recipe.method.method();
    let (parts, loaded) = parts(chosen, processor.labels())?;
    notes.extend(loaded.classes.map(|classes| classes.note()));
    let work = Work {
        recipe,
        facts: chosen.base.facts,
        adapted: chosen.base.family.adapted,
        model: &parts,
        rows,
        others,
        max_length,
        pixels: picture.map_or(0, |[height, width]| height * width),
        steps: (steps, steps_per_epoch),
        data_bytes: encoded.bytes,
        text_bytes: encoded.text_bytes as f64,
        tokenizer_bytes: chosen.base.tokenizer_bytes() as f64,
    };
    let forecast = forecast::forecast(&work);
    if let Some(there) = chosen.memory {
        fit::check(&work, forecast.memory_bytes, there)?;
    }
    let sizes = work.sizes(method);
    Ok(Summary {
        task: chosen.task.name().to_string(),
        model: chosen.base.reference.clone(),
        model_source: chosen.base.source.clone(),
        method: method.name().to_string(),
        choices: choices(chosen),
        rows: [train, others[0], others[1]].map(<[Example]>::len),
        classes: processor.labels().names().to_vec(),
        tokens_per_epoch: train.iter().map(Example::tokens).sum(),
        max_length,
        picture,
        truncated_share: cut,
        steps,
        steps_per_epoch,
        parameters: [sizes.all, sizes.trained],
        forecast,
        notes,
    })
}

/// Most tokens of a text, and rows and columns of a picture.
fn input_size(processor: &Processor) -> (usize, Option<[usize; 2]>) {
    match processor {
        Processor::Text(text) => (text.max_length, None),
        Processor::Image(image) => {
            let size = image.preprocess.crop;
            (1, Some([size.height, size.width]))
        }
    }
}

/// What is said where many texts are cut.
fn many_cut(processor: &Processor, share: f64) -> Option<String> {
    let Processor::Text(text) = processor else {
        return None;
    };
    (share > 0.1 && text.long == Long::Truncate).then(|| {
        format!(
            "{:.0} % of the training texts are longer than {} tokens and are cut; \
             `--long chunk-mean` reads them whole",
            share * 100.0,
            text.max_length
        )
    })
}

/// The parameters of the model apart from low-rank updates, and where they come from.
fn parts(chosen: &Chosen, labels: &Labels) -> Result<(Vec<Part>, LoadReport), Problem> {
    let method = chosen.recipe.method.method();
    let layers = chosen.base.facts.layers;
    let place = Place {
        adapters: method.adapters(chosen.base.family.adapted),
        ..Place::cpu(false, chosen.recipe.products())
    };
    let built = chosen.base.build(labels, &place, chosen.recipe.seed, None);
    let (model, loaded) = built.map_err(|error| Problem::new("model", error.to_string()))?;
    let updated = loaded.new.iter().any(|path| path.contains(".adapter."));
    if let Some(adapters) = &place.adapters
        && !updated
    {
        return Err(
            if chosen.base.adapts(labels, adapters, chosen.recipe.seed) {
                Problem::new(
                    &format!("method.{}.targets", method.name()),
                    "matches no layer of this model; leave it out, or write `all-linear`",
                )
            } else {
                Problem::new(
                    "method",
                    format!(
                        "is {}, and no layer of this model can have a low-rank update: its convolutions read more than one \
                         place at a time; full, last_layers, bitfit and head train it",
                        method.name()
                    ),
                )
            },
        );
    }
    let own = params(&model).into_iter();
    let own = own.filter(|named| !named.path.contains(".adapter."));
    let part = |named: Named| Part {
        place: methods::Place::new(&named.path, layers),
        shape: named.shape,
    };
    let parts = own.map(part);
    let parts = parts.filter(|part| !part.place.is_statistic());
    Ok((parts.collect(), loaded))
}

/// Refuses rows with a token that the model has no vector for; a note where the tokenizer knows such tokens, but no row
/// has one.
fn known_ids(
    base: &BaseModel,
    table: &Table,
    processor: &Processor,
    encoded: &[&[Example]],
) -> Result<Option<String>, Problem> {
    let vectors = base.facts.vocabulary;
    let file = base.folder.join("tokenizer.json");
    if let Some((row, token)) = encoded
        .iter()
        .find_map(|rows| processor.beyond(rows, vectors))
    {
        return Err(Problem::new(
            "model",
            format!(
                "{} gives {token} in {}, but the model has vectors for {vectors} tokens, from 0 (`vocab_size` in config.json): \
                 take the tokenizer.json that belongs to the model",
                file.display(),
                table.place(row as usize)
            ),
        ));
    }
    let unused = processor.tokens_beyond(vectors);
    let note = || {
        format!(
            "{unused} tokens of {} have no vector in the model, which has {vectors}; no row has one of them, but a text \
             that has cannot be answered",
            file.display()
        )
    };
    Ok((unused > 0).then(note))
}

fn choices(chosen: &Chosen) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut say = |what: &str, why: String| found.push((what.to_string(), why));
    if chosen.recipe.model.is_none() {
        say(
            "model",
            format!(
                "{}: a small {} that a CPU fine-tunes in minutes; --model names another",
                chosen.base.reference,
                match chosen.base.family.reads {
                    Reads::Text => "text encoder",
                    Reads::Pictures => "image classifier",
                    Reads::Fields => "model of tables",
                }
            ),
        );
    }
    found
}
