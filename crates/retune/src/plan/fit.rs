//! Whether a run fits into memory, and the smallest change of the recipe with which it does.

use std::fmt;

use super::memory;
use super::work::Work;
use crate::error::Problem;
use crate::methods::MethodRecipe;
use crate::ops::Precision;
use crate::recipe::{Recipe, VerdictLevel};

/// Lengths that texts may be cut to.
const LENGTHS: [usize; 3] = [256, 128, 64];

/// A change of the recipe: flags of `train` with their values, and what they make of it.
#[derive(Clone)]
struct Change {
    flags: Vec<(&'static str, String)>,
    recipe: Recipe,
}

impl Change {
    /// This one with another on top of it.
    fn and(mut self, more: Change) -> Self {
        self.flags
            .retain(|(flag, _)| more.flags.iter().all(|(other, _)| other != flag));
        self.flags.extend(more.flags);
        self.recipe = more.recipe;
        self
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
    let fits = |change: &Change| memory::peak(&work.by(&change.recipe)) <= there as f64;
    let found = alone(work).into_iter().chain(together(work)).find(fits);
    let cure = match found {
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

/// Single changes, from the least to the most loss of quality. Smaller batches with more of them per step compute the
/// same gradients, bf16 rounds them, no verdict costs certainty, and cut texts and fewer trained weights cost accuracy.
fn alone(work: &Work) -> Vec<Change> {
    let mut all = smaller_batches(work);
    all.extend(rounded(work));
    all.extend(unproven(work.recipe));
    all.extend(shorter(work));
    all.extend(lighter(work.recipe));
    all
}

/// A further change of a recipe, where there is one.
type Step = fn(&Work) -> Option<Change>;

/// Changes on top of one another, each as far as it goes.
fn together(work: &Work) -> Vec<Change> {
    let mut last = Change {
        flags: Vec::new(),
        recipe: work.recipe.clone(),
    };
    let mut all = Vec::new();
    let lighter: Step = |work| lighter(work.recipe).into_iter().next();
    let steps: [Step; 6] = [
        |work| smaller_batches(work).pop(),
        rounded,
        |work| unproven(work.recipe),
        |work| shorter(work).pop(),
        lighter,
        lighter,
    ];
    for step in steps {
        if let Some(more) = step(&work.by(&last.recipe)) {
            last = last.and(more);
            all.push(last.clone());
        }
    }
    all
}

/// Half of the batch and twice as many of them per step, down to a row at a time.
fn smaller_batches(work: &Work) -> Vec<Change> {
    let batch = work.largest_batch();
    let train = &work.recipe.train;
    let mut found = Vec::new();
    let mut factor = 2;
    while factor <= batch.rows {
        let mut recipe = work.recipe.clone();
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
        let flags = vec![size, more];
        found.push(Change { flags, recipe });
        factor *= 2;
    }
    found
}

/// Products in bf16, where the CPU multiplies it.
fn rounded(work: &Work) -> Option<Change> {
    if work.recipe.products() == Precision::best() || Precision::best() != Precision::Bf16 {
        return None;
    }
    Some(Change {
        flags: vec![("--precision", "bf16".to_string())],
        recipe: Recipe {
            precision: Some(Precision::Bf16),
            ..work.recipe.clone()
        },
    })
}

/// No floors: what they need is not needed.
fn unproven(recipe: &Recipe) -> Option<Change> {
    if recipe.verdict == VerdictLevel::Off || recipe.require.is_some() {
        return None;
    }
    Some(Change {
        flags: vec![("--verdict", "off".to_string())],
        recipe: Recipe {
            verdict: VerdictLevel::Off,
            ..recipe.clone()
        },
    })
}

/// Texts cut shorter than the longest there is, the longest first.
fn shorter(work: &Work) -> Vec<Change> {
    let all = work
        .rows
        .train
        .iter()
        .chain(work.others[0])
        .chain(work.others[1]);
    let longest = all.map(|row| work.tokens(row)).max().unwrap_or(0);
    let cut = |length: usize| {
        let mut recipe = work.recipe.clone();
        recipe.processor.max_length = Some(length);
        let flags = vec![("--max-length", length.to_string())];
        Change { flags, recipe }
    };
    let lengths = LENGTHS.into_iter().filter(|length| *length < longest);
    lengths.map(cut).collect()
}

/// Methods that train less.
fn lighter(recipe: &Recipe) -> Vec<Change> {
    let now = recipe.method.method().name();
    let names = ["lora", "head"].into_iter();
    // After the method in use there are only lighter ones.
    let names = names.skip(
        ["lora", "head"]
            .iter()
            .position(|n| *n == now)
            .map_or(0, |i| i + 1),
    );
    let change = |name: &str| {
        let method = MethodRecipe::named(name, &toml::Table::new()).ok()?;
        let recipe = Recipe {
            method,
            ..recipe.clone()
        };
        let flags = vec![("--method", name.to_string())];
        Some(Change { flags, recipe })
    };
    names.filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use retune_data::example::TokenSequence;
    use retune_data::{Example, Features, Meta, Target};

    use super::*;
    use crate::families::{Facts, ModelConfig, family_of};
    use crate::methods::Place;
    use crate::plan::data::TrainRows;
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
                let smallest = smaller_batches(work).pop().unwrap();
                assert_eq!(smallest.to_string(), "--batch-size 1 --accumulate 16");
                let least = memory::peak(&work.by(&smallest.recipe));
                assert_eq!(cure(work, least), smallest.to_string());
                // Fewer tokens cannot save the state of the optimiser.
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
                let smallest = smaller_batches(work).pop().unwrap();
                let least = memory::peak(&work.by(&smallest.recipe));
                assert_eq!(cure(work, least - 1e6), "--verdict off");
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
    fn no_change_needs_more() {
        with_work(
            |_| (),
            |work| {
                let needed = memory::peak(work);
                let all = together(work);
                assert_eq!(
                    all.last().unwrap().to_string(),
                    "--batch-size 1 --accumulate 16 --verdict off --max-length 64 --method head"
                );
                for change in all.into_iter().chain(alone(work)) {
                    let then = memory::peak(&work.by(&change.recipe));
                    // Low-rank updates are a little more than nothing where a floor needs most.
                    assert!(then <= 1.01 * needed, "{change}: {then} and {needed}");
                }
            },
        );
    }
}
