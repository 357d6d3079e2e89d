//! Payments to a CSV or Parquet file, while they are drawn.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

use super::{Summary, Transaction, World, simulate};
use crate::error::{DataError, Result};
use crate::split::moment::iso_text;
use crate::write::{refused, staged};

/// Rows of a Parquet file that are written at once.
const ROWS: usize = 65_536;

/// Writes all payments of a world to `path`, in order of time, and returns their counts. The columns are
/// `transaction_id`, `event_time` (such as `2018-04-01T09:30:12`), `customer_id`, `terminal_id`, `amount` (two decimals),
/// `is_fraud` (0 or 1), `pattern` (0 to 4) and `label_time`. `pattern` and `label_time` are known only after the fact: they
/// are for looking at results, not for models. The file appears under its name when it is complete.
///
/// # Errors
/// A world that cannot be; an extension other than `.csv` or `.parquet`; a file that cannot be written.
pub fn write_transactions(path: &Path, world: &World) -> Result<Summary> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let encode = match extension.as_ref() {
        "csv" => csv_file,
        "parquet" => parquet_file,
        other => {
            let problem = format!("cannot write `.{other}` files here; use .csv or .parquet");
            return Err(DataError::file(path, problem));
        }
    };
    world.check()?;
    staged(path, |file| encode(path, file, world))
}

/// All payments of a world as the text of a CSV file, as [`write_transactions`] writes it.
///
/// # Errors
/// A world that cannot be.
pub fn transactions_csv(world: &World) -> Result<Vec<u8>> {
    world.check()?;
    let mut text = Vec::new();
    csv_rows(&mut text, Path::new("payments.csv"), world)?;
    Ok(text)
}

fn csv_file(path: &Path, file: File, world: &World) -> Result<(File, Summary)> {
    let mut writer = BufWriter::with_capacity(1 << 18, file);
    let summary = csv_rows(&mut writer, path, world)?;
    let file = writer.into_inner();
    let file = file.map_err(|e| refused(path, &e.into_error()))?;
    Ok((file, summary))
}

fn csv_rows(writer: &mut impl std::io::Write, path: &Path, world: &World) -> Result<Summary> {
    let fail = |error: std::io::Error| refused(path, &error);
    let header =
        "transaction_id,event_time,customer_id,terminal_id,amount,is_fraud,pattern,label_time";
    writeln!(writer, "{header}").map_err(fail)?;
    simulate(world, &mut |t: Transaction| {
        writeln!(
            writer,
            "{},{},{},{},{}.{:02},{},{},{}",
            t.id,
            iso_text(t.time),
            t.customer,
            t.terminal,
            t.cents / 100,
            t.cents % 100,
            u8::from(t.fraud),
            t.pattern,
            iso_text(t.label_time)
        )
        .map_err(fail)
    })
}

fn parquet_file(path: &Path, file: File, world: &World) -> Result<(File, Summary)> {
    let fail =
        |error: &dyn std::fmt::Display| refused(path, &std::io::Error::other(error.to_string()));
    let mut rows: Vec<Transaction> = Vec::with_capacity(ROWS);
    let schema = batch(&rows).map_err(|e| fail(&e))?.schema();
    let mut writer = ArrowWriter::try_new(file, schema, None).map_err(|e| fail(&e))?;
    let summary = simulate(world, &mut |t: Transaction| {
        rows.push(t);
        if rows.len() < ROWS {
            return Ok(());
        }
        let full = batch(&rows).map_err(|e| fail(&e))?;
        rows.clear();
        writer.write(&full).map_err(|e| fail(&e))
    })?;
    let last = batch(&rows).map_err(|e| fail(&e))?;
    writer.write(&last).map_err(|e| fail(&e))?;
    Ok((writer.into_inner().map_err(|e| fail(&e))?, summary))
}

fn batch(rows: &[Transaction]) -> std::result::Result<RecordBatch, arrow_schema::ArrowError> {
    let whole =
        |of: fn(&Transaction) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(of)));
    let moments = |of: fn(&Transaction) -> i64| {
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|t| iso_text(of(t))),
        ))
    };
    let amounts = rows.iter().map(|t| t.cents as f64 / 100.0);
    RecordBatch::try_from_iter([
        ("transaction_id", whole(|t| t.id as i64) as _),
        ("event_time", moments(|t| t.time) as _),
        ("customer_id", whole(|t| i64::from(t.customer)) as _),
        ("terminal_id", whole(|t| i64::from(t.terminal)) as _),
        (
            "amount",
            Arc::new(Float64Array::from_iter_values(amounts)) as _,
        ),
        ("is_fraud", whole(|t| i64::from(t.fraud)) as _),
        ("pattern", whole(|t| i64::from(t.pattern)) as _),
        ("label_time", moments(|t| t.label_time) as _),
    ])
}
