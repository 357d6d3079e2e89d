//! Models of pictures: folders of classes and lists of paths in, answers out, and what is said of bad ones.

use std::path::Path;

use crate::{Folder, Outcome, table};

/// A small picture of one colour with a little noise of its own.
fn bmp(colour: [u8; 3], salt: usize) -> Vec<u8> {
    sized_bmp([16, 16], colour, salt)
}

/// The same as a 24-bit BMP of this width and height.
pub fn sized_bmp([width, height]: [usize; 2], colour: [u8; 3], salt: usize) -> Vec<u8> {
    let row = (width * 3).next_multiple_of(4);
    let size = row * height;
    let mut bytes = b"BM".to_vec();
    bytes.extend((54 + size as u32).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(54u32.to_le_bytes());
    bytes.extend(40u32.to_le_bytes());
    bytes.extend((width as i32).to_le_bytes());
    bytes.extend((height as i32).to_le_bytes());
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    let noise = |i: usize| ((i * 7919 + salt * 104_729) % 61) as u8;
    let pixel = |i: usize| {
        // Blue, green, red.
        [2, 1, 0].map(|channel: usize| colour[channel].saturating_add(noise(3 * i + channel)))
    };
    for y in 0..height {
        bytes.extend((y * width..(y + 1) * width).flat_map(pixel));
        bytes.resize(bytes.len() + row - width * 3, 0);
    }
    bytes
}

const CLASSES: [(&str, [u8; 3]); 3] = [
    ("red", [190, 20, 30]),
    ("green", [20, 190, 30]),
    ("blue", [30, 20, 190]),
];

/// A folder `pics` with so many pictures of each of three colours.
pub fn folder(each: usize) -> Folder {
    let folder = Folder::new();
    for (name, colour) in CLASSES {
        for i in 0..each {
            folder.write(&format!("pics/{name}/{i:02}.bmp"), bmp(colour, i));
        }
    }
    folder
}

pub fn model() -> String {
    golden("efficientnet-tiny")
}

fn golden(name: &str) -> String {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
    golden.join(name).display().to_string()
}

pub fn train(folder: &Folder, data: &str, flags: &[&str]) -> Outcome {
    let common = ["train", data, "--picture-size", "32", "--out", "out"];
    folder.retune(&[&common[..], &["--model", &model()], flags].concat())
}

/// The configuration of a small vision transformer.
const VIT: &str = r#"{"model_type": "vit", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 48, "patch_size": 16, "image_size": 32}"#;

pub const QUICK: [&str; 8] = [
    "--epochs",
    "6",
    "--lr",
    "3e-3",
    "--batch-size",
    "8",
    "--verdict",
    "off",
];

#[test]
fn a_folder_of_classes_is_tuned_measured_and_answered() {
    let folder = folder(20);
    let json = train(
        &folder,
        "pics",
        &[
            "--epochs",
            "6",
            "--lr",
            "3e-3",
            "--batch-size",
            "8",
            "--verdict",
            "fast",
            "--json",
        ],
    )
    .succeeds()
    .json();
    assert_eq!(json["metrics"]["accuracy"]["value"], 1.0, "{json}");
    for floor in ["frozen", "scratch", "classical"] {
        assert!(json["baselines"].get(floor).is_some(), "{floor}: {json}");
    }

    folder.write("new.bmp", bmp([40, 30, 170], 99));
    let answer = folder.retune(&["predict", "out", "new.bmp"]).succeeds();
    assert!(answer.stdout.contains("blue"), "{}", answer.stdout);
    let eval = folder
        .retune(&["eval", "out", "--data", "pics", "--json"])
        .succeeds();
    assert_eq!(eval.json()["metrics"]["accuracy"]["value"], 1.0);
    assert!(folder.read("out/report.html").contains("00.bmp"));
}

/// Red on the left that turns to blue on the right, or its mirror image.
fn slope(rises: bool) -> Vec<u8> {
    let mut bytes = sized_bmp([32, 32], [0; 3], 0);
    for (i, value) in bytes[54..].iter_mut().enumerate() {
        let x = i / 3 % 32;
        let along = if rises { x } else { 31 - x };
        *value = [along * along / 4, 60, (31 - along) * 8][i % 3] as u8;
    }
    bytes
}

#[test]
fn answers_over_both_sides_of_a_picture_are_those_of_its_mirror_image() {
    let folder = folder(20);
    folder.write("rises.bmp", slope(true));
    folder.write("falls.bmp", slope(false));
    for (name, colour) in CLASSES {
        for i in 0..8 {
            folder.write(&format!("more/{name}/{i}.bmp"), bmp(colour, 40 + i));
        }
    }
    let flags = ["--tta", "flip", "--test", "more", "--json"];
    let said = train(&folder, "pics", &[&QUICK[..], &flags].concat());
    let said = said.succeeds().json();
    let notes = said["notes"].to_string();
    assert!(
        notes.contains("mean over 2 views of each picture (flip)"),
        "{notes}"
    );
    assert!(folder.read("out/recipe.toml").contains("tta = \"flip\""));

    let scores = |flags: &[&str]| -> [f64; 2] {
        ["rises.bmp", "falls.bmp"].map(|name| {
            let call = [&["predict", "out", name, "--json"], flags].concat();
            let answer = folder.retune(&call).succeeds().json();
            answer["scores"]["red"].as_f64().unwrap()
        })
    };
    let apart = |[a, b]: [f64; 2]| (a - b).abs();
    let (one, both) = (scores(&["--tta", "none"]), scores(&[]));
    assert!(apart(both) < 1e-4, "{both:?}");
    assert!(apart(one) > 0.01, "{one:?}");
    let mean = f64::midpoint(one[0], one[1]);
    assert!(
        (both[0] - mean).abs() < 1e-4,
        "{both:?} is not the mean of {one:?}"
    );
    let crops = scores(&["--tta", "crops=3"]);
    assert!(apart([crops[0], one[0]]) > 1e-6 && apart([crops[0], both[0]]) > 1e-6);

    // The test rows give the figures of the run again, and others with one view.
    let loss = |flags: &[&str]| {
        let call = [&["eval", "out", "--data", "more", "--json"], flags].concat();
        let found = folder.retune(&call).succeeds().json();
        found["metrics"]["log_loss"]["value"].as_f64().unwrap()
    };
    let trained = said["metrics"]["log_loss"]["value"].as_f64().unwrap();
    assert!((loss(&[]) - trained).abs() < 1e-6);
    assert!((loss(&["--tta", "none"]) - trained).abs() > 1e-5);
}

#[test]
fn views_that_nobody_knows_are_refused_with_those_that_are_known() {
    let folder = folder(2);
    for views in ["crops=11", "mirror"] {
        train(&folder, "pics", &["--tta", views]).refuses(&["crops=N with N from 2 to 10"]);
    }
}

/// The part of the page with this name.
fn part<'a>(page: &'a str, id: &str) -> &'a str {
    let start = format!("<section id=\"{id}\"");
    let from = page.split(&start).nth(1);
    from.unwrap_or_else(|| panic!("no part {id}"))
        .split("</section>")
        .next()
        .unwrap()
}

#[test]
fn the_report_shows_pictures_and_needs_no_data_for_it() {
    let folder = folder(12);
    // Reds under green: mistakes of a model that has learned the colours.
    for i in 0..6 {
        folder.write(
            &format!("pics/green/red<{i}>.bmp"),
            bmp([190, 20, 30], 50 + i),
        );
    }
    let flags = [
        "--epochs",
        "8",
        "--lr",
        "3e-3",
        "--batch-size",
        "8",
        "--test-share",
        "0.4",
    ];
    let common = [
        "train",
        "pics",
        "--picture-size",
        "64",
        "--out",
        "out",
        "--verdict",
        "off",
    ];
    folder
        .retune(&[&common[..], &["--model", &model()], &flags].concat())
        .succeeds();
    std::fs::remove_dir_all(folder.path("pics")).unwrap();
    std::fs::remove_file(folder.path("out/report.html")).unwrap();
    folder.retune(&["report", "out"]).succeeds();
    let page = folder.read("out/report.html");
    let seen = |id: &str| part(&page, id).matches("<img src=\"data:image/").count();
    assert!(
        part(&page, "mistakes").contains("title=\"pics/green/red&lt;"),
        "{page}"
    );
    assert!(seen("mistakes") > 0 && seen("right") > 2);
    assert_eq!(seen("training-pictures"), 1);
    assert!(seen("maps") > 2 && seen("maps") % 2 == 0 && seen("maps") <= 64);
    assert!(part(&page, "maps").contains("2 × 2 places"));
    assert!(part(&page, "maps").contains("mean rank correlation"));
    assert!(!page.contains("texts cut") && page.contains("64 × 64 pixels"));
    assert!(!page.contains("<script"));
}

#[test]
fn a_vision_transformer_is_tuned_on_pictures_of_another_size() {
    // Pictures of 24 pixels, for checkpoints of 20: transformers', with positions beside two kinds of heads, and timm's.
    for (model, method, key) in [
        ("deit-tiny", "full", "/image_size"),
        ("dinov2-registers-tiny", "head", "/image_size"),
        ("timm-vit-tiny", "lora", "/model_args/img_size/0"),
    ] {
        let folder = folder(8);
        let flags = ["--picture-size", "24", "--method", method, "--model"];
        let model = golden(model);
        let said = folder.retune(
            &[
                &["train", "pics", "--out", "out"],
                &flags[..],
                &[&model],
                &QUICK,
            ]
            .concat(),
        );
        let said = said.succeeds();
        let config: serde_json::Value =
            serde_json::from_str(&folder.read("out/config.json")).unwrap();
        assert_eq!(config.pointer(key), Some(&24.into()), "{config}");
        let eval = folder.retune(&["eval", "out", "--data", "pics", "--json"]);
        let eval = eval.succeeds().json();
        let accuracy = &eval["metrics"]["accuracy"]["value"];
        assert!(
            accuracy.as_f64() > Some(0.9),
            "{model}: {accuracy}, {}",
            said.stdout
        );
        // Patches of 5 pixels.
        let page = folder.read("out/report.html");
        assert!(part(&page, "maps").contains("4 × 4 places"), "{model}");
        // A bundle is a model to go on from, in its own size or another.
        let again = ["train", "pics", "--model", "out", "--out", "again"];
        folder.retune(&[&again, &QUICK[..]].concat()).succeeds();
        let again = folder.read("again/config.json");
        let again: serde_json::Value = serde_json::from_str(&again).unwrap();
        assert_eq!(again.pointer(key), Some(&24.into()), "{again}");
    }
}

#[test]
fn a_list_of_paths_is_the_same_data() {
    let folder = folder(6);
    let list = table("file,colour", 18, |row| {
        let (name, _) = CLASSES[row % 3];
        format!("{name}/{:02}.bmp,{name}", row / 3)
    });
    // Paths start at the folder of the list, wherever the command runs.
    folder.write("pics/list.csv", list);
    train(&folder, "pics/list.csv", &QUICK)
        .succeeds()
        .says(&["the only column of pictures"]);
    folder.write("pics/more.csv", "file\nred/00.bmp\nblue/05.bmp\n");
    let answers = folder
        .retune(&["predict", "out", "--data", "pics/more.csv", "--json"])
        .succeeds();
    let labels: Vec<&str> = answers.stdout.lines().collect();
    assert!(labels[0].contains(r#""label":"red""#), "{}", answers.stdout);
    assert!(
        labels[1].contains(r#""label":"blue""#),
        "{}",
        answers.stdout
    );
}

#[test]
fn random_changes_train_and_are_the_same_each_time() {
    let folder = folder(6);
    let weights = |flags: &[&str]| {
        let _ = std::fs::remove_dir_all(folder.path("out"));
        train(&folder, "pics", &[&QUICK[..], flags].concat()).succeeds();
        std::fs::read(folder.path("out/model.safetensors")).unwrap()
    };
    let plain = weights(&[]);
    let light = weights(&["--augment", "light"]);
    let strong = weights(&["--augment", "strong"]);
    let mixed = weights(&["--mixup", "0.5"]);
    let by_batch = weights(&["--norms", "batch"]);
    assert_eq!(weights(&["--augment", "strong", "--threads", "1"]), strong);
    let all = [&plain, &light, &strong, &mixed, &by_batch];
    for (i, one) in all.iter().enumerate() {
        assert!(all[i + 1..].iter().all(|other| other != one), "{i}");
    }
    train(&folder, "pics", &["--flip", "2"]).refuses(&["pictures", "flip"]);
}

#[test]
fn an_export_is_what_timm_reads() {
    let folder = folder(6);
    train(&folder, "pics", &QUICK).succeeds();
    let outcome = folder.retune(&["export", "out", "--hf", "hf"]).succeeds();
    assert!(
        outcome.stdout.contains("compared on 4 rows"),
        "{}",
        outcome.stdout
    );
    let config: serde_json::Value = serde_json::from_str(&folder.read("hf/config.json")).unwrap();
    assert_eq!(config["num_classes"], 3);
    assert_eq!(
        config["pretrained_cfg"]["input_size"],
        serde_json::json!([3, 32, 32])
    );
    assert_eq!(
        config["label_names"],
        serde_json::json!(["blue", "green", "red"])
    );
    folder
        .retune(&["export", "out", "--peft", "peft"])
        .refuses(&["pictures"]);
}

#[test]
fn weights_do_not_depend_on_the_number_of_threads() {
    let folder = folder(6);
    let weights = |folder: &Folder| std::fs::read(folder.path("out/model.safetensors")).unwrap();
    train(&folder, "pics", &QUICK).succeeds();
    let whole = weights(&folder);
    std::fs::remove_dir_all(folder.path("out")).unwrap();
    let again = train(&folder, "pics", &[&QUICK[..], &["--threads", "1"]].concat());
    again.succeeds();
    assert_eq!(weights(&folder), whole);
}

/// Models of three families learn colours, and say which of the methods does not fit them.
#[test]
fn other_families_are_tuned_and_refuse_what_they_cannot_do() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
    let folder = folder(8);
    let plan = |name: &str, flags: &[&str]| {
        let model = golden.join(name).display().to_string();
        let common = ["pics", "--picture-size", "32", "--model", &model];
        (
            common.map(str::to_string),
            flags.iter().map(ToString::to_string).collect::<Vec<_>>(),
        )
    };
    let run = |verb: &str, name: &str, flags: &[&str]| {
        let (common, flags) = plan(name, flags);
        let words: Vec<String> = [vec![verb.to_string()], common.to_vec(), flags].concat();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        folder.retune(&words)
    };
    for name in ["resnet-tiny", "convnext-tiny"] {
        let flags = [&QUICK[..], &["--out", name, "--json"]].concat();
        let json = run("train", name, &flags).succeeds().json();
        assert_eq!(json["metrics"]["accuracy"]["value"], 1.0, "{json}");
        let answer = folder.retune(&["predict", name, "pics/blue/01.bmp"]);
        assert!(answer.succeeds().stdout.contains("blue"), "{name}");
        run("plan", name, &["--method", "lora"]).succeeds();
    }
    // Convolutions of 3 x 3 places only.
    run("plan", "resnet-tiny/basic", &["--method", "lora"]).refuses(&[
        "method (--method)",
        "no layer",
        "last_layers",
    ]);
}

#[test]
fn models_and_data_that_do_not_fit_are_told_so() {
    let folder = folder(6);
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/bert-tiny");
    let text = text.display().to_string();
    folder
        .retune(&["train", "pics", "--model", &text])
        .refuses(&["reads texts, and the data are pictures"]);
    folder.write("data.csv", crate::reviews(20));
    folder
        .retune(&["train", "data.csv", "--model", &model()])
        .refuses(&["reads pictures, and the data are texts"]);
    folder
        .retune(&["train", "pics", "--model", &model(), "--max-length", "64"])
        .refuses(&["--max-length", "are for texts, and the data are pictures"]);
    folder
        .retune(&["train", "data.csv", "--model", &text, "--augment", "light"])
        .refuses(&["--augment", "are for pictures, and the data are texts"]);
    folder
        .retune(&["train", "pics", "--model", &model(), "--picture-size", "4"])
        .refuses(&["--picture-size", "8 to 1024"]);
    folder.write("vit/config.json", VIT);
    std::fs::copy(
        Path::new(&golden("vit-tiny")).join("model.safetensors"),
        folder.path("vit/model.safetensors"),
    )
    .unwrap();
    folder
        .retune(&["train", "pics", "--model", "vit", "--picture-size", "12"])
        .refuses(&["--picture-size", "12 x 12", "smaller than a patch of 16"]);
    folder
        .retune(&[
            "train",
            "pics",
            "--model",
            &model(),
            "--task",
            "text-classification",
        ])
        .refuses(&["text-classification is for texts, and the data are pictures"]);
}

#[test]
fn a_folder_of_pictures_is_inspected_without_a_model() {
    let folder = folder(4);
    let found = folder.retune(&["inspect", "pics"]).succeeds();
    assert!(found.stdout.contains("pictures") && found.stdout.contains("red"));
    assert!(
        !found.stdout.contains("Length of the texts"),
        "{}",
        found.stdout
    );
    assert!(found.stdout.contains("repeated pictures") && !found.stdout.contains("texts"));
}
