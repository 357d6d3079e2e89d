//! The best items against a sort of all scores in f64, and themselves everywhere.

use proptest::prelude::*;

use super::*;
use crate::dropout::mix;
use crate::trial;

/// Users, items and what is left out.
struct Case {
    sizes: (usize, usize, usize),
    users: Vec<f32>,
    items: Vec<f32>,
    exclude: Vec<Vec<u32>>,
    allow: Option<Vec<u64>>,
}

impl Case {
    /// Whole numbers, few of them: sums are exact, and many scores are equal.
    fn new((u, d, i): (usize, usize, usize), salt: u64) -> Self {
        let whole = |n: usize, salt: u64| -> Vec<f32> {
            let numbers = trial::numbers(n, salt).into_iter();
            numbers.map(|x| (x * 1.5).round()).collect()
        };
        Self {
            sizes: (u, d, i),
            users: whole(u * d, salt),
            items: whole(i * d, salt + 1),
            exclude: Vec::new(),
            allow: None,
        }
    }

    /// One item in `every` left out for a user by itself, and one for all; all ids from half of the items on for user 1.
    fn leaving_out(mut self, every: u64, salt: u64) -> Self {
        let (u, _, i) = self.sizes;
        let chosen = |who: u64, id: u32| mix(mix(who + salt) ^ u64::from(id)).is_multiple_of(every);
        let ids = 0..i as u32 + 3;
        let list = |user: usize| {
            let half = |id: u32| user == 1 && id as usize >= i / 2;
            let ids = ids.clone();
            ids.filter(|id| half(*id) || chosen(user as u64, *id))
                .collect()
        };
        self.exclude = (0..u).map(list).collect();
        let mut allow = vec![u64::MAX; i.div_ceil(64)];
        for id in ids.filter(|id| (*id as usize) < i && chosen(1 << 20, *id)) {
            allow[id as usize / 64] &= !(1 << (id % 64));
        }
        self.allow = Some(allow);
        self
    }

    fn with<R>(&self, f: impl FnOnce(&Search<'_>) -> R) -> R {
        let (u, d, i) = self.sizes;
        let exclude: Vec<&[u32]> = self.exclude.iter().map(Vec::as_slice).collect();
        f(&Search {
            users: View::new(&self.users, u, d),
            items: View::new(&self.items, i, d),
            exclude: &exclude,
            allow: self.allow.as_deref(),
        })
    }

    fn score(&self, user: usize, id: usize) -> f64 {
        let d = self.sizes.1;
        let term = |k: usize| f64::from(self.users[user * d + k] * self.items[id * d + k]);
        (0..d).map(term).sum()
    }

    fn is_open(&self, user: usize, id: usize) -> bool {
        let excluded = self.exclude.get(user);
        let allow = self.allow.as_ref();
        excluded.is_none_or(|list| list.binary_search(&(id as u32)).is_err())
            && allow.is_none_or(|allow| allow[id / 64] >> (id % 64) & 1 == 1)
    }

    /// Ids and scores by sorting them all.
    fn sorted(&self, user: usize, k: usize) -> Vec<(u32, f64)> {
        let open = (0..self.sizes.2).filter(|id| self.is_open(user, *id));
        let mut all: Vec<(u32, f64)> = open.map(|id| (id as u32, self.score(user, id))).collect();
        // Zeros of either sign are equal.
        let order = |x: f64, y: f64| (y + 0.0).total_cmp(&(x + 0.0));
        all.sort_by(|a, b| order(a.1, b.1).then(a.0.cmp(&b.0)));
        all.truncate(k);
        all
    }

    fn check(&self, k: usize) {
        let u = self.sizes.0;
        let found = trial::same_everywhere(|isa| self.with(|search| best(isa, search, k)));
        assert_eq!(found.len(), u);
        for (user, list) in found.iter().enumerate() {
            let list: Vec<(u32, f64)> = list.iter().map(|s| (s.id, f64::from(s.score))).collect();
            assert_eq!(list, self.sorted(user, k), "{:?}, user {user}", self.sizes);
        }
    }
}

#[test]
fn the_best_are_those_of_a_sort() {
    for (u, d, i) in [(1, 1, 1), (3, 7, 50), (40, 3, 1000)] {
        for k in [0, 1, 10, 100] {
            Case::new((u, d, i), 1).check(k);
            Case::new((u, d, i), 2).leaving_out(3, 3).check(k);
        }
    }
    // More groups of users than tasks to aim at, and a range of items per task.
    Case::new((GROUP * (TASKS + 1), 1, 20), 4).check(3);
    Case::new((GROUP + 1, 70, 16_000), 4).check(5);
    Case::new((1, 64, 50_000), 5).leaving_out(3, 6).check(10);
}

#[test]
fn a_score_is_the_same_beside_any_others() {
    let (u, d, i) = (70, 33, 900);
    let mut case = Case::new((u, d, i), 5);
    case.users = trial::numbers(u * d, 6);
    case.items = trial::numbers(i * d, 7);
    let all = case.with(|search| best(Isa::current(), search, 20));
    for user in [0, 31, 69] {
        let one = Case {
            sizes: (1, d, i),
            users: case.users[user * d..][..d].to_vec(),
            items: case.items.clone(),
            exclude: Vec::new(),
            allow: None,
        };
        let alone = one.with(|search| best(Isa::current(), search, 20));
        assert_eq!(alone[0], all[user]);
    }
}

#[test]
fn what_has_no_score_is_never_among_the_best() {
    let mut case = Case::new((1, 2, 100), 8);
    case.users = vec![1.0, 1.0];
    for id in [0, 40, 99] {
        case.items[id * 2] = f32::NAN;
    }
    case.items[50 * 2] = f32::NEG_INFINITY;
    let found = case.with(|search| best(Isa::current(), search, 1000));
    assert_eq!(found[0].len(), 97);
    assert_eq!(found[0][96].id, 50);
}

#[test]
fn signed_zeros_are_equal() {
    let case = Case {
        sizes: (1, 1, 3),
        users: vec![1.0],
        items: vec![-0.0, 0.0, -0.0],
        exclude: Vec::new(),
        allow: None,
    };
    let found = case.with(|search| best(Isa::current(), search, 2));
    assert_eq!([found[0][0].id, found[0][1].id], [0, 1]);
}

#[test]
fn nothing_to_search_gives_empty_lists() {
    let case = Case::new((3, 4, 0), 1);
    assert_eq!(
        case.with(|search| best(Isa::current(), search, 5)),
        vec![Vec::new(); 3]
    );
    let case = Case::new((0, 4, 9), 1);
    assert!(
        case.with(|search| best(Isa::current(), search, 5))
            .is_empty()
    );
}

#[test]
#[should_panic(expected = "top k: excluded items of user 1 do not rise")]
fn excluded_items_are_checked() {
    let mut case = Case::new((2, 4, 9), 1);
    case.exclude = vec![vec![], vec![3, 2]];
    case.with(|search| best(Isa::current(), search, 5));
}

#[test]
#[should_panic(expected = "top k: 1 words of allowed items, expected 2")]
fn words_are_checked() {
    let mut case = Case::new((2, 4, 65), 1);
    case.allow = Some(vec![1]);
    case.with(|search| best(Isa::current(), search, 5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_search_equals_a_sort(
        (u, d, i) in (1usize..70, 1usize..40, 1usize..400),
        k in 0usize..40,
        every in 1u64..6,
        salt in 0u64..1000,
    ) {
        Case::new((u, d, i), salt).check(k);
        Case::new((u, d, i), salt).leaving_out(every, salt).check(k);
    }
}
