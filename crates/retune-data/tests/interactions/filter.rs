//! Which events, users and items stay.

use retune_data::interactions::{Filters, Interactions, Repeats, SECOND};

use crate::{parse, shown};

fn filtered(text: &str, f: &Filters, cut_off: Option<i64>) -> Interactions {
    let cut_off = cut_off.map(|s| s * SECOND);
    parse("t.csv", text).filter(f, cut_off).unwrap()
}

const LOG: &str = "user_id,item_id,event,rating,timestamp
a,x,view,1,1
a,y,buy,5,2
b,x,view,4,3
a,x,buy,3,4
b,y,view,,5
c,z,view,2,6
a,x,view,5,7
";

fn all() -> Filters {
    Filters {
        min_user_events: 1,
        ..Filters::default()
    }
}

#[test]
fn repeats_are_kept_or_the_first_or_the_last() {
    let with = |repeats, cut_off| shown(&filtered(LOG, &Filters { repeats, ..all() }, cut_off));
    assert_eq!(with(Repeats::Keep, None).len(), 7);
    assert_eq!(
        with(Repeats::First, None),
        ["a x 1", "a y 2", "b x 3", "b y 5", "c z 6"]
    );
    assert_eq!(
        with(Repeats::Last, None),
        ["a y 2", "b x 3", "b y 5", "c z 6", "a x 7"]
    );
    // What comes from the cut-off on does not tell which event is the last.
    assert_eq!(
        with(Repeats::Last, Some(7)),
        ["a y 2", "b x 3", "a x 4", "b y 5", "c z 6", "a x 7"]
    );
}

#[test]
fn ratings_and_kinds_of_events_choose() {
    let high = Filters {
        min_rating: Some(3.0),
        ..all()
    };
    assert_eq!(
        shown(&filtered(LOG, &high, None)),
        ["a y 2", "b x 3", "a x 4", "a x 7"]
    );
    let bought = Filters {
        events: vec!["buy".into()],
        ..all()
    };
    let i = filtered(LOG, &bought, None);
    assert_eq!(shown(&i), ["a y 2", "a x 4"]);
    assert_eq!(
        (i.users.as_slice(), i.rating),
        (["a".to_string()].as_slice(), Some(vec![5.0, 3.0]))
    );
    let misspelt = Filters {
        events: vec!["buys".into()],
        ..all()
    };
    let error = parse("t.csv", LOG)
        .filter(&misspelt, None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("did you mean `buy`") && error.contains("`view`, `buy`"),
        "{error}"
    );
    let plain = parse("t.csv", "user_id,item_id,timestamp\na,x,1\n");
    let error = plain.clone().filter(&high, None).unwrap_err().to_string();
    assert!(error.contains("--rating COLUMN"), "{error}");
    let error = plain.filter(&bought, None).unwrap_err().to_string();
    assert!(error.contains("--event COLUMN"), "{error}");
}

#[test]
fn rare_users_and_items_go_until_none_is_left() {
    // Without the item d, the user c has one event only; without c, the item z has one.
    let text = "user_id,item_id,timestamp
a,x,1\na,y,2\nb,x,3\nb,y,4\nc,d,5\nc,z,6\na,z,7\nb,x,8\n";
    let core = Filters {
        min_user_events: 2,
        min_item_events: 2,
        ..Filters::default()
    };
    let i = filtered(text, &core, None);
    assert_eq!(shown(&i), ["a x 1", "a y 2", "b x 3", "b y 4", "b x 8"]);
    assert_eq!(
        (i.users.as_slice(), i.items.as_slice()),
        (
            ["a", "b"].map(String::from).as_slice(),
            ["x", "y"].map(String::from).as_slice()
        )
    );
    let note = i
        .notes
        .iter()
        .find(|n| n.contains("3 of 8 events"))
        .unwrap();
    assert!(
        note.contains("1 users have fewer than 2 events and 2 items"),
        "{note}"
    );
    let i = filtered(
        text,
        &Filters {
            min_user_events: 3,
            ..Filters::default()
        },
        None,
    );
    assert_eq!(i.users, ["a", "b"]);
    let error = parse("t.csv", text)
        .filter(&Filters::default(), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("--min-user-events"), "{error}");
}

#[test]
fn rarity_is_counted_before_the_cut_off_only() {
    let text = "user_id,item_id,timestamp\na,x,1\na,y,2\nb,x,3\nb,y,9\nb,z,10\na,z,11\nd,x,12\n";
    let f = Filters {
        min_user_events: 2,
        ..Filters::default()
    };
    // b has one event before it; d has none, which is for the protocol to say.
    let i = filtered(text, &f, Some(9));
    assert_eq!(shown(&i), ["a x 1", "a y 2", "a z 11", "d x 12"]);
}
