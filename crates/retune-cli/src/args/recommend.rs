//! How a recommender is made.

use std::path::PathBuf;

use clap::Args;
use retune::data::interactions::Repeats;
use retune::recipe::{AlsoShop, Negatives, Protocol, RecommendRecipe, SeenItems};
use retune::recommend::{Mode, Score, Untaken};

use super::{option, word};

#[derive(Debug, Args)]
#[command(next_help_heading = "Recommendation")]
pub(super) struct RecommendArgs {
    /// File of items: a column of ids and columns that say what they are
    #[arg(long, value_name = "FILE")]
    items: Option<PathBuf>,

    /// Another shop to learn from, with events and items of its own; may be repeated
    #[arg(long, value_name = "EVENTS=ITEMS", value_parser = also)]
    also: Vec<AlsoShop>,

    /// Column of users; found by itself when left out
    #[arg(long, value_name = "COL")]
    user: Option<String>,

    /// Column of items; found by itself when left out
    #[arg(long, value_name = "COL")]
    item: Option<String>,

    /// Column of kinds of events; found by itself when left out
    #[arg(long, value_name = "COL")]
    event: Option<String>,

    /// Column of ratings; found by itself when left out
    #[arg(long, value_name = "COL")]
    rating: Option<String>,

    /// Column of ids in the file of items; found by itself when left out
    #[arg(long, value_name = "COL")]
    item_id: Option<String>,

    /// Column that belongs to the text of an item; may be repeated, in this order
    #[arg(long, value_name = "COL")]
    item_text: Vec<String>,

    /// Column of categories of items; may be repeated; found by itself when left out
    #[arg(long, value_name = "COL")]
    item_category: Vec<String>,

    /// Take the order of the rows for the order of time: true or false [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    file_order: Option<bool>,

    /// Events that a user has at least [default: 5]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    min_user_events: Option<usize>,

    /// Events that an item has at least [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    min_item_events: Option<usize>,

    /// Rating that an event has at least; all count when left out
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    min_rating: Option<f64>,

    /// What becomes of an item that a user takes again: keep, or the first or last time alone [default: keep]
    #[arg(long, value_name = "HOW", value_parser = word::<Repeats>)]
    repeats: Option<Repeats>,

    /// What is asked: loo, the last event of each user, or temporal, the first after a common moment [default: loo]
    #[arg(long, value_name = "WHICH", value_parser = word::<Protocol>)]
    protocol: Option<Protocol>,

    /// Where the test period of temporal begins: the last share of the events, as in 10%, or a date; --test-share when
    /// left out
    #[arg(long, value_name = "WHEN")]
    cut_off: Option<String>,

    /// Items that a user took before: hide or show; auto hides them where nobody repeats [default: auto]
    #[arg(long, value_name = "HOW", value_parser = word::<SeenItems>)]
    seen: Option<SeenItems>,

    /// What trains: transductive (all, and a vector per item), inductive (all, items by their texts alone), adaptor (from
    /// texts to items) or lora (the same and low-rank updates) [default: transductive]
    #[arg(long, value_name = "NAME", value_parser = word::<Mode>)]
    mode: Option<Mode>,

    /// Text encoder of the items: a model of `retune list models`, a folder, or none
    #[arg(long, value_name = "REF")]
    encoder: Option<String>,

    /// Width of the vectors of items and states [default: 64]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    width: Option<usize>,

    /// Layers of the transformer over histories [default: 2]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    layers: Option<usize>,

    /// Its attention heads [default: 2]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    heads: Option<usize>,

    /// Events of a history that are read, the last ones [default: 200]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    history: Option<usize>,

    /// Buckets of the time between events; 0 for none [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    gaps: Option<usize>,

    /// Whether the model reads what was done, as in viewed or bought [default: as in the model gone on from, else where
    /// events are of two kinds or more]
    #[arg(long, value_name = "true|false")]
    kinds: Option<bool>,

    /// Whether the model reads categories of items beside their texts [default: as in the model gone on from, else false]
    #[arg(long, value_name = "true|false")]
    categories: Option<bool>,

    /// How a state and an item make a score: cosine or dot [default: as in the model gone on from, else cosine where items
    /// have texts]
    #[arg(long, value_name = "NAME", value_parser = word::<Score>)]
    score: Option<Score>,

    /// Whether what an item's popularity adds to its score is given instead of learned [default: as in the model gone
    /// on from, else where items stand on their texts alone]
    #[arg(long, value_name = "true|false")]
    popularity: Option<bool>,

    /// How popular an item is taken to be then that nobody has taken: missed by chance, or new, and like what is usually
    /// taken [default: missed]
    #[arg(long, value_name = "WHY", value_parser = word::<Untaken>)]
    untaken: Option<Untaken>,

    /// Users per optimiser step [default: 128]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    users_per_step: Option<usize>,

    /// Items that each next item is told apart from: all, so many drawn at random, or auto (all of up to 20,000, and
    /// else 256 drawn) [default: auto]
    #[arg(long, value_name = "N", value_parser = negatives)]
    negatives: Option<Negatives>,
}

impl RecommendArgs {
    pub(super) fn lay_over(&self, recipe: &mut RecommendRecipe) {
        overrule!(
            self.items => recipe.items,
            self.user => recipe.user,
            self.item => recipe.item,
            self.event => recipe.event,
            self.rating => recipe.rating,
            self.item_id => recipe.item_id,
            self.file_order => recipe.file_order,
            self.min_user_events => recipe.min_user_events,
            self.min_item_events => recipe.min_item_events,
            self.min_rating => recipe.min_rating,
            self.repeats => recipe.repeats,
            self.protocol => recipe.protocol,
            self.cut_off => recipe.cut_off,
            self.seen => recipe.seen,
            self.mode => recipe.mode,
            self.encoder => recipe.encoder,
            self.width => recipe.width,
            self.layers => recipe.layers,
            self.heads => recipe.heads,
            self.history => recipe.history,
            self.gaps => recipe.gaps,
            self.kinds => recipe.kinds,
            self.categories => recipe.categories,
            self.score => recipe.score,
            self.popularity => recipe.popularity,
            self.untaken => recipe.untaken,
            self.users_per_step => recipe.users_per_step,
            self.negatives => recipe.negatives,
        );
        if !self.also.is_empty() {
            recipe.also.clone_from(&self.also);
        }
        if !self.item_text.is_empty() {
            recipe.item_text.clone_from(&self.item_text);
        }
        if !self.item_category.is_empty() {
            recipe.item_category.clone_from(&self.item_category);
        }
    }
}

fn also(text: &str) -> Result<AlsoShop, String> {
    let (events, items) =
        option(text).map_err(|_| "expected EVENTS=ITEMS, as in b.csv=b-items.csv")?;
    Ok(AlsoShop {
        events: events.into(),
        items: items.into(),
    })
}

fn negatives(text: &str) -> Result<Negatives, String> {
    match text.parse() {
        Ok(count) => Ok(Negatives::Drawn(count)),
        Err(_) => word(text).map_err(|_| "expected all, auto or a number, as in 256".to_owned()),
    }
}
