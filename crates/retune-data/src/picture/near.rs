//! Pictures that look the same: copies that were saved again, made smaller or slightly retouched.
//!
//! A picture is remembered by 312 bytes. Two are near where their perceptual hashes differ in at most 6 of 64 bits and
//! what is left of them at 16 by 16 pixels differs by at most a tenth of its contrast. The hash alone is too coarse:
//! of 10,000 small pictures of clothes it takes thousands of different ones for the same.

use super::hash::{self, greyed};
use super::{Filter, Pixels, resize};

/// Bits of the hash that may differ.
const BITS: u32 = 6;
/// Pixels a side of what is compared in grey, and in colour.
const GREY: usize = 16;
const COLOURS: usize = 4;
/// Grey values may differ by one part in this many of their standard deviation.
const CONTRAST: u64 = 10;
/// Colours may differ by this much, as root of the mean square.
const COLOUR: u64 = 12;
/// Larger pictures are first made smaller, by means of the pixels covered.
const LARGE: usize = 256;

/// What is remembered of a picture to know it again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thumbnail {
    /// [`hash::phash`] of the picture, at most 256 pixels a side.
    pub hash: u64,
    /// Grey values, `[16, 16]`.
    pub grey: [u8; GREY * GREY],
    /// Red, green, blue, `[4, 4, 3]`.
    pub colours: [u8; COLOURS * COLOURS * 3],
}

impl Thumbnail {
    /// What is remembered of `from`.
    pub fn of(from: &Pixels) -> Self {
        let longest = from.width.max(from.height);
        let small = (longest > LARGE).then(|| {
            let [width, height] =
                [from.width, from.height].map(|side| (side * LARGE / longest).max(1));
            resize(from, width, height, Filter::Box)
        });
        let from = small.as_ref().unwrap_or(from);
        let field = resize(&greyed(from), 2 * GREY, 2 * GREY, Filter::Lanczos);
        let mean = |x: usize, y: usize| {
            let four = [(0, 0), (1, 0), (0, 1), (1, 1)];
            let sum: u32 = four
                .iter()
                .map(|(right, down)| u32::from(field.at(2 * x + right, 2 * y + down)[0]))
                .sum();
            ((sum + 2) / 4) as u8
        };
        let colours = resize(from, COLOURS, COLOURS, Filter::Box);
        Self {
            hash: hash::waves(&field),
            grey: std::array::from_fn(|i| mean(i % GREY, i / GREY)),
            colours: std::array::from_fn(|i| colours.rgb[i]),
        }
    }

    /// Whether two pictures look the same; see the top of this file. Pictures without contrast may differ by one grey
    /// value.
    pub fn near(&self, other: &Self) -> bool {
        self.within(other, 1)
    }

    /// Whether they differ by at most so many times what near pictures may differ by.
    fn within(&self, other: &Self, times: u32) -> bool {
        let square = u64::from(times * times);
        let contrast = spread(&self.grey).max(spread(&other.grey)) / (CONTRAST * CONTRAST);
        (self.hash ^ other.hash).count_ones() <= BITS * times
            && difference(&self.colours, &other.colours)
                <= square * COLOUR * COLOUR * self.colours.len() as u64
            && difference(&self.grey, &other.grey) <= square * contrast.max(self.grey.len() as u64)
    }
}

/// The sum of squared differences.
fn difference(a: &[u8], b: &[u8]) -> u64 {
    let square = |(a, b): (&u8, &u8)| u32::from(a.abs_diff(*b)).pow(2);
    u64::from(a.iter().zip(b).map(square).sum::<u32>())
}

/// The sum of squared differences from the mean.
fn spread(values: &[u8]) -> u64 {
    let sum: u64 = values.iter().map(|&v| u64::from(v)).sum();
    let squares: u64 = values.iter().map(|&v| u64::from(v).pow(2)).sum();
    squares - sum * sum / values.len() as u64
}

/// Groups of two or more pictures that look the same, as places in `of`: ascending, groups by their first place.
///
/// Near pictures share a group, and so do those linked by others, but only as long as every one of the group differs
/// from its first one by at most twice what near pictures may differ by: many small steps must not make one group of
/// pictures that look different. A group that would grow further stays as it is, the links met first win.
pub fn groups(of: &[&Thumbnail]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..of.len()).collect();
    order.sort_by(|&a, &b| of[a].cmp(of[b]).then(a.cmp(&b)));
    let mut groups = Groups {
        of,
        group: (0..of.len()).collect(),
        members: (0..of.len()).map(|i| vec![i]).collect(),
        copies: vec![Vec::new(); of.len()],
    };
    // One of each kind goes on; its equals follow it.
    let mut unique: Vec<usize> = Vec::new();
    for i in order {
        match unique.last() {
            Some(&first) if of[first] == of[i] => groups.copies[first].push(i),
            _ => unique.push(i),
        }
    }
    let hashes: Vec<u64> = of.iter().map(|t| t.hash).collect();
    hash::pairs(&hashes, &mut unique, BITS, |a, b| groups.link(a, b));
    groups.done()
}

/// Groups that grow. Each is named by its first member.
struct Groups<'a> {
    of: &'a [&'a Thumbnail],
    /// The group of each picture.
    group: Vec<usize>,
    /// The members of each group, its first one included.
    members: Vec<Vec<usize>>,
    /// Pictures equal to this one in every byte.
    copies: Vec<Vec<usize>>,
}

impl Groups<'_> {
    /// Unites the groups of two pictures, if they are near and all members of the one are near enough to the first of
    /// the other.
    fn link(&mut self, a: usize, b: usize) {
        let (a_group, b_group) = (self.group[a], self.group[b]);
        if a_group == b_group || !self.of[a].near(self.of[b]) {
            return;
        }
        let (first, other) = (a_group.min(b_group), a_group.max(b_group));
        let near_enough = |&m: &usize| self.of[m].within(self.of[first], 2);
        if !self.members[other].iter().all(near_enough) {
            return;
        }
        let members = std::mem::take(&mut self.members[other]);
        for &member in &members {
            self.group[member] = first;
        }
        self.members[first].extend(members);
    }

    fn done(self) -> Vec<Vec<usize>> {
        let copies = &self.copies;
        let whole = |members: Vec<usize>| {
            let mut all: Vec<usize> = members
                .into_iter()
                .flat_map(|m| std::iter::once(m).chain(copies[m].iter().copied()))
                .collect();
            all.sort_unstable();
            all
        };
        // Of equal pictures those that follow another one are in its group and no group of their own.
        let mut follows = vec![false; self.of.len()];
        for &copy in self.copies.iter().flatten() {
            follows[copy] = true;
        }
        let mut groups: Vec<Vec<usize>> = self
            .members
            .into_iter()
            .enumerate()
            .filter(|(first, _)| !follows[*first])
            .map(|(_, members)| whole(members))
            .filter(|group| group.len() > 1)
            .collect();
        groups.sort();
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::mix;

    fn groups_of(all: &[Thumbnail]) -> Vec<Vec<usize>> {
        groups(&all.iter().collect::<Vec<_>>())
    }

    /// A bright bar at a place, in steps of a hundredth of a pixel, over a slope.
    fn bar(step: u64) -> Pixels {
        Pixels::from_fn((32, 32), |x, y| {
            let away = (x as f64 - 4.0 - step as f64 / 100.0).abs();
            let light = 200.0 * (-away * away / 8.0).exp();
            [(light + y as f64) as u8; 3]
        })
    }

    /// Noise of its own for each number.
    fn noise(number: u64) -> Pixels {
        Pixels::from_fn((20, 20), |x, y| {
            [mix(number, (x / 2 + y / 2 * 10) as u64) as u8; 3]
        })
    }

    #[test]
    fn equal_and_near_pictures_share_a_group_and_others_do_not() {
        let mut pictures: Vec<Pixels> = (0..40).map(noise).collect();
        pictures.push(noise(7));
        pictures.push(noise(3));
        let nearly: Vec<u8> = noise(7).rgb().iter().map(|v| v.saturating_add(3)).collect();
        pictures.extend(Pixels::new(20, 20, nearly));
        let all: Vec<Thumbnail> = pictures.iter().map(Thumbnail::of).collect();
        assert_eq!(groups_of(&all), [vec![3, 41], vec![7, 40, 42]]);
        assert!(groups(&[]).is_empty());
    }

    #[test]
    fn what_differs_in_colour_only_is_not_the_same() {
        // Red and green of the same grey value.
        let tinted = |rgb: [u8; 3]| {
            Pixels::from_fn((20, 20), |x, y| {
                if (x / 5 + y / 10) % 2 == 0 {
                    rgb
                } else {
                    [10; 3]
                }
            })
        };
        let [red, green] = [[196, 0, 0], [0, 100, 0]].map(tinted);
        let [red, green] = [red, green].map(|p| Thumbnail::of(&p));
        assert!((red.hash ^ green.hash).count_ones() <= BITS);
        assert!(difference(&red.grey, &green.grey) < 256);
        assert!(!red.near(&green));
    }

    #[test]
    fn small_steps_do_not_make_one_group_of_different_pictures() {
        let all: Vec<Thumbnail> = (0..240).map(|i| Thumbnail::of(&bar(i * 10))).collect();
        let chained = all.windows(2).filter(|w| w[0].near(&w[1])).count();
        assert!(chained > 200, "{chained}");
        let found = groups_of(&all);
        assert!(found.len() > 5, "{}", found.len());
        for group in &found {
            let first = &all[group[0]];
            assert!(group.iter().all(|&m| all[m].within(first, 2)), "{group:?}");
        }
    }

    #[test]
    fn pictures_without_contrast_are_the_same_if_their_colour_is() {
        let flat = |v| Thumbnail::of(&Pixels::from_fn((9, 5), |_, _| [v; 3]));
        let all = [flat(30), flat(31), flat(200), flat(30), flat(34)];
        assert_eq!(groups_of(&all), [[0, 1, 3]]);
    }
}
