//! `docs/metrics.schema.json` describes exactly what `Evaluated` serialises to.

#![expect(clippy::unwrap_used, reason = "tests")]

use retune_eval::metrics::METRICS;
use retune_eval::{
    Calibration, Decision, Evaluated, Evaluation, Goal, Matrix, ParentTest, Predictions, Slice,
    Targets, evaluate, judge,
};
use serde_json::{Value, json};

const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/metrics.schema.json"
);

fn schema() -> Value {
    serde_json::from_str(&std::fs::read_to_string(SCHEMA).unwrap()).unwrap()
}

/// Every part filled: slices, classes, confusion, a floor, a gain, a verdict, a temperature, a threshold with costs, a note.
fn evaluated() -> Evaluated {
    let data = vec![0.9, 0.1, 0.4, 0.6, 0.3, 0.7, 0.8, 0.2];
    let p = Predictions {
        scores: Matrix {
            rows: 4,
            cols: 2,
            data,
        },
        targets: Targets::Class(vec![0, 1, 0, 0]),
        slices: vec![Slice {
            column: "site".to_owned(),
            values: ["a", "a", "b", "b"].map(str::to_owned).to_vec(),
        }],
        ids: Vec::new(),
        decision: None,
    };
    let e = Evaluation {
        metrics: vec!["accuracy".to_owned(), "log_loss".to_owned()],
        primary: "accuracy".to_owned(),
        classes: vec!["no".to_owned(), "yes".to_owned()],
    };
    let goal = Goal::Cost {
        false_positive: 1.0,
        false_negative: 2.0,
    };
    let decided = Predictions {
        decision: Some(Decision::fit(&p, goal, 1).0),
        ..p.clone()
    };
    let mut out = evaluate(&decided, &e, "test", 0);
    out.compare(
        "majority",
        (&p, &p.with_constant_scores(&[0.7, 0.3])),
        &e,
        0,
    );
    let floor = p.with_constant_scores(&[0.7, 0.3]);
    out.verdict = Some(judge(&[&p], &[("majority", vec![&floor])], &e, 0));
    let before = out.metrics["accuracy"];
    out.parent_test = Some(ParentTest {
        parent: "runs/old".to_owned(),
        n: 4,
        seen: 1,
        unknown: 0,
        before,
        after: before,
        change: out.verdict.as_ref().unwrap().floors["majority"].clone(),
    });
    out.calibration = Calibration::measure(&p.scores, &p.targets, 2.0);
    out
}

/// Problems of `value` under the part of the schema at `at`; knows the keywords that the schema uses and no others.
fn check(root: &Value, part: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
    for (keyword, rule) in part.as_object().unwrap() {
        match keyword.as_str() {
            "$ref" => {
                let pointer = rule.as_str().unwrap().trim_start_matches('#');
                check(root, root.pointer(pointer).unwrap(), value, at, problems);
            }
            "type" => {
                let fits = match rule.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "number" => value.is_number(),
                    "integer" => value.is_u64() || value.is_i64(),
                    other => panic!("{at}: type {other} is not known to this test"),
                };
                if !fits {
                    problems.push(format!("{at}: not of type {rule}"));
                }
            }
            "enum" => {
                if !rule.as_array().unwrap().contains(value) {
                    problems.push(format!("{at}: not one of {rule}"));
                }
            }
            "minimum" => {
                if value.as_f64().unwrap_or(f64::NAN) < rule.as_f64().unwrap() {
                    problems.push(format!("{at}: below {rule}"));
                }
            }
            "required" => {
                let absent = rule
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|k| value.get(k.as_str().unwrap()).is_none());
                problems.extend(absent.map(|k| format!("{at}: lacks {k}")));
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    check(root, rule, item, &format!("{at}[]"), problems);
                }
            }
            // The first two are the business of `check_keys`; the others describe.
            "properties"
            | "additionalProperties"
            | "$schema"
            | "$id"
            | "$defs"
            | "title"
            | "description"
            | "examples" => {}
            other => panic!("{at}: keyword {other} is not known to this test"),
        }
    }
    check_keys(root, part, value, at, problems);
}

fn check_keys(root: &Value, part: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
    for (key, child) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        match (part["properties"].get(key), &part["additionalProperties"]) {
            (Some(rule), _) => check(root, rule, child, &at, problems),
            (None, Value::Object(_)) => {
                check(root, &part["additionalProperties"], child, &at, problems);
            }
            (None, Value::Bool(false)) => problems.push(format!("{at}: not in the schema")),
            (None, _) if part.get("$ref").is_some() => {}
            _ => panic!("{at}: the schema says nothing of other keys"),
        }
    }
}

fn problems(value: &Value) -> Vec<String> {
    let (schema, mut problems) = (schema(), Vec::new());
    check(&schema, &schema, value, "$", &mut problems);
    problems
}

#[test]
fn what_is_written_is_what_the_schema_describes() {
    let written = serde_json::to_value(evaluated()).unwrap();
    assert_eq!(problems(&written), Vec::<String>::new());
    let mut keys: Vec<String> = written.as_object().unwrap().keys().cloned().collect();
    let mut known: Vec<String> = schema()["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    keys.sort();
    known.sort();
    assert_eq!(
        keys, known,
        "the sample has every key of the schema and no other"
    );
}

#[test]
fn records_without_a_verdict_stay_readable() {
    let mut written = serde_json::to_value(evaluated()).unwrap();
    let keys = written.as_object_mut().unwrap();
    for key in ["verdict", "calibration", "decision", "parent_test"] {
        assert!(keys.remove(key).is_some(), "{key} was not written");
    }
    let read: Evaluated = serde_json::from_value(written).unwrap();
    assert_eq!(
        (read.verdict, read.calibration, read.decision),
        (None, None, None)
    );
    assert_eq!(read.parent_test, None);
}

#[test]
fn the_examples_of_the_schema_fit_it_and_are_readable() {
    for example in schema()["examples"].as_array().unwrap() {
        assert_eq!(problems(example), Vec::<String>::new());
        serde_json::from_value::<Evaluated>(example.clone()).unwrap();
    }
}

#[test]
fn misfits_are_found() {
    let mut written = serde_json::to_value(evaluated()).unwrap();
    written["metrics"]["accuracy"]["value"] = json!(null);
    written["baselines"]["majority"]["accuracy"]
        .as_object_mut()
        .unwrap()
        .remove("low");
    written["slices"]["site"]["a"]["rows"] = json!(3);
    written["verdict"]["floors"]["majority"]["word"] = json!("better");
    let found = problems(&written);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(
        found
            .iter()
            .any(|p| p.contains("$.metrics.accuracy.value: not of type")),
        "{found:?}"
    );
}

#[test]
fn the_schema_names_every_metric() {
    let text = schema()["$defs"]["metrics"]["description"]
        .as_str()
        .unwrap()
        .to_owned();
    for m in METRICS {
        assert!(
            text.split([' ', ',', '.']).any(|word| word == m.name),
            "{} is not named",
            m.name
        );
    }
}
