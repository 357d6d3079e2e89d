//! Trees next to the crate that grew them.
#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use retune_kernels::dropout::mix;

fn draw(i: u64) -> f32 {
    (mix(i) >> 40) as f32 / (1 << 24) as f32
}

fn labels() -> Labels {
    Labels::Classes {
        names: vec!["no".into(), "yes".into()],
    }
}

/// 600 rows: yes where the first field is large or the word is 2; a third of the first field is missing.
fn rows() -> (Cells, Vec<Target>) {
    let mut cells = Cells {
        width: 3,
        values: Vec::new(),
    };
    let mut targets = Vec::new();
    for i in 0..600u64 {
        let (a, b) = (draw(3 * i), draw(3 * i + 1));
        let word = (mix(3 * i + 2) % 4) as f32;
        let missing = i % 3 == 0;
        cells
            .values
            .extend([if missing { f32::NAN } else { a }, b, word]);
        targets.push(Target::Class(u32::from(
            (!missing && a > 0.6) || word == 2.0,
        )));
    }
    (cells, targets)
}

#[test]
fn flat_trees_answer_as_the_crate_that_grew_them() {
    let (cells, targets) = rows();
    let given = Known {
        cells: &cells,
        targets: &targets,
    };
    let setting = Setting {
        trees: 40,
        ..grid()[2]
    };
    let words = [None, None, None];
    let trees = Trees::grow(&given, &labels(), (&words, 7), setting).unwrap();
    let columns: Vec<f64> = (0..3)
        .flat_map(|f| cells.values.chunks(3).map(move |row| f64::from(row[f])))
        .collect();
    let matrix = Matrix::new(&columns, 600, 3);
    let (kind, answers) = answers(&targets, &labels(), 1);
    let mut booster = booster(setting, kind, 7);
    booster.fit_unweighted(&matrix, &answers, None).unwrap();
    let wanted = booster.predict(&matrix, false);
    let got = trees.scores(&cells);
    for (row, wanted) in wanted.iter().enumerate() {
        let wanted = 1.0 / (1.0 + (-wanted).exp());
        assert!(
            (f64::from(got.row(row)[1]) - wanted).abs() < 1e-6,
            "row {row}"
        );
        assert_eq!(trees.score(cells.row(row)), got.row(row));
    }
}

#[test]
fn the_first_trees_alone_and_what_each_field_adds() {
    let (cells, targets) = rows();
    let given = Known {
        cells: &cells,
        targets: &targets,
    };
    let words = [None, None, Some(4)];
    let grown = Trees::grow(&given, &labels(), (&words, 7), grid()[0]).unwrap();
    let right = |scores: &Scores| -> f64 {
        let hits =
            (0..600).filter(|&i| (scores.row(i)[1] > 0.5) == (targets[i] == Target::Class(1)));
        hits.count() as f64
    };
    let (found, trees) = grown.best_length(&cells, &right);
    let cut = grown.clone().cut(trees);
    assert_eq!(right(&cut.scores(&cells)), found);
    assert!(found > 590.0, "{found}");
    // What the fields add, with the base and what the trees say before any split, is the answer.
    for row in [1, 2, 5] {
        let added: f64 = cut.contributions(cells.row(row)).iter().sum();
        let forest = &cut.forests[0];
        let roots: f64 = forest
            .roots
            .iter()
            .map(|r| f64::from(forest.nodes[*r as usize].3))
            .sum();
        let z = forest.base + roots + added;
        let p = f64::from(cut.score(cells.row(row))[1]);
        assert!((1.0 / (1.0 + (-z).exp()) - p).abs() < 1e-5, "{z} {p}");
    }
    let strong = cut.contributions(cells.row(1));
    assert!(
        strong[1].abs() < strong[0].abs().max(strong[2].abs()),
        "{strong:?}"
    );
}

#[test]
fn numbers_and_several_classes_and_any_number_of_threads() {
    let (cells, _) = rows();
    let value = |row: &[f32]| 10.0 + 3.0 * row[1];
    let targets: Vec<Target> = cells
        .values
        .chunks(3)
        .map(|r| Target::Value(value(r)))
        .collect();
    let labels = Labels::Number {
        mean: 11.5,
        std: 0.9,
    };
    let given = Known {
        cells: &cells,
        targets: &targets,
    };
    let words = [None, None, Some(4)];
    let grow = || Trees::grow(&given, &labels, (&words, 7), grid()[0]).unwrap();
    let trees = grow();
    let scores = trees.scores(&cells);
    let off = (0..600).map(|i| (scores.data[i] - value(cells.row(i))).abs());
    assert!(off.fold(0.0, f32::max) < 0.3);
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    assert_eq!(one.install(grow), trees);
    let text = serde_json::to_string(&trees).unwrap();
    let back: Trees = serde_json::from_str(&text).unwrap();
    assert_eq!(back.scores(&cells), scores);

    let labels = Labels::Classes {
        names: vec!["a".into(), "b".into(), "c".into()],
    };
    let targets: Vec<Target> = cells
        .values
        .chunks(3)
        .map(|r| Target::Class((r[1] * 2.999) as u32))
        .collect();
    let given = Known {
        cells: &cells,
        targets: &targets,
    };
    let trees = Trees::grow(&given, &labels, (&words, 7), grid()[0]).unwrap();
    let scores = trees.scores(&cells);
    let right = (0..600).filter(|&i| {
        let best = (0..3).max_by(|a, b| scores.row(i)[*a].total_cmp(&scores.row(i)[*b]));
        Target::Class(best.unwrap() as u32) == targets[i]
    });
    assert!(right.count() > 590);
    assert!((scores.row(5).iter().sum::<f32>() - 1.0).abs() < 1e-5);
}
