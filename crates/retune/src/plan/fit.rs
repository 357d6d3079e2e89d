//! Whether a run fits into memory, and the smallest change of the recipe with which it does.

use std::fmt;

use super::memory;
use super::work::Work;
use crate::error::Problem;
use crate::methods::MethodRecipe;
use crate::ops::Precision;
use crate::recipe::{Recipe, VerdictLevel};

/// A flag of `train` with its value.
type Flag = (&'static str, String);

/// Flags that save memory, from the least to the most loss: bf16 rounds products, without a verdict the same model is
/// less sure, and low-rank updates, cut texts and a head alone cost accuracy. Those of a line exclude one another.
const FLAGS: [&[(&str, &str)]; 5] = [
    &[("--precision", "bf16")],
    &[("--verdict", "off")],
    &[("--method", "lora")],
    &[
        ("--max-length", "256"),
        ("--max-length", "128"),
        ("--max-length", "64"),
    ],
    &[("--method", "head")],
];

/// A change of the recipe: flags, and what they make of it.
#[derive(Clone)]
struct Change {
    flags: Vec<Flag>,
    recipe: Recipe,
}

impl Change {
    /// This one with more flags, which make `recipe`.
    fn and(&self, more: Vec<Flag>, recipe: Recipe) -> Self {
        let given = |flag: &Flag| more.iter().any(|(name, _)| *name == flag.0);
        let mut flags: Vec<Flag> = self.flags.iter().filter(|f| !given(f)).cloned().collect();
        flags.extend(more);
        Self { flags, recipe }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.flags.iter();
        let typed: Vec<String> = flags
            .map(|(flag, value)| format!("{flag} {value}"))
            .collect();
        f.write_str(&typed.join(" "))
    }
}

/// Refuses a run that needs `needed` bytes where there are `there`, and names the smallest change that helps.
pub(super) fn check(work: &Work, needed: u64, there: u64) -> Result<(), Problem> {
    if needed <= there {
        return Ok(());
    }
    let cure = match smallest(work, there as f64) {
        Some(change) => {
            let then = memory::peak(&work.by(&change.recipe));
            format!("add `{change}`, with which it needs about {}", gigabytes(then))
        }
        None => {
            "no batch size, text length or method makes it fit; choose a smaller model with --model, or fewer rows with \
             --max-rows"
                .to_string()
        }
    };
    Err(Problem::new(
        "memory",
        format!(
            "the run needs about {} and may use {}: {cure}; --memory GB sets another limit",
            gigabytes(needed as f64),
            gigabytes(there as f64)
        ),
    ))
}

fn gigabytes(bytes: f64) -> String {
    format!("{:.2} GB", bytes / 1e9)
}

/// The change with which the run needs at most so many bytes and that costs least. Smaller batches with more of them per
/// step cost nothing: they compute the same gradients.
fn smallest(work: &Work, there: f64) -> Option<Change> {
    let fits = |change: &Change| memory::peak(&work.by(&change.recipe)) <= there;
    let others = others(work).into_iter();
    let sized = others.map(|change| {
        let smaller = smaller_batches(work, &change);
        std::iter::once(change).chain(smaller).collect()
    });
    // Where neither the whole batch nor a row at a time fits, nothing between them does.
    let ends = |sized: &Vec<Change>| {
        [sized.first(), sized.last()]
            .into_iter()
            .flatten()
            .any(fits)
    };
    let mut fitting = sized.filter(ends);
    fitting.find_map(|sized| sized.into_iter().find(fits))
}

/// Changes of everything but the batch, from none on in the order of what they cost.
fn others(work: &Work) -> Vec<Change> {
    let none = Change {
        flags: Vec::new(),
        recipe: work.recipe.clone(),
    };
    FLAGS.iter().fold(vec![none], |mut all, line| {
        let with = |flag| {
            all.iter()
                .filter_map(move |change| changed(work, change, flag))
        };
        let more: Vec<Change> = line.iter().flat_map(with).collect();
        all.extend(more);
        all
    })
}

/// The change with a flag of [`FLAGS`]; `None` where the flag would change nothing, or nothing for the better.
fn changed(work: &Work, change: &Change, (flag, value): &(&'static str, &str)) -> Option<Change> {
    let mut recipe = change.recipe.clone();
    match *flag {
        "--precision" => {
            let slower = Precision::best() != Precision::Bf16;
            if slower || recipe.products() == Precision::Bf16 {
                return None;
            }
            recipe.precision = Some(Precision::Bf16);
        }
        "--verdict" => {
            if recipe.verdict == VerdictLevel::Off || recipe.require.is_some() {
                return None;
            }
            recipe.verdict = VerdictLevel::Off;
        }
        "--max-length" => {
            let length = value.parse().ok()?;
            let all = work
                .rows
                .train
                .iter()
                .chain(work.others.into_iter().flatten());
            if all.map(|row| work.tokens(row)).max() <= Some(length) {
                return None;
            }
            recipe.processor.max_length = Some(length);
        }
        _ => {
            let now = recipe.method.method().name();
            if now == *value || now == "head" {
                return None;
            }
            recipe.method = MethodRecipe::named(value, &toml::Table::new()).ok()?;
        }
    }
    Some(change.and(vec![(*flag, (*value).to_string())], recipe))
}

/// The change with half of the batch and twice as many of them per step, down to a row at a time.
fn smaller_batches(work: &Work, change: &Change) -> Vec<Change> {
    let batch = work.by(&change.recipe).largest_batch();
    let train = &change.recipe.train;
    let factors = (1..usize::BITS).map(|halvings| 1usize << halvings);
    let smaller = |factor: usize| {
        let mut recipe = change.recipe.clone();
        recipe.train.accumulate = train.accumulate * factor;
        let size = if batch.rows < train.batch_size {
            // The limit of tokens fills the batch first.
            recipe.train.max_tokens = train.max_tokens / factor;
            ("--max-tokens", recipe.train.max_tokens.to_string())
        } else {
            recipe.train.batch_size = train.batch_size / factor;
            ("--batch-size", recipe.train.batch_size.to_string())
        };
        let more = ("--accumulate", recipe.train.accumulate.to_string());
        change.and(vec![size, more], recipe)
    };
    let factors = factors.take_while(|factor| *factor <= batch.rows);
    factors.map(smaller).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use retune_data::example::TokenSequence;
    use retune_data::{Example, Features, Meta, Target};

    use super::*;
    use crate::families::{Facts, ModelConfig, family_of};
    use crate::methods::Place;
    use crate::plan::TrainRows;
    use crate::plan::work::Part;

    /// Rows of so many tokens.
    fn rows(n: usize, tokens: usize) -> Vec<Example> {
        let row = |row| Example {
            features: Features::Tokens(vec![TokenSequence {
                ids: vec![7; tokens],
                types: vec![0; tokens],
            }]),
            target: Target::Class(0),
            meta: Meta { row, weight: 1.0 },
        };
        (0..n as u64).map(row).collect()
    }

    /// BERT's base size.
    fn base() -> (Facts, Vec<Part>) {
        let config = ModelConfig(serde_json::json!({
            "model_type": "bert", "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12,
            "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2
        }));
        let facts = (family_of(&config).unwrap().facts)(&config).unwrap();
        let part = |path: String, shape: [usize; 2]| Part {
            place: Place::new(&path, facts.layers),
            shape: shape.to_vec(),
        };
        let mut parts = vec![part("backbone.word.weight".to_string(), [30522, 768])];
        for layer in 0..facts.layers {
            for (name, shape) in [
                ("query", [768, 768]),
                ("key", [768, 768]),
                ("value", [768, 768]),
                ("output", [768, 768]),
                ("up", [3072, 768]),
                ("down", [768, 3072]),
            ] {
                let path = format!("backbone.layers.{layer}.{name}.weight");
                parts.push(part(path, shape));
            }
        }
        parts.push(part("head.out.weight".to_string(), [2, 768]));
        (facts, parts)
    }

    /// Runs `f` on the work of 64 rows of 256 tokens, changed by `edit`.
    fn with_work(edit: impl Fn(&mut Recipe), f: impl Fn(&Work)) {
        let mut recipe = Recipe {
            precision: Some(Precision::best()),
            ..Recipe::default()
        };
        edit(&mut recipe);
        let ((facts, model), train, few) = (base(), rows(64, 256), rows(8, 256));
        let train = TrainRows {
            train: &train,
            replay: &[],
        };
        f(&Work {
            recipe: &recipe,
            facts,
            adapted: &["query", "value"],
            model: &model,
            rows: train,
            others: [&few, &few],
            pixels: 0,
            max_length: 256,
            steps: (12, 4),
            data_bytes: 0.0,
            text_bytes: 0.0,
            tokenizer_bytes: 1e6,
        });
    }

    fn cure(work: &Work, there: f64) -> String {
        let needed = memory::peak(work);
        let problem = check(work, needed as u64, there as u64).unwrap_err();
        assert_eq!(problem.key, "memory");
        let quoted = problem.text.split('`').nth(1);
        quoted.unwrap_or(&problem.text).to_string()
    }

    /// Bytes with one row per batch, and as many per step.
    fn row_by_row(work: &Work) -> f64 {
        let mut recipe = work.recipe.clone();
        (recipe.train.batch_size, recipe.train.accumulate) = (1, 16);
        memory::peak(&work.by(&recipe))
    }

    #[test]
    fn what_fits_is_not_refused() {
        let check = |work: &Work| check(work, 1000, 1000);
        with_work(|_| (), |work| assert_eq!(check(work), Ok(())));
    }

    #[test]
    fn the_change_that_costs_least_is_named_first() {
        with_work(
            |recipe| recipe.verdict = VerdictLevel::Off,
            |work| {
                let needed = memory::peak(work);
                let halved = "--batch-size 8 --accumulate 2";
                assert_eq!(cure(work, needed - 1e6), halved);
                let least = row_by_row(work);
                assert_eq!(cure(work, least), "--batch-size 1 --accumulate 16");
                // Fewer tokens do not spare the state of the optimiser.
                assert_eq!(cure(work, least - 1e8), "--method lora");
                assert_eq!(
                    cure(work, 1e6),
                    format!(
                        "the run needs about {} and may use 0.00 GB: no batch size, text length or method makes it \
                         fit; choose a smaller model with --model, or fewer rows with --max-rows; --memory GB sets another \
                         limit",
                        gigabytes(needed)
                    )
                );
            },
        );
    }

    #[test]
    fn floors_are_given_up_before_texts_are_cut() {
        with_work(
            |recipe| recipe.method = MethodRecipe::named("lora", &toml::Table::new()).unwrap(),
            |work| {
                assert_eq!(cure(work, row_by_row(work) - 1e6), "--verdict off");
            },
        );
    }

    #[test]
    fn a_batch_that_its_tokens_limit_gets_fewer_of_them() {
        with_work(
            |recipe| recipe.train.batch_size = 64,
            |work| {
                let needed = memory::peak(work);
                assert_eq!(cure(work, needed - 1e6), "--max-tokens 2048 --accumulate 2");
            },
        );
    }

    #[test]
    fn colours_and_edges_of_many_pictures_count_and_only_where_they_are_measured() {
        let (many, few) = (rows(100_000, 1), rows(8, 1));
        let model = [Part {
            place: Place::new("head.out.bias", 12),
            shape: vec![10],
        }];
        // Columns and values, there and back.
        let matrices = 2.0 * 8.0 * 944.0 * 100_000.0;
        for (level, counts) in [
            (VerdictLevel::Fast, true),
            (VerdictLevel::Full, true),
            (VerdictLevel::Off, false),
        ] {
            with_work(
                |recipe| recipe.verdict = level,
                |work| {
                    let train = TrainRows {
                        train: &many,
                        replay: &[],
                    };
                    let pictures = Work {
                        model: &model,
                        rows: train,
                        others: [&few, &few],
                        pixels: 1,
                        ..*work
                    };
                    let peak = memory::peak(&pictures);
                    assert_eq!(peak > matrices, counts, "{level:?}: {peak}");
                    assert!(peak < 1.1 * matrices, "{level:?}: {peak}");
                },
            );
        }
    }

    #[test]
    fn no_change_needs_more() {
        with_work(
            |_| (),
            |work| {
                let needed = memory::peak(work);
                let all = others(work);
                let last = all.last().unwrap();
                assert_eq!(
                    last.to_string(),
                    "--verdict off --max-length 64 --method head"
                );
                for change in all {
                    let then = memory::peak(&work.by(&change.recipe));
                    // Low-rank updates are a little more than nothing where a floor needs most.
                    assert!(then <= 1.01 * needed, "{change}: {then} and {needed}");
                }
            },
        );
    }
}
