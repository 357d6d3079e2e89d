//! Tables and streams of events at the command line: the whole way on small ones, and what nobody would wish for.

use std::fmt::Write as _;

use crate::Folder;

/// 120 readings of machines, of which every third fails where the reading is high.
fn readings() -> String {
    let mut text = String::from("machine_id,heat,kind,label\n");
    for i in 0..120 {
        let heat = (i * 37) % 100;
        let kind = ["press", "saw"][i % 2];
        let label = if heat > 60 { "fails" } else { "runs" };
        let _ = writeln!(text, "m{i},{heat},{kind},{label}");
    }
    text
}

/// Payments of a small made-up world, as `retune simulate` writes them.
fn payments(file: &str) -> Folder {
    let folder = Folder::new();
    folder
        .retune(&[
            "simulate",
            "transactions",
            "--out",
            file,
            "--customers",
            "60",
            "--terminals",
            "40",
            "--days",
            "30",
        ])
        .succeeds();
    folder
}

#[test]
fn a_table_is_told_from_its_columns_and_measured_and_used() {
    let folder = Folder::new();
    folder.write("machines.csv", readings());
    let plan = folder.retune(&["plan", "machines.csv"]).succeeds();
    for phrase in ["tabular-classification", "`label`", "`kind`", "gbdt"] {
        assert!(
            plan.stdout.contains(phrase),
            "no `{phrase}` in:\n{}",
            plan.stdout
        );
    }
    let run = folder
        .retune(&["train", "machines.csv", "--out", "run"])
        .succeeds();
    assert!(
        run.stdout.contains("auroc") && run.stdout.contains("linear"),
        "{}",
        run.stdout
    );
    folder.write("new.csv", "heat,kind\n90,saw\n10,press\n,saw\n50,lathe\n");
    let answers = folder
        .retune(&["predict", "run", "--data", "new.csv"])
        .succeeds();
    let lines: Vec<&str> = answers.stdout.lines().collect();
    assert!(
        lines.len() == 4 && lines[0].starts_with("fails") && lines[1].starts_with("runs"),
        "{lines:?}"
    );
    folder
        .retune(&[
            "predict",
            "run",
            "--data",
            "new.csv",
            "--out",
            "answers.csv",
        ])
        .succeeds();
    assert!(
        folder
            .read("answers.csv")
            .starts_with("heat,kind,predicted,confidence")
    );
    let eval = folder
        .retune(&["eval", "run", "--data", "machines.csv", "--json"])
        .succeeds();
    assert!(eval.stdout.contains("\"auroc\""), "{}", eval.stdout);
}

/// Events without labels are answered, and the figures of others are those of a queue, too, and by segment.
#[track_caller]
fn rated_as_a_queue(folder: &Folder) {
    folder.write(
        "new.csv",
        "event_time,customer_id,terminal_id,amount\n2018-05-01T10:00:00,5,3,900\n2018-05-01T10:01:00,5,3,12.5\n",
    );
    let answers = folder
        .retune(&["predict", "run", "--data", "new.csv"])
        .succeeds();
    assert_eq!(answers.stdout.lines().count(), 2, "{}", answers.stdout);
    let eval = folder
        .retune(&[
            "eval",
            "run",
            "--data",
            "payments.csv",
            "--slice",
            "pattern",
        ])
        .succeeds();
    for phrase in [
        "card_precision@100",
        "recall@0.1%fpr",
        "cost@threshold",
        "false alarms by `pattern`",
        "as the run chose",
    ] {
        assert!(
            eval.stdout.contains(phrase),
            "no `{phrase}` in:\n{}",
            eval.stdout
        );
    }
}

/// The same events in a table get the same answers, and a table without a column that the model reads gets none.
fn scored_from_tables(folder: &Folder, answers: &str) {
    folder.write(
        "today.csv",
        "event_time,customer_id,terminal_id,amount\n\
         2018-05-01T10:00:00,5,3,900\n\
         2018-05-01T10:01:00,5,3,12.5\n",
    );
    let rows = folder
        .retune(&["score", "run", "--data", "today.csv"])
        .succeeds();
    assert_eq!(rows.stdout, answers);
    folder.write(
        "less.csv",
        "event_time,customer_id,amount\n2018-05-01,5,900\n",
    );
    folder
        .retune(&["score", "run", "--data", "less.csv"])
        .refuses(&["no column `terminal_id`"]);
}

#[test]
fn a_stream_of_payments_goes_the_whole_way() {
    let folder = payments("payments.csv");
    let run = folder
        .retune(&[
            "train",
            "payments.csv",
            "--alert",
            "alerts=3",
            "--out",
            "run",
        ])
        .succeeds();
    for phrase in ["average_precision", "recall@1%fpr", "prior"] {
        assert!(
            run.stdout.contains(phrase),
            "no `{phrase}` in:\n{}",
            run.stdout
        );
    }
    assert!(run.stdout.contains("score run"), "{}", run.stdout);
    folder.write(
        "today.jsonl",
        "{\"event_time\": \"2018-05-01T10:00:00\", \"customer_id\": 5, \"terminal_id\": 3, \"amount\": 900}\n\
         {\"event_time\": \"2018-05-01T10:01:00\", \"customer_id\": 5, \"terminal_id\": 3, \"amount\": 12.5}\n",
    );
    let scores = folder
        .retune(&[
            "score",
            "run",
            "--data",
            "today.jsonl",
            "--keep-past",
            "past",
        ])
        .succeeds();
    assert_eq!(scores.stdout.lines().count(), 2, "{}", scores.stdout);
    assert!(scores.stderr.contains("events/s"), "{}", scores.stderr);
    scored_from_tables(&folder, &scores.stdout);
    folder
        .retune(&["score", "run", "--data", "today.jsonl", "--past", "past"])
        .succeeds();
    rated_as_a_queue(&folder);
    folder.retune(&["report", "run"]).succeeds();
    folder
        .retune(&["plan", "payments.csv", "--json"])
        .succeeds();
}

#[test]
fn pictures_and_texts_with_a_label_are_no_tables() {
    let folder = Folder::with_reviews();
    let digits = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/digits.parquet");
    // There is no model in this folder: the error is about the one that pictures and texts need.
    let pictures = folder.retune(&["plan", digits]);
    assert!(
        pictures.stderr.contains("efficientnet-lite0"),
        "{}",
        pictures.stderr
    );
    let texts = folder.retune(&["plan", "data.csv"]);
    assert!(
        texts.stderr.contains("all-minilm-l6-v2"),
        "{}",
        texts.stderr
    );
}

/// Each command, its words divided by spaces, is refused with a message that holds the phrase.
#[track_caller]
fn refused(folder: &Folder, cases: &[(&str, &str)]) {
    for (command, phrase) in cases {
        let arguments: Vec<&str> = command.split(' ').collect();
        let outcome = folder.retune(&arguments);
        assert_eq!(outcome.code, Some(2), "{command}\n{}", outcome.stderr);
        let told = outcome.stderr.contains(phrase);
        assert!(told, "{command}: no `{phrase}` in:\n{}", outcome.stderr);
    }
}

#[test]
fn wrong_tables_and_streams_are_told_with_a_cure() {
    let folder = payments("payments.csv");
    folder.write("machines.csv", readings());
    folder.write(
        "one.csv",
        "a,b,label\n1,2.5,x\n3,4.5,x\n1,2.5,x\n3,0.5,x\n1,2,x\n",
    );
    folder.write(
        "open.csv",
        "rooms,street,rent\n1,elm,2.5\n3,oak,4.5\n1,elm,2.5\n3,oak,0.5\n",
    );
    let cases = [
        ("train open.csv", "name it with --label COLUMN"),
        ("train machines.csv --model gbd", "did you mean `gbdt`?"),
        (
            "train machines.csv --task fraud --label lable",
            "did you mean `label`?",
        ),
        (
            "train one.csv --task tabular-classification",
            "only one class",
        ),
        ("train payments.csv --delay week", "write 7d"),
        (
            "train payments.csv --delay 90d",
            "no event is left for training",
        ),
        ("train payments.csv --time amount", "or another --time"),
        ("train payments.csv --test-from soon", "2018-08-08"),
        ("train payments.csv --alert many", "alerts=100"),
        ("train payments.csv --decide f1", "--alert"),
        ("train payments.csv --entity card", "no column `card`"),
        ("simulate transactions --out a.json", ".parquet"),
        (
            "simulate transactions --out a.csv --customers 0",
            "customers is 0",
        ),
        ("score nowhere --data payments.csv", "nowhere"),
    ];
    refused(&folder, &cases);
}

#[test]
fn knobs_without_effect_and_corrections_that_cannot_be_are_refused() {
    let folder = payments("payments.csv");
    folder.write("machines.csv", readings());
    let cases = [
        (
            "train machines.csv --method lora --schedule cosine",
            "`lora` tunes pre-trained weights",
        ),
        (
            "train payments.csv --model events --event-model retune-txn-base --method lora --with targets=heads",
            "matches no layer of the model of events",
        ),
        (
            "train machines.csv --epochs 3",
            "(--epochs): 3.0 is not read by trees",
        ),
        (
            "train machines.csv --model tabular --batch-size 8",
            "rows per step are tables.rows_per_step",
        ),
        (
            "train machines.csv --test-span 7d",
            "tables that are no stream of events",
        ),
        ("train payments.csv --max-rows 100", "a division in time"),
        ("train payments.csv --slice channel", "no column `channel`"),
        (
            "train payments.csv --keep-legitimate 0",
            "try 0.1, or 1 for all of them",
        ),
        (
            "train payments.csv --keep-legitimate 0.001",
            "20 are needed",
        ),
        (
            "train machines.csv --keep-legitimate 0.1",
            "tables that are no stream of events",
        ),
        (
            "train machines.csv --label heat --task tabular-regression --calibrate platt",
            "is for two classes",
        ),
        ("train payments.csv --rolling 0", "try 4"),
        (
            "train payments.csv --rolling 50",
            "no event is left for test",
        ),
        ("train machines.csv --calibrate sigmoid", "`isotonic`"),
    ];
    refused(&folder, &cases);
}

#[test]
fn wrong_events_are_told_with_their_line() {
    let folder = payments("payments.csv");
    folder.write("machines.csv", readings());
    folder
        .retune(&["train", "machines.csv", "--out", "run", "--verdict", "off"])
        .succeeds();
    folder.write("events.jsonl", "{\"heat\": \"hot\"}\n");
    folder.write("notes.txt", "a note\n");
    let cases = [
        ("score run --data events.jsonl", "line 1"),
        ("score run --data payments.csv", "no column `heat`"),
        ("score run --data notes.txt", "not a JSON object"),
        ("predict run a-text", "--data FILE"),
        ("predict run --data payments.csv", "no column `heat`"),
    ];
    refused(&folder, &cases);
}

#[test]
fn a_model_of_events_learns_without_labels_and_helps_with_few() {
    let folder = payments("payments.csv");
    let words = "pretrain payments.csv --event-width 16 --max-steps 60 --out history";
    let words: Vec<&str> = words.split(' ').collect();
    let told = folder.retune(&words).succeeds();
    assert!(
        told.stdout.contains("--event-model history"),
        "{}",
        told.stdout
    );
    let words =
        "train payments.csv --model linear --event-model history --label-share 0.5 --out few";
    let words: Vec<&str> = words.split(' ').collect();
    let told = folder.retune(&words).succeeds();
    assert!(told.stdout.contains("no_history"), "{}", told.stdout);
    folder.write(
        "tiny.csv",
        "time,card,amount\n2020-01-01,a,1\n2020-01-02,b,3\n",
    );
    folder.write("plain.csv", readings());
    let cases = [
        ("pretrain plain.csv", "--entity"),
        ("pretrain tiny.csv --time time --entity card", "are needed"),
        ("pretrain nowhere.csv", "nowhere.csv"),
        ("pretrain payments.csv --task fraud", "leave --task out"),
        ("pretrain payments.csv --event-width 50", "try 64"),
        ("train payments.csv --event-model nowhere", "nowhere"),
        (
            "train payments.csv --event-model few",
            "retune pretrain EVENTS",
        ),
        ("train payments.csv --model events --past false", "--entity"),
        ("train payments.csv --label-share 0", "try 0.1"),
        ("eval history --data payments.csv", "--event-model history"),
        ("score history --data payments.csv", "history"),
    ];
    refused(&folder, &cases);
}

#[test]
fn a_curve_tells_what_more_labels_are_worth() {
    let folder = payments("payments.csv");
    let told = ["--model", "linear", "--event-model", "retune-txn-base"];
    let curve = |shares: &str, more: &[&str]| {
        let args = ["curve", "payments.csv", "--seeds", "2", "--out", "curve"];
        let asked = ["--json", "--shares", shares];
        folder.retune(&[&args[..], &asked, &told, more].concat())
    };
    let some = curve("50", &[]).succeeds().json();
    let points = some["curve"]["points"].as_array().unwrap();
    assert_eq!(points.len(), 2 * 3, "{points:?}"); // tuned, scratch and gbdt, twice
    assert_eq!(some["curve"]["gaps"].as_array().unwrap().len(), 1);
    let all = curve("50,100", &[]).succeeds().json();
    let more = all["curve"]["points"].as_array().unwrap();
    assert_eq!((more.len(), &more[..6]), (12, &points[..]));
    assert!(folder.read("curve/curve.html").contains("<svg"));
    // With all labels it is the run.
    let train = ["train", "payments.csv", "--out", "run", "--json"];
    let run = folder
        .retune(&[&train[..], &told].concat())
        .succeeds()
        .json();
    let wanted = run["metrics"]["average_precision"]["value"].as_f64();
    let mut whole = more.iter().filter(|p| p["share"] == 1.0);
    let tuned = whole.find(|p| p["model"] == "tuned").unwrap();
    let off = tuned["score"].as_f64().unwrap() - wanted.unwrap();
    assert!(off.abs() < 1e-6, "{tuned} {wanted:?}");
    // Points of another recipe are not mixed in, and a share without frauds is refused.
    curve("50", &["--label-share", "0.5"]).refuses(&["another recipe"]);
    let few = ["curve", "payments.csv", "--shares", "0.01", "--out", "few"];
    folder.retune(&few).refuses(&["--shares"]);
}

#[test]
fn models_of_a_table_are_searched_on_the_validation_rows_and_the_best_is_trained() {
    let folder = Folder::new();
    folder.write("machines.csv", readings());
    let tune = |more: &[&str]| folder.retune(&[&["tune", "machines.csv"], more].concat());
    let first = tune(&[]).succeeds();
    for phrase in [
        "model=gbdt",
        "model=linear",
        "* model=",
        "too good on average",
    ] {
        assert!(
            first.stdout.contains(phrase),
            "no `{phrase}` in:\n{}",
            first.stdout
        );
    }
    let points = || {
        folder
            .read("runs/machines-tune/points.jsonl")
            .matches("settings")
            .count()
    };
    assert_eq!(points(), 3);
    assert_eq!(tune(&[]).succeeds().stdout, first.stdout);
    assert_eq!(points(), 3, "what is on disk is not trained again");
    let best = folder.read("runs/machines-tune/best.toml");
    let name = best
        .lines()
        .find_map(|line| line.strip_prefix("model = "))
        .unwrap();
    assert!(
        first
            .stdout
            .contains(&format!("* model={}", name.trim_matches('"'))),
        "{best}"
    );
    folder
        .retune(&["train", "runs/machines-tune/best.toml", "--out", "run"])
        .succeeds();
}

#[test]
fn options_of_networks_are_searched_for_networks_alone() {
    let folder = Folder::new();
    folder.write("machines.csv", readings());
    let tune = |more: &[&str]| folder.retune(&[&["tune", "machines.csv"], more].concat());
    let over = [
        "--over",
        "model=gbdt,tabular",
        "--over",
        "net_width=8,16",
        "--out",
        "t",
        "--json",
    ];
    let json = tune(&over).succeeds().json();
    let candidates = json["search"]["candidates"].as_array().unwrap();
    assert_eq!(
        candidates.len(),
        3,
        "trees have no width, and are tried once"
    );
    tune(&["--over", "net_width=8,16"]).refuses(&["tables.net_width", "trees"]);
    tune(&["--model", "gbdt"]).refuses(&["nothing to choose", "model=gbdt,linear,tabular"]);
    tune(&["--over", "model=gbdt,forest"]).refuses(&["forest", "tabular"]);
}

/// The model and the floor of the same kind answer alike, so a comparison says what the verdict said.
#[test]
fn runs_on_tables_are_compared_by_row_and_frauds_by_card() {
    let folder = payments("pay.csv");
    folder.write("machines.csv", readings());
    for (data, metric, more) in [
        ("machines.csv", "auroc", &[][..]),
        ("pay.csv", "average_precision", &["--delay", "3d"][..]),
    ] {
        let train = |model: &str| {
            let out = format!("{model}-{metric}");
            let given = ["train", data, "--model", model, "--out", &out];
            folder.retune(&[&given, more].concat()).succeeds();
            out
        };
        let runs = ["gbdt", "linear"].map(train);
        let json = folder
            .retune(&["compare", &runs[0], &runs[1], "--json"])
            .succeeds()
            .json();
        let found = &json["comparisons"][0]["verdict"];
        assert_eq!(found["metric"], metric, "{json:#}");
        let figures = folder.read(&format!("{}/metrics.json", runs[0]));
        let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
        let said = &figures["verdict"]["floors"]["linear"];
        assert!(said["difference"].is_number(), "{said:#}");
        assert_eq!(found["difference"], said["difference"], "{data}");
    }
    folder
        .retune(&["compare", "gbdt-auroc", "gbdt-average_precision"])
        .succeeds();
}
