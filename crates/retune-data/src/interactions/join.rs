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
/// of two shops stay two items. Columns of categories of one name are one column. Ratings, weights and names of events are
/// left out.
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
        let (events, mut catalogue) = (shop.events, shop.items);
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
        catalogue.ids = catalogue.ids.iter().map(named).collect();
        all.items.append(catalogue);
    }
    all.events.items.clone_from(&all.items.ids);
    all.events.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::catalogue::CatalogueRequest;
    use super::super::{Request, read};
    use super::*;

    fn shop(events: &str, items: &str) -> Shop {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let events = format!("user_id,item_id,timestamp\n{events}");
        let events = read(&[file("events.csv", &events)], &Request::default()).unwrap();
        let items = file("items.csv", &format!("item_id,title,{items}"));
        let items = Catalogue::read(&items, &CatalogueRequest::default(), &events.items).unwrap();
        Shop {
            items: items.align(&events.items),
            events,
        }
    }

    #[test]
    fn shops_stand_side_by_side_in_order_of_time() {
        let one = shop(
            "u,x,1700000003\nu,y,1700000001\n",
            "genre\nx,good,war\ny,bad,war|love\n",
        );
        let two = shop("u,x,1700000002\n", "tag,genre\nx,other,new,love|crime\n");
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
        let text = &all.items.texts[all.events.item[1] as usize];
        assert!(text.starts_with("other. "), "{text}");
        let of = |column: &str, id: &str| -> Vec<&str> {
            let category = all.items.categories.iter().find(|c| c.name == column);
            let category = category.unwrap();
            let item = all.items.ids.iter().position(|own| own == id).unwrap();
            let codes = category.of(item).iter();
            codes
                .map(|code| category.values[*code as usize].as_str())
                .collect()
        };
        assert_eq!(of("genre", "1/x"), ["war"]);
        assert_eq!(of("genre", "1/y"), ["war", "love"]);
        assert_eq!(of("genre", "2/x"), ["love", "crime"]);
        assert_eq!(of("tag", "2/x"), ["new"]);
        assert!(of("tag", "1/y").is_empty());
    }
}
