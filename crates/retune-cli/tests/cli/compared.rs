//! Looking before tuning, and comparing after it.

use super::{Folder, tiny};

/// Reviews of which every tenth has the wrong label, and one of the test rows nearly repeats a training row.
fn doubtful() -> String {
    let films = ["drama", "comedy", "thriller", "western", "musical"];
    super::table("text,label", 200, |row| {
        let good = row % 2 == 0;
        let film = films[row / 2 % films.len()];
        let text = if good {
            format!("a wonderful {film} with great acting and a lovely score number {row}")
        } else {
            format!("a terrible {film} with an awful plot and a dull script number {row}")
        };
        let label = good != (row % 20 == 7);
        format!("{text},{}", if label { "positive" } else { "negative" })
    })
}

#[test]
fn a_closer_look_finds_wrong_labels_and_writes_them_down() {
    let folder = Folder::new();
    folder.write("data.csv", doubtful());
    folder.write(
        "test.csv",
        "text,label\nsomething else altogether was said about it here,positive\n\
         a wonderful drama with great acting and a lovely score number 20!,positive\n",
    );
    let tiny = tiny().to_str().unwrap();
    let arguments = [
        "inspect",
        "data.csv",
        "--test",
        "test.csv",
        "--deep",
        "--model",
        tiny,
        "--out",
        "doubts.csv",
    ];
    let json = folder
        .retune(&[&arguments[..], &["--json"]].concat())
        .succeeds()
        .json();
    let doubts = json["doubts"].as_array().unwrap();
    // Rows 7, 27, …: ten of them, on the lines two below.
    let wrong = |doubt: &serde_json::Value| {
        let place = doubt["place"].as_str().unwrap();
        let line: usize = place.rsplit(' ').next().unwrap().parse().unwrap();
        place.contains("data.csv") && (line - 2) % 20 == 7
    };
    let found = doubts.iter().take(10).filter(|doubt| wrong(doubt)).count();
    assert_eq!(found, 10, "{doubts:#?}");
    assert_eq!(doubts[0]["label"], "positive");
    assert_eq!(doubts[0]["instead"], "negative");
    let copies = json["near_duplicates"].as_array().unwrap();
    assert!(
        copies
            .iter()
            .any(|copy| copy["sides"][0] == "test" && copy["sides"][1] == "train"),
        "{copies:#?}"
    );
    let written = folder.read("doubts.csv");
    assert!(
        written.starts_with("row,instead,suspicion,text,label\n"),
        "{written}"
    );
    assert_eq!(written.lines().count(), doubts.len() + 1);
    let text = folder.retune(&arguments).succeeds().stdout;
    assert!(text.contains("Labels in doubt: "), "{text}");
    folder
        .retune(&["inspect", "data.csv", "--out", "doubts.csv"])
        .refuses(&["--deep"]);
    let other = [&arguments[..8], &["doubts.txt"]].concat();
    folder.retune(&other).refuses(&["doubts.txt", ".csv"]);
}

/// Runs `a-1`, `a-2` of one recipe and `b-1`, `b-2` of another, measured on the same rows.
fn four_runs() -> Folder {
    let folder = Folder::new();
    folder.write("test.csv", super::reviews(100));
    let line = |row: usize| {
        let (word, label) = [("good", "positive"), ("bad", "negative")][row % 2];
        format!("one more {word} film to train on {row},{label}")
    };
    folder.write("train.csv", super::table("text,label", 60, line));
    for (out, seed, lr) in [
        ("a-1", "1", "1e-3"),
        ("a-2", "2", "1e-3"),
        ("b-1", "3", "1e-5"),
        ("b-2", "4", "1e-5"),
    ] {
        let flags = ["--out", out, "--seed", seed, "--lr", lr];
        let data = ["train.csv", "--test", "test.csv", "--verdict", "off"];
        folder.train(&[&data[..], &flags].concat()).succeeds();
    }
    folder
}

#[test]
fn runs_are_compared_one_by_one_or_as_recipes() {
    let folder = four_runs();
    let one_by_one = folder
        .retune(&["compare", "a-1", "a-2", "b-1", "--json"])
        .succeeds();
    let json = one_by_one.json();
    assert_eq!(json["comparisons"].as_array().unwrap().len(), 3);
    let notes = json["notes"].to_string();
    assert!(notes.contains("a-1 and a-2 are of one recipe"), "{notes}");
    assert!(!notes.contains("a-1 and b-1"), "{notes}");
    assert!(
        notes.contains("another seed") && notes.contains("--against"),
        "{notes}"
    );

    let recipes = ["compare", "a-1", "a-2", "--against", "b-1", "b-2"];
    let json = folder
        .retune(&[&recipes[..], &["--json"]].concat())
        .succeeds()
        .json();
    let comparisons = json["comparisons"].as_array().unwrap();
    assert_eq!(comparisons.len(), 1);
    assert_eq!(comparisons[0]["left"], "a-1 + a-2");
    let value = |run: usize| {
        json["runs"][run]["metrics"]["accuracy"]["value"]
            .as_f64()
            .unwrap()
    };
    let difference = (value(0) + value(1) - value(2) - value(3)) / 2.0;
    let told = comparisons[0]["verdict"]["difference"].as_f64().unwrap();
    assert!((told - difference).abs() < 1e-9, "{told} {difference}");
    assert!(!json["notes"].to_string().contains("another seed"));
    folder.retune(&recipes).succeeds();

    folder
        .retune(&["compare", "a-1", "b-1", "--against", "b-2"])
        .refuses(&["one recipe", "train.lr", "a-1", "b-1"]);
    folder
        .retune(&["compare", "a-1", "--against", "a-1"])
        .refuses(&["named twice"]);
    folder
        .retune(&["compare", "a-1", "--against", "nowhere"])
        .refuses(&["nowhere"]);
    let listed = folder.retune(&["runs", ".", "--json"]).succeeds().json();
    assert_eq!(listed.as_array().unwrap().len(), 4);
}
