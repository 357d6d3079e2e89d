//! `retune curve`: how many labels it takes.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use retune::curve::{CURVE, Curve, CurveOptions, curve};
use retune::eval::report::render_curve;
use retune::{recommend, tables};

use super::plan;
use crate::args::RunArgs;
use crate::console::{Console, answer, answer_json};
use crate::failure::Failure;
use crate::interrupt;

#[derive(Debug, Args)]
pub struct CurveArgs {
    #[command(flatten)]
    run: RunArgs,

    /// Shares of the training rows in percent
    #[arg(
        long,
        value_name = "P,..",
        value_delimiter = ',',
        default_value = "1,2,5,10,20,50,100"
    )]
    shares: Vec<f64>,

    /// How many times every share is drawn and trained on
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,

    /// Labels beyond the present ones that the forecast is for [default: as many again]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    more: usize,

    /// Print only JSON
    #[arg(long)]
    json: bool,
}

/// Measures the curve, writes its page, prints its figures.
pub fn run(args: &CurveArgs) -> Result<ExitCode, Failure> {
    check(args)?;
    let mut console = Console::new();
    let mut recipe = args.run.recipe()?;
    let out = recipe
        .out
        .take()
        .unwrap_or_else(|| PathBuf::from("runs/curve"));
    let options = CurveOptions {
        shares: args.shares.iter().map(|percent| percent / 100.0).collect(),
        seeds: (0..args.seeds)
            .map(|i| recipe.seed.wrapping_add(i))
            .collect(),
        more: args.more,
    };
    let found = if recommend::asked(&recipe) {
        let plan = plan::recommender(&recipe, None, &mut console)?;
        interrupt::listen()?;
        recommend::curve::curve(&plan, &options, &out, &mut interrupt::watched(&mut console))
    } else if tables::asked(&recipe) {
        let plan = plan::of_table(&recipe, None, &mut console)?;
        interrupt::listen()?;
        tables::curve::curve(&plan, &options, &out, &mut interrupt::watched(&mut console))
    } else {
        let plan = plan::resolve(&recipe, None, &mut console)?;
        interrupt::listen()?;
        curve(&plan, &options, &out, &mut interrupt::watched(&mut console))
    };
    console.end();
    let found = found?;
    let page = out.join("curve.html");
    let json = serde_json::to_string_pretty(&found).unwrap_or_default();
    for (path, text) in [
        (&page, render_curve(&found.curve)),
        (&out.join(CURVE), json),
    ] {
        fs::write(path, text).map_err(|e| {
            Failure::user(format!(
                "cannot write {}: {e}; free some space",
                path.display()
            ))
        })?;
    }
    if args.json {
        answer_json(&found)?;
    } else {
        answer(&table(&found));
        answer(&format!("\nreport   {}", page.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether shares and seeds are in range.
fn check(args: &CurveArgs) -> Result<(), Failure> {
    let wrong = |share: &&f64| !(**share > 0.0 && **share <= 100.0);
    if let Some(share) = args.shares.iter().find(wrong) {
        return Err(Failure::user(format!(
            "--shares: {share} is out of range 0 to 100; try 1,2,5,10,20,50,100"
        )));
    }
    if args.seeds == 0 {
        return Err(Failure::user(
            "--seeds must be at least 1; 3 give an interval",
        ));
    }
    Ok(())
}

/// Scores by share and model, gaps, and the forecasts.
fn table(found: &Curve) -> String {
    let curve = &found.curve;
    let models = curve.models();
    let mut text = format!("{:>6} {:>8}", "labels", "share");
    for model in &models {
        let _ = write!(text, "  {model:>9}");
    }
    let _ = writeln!(text, "  tuned over scratch, 95 % interval");
    for band in curve.bands("tuned") {
        let _ = write!(text, "{:>6} {:>6} %", band.rows, band.share * 100.0);
        for model in &models {
            let bands = curve.bands(model);
            let score = bands
                .iter()
                .find(|b| b.rows == band.rows)
                .map(|b| b.score.value);
            let _ = write!(
                text,
                "  {:>9}",
                score.map_or("-".to_owned(), |s| format!("{s:.4}"))
            );
        }
        if let Some(gap) = curve.gaps.iter().find(|gap| gap.rows == band.rows) {
            let s = gap.score;
            let _ = write!(text, "  {:+.4} [{:+.4}, {:+.4}]", s.value, s.low, s.high);
        }
        text.push('\n');
    }
    if let Some(f) = curve.forecast {
        let _ = writeln!(
            text,
            "\nwith {} labels, {} of about {:.3} is to be expected, 95 % interval {:.3} to {:.3}",
            f.at_rows, curve.metric, f.value, f.low, f.high
        );
    }
    if let Some((f, got)) = &found.checked {
        let _ = writeln!(
            text,
            "checked: from half the labels, {:.3} to {:.3} was to be expected with all of them; it is {got:.3}",
            f.low, f.high
        );
    }
    text.trim_end().to_owned()
}
