//! Random numbers from a counter: the same seed gives the same order on every machine and thread count.

/// Mixes a seed and a counter into 64 well-spread bits (SplitMix64 of Steele, Lea and Flood, 2014).
pub(crate) fn mix(seed: u64, counter: u64) -> u64 {
    let mut z = seed.wrapping_mul(0xd1b5_4a32_d192_ed03)
        ^ counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Shuffles in place (Fisher and Yates), by numbers drawn from `seed`.
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64) {
    for i in (1..items.len()).rev() {
        // The high half of the product maps 64 bits to 0..=i without modulo bias that matters here.
        let j = ((u128::from(mix(seed, i as u64)) * (i as u128 + 1)) >> 64) as usize;
        items.swap(i, j);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffles_are_permutations_fixed_by_the_seed() {
        let run = |seed| {
            let mut v: Vec<u32> = (0..100).collect();
            shuffle(&mut v, seed);
            v
        };
        let mut sorted = run(1);
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert_ne!(run(1), (0..100).collect::<Vec<_>>());
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn every_place_is_reached_about_equally_often() {
        let mut counts = [[0u32; 5]; 5];
        for seed in 0..5000 {
            let mut v = [0usize, 1, 2, 3, 4];
            shuffle(&mut v, seed);
            for (place, &item) in v.iter().enumerate() {
                counts[place][item] += 1;
            }
        }
        // 1000 expected, standard deviation 28.
        assert!(
            counts.iter().flatten().all(|&c| (880..1120).contains(&c)),
            "{counts:?}"
        );
    }
}
