//! Pictures of a plan, looked at once before rows are divided.

use std::ops::Range;

use retune_data::Table;
use retune_data::roles::Roles;
use retune_data::split::Given;
use retune_data::survey::{Decoded, OnBad, Survey, moved, survey_to_keep};

use crate::error::Problem;
use crate::recipe::{PicturesRecipe, Recipe};

/// What a recipe asks for that its data have no use for.
pub(super) fn misfit(recipe: &Recipe, roles: &Roles) -> Option<Problem> {
    let processor = &recipe.processor;
    let texts_only = [
        ("processor.max_length", processor.max_length.is_some()),
        ("processor.long", processor.long.is_some()),
    ];
    let pictures_only = [
        ("processor.picture_size", processor.picture_size.is_some()),
        (
            "pictures.augment",
            recipe.pictures != PicturesRecipe::default(),
        ),
    ];
    let (wrong, what, data) = if roles.pictures {
        (texts_only, "texts", "pictures")
    } else {
        (pictures_only, "pictures", "texts")
    };
    let (key, _) = wrong.into_iter().find(|(_, asked)| *asked)?;
    let text = format!("this and its like are for {what}, and the data are {data}; leave them out");
    Some(Problem::new(key, text))
}

/// Bytes of decoded pictures that are kept until their rows are encoded.
const KEPT: usize = 1 << 29;

/// What was seen of the pictures of a table; nothing of texts.
#[derive(Default)]
pub(super) struct Looked {
    /// Groups of rows whose pictures look the same.
    pub alike: Vec<Vec<usize>>,
    /// What is remembered of each row.
    pub survey: Option<Survey>,
    /// Those that need not be decoded again.
    pub decoded: Decoded,
}

/// Decodes every picture: rows of those that cannot be read leave the table, or are a problem.
pub(super) fn look(
    table: &mut Table,
    roles: &Roles,
    on_bad: OnBad,
    (given, replay): (&mut Given, &mut Range<usize>),
) -> Result<Looked, Problem> {
    let [column] = &roles.text[..] else {
        return Ok(Looked::default());
    };
    if !roles.pictures {
        return Ok(Looked::default());
    }
    let problem = |error: retune_data::DataError| Problem::new("data", error.to_string());
    let (mut found, decoded) = survey_to_keep(table, column, KEPT).map_err(problem)?;
    let kept = found.settle(table, on_bad).map_err(problem)?;
    for rows in [&mut given.valid, &mut given.test].into_iter().flatten() {
        *rows = moved(rows, &kept);
    }
    *replay = moved(replay, &kept);
    Ok(Looked {
        alike: found.groups(),
        decoded: decoded.select(&kept),
        survey: Some(found),
    })
}
