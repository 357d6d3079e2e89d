//! Knobs of a recipe that are set and that models of tables do not read. They are refused: one that is passed over in silence
//! lets people believe that it was tried.

use super::plan::Family;
use crate::error::Problem;
use crate::methods::MethodRecipe;
use crate::recipe::{Recipe, TablesRecipe, TrainRecipe, VerdictLevel};

/// Keys that a model of this family does not read, however the rows are divided. Trees read none of those of networks, unless
/// a full verdict measures a network beside them.
pub(super) fn of_family(recipe: &Recipe, family: Family) -> Vec<Problem> {
    let network = family.is_network() || recipe.verdict == VerdictLevel::Full;
    let usual = Recipe::default();
    let mut read = Recipe {
        memory: None,
        refit: None,
        processor: usual.processor,
        pictures: usual.pictures,
        recommend: usual.recommend,
        train: training(&recipe.train, network, family.is_network()),
        ..recipe.clone()
    };
    read.data.text.clear();
    read.data.replay = None;
    read.data.replay_share = usual.data.replay_share;
    if !network {
        read.precision = None;
        read.loss = usual.loss;
        read.tables = TablesRecipe {
            members: usual.tables.members,
            net_width: usual.tables.net_width,
            net_layers: usual.tables.net_layers,
            rows_per_step: None,
            ..read.tables
        };
    }
    let who = match family {
        _ if network => "networks on tables",
        Family::Linear => "linear models on tables",
        _ => "trees",
    };
    let mut found = refused(&read, recipe, who);
    let goes_on = family == Family::Events && recipe.tables.event_model.is_some();
    if recipe.method != MethodRecipe::default() && !goes_on {
        let name = recipe.method.method().name();
        let text = format!(
            "`{name}` tunes pre-trained weights; of models of tables only `--model events --event-model BASE` has them \
             (try retune-txn-base); leave it out"
        );
        found.push(Problem::new("method", text));
    }
    found
}

/// Those that a task does not read: without a stream of events, or where its events are not divided in time.
pub(super) fn of_task(recipe: &Recipe, (fraud, in_time): (bool, bool)) -> Vec<Problem> {
    let usual = TablesRecipe::default();
    let mut read = recipe.clone();
    if in_time {
        read.data.max_rows = None;
    } else {
        read.tables = TablesRecipe {
            train_span: None,
            test_from: None,
            test_span: None,
            rolling: usual.rolling,
            leave_known: usual.leave_known,
            ..read.tables
        };
    }
    if !fraud {
        read.tables = TablesRecipe {
            entities: Vec::new(),
            amount: None,
            label_time: None,
            past: usual.past,
            alert: None,
            keep_legitimate: usual.keep_legitimate,
            ..read.tables
        };
    }
    let who = match (fraud, in_time) {
        (false, _) => "tables that are no stream of events (--task fraud)",
        (true, true) => "a division in time, which --train-span and --test-span make smaller",
        (true, false) => "a division that is not in time",
    };
    refused(&read, recipe, who)
}

/// The keys of `train` that are read.
fn training(of: &TrainRecipe, network: bool, saved: bool) -> TrainRecipe {
    let mut read = TrainRecipe {
        metric: of.metric.clone(),
        ..TrainRecipe::default()
    };
    if network {
        read = TrainRecipe {
            epochs: of.epochs,
            lr: of.lr,
            patience: of.patience,
            max_steps: of.max_steps,
            dropout: of.dropout,
            ema: of.ema,
            weight_decay: of.weight_decay,
            clip_norm: of.clip_norm,
            ..read
        };
    }
    if saved {
        read.checkpoint_every = of.checkpoint_every;
        read.keep_checkpoints = of.keep_checkpoints;
    }
    read
}

/// A problem for each key that is set otherwise than what is read.
fn refused(read: &Recipe, recipe: &Recipe, who: &str) -> Vec<Problem> {
    let one = |change: crate::recipe::Change| {
        let more = if change.key == "train.batch_size" && who.starts_with("networks") {
            " (rows per step are tables.rows_per_step)"
        } else {
            ""
        };
        let text = format!("{} is not read by {who}; leave it out{more}", change.now);
        Problem::new(&change.key, text)
    };
    read.changes(recipe).into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(problems: &[Problem]) -> Vec<&str> {
        problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect()
    }

    #[test]
    fn trees_read_fewer_knobs_than_networks_unless_one_is_measured_beside_them() {
        let mut recipe = Recipe::default();
        recipe.train.epochs = Some(3.0);
        recipe.train.metric = Some("auroc".to_string());
        recipe.train.checkpoint_every = Some(5);
        recipe.train.accumulate = 4;
        recipe.tables.net_width = 64;
        recipe.loss.focal = 2.0;
        let trees = of_family(&recipe, Family::Gbdt);
        assert_eq!(
            keys(&trees),
            [
                "loss.focal",
                "tables.net_width",
                "train.accumulate",
                "train.checkpoint_every",
                "train.epochs"
            ]
        );
        assert_eq!(
            keys(&of_family(&recipe, Family::Tabular)),
            ["train.accumulate"]
        );
        recipe.verdict = VerdictLevel::Full;
        assert_eq!(
            keys(&of_family(&recipe, Family::Gbdt)),
            ["train.accumulate", "train.checkpoint_every"]
        );
        assert!(of_family(&Recipe::default(), Family::Gbdt).is_empty());
    }

    #[test]
    fn knobs_of_other_tasks_and_methods_are_told_with_what_to_type() {
        let mut recipe = Recipe {
            method: MethodRecipe::named("lora", &toml::Table::new()).unwrap_or_default(),
            ..Recipe::default()
        };
        recipe.train.batch_size = 8;
        recipe.processor.max_length = Some(9);
        let found = of_family(&recipe, Family::Tabular);
        assert_eq!(
            keys(&found),
            ["train.batch_size", "processor.max_length", "method"]
        );
        assert!(
            found[0].text.contains("8 is not read by networks"),
            "{found:?}"
        );
        assert!(found[0].text.contains("tables.rows_per_step"), "{found:?}");
        assert!(found[2].text.contains("`lora`"), "{found:?}");
        recipe.tables.event_model = Some("retune-txn-base".into());
        assert_eq!(
            keys(&of_family(&recipe, Family::Tabular)).last(),
            Some(&"method")
        );
        assert_ne!(
            keys(&of_family(&recipe, Family::Events)).last(),
            Some(&"method")
        );
    }

    #[test]
    fn a_division_in_time_draws_no_rows_and_one_by_rows_has_no_periods() {
        let mut recipe = Recipe::default();
        recipe.data.max_rows = Some(9);
        recipe.tables.leave_known = true;
        recipe.tables.past = false;
        assert_eq!(keys(&of_task(&recipe, (true, true))), ["data.max_rows"]);
        assert_eq!(
            keys(&of_task(&recipe, (true, false))),
            ["tables.leave_known"]
        );
        assert_eq!(
            keys(&of_task(&recipe, (false, false))),
            ["tables.leave_known", "tables.past"]
        );
    }
}
