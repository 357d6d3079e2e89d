//! The classical floor against scikit-learn's values in `golden/classical.json`, and on awkward data.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::Value;

use super::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/classical.json");

fn golden() -> Value {
    serde_json::from_str(&std::fs::read_to_string(GOLDEN).unwrap()).unwrap()
}

fn list(v: &Value) -> &[Value] {
    v.as_array().unwrap()
}

fn rows(v: &Value) -> Vec<Vec<String>> {
    let row = |text: &Value| vec![text.as_str().unwrap().to_string()];
    list(v).iter().map(row).collect()
}

fn texts(texts: &[&str]) -> Vec<Vec<String>> {
    texts.iter().map(|t| vec![(*t).to_string()]).collect()
}

fn setting(case: &Value) -> Setting {
    Setting {
        grams: match case["grams"].as_str().unwrap() {
            "chars" => Grams::Chars,
            words => Grams::Words(words.parse().unwrap()),
        },
        min_rows: case["min_rows"].as_u64().unwrap() as u32,
        c: case["c"].as_f64().unwrap(),
    }
}

fn names(n: u64) -> Vec<String> {
    (0..n).map(|i| i.to_string()).collect()
}

fn targets(case: &Value) -> (Vec<Target>, Labels) {
    let outputs = case["outputs"].as_u64().unwrap();
    let target = |v: &Value| match case["kind"].as_str().unwrap() {
        "classes" => Target::Class(v.as_u64().unwrap() as u32),
        "labels" => Target::Labels(list(v).iter().map(Value::as_bool).collect()),
        _ => Target::Value(v.as_f64().unwrap() as f32),
    };
    let labels = match case["kind"].as_str().unwrap() {
        "classes" => Labels::Classes {
            names: names(outputs),
        },
        "labels" => Labels::MultiLabel {
            names: names(outputs),
        },
        _ => Labels::Number {
            mean: 3.0,
            std: 2.0,
        },
    };
    (list(&case["targets"]).iter().map(target).collect(), labels)
}

#[test]
fn features_are_those_of_scikit_learn() {
    let golden = golden();
    let (train, test) = (rows(&golden["train"]), rows(&golden["test"]));
    for case in list(&golden["features"]) {
        let s = setting(case);
        let vocabulary = Vocabulary::learn(&train, s.grams, s.min_rows, usize::MAX);
        let x = vocabulary.rows(&test);
        assert_eq!(x.cols as u64, case["features"].as_u64().unwrap(), "{s}");
        for (row, expected) in list(&case["rows"]).iter().enumerate() {
            let expected = expected.as_object().unwrap();
            assert_eq!(x.row(row).len(), expected.len(), "{s} row {row}");
            for (gram, value) in expected {
                let col = vocabulary.column(gram).unwrap();
                let found = x.row(row).iter().find(|e| e.0 == col).unwrap().1;
                let off = f64::from(found) - value.as_f64().unwrap();
                assert!(off.abs() < 1e-6, "{s} row {row} `{gram}`: {found}");
            }
        }
    }
}

#[test]
fn answers_are_those_of_scikit_learn() {
    let golden = golden();
    let (train, test) = (rows(&golden["train"]), rows(&golden["test"]));
    for case in list(&golden["answers"]) {
        let (targets, labels) = targets(case);
        let given = Classical {
            train: &train,
            targets: &targets,
            valid: &[],
            test: &test,
            labels: &labels,
            effort: Effort::Fast,
        };
        let found = answers(&given, &setting(case));
        let expected = list(&case["expected"]);
        assert_eq!(found.data.len(), expected.len());
        for (found, expected) in found.data.iter().zip(expected) {
            let off = f64::from(*found) - expected.as_f64().unwrap();
            assert!(
                off.abs() < 1e-3,
                "{}: {found}, not {expected}",
                case["name"]
            );
        }
    }
}

fn classes(n: u64) -> Labels {
    Labels::Classes { names: names(n) }
}

fn class_targets(classes: &[u32]) -> Vec<Target> {
    classes.iter().map(|c| Target::Class(*c)).collect()
}

/// Answers on `test` where the validation rows are the training rows and the score counts right answers.
fn answer(
    train: &[Vec<String>],
    right: &[u32],
    classes: &Labels,
    test: &[Vec<String>],
    effort: Effort,
) -> Answers {
    let given = Classical {
        train,
        targets: &class_targets(right),
        valid: train,
        test,
        labels: classes,
        effort,
    };
    let score = |m: &Matrix| {
        let hit = |row: usize| retune_eval::predictions::top(m.row(row)) as u32 == right[row];
        (0..m.rows).filter(|&row| hit(row)).count() as f64
    };
    scores(&given, &score).unwrap()
}

#[test]
fn awkward_rows_get_probabilities_all_the_same() {
    let train = texts(&["good film", "bad film", "", "...", "good"]);
    let test = texts(&["", "qqq zzz", "good film", "bad"]);
    for effort in [Effort::Fast, Effort::Full] {
        // Class 1 of three has no training row.
        let found = answer(&train, &[2, 0, 0, 2, 2], &classes(3), &test, effort).test;
        assert_eq!((found.rows, found.cols), (4, 3));
        for row in 0..4 {
            let sum: f32 = found.row(row).iter().sum();
            assert!((sum - 1.0).abs() < 1e-6 && found.row(row)[1] == 0.0);
        }
        assert!(found.row(2)[2] > 0.5 && found.row(3)[0] > found.row(2)[0]);
        assert_eq!(found.row(0), found.row(1), "no known word is no word");
    }
}

#[test]
fn one_class_is_certain_and_no_rows_are_no_answer() {
    let train = texts(&["a film", "b film"]);
    let found = answer(&train, &[1, 1], &classes(2), &train, Effort::Fast).test;
    assert_eq!(found.data, [0.0, 1.0, 0.0, 1.0]);
    let given = Classical {
        train: &[],
        targets: &[],
        valid: &[],
        test: &train,
        labels: &classes(2),
        effort: Effort::Fast,
    };
    assert!(scores(&given, &|_| 0.0).is_none());
}

#[test]
fn a_label_that_all_known_rows_have_is_constant() {
    let train = texts(&["good film", "bad film", "so so"]);
    let targets: Vec<Target> = [
        [Some(true), None, Some(true)],
        [Some(true), None, Some(false)],
        [None, None, None],
    ]
    .map(|flags| Target::Labels(flags.to_vec()))
    .into();
    let labels = Labels::MultiLabel { names: names(3) };
    let given = Classical {
        train: &train,
        targets: &targets,
        valid: &[],
        test: &texts(&["good", "bad"]),
        labels: &labels,
        effort: Effort::Fast,
    };
    let found = scores(&given, &|_| f64::NAN).unwrap().test;
    assert_eq!([found.row(0)[0], found.row(0)[1]], [1.0, 0.0]);
    assert!(found.row(0)[2] > 0.5 && found.row(1)[2] < 0.5);
}

#[test]
fn the_validation_rows_choose() {
    let train = texts(&["good film", "bad film", "good one", "bad one"]);
    let targets = class_targets(&[1, 0, 1, 0]);
    let given = Classical {
        train: &train,
        targets: &targets,
        valid: &train,
        test: &train,
        labels: &classes(2),
        effort: Effort::Full,
    };
    let sure = |m: &Matrix| f64::from(m.row(0)[1]);
    let strong = scores(&given, &|m| -sure(m)).unwrap();
    let weak = scores(&given, &sure).unwrap();
    assert_eq!((strong.setting.c, weak.setting.c), (0.01, 100.0));
    assert_eq!(weak.test, weak.valid);
    assert_eq!(
        weak.test,
        answers(&given, &weak.setting),
        "the same setting gives the same answers"
    );
}

#[test]
fn the_column_of_a_word_counts() {
    let pair = |a: &str, b: &str| vec![a.to_string(), b.to_string()];
    let train = [pair("fine", "dull"), pair("dull", "fine")];
    let found = answer(&train, &[0, 1], &classes(2), &train, Effort::Fast).test;
    assert!(found.row(0)[0] > 0.5 && found.row(1)[1] > 0.5);
}

#[test]
fn texts_without_spaces_are_learned() {
    let train = texts(&[
        "这部电影非常好看",
        "这部电影非常难看",
        "演员好看",
        "故事难看",
    ]);
    let test = texts(&["音乐好看极了", "音乐难看极了"]);
    let found = answer(&train, &[1, 0, 1, 0], &classes(2), &test, Effort::Fast);
    assert_eq!(found.setting.grams, Grams::Chars);
    assert!(found.test.row(0)[1] > 0.5 && found.test.row(1)[0] > 0.5);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let golden = golden();
    let (train, test) = (rows(&golden["train"]), rows(&golden["test"]));
    let case = &list(&golden["answers"])[0];
    let right: Vec<u32> = list(&case["targets"])
        .iter()
        .map(|v| v.as_u64().unwrap() as u32)
        .collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let run = || answer(&train, &right, &classes(2), &test, Effort::Full);
        pool.unwrap().install(run).test.data
    };
    let one = run(1);
    assert!(run(2) == one && run(4) == one);
}
