//! Pictures in the report of a run: its rows made small, where the model looks, and what it sees in training.

use retune_data::batch::Views;
use retune_data::picture::augment::key;
use retune_data::picture::{DRAWS, Encoded, Pixels, changes, contact_sheet};
use retune_data::processor::ImageProcessor;
use retune_data::{Example, Processor};
use retune_eval::predictions::top;
use retune_eval::records::{
    ContactSheet, Gallery, HeatMaps, InlinePicture, PictureFormat, Pictures,
};
use retune_eval::{Predictions, Targets, metrics};

use crate::error::Result;
use crate::grad_cam::{HeatMap, heat_maps, likeness};
use crate::model::{Inputs, Model};
use crate::outcome::{shown, words};
use crate::plan::Plan;
use crate::scoring::PICTURES;
use crate::weights::Place;

/// Pixels on the longer side of a small picture.
const SIDE: usize = 96;
/// Classes of which right answers are shown.
const CLASSES: usize = 20;
/// Right answers of a class.
const EACH: usize = 8;
/// Heat maps, and how many of them are of mistakes.
const MAPS: usize = 32;
const MAPS_OF_MISTAKES: usize = 16;
/// Training pictures on the contact sheet.
const SHEET: usize = 8;

/// The picture of a row, made small; `None` of a text, and where it cannot be read any more.
pub(crate) fn thumbnail(processor: &Processor, example: &Example) -> Option<InlinePicture> {
    let Processor::Image(processor) = processor else {
        return None;
    };
    inline(&processor.pixels(example.picture()?).ok()?.small(SIDE))
}

fn inline(pixels: &Pixels) -> Option<InlinePicture> {
    let (format, file) = match pixels.encoded()? {
        Encoded::Png(file) => (PictureFormat::Png, file),
        Encoded::Jpeg(file) => (PictureFormat::Jpeg, file),
    };
    let size = (pixels.width(), pixels.height());
    Some(InlinePicture::new(format, size, &file))
}

/// What the report shows of a model that has answered the test rows; `None` where it reads texts.
///
/// # Errors
/// A picture that cannot be read any more.
pub(crate) fn of(
    plan: &Plan,
    model: &Model,
    predictions: &Predictions,
) -> Result<Option<Pictures>> {
    let Processor::Image(processor) = &plan.processor else {
        return Ok(None);
    };
    let right = metrics::right(predictions, EACH);
    let names = processor.labels.names().iter();
    let gallery = |(class, rows): (&String, &Vec<usize>)| Gallery {
        class: class.clone(),
        rows: rows.iter().map(|i| shown(plan, *i, predictions)).collect(),
    };
    Ok(Some(Pictures {
        right: names.zip(&right).take(CLASSES).map(gallery).collect(),
        maps: maps((plan, processor), model, predictions, &right)?,
        training: training(plan, processor),
    }))
}

/// Test rows to look at closely: the most confident mistakes, then right answers of one class after the other.
fn looked_at(predictions: &Predictions, right: &[Vec<usize>]) -> Vec<usize> {
    let mut rows = metrics::mistakes(predictions, MAPS_OF_MISTAKES);
    for turn in 0..EACH {
        rows.extend(right.iter().filter_map(|class| class.get(turn)));
    }
    rows.truncate(MAPS);
    rows
}

fn maps(
    (plan, processor): (&Plan, &ImageProcessor),
    model: &Model,
    predictions: &Predictions,
    right: &[Vec<usize>],
) -> Result<Option<HeatMaps>> {
    let output: &dyn Fn(usize) -> usize = match predictions.targets {
        Targets::Class(_) => &|row| predictions.class(row),
        Targets::Labels(_) => &|row| top(predictions.scores.row(row)),
        // What raises a number is no reason for it, and a vector has no output.
        Targets::Value(_) | Targets::Vectors(_) => return Ok(None),
    };
    let rows = looked_at(predictions, right);
    let asked: Vec<(&Example, usize)> = rows
        .iter()
        .map(|row| (&plan.test[*row], output(*row)))
        .collect();
    let Some(found) = mapped(plan, model, &asked)? else {
        return Ok(None);
    };
    let random = || mapped(plan, &randomised(plan, model)?, &asked).ok()?;
    let item = |(row, map): (&usize, &HeatMap)| {
        let picture = processor
            .pixels(plan.test[*row].picture()?)
            .ok()?
            .small(SIDE);
        let under = picture.under(&map.values, map.grid);
        Some((shown(plan, *row, predictions), inline(&under)?))
    };
    Ok(found.first().map(|first| HeatMaps {
        grid: first.grid,
        correlation: random().and_then(|random| likeness(&found, &random)),
        rows: rows.iter().zip(&found).filter_map(item).collect(),
    }))
}

/// The model with random numbers in place of its backbone's weights; `None` where none can be built.
fn randomised(plan: &Plan, model: &Model) -> Option<Model> {
    let place = Place::cpu(false, plan.recipe.products());
    let labels = plan.processor.labels();
    let fresh = plan
        .base
        .build_fresh(labels, &place, plan.recipe.seed, None);
    let (fresh, _) = fresh.ok()?;
    Some(Model {
        backbone: fresh.backbone,
        head: model.head.clone(),
    })
}

/// Heat maps of pictures, each of one output, a batch at a time; `None` where the model has none.
fn mapped(plan: &Plan, model: &Model, asked: &[(&Example, usize)]) -> Result<Option<Vec<HeatMap>>> {
    let mut found = Vec::with_capacity(asked.len());
    for some in asked.chunks(PICTURES) {
        let (examples, outputs): (Vec<&Example>, Vec<usize>) = some.iter().copied().unzip();
        let inputs = Inputs::new(&plan.processor.collate(&examples, Views::Plain)?);
        let Some(maps) = heat_maps(model, &inputs, &outputs) else {
            return Ok(None);
        };
        found.extend(maps);
    }
    Ok(Some(found))
}

/// Some training pictures as training sees them; `None` where none of them can be read any more.
fn training(plan: &Plan, processor: &ImageProcessor) -> Option<ContactSheet> {
    let knobs = plan.recipe.pictures.knobs();
    let step = (plan.train.len() / SHEET).max(1);
    let rows = plan.train.iter().step_by(step).take(SHEET);
    let read = rows.filter_map(|example| {
        let row = example.meta.row as usize;
        Some((row, processor.whole(example.picture()?).ok()?))
    });
    let (rows, pictures): (Vec<usize>, Vec<Pixels>) = read.unzip();
    let of = |picture: usize, draw: u64| key(plan.recipe.seed, draw, rows[picture] as u64);
    let sheet = contact_sheet((&knobs, &processor.preprocess), &pictures, &of, SIDE)?;
    Some(ContactSheet {
        sheet: inline(&sheet)?,
        draws: DRAWS,
        changes: changes(&knobs),
        rows: rows.iter().map(|row| words(plan, *row)).collect(),
    })
}
