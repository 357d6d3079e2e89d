//! `RunRecord → README.md`: a model card in Markdown with the front matter that model hubs read (Mitchell et al. 2019).
//!
//! It says what the record says and nothing else: what is not known is left out.

use std::fmt::Write;

use super::decision::USUAL;
use super::headline::floor_title;
use super::html::{duration, text};
use super::proof::sentence;
use crate::metrics::{Kind, metric};
use crate::records::{Cost, Decided, Interval, RunRecord, Word};
use crate::table::{floors, in_order, lower_is_better, number, ordered};

/// The model card of a run.
pub fn card(r: &RunRecord) -> String {
    let parts = [
        front_matter(r),
        opening(r),
        use_and_limits(r),
        data(r),
        evaluation(r),
        verdict(r),
        parent(r),
        confidence(r),
        costs(r),
        reproduce(r),
        list("Versions and machine", &r.machine),
    ];
    parts.concat()
}

/// YAML between two lines of dashes.
fn front_matter(r: &RunRecord) -> String {
    let e = &r.evaluated;
    let mut out = String::from("---\n");
    if let Some(license) = &r.license {
        let _ = writeln!(out, "license: {}", quoted(license));
    }
    if let Some(base) = hub_name(&r.model) {
        let _ = writeln!(out, "base_model: {}", quoted(base));
    }
    let kind = kind(&r.task);
    let _ = writeln!(out, "library_name: retune\npipeline_tag: {kind}");
    let _ = writeln!(out, "tags:\n- retune\n- {}", quoted(&r.task));
    let names = ordered(e);
    if names.is_empty() {
        return out + "---\n\n";
    }
    out.push_str("metrics:\n");
    for name in &names {
        let _ = writeln!(out, "- {}", quoted(name));
    }
    let title = quoted(title(r));
    let _ = writeln!(
        out,
        "model-index:\n- name: {title}\n  results:\n  - task:\n      type: {kind}\n    dataset:\n      name: {}\n      \
         type: {}\n      split: {}\n    metrics:",
        quoted(data_name(r)),
        quoted(data_name(r)),
        quoted(&e.split)
    );
    for name in &names {
        let value = e.metrics[name].value;
        let _ = writeln!(out, "    - type: {}\n      value: {value}", quoted(name));
    }
    out + "---\n\n"
}

/// The hub's name of what a task does.
fn kind(task: &str) -> &'static str {
    match task {
        t if t.starts_with("text") => "text-classification",
        "image-embedding" => "image-feature-extraction",
        t if t.starts_with("image") => "image-classification",
        t if t.starts_with("tabular") => "tabular-classification",
        _ => "other",
    }
}

fn title(r: &RunRecord) -> &str {
    let title = r.title.trim();
    if title.is_empty() { "model" } else { title }
}

/// Files the data came from, else the name of the run.
fn data_name(r: &RunRecord) -> &str {
    let files = r.data.iter().find(|(name, _)| name == "files");
    files.map_or_else(|| title(r), |(_, files)| files)
}

/// The reference as a hub knows it: `name` or `owner/name`, not a path.
fn hub_name(model: &str) -> Option<&str> {
    let name = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(known)
    };
    (model.split('/').count() <= 2 && model.split('/').all(name)).then_some(model)
}

/// A YAML string in double quotes.
fn quoted(raw: &str) -> String {
    let mut out = String::from("\"");
    for c in raw.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out + "\""
}

/// Someone's words on one line of Markdown.
fn line(raw: &str) -> String {
    plain(&text(raw))
}

/// HTML text on one line of Markdown: nothing of it is rendered as markup, and it ends no table cell.
fn plain(html: &str) -> String {
    let one_line = html.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = String::with_capacity(one_line.len());
    for c in one_line.chars() {
        if "|*_`[]\\".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A floor's name over a column.
fn floor(key: &str) -> String {
    plain(&floor_title(key))
}

fn opening(r: &RunRecord) -> String {
    let mut out = format!("# {}\n\n", line(title(r)));
    let sentence = sentence(r);
    if !sentence.is_empty() {
        let _ = writeln!(out, "{}\n", plain(&sentence));
    }
    let facts = [
        ("task", &r.task),
        ("base model", &r.model),
        ("method", &r.method),
        ("made", &r.created),
    ];
    for (name, value) in facts.into_iter().filter(|f| !f.1.is_empty()) {
        let _ = writeln!(out, "- {name}: {}", line(value));
    }
    out.push('\n');
    out
}

fn use_and_limits(r: &RunRecord) -> String {
    let names: Vec<String> = r.classes.iter().map(|c| line(c)).collect();
    let answer = match names.join(", ") {
        _ if metric(&r.evaluated.primary).is_some_and(|m| m.kinds == [Kind::Vectors]) => {
            "a vector, near to those of rows with the same label".to_owned()
        }
        _ if names.is_empty() => "a number".to_owned(),
        // Only rows of one class each have a confusion matrix.
        all if r.evaluated.confusion.is_empty() => format!("any of: {all}"),
        all => format!("one of: {all}"),
    };
    let mut out = format!(
        "## Intended use\n\nIt answers rows like those it was tuned on (see the training data below) with {answer}. \
         The figures below hold for such rows.\n\n## Limits\n\n- It was rated on {} rows of the split {}. Rows from \
         elsewhere, or from later, were not rated.\n",
        r.evaluated.n,
        line(&r.evaluated.split),
    );
    if let Some(v) = &r.evaluated.verdict {
        let _ = writeln!(out, "- The verdict is about {}.", line(&v.scope));
    }
    for (column, value, figure) in weak_slices(r) {
        let _ = writeln!(
            out,
            "- Worse than on all rows where {} is {}: {} {}.",
            line(&column),
            line(&value),
            line(&r.evaluated.primary),
            within(&figure)
        );
    }
    for note in &r.evaluated.notes {
        let _ = writeln!(out, "- {}", line(note));
    }
    out.push('\n');
    out
}

/// Column, value and primary figure of the slices whose whole interval is worse than the figure of all rows.
fn weak_slices(r: &RunRecord) -> Vec<(String, String, Interval)> {
    let e = &r.evaluated;
    let Some(own) = e.metrics.get(&e.primary) else {
        return Vec::new();
    };
    let lower = lower_is_better(&e.primary);
    let mut found = Vec::new();
    for (column, values) in &e.slices {
        for (value, slice) in values {
            let Some(&figure) = slice.metrics.get(&e.primary) else {
                continue;
            };
            let weak = if lower {
                figure.low > own.value
            } else {
                figure.high < own.value
            };
            if weak {
                found.push((column.clone(), value.clone(), figure));
            }
        }
    }
    found
}

fn data(r: &RunRecord) -> String {
    let mut pairs = r.data.clone();
    let prints = r.fingerprints.iter();
    pairs.extend(prints.map(|(file, hash)| (format!("SHA-256 of {file}"), hash.clone())));
    list("Training data", &pairs)
}

/// Names and values as a list under a title; nothing without any.
fn list(title: &str, pairs: &[(String, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let mut out = format!("## {title}\n\n");
    for (name, value) in pairs {
        let _ = writeln!(out, "- {}: {}", line(name), line(value));
    }
    out + "\n"
}

/// The figures with those of the floors.
fn evaluation(r: &RunRecord) -> String {
    let e = &r.evaluated;
    if e.metrics.is_empty() {
        return String::new();
    }
    let floors = floors(e);
    let mut head = vec!["metric".to_owned(), "tuned".to_owned()];
    head.extend(e.decision.iter().map(|_| "tuned, usual answers".to_owned()));
    head.extend(floors.iter().map(|f| floor(f)));
    let rows: Vec<Vec<String>> = ordered(e)
        .iter()
        .map(|name| {
            let of_floors = floors.iter().map(|f| e.baselines[*f].get(name));
            let usual = e.decision.iter().map(|d| d.usual.get(name));
            let figures = std::iter::once(e.metrics.get(name)).chain(usual);
            let figures = figures.chain(of_floors);
            std::iter::once(line(name))
                .chain(figures.map(|f| f.map_or("–".to_owned(), within)))
                .collect()
        })
        .collect();
    let said = "95 % bootstrap intervals in brackets.";
    format!("## Evaluation\n\n{said}\n\n{}", table(&head, &rows))
}

fn verdict(r: &RunRecord) -> String {
    let Some(v) = &r.evaluated.verdict else {
        return String::new();
    };
    let names = in_order(v.floors.keys().map(String::as_str));
    let row = |name: &&str| {
        let f = &v.floors[*name];
        vec![floor(name), within(&f.interval()), f.word.to_string()]
    };
    let rows: Vec<Vec<String>> = names.iter().map(row).collect();
    let head = ["against", "better by (corrected 95 % interval)", "verdict"].map(str::to_owned);
    let mut out = format!(
        "## Did tuning help?\n\n- Did tuning help? {}\n- Is it worth shipping? {}\n",
        v.helped, v.worth_shipping
    );
    if let (Some(d), true) = (v.detectable, v.word == Word::NoEvidence) {
        let _ = writeln!(
            out,
            "- {} rows show a difference of {} four times in five; smaller ones mostly stay hidden.",
            v.rows,
            number(d)
        );
    }
    for note in &v.notes {
        let _ = writeln!(out, "- {}", line(note));
    }
    if rows.is_empty() {
        out.push('\n');
    } else {
        let _ = write!(out, "\n{}", table(&head, &rows));
    }
    out
}

/// What became of the answers of the model that this one went on from.
fn parent(r: &RunRecord) -> String {
    let Some(p) = &r.evaluated.parent_test else {
        return String::new();
    };
    format!(
        "## What it knew before\n\n- On {} test rows of {}, which it went on from: {} {} before and {} after, better by {} \
         ({}).\n\n",
        p.n,
        line(&p.parent),
        line(&p.change.metric),
        within(&p.before),
        within(&p.after),
        within(&p.change.interval()),
        p.change.word
    )
}

fn confidence(r: &RunRecord) -> String {
    let e = &r.evaluated;
    let mut out = String::new();
    if let Some(c) = &e.calibration {
        let _ = writeln!(
            out,
            "- temperature {} fitted on validation rows; on test rows expected calibration error {} before and {} \
             after, log loss {} before and {} after",
            number(c.temperature),
            number(c.ece_before),
            number(c.ece_after),
            number(c.log_loss_before),
            number(c.log_loss_after)
        );
    }
    out.push_str(&e.decision.as_ref().map_or(String::new(), decision));
    if out.is_empty() {
        out
    } else {
        format!("## Confidence\n\n{out}\n")
    }
}

/// What answers are decided for, and what that changes.
fn decision(d: &Decided) -> String {
    let mut out = format!("- answers are decided for this goal: {}\n", line(&d.goal));
    for c in &d.thresholds {
        let missed = if c.threshold.met {
            ""
        } else {
            "; no threshold reached the goal on the validation rows, this one is nearest"
        };
        let _ = writeln!(
            out,
            "- {} from a score of {} on: precision {}, recall {}, F1 {} on test rows; from 0.5 on: precision {}, recall \
             {}, F1 {}{missed}",
            line(&c.after.class),
            number(c.threshold.value),
            within(&c.after.precision),
            within(&c.after.recall),
            within(&c.after.f1),
            within(&c.before.precision),
            within(&c.before.recall),
            within(&c.before.f1),
        );
    }
    if let Some(c) = &d.cost {
        let (before, after) = (within(&c.before), within(&c.after));
        let _ = writeln!(
            out,
            "- mean cost of a test row: {after}; with the usual answers {before}"
        );
    }
    let _ = writeln!(out, "- {}", line(USUAL));
    out
}

fn costs(r: &RunRecord) -> String {
    let row = |(name, c): (&String, &Cost)| {
        let memory = c
            .peak_rss_bytes
            .map(|b| format!(", {:.2} GB", b as f64 / 1e9));
        let trained = c
            .trained_parameters
            .map(|n| format!(", {n} parameters trained"));
        let more = [memory, trained].map(Option::unwrap_or_default).concat();
        (name.clone(), format!("{}{more}", duration(c.seconds)))
    };
    list("Cost", &r.costs.iter().map(row).collect::<Vec<_>>())
}

fn reproduce(r: &RunRecord) -> String {
    let mut out = String::new();
    if !r.reproduce.is_empty() {
        let _ = writeln!(out, "{}\n", block(&r.reproduce, ""));
    }
    if !r.recipe_toml.is_empty() {
        let recipe = block(&r.recipe_toml, "toml");
        let _ = writeln!(out, "The recipe as it was run:\n\n{recipe}\n");
    }
    if out.is_empty() {
        out
    } else {
        format!("## How to reproduce\n\n{out}")
    }
}

/// A fenced block whose fence is longer than any run of backticks in it.
fn block(raw: &str, language: &str) -> String {
    let longest = raw.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}", raw.trim_end())
}

fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = vec!["---".to_owned(); head.len()];
    let body: String = rows.iter().map(|r| row(r)).collect();
    format!("{}{}{body}\n", row(head), row(&rule))
}

fn within(i: &Interval) -> String {
    format!(
        "{} [{}, {}]",
        number(i.value),
        number(i.low),
        number(i.high)
    )
}
