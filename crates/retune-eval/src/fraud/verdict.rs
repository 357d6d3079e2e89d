//! Whether a model of fraud beats its floors, by the rules of [`crate::judge`] over cards in place of rows.

use super::evaluate::{PAIRED, compared};
use super::order::Order;
use super::scored::{BadEvents, Groups, Scored};
use crate::bootstrap::{Draws, table};
use crate::records::Verdict;
use crate::verdict::{Estimated, Measured, RESAMPLES, conclude, contrast};

/// Judges the tuned model, or one model per seed, against each floor (likewise) in average precision. All of them
/// score the same events; `seed` picks the resamples of cards. Intervals are corrected over the floors. The number of
/// rows in the verdict is that of cards, or of events where no card is known.
///
/// Where nothing can be compared the word is [`crate::Word::NoEvidence`] and a note says why.
///
/// # Errors
/// As [`Scored::check`]; when two models are not about the same events.
pub fn judge(
    tuned: &[&Scored],
    floors: &[(&str, Vec<&Scored>)],
    seed: u64,
) -> Result<Verdict, BadEvents> {
    let figure = PAIRED[0];
    let sides = std::iter::once(("", tuned)).chain(floors.iter().map(|f| (f.0, &f.1[..])));
    let sides: Vec<(&str, &[&Scored])> = sides.filter(|s| !s.1.is_empty()).collect();
    let models: Vec<&Scored> = sides.iter().flat_map(|s| s.1).copied().collect();
    let mut out = Estimated::default();
    let Some(first) = models.first().filter(|_| !tuned.is_empty()) else {
        out.notes.push("the tuned model: no scores".to_owned());
        return Ok(conclude(out, figure, (0, 0)));
    };
    for model in &models {
        model.check()?;
        model.check_same(first)?;
    }
    let groups = Groups::new(first);
    let orders = models.iter().map(|m| Order::new(m, &groups, &m.ranked()));
    let orders: Vec<Order> = orders.collect();
    let rate = |drawn: &[u32], out: &mut [f64]| {
        for (figure, order) in out.iter_mut().zip(&orders) {
            *figure = compared(&order.curve(drawn))[0];
        }
    };
    let mut values = vec![0.0; orders.len()];
    rate(&groups.whole(), &mut values);
    if values.iter().any(|v| !v.is_finite()) {
        out.notes
            .push(format!("{figure} is undefined without fraud"));
        return Ok(conclude(out, figure, (tuned.len(), groups.count)));
    }
    let draws = Draws {
        seed,
        count: RESAMPLES,
    };
    let shape = (groups.count, orders.len());
    let figures = table(shape, draws, || (), |(), drawn, row| rate(drawn, row));
    let mut rest = &values[..];
    let measured = |(name, models): &(&str, &[&Scored])| {
        let (own, after) = rest.split_at(models.len());
        rest = after;
        Measured {
            name: (*name).to_owned(),
            models: own.len(),
            value: own.iter().sum::<f64>() / own.len() as f64,
        }
    };
    let mut measured: Vec<Measured> = sides.iter().map(measured).collect();
    let own = measured.remove(0);
    out.estimates = contrast((&own, &measured), &figures, 1.0, seed);
    let mut verdict = conclude(out, figure, (tuned.len(), groups.count));
    if first.card.is_some() {
        verdict.scope = scope(tuned.len(), groups.count);
    }
    Ok(verdict)
}

fn scope(seeds: usize, cards: usize) -> String {
    if seeds > 1 {
        format!("the recipe over {seeds} seeds on these {cards} cards")
    } else {
        format!("this one model on these {cards} cards; another seed may differ")
    }
}
