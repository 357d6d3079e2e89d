//! Dates and times as seconds, so that rows can be put in order.
//!
//! The year comes first, or the day with points: with slashes, day and month cannot be told apart.

/// Seconds since 1970 of `2024-05-31`, `2024-05-31 12:30`, `2024/05/31T12:30:05.25`, `31.05.2024 12:30`; a zone `Z` or
/// `+02:00` counts.
pub(crate) fn iso_seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let (date, clock) = (text.get(..10)?, text.get(10..)?);
    let (year, month, day) = match year_first(date) {
        Some(found) => found,
        None => day_first(date)?,
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from the civil calendar, after Howard Hinnant.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100
        + day_of_year
        - 719_468;
    Some(days as f64 * 86_400.0 + clock_seconds(clock)?)
}

/// Year, month and day of a number of days since 1970 (the civil calendar, after Howard Hinnant).
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// `2024-05-31T12:30:05` of whole seconds since 1970.
pub(crate) fn iso_text(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let rest = seconds.rem_euclid(86_400);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// Year, month and day of `2024-05-31` or `2024/05/31`.
fn year_first(date: &str) -> Option<(i64, i64, i64)> {
    let [year, month, day] = numbers(date, &['-', '/'])?;
    (!date.as_bytes()[4].is_ascii_digit()).then_some((year, month, day))
}

/// Year, month and day of `31.05.2024`.
fn day_first(date: &str) -> Option<(i64, i64, i64)> {
    let [day, month, year] = numbers(date, &['.'])?;
    (date.as_bytes()[2] == b'.' && date.as_bytes()[5] == b'.').then_some((year, month, day))
}

fn numbers(date: &str, marks: &[char]) -> Option<[i64; 3]> {
    let parts: Option<Vec<i64>> = date.split(marks).map(|p| p.parse().ok()).collect();
    parts?.try_into().ok()
}

fn clock_seconds(clock: &str) -> Option<f64> {
    let clock = clock.trim_start_matches(['T', 't', ' ']);
    let zone_at = clock.find(['Z', 'z', '+', '-']).unwrap_or(clock.len());
    let (clock, zone) = (
        clock[..zone_at].trim(),
        clock[zone_at..].trim_start_matches(['Z', 'z']),
    );
    let hms = |s: &str| -> Option<f64> {
        let mut total = 0.0;
        for (part, scale) in s.split(':').zip([3600.0, 60.0, 1.0]) {
            total += part.parse::<f64>().ok()? * scale;
        }
        Some(total)
    };
    let seconds = if clock.is_empty() { 0.0 } else { hms(clock)? };
    let offset = match zone.strip_prefix(['+', '-']) {
        Some(digits) => {
            let digits = digits.replace(':', "");
            let (h, m) = (digits.get(..2)?, digits.get(2..4).unwrap_or("0"));
            let size = h.parse::<f64>().ok()? * 3600.0 + m.parse::<f64>().ok()? * 60.0;
            if zone.starts_with('-') { -size } else { size }
        }
        None if zone.is_empty() => 0.0,
        None => return None,
    };
    Some(seconds - offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_seconds() {
        // `date -u -d ... +%s` of GNU coreutils.
        assert_eq!(iso_seconds("1970-01-01"), Some(0.0));
        assert_eq!(iso_seconds("2024-02-29T12:30:05Z"), Some(1_709_209_805.0));
        assert_eq!(
            iso_seconds("2024-02-29 14:30:05+02:00"),
            Some(1_709_209_805.0)
        );
        assert_eq!(iso_seconds("1969-12-31 23:59:59.5"), Some(-0.5));
        assert_eq!(iso_seconds("29.02.2024 12:30:05"), Some(1_709_209_805.0));
        assert_eq!(iso_seconds("2024-13-01"), None);
        assert_eq!(iso_seconds("13.13.2024"), None);
        assert_eq!(iso_seconds("02/29/2024"), None);
        assert_eq!(iso_seconds("yesterday"), None);
        assert_eq!(iso_seconds("2024-01-01Zé"), None);
        assert_eq!(iso_seconds("2024-01-01 noon"), None);
    }

    #[test]
    fn seconds_are_written_as_they_are_read() {
        assert_eq!(iso_text(1_709_209_805), "2024-02-29T12:30:05");
        assert_eq!(iso_text(-1), "1969-12-31T23:59:59");
        for seconds in [0, 951_782_399, 4_102_444_800] {
            assert_eq!(iso_seconds(&iso_text(seconds)), Some(seconds as f64));
        }
    }
}
