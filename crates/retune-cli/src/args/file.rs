//! How a data file is read.

use clap::Args;
use retune::data::read::ReadOptions;

use crate::failure::Failure;

/// How to read a file whose form is not guessed right.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// Character between the columns of a text file; found by itself when left out (\t for a tab)
    #[arg(long, value_name = "CHAR")]
    pub delimiter: Option<String>,

    /// Encoding of a text file, as in windows-1252; UTF-8 when left out
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<String>,
}

impl FileArgs {
    /// The options of the reader.
    pub fn options(&self) -> Result<ReadOptions, Failure> {
        let delimiter = match self.delimiter.as_deref() {
            None => None,
            Some("\\t") => Some(b'\t'),
            Some(text) => match text.as_bytes() {
                [byte] => Some(*byte),
                _ => {
                    return Err(Failure::user(format!(
                        "--delimiter `{text}` is not one character; type `,` `;` `|` or `\\t`"
                    )));
                }
            },
        };
        Ok(ReadOptions {
            delimiter,
            encoding: self.encoding.clone(),
        })
    }
}
