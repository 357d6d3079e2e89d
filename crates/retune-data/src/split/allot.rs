//! Dealing units of rows out to the sides: by class shares, or by need where units are large groups.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A side of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Train,
    Valid,
    Test,
}

/// Rows that must stay together, and the class most of them have.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    pub rows: Vec<usize>,
    pub stratum: usize,
}

/// Deals out units so that each side gets its share of every class; at least one unit of every class trains.
/// Shares are those of validation and test. Units should be shuffled.
pub(super) fn by_class(units: Vec<Unit>, shares: [f64; 2]) -> Vec<(Unit, Side)> {
    let mut strata: BTreeMap<usize, Vec<Unit>> = BTreeMap::new();
    for unit in units {
        strata.entry(unit.stratum).or_default().push(unit);
    }
    let mut classes: Vec<Vec<Unit>> = strata.into_values().collect();
    let mut out = Vec::new();
    for (side, share) in [(Side::Test, shares[1]), (Side::Valid, shares[0])] {
        let taken = take(&mut classes, share, &out);
        out.extend(taken.into_iter().map(|u| (u, side)));
    }
    out.extend(classes.into_iter().flatten().map(|u| (u, Side::Train)));
    out
}

/// Takes about `share` of the rows of each class, and of all rows (those in `before` included), off the end of `classes`.
fn take(classes: &mut [Vec<Unit>], share: f64, before: &[(Unit, Side)]) -> Vec<Unit> {
    let size = |units: &[Unit]| units.iter().map(|u| u.rows.len()).sum::<usize>();
    let mut full: Vec<usize> = classes.iter().map(|c| size(c)).collect();
    let mut strata: BTreeMap<usize, usize> = BTreeMap::new();
    for (i, class) in classes.iter().enumerate() {
        if let Some(unit) = class.first() {
            strata.insert(unit.stratum, i);
        }
    }
    for (unit, _) in before {
        if let Some(&i) = strata.get(&unit.stratum) {
            full[i] += unit.rows.len();
        }
    }
    let wanted = share * full.iter().sum::<usize>() as f64;
    let mut goals: Vec<f64> = full.iter().map(|&n| (share * n as f64).floor()).collect();
    // What rounding down left over goes to the classes it took most from; larger classes first on a tie.
    let mut order: Vec<usize> = (0..full.len()).collect();
    order.sort_by(|&a, &b| {
        let part = |i: usize| (share * full[i] as f64).fract();
        part(b)
            .total_cmp(&part(a))
            .then(full[b].cmp(&full[a]))
            .then(a.cmp(&b))
    });
    let mut left = (wanted.round() - goals.iter().sum::<f64>()).max(0.0);
    if share > 0.0 && wanted < 0.5 {
        left = 1.0;
    }
    for &i in order.iter().filter(|&&i| classes[i].len() > 1) {
        if left >= 1.0 {
            goals[i] += 1.0;
            left -= 1.0;
        }
    }
    let mut taken = Vec::new();
    for (class, goal) in classes.iter_mut().zip(goals) {
        let mut got = 0.0;
        while got < goal && class.len() > 1 {
            let Some(unit) = class.pop() else { break };
            got += unit.rows.len() as f64;
            taken.push(unit);
        }
    }
    taken
}

/// Deals out units, the largest first, each to the side that lacks most of the unit's classes.
pub(super) fn by_need(
    mut units: Vec<Unit>,
    shares: [f64; 2],
    stratum: impl Fn(usize) -> usize,
) -> Vec<(Unit, Side)> {
    units.sort_by_key(|u| Reverse(u.rows.len()));
    let sides = [Side::Train, Side::Valid, Side::Test];
    let portions = [1.0 - shares[0] - shares[1], shares[0], shares[1]];
    let count = |unit: &Unit| {
        let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
        for &row in &unit.rows {
            *counts.entry(stratum(row)).or_default() += 1.0;
        }
        counts
    };
    let mut total: BTreeMap<usize, f64> = BTreeMap::new();
    for unit in &units {
        for (class, n) in count(unit) {
            *total.entry(class).or_default() += n;
        }
    }
    let mut have = vec![BTreeMap::<usize, f64>::new(); 3];
    let mut out = Vec::with_capacity(units.len());
    for unit in units {
        let counts = count(&unit);
        // Lack of a side: the share of its goal that is still open, averaged over the unit's rows.
        let lack = |side: usize| {
            if portions[side] <= 0.0 {
                return f64::NEG_INFINITY;
            }
            let open = counts.iter().map(|(class, n)| {
                let goal = portions[side] * total[class];
                n * (1.0 - (have[side].get(class).unwrap_or(&0.0) + n) / goal.max(1e-9))
            });
            open.sum::<f64>() / unit.rows.len() as f64
        };
        let lacks = [lack(0), lack(1), lack(2)];
        // Training wins ties: the first unit always trains where all sides are empty and one must.
        let best = (1..3).fold(0, |best, side| {
            if lacks[side] > lacks[best] {
                side
            } else {
                best
            }
        });
        for (class, n) in counts {
            *have[best].entry(class).or_default() += n;
        }
        out.push((unit, sides[best]));
    }
    fill_empty(&mut out, portions);
    out
}

/// Gives a side that was asked for and got nothing the smallest unit of training, as long as one stays there.
fn fill_empty(dealt: &mut [(Unit, Side)], portions: [f64; 3]) {
    for (side, portion) in [(Side::Test, portions[2]), (Side::Valid, portions[1])] {
        if portion <= 0.0 || dealt.iter().any(|(_, s)| *s == side) {
            continue;
        }
        let training = dealt.iter().filter(|(_, s)| *s == Side::Train).count();
        let smallest = dealt
            .iter_mut()
            .filter(|(_, s)| *s == Side::Train)
            .min_by_key(|(u, _)| u.rows.len());
        if let Some((_, s)) = smallest.filter(|_| training > 1) {
            *s = side;
        }
    }
}
