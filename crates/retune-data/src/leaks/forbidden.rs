//! Statistics of labels that cannot have been known: of an entity without the delay, or of a value over all rows.
//!
//! Each is computed, beside the nearest one that is allowed. A column that equals the forbidden one where the two differ is
//! reported. Windows of 1, 7 and 30 days and without end are tried, as shares and as counts.

use std::collections::HashMap;
use std::rc::Rc;

use super::facts::{Facts, Side, codes};
use super::{FEWEST, Finding, LeakKind, percent};
use crate::interactions::moments::SECOND;
use crate::table::Column;

/// Most rows that are compared.
const ROWS: usize = 300_000;
/// Numbers in files are rounded to four decimals or more.
const ROUNDING: f32 = 6e-5;
/// Values nearer to each other do not tell two statistics apart.
const APART: f32 = 2e-4;
/// Share of the rows that must be equal.
const EQUAL: f64 = 0.95;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// A statistic, with the rows it was computed for.
pub(super) struct Forbidden {
    kind: LeakKind,
    /// In words.
    what: String,
    rows: Rc<Vec<usize>>,
    /// The statistic, and the one that would be allowed; 0 where there is nothing to count.
    value: Vec<f32>,
    allowed: Vec<f32>,
}

/// All forbidden statistics of a table.
pub(super) fn all(facts: &Facts<'_>) -> Vec<Forbidden> {
    let mut out = Vec::new();
    if let Some(time) = &facts.time {
        let rows: Vec<usize> = facts.order.iter().copied().take(ROWS).collect();
        let rows = Rc::new(rows);
        for (column, codes) in &facts.entities {
            let histories = Histories::new(facts, codes, time, &rows);
            for (days, word) in [
                (1, "the last day"),
                (7, "7 days"),
                (30, "30 days"),
                (1_000_000, "all time"),
            ] {
                let about = format!("of `{}` over {word}", column.name);
                out.extend(histories.over(days * DAY, facts.request.delay, &about));
            }
        }
    }
    let step = facts.order.len().div_ceil(ROWS).max(1);
    let rows: Rc<Vec<usize>> = Rc::new(facts.order.iter().copied().step_by(step).collect());
    for (column, codes) in &facts.entities {
        out.extend(encodings(facts, &column.name, codes, &rows));
    }
    for column in &facts.candidates {
        out.extend(encodings(facts, &column.name, &codes(column), &rows));
    }
    out
}

/// Reports a column of numbers that equals a forbidden statistic.
pub(super) fn check(
    facts: &Facts<'_>,
    forbidden: &[Forbidden],
    (column, numbers): (&Column, &[f32]),
    found: &mut Vec<Finding>,
) {
    let equal = forbidden
        .iter()
        .filter_map(|f| Some((f, equal(f, numbers)?)));
    if let Some((forbidden, share)) = equal.max_by(|a, b| a.1.total_cmp(&b.1)) {
        let what_to_do = match forbidden.kind {
            LeakKind::EncodedOverAll => {
                "count over the training rows only, and never the row itself"
            }
            _ => {
                "count only labels that were known at the time of the event: the measure `risk` of the feature engine does, \
                 after the delay"
            }
        };
        found.push(Finding {
            kind: forbidden.kind,
            column: column.name.clone(),
            figure: share,
            why: format!(
                "`{}` equals {} in {} of the rows where that differs from what could be known: it holds labels that are not \
                 there yet when a payment is to be judged.",
                column.name,
                forbidden.what,
                percent(share)
            ),
            what_to_do: what_to_do.to_string(),
        });
        return;
    }
    for (entity, codes) in &facts.entities {
        if let Some(share) = known_at_first(facts, codes, numbers) {
            found.push(Finding {
                kind: LeakKind::LabelsWithoutDelay,
                column: column.name.clone(),
                figure: share,
                why: format!(
                    "`{}` is always the same at the first row of a `{}`, except for {} of the frauds: a history that has only \
                     begun cannot know them, so the row's own label is in it.",
                    column.name,
                    entity.name,
                    percent(share)
                ),
                what_to_do: "compute the column from rows and labels that were known before the event".to_string(),
            });
            return;
        }
    }
}

/// Share of the telling rows in which the numbers are those of the statistic, if that is nearly all.
fn equal(forbidden: &Forbidden, numbers: &[f32]) -> Option<f64> {
    let (mut telling, mut same, mut zeros, mut zero) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut values: Vec<f32> = Vec::new();
    for (at, &row) in forbidden.rows.iter().enumerate() {
        let (value, number) = (forbidden.value[at], numbers[row]);
        if value == 0.0 {
            zeros += 1;
            zero += usize::from(number.is_nan() || number == 0.0);
        } else if (value - forbidden.allowed[at]).abs() > APART {
            telling += 1;
            same += usize::from((number - value).abs() <= ROUNDING);
            if values.len() < 3 && !values.contains(&value) {
                values.push(value);
            }
        }
        // Most columns are nothing of the kind: no need to read them to the end.
        if telling >= 200 && same * 2 < telling {
            return None;
        }
    }
    let share = same as f64 / telling.max(1) as f64;
    let elsewhere = zero as f64 >= EQUAL * zeros as f64;
    (telling >= FEWEST && values.len() > 1 && share >= EQUAL && elsewhere).then_some(share)
}

/// Rows of each entity in order of time.
struct Histories {
    rows: Rc<Vec<usize>>,
    /// Places in `rows`, per entity.
    of: Vec<Vec<u32>>,
    /// Seconds, per place.
    time: Vec<i64>,
    fraud: Vec<bool>,
}

impl Histories {
    fn new(facts: &Facts<'_>, codes: &[Option<u32>], time: &[i64], rows: &Rc<Vec<usize>>) -> Self {
        let entities = codes.iter().flatten().max().map_or(0, |&c| c as usize + 1);
        let mut of = vec![Vec::new(); entities];
        for (place, &row) in rows.iter().enumerate() {
            if let Some(code) = codes[row] {
                of[code as usize].push(place as u32);
            }
        }
        Self {
            of,
            time: rows
                .iter()
                .map(|&row| time[row].div_euclid(SECOND))
                .collect(),
            fraud: rows.iter().map(|&row| facts.fraud(row)).collect(),
            rows: Rc::clone(rows),
        }
    }

    /// Share and number of frauds in a window: with the row itself beside without it, and, if there is a delay, without the row
    /// beside only those as old as the delay.
    fn over(&self, window: i64, delay: i64, about: &str) -> Vec<Forbidden> {
        let n = self.rows.len();
        // Share and count, of: the row and those before, those before, those before the delay.
        let mut of = vec![[[0.0_f32; 2]; 3]; n];
        for places in &self.of {
            let at = |i: usize| self.time[places[i] as usize];
            let mut frauds = vec![0_u32];
            for (i, &place) in places.iter().enumerate() {
                frauds.push(frauds[i] + u32::from(self.fraud[place as usize]));
            }
            let stat = |from: usize, to: usize| {
                let count = (frauds[to] - frauds[from]) as f32;
                [count / (to - from).max(1) as f32, count]
            };
            let (mut from, mut until, mut since) = (0, 0, 0);
            for (i, &place) in places.iter().enumerate() {
                while at(from) <= at(i) - window {
                    from += 1;
                }
                while until < i && at(until) <= at(i) - delay {
                    until += 1;
                }
                while since < until && at(since) <= at(i) - delay - window {
                    since += 1;
                }
                of[place as usize] = [stat(from, i + 1), stat(from, i), stat(since, until)];
            }
        }
        let series = |which: usize, kind: usize| of.iter().map(|o| o[which][kind]).collect();
        let mut out = Vec::new();
        for (kind, word) in [(0, "share"), (1, "number")] {
            let mut add = |value: usize, itself: &str| {
                out.push(Forbidden {
                    kind: LeakKind::LabelsWithoutDelay,
                    what: format!("the {word} of frauds {about}, {itself}"),
                    rows: Rc::clone(&self.rows),
                    value: series(value, kind),
                    allowed: series(value + 1, kind),
                });
            };
            add(0, "the row itself included");
            if delay > 0 {
                add(1, "up to the row, without the delay of labels");
            }
        }
        out
    }
}

/// The share of frauds per value of a column over all rows, beside that over the training rows.
fn encodings(
    facts: &Facts<'_>,
    name: &str,
    codes: &[Option<u32>],
    rows: &Rc<Vec<usize>>,
) -> Vec<Forbidden> {
    let mut counts: HashMap<u32, [f32; 4]> = HashMap::new();
    for &row in &facts.order {
        if let Some(code) = codes[row] {
            let count = counts.entry(code).or_default();
            let fraud = f32::from(u8::from(facts.fraud(row)));
            let train = f32::from(u8::from(facts.side[row] == Side::Train));
            let add = [fraud, 1.0, fraud * train, train];
            count.iter_mut().zip(add).for_each(|(c, a)| *c += a);
        }
    }
    let has_test = facts.side.contains(&Side::Test);
    // Values that hardly repeat have no share worth the name.
    if counts.len() < 2 || counts.len() * 2 > facts.order.len() || !has_test {
        return Vec::new();
    }
    let per_row: Vec<[f32; 3]> = rows
        .iter()
        .map(|&row| {
            let Some([frauds, all, train_frauds, train]) = codes[row].map(|code| counts[&code])
            else {
                return [0.0; 3];
            };
            let own = f32::from(u8::from(facts.fraud(row)));
            let others = (frauds - own) / (all - 1.0).max(1.0);
            [frauds / all, others, train_frauds / train.max(1.0)]
        })
        .collect();
    let series = |which: usize| per_row.iter().map(|p| p[which]).collect::<Vec<f32>>();
    let make = |what: String, value: usize, allowed: usize| Forbidden {
        kind: LeakKind::EncodedOverAll,
        what,
        rows: Rc::clone(rows),
        value: series(value),
        allowed: series(allowed),
    };
    let over = format!("the share of frauds by `{name}` over training and test rows together");
    vec![
        make(over.clone(), 0, 2),
        make(format!("{over}, the row itself left out"), 1, 0),
    ]
}

/// Share of the frauds at the first row of an entity whose number is not the one that honest first rows have: a statistic of a
/// history is the same for all that have none. `None` if honest first rows differ, or few frauds do.
fn known_at_first(facts: &Facts<'_>, codes: &[Option<u32>], numbers: &[f32]) -> Option<f64> {
    facts.time.as_ref()?;
    let entities = codes.iter().flatten().max().map_or(0, |&c| c as usize + 1);
    let mut seen = vec![false; entities];
    let (mut honest, mut frauds): (HashMap<u32, usize>, Vec<u32>) = (HashMap::new(), Vec::new());
    let mut different: Vec<f32> = Vec::new();
    for &row in &facts.order {
        let Some(code) = codes[row] else { continue };
        let number = numbers[row];
        if std::mem::replace(&mut seen[code as usize], true) {
            if different.len() < 5 && !number.is_nan() && !different.contains(&number) {
                different.push(number);
            }
        } else if facts.fraud(row) {
            frauds.push(bits(number));
        } else {
            *honest.entry(bits(number)).or_default() += 1;
        }
    }
    let firsts: usize = honest.values().sum();
    let (&usual, &most) = honest.iter().max_by_key(|h| (*h.1, *h.0))?;
    let unlike = frauds.iter().filter(|&&number| number != usual).count();
    let share = unlike as f64 / frauds.len().max(1) as f64;
    // Flags and categories have few values; a statistic of a history has many.
    let varies = different.len() >= 5;
    let enough = frauds.len() >= 8 && firsts >= 50;
    (varies && enough && most as f64 >= EQUAL * firsts as f64 && share >= 0.9).then_some(share)
}

/// Equal numbers, and all that are none, are equal here.
fn bits(number: f32) -> u32 {
    if number.is_nan() {
        f32::NAN.to_bits()
    } else {
        (number + 0.0).to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A count of frauds: 0 in `zeros` rows, then 1 and 2 in turn, where 0 would be allowed.
    fn count(zeros: usize) -> Forbidden {
        let counts = (0..40).map(|at| 1.0 + (at % 2) as f32);
        let value: Vec<f32> = std::iter::repeat_n(0.0, zeros).chain(counts).collect();
        Forbidden {
            kind: LeakKind::LabelsWithoutDelay,
            what: "the number of frauds".to_string(),
            rows: Rc::new((0..value.len()).collect()),
            allowed: vec![0.0; value.len()],
            value,
        }
    }

    #[test]
    fn a_statistic_is_recognised_by_all_its_rows() {
        let statistic = count(100);
        let same = statistic.value.clone();
        assert_eq!(equal(&statistic, &same), Some(1.0));
        // Rounded, and empty where there is nothing to count.
        let rounded: Vec<f32> = same
            .iter()
            .map(|&v| if v == 0.0 { f32::NAN } else { v + 4e-5 })
            .collect();
        assert_eq!(equal(&statistic, &rounded), Some(1.0));
        let mut once = same.clone();
        once[139] = 9.0;
        assert_eq!(equal(&statistic, &once), Some(0.975));
        // Right where it tells, but not 0 where nothing was counted: something else.
        let elsewhere: Vec<f32> = same.iter().map(|&v| v.max(1.0)).collect();
        assert_eq!(equal(&statistic, &elsewhere), None);
        let allowed = statistic.allowed.clone();
        assert_eq!(equal(&statistic, &allowed), None);
        // Too few rows that tell.
        let few = Forbidden {
            rows: Rc::new((0..119).collect()),
            ..count(100)
        };
        assert_eq!(equal(&few, &same), None);
    }
}
