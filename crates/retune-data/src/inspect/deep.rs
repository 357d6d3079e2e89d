//! What takes a closer look: near-copies across the sides of a split, and tokens or columns that give the label away.
//!
//! Each of these makes test figures better than the model will be on new rows.

mod leaks;
mod near;
mod pictures;
mod show;

use serde::Serialize;

use crate::error::Result;
use crate::roles::Roles;
use crate::table::Table;

pub use leaks::{ColumnLeak, TokenLeak, column_leaks, token_leaks};
pub use near::{NearCopy, near_duplicates};
pub use pictures::near_pictures;

/// What [`deep`] found.
#[derive(Debug, Clone, Serialize)]
pub struct Deep {
    /// Rows that nearly repeat a row of an earlier side, the most similar first.
    pub near_duplicates: Vec<NearCopy>,
    /// Tokens that tell the label by themselves, the most telling first.
    pub tokens: Vec<TokenLeak>,
    /// Columns that tell the label by themselves, the most telling first.
    pub columns: Vec<ColumnLeak>,
}

/// Looks through the rows of the sides of a split: name and rows of each, training first. Of pictures only the other
/// columns are looked at; [`near_pictures`] finds their near-copies.
///
/// # Errors
/// A text column of the roles that is not in the table.
pub fn deep(t: &Table, roles: &Roles, sides: &[(&str, &[usize])]) -> Result<Deep> {
    let rows: Vec<usize> = sides.iter().flat_map(|side| side.1).copied().collect();
    let (near_duplicates, tokens) = if roles.pictures {
        (Vec::new(), Vec::new())
    } else {
        let near = near_duplicates(t, &roles.text, sides)?;
        (near, token_leaks(t, roles, &rows))
    };
    Ok(Deep {
        near_duplicates,
        tokens,
        columns: column_leaks(t, roles, &rows),
    })
}
