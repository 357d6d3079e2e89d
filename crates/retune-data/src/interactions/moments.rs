//! Times of events: whole numbers in seconds, milliseconds, microseconds or nanoseconds, days written `20240531`, and
//! dates. All become nanoseconds since 1970 (UTC), exactly, so that no two times that differ in a file are equal here.
//!
//! The unit of a number is told by its size: below 1e11 seconds (the year 5138), below 1e14 milliseconds, below 1e17
//! microseconds. A file has one unit; a second one is an error that names a row of each.

use crate::split::moment::{civil, iso_seconds};

/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;

/// How the times of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    Days,
    Dates,
}

impl Unit {
    /// The unit in words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds since 1970",
            Self::Milliseconds => "milliseconds since 1970",
            Self::Microseconds => "microseconds since 1970",
            Self::Nanoseconds => "nanoseconds since 1970",
            Self::Days => "days written as YYYYMMDD",
            Self::Dates => "dates",
        }
    }

    /// Nanoseconds in one of a number's units.
    fn nanoseconds(self) -> i64 {
        match self {
            Self::Seconds => SECOND,
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1000,
            Self::Nanoseconds | Self::Days | Self::Dates => 1,
        }
    }
}

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoTime {
    /// It is neither a number nor a date.
    Unreadable,
    /// It lies before 1677 or after 2262.
    OutOfRange,
}

/// Nanoseconds since 1970 and how they were written. With `days`, whole numbers such as 20240531 are days.
pub(crate) fn moment(text: &str, days: bool) -> Result<(i64, Unit), NoTime> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        if days && let Some(ns) = day(whole) {
            return Ok((ns, Unit::Days));
        }
        let unit = unit_of(whole.unsigned_abs() as f64);
        let ns = whole.checked_mul(unit.nanoseconds());
        return ns.map(|ns| (ns, unit)).ok_or(NoTime::OutOfRange);
    }
    if let Some(number) = text.parse::<f64>().ok().filter(|x| x.is_finite()) {
        let unit = unit_of(number.abs());
        let ns = number * unit.nanoseconds() as f64;
        return nanoseconds(ns).map(|ns| (ns, unit));
    }
    // Logs of shops often name the zone that is meant anyway.
    let zones = [" UTC", " GMT"];
    let date = zones.iter().find_map(|zone| text.strip_suffix(zone));
    let seconds = iso_seconds(date.unwrap_or(text)).ok_or(NoTime::Unreadable)?;
    // A double holds seconds to about a quarter of a microsecond.
    let micros = nanoseconds(seconds * 1e9).map(|_| (seconds * 1e6).round() as i64)?;
    Ok((micros * 1000, Unit::Dates))
}

fn nanoseconds(ns: f64) -> Result<i64, NoTime> {
    // 2^63 = 9.22e18.
    if ns.abs() < 9.2e18 {
        Ok(ns.round() as i64)
    } else {
        Err(NoTime::OutOfRange)
    }
}

fn unit_of(size: f64) -> Unit {
    match size {
        s if s < 1e11 => Unit::Seconds,
        s if s < 1e14 => Unit::Milliseconds,
        s if s < 1e17 => Unit::Microseconds,
        _ => Unit::Nanoseconds,
    }
}

/// Midnight of a day written as YYYYMMDD, between 1900 and 2100.
fn day(number: i64) -> Option<i64> {
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    if !(1900..=2100).contains(&year) {
        return None;
    }
    let seconds = iso_seconds(&format!("{year:04}-{month:02}-{day:02}"))?;
    Some(seconds as i64 * SECOND)
}

/// Whether every one of some times is a day written as YYYYMMDD.
pub(crate) fn are_days<'a>(mut texts: impl Iterator<Item = &'a str>) -> bool {
    let is_day = |t: &str| t.trim().parse().ok().and_then(day).is_some();
    texts.next().is_some_and(is_day) && texts.all(is_day)
}

/// `2024-05-31 12:30` of nanoseconds since 1970.
pub fn show_moment(ns: i64) -> String {
    let seconds = ns.div_euclid(SECOND);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}",
        rest / 3600,
        rest / 60 % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_size_and_are_exact() {
        let s = 978_300_760;
        for (text, unit, want) in [
            ("978300760", Unit::Seconds, s * SECOND),
            ("978300760.0", Unit::Seconds, s * SECOND),
            ("978300760123", Unit::Milliseconds, s * SECOND + 123_000_000),
            (
                "978300760123456",
                Unit::Microseconds,
                s * SECOND + 123_456_000,
            ),
            (
                "978300760123456789",
                Unit::Nanoseconds,
                s * SECOND + 123_456_789,
            ),
            ("2000-12-31 22:12:40", Unit::Dates, s * SECOND),
            ("2000-12-31 22:12:40 UTC", Unit::Dates, s * SECOND),
            (
                "2000-12-31T22:12:40.000001Z",
                Unit::Dates,
                s * SECOND + 1000,
            ),
        ] {
            assert_eq!(moment(text, false), Ok((want, unit)), "{text}");
        }
        assert_eq!(moment("soon", false), Err(NoTime::Unreadable));
        assert_eq!(moment("nan", false), Err(NoTime::Unreadable));
        assert_eq!(moment("9999-12-31", false), Err(NoTime::OutOfRange));
        assert_eq!(moment("99999999999", false), Err(NoTime::OutOfRange));
    }

    #[test]
    fn eight_digits_are_days_only_where_all_are() {
        let ns = 19_000 * 86_400 * SECOND;
        assert_eq!(moment("20220108", true), Ok((ns, Unit::Days)));
        assert_eq!(
            moment("20220108", false),
            Ok((20_220_108 * SECOND, Unit::Seconds))
        );
        assert!(are_days(["20220108", " 20211231 "].into_iter()));
        assert!(!are_days(["20220108", "20221301"].into_iter()));
        assert!(!are_days(std::iter::empty()));
    }

    #[test]
    fn moments_are_shown_as_dates() {
        // `date -u -d @... +"%F %H:%M"` of GNU coreutils.
        assert_eq!(show_moment(978_300_760 * SECOND), "2000-12-31 22:12");
        assert_eq!(show_moment(1_709_209_805 * SECOND), "2024-02-29 12:30");
        assert_eq!(show_moment(-1), "1969-12-31 23:59");
        assert_eq!(show_moment(0), "1970-01-01 00:00");
    }
}
