//! Recommenders at the command line: the whole way on a small shop, and events and items as nobody would wish for.

use std::fmt::Write as _;

use crate::{Folder, Outcome};

/// Runs without a text encoder and with few steps.
const QUICK: [&str; 8] = [
    "--encoder",
    "none",
    "--epochs",
    "2",
    "--verdict",
    "off",
    "--out",
    "out",
];

impl Outcome {
    /// Succeeds, and stdout holds every one of the phrases.
    #[track_caller]
    fn answers(self, phrases: &[&str]) -> Self {
        let outcome = self.succeeds();
        for phrase in phrases {
            assert!(
                outcome.stdout.contains(phrase),
                "no `{phrase}` in:\n{}",
                outcome.stdout
            );
        }
        outcome
    }
}

/// 30 users who take items of their own half of the catalogue, one a day.
fn events() -> String {
    let mut text = String::from("user_id,item_id,timestamp\n");
    for user in 0..30 {
        for step in 0..8 {
            let item = (user % 2) * 10 + (user * 3 + step) % 10;
            let _ = writeln!(text, "u{user},i{item},{}", 1_700_000_000 + step * 86_400);
        }
    }
    text
}

fn items() -> String {
    let mut text = String::from("item_id,title,genre\n");
    for item in 0..20 {
        let genre = if item < 10 { "tea" } else { "coffee" };
        let _ = writeln!(text, "i{item},Blend number {item},{genre}");
    }
    text
}

fn shop() -> Folder {
    let folder = Folder::new();
    folder.write("events.csv", events());
    folder.write("items.csv", items());
    folder
}

fn train(folder: &Folder, more: &[&str]) -> Outcome {
    folder.retune(&[&["train", "events.csv"], more, &QUICK[..]].concat())
}

#[test]
fn a_shop_is_learned_and_asked() {
    let folder = shop();
    folder
        .retune(&[
            "plan",
            "events.csv",
            "--items",
            "items.csv",
            "--encoder",
            "none",
        ])
        .answers(&["recommend", "the last event is the test"]);
    train(&folder, &["--items", "items.csv"]).answers(&["ndcg@10", "item-kNN", "recommend out"]);
    assert!(folder.read("out/report.html").contains("item-kNN"));
    let one = folder.retune(&["recommend", "out", "--user", "u3", "-k", "2", "--because"]);
    let one = one.answers(&["because of"]);
    assert_eq!(one.stdout.lines().count(), 2);
    let tea = folder.retune(&[
        "recommend",
        "out",
        "--history",
        "i1,i2",
        "--filter",
        "seen,genre=tea",
        "--json",
    ]);
    let tea = tea.json();
    let picks = tea["items"].as_array().unwrap();
    assert_eq!(picks.len(), 8);
    folder
        .retune(&[
            "recommend",
            "out",
            "--all-users",
            "-k",
            "3",
            "--out",
            "all.parquet",
        ])
        .succeeds()
        .says(&["90 rows for 30 users"]);
    folder
        .retune(&["recommend", "out", "--vectors", "items", "--out", "v.csv"])
        .succeeds();
    assert_eq!(folder.read("v.csv").lines().count(), 21);
    wrong_questions(&folder);
}

/// What nobody can answer, to the recommender in `out`.
fn wrong_questions(folder: &Folder) {
    folder
        .retune(&["recommend", "out", "--user", "nobody"])
        .refuses(&["nobody", "--history"]);
    folder
        .retune(&["recommend", "out", "--history", "i99"])
        .refuses(&["i99", "did you mean"]);
    folder
        .retune(&["recommend", "out", "--user", "u1", "--filter", "colour=red"])
        .refuses(&["colour", "genre"]);
    folder
        .retune(&["recommend", "out"])
        .refuses(&["--user", "--history"]);
    folder
        .retune(&[
            "recommend",
            "out",
            "--user",
            "u1",
            "--add-items",
            "items.csv",
        ])
        .refuses(&["ids alone", "--items"]);
    folder
        .retune(&["predict", "out", "x"])
        .refuses(&["retune recommend"]);
}

#[test]
fn an_item_that_is_there_twice_is_named_with_both_places() {
    let folder = shop();
    folder.write("items.csv", items() + "i4,Again,tea\n");
    train(&folder, &["--items", "items.csv"]).refuses(&["i4", "line 6", "line 22", "items.csv"]);
    assert!(!folder.path("out").exists());
}

#[test]
fn missing_texts_unknown_items_and_single_events_are_counted() {
    let folder = shop();
    folder.write(
        "items.csv",
        items().replace("i3,Blend number 3,tea", "i3,,") + "i77,Never taken,tea\n",
    );
    folder.write(
        "events.csv",
        events() + "lonely,i1,1700000000\nu1,i55,1800000000\n",
    );
    train(&folder, &["--items", "items.csv"]).succeeds().says(&[
        "i3",
        "i77",
        "i55",
        "have no text",
    ]);
}

#[test]
fn times_of_two_units_are_an_error_that_names_a_row_of_each() {
    let folder = shop();
    folder.write("events.csv", events() + "u1,i1,1700000000000\n");
    train(&folder, &[]).refuses(&["line 242", "milliseconds", "seconds"]);
}

#[test]
fn what_leaves_nothing_to_learn_is_refused() {
    let folder = shop();
    train(&folder, &["--min-user-events", "50"]).refuses(&["50", "--min-user-events"]);
    train(&folder, &["--min-user-events", "1"]).refuses(&["min_user_events", "at least 3"]);
    train(&folder, &["--batch-size", "4"]).refuses(&["train.batch_size", "users_per_step"]);
    train(&folder, &["--heads", "3"]).refuses(&["heads", "width"]);
    train(&folder, &["--mode", "inductive"]).refuses(&["--items"]);
    train(&folder, &["--mode", "lora"]).refuses(&["retune pretrain"]);
    train(&folder, &["--protocol", "temporal", "--cut-off", "soon"]).refuses(&["soon", "10%"]);
    train(&folder, &["--user", "who"]).refuses(&["who", "user_id"]);
    train(&folder, &["--model", "."]).refuses(&["--model", "."]);
    folder.write("events.csv", "user_id,item_id,timestamp\n");
    train(&folder, &[]).refuses(&["events.csv"]);
    folder.write("events.csv", events() + "u1,i1,soon\n");
    train(&folder, &[]).refuses(&["soon", "line 242", "timestamp"]);
}

#[test]
fn ids_may_hold_separators_and_any_script() {
    let folder = Folder::new();
    let mut text = String::from("user_id,item_id,timestamp\n");
    for user in 0..12 {
        for step in 0..6 {
            let item = (user + step) % 8;
            let _ = writeln!(
                text,
                "\"Zoë, {user}\",\"茶|{item}, grün\",{}",
                1_700_000_000 + step
            );
        }
    }
    folder.write("events.csv", text);
    train(&folder, &[]).succeeds();
    folder
        .retune(&["recommend", "out", "--user", "Zoë, 3", "-k", "1"])
        .answers(&["茶|"]);
    folder
        .retune(&["recommend", "out", "--history", "茶|2, grün", "-k", "1"])
        .succeeds();
}

#[test]
fn the_future_is_asked_for_after_a_common_moment() {
    let folder = shop();
    train(
        &folder,
        &["--protocol", "temporal", "--cut-off", "2023-11-20"],
    )
    .succeeds()
    .says(&["nothing from 2023-11-20"]);
}

/// Whether a user of [`purchases`] buys at a step, and the item that comes next.
fn next(user: u64, step: u64, item: u64) -> (bool, u64) {
    let bought = (user * 7 + step * 5 + user * step).is_multiple_of(3);
    (bought, (item + if bought { 11 } else { 1 }) % 12)
}

/// 60 users in whose histories only what was done tells what comes next: after a purchase the item before, else the item after.
fn purchases() -> String {
    let mut text = String::from("user_id,item_id,event,timestamp\n");
    for user in 0..60_u64 {
        let mut item = user % 12;
        for step in 0..14 {
            let (bought, after) = next(user, step, item);
            let event = if bought { "buy" } else { "view" };
            let _ = writeln!(
                text,
                "u{user},i{item},{event},{}",
                1_700_000_000 + step * 60
            );
            item = after;
        }
    }
    text
}

#[test]
fn what_was_done_tells_what_comes_next() {
    let folder = Folder::new();
    folder.write("events.csv", purchases());
    let run = |out: &str, more: &[&str]| {
        let usual = [
            "train",
            "events.csv",
            "--encoder",
            "none",
            "--epochs",
            "60",
            "--verdict",
            "off",
        ];
        let sized = [
            "--users-per-step",
            "16",
            "--seen",
            "show",
            "--lr",
            "0.005",
            "--out",
            out,
        ];
        let run = folder
            .retune(&[&usual[..], &sized, more].concat())
            .succeeds();
        let figures: serde_json::Value =
            serde_json::from_str(&folder.read(&format!("{out}/metrics.json"))).unwrap();
        (run, figures["metrics"]["hr@1"]["value"].as_f64().unwrap())
    };
    let (_, without) = run("without", &["--kinds", "false"]);
    let (_, with) = run("with", &[]);
    assert!(
        with > 0.8 && without < 0.8,
        "{with} with kinds, {without} without"
    );
    let plan = folder.retune(&["plan", "events.csv", "--encoder", "none"]);
    plan.answers(&["2 kinds of events"]);
    let first = |user: &str| {
        let json = folder
            .retune(&["recommend", "with", "--user", user, "-k", "1", "--json"])
            .json();
        json["items"][0]["item"].as_str().unwrap().to_string()
    };
    let known: Vec<String> = (0..60).map(|user| first(&format!("u{user}"))).collect();
    let right = (0..60_u64).filter(|user| {
        let item = (0..14).fold(user % 12, |item, step| next(*user, step, item).1);
        known[*user as usize] == format!("i{item}")
    });
    assert!(right.count() > 45, "{known:?}");
}

#[test]
fn kinds_that_cannot_be_read_are_refused() {
    let folder = Folder::new();
    folder.write("events.csv", purchases());
    train(&folder, &[]).succeeds();
    let more = ["--model", "out", "--kinds", "false"];
    train(&folder, &more).refuses(&["--kinds", "leave it out"]);
    folder.write("plain.csv", events());
    folder
        .retune(&["plan", "plain.csv", "--kinds", "true"])
        .refuses(&["--kinds", "--event"]);
}

#[test]
fn recommenders_are_compared_over_users() {
    let folder = shop();
    let mut more = events();
    more.push_str("u30,i20,1700000000\n".repeat(6).as_str());
    folder.write("more.csv", more);
    for (data, epochs, out) in [
        ("events.csv", "1", "short"),
        ("events.csv", "6", "long"),
        ("more.csv", "1", "other"),
    ] {
        let form = [
            "--encoder",
            "none",
            "--verdict",
            "off",
            "--task",
            "recommend",
        ];
        let given = ["train", data, "--epochs", epochs, "--out", out];
        folder.retune(&[&given[..], &form].concat()).succeeds();
    }
    let compare = |left: &str, right: &str| {
        let outcome = folder.retune(&["compare", left, right, "--json"]);
        outcome.succeeds().json()
    };
    let json = compare("long", "short");
    let value = |run: usize| {
        let figure = &json["runs"][run]["metrics"]["ndcg@10"]["value"];
        figure.as_f64().unwrap()
    };
    let found = &json["comparisons"][0]["verdict"];
    assert_eq!(found["metric"], "ndcg@10", "{json:#}");
    let [difference, low, high] = ["difference", "low", "high"].map(|k| found[k].as_f64().unwrap());
    assert!(
        (difference - (value(0) - value(1))).abs() < 1e-9,
        "{json:#}"
    );
    assert!(
        difference != 0.0 && low < difference && difference < high,
        "{json:#}"
    );
    let why = |json: &serde_json::Value| json["unpaired"][0]["why"].to_string();
    assert!(why(&compare("long", "other")).contains("labels or items"));
    std::fs::remove_file(folder.path("short/predictions.parquet")).unwrap();
    assert!(why(&compare("long", "short")).contains("train it anew"));
}
