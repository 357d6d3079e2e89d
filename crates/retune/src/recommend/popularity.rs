//! How popular items are, as every score of a model of texts takes it in.
//!
//! What is popular in one shop says nothing about another, and a model that can only tell items by their texts learns it
//! by learning texts by heart. Where popularity is given, what is left to learn is what goes with what ("logit
//! adjustment", Menon et al., arXiv:2007.07314), and that carries over; the new shop brings counts of its own.

/// `ln(1 + taken / mean taken)` for each item, `[items]`: 0 for one that nobody has taken, whatever the size of the shop,
/// so that it is not buried below all others.
pub(super) fn logarithms<'a>(histories: impl Iterator<Item = &'a [u32]>, items: usize) -> Vec<f32> {
    let mut taken = vec![0u64; items];
    for item in histories.flatten() {
        taken[*item as usize] += 1;
    }
    let mean = taken.iter().sum::<u64>() as f64 / items.max(1) as f64;
    let logarithm = |count: u64| (1.0 + count as f64 / mean.max(f64::MIN_POSITIVE)).ln() as f32;
    taken.into_iter().map(logarithm).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popularity_is_relative_to_the_mean_and_0_where_nobody_took_an_item() {
        let histories: [&[u32]; 2] = [&[0, 1, 0], &[0]];
        let found = logarithms(histories.into_iter(), 4); // counts 3, 1, 0, 0; mean 1
        assert_eq!(found, [4f32.ln(), 2f32.ln(), 0.0, 0.0]);
        let twice: Vec<&[u32]> = histories.into_iter().chain(histories).collect();
        assert_eq!(found, logarithms(twice.into_iter(), 4));
        assert_eq!(logarithms(std::iter::empty(), 2), [0.0, 0.0]);
    }
}
