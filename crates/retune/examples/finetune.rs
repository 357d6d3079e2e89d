//! Fine-tunes on a labelled file, prints the test accuracy and answers a sentence.
//! `cargo run --release -p retune --example finetune -- FILE`
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example prints"
)]

use retune::eval::Event;
use retune::{Bundle, Flow, HubOptions, Plan, Recipe};

fn main() -> retune::Result<()> {
    let file = std::env::args()
        .nth(1)
        .unwrap_or("data/movie-sentences.csv".to_string());
    let mut recipe = Recipe::default();
    recipe.data.train = Some(file.into());
    recipe.train.epochs = Some(1.0);
    let plan = Plan::resolve(&recipe, &HubOptions::from_env(), &mut |_| ())
        .map_err(retune::Error::Problems)?;
    let finished = retune::train(plan, &mut |event| {
        if let Event::Step { step, loss, .. } = event {
            eprintln!("step {step}: loss {loss:.3}");
        }
        Flow::Continue
    })?;
    println!("{}", retune::eval::table::table(&finished.evaluated));
    let predictor = Bundle::open(&finished.bundle)?.predictor();
    let answers = predictor.predict_texts(&[vec!["a quiet, moving film".to_string()]])?;
    println!("{}", answers[0].phrase());
    Ok(())
}
