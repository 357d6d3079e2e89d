//! Folders of pictures as nobody would wish for: what can be read is, what cannot is named, and nothing is left behind.

use std::fs;
use std::path::Path;

use crate::pictures::{QUICK, folder, sized_bmp, train};
use crate::{Folder, Outcome};

/// One more file among pictures that are as they should be.
fn with(name: &str, content: impl AsRef<[u8]>) -> (Folder, Outcome) {
    let folder = folder(6);
    folder.write(&format!("pics/red/{name}"), content);
    let outcome = train(&folder, "pics", &QUICK);
    (folder, outcome)
}

/// A picture that models are trained on, whatever is odd about it.
fn accepted(name: &str, content: impl AsRef<[u8]>) {
    let (folder, outcome) = with(name, content);
    outcome.succeeds();
    let answer = folder.retune(&["predict", "out", &format!("pics/red/{name}")]);
    answer.succeeds();
}

/// A file that is named and refused, with nothing written.
fn refused(name: &str, content: impl AsRef<[u8]>, says: &[&str]) {
    let (folder, outcome) = with(name, content);
    outcome.refuses(&[&[name], says].concat());
    assert!(!folder.path("out").exists(), "{name} left an output");
}

fn golden(name: &str) -> Vec<u8> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/pictures");
    fs::read(golden.join(name)).unwrap()
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    let mut bomb = sized_bmp([16, 16], [9, 9, 9], 0);
    for at in [18, 22] {
        bomb[at..at + 4].copy_from_slice(&60_000i32.to_le_bytes());
    }
    refused("bomb.bmp", bomb, &["60000"]);
}

#[test]
fn files_that_are_cut_off_empty_or_something_else_are_named() {
    let whole = golden("rgb.jpg");
    refused("cut.jpg", &whole[..whole.len() / 3], &["cut.jpg"]);
    refused("nothing.png", b"", &["empty"]);
    refused(
        "page.png",
        b"<!DOCTYPE html><title>404</title>",
        &["web page"],
    );
}

#[test]
fn bad_pictures_are_left_out_where_that_is_asked_for() {
    let folder = folder(6);
    folder.write("pics/red/page.png", b"<!DOCTYPE html>");
    folder.write("pics/blue/nothing.png", b"");
    train(&folder, "pics", &QUICK).refuses(&["2 of 20", "page.png", "--on-bad skip"]);
    train(
        &folder,
        "pics",
        &[&QUICK[..], &["--on-bad", "skip"]].concat(),
    )
    .succeeds()
    .says(&[
        "2 of 20 pictures cannot be read and are left out",
        "page.png",
    ]);
    let all = Folder::new();
    all.write("pics/a/x.png", b"");
    all.write("pics/b/y.png", b"");
    train(&all, "pics", &["--on-bad", "skip"]).refuses(&["none of its 2 pictures"]);
}

#[test]
fn copies_are_counted_and_stay_on_one_side() {
    let folder = folder(6);
    for i in 0..6 {
        let copy = fs::read(folder.path(&format!("pics/red/{i:02}.bmp"))).unwrap();
        folder.write(&format!("pics/red/copy-{i}.bmp"), copy);
    }
    let found = folder.retune(&["inspect", "pics"]).succeeds();
    let repeated = found
        .stdout
        .lines()
        .find(|l| l.contains("repeated pictures"));
    assert!(
        repeated.unwrap().trim_end().ends_with('6'),
        "{}",
        found.stdout
    );
    train(&folder, "pics", &QUICK).succeeds();
    let record: serde_json::Value = serde_json::from_str(&folder.read("out/bundle.json")).unwrap();
    assert_eq!(record["split"]["duplicates_together"], 6, "{record}");
}

#[test]
fn the_content_counts_and_not_the_ending() {
    accepted("bitmap.png", sized_bmp([16, 16], [200, 30, 30], 5));
}

#[test]
fn odd_names_are_names() {
    accepted(
        "rot-κόκκινο-赤 $(x) ' &.bmp",
        sized_bmp([16, 16], [200, 30, 30], 5),
    );
    let long = format!("{}.bmp", "r".repeat(240));
    accepted(&long, sized_bmp([16, 16], [200, 30, 30], 5));
}

#[test]
fn odd_shapes_animations_and_print_colours_are_pictures() {
    accepted("dot.bmp", sized_bmp([1, 1], [200, 30, 30], 0));
    accepted("wide.bmp", sized_bmp([20_000, 2], [200, 30, 30], 0));
    accepted("moving.gif", golden("animated.gif"));
    accepted("print.jpg", golden("cmyk.jpg"));
}

#[cfg(unix)]
#[test]
fn a_link_to_itself_ends() {
    let folder = folder(6);
    std::os::unix::fs::symlink(".", folder.path("pics/red/again")).unwrap();
    let outcome = train(&folder, "pics", &QUICK);
    if outcome.code != Some(0) {
        outcome.refuses(&["again"]);
    }
}
