//! Files of items: which columns make the text, how items meet those of the events, and what can be wrong.

use retune_data::Result;
use retune_data::interactions::catalogue::{Catalogue, CatalogueRequest};

fn parse_with(
    name: &str,
    bytes: &[u8],
    request: &CatalogueRequest,
    seen: &[&str],
) -> Result<Catalogue> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let seen: Vec<String> = seen.iter().map(ToString::to_string).collect();
    Catalogue::read(&path, request, &seen)
}

fn parse(name: &str, text: &str, seen: &[&str]) -> Catalogue {
    parse_with(name, text.as_bytes(), &CatalogueRequest::default(), seen).unwrap()
}

fn error(name: &str, text: &str, seen: &[&str]) -> String {
    parse_with(name, text.as_bytes(), &CatalogueRequest::default(), seen)
        .unwrap_err()
        .to_string()
}

fn values(c: &Catalogue, column: usize, item: usize) -> Vec<&str> {
    let category = &c.categories[column];
    let of = category.of(item).iter();
    of.map(|&v| category.values[v as usize].as_str()).collect()
}

#[test]
fn texts_join_titles_categories_makers_and_descriptions() {
    let c = parse(
        "items.csv",
        "description,brand,sku,price,category,title\n\"Warm, and  light.\",Nord,7,9.5,shoes,Boot\nFor rain,,8,5,,Coat?\n,,9,1,,\n",
        &[],
    );
    assert_eq!(c.ids, ["7", "8", "9"]);
    assert_eq!(
        c.texts,
        ["Boot. shoes. Nord. Warm, and light.", "Coat? For rain", ""]
    );
    assert_eq!(
        c.text_columns,
        ["title", "category", "brand", "description"]
    );
    let note = c.notes.iter().find(|n| n.contains("no text")).unwrap();
    assert!(
        note.contains("1 of 3 items") && note.contains("`9`"),
        "{note}"
    );
    assert_eq!(
        (values(&c, 0, 0), values(&c, 0, 1)),
        (vec!["shoes"], vec![])
    );
    assert!(
        c.reasons
            .iter()
            .any(|r| r.column == "sku" && r.role == "item id")
    );
}

#[test]
fn atomic_and_movielens_files_give_titles_and_genres() {
    let text = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n1\tToy Story\t1995\tAnimation Children's\n2\tGoldenEye\t1995\tAction Animation\n";
    let c = parse("t.item", text, &["2", "1"]);
    assert_eq!(
        c.texts,
        [
            "Toy Story. Animation, Children's",
            "GoldenEye. Action, Animation"
        ]
    );
    assert_eq!(
        c.categories[0].values,
        ["Animation", "Children's", "Action"]
    );
    assert_eq!(
        (values(&c, 0, 0), values(&c, 0, 1)),
        (vec!["Animation", "Children's"], vec!["Action", "Animation"])
    );
    let bytes = b"1::\xc9toile, Une (1995)::Drama|Musical\n2::Heat (1995)::Drama\n";
    let c = parse_with("movies.dat", bytes, &CatalogueRequest::default(), &[]).unwrap();
    assert_eq!(
        c.texts,
        ["Étoile, Une (1995). Drama, Musical", "Heat (1995). Drama"]
    );
    assert_eq!(values(&c, 0, 0), ["Drama", "Musical"]);
    assert!(
        c.notes.iter().any(|n| n.contains("windows-1252")),
        "{:?}",
        c.notes
    );
}

#[test]
fn combinations_of_few_words_are_several_categories() {
    let rows = (1..32)
        .map(|k: u32| {
            let genres = ["a", "b", "c", "d", "e"].iter().enumerate();
            let own: Vec<&str> = genres
                .filter(|(bit, _)| k >> bit & 1 == 1)
                .map(|(_, g)| *g)
                .collect();
            format!("i{k}\tTitle {k}\t{}\n", own.join(" "))
        })
        .collect::<Vec<_>>()
        .concat();
    let c = parse(
        "t.item",
        &format!("item_id:token\ttitle:token\tgenre:token\n{rows}"),
        &[],
    );
    assert_eq!(c.categories[0].values, ["a", "b", "c", "d", "e"]);
    assert_eq!(c.texts[4], "Title 5. a, c");
    let c = parse(
        "t.item",
        "item_id:token\ttitle:token\tgenre:token\n1\tX\tscience fiction\n",
        &[],
    );
    assert_eq!(c.categories[0].values, ["science fiction"]);
}

#[test]
fn lists_of_json_are_categories() {
    let text = "{\"parent_asin\":\"B0\",\"title\":\"Pan\",\"categories\":[\"Home\",\"Cooking\"],\"features\":[\"Cast iron\",\"30 cm\"]}\n{\"parent_asin\":\"B1\",\"title\":\"Pot\",\"categories\":[\"Home\"],\"features\":[]}\n";
    let c = parse("meta.jsonl", text, &[]);
    assert_eq!(
        c.texts,
        ["Pan. Home, Cooking. Cast iron, 30 cm", "Pot. Home"]
    );
    assert_eq!(
        (values(&c, 0, 0), values(&c, 0, 1)),
        (vec!["Home", "Cooking"], vec!["Home"])
    );
}

#[test]
fn the_column_that_holds_the_items_of_the_events_is_the_id() {
    let text = "id,title,asin\n1,Pan,B0\n2,Pot,B1\n3,Lid,B2\n";
    let c = parse("t.csv", text, &["B1", "B0", "B7"]);
    assert_eq!(c.ids, ["B0", "B1", "B2"]);
    assert!(
        c.reasons[0].why.contains("2 of the 3 items"),
        "{:?}",
        c.reasons[0]
    );
    assert_eq!(parse("t.csv", text, &["3"]).ids, ["1", "2", "3"]);
    let strange = error("t.csv", text, &["tt12", "tt11"]);
    assert!(
        strange.contains("column `asin`") && strange.contains("here `B0`, there `tt11`"),
        "{strange}"
    );
    assert!(strange.contains("--item-id COLUMN"), "{strange}");
}

#[test]
fn named_columns_are_used_in_their_order() {
    let request = CatalogueRequest {
        id: Some("code".into()),
        text: vec!["note".into(), "tone".into()],
        categories: vec!["tone".into()],
        ..CatalogueRequest::default()
    };
    let text = b"code,title,note,tone\nk1,Pan,heavy,dark|red\nk2,Pot,light,red\n";
    let c = parse_with("t.csv", text, &request, &["k2"]).unwrap();
    assert_eq!(c.texts, ["heavy. dark|red", "light. red"]);
    assert_eq!(values(&c, 0, 0), ["dark", "red"]);
    let lost = CatalogueRequest {
        text: vec!["titles".into()],
        ..CatalogueRequest::default()
    };
    let lost = parse_with("t.csv", text, &lost, &[])
        .unwrap_err()
        .to_string();
    assert!(lost.contains("did you mean `title`"), "{lost}");
}

#[test]
fn rows_of_one_item_that_differ_are_an_error_with_both_places() {
    let c = parse("t.csv", "item_id,title\na,One\nb,Two\na,One\n", &[]);
    assert_eq!(c.ids, ["a", "b"]);
    assert!(
        c.notes.iter().any(|n| n.contains("1 rows repeat")),
        "{:?}",
        c.notes
    );
    let error = error("t.csv", "item_id,title\na,One\nb,Two\n a,Three\n", &[]);
    assert!(
        error.contains("column `item_id`") && error.contains("line 4"),
        "{error}"
    );
    assert!(
        error.contains("item `a` is also in") && error.contains("line 2"),
        "{error}"
    );
    assert!(error.contains("keep one row for each item"), "{error}");
}

#[test]
fn rows_without_id_and_files_without_texts() {
    let c = parse("t.csv", "item_id,title\na,One\n,Two\nc,Three\n", &[]);
    assert_eq!(c.ids, ["a", "c"]);
    assert!(
        c.notes
            .iter()
            .any(|n| n.contains("1 rows have no id") && n.contains("line 3")),
        "{:?}",
        c.notes
    );
    let bare = error("t.csv", "item_id,price\na,1.5\nb,2.5\nc,3.5\n", &[]);
    assert!(
        bare.contains("text of the items") && bare.contains("--item-text"),
        "{bare}"
    );
    let nameless = error("t.csv", "key,title\na,One\nb,Two\n", &[]);
    assert!(
        nameless.contains("id of the items") && nameless.contains("--item-id"),
        "{nameless}"
    );
    assert!(error("t.item", "", &[]).contains("it is empty"));
}

#[test]
fn aligned_items_have_the_numbers_of_the_events() {
    let c = parse(
        "t.csv",
        "item_id,title,genre\na,One,x\nb,Two,y\nc,Three,x\nd,Four,z\n",
        &["c", "a"],
    );
    let items = ["c", "gone", "a"].map(String::from);
    let c = c.align(&items);
    assert_eq!(c.ids, ["c", "gone", "a", "b", "d"]);
    assert_eq!(c.texts, ["Three. x", "", "One. x", "Two. y", "Four. z"]);
    let genres: Vec<Vec<&str>> = (0..5).map(|i| values(&c, 0, i)).collect();
    assert_eq!(genres, [vec!["x"], vec![], vec!["x"], vec!["y"], vec!["z"]]);
    assert!(
        c.notes
            .iter()
            .any(|n| n.contains("1 of 3 items of the events") && n.contains("`gone`")),
        "{:?}",
        c.notes
    );
    assert!(
        c.notes.iter().any(
            |n| n.contains("2 of 4 items of the catalogue have no event") && n.contains("`b`, `d`")
        ),
        "{:?}",
        c.notes
    );
}
