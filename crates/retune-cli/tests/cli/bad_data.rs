//! Data that cannot be used as it is: the error names the place and the cure.

use crate::{Folder, reviews, table};

#[test]
fn a_misspelt_column_suggests_the_nearest() {
    let folder = Folder::with_reviews();
    folder.plan(&["data.csv", "--label", "lable"]).refuses(&[
        "lable",
        "did you mean `label`",
        "text",
    ]);
}

#[test]
fn a_missing_file_is_named() {
    let folder = Folder::new();
    folder.plan(&["missing.csv"]).refuses(&["missing.csv"]);
    folder
        .retune(&["inspect", "missing.csv"])
        .refuses(&["missing.csv"]);
}

#[test]
fn a_few_unlabelled_rows_are_left_out_and_counted() {
    let folder = Folder::new();
    folder.write("data.csv", reviews(60) + "no label here,\nnor here,\n");
    let shown = folder.plan(&["data.csv"]).succeeds().stdout;
    assert!(shown.contains("2 rows without a label"), "{shown}");
}

#[test]
fn mostly_unlabelled_rows_are_refused() {
    let folder = Folder::new();
    folder.write(
        "data.csv",
        table("text,label", 100, |row| match row % 5 {
            0 => format!("a good film {row},positive"),
            1 => format!("a bad film {row},negative"),
            _ => format!("nothing is known about {row},"),
        }),
    );
    folder
        .plan(&["data.csv", "--label", "label"])
        .refuses(&["label"]);
}

#[test]
fn one_class_is_nothing_to_learn() {
    let folder = Folder::new();
    let rows = table("text,label", 40, |row| {
        format!("a good movie {row},positive")
    });
    folder.write("data.csv", rows);
    folder
        .plan(&["data.csv", "--label", "label"])
        .refuses(&["one class", "positive"]);
}

#[test]
fn a_class_with_one_row_is_kept() {
    let folder = Folder::new();
    folder.write("data.csv", reviews(60) + "a film with a plot,mixed\n");
    folder.plan(&["data.csv"]).succeeds();
}

#[test]
fn an_empty_text_is_no_reason_to_stop() {
    let folder = Folder::new();
    folder.write("data.csv", reviews(60) + "\"\",positive\n");
    folder.train(&["data.csv", "--out", "out"]).succeeds();
    let found = folder.retune(&["inspect", "data.csv"]).succeeds();
    assert!(
        found.stdout.to_lowercase().contains("empty"),
        "{}",
        found.stdout
    );
}

#[test]
fn words_among_numbers_are_placed() {
    let folder = Folder::new();
    let rows = table("text,score", 40, |row| {
        format!("a film about {row},{}.5", row % 7)
    });
    folder.write("data.csv", rows + "a film about words,quite good\n");
    folder
        .plan(&["data.csv", "--task", "text-regression", "--label", "score"])
        .refuses(&["score", "line 42", "quite good"]);
}

#[test]
fn a_ragged_row_names_its_line() {
    let folder = Folder::new();
    folder.write(
        "data.csv",
        reviews(10) + "one, two, three,positive\n" + "more,negative\n",
    );
    folder.plan(&["data.csv"]).refuses(&["data.csv", "line 12"]);
    folder
        .retune(&["inspect", "data.csv"])
        .refuses(&["data.csv", "line 12"]);
}

#[test]
fn bytes_that_are_not_utf8_name_their_line_and_the_flag() {
    let folder = Folder::new();
    let mut bytes = reviews(30).into_bytes();
    bytes.extend(b"un caf\xe9 sympa,positive\n");
    folder.write("data.csv", &bytes);
    folder
        .plan(&["data.csv"])
        .refuses(&["data.csv", "line 32", "--encoding windows-1252"]);
    folder
        .plan(&["data.csv", "--encoding", "windows-1252"])
        .succeeds();
}

#[test]
fn an_empty_file_is_refused() {
    let folder = Folder::new();
    folder.write("data.csv", "");
    folder.plan(&["data.csv"]).refuses(&["data.csv", "empty"]);
    folder.write("data.csv", "text,label\n");
    folder.plan(&["data.csv"]).refuses(&["data.csv"]);
}

#[test]
fn a_test_file_with_an_unknown_class_is_placed() {
    let folder = Folder::with_reviews();
    folder.write("test.csv", reviews(10) + "a film,superb\n");
    folder
        .plan(&["data.csv", "--test", "test.csv"])
        .refuses(&["superb", "test.csv"]);
}

#[test]
fn eval_and_predict_name_a_missing_column() {
    let folder = Folder::with_bundle();
    folder.write("other.csv", "review,label\nfine,positive\n");
    for command in ["eval", "predict"] {
        folder
            .retune(&[command, "out", "--data", "other.csv"])
            .refuses(&["text", "review"]);
    }
}
