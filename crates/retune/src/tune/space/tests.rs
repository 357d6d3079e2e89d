//! Spaces that people declare, and what is said of those that cannot be tried.
#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;

fn recipe() -> Recipe {
    Recipe::parse("[data]\ntrain = \"a.csv\"\n").unwrap()
}

fn space(over: &[(&str, &str)]) -> TuneRecipe {
    let mut space = TuneRecipe::default();
    for (key, text) in over {
        space.set(key, text);
    }
    space
}

fn names(space: &TuneRecipe) -> Vec<String> {
    let found = space.candidates(&recipe()).unwrap();
    found.iter().map(Candidate::name).collect()
}

fn wrong(over: &[(&str, &str)]) -> String {
    let found = space(over).problems(&recipe());
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn a_grid_holds_every_combination_and_options_only_of_their_own_method() {
    let over = [
        ("lora.rank", "4,16"),
        ("lr", "1e-5, 3e-4"),
        ("method", "full,lora"),
    ];
    let all = names(&space(&over));
    assert_eq!(
        all,
        [
            "method=full lr=1e-5",
            "method=full lr=3e-4",
            "method=lora lora.rank=4 lr=1e-5",
            "method=lora lora.rank=4 lr=3e-4",
            "method=lora lora.rank=16 lr=1e-5",
            "method=lora lora.rank=16 lr=3e-4",
        ]
    );
    let found = space(&over).candidates(&recipe()).unwrap();
    assert_eq!(found[5].recipe.train.lr, Some(3e-4));
    assert_eq!(
        found[5].recipe.method.options()["rank"].as_integer(),
        Some(16)
    );
    assert_eq!(found[0].recipe.method, MethodRecipe::default());
    assert_eq!(names(&space(&[("batch_size", "8,8,16")])).len(), 2);
    let lists = space(&[("lora.targets", "query,all-linear"), ("method", "lora")]);
    let found = lists.candidates(&recipe()).unwrap();
    assert_eq!(
        found[1].recipe.method.options()["targets"][0].as_str(),
        Some("all-linear")
    );
}

#[test]
fn another_method_has_its_own_learning_rate() {
    let found = space(&[("method", "full,lora,head")])
        .candidates(&recipe())
        .unwrap();
    let rates: Vec<f64> = found.iter().map(|c| c.recipe.lr()).collect();
    assert_eq!(rates, [5e-5, 5e-4, 1e-3]);
}

#[test]
fn where_nothing_is_declared_rates_around_the_usual_one_are_tried() {
    let all = names(&TuneRecipe::default());
    assert_eq!(
        all,
        [
            "layer_decay=1 lr=1.5e-5",
            "layer_decay=1 lr=5e-5",
            "layer_decay=1 lr=1.5e-4",
            "layer_decay=0.8 lr=1.5e-5",
            "layer_decay=0.8 lr=5e-5",
            "layer_decay=0.8 lr=1.5e-4",
        ]
    );
    let head = recipe().method.with(Some("head"), &[]).unwrap();
    let head = Recipe {
        method: head,
        ..recipe()
    };
    assert_eq!(TuneRecipe::default().candidates(&head).unwrap().len(), 3);
}

#[test]
fn some_are_drawn_by_the_seed_in_the_order_of_the_grid() {
    let rates = "1e-5,2e-5,3e-5,4e-5,5e-5,6e-5,7e-5,8e-5,9e-5";
    let some = TuneRecipe {
        trials: Some(4),
        ..space(&[("lr", rates)])
    };
    let drawn = |seed| {
        let recipe = Recipe { seed, ..recipe() };
        let found = some.candidates(&recipe).unwrap();
        found.iter().map(|c| c.recipe.lr()).collect::<Vec<_>>()
    };
    assert_eq!((drawn(1).len(), drawn(1)), (4, drawn(1)));
    assert_ne!(drawn(1), drawn(2));
    assert!(drawn(1).is_sorted());
}

#[test]
fn a_recipe_declares_a_space_in_either_spelling_and_text_replaces_it() {
    let text = "[tune]\ntrials = 3\n[tune.over]\nlr = [1e-5, 2e-5]\nlora.rank = [4]\n\"train.l2sp\" = [0.0, 0.1]";
    let mut read = Recipe::parse(text).unwrap().tune;
    let keys = |of: &TuneRecipe| -> Vec<String> {
        choices(&of.over)
            .unwrap()
            .into_iter()
            .map(|c| c.key)
            .collect()
    };
    assert_eq!(keys(&read), ["method.lora.rank", "train.l2sp", "train.lr"]);
    read.set("train.lr", "7e-5");
    read.set("lora.rank", "[8, 9]");
    let found = choices(&read.over).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].values.len(), 2);
    assert_eq!(found[2].values, [Value::from(7e-5)]);
    let again = Recipe {
        tune: read.clone(),
        ..recipe()
    };
    assert_eq!(Recipe::parse(&again.to_toml()).unwrap().tune, read);
    assert!(!recipe().to_toml().contains("tune"));
}

#[test]
fn what_cannot_be_tried_is_said_with_what_can() {
    for (over, phrases) in [
        (
            ("lrr", "1"),
            ["`lrr` is not known", "did you mean `lr`?", "lora.rank"],
        ),
        (
            ("seed", "1,2"),
            ["`seed` is not known", "weight_decay", "method"],
        ),
        (("lr", ""), ["`lr` has no values", "commas", "lr=1e-5,3e-5"]),
        (("lr", "1e-5,x"), ["train.lr", "cannot be x", "f64"]),
        (("lr", "1e-5,7"), ["train.lr", "7", "out of range 0 to 1"]),
        (
            ("batch_size", "8,0"),
            ["train.batch_size", "0", "at least 1"],
        ),
        (("schedule", "wavy"), ["train.schedule", "wavy", "cosine"]),
        (("method", "lorra"), ["method", "lorra", "lora"]),
        (
            ("lora.rank", "4,8"),
            ["lora.rank", "counts for no candidate", "--method lora"],
        ),
        (("lora.rank", "0,8"), ["method.lora.rank", "0", "1 to 1024"]),
        (("lora.rank", "few"), ["method.lora.rank", "few", "usize"]),
    ] {
        let said = wrong(&[over]);
        for phrase in phrases {
            assert!(said.contains(phrase), "{over:?}: no `{phrase}` in: {said}");
        }
    }
    let text = "[tune]\neta = 1\ntrials = 0\n[tune.over]\nlr = 1e-5\n\"train.lr\" = [1e-5]\n";
    let read = Recipe::parse(text).unwrap();
    let said: Vec<String> = read.problems().iter().map(ToString::to_string).collect();
    let said = said.join("\n");
    for phrase in ["tune.eta", "tune.trials", "no list of values"] {
        assert!(said.contains(phrase), "no `{phrase}` in: {said}");
    }
    let text = "[tune.over]\nlr = [1e-5]\n\"train.lr\" = [1e-5]\n";
    let said = Recipe::parse(text).unwrap().problems();
    assert!(
        said.iter().any(|p| p.text.contains("named twice")),
        "{said:?}"
    );
    let values: Vec<String> = (1..=200).map(|i| i.to_string()).collect();
    let values = values.join(",");
    let said = wrong(&[("batch_size", &values), ("accumulate", &values)]);
    assert!(said.contains("more than 10000"), "{said}");
}

#[test]
fn every_key_that_is_offered_can_be_set() {
    for key in KEYS {
        let table = toml::Table::try_from(Recipe {
            train: crate::recipe::TrainRecipe {
                epochs: Some(1.0),
                lr: Some(0.1),
                dropout: Some(0.1),
                ema: Some(0.5),
                wise_ft: Some(0.5),
                ..Default::default()
            },
            ..recipe()
        });
        let table = table.unwrap();
        let (section, name) = key.split_once('.').unwrap();
        let value = &table[section][name];
        assert!(applied(&recipe(), key, value).unwrap().is_some(), "{key}");
        assert_eq!(full(name).as_deref(), Some(key));
    }
}
