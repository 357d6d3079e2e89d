//! `retune predict`: answers of a saved model to a file, to texts on the command line, or to lines of stdin.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use retune::Predictor;
use retune::data::picture::Tta;
use retune::data::write::check;
use retune::data::{Column, RowOrigin, Table, Values};
use retune::predictor::Prediction;
use retune::tables::bundle::is_table_model;
use retune::tables::scorer::Scorer;

use super::{open, table, with_views};
use crate::args::FileArgs;
use crate::console::{answer, tell};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Folder that `retune train` wrote
    bundle: PathBuf,

    /// Texts to answer, or - for one text per line of stdin; for a model of pairs two texts after each other, or one
    /// line with a tab between
    #[arg(value_name = "TEXT", conflicts_with = "data")]
    texts: Vec<String>,

    /// File to answer row by row; needs the text columns of the training data, no label
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,

    #[command(flatten)]
    file: FileArgs,

    /// Average the scores over views of each picture: none, flip or crops=N [default: as the model was trained]
    #[arg(long, value_name = "VIEWS", value_parser = str::parse::<Tta>)]
    tta: Option<Tta>,

    /// Write the rows with the answers to a .csv, .jsonl or .parquet file in place of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Print one JSON object per row
    #[arg(long)]
    json: bool,
}

/// Prints or writes one answer per row.
pub fn run(args: &PredictArgs) -> Result<ExitCode, Failure> {
    if let Some(path) = &args.out {
        check(path)?;
    }
    if args.texts.is_empty() && args.data.is_none() {
        return Err(Failure::user(
            "nothing to answer; give a text in quotes, - for the lines of stdin, or --data FILE",
        ));
    }
    if is_table_model(&args.bundle) {
        return rows_of_table(args);
    }
    let predictor = with_views(open(&args.bundle)?, args.tta)?.predictor();
    let rows = match &args.data {
        Some(path) => table(path, &args.file)?,
        None => typed(&args.texts, predictor.text_columns())?,
    };
    let predictions = predictor.predict(&rows)?;
    match &args.out {
        Some(path) => {
            predictor.write(&rows, &predictions, path)?;
            tell(&format!(
                "wrote {} rows to {}",
                predictions.len(),
                path.display()
            ));
        }
        None => show(&predictor, &rows, &predictions, args.json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One answer per row of a table of numbers and words.
fn rows_of_table(args: &PredictArgs) -> Result<ExitCode, Failure> {
    let Some(path) = &args.data else {
        return Err(Failure::user(
            "this model reads rows of a table; give a file with the columns of the training data: --data FILE",
        ));
    };
    let scorer = Scorer::open(&args.bundle)?;
    let rows = table(path, &args.file)?;
    let answers = scorer.answers(&rows)?;
    match &args.out {
        Some(out) => {
            scorer.write(&rows, &answers, out)?;
            tell(&format!(
                "wrote {} rows to {}",
                answers.len(),
                out.display()
            ));
        }
        None => {
            for found in &answers {
                if args.json {
                    let line = serde_json::to_string(found).map_err(|e| {
                        Failure::user(format!("cannot write an answer as JSON: {e}"))
                    })?;
                    answer(&line);
                } else {
                    let sure = found
                        .confidence
                        .map_or_else(String::new, |c| format!("\t{c:.4}"));
                    answer(&format!("{}{sure}", found.phrase()));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A table of texts from the command line or stdin, with the columns the model reads.
fn typed(texts: &[String], columns: &[String]) -> Result<Table, Failure> {
    let texts = match texts {
        [dash] if dash == "-" => lines()?,
        texts => paired(texts, columns.len()),
    };
    let mut values: Vec<Vec<Option<String>>> = vec![Vec::new(); columns.len()];
    for (row, text) in texts.iter().enumerate() {
        // Only a model of pairs cuts at tabs: in a single text a tab is white space.
        let parts: Vec<&str> = if columns.len() > 1 {
            text.split('\t').collect()
        } else {
            vec![text]
        };
        if parts.len() != columns.len() {
            return Err(Failure::user(format!(
                "text {}: this model reads {} texts per row ({}); give them one after the other, or put a tab between",
                row + 1,
                columns.len(),
                columns.join(", ")
            )));
        }
        for (column, part) in values.iter_mut().zip(parts) {
            column.push(Some(part.to_owned()));
        }
    }
    let origin = (1..=texts.len() as u64)
        .map(|line| RowOrigin { file: 0, line })
        .collect();
    let columns = columns.iter().zip(values).map(|(name, values)| Column {
        name: name.clone(),
        values: Values::Text(values),
    });
    Ok(Table {
        columns: columns.collect(),
        origin,
        files: vec![PathBuf::from("-")],
        notes: Vec::new(),
    })
}

/// The texts of a pair, given as arguments of their own, in one line; texts that already hold a tab stay as they are.
fn paired(texts: &[String], columns: usize) -> Vec<String> {
    let whole = columns > 1 && texts.len().is_multiple_of(columns);
    if !whole || texts.iter().any(|text| text.contains('\t')) {
        return texts.to_vec();
    }
    texts.chunks(columns).map(|pair| pair.join("\t")).collect()
}

fn lines() -> Result<Vec<String>, Failure> {
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::user(format!("cannot read stdin: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let read = String::from_utf8_lossy(&e.as_bytes()[..e.utf8_error().valid_up_to()]);
        let line = read.matches('\n').count() + 1;
        Failure::user(format!(
            "stdin, line {line}: not UTF-8; convert it, or use --data FILE --encoding NAME"
        ))
    })?;
    let texts: Vec<String> = text.lines().map(str::to_owned).collect();
    if texts.is_empty() {
        return Err(Failure::user("stdin is empty; write one text per line"));
    }
    Ok(texts)
}

fn show(
    predictor: &Predictor,
    rows: &Table,
    predictions: &[Prediction],
    json: bool,
) -> Result<(), Failure> {
    for (row, prediction) in predictions.iter().enumerate() {
        if json {
            let line = serde_json::to_string(prediction).map_err(|e| {
                Failure::user(format!(
                    "row {}: cannot write the answer as JSON: {e}",
                    row + 1
                ))
            })?;
            answer(&line);
            continue;
        }
        let mut texts = Vec::new();
        for column in predictor.text_columns() {
            let text = rows.column(column)?.text(row).unwrap_or_default();
            texts.push(text.replace(['\t', '\n', '\r'], " "));
        }
        let confidence = prediction
            .confidence
            .map_or_else(String::new, |c| format!("{c:.4}"));
        answer(&format!(
            "{}\t{confidence}\t{}",
            prediction.phrase(),
            texts.join("\t")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_pair_is_cut_at_the_tab_and_a_single_text_is_not() {
        let text = ["a\tb".to_owned()];
        let single = typed(&text, &["text".to_owned()]).unwrap();
        assert_eq!(single.column("text").unwrap().text(0).unwrap(), "a\tb");
        let pair = typed(&text, &["one".to_owned(), "two".to_owned()]).unwrap();
        assert_eq!(pair.column("two").unwrap().text(0).unwrap(), "b");
        let missing = typed(&["a".to_owned()], &["one".to_owned(), "two".to_owned()]);
        assert!(format!("{:?}", missing.unwrap_err()).contains("put a tab between"));
        let columns = ["one".to_owned(), "two".to_owned()];
        let pairs = typed(&["a", "b", "c", "d"].map(str::to_owned), &columns).unwrap();
        assert_eq!(pairs.rows(), 2);
        assert_eq!(pairs.column("one").unwrap().text(1).unwrap(), "c");
    }
}
