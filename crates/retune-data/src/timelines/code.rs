//! The codes of an event. Code 0 is a value that is missing (of hours and days there is none); the last code of each is never
//! given: it stands for a value that is hidden from a model.

/// Place of the amount among the codes: the part of the training amounts that it lies in.
pub const AMOUNT: usize = 0;
/// Place of the time since the event before: the logarithm of its seconds to the base of 2.
pub const GAP: usize = 1;
/// Place of the hour of the day.
pub const HOUR: usize = 2;
/// Place of the day of the week.
pub const DAY: usize = 3;
/// Place of how many events ago the partner was met: never, or the logarithm of the number.
pub const PARTNER: usize = 4;
/// Codes that every event has; those of fields follow.
pub const ROLES: usize = 5;
/// Numbers of an event: its amount in standard deviations of all amounts (of their logarithms), the same beside the card's
/// own mean in units of logarithms and of the card's own deviation, and how many events the card's mean rests on.
pub const NUMBERS: usize = 4;

/// Parts of the amounts.
pub(super) const PARTS: usize = 32;
/// Buckets of times between events.
const GAPS: u32 = 26;
/// Events that a partner may lie back, and that a card's own mean is over.
pub(super) const OWN: usize = 32;
const HOUR_SECONDS: i64 = 3600;
const DAY_SECONDS: i64 = 86_400;
/// Deviation of logarithms of amounts below which a card's own is not believed.
const LEAST_DEVIATION: f64 = 0.25;

/// How many codes the five roles have, hidden ones included.
pub(super) const SIZES: [usize; ROLES] = [PARTS + 2, GAPS as usize + 2, 25, 8, 9];

/// Code of the time since the event before, if there was one.
pub(super) fn gap(since: Option<i64>) -> u16 {
    since.map_or(0, |seconds| {
        let bits = (seconds.max(0) as u64 + 1).ilog2();
        1 + bits.min(GAPS - 1) as u16
    })
}

/// Codes of hour and day of the week; 1970 began on a Thursday, and weeks begin on Mondays.
pub(super) fn clock(time: i64) -> (u16, u16) {
    let second = time.rem_euclid(DAY_SECONDS);
    let day = (time.div_euclid(DAY_SECONDS) + 3).rem_euclid(7);
    ((second / HOUR_SECONDS) as u16, day as u16)
}

/// Code of how many events ago a partner was met, of those remembered: 0 for no partner at all, 1 for never.
pub(super) fn partner(known: bool, ago: Option<usize>) -> u16 {
    match (known, ago) {
        (false, _) => 0,
        (true, None) => 1,
        (true, Some(ago)) => 2 + (ago.max(1).ilog2() as u16).min(5),
    }
}

/// The numbers of an event by the logarithm of its amount, beside those of the events before (NaN where there is none).
pub(super) fn numbers(
    amount: f64,
    before: impl Iterator<Item = f64>,
    (centre, spread): (f64, f64),
) -> [f32; NUMBERS] {
    let (mut n, mut sum, mut squares) = (0f64, 0f64, 0f64);
    for value in before.filter(|value| !value.is_nan()) {
        n += 1.0;
        sum += value;
        squares += value * value;
    }
    let rests_on = ((n + 1.0).ln() / 4.0) as f32;
    if amount.is_nan() {
        return [0.0, 0.0, 0.0, rests_on];
    }
    let all = ((amount - centre) / spread).clamp(-5.0, 5.0);
    if n < 1.0 {
        return [all as f32, 0.0, 0.0, rests_on];
    }
    let mean = sum / n;
    let deviation = (squares / n - mean * mean)
        .max(0.0)
        .sqrt()
        .max(LEAST_DEVIATION);
    let off = amount - mean;
    [
        all as f32,
        off.clamp(-4.0, 4.0) as f32,
        (off / deviation).clamp(-5.0, 5.0) as f32,
        rests_on,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stay_below_the_hidden_one() {
        let last = |role: usize| SIZES[role] as u16 - 1;
        assert_eq!(
            (gap(None), gap(Some(0)), gap(Some(1)), gap(Some(3600))),
            (0, 1, 2, 12)
        );
        assert!(gap(Some(i64::MAX)) < last(GAP) && gap(Some(-5)) == 1);
        // 2018-04-01 was a Sunday.
        assert_eq!(clock(1_522_540_800 + 7 * 3600 + 59), (7, 6));
        assert_eq!(clock(-1), (23, 2));
        assert_eq!((partner(false, None), partner(true, None)), (0, 1));
        assert_eq!(
            [1, 2, 3, 4, 31, 32].map(|ago| partner(true, Some(ago))),
            [2, 3, 3, 4, 6, 7]
        );
        assert!(partner(true, Some(usize::MAX)) < last(PARTNER));
    }

    #[test]
    fn an_amount_is_seen_beside_those_of_the_card() {
        let before = [1.0, f64::NAN, 3.0];
        let found = numbers(4.0, before.into_iter(), (1.0, 2.0));
        assert_eq!(found, [1.5, 2.0, 2.0, (3f64.ln() / 4.0) as f32]);
        assert_eq!(
            numbers(4.0, std::iter::empty(), (1.0, 2.0)),
            [1.5, 0.0, 0.0, 0.0]
        );
        assert_eq!(
            numbers(f64::NAN, before.into_iter(), (1.0, 2.0))[..3],
            [0.0; 3]
        );
        assert_eq!(
            numbers(900.0, [1.0, 1.0].into_iter(), (1.0, 2.0))[..3],
            [5.0, 4.0, 5.0]
        );
    }
}
