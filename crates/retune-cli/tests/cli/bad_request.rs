//! Flags, recipes and output folders that cannot be used.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::fs;
use std::process::Command;

use crate::{Folder, Outcome, table};

#[test]
fn an_unknown_recipe_key_is_named_with_its_line() {
    let folder = Folder::with_reviews();
    folder.write(
        "r.toml",
        "[data]\ntrain = \"data.csv\"\n[train]\nlearning_rate = 1e-4\n",
    );
    folder
        .plan(&["r.toml"])
        .refuses(&["r.toml", "learning_rate", "line 4", "lr"]);
}

#[test]
fn a_recipe_that_is_not_toml_is_refused() {
    let folder = Folder::with_reviews();
    folder.write("r.toml", "train = [\n");
    folder.plan(&["r.toml"]).refuses(&["r.toml"]);
    folder.plan(&["missing.toml"]).refuses(&["missing.toml"]);
}

#[test]
fn every_problem_is_shown_at_once() {
    let folder = Folder::with_reviews();
    folder
        .plan(&[
            "data.csv",
            "--task",
            "text-classification",
            "--lr",
            "5",
            "--epochs",
            "0",
            "--label",
            "lable",
            "--metric",
            "acuracy",
            "--gate",
            "acuracy=0.5",
        ])
        .refuses(&[
            "train.lr (--lr): 5",
            "train.epochs (--epochs)",
            "did you mean `label`",
            "train.metric (--metric)",
            "gates.acuracy (--gate)",
        ]);
}

#[test]
fn unknown_flags_and_values_end_with_code_2() {
    let folder = Folder::with_reviews();
    folder
        .plan(&["data.csv", "--learning-rate", "1"])
        .refuses(&["--learning-rate"]);
    folder.plan(&["data.csv", "--method", "lorra"]).refuses(&[
        "method (--method)",
        "lorra",
        "lora",
        "list methods",
    ]);
    folder
        .plan(&["data.csv", "--method", "lora", "--with", "rang=4"])
        .refuses(&["rang", "rank"]);
    folder
        .plan(&["data.csv", "--method", "lora", "--with", "rank=0"])
        .refuses(&["method.lora.rank (--with)", "try 8"]);
    folder
        .plan(&["data.csv", "--method", "lora", "--with", "targets=qwery"])
        .refuses(&["method.lora.targets (--with)", "all-linear"]);
    folder
        .plan(&["data.csv", "--verdict", "off", "--require", "improved"])
        .refuses(&["require (--require)", "leave out --verdict off"]);
    folder
        .plan(&["data.csv", "--schedule", "wavy"])
        .refuses(&["--schedule", "cosine"]);
    folder
        .plan(&["data.csv", "--task", "text-classificaton"])
        .refuses(&["text-classification"]);
    folder
        .plan(&["data.csv", "--device", "tpu"])
        .refuses(&["device", "cpu"]);
    folder
        .retune(&["list", "planets"])
        .refuses(&["models", "metrics"]);
    folder
        .retune(&["predict", "out"])
        .refuses(&["nothing to answer", "--data FILE"]);
}

#[test]
fn loss_options_that_do_not_fit_are_refused() {
    let folder = Folder::with_reviews();
    folder
        .plan(&["data.csv", "--class-weights", "positve=2"])
        .refuses(&[
            "loss.class_weights (--class-weights): `positve`",
            "negative, positive",
        ]);
    folder.write(
        "numbers.csv",
        table("text,score", 60, |row| format!("film {row},{row}.5")),
    );
    let flags = ["numbers.csv", "--focal", "2", "--label-smoothing", "0.1"];
    folder.plan(&flags).refuses(&[
        "loss.focal (--focal): does not apply to regression",
        "loss.label_smoothing (--label-smoothing): does not apply",
    ]);
}

#[test]
fn a_used_output_folder_is_left_alone() {
    let folder = Folder::with_reviews();
    folder.write("out/notes.txt", "mine");
    folder
        .train(&["data.csv", "--out", "out"])
        .refuses(&["out", "--out"]);
    assert_eq!(folder.read("out/notes.txt"), "mine");
    assert_eq!(fs::read_dir(folder.path("out")).unwrap().count(), 1);
}

#[test]
fn an_unwritable_output_folder_is_refused_before_any_work() {
    let folder = Folder::with_reviews();
    folder.write("file", "");
    folder
        .train(&["data.csv", "--out", "file/out"])
        .refuses(&["file/out"]);
    if cfg!(target_os = "linux") {
        // Nobody may create folders there, not even root.
        let outcome = folder.train(&["data.csv", "--out", "/proc/retune/out"]);
        let outcome = outcome.refuses(&["/proc/retune"]);
        assert!(!outcome.stderr.contains("step 1 of"), "{}", outcome.stderr);
    }
    let closed = folder.path("closed");
    fs::create_dir(&closed).unwrap();
    let mut rights = fs::metadata(&closed).unwrap().permissions();
    rights.set_readonly(true);
    fs::set_permissions(&closed, rights).unwrap();
    if fs::write(closed.join("probe"), "").is_ok() {
        eprintln!("skipped the read-only folder: this user may write anywhere");
        return;
    }
    folder
        .train(&["data.csv", "--out", "closed/out"])
        .refuses(&["closed"]);
}

/// Runs a train command whose output folder lies on a file system of so many KiB; prints what is left there.
fn on_small_disk(folder: &Folder, kib: u32) -> Option<Outcome> {
    fs::create_dir_all(folder.path("disk")).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={kib}k none disk || exit 77\n\"$@\"; code=$?\n\
         find disk -mindepth 1; df -k disk >&2; exit $code"
    );
    let train = folder.command(&[]);
    for unshare in [&["-m"][..], &["-rm"]] {
        let mut command = Command::new("unshare");
        command.args(unshare).args(["sh", "-c", &script, "sh"]);
        command
            .arg(train.get_program())
            .arg("train")
            .args(crate::TINY_FLAGS);
        command.args(["data.csv", "--out", "disk/out", "--json"]);
        command.current_dir(folder.path("."));
        for (name, value) in train.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let outcome = command.output().map(Outcome::from);
        if let Some(outcome) = outcome
            .ok()
            .filter(|o| o.code != Some(77) && !o.stderr.contains("unshare failed"))
        {
            return Some(outcome);
        }
    }
    None
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let folder = Folder::with_reviews();
    let Some(roomy) = on_small_disk(&folder, 64 * 1024) else {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    };
    assert!(roomy.succeeds().stdout.contains("disk/out/bundle.json"));
    for kib in [8, 64, 128] {
        let outcome = on_small_disk(&folder, kib).unwrap();
        let left = outcome.stdout.clone();
        outcome.exits(2).says(&["disk/out", "space"]);
        assert!(
            !left.contains("disk/out\n") && !left.contains("bundle.json"),
            "{left}"
        );
    }
}
