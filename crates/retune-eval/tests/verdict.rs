//! The verdict on synthetic answers whose true difference is known: it is not fooled by chance, not blind to a gain,
//! its intervals cover what they promise, and nothing it is given makes it fail.

#![expect(clippy::unwrap_used, reason = "tests")]

use retune_eval::{Evaluation, Matrix, Predictions, Targets, Verdict, Word, judge};

/// Uniform numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mean 0, deviation 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

fn rated(primary: &str) -> Evaluation {
    Evaluation {
        metrics: vec![primary.to_owned()],
        primary: primary.to_owned(),
        classes: vec!["no".to_owned(), "yes".to_owned()],
    }
}

/// Two classes in turn, answered right where `right` says so.
fn answers(right: &[bool]) -> Predictions {
    let truth: Vec<u32> = (0..right.len()).map(|r| (r % 2) as u32).collect();
    let yes = |(&right, &truth): (&bool, &u32)| if right == (truth == 1) { 0.8 } else { 0.2 };
    let scores = right.iter().zip(&truth).map(yes);
    let data: Vec<f32> = scores.flat_map(|yes| [1.0 - yes, yes]).collect();
    predictions(2, data, Targets::Class(truth))
}

fn predictions(cols: usize, data: Vec<f32>, targets: Targets) -> Predictions {
    Predictions {
        scores: Matrix {
            rows: data.len() / cols,
            cols,
            data,
        },
        targets,
        slices: Vec::new(),
        ids: Vec::new(),
        decision: None,
    }
}

/// Two models that differ on `won + lost` of the rows: the first alone is right on a share `won`, the second on `lost`,
/// and both are right on 70 %.
fn pair(rows: usize, won: f64, lost: f64, random: &mut Random) -> [Predictions; 2] {
    let drawn: Vec<f64> = (0..rows).map(|_| random.uniform()).collect();
    let right = |from: f64, to: f64| {
        let hit = |u: &f64| *u < 0.7 || (from..to).contains(u);
        answers(&drawn.iter().map(hit).collect::<Vec<_>>())
    };
    [right(0.7, 0.7 + won), right(0.7 + won, 0.7 + won + lost)]
}

fn against(tuned: &Predictions, floor: &Predictions, seed: u64) -> Verdict {
    judge(
        &[tuned],
        &[("frozen", vec![floor])],
        &rated("accuracy"),
        seed,
    )
}

/// How many of `cases` fulfil `wanted`.
fn count(cases: u64, wanted: impl Fn(u64) -> bool) -> usize {
    (0..cases).filter(|&case| wanted(case)).count()
}

#[test]
fn shuffled_labels_are_no_improvement() {
    let improved = count(20, |seed| {
        let mut random = Random(seed);
        let mut guess = || answers(&(0..500).map(|_| random.uniform() < 0.5).collect::<Vec<_>>());
        let (tuned, floor) = (guess(), guess());
        against(&tuned, &floor, seed).word == Word::Improved
    });
    assert!(improved <= 1, "{improved} of 20");
}

#[test]
fn equally_good_models_are_not_told_apart() {
    let told = count(40, |seed| {
        let [a, b] = pair(1000, 0.07, 0.07, &mut Random(100 + seed));
        against(&a, &b, seed).word != Word::NoEvidence
    });
    assert!(told <= 4, "{told} of 40");
}

#[test]
fn a_gain_of_five_points_is_found_among_several_floors() {
    let found = count(20, |seed| {
        let mut random = Random(200 + seed);
        let [tuned, frozen] = pair(2000, 0.1, 0.05, &mut random);
        let majority = answers(&(0..2000).map(|r| r % 2 == 0).collect::<Vec<_>>());
        // A second floor as strong as the first, which errs on rows of its own.
        let [_, classical] = pair(2000, 0.1, 0.05, &mut random);
        let floors = [
            ("frozen", vec![&frozen]),
            ("classical", vec![&classical]),
            ("majority", vec![&majority]),
        ];
        let v = judge(&[&tuned], &floors, &rated("accuracy"), seed);
        (v.word, v.helped, v.worth_shipping) == (Word::Improved, Word::Improved, Word::Improved)
    });
    assert!(found >= 16, "{found} of 20");
}

#[test]
fn the_interval_covers_the_true_difference() {
    let covered = count(300, |seed| {
        let [a, b] = pair(200, 0.12, 0.07, &mut Random(1000 + seed));
        let f = &against(&a, &b, seed).floors["frozen"];
        f.low <= 0.05 && 0.05 <= f.high
    });
    // 95 % of 300 is 285, with a standard deviation of 3.8.
    assert!((274..=296).contains(&covered), "{covered} of 300");
}

/// Three models of one recipe: `quality` is the accuracy of the recipe, from which the seeds lie 2 points apart. Rows
/// are hard or easy for all of them alike.
fn seeds(quality: f64, hardness: &[f64], random: &mut Random) -> Vec<Predictions> {
    let model = |_| {
        let quality = quality + 0.02 * random.normal();
        let right: Vec<bool> = hardness
            .iter()
            .map(|h| 0.7 * h + 0.3 * random.uniform() < quality)
            .collect();
        answers(&right)
    };
    (0..3).map(model).collect()
}

#[test]
fn seeds_that_differ_by_luck_are_no_evidence_about_the_recipe() {
    let of = |seed: u64, several: bool, by: f64| {
        let mut random = Random(5000 + seed);
        let hardness: Vec<f64> = (0..800).map(|_| random.uniform()).collect();
        let tuned = seeds(0.75 + by, &hardness, &mut random);
        let floor = seeds(0.75, &hardness, &mut random);
        let models = if several { 3 } else { 1 };
        let floor = vec![("frozen", floor.iter().take(models).collect())];
        let tuned: Vec<&Predictions> = tuned.iter().take(models).collect();
        judge(&tuned, &floor, &rated("accuracy"), seed)
    };
    let told = count(40, |seed| of(seed, true, 0.0).word != Word::NoEvidence);
    assert!(told <= 4, "{told} of 40");
    // The test has teeth: single models of these recipes do differ, each pair for itself.
    let apart = count(40, |seed| of(seed, false, 0.0).word != Word::NoEvidence);
    assert!(apart > 10, "{apart} of 40");
    let found = count(20, |seed| of(seed, true, 0.1).word == Word::Improved);
    assert!(found >= 16, "{found} of 20");
    let v = of(0, true, 0.1);
    assert_eq!((v.seeds, v.rows), (3, 800));
    assert_eq!(v.scope, "the recipe over 3 seeds on these 800 rows");
    assert_eq!(v.floors["frozen"].mcnemar, None);
}

#[test]
fn a_smaller_error_is_an_improvement_and_the_words_take_the_weakest() {
    let mut random = Random(7);
    let truth: Vec<f32> = (0..400).map(|_| random.normal() as f32).collect();
    let mut off = |by: f64| {
        let data = truth.iter().map(|t| t + (by * random.normal()) as f32);
        predictions(1, data.collect(), Targets::Value(truth.clone()))
    };
    let (tuned, frozen, classical) = (off(0.4), off(0.8), off(0.3));
    let floors = [("frozen", vec![&frozen]), ("classical", vec![&classical])];
    let v = judge(&[&tuned], &floors, &rated("rmse"), 1);
    let f = &v.floors["frozen"];
    assert!(
        f.low > 0.2 && f.low < f.difference && f.difference < f.high,
        "{f:?}"
    );
    assert_eq!((f.metric.as_str(), f.mcnemar), ("rmse", None));
    assert!(f.p.unwrap() < 0.001);
    assert_eq!(
        (v.helped, v.worth_shipping, v.word),
        (Word::Improved, Word::Worse, Word::Worse)
    );
    assert!(v.floors["classical"].high < 0.0);
    assert_eq!(
        v.scope,
        "this one model on these 400 rows; another seed may differ"
    );
}

#[test]
fn more_floors_make_wider_intervals() {
    let mut random = Random(11);
    let [tuned, frozen] = pair(1000, 0.08, 0.05, &mut random);
    let one = judge(
        &[&tuned],
        &[("frozen", vec![&frozen])],
        &rated("accuracy"),
        0,
    );
    let close: Vec<Predictions> = (0..4)
        .map(|_| pair(1000, 0.08, 0.05, &mut random)[1].clone())
        .collect();
    let names = ["a", "b", "c", "d"];
    let mut floors: Vec<(&str, Vec<&Predictions>)> = names
        .into_iter()
        .zip(close.iter().map(|p| vec![p]))
        .collect();
    floors.push(("frozen", vec![&frozen]));
    let many = judge(&[&tuned], &floors, &rated("accuracy"), 0);
    let (one, many) = (&one.floors["frozen"], &many.floors["frozen"]);
    assert_eq!(one.difference, many.difference);
    assert!(
        many.low < one.low && many.high > one.high,
        "{one:?} {many:?}"
    );
    assert!(many.p.unwrap() > one.p.unwrap() && many.mcnemar.unwrap() > one.mcnemar.unwrap());
}

#[test]
fn the_detectable_difference_is_one_that_is_found_four_times_in_five() {
    let [a, b] = pair(500, 0.09, 0.06, &mut Random(3));
    let detectable = against(&a, &b, 0).detectable.unwrap();
    // 2.8 standard errors of a difference over 15 % disagreement.
    let expected = 2.8 * (0.15_f64 / 500.0).sqrt();
    assert!(
        (detectable - expected).abs() < 0.005,
        "{detectable} {expected}"
    );
    let found = count(40, |seed| {
        let [a, b] = pair(
            500,
            0.075 + detectable / 2.0,
            0.075 - detectable / 2.0,
            &mut Random(seed),
        );
        against(&a, &b, seed).word == Word::Improved
    });
    assert!((26..=37).contains(&found), "{found} of 40");
}

#[test]
fn equal_answers_are_no_evidence() {
    let [a, _] = pair(200, 0.1, 0.1, &mut Random(1));
    let v = against(&a, &a, 0);
    let f = &v.floors["frozen"];
    assert_eq!(
        (f.difference, f.low, f.high, f.word),
        (0.0, 0.0, 0.0, Word::NoEvidence)
    );
    assert_eq!((f.p, f.mcnemar, v.detectable), (Some(1.0), Some(1.0), None));
}

#[test]
fn few_rows_prove_nothing_however_they_fall() {
    for rows in [0, 1, 5, 19] {
        let (right, wrong) = (answers(&vec![true; rows]), answers(&vec![false; rows]));
        let v = against(&right, &wrong, 0);
        assert_eq!(
            (v.word, v.helped, v.rows),
            (Word::NoEvidence, Word::NoEvidence, rows)
        );
        assert!(!v.notes.is_empty(), "{rows} rows need a note");
    }
    // Four rows of 2,000, all in favour: the percentile interval excludes 0, the exact test does not.
    let (mut tuned, floor) = (vec![true; 2000], vec![true; 2000]);
    tuned[..4].fill(false);
    let v = against(&answers(&floor), &answers(&tuned), 0);
    let f = &v.floors["frozen"];
    assert!(
        f.low > 0.0 && (f.mcnemar.unwrap() - 0.125).abs() < 1e-9 && f.word == Word::NoEvidence,
        "{f:?}"
    );
    assert!(
        v.notes[0].starts_with("frozen: too few rows"),
        "{:?}",
        v.notes
    );
}

#[test]
fn what_cannot_be_rated_is_no_evidence_with_a_note() {
    let [a, b] = pair(200, 0.3, 0.0, &mut Random(2));
    let mut broken = b.clone();
    broken.scores.data[3] = f32::NAN;
    let floors = [("frozen", vec![&broken]), ("majority", vec![&b])];
    let v = judge(&[&a], &floors, &rated("accuracy"), 0);
    assert_eq!((v.word, v.helped), (Word::NoEvidence, Word::NoEvidence));
    assert_eq!(v.worth_shipping, Word::Improved);
    assert!(
        v.notes[0].starts_with("frozen: no figures: 1 scores"),
        "{:?}",
        v.notes
    );
    let v = judge(&[&broken], &floors, &rated("accuracy"), 0);
    assert!(v.floors.is_empty() && v.notes[0].starts_with("the tuned model: no figures"));
    // A constant has no correlation with anything: the other floors decide.
    let truth: Vec<f32> = (0..100_u8).map(f32::from).collect();
    let near: Vec<f32> = truth.iter().map(|t| t + (t * 7.0) % 5.0).collect();
    let far: Vec<f32> = truth.iter().map(|t| (t * 7.0) % 50.0).collect();
    let value = |data: Vec<f32>| predictions(1, data, Targets::Value(truth.clone()));
    let (near, far, prior) = (value(near), value(far), value(vec![1.0; 100]));
    let floors = [("prior", vec![&prior]), ("frozen", vec![&far])];
    let v = judge(&[&near], &floors, &rated("spearman"), 0);
    assert_eq!(
        (v.word, v.worth_shipping),
        (Word::Improved, Word::NoEvidence)
    );
    assert_eq!(v.notes, ["prior: spearman is undefined on these rows"]);
    for (primary, models) in [
        ("acuracy", vec![&a]),
        ("rmse", vec![&a]),
        ("accuracy", vec![]),
    ] {
        let v = judge(&models, &[("frozen", vec![&b])], &rated(primary), 0);
        assert_eq!(
            (v.word, v.floors.len(), v.notes.len()),
            (Word::NoEvidence, 0, 1),
            "{primary}"
        );
    }
}

#[test]
fn a_verdict_is_written_and_read() {
    let [a, b] = pair(300, 0.2, 0.05, &mut Random(4));
    let v = against(&a, &b, 0);
    let written = serde_json::to_value(&v).unwrap();
    assert_eq!(written["word"], "improved");
    assert_eq!(written["floors"]["frozen"]["metric"], "accuracy");
    assert_eq!(serde_json::from_value::<Verdict>(written).unwrap(), v);
    assert_eq!(
        v,
        against(&a, &b, 0),
        "the same seed gives the same verdict"
    );
}
