//! What a run will take, what it took, and what there is.

use crate::Folder;

#[test]
fn what_cannot_fit_into_memory_is_not_begun() {
    let folder = Folder::with_reviews();
    let small = ["data.csv", "--memory", "0.01", "--out", "out"];
    for outcome in [folder.plan(&small), folder.train(&small)] {
        outcome.refuses(&[
            "memory (--memory): the run needs about 0.",
            "may use 0.01 GB",
            "a smaller model with --model",
        ]);
        assert!(!folder.path("out").exists());
    }
    folder
        .plan(&["data.csv", "--memory", "0"])
        .refuses(&["memory (--memory): 0 is out of range"]);
    folder
        .train(&["data.csv", "--memory", "1e6", "--out", "out"])
        .succeeds();
}

#[test]
fn a_run_tells_what_it_took_and_what_was_forecast() {
    let folder = Folder::with_reviews();
    let said = folder.train(&["data.csv", "--out", "out"]).succeeds();
    let said = said.says(&["GB of memory (forecast: "]);
    let read =
        |file: &str| -> serde_json::Value { serde_json::from_str(&folder.read(file)).unwrap() };
    let bundle = read("out/bundle.json");
    let bytes = bundle["forecast"]["memory_bytes"].as_f64().unwrap();
    assert!(bundle["forecast"]["seconds"].is_number());
    let shown = format!("{:.2} GB", bytes / 1e9);
    assert!(said.stderr.contains(&shown), "{shown}: {}", said.stderr);
    let run = read("out/run.json");
    let machine = run["machine"].as_array().unwrap();
    for (name, value) in [
        ("peak memory", None),
        ("peak memory forecast", Some(&shown)),
    ] {
        let row = machine.iter().find(|row| row[0] == name).unwrap();
        assert!(value.is_none_or(|value| row[1] == value.as_str()), "{row}");
    }
    // The program, the tokenizer and the tables of kernels outweigh this model; a real one is in bench/results.
    let peak = bundle["peak_rss_bytes"].as_f64().unwrap_or(bytes);
    assert!(
        bytes > peak / 3.0 && bytes < peak * 3.0,
        "{bytes} and {peak}"
    );
}
