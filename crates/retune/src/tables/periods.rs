//! Which events train, which set the threshold and which are the test: in time, with as long a gap between training and
//! test as labels take to come.
//!
//! The protocol is that of the Fraud Detection Handbook (Le Borgne et al. 2022, chapter 5): a week of training, a week
//! of delay, a week of test, and events of cards whose fraud is known by then left out.

use std::collections::{HashMap, HashSet};

use retune_data::interactions::{SECOND, show_moment};

const DAY: i64 = 86_400;

/// How events are divided; spans in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Periods {
    /// How long labels take.
    pub delay: i64,
    /// How long before the delay training begins; `None` for everything.
    pub train: Option<i64>,
    /// When the test begins; `None` for a share of the events.
    pub from: Option<i64>,
    /// How long it lasts; `None` for everything from then on.
    pub test: Option<i64>,
    /// Share of the training events, the last ones, that settings and thresholds are chosen on.
    pub valid_share: f64,
    /// Share of the events that are the test where nothing says when it begins.
    pub test_share: f64,
    /// Test periods that follow each other from then on; events are divided for the last one.
    pub rolling: usize,
}

/// Events of each side, in time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sides {
    pub train: Vec<usize>,
    pub valid: Vec<usize>,
    pub test: Vec<usize>,
    /// The rule, as a sentence fragment.
    pub how: String,
    /// Test events left out since a fraud of their card was known.
    pub known: usize,
    /// Beginning and length of each test period before this one, in seconds.
    pub earlier: Vec<[i64; 2]>,
}

impl Periods {
    /// Divides `rows`, which happened at `times` (seconds, of all rows).
    pub fn divide(&self, times: &[i64], rows: &[usize]) -> Sides {
        let mut order = rows.to_vec();
        order.sort_by_key(|row| times[*row]); // stable: the order of the file decides between equal times
        let first = self.from.unwrap_or_else(|| {
            let at = ((order.len() as f64) * (1.0 - self.test_share)) as usize;
            let moment = order.get(at).map_or(i64::MAX, |row| times[*row]);
            moment - moment.rem_euclid(DAY)
        });
        let newest = order.last().map_or(first, |row| times[*row]);
        let earlier = self.earlier(first, newest);
        let begins = earlier.last().map_or(first, |[from, span]| from + span);
        let ends = self
            .test
            .map_or(i64::MAX, |span| begins.saturating_add(span));
        let learned = begins - self.delay;
        let oldest = self.train.map_or(i64::MIN, |span| learned - span);
        let within = |from: i64, to: i64| {
            let inside = order
                .iter()
                .filter(move |row| (from..to).contains(&times[**row]));
            inside.copied().collect::<Vec<usize>>()
        };
        let mut train = within(oldest, learned);
        let held = (train.len() as f64 * self.valid_share).round() as usize;
        let valid = train.split_off(train.len() - held);
        let day = |moment: i64| show_moment(moment * SECOND);
        let span = |seconds: i64| format!("{:.1} days", seconds as f64 / DAY as f64);
        Sides {
            how: format!(
                "in time: the test begins at {}{}{}, training ends {} before it{}; the last {:.0} % of training events are \
                 the validation",
                day(begins),
                match earlier.len() {
                    0 => String::new(),
                    before => format!(" as the last of {} periods", before + 1),
                },
                self.test
                    .map_or(String::new(), |s| format!(" and lasts {}", span(s))),
                span(self.delay),
                self.train
                    .map_or(String::new(), |s| format!(" and lasts {}", span(s))),
                self.valid_share * 100.0
            ),
            train,
            valid,
            test: within(begins, ends),
            known: 0,
            earlier,
        }
    }

    /// Beginning and length of each test period but the last, where the first one begins at `first`. Without a length the
    /// whole days up to the newest event are shared out evenly, and the last period gets what is left over.
    fn earlier(&self, first: i64, newest: i64) -> Vec<[i64; 2]> {
        let all = newest.saturating_sub(first).saturating_add(1);
        let even = || (all / self.rolling as i64 / DAY * DAY).max(DAY);
        let span = self.test.unwrap_or_else(even);
        let before = 0..self.rolling as i64 - 1;
        before.map(|period| [first + period * span, span]).collect()
    }
}

impl Sides {
    /// Leaves test events out whose card had a fraud, since training began, that was known the day before: a bank has
    /// blocked these.
    pub fn leave_known(
        &mut self,
        (times, delay): (&[i64], i64),
        cards: &[Option<String>],
        fraud: &[bool],
    ) {
        let from = self.train.first().map_or(i64::MIN, |row| times[*row]);
        let mut frauds: Vec<(i64, &str)> = (0..cards.len())
            .filter(|row| fraud[*row] && times[*row] >= from)
            .filter_map(|row| Some((times[row].div_euclid(DAY), cards[row].as_deref()?)))
            .collect();
        frauds.sort_unstable();
        let mut by_day: HashMap<i64, Vec<usize>> = HashMap::new();
        for row in &self.test {
            by_day
                .entry(times[*row].div_euclid(DAY))
                .or_default()
                .push(*row);
        }
        let mut days: Vec<i64> = by_day.keys().copied().collect();
        days.sort_unstable();
        let delay = delay.div_euclid(DAY);
        let mut known: HashSet<&str> = HashSet::new();
        let mut next = 0;
        let mut kept = Vec::with_capacity(self.test.len());
        for day in days {
            while next < frauds.len() && frauds[next].0 < day - delay {
                known.insert(frauds[next].1);
                next += 1;
            }
            let rows = by_day.remove(&day).unwrap_or_default();
            kept.extend(rows.into_iter().filter(|row| {
                cards[*row]
                    .as_deref()
                    .is_none_or(|card| !known.contains(card))
            }));
        }
        self.known = self.test.len() - kept.len();
        self.test = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weeks() -> Periods {
        Periods {
            delay: 7 * DAY,
            train: Some(7 * DAY),
            from: Some(20 * DAY),
            test: Some(5 * DAY),
            valid_share: 0.25,
            test_share: 0.2,
            rolling: 1,
        }
    }

    #[test]
    fn training_delay_and_test_follow_each_other() {
        // Four events a day for thirty days, in a file that runs backwards.
        let times: Vec<i64> = (0..120).rev().map(|i| i * DAY / 4).collect();
        let rows: Vec<usize> = (0..120).collect();
        let sides = weeks().divide(&times, &rows);
        let days = |rows: &[usize]| {
            let all = rows.iter().map(|row| times[*row] / DAY);
            (all.clone().min().unwrap_or(-1), all.max().unwrap_or(-1))
        };
        assert_eq!(days(&sides.train), (6, 11));
        assert_eq!(days(&sides.valid), (11, 12));
        assert_eq!(days(&sides.test), (20, 24));
        assert_eq!(sides.train.len() + sides.valid.len(), 28);
        let open = Periods {
            train: None,
            from: None,
            test: None,
            ..weeks()
        };
        let sides = open.divide(&times, &rows);
        assert_eq!(days(&sides.test), (24, 29));
        assert_eq!(days(&sides.train).0, 0);
        assert_eq!(days(&sides.valid).1, 16);
    }

    #[test]
    fn periods_that_roll_forward_follow_each_other() {
        // Four events a day for forty days; periods of five days from day 20 on.
        let times: Vec<i64> = (0..160).map(|i| i * DAY / 4).collect();
        let rows: Vec<usize> = (0..160).collect();
        let three = Periods {
            rolling: 3,
            ..weeks()
        };
        let sides = three.divide(&times, &rows);
        assert_eq!(sides.earlier, [[20 * DAY, 5 * DAY], [25 * DAY, 5 * DAY]]);
        let days = |rows: &[usize]| (times[rows[0]] / DAY, times[rows[rows.len() - 1]] / DAY);
        assert_eq!((days(&sides.train).0, days(&sides.test)), (16, (30, 34)));
        assert!(sides.how.contains("the last of 3 periods"), "{}", sides.how);
        // Twenty days in three periods: six days each, and the last one has two more.
        let open = Periods {
            test: None,
            ..three
        };
        let sides = open.divide(&times, &rows);
        assert_eq!(sides.earlier, [[20 * DAY, 6 * DAY], [26 * DAY, 6 * DAY]]);
        assert_eq!(days(&sides.test), (32, 39));
    }

    #[test]
    fn cards_with_a_known_fraud_leave_the_test() {
        // Day 10: a fraud of card a. Day 14: one of card b. Day 3, before training: one of card c.
        let times = [3, 8, 10, 14, 20, 20, 20, 22, 22].map(|d: i64| d * DAY);
        let fraud = [true, false, true, true, false, false, false, false, false];
        let cards = ["c", "x", "a", "b", "a", "b", "c", "b", "x"].map(|c| Some(c.to_string()));
        let rows: Vec<usize> = (0..9).collect();
        let mut sides = weeks().divide(&times, &rows);
        assert_eq!(sides.test, [4, 5, 6, 7, 8]);
        sides.leave_known((&times, 7 * DAY), &cards, &fraud);
        // The fraud of day 14 is known from day 22 on.
        assert_eq!(sides.test, [5, 6, 8]);
        assert_eq!(sides.known, 2);
    }
}
