//! The options of the loss against torch (`golden/make_losses.py`), against differences, and in the small cases
//! where the right answer is known; with the kernels of the CPU and with the twins that any device has.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests read tensors")]

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use retune::data::processor::Labels;
use retune::data::roles::TaskKind;
use retune::data::{Example, Features, Meta, Target};
use retune::losses::{ClassWeights, Loss, LossRecipe, Objective};
use retune::model::Reads;
use retune::recipe::Recipe;
use retune::tasks::{Task, task_for};
use retune::{ops, scoring};
use serde::Deserialize;

/// One kind of target in the golden file.
#[derive(Deserialize)]
struct Golden {
    names: Vec<String>,
    logits: Vec<f32>,
    weights: Vec<f32>,
    train: Vec<serde_json::Value>,
    targets: Vec<serde_json::Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    recipe: LossRecipe,
    loss: f64,
    gradient: Vec<f32>,
}

/// Rows with a task, and the options to try on them.
struct Rows {
    task: &'static dyn Task,
    labels: Labels,
    logits: Vec<f32>,
    weights: Vec<f32>,
    targets: Vec<Target>,
    train: Vec<Example>,
}

fn target(value: &serde_json::Value) -> Target {
    match value {
        serde_json::Value::Array(flags) => {
            Target::Labels(flags.iter().map(serde_json::Value::as_bool).collect())
        }
        class => Target::Class(class.as_u64().unwrap() as u32),
    }
}

fn example(target: Target) -> Example {
    Example {
        features: Features::Tokens(Vec::new()),
        target,
        meta: Meta::default(),
    }
}

/// Both kinds of the golden file, as rows and cases.
fn golden() -> [(Rows, Vec<Case>); 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/losses.json");
    let json = std::fs::read_to_string(path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    ["classes", "labels"].map(|kind| {
        let golden: Golden = serde_json::from_value(json[kind].clone()).unwrap();
        let (kind, labels) = match kind {
            "classes" => (
                TaskKind::Classification,
                Labels::Classes {
                    names: golden.names,
                },
            ),
            _ => (
                TaskKind::MultiLabel,
                Labels::MultiLabel {
                    names: golden.names,
                },
            ),
        };
        let rows = Rows {
            task: task_for(kind, Reads::Text).unwrap(),
            labels,
            logits: golden.logits,
            weights: golden.weights,
            targets: golden.targets.iter().map(target).collect(),
            train: golden.train.iter().map(target).map(example).collect(),
        };
        (rows, golden.cases)
    })
}

impl Rows {
    fn objective(&self, recipe: &LossRecipe) -> Objective {
        Objective::new(recipe, &self.labels, &self.train).unwrap()
    }

    /// Loss of some of the rows at the given logits, and the logits in the gradient graph.
    fn loss(
        &self,
        logits: &[f32],
        rows: std::ops::Range<usize>,
        objective: &Objective,
    ) -> (Loss, Tensor<2>) {
        let outputs = self.labels.outputs();
        let some = logits[rows.start * outputs..rows.end * outputs].to_vec();
        let data = TensorData::new(some, [rows.len(), outputs]);
        let x = Tensor::from_data(data, &scoring::cpu(true)).require_grad();
        let (targets, weights) = (&self.targets[rows.clone()], &self.weights[rows]);
        let task = self.task;
        let loss = task.loss(x.clone(), &self.labels, targets, weights, objective);
        (loss, x)
    }

    /// Sum of the losses, its gradient and the weight.
    fn sums(
        &self,
        logits: &[f32],
        rows: std::ops::Range<usize>,
        objective: &Objective,
    ) -> (f64, Vec<f32>, f64) {
        let (loss, x) = self.loss(logits, rows, objective);
        let gradient = x.grad(&loss.sum.backward()).unwrap();
        let gradient = gradient.into_data().try_to_vec().unwrap();
        (f64::from(value(loss.sum)), gradient, loss.weight)
    }
}

fn value(sum: Tensor<1>) -> f32 {
    sum.into_data().try_to_vec::<f32>().unwrap()[0]
}

fn near(what: &str, got: f64, want: f64, tolerance: f64) {
    let scale = want.abs().max(1.0);
    assert!(
        (got - want).abs() <= tolerance * scale,
        "{what}: {got} but {want} is right"
    );
}

fn with_every_engine(check: impl Fn()) {
    check();
    ops::with_twins(check);
}

#[test]
fn losses_and_gradients_are_those_of_torch() {
    let golden = golden();
    assert_eq!(golden.each_ref().map(|(_, cases)| cases.len()), [54, 18]);
    with_every_engine(|| {
        for (rows, cases) in &golden {
            for case in cases {
                let what = format!("{:?}", case.recipe);
                let objective = rows.objective(&case.recipe);
                let (sum, gradient, weight) = rows.sums(&rows.logits, 0..8, &objective);
                near(&what, sum / weight, case.loss, 2e-6);
                for (got, want) in gradient.iter().zip(&case.gradient) {
                    near(&what, f64::from(*got) / weight, f64::from(*want), 2e-6);
                }
            }
        }
    });
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    const STEP: f32 = 0.01;
    for (rows, cases) in &golden() {
        for case in cases {
            let objective = rows.objective(&case.recipe);
            let (_, gradient, _) = rows.sums(&rows.logits, 0..8, &objective);
            for (at, slope) in gradient.iter().enumerate() {
                let moved = |by: f32| {
                    let mut logits = rows.logits.clone();
                    logits[at] += by;
                    f64::from(value(rows.loss(&logits, 0..8, &objective).0.sum))
                };
                let difference = (moved(STEP) - moved(-STEP)) / (2.0 * f64::from(STEP));
                let what = format!("{:?}, logit {at}", case.recipe);
                near(&what, difference, f64::from(*slope), 2e-3);
            }
        }
    }
}

#[test]
fn eight_batches_of_one_equal_one_batch_of_eight() {
    with_every_engine(|| {
        for (rows, cases) in &golden() {
            for case in cases {
                let what = format!("{:?}", case.recipe);
                let objective = rows.objective(&case.recipe);
                let (sum, gradient, weight) = rows.sums(&rows.logits, 0..8, &objective);
                let (mut parts, mut gradients, mut weights) = (0.0, Vec::new(), 0.0);
                for row in 0..8 {
                    let (sum, gradient, weight) = rows.sums(&rows.logits, row..row + 1, &objective);
                    parts += sum;
                    gradients.extend(gradient);
                    weights += weight;
                }
                near(&what, parts / weights, sum / weight, 1e-6);
                for (one, all) in gradients.iter().zip(&gradient) {
                    near(&what, f64::from(*one), f64::from(*all), 1e-6);
                }
            }
        }
    });
}

#[test]
fn the_plain_objective_is_cross_entropy_bit_for_bit() {
    with_every_engine(|| {
        let [(rows, _), (flags, _)] = golden();
        let default = LossRecipe::default();
        assert_eq!(rows.objective(&default), Objective::plain());
        assert_eq!(flags.objective(&default), Objective::plain());
        let (loss, x) = rows.loss(&rows.logits, 0..8, &Objective::plain());
        let classes = rows.targets.iter().map(|target| match target {
            Target::Class(class) => *class,
            _ => unreachable!(),
        });
        let sum = ops::cross_entropy(
            x,
            &classes.collect::<Vec<u32>>().into(),
            &rows.weights.clone().into(),
        );
        assert_eq!(value(loss.sum).to_bits(), value(sum).to_bits());
        let weight: f32 = rows.weights.iter().sum();
        assert_eq!(loss.weight, f64::from(weight));
    });
}

#[test]
fn rows_without_a_target_count_for_nothing() {
    for (mut rows, cases) in golden() {
        let train = rows.train.clone();
        for case in &cases {
            let objective = rows.objective(&case.recipe);
            let (sum, _, weight) = rows.sums(&rows.logits, 0..7, &objective);
            let whole = std::mem::replace(&mut rows.targets[7], Target::None);
            rows.train.push(example(Target::None));
            assert_eq!(rows.objective(&case.recipe), objective);
            let (with, _, weight_with) = rows.sums(&rows.logits, 0..8, &objective);
            near("sum", with, sum, 1e-6);
            assert_eq!(weight_with, weight);
            rows.targets[7] = whole;
            rows.train.clone_from(&train);
        }
    }
}

#[test]
fn certain_answers_have_finite_losses_and_gradients() {
    with_every_engine(|| {
        for (rows, cases) in &golden() {
            // Far beyond where a probability rounds to 0 or 1.
            let logits: Vec<f32> = rows.logits.iter().map(|z| z * 1e3).collect();
            for case in cases {
                let objective = rows.objective(&case.recipe);
                let (sum, gradient, _) = rows.sums(&logits, 0..8, &objective);
                assert!(sum.is_finite(), "{:?}: {sum}", case.recipe);
                let finite = gradient.iter().all(|g| g.is_finite());
                assert!(finite, "{:?}: {gradient:?}", case.recipe);
            }
        }
    });
}

#[test]
fn a_class_without_training_rows_counts_as_one_row() {
    let [(mut rows, _), _] = golden();
    rows.train.retain(|row| row.target != Target::Class(2));
    let mut one = rows.train.clone();
    one.push(example(Target::Class(2)));
    let recipe = LossRecipe {
        class_weights: Some(ClassWeights::Balanced),
        logit_adjustment: 1.0,
        ..LossRecipe::default()
    };
    let without = rows.objective(&recipe);
    rows.train = one;
    assert_eq!(without, rows.objective(&recipe));
}

/// Keys and texts of what is wrong with a recipe of these lines under `[loss]`.
fn problems(lines: &str) -> Vec<String> {
    let recipe = Recipe::parse(&format!("[loss]\n{lines}")).unwrap();
    recipe
        .loss
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn values_out_of_range_are_problems() {
    for (line, wanted) in [
        ("label_smoothing = 1.0", "loss.label_smoothing: 1 is out of"),
        (
            "label_smoothing = -0.1",
            "loss.label_smoothing: -0.1 is out of",
        ),
        (
            "label_smoothing = nan",
            "loss.label_smoothing: NaN is out of",
        ),
        (
            "focal = -1.0",
            "loss.focal: -1 is out of range 0 to 10; try 2",
        ),
        ("focal = inf", "loss.focal: inf is out of"),
        (
            "logit_adjustment = 11",
            "loss.logit_adjustment: 11 is out of",
        ),
        (
            "class_weights = { a = 0 }",
            "loss.class_weights: `a` weighs 0, out",
        ),
        (
            "class_weights = { a = nan }",
            "loss.class_weights: `a` weighs NaN, out",
        ),
    ] {
        let found = problems(line);
        assert!(found[0].starts_with(wanted), "{line}: {found:?}");
        assert_eq!(found.len(), 1, "{line}");
    }
    let fine = "label_smoothing = 0.1\nfocal = 2\nlogit_adjustment = 1\nclass_weights.a = 2";
    assert_eq!(problems(fine), Vec::<String>::new());
    let recipe = Recipe::parse("train.lr = 9.0\nloss.focal = -1.0").unwrap();
    let keys: Vec<String> = recipe.problems().into_iter().map(|p| p.key).collect();
    assert!(keys.contains(&"loss.focal".to_string()), "{keys:?}");
}

#[test]
fn options_that_do_not_fit_the_task_are_problems() {
    let all = LossRecipe {
        label_smoothing: 0.1,
        focal: 2.0,
        logit_adjustment: 1.0,
        class_weights: Some(ClassWeights::Balanced),
    };
    let misfits =
        |kind| -> Vec<String> { all.misfits(kind).iter().map(ToString::to_string).collect() };
    assert_eq!(misfits(TaskKind::Classification), Vec::<String>::new());
    assert_eq!(
        misfits(TaskKind::MultiLabel),
        ["loss.logit_adjustment: does not apply to several labels per row; leave it out"]
    );
    let regression = misfits(TaskKind::Regression);
    assert_eq!(regression.len(), 4);
    assert_eq!(
        regression[0],
        "loss.label_smoothing: does not apply to regression; leave it out"
    );
    assert!(
        LossRecipe::default()
            .misfits(TaskKind::Regression)
            .is_empty()
    );
    let [(classes, _), (labels, _)] = golden();
    let numbers = Labels::Number {
        mean: 0.0,
        std: 1.0,
    };
    assert!(Objective::new(&all, &classes.labels, &classes.train).is_ok());
    assert!(Objective::new(&all, &labels.labels, &labels.train).is_err());
    assert!(Objective::new(&all, &numbers, &[]).is_err());
}

#[test]
fn a_weight_of_an_unknown_class_is_a_problem() {
    let [(rows, _), _] = golden();
    let recipe = LossRecipe {
        class_weights: Some(ClassWeights::ByName([("spm".to_string(), 2.0)].into())),
        ..LossRecipe::default()
    };
    let problem = Objective::new(&recipe, &rows.labels, &rows.train).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "loss.class_weights: `spm` is no class of the training rows; the classes are ham, news, spam"
    );
}

#[test]
fn class_weights_are_a_word_or_a_table() {
    for lines in [
        "class_weights = \"balanced\"",
        "class_weights = { spam = 2, balanced = 0.5 }",
        "focal = 2.0",
    ] {
        let recipe = Recipe::parse(&format!("[loss]\n{lines}\n[gates]\naccuracy = 0.5")).unwrap();
        assert_ne!(recipe.loss, LossRecipe::default(), "{lines}");
        assert_eq!(Recipe::parse(&recipe.to_toml()).unwrap(), recipe, "{lines}");
    }
    for wrong in ["class_weights = \"balance\"", "class_weights = [1, 2]"] {
        let error = Recipe::parse(&format!("[loss]\n{wrong}")).unwrap_err();
        assert!(error.contains("`balanced`, or a table"), "{error}");
        assert!(error.contains("line 2"), "{error}");
    }
}
