//! `retune bench`: how fast this machine trains.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use retune::bench::{self, BenchOptions, Figures, Rate, WORKLOADS};
use retune::ops::Precision;
use serde_json::json;

use crate::args::word;
use crate::console::{answer, answer_json};
use crate::failure::Failure;

/// The workload that trains nothing.
const GEMM: &str = "gemm";

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure: bert-minilm, bert-minilm-ragged, bert-base, lora, frozen, efficientnet-lite0, vit-small, or gemm (matrix
    /// products alone)
    #[arg(value_name = "WORKLOAD", default_value = "bert-minilm")]
    workload: String,

    /// Steps to measure
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,

    /// Steps before them
    #[arg(long, value_name = "N", default_value_t = 3)]
    warmup: u64,

    /// CPU threads [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Format of products: f32, or bf16 with f32 weights [default: bf16 where the CPU multiplies it]
    #[arg(long, value_name = "NAME", value_parser = word::<Precision>)]
    precision: Option<Precision>,

    /// Sequences to train on in place of made-up ones: a text file of token ids, one sequence per line
    #[arg(long, value_name = "FILE")]
    sequences: Option<PathBuf>,

    /// Compute with the tensor library's own operations, for comparison
    #[arg(long)]
    plain: bool,

    /// Print only JSON
    #[arg(long)]
    json: bool,
}

/// Measures and prints a table.
pub fn run(args: &BenchArgs) -> Result<ExitCode, Failure> {
    let precision = args.precision.unwrap_or_else(Precision::best);
    if args.workload == GEMM {
        return show_rates(args, precision);
    }
    let Some(workload) = bench::workload(&args.workload) else {
        let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
        return Err(Failure::user(format!(
            "workload `{}` is not known; type one of {}, {GEMM}",
            args.workload,
            names.join(", ")
        )));
    };
    let options = BenchOptions {
        steps: args.steps,
        warmup: args.warmup,
        threads: args.threads.map(usize::from),
        precision,
        sequences: args.sequences.as_deref().map(sequences).transpose()?,
        plain: args.plain,
    };
    let figures = bench::run(workload, &options)?;
    if args.json {
        answer_json(&figures)?;
    } else {
        show(workload.about, &figures);
    }
    Ok(ExitCode::SUCCESS)
}

/// Token ids, one sequence per line.
fn sequences(path: &Path) -> Result<Vec<Vec<u32>>, Failure> {
    let file = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::user(format!("cannot read {file}: {e}")))?;
    let ids = |(i, line): (usize, &str)| {
        let id = |word: &str| {
            word.parse().map_err(|_| {
                let line = i + 1;
                Failure::user(format!("{file}, line {line}: `{word}` is not a token id; write whole numbers with blanks between them"))
            })
        };
        line.split_whitespace().map(id).collect()
    };
    text.lines().enumerate().map(ids).collect()
}

fn show_rates(args: &BenchArgs, precision: Precision) -> Result<ExitCode, Failure> {
    let threads = args.threads.map(usize::from);
    let rates = bench::rates(precision, threads)?;
    if args.json {
        answer_json(&json!({
            "workload": GEMM,
            "precision": precision.name(),
            "isa": bench::isa(),
            "rates": rates,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    answer(&format!(
        "matrix products in {}, {}: 10^9 operations per second",
        precision.name(),
        bench::isa()
    ));
    answer(&format!(
        "{:>20} {:>9} {:>18}",
        "rows x depth x cols", "forward", "weight gradient"
    ));
    for Rate {
        m,
        n,
        k,
        forward,
        gradient,
    } in rates
    {
        answer(&format!(
            "{:>20} {forward:>9.0} {gradient:>18.0}",
            format!("{m} x {k} x {n}")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(about: &str, figures: &Figures) {
    let f = figures;
    answer(&format!("{}: {about}", f.workload));
    let row = |name: &str, value: String| answer(&format!("  {name:<24}{value}"));
    row(
        "computed with",
        format!(
            "{} {}, {} threads{}",
            f.isa,
            f.precision,
            f.threads,
            if f.plain { ", plain operations" } else { "" }
        ),
    );
    row(
        "step",
        format!(
            "{:.1} ms median, {:.1} ms least, of {}",
            f.ms_per_step_median, f.ms_per_step_min, f.steps
        ),
    );
    row(
        "tokens",
        format!(
            "{:.0} per second, {:.0} per step",
            f.tokens_per_s, f.tokens_per_step
        ),
    );
    row(
        "products",
        format!(
            "{:.0} GFLOP/s, {:.0} % of the {:.0} that the best one reaches",
            f.gflops,
            100.0 * f.share_of_peak,
            f.gemm_peak_gflops
        ),
    );
    if let Some(bytes) = f.peak_rss_bytes {
        row("peak memory", format!("{:.2} GB", bytes as f64 / 1e9));
    }
    if let Some(faults) = f.page_faults_per_step {
        row("page faults", format!("{faults:.0} per step"));
    }
    row(
        "waiting for batches",
        format!("{:.2} % of the time", 100.0 * f.wait_share),
    );
    row("weights", format!("SHA-256 {}", &f.weights_sha256[..16]));
    answer("  where the time goes:");
    for op in &f.ops {
        answer(&format!(
            "    {:<22}{:>8.2} ms {:>5.1} %",
            op.op,
            op.ms_per_step,
            100.0 * op.share
        ));
    }
}
