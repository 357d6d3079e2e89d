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

/// A sequence of draws.
pub(crate) struct Draws {
    key: u64,
    count: u64,
}

impl Draws {
    pub(crate) fn new(key: u64) -> Self {
        Self { key, count: 0 }
    }

    fn bits(&mut self) -> u64 {
        self.count += 1;
        mix(self.key, self.count)
    }

    /// Uniform from 0 up to and without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform from `low` to `high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform from `low` to `high` in the logarithm: as often doubled as halved.
    pub(crate) fn log_between(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// One of `0..n`; `n` is at least 1.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Whether something of this probability happens.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Standard normal (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Poisson of this mean, by inversion. A large mean is drawn in parts, since its exponential vanishes.
    pub(crate) fn poisson(&mut self, mean: f64) -> usize {
        let (mut left, mut total) = (mean, 0);
        while left > 0.0 {
            let part = left.min(30.0);
            left -= part;
            let (mut chance, mut rest, mut count) = ((-part).exp(), self.unit(), 0);
            // Of a mean of 30, counts above 200 have no probability that a double could tell from 0.
            while rest >= chance && count < 200 {
                rest -= chance;
                count += 1;
                chance *= part / count as f64;
            }
            total += count;
        }
        total
    }

    /// Moves `count` of the items, drawn without replacement, to the front.
    pub(crate) fn pick<T>(&mut self, items: &mut [T], count: usize) {
        for at in 0..count.min(items.len()) {
            let other = at + self.below(items.len() - at);
            items.swap(at, other);
        }
    }

    /// `count` different numbers below `n`, which is at least `count` and better far above it.
    pub(crate) fn different(&mut self, n: usize, count: usize) -> Vec<usize> {
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count.min(n) {
            let one = self.below(n);
            if !chosen.contains(&one) {
                chosen.push(one);
            }
        }
        chosen
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

    #[test]
    fn counts_have_the_mean_and_the_variance_of_poisson() {
        for mean in [0.0, 0.3, 2.0, 75.0] {
            let mut draws = Draws::new(7);
            let n = 20_000;
            let counts: Vec<f64> = (0..n).map(|_| draws.poisson(mean) as f64).collect();
            let average = counts.iter().sum::<f64>() / f64::from(n);
            let variance = counts.iter().map(|c| (c - average).powi(2)).sum::<f64>() / f64::from(n);
            let error = (mean / f64::from(n)).sqrt();
            assert!((average - mean).abs() <= 4.0 * error, "{mean}: {average}");
            assert!((variance - mean).abs() <= 0.05 * mean, "{mean}: {variance}");
        }
    }

    #[test]
    fn draws_without_replacement_differ_and_reach_everything() {
        let mut draws = Draws::new(3);
        let mut reached = [0; 6];
        for _ in 0..600 {
            let two = draws.different(6, 2);
            assert_ne!(two[0], two[1]);
            let mut items = [0, 1, 2, 3, 4, 5];
            draws.pick(&mut items, 2);
            for &item in two.iter().chain(&items[..2]) {
                reached[item] += 1;
            }
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3, 4, 5]);
        }
        // 400 expected, standard deviation 18.
        assert!(
            reached.iter().all(|c| (320..480).contains(c)),
            "{reached:?}"
        );
    }
}
