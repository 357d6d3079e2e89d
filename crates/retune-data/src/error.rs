//! What can be wrong with a user's files, each with its place and its cure.
//!
//! Messages are lowercase fragments that fit after `error: `; variants differ by how exact the place is:
//! a whole file, a row, a cell, a column, or the tables as a whole.

/// Result of this crate.
pub type Result<T> = std::result::Result<T, DataError>;

/// A problem with data that the user can mend.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system refused to open or read a file.
    #[error("cannot read {file}: {source}; {cure}")]
    Io {
        /// The file or folder.
        file: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
        /// What to check or type next.
        cure: String,
    },
    /// A file as a whole is not what was expected.
    #[error("cannot read {file}: {problem}; {cure}")]
    File {
        /// The file or folder.
        file: String,
        /// What was expected and what was found.
        problem: String,
        /// What to do or type next.
        cure: String,
    },
    /// A file cannot be written.
    #[error("{file}: {problem}")]
    Write {
        /// The file.
        file: String,
        /// What failed and what to do.
        problem: String,
    },
    /// One row of a file is malformed.
    #[error("{place}: {problem}; {cure}")]
    Row {
        /// File and line.
        place: String,
        /// What was expected and what was found.
        problem: String,
        /// What to do or type next.
        cure: String,
    },
    /// One value is not what its column needs.
    #[error("cannot read column `{column}` in {place}: {problem}; {cure}")]
    Cell {
        /// The column.
        column: String,
        /// File and line.
        place: String,
        /// What was expected and what was found.
        problem: String,
        /// What to do or type next.
        cure: String,
    },
    /// A column that was asked for is not there.
    #[error("no column `{name}` in {file}{suggestion}; its columns are {columns}")]
    NoColumn {
        /// The name that was asked for.
        name: String,
        /// Where it was looked for.
        file: String,
        /// The nearest name there is: `` (did you mean `x`?)`` with a leading space, or nothing.
        suggestion: String,
        /// The names there are.
        columns: String,
    },
    /// A column as a whole cannot play its role.
    #[error("column `{column}` of {file}: {problem}; {cure}")]
    Column {
        /// The column.
        column: String,
        /// The file.
        file: String,
        /// What was expected and what was found.
        problem: String,
        /// What to do or type next.
        cure: String,
    },
    /// Several columns could play a role, or none.
    #[error("cannot tell which column of {file} is the {role}: {candidates}; name it with {flag}")]
    Ambiguous {
        /// The file.
        file: String,
        /// `text` or `label`.
        role: String,
        /// The columns that could be meant, with what they hold.
        candidates: String,
        /// What to type.
        flag: String,
    },
    /// The rows cannot be divided as asked.
    #[error("cannot split the data: {problem}; {cure}")]
    Split {
        /// What is in the way.
        problem: String,
        /// What to do or type next.
        cure: String,
    },
    /// A made-up world of payments cannot be.
    #[error("cannot simulate: {problem}; {cure}")]
    Simulate {
        /// What was got and what was expected.
        problem: String,
        /// What to do or type next.
        cure: String,
    },
    /// Features over a stream of events cannot be computed as asked, or a saved state cannot be read.
    #[error("features of events: {problem}; {cure}")]
    Windows {
        /// What was got and what was expected.
        problem: String,
        /// What to do or type next.
        cure: String,
    },
    /// A tokenizer is missing, broken, or does not fit the request.
    #[error("tokenizer: {problem}; {cure}")]
    Tokenizer {
        /// What is wrong.
        problem: String,
        /// What to do or type next.
        cure: String,
    },
}

impl DataError {
    /// A file that cannot be written as asked; `problem` says why and what to do.
    pub fn file(path: &std::path::Path, problem: String) -> Self {
        Self::Write {
            file: path.display().to_string(),
            problem,
        }
    }
}
