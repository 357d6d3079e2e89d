//! Several shops as one: their users and items side by side, none of them the same.

use super::catalogue::Catalogue;
use super::{Clock, Interactions};
use crate::error::{DataError, Result};

/// Events and items of one shop, the items with the numbers that the events name them by.
#[derive(Debug, Clone)]
pub struct Shop {
    /// Who took what, when.
    pub events: Interactions,
    /// The items.
    pub items: Catalogue,
}

/// The shops as one, in order of time. Ids get the number of their shop before them, as in `2/4711`, so that equal ids
/// of two shops stay two items. Ratings, weights and names of events are left out, as are categories.
///
/// # Errors
/// Shops of which some have times and some only an order.
pub fn join(shops: Vec<Shop>) -> Result<Shop> {
    let clock = shops
        .first()
        .map_or(Clock::Moments, |shop| shop.events.clock);
    if shops.iter().any(|shop| shop.events.clock != clock) {
        return Err(DataError::Split {
            problem: "some files of events have times and others only an order".to_string(),
            cure: "name the column of times of each, or leave the files without times out"
                .to_string(),
        });
    }
    let mut all = Shop {
        events: Interactions {
            clock,
            ..Interactions::default()
        },
        items: Catalogue::default(),
    };
    for (number, shop) in (1..).zip(shops) {
        let named = |id: &String| format!("{number}/{id}");
        let (users, items) = (all.events.users.len() as u32, all.items.len() as u32);
        let (events, catalogue) = (shop.events, shop.items);
        all.events.users.extend(events.users.iter().map(named));
        all.events
            .user
            .extend(events.user.iter().map(|user| user + users));
        all.events
            .item
            .extend(events.item.iter().map(|item| item + items));
        all.events.time.extend(events.time);
        all.events.reasons.extend(events.reasons);
        all.events.notes.extend(events.notes);
        all.items.ids.extend(catalogue.ids.iter().map(named));
        all.items.texts.extend(catalogue.texts);
        all.items.reasons.extend(catalogue.reasons);
        all.items.notes.extend(catalogue.notes);
    }
    all.events.items.clone_from(&all.items.ids);
    all.events.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::{Request, read};
    use super::*;

    fn shop(name: &str, text: &str) -> Shop {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let events = read(&[path], &Request::default()).unwrap();
        let items = Catalogue {
            texts: events
                .items
                .iter()
                .map(|id| format!("text of {id}"))
                .collect(),
            ids: events.items.clone(),
            ..Catalogue::default()
        };
        Shop { events, items }
    }

    #[test]
    fn shops_stand_side_by_side_in_order_of_time() {
        let one = shop(
            "a.csv",
            "user_id,item_id,timestamp\nu,x,1700000003\nu,y,1700000001\n",
        );
        let two = shop("b.csv", "user_id,item_id,timestamp\nu,x,1700000002\n");
        let all = join(vec![one, two]).unwrap();
        assert_eq!(all.events.users, ["1/u", "2/u"]);
        let items: Vec<&str> = all
            .events
            .item
            .iter()
            .map(|i| all.items.ids[*i as usize].as_str())
            .collect();
        assert_eq!(items, ["1/y", "2/x", "1/x"]);
        assert_eq!(all.events.user, [0, 1, 0]);
        assert_eq!(all.items.texts[all.events.item[1] as usize], "text of x");
    }
}
