//! The gradient doctor finds nothing wrong with any method, and names what is broken on purpose.

use std::path::{Path, PathBuf};

use burn::module::Module;
use retune::data::batch::HostBatch;
use retune::data::processor::Labels;
use retune::doctor::{Case, Report, State, examine, without_gradient};
use retune::families::family_of;
use retune::losses::{self, Loss, Objective};
use retune::methods::{Method, MethodRecipe, groups};
use retune::model::{Hidden, Inputs, Model, Pass};
use retune::tasks::{TASKS, Task};
use retune::train::Flow;
use retune::train::groups::Groups;
use retune::train::optimizer::Gradients;
use retune::weights::{host_values, params, with_values};

use super::{batch, checkpoints, config, labels, layers, prepared, targets, with_every_engine};

/// One more class than the goldens' heads have: the head starts anew.
const CLASSES: usize = 4;

fn of(method: &dyn Method, model: &Model, folder: &Path) -> Groups {
    groups(method, model, layers(folder), (0, 1.0, false))
}

fn plain(model: &Model, batch: &HostBatch, pass: &Pass) -> Loss {
    let output = model.output(&Inputs::new(batch), pass);
    losses::cross_entropy(output, &batch.targets, &batch.weights)
}

/// The backbone's answer cut out of the gradient graph.
fn detached(model: &Model, batch: &HostBatch, pass: &Pass) -> Loss {
    let inputs = Inputs::new(batch);
    let hidden = model.hidden(&inputs, pass);
    let hidden = Hidden {
        tokens: hidden.tokens.detach(),
        ..hidden
    };
    let output = model.head.forward(&hidden, &inputs, pass);
    losses::cross_entropy(output, &batch.targets, &batch.weights)
}

/// A classifier that trains as the method has it, on six rows.
fn case(method: &dyn Method, folder: &Path) -> Case<'static, Model, HostBatch> {
    let model = prepared(method, folder, CLASSES);
    Case {
        groups: of(method, &model, folder),
        model,
        batch: batch(&[3, 5, 8, 2, 9, 4], targets(TASKS[0], 6)),
        loss: &plain,
        plain: &plain,
        expected: Some((CLASSES as f64).ln()),
        lr: method.lr(),
    }
}

fn method(name: &str) -> MethodRecipe {
    MethodRecipe::named(name, &toml::Table::new()).unwrap()
}

fn report<B: Clone>(case: &Case<Model, B>) -> Report {
    examine(case, &mut |_| Flow::Continue)
}

/// Tensors of findings in this state, with the text.
fn found(report: &Report, state: State) -> Vec<(&'static str, &str, &str)> {
    let some = report.findings.iter().filter(|found| found.state == state);
    some.map(|found| {
        (
            found.check,
            found.tensor.as_deref().unwrap_or(""),
            &*found.text,
        )
    })
    .collect()
}

/// Checkpoints of families with layers that can be updated.
fn deep() -> Vec<PathBuf> {
    let adapted = |folder: &PathBuf| !family_of(&config(folder)).unwrap().adapted.is_empty();
    checkpoints().into_iter().filter(adapted).collect()
}

#[test]
fn nothing_is_wrong_with_any_method_and_model() {
    with_every_engine(|| {
        for recipe in MethodRecipe::all() {
            for folder in deep() {
                let report = report(&case(recipe.method(), &folder));
                let what = format!(
                    "{} of {}:\n{report}",
                    recipe.method().name(),
                    folder.display()
                );
                assert!(report.ok, "{what}");
                let checks = ["weights", "gradients", "frozen", "first loss", "one batch"];
                for check in checks {
                    let some = report.findings.iter().any(|found| found.check == check);
                    assert!(some, "no {check}: {what}");
                }
            }
        }
    });
}

#[test]
fn nothing_is_wrong_with_any_task() {
    for task in TASKS {
        let (labels, folder, full) = (labels(*task), &deep()[0], method("full"));
        let mut model = prepared(full.method(), folder, labels.outputs());
        model.head = model.head.in_units(task.units(&labels), true);
        let loss = loss_of(*task, &labels);
        let case = Case {
            groups: of(full.method(), &model, folder),
            model,
            batch: batch(&[3, 5, 8, 2, 9, 4], targets(*task, 6)),
            loss: &loss,
            plain: &loss,
            expected: None,
            lr: full.method().lr(),
        };
        let report = report(&case);
        assert!(report.ok, "{}:\n{report}", task.name());
        let head = found(&report, State::Exempt);
        assert!(head.iter().any(|f| f.0 == "first loss"), "{report}");
    }
}

fn loss_of<'a>(
    task: &'a dyn Task,
    labels: &'a Labels,
) -> impl Fn(&Model, &HostBatch, &Pass) -> Loss + 'a {
    move |model, batch, pass| {
        let output = model.output(&Inputs::new(batch), pass);
        let (targets, weights) = (&batch.targets, &batch.weights);
        task.loss(output, labels, targets, weights, &Objective::plain())
    }
}

#[test]
fn what_rightly_gets_no_gradient_is_named_with_the_reason() {
    let folder = &deep()[0];
    let full = report(&case(method("full").method(), folder));
    let exempt = found(&full, State::Exempt);
    let says = |exempt: &[(&str, &str, &str)], tensor: &str, why: &str| {
        let hit = exempt.iter().find(|found| found.1 == tensor);
        assert!(
            hit.is_some_and(|found| found.2.contains(why)),
            "{tensor}: {exempt:?}"
        );
    };
    says(&exempt, "backbone.layers.0.key.bias", "softmax");
    says(&exempt, "backbone.layers.1.key.bias", "softmax");
    says(&exempt, "backbone.token_type.weight", "1 of its 2 rows");
    says(
        &exempt,
        "backbone.word.weight",
        "rows are not in this batch",
    );
    says(
        &exempt,
        "backbone.position.weight",
        "rows are not in this batch",
    );
    assert_eq!(exempt.len(), 5, "{full}");
    let lora = report(&case(method("lora").method(), folder));
    let exempt = found(&lora, State::Exempt);
    says(
        &exempt,
        "backbone.layers.0.query.adapter.down",
        "still zero",
    );
    assert!(
        exempt
            .iter()
            .all(|found| found.1.ends_with(".adapter.down")),
        "{lora}"
    );
    // Something that trains and that nothing reads.
    let mut unread = case(method("full").method(), folder);
    unread.loss = &|model, batch, pass| {
        let inputs = Inputs::new(batch);
        let output = model.head.out.forward(
            model.head.pooling.of(&model.hidden(&inputs, pass)),
            retune::ops::Activation::None,
        );
        losses::cross_entropy(output, &batch.targets, &batch.weights)
    };
    let unread = report(&unread);
    says(
        &found(&unread, State::Exempt),
        "head.dense.weight",
        "nothing reads it",
    );
}

#[test]
fn a_layer_that_is_cut_off_is_named() {
    with_every_engine(|| {
        for folder in deep() {
            let full = method("full");
            let mut broken = case(full.method(), &folder);
            broken.loss = &detached;
            let report = report(&broken);
            assert!(!report.ok, "{report}");
            let wrong = found(&report, State::Problem);
            let some = [
                "backbone.word.weight",
                "backbone.layers.1.down.weight",
                "backbone.layers.1.widen.weight",
            ];
            assert!(some.iter().any(|path| has(&broken.model, path)));
            for path in some.into_iter().filter(|path| has(&broken.model, path)) {
                let hit = wrong.iter().find(|found| found.1 == path);
                assert!(
                    hit.is_some_and(|found| found.2.contains("depends")),
                    "{report}"
                );
            }
            assert!(
                wrong.iter().all(|found| !found.1.starts_with("head.")),
                "{report}"
            );
            assert!(
                wrong.iter().all(|found| !found.1.ends_with("key.bias")),
                "{report}"
            );
        }
    });
}

#[test]
fn a_run_says_at_its_first_step_what_gets_no_gradient() {
    for recipe in MethodRecipe::all() {
        let folder = &deep()[0];
        let case = case(recipe.method(), folder);
        let model = case.groups.unfrozen(case.model.clone(), 0);
        let said = |loss: &dyn Fn(&Model, &HostBatch, &Pass) -> Loss| {
            let pass = Pass::default();
            let mut gradients = Gradients::default();
            let tape = loss(&model, &case.batch, &pass).sum.backward();
            gradients.add(&model, tape, &pass.rows);
            without_gradient(&model, &gradients)
        };
        assert_eq!(
            said(&plain),
            Vec::<String>::new(),
            "{}",
            recipe.method().name()
        );
        let cut = said(&detached);
        let frozen = recipe.method().frozen_backbone();
        assert_eq!(
            cut.is_empty(),
            frozen,
            "{}: {cut:?}",
            recipe.method().name()
        );
        assert!(cut.iter().all(|text| text.contains("backbone.")), "{cut:?}");
    }
}

#[test]
fn a_frozen_parameter_that_moves_is_named() {
    for folder in deep() {
        let (full, head) = (method("full"), method("head"));
        let mut broken = case(full.method(), &folder);
        broken.groups = of(head.method(), &broken.model, &folder);
        let report = report(&broken);
        let wrong = found(&report, State::Problem);
        let moved = |path: &str| wrong.iter().any(|f| f.0 == "frozen" && f.1 == path);
        let some = [
            "backbone.layers.0.query.weight",
            "backbone.layers.0.around.weight",
        ];
        assert!(some.into_iter().any(moved), "{report}");
        assert!(
            wrong.iter().all(|found| found.1.starts_with("backbone.")),
            "{report}"
        );
    }
}

#[test]
fn a_weight_that_is_not_a_number_is_named() {
    let broken = "backbone.layers.1.up.weight";
    for value in [f32::NAN, f32::INFINITY] {
        let mut case = case(method("lora").method(), &deep()[0]);
        let mut values = value_of(&case.model, broken);
        values[5] = value;
        case.model = with_values(case.model, &|path| (path == broken).then(|| values.clone()));
        let report = report(&case);
        let wrong = found(&report, State::Problem);
        assert_eq!(wrong.len(), 1, "{report}");
        assert_eq!((wrong[0].0, wrong[0].1), ("weights", broken));
    }
}

fn has<M: Module>(model: &M, path: &str) -> bool {
    params(model).iter().any(|named| named.path == path)
}

fn value_of<M: Module>(model: &M, path: &str) -> Vec<f32> {
    let found = host_values(model).into_iter().find(|value| value.0 == path);
    found.unwrap().2
}

#[test]
fn a_fresh_head_that_is_sure_of_itself_is_a_problem() {
    let mut case = case(method("full").method(), &deep()[0]);
    case.model = with_values(case.model.clone(), &|path| {
        let wild = |v: f32| 1e3 * v;
        (path == "head.out.weight")
            .then(|| value_of(&case.model, path).into_iter().map(wild).collect())
    });
    let report = report(&case);
    let wrong = found(&report, State::Problem);
    assert!(
        wrong.iter().any(|found| found.0 == "first loss"),
        "{report}"
    );
}

#[test]
fn equal_rows_with_different_labels_cannot_be_learned_by_heart() {
    let mut case = case(method("full").method(), &deep()[0]);
    case.batch = batch(&[4, 4], targets(TASKS[0], 2));
    case.batch.ids = [5, 6, 7, 8].repeat(2);
    let report = report(&case);
    let wrong = found(&report, State::Problem);
    assert_eq!(wrong.len(), 1, "{report}");
    assert_eq!(wrong[0].0, "one batch");
}
