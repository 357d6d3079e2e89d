//! Files of interactions: formats, columns, times, and everything that can be wrong with them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use retune_data::interactions::{Clock, Columns, Interactions, Request, read};

use crate::{error, parse, parse_with, shown};

fn role(i: &Interactions, column: &str) -> String {
    let found = i.reasons.iter().find(|r| r.column == column);
    found.map(|r| r.role.clone()).unwrap_or_default()
}

#[test]
fn events_are_in_order_of_time_and_ties_in_that_of_the_file() {
    // Neither the names of the items nor the order of their first appearance is that of the file among equal times.
    let i = parse(
        "t.csv",
        "user_id,item_id,timestamp\nb,w,200\na,z,100\na,y,100\na,x,50\nb,a,200\na,w,100\na,v,100\n",
    );
    assert_eq!(
        shown(&i),
        [
            "a x 50", "a z 100", "a y 100", "a w 100", "a v 100", "b w 200", "b a 200"
        ]
    );
    let facts = i.facts();
    assert_eq!((facts.events, facts.users, facts.items), (7, 2, 6));
    assert!((facts.ties - 6.0 / 7.0).abs() < 1e-12, "{facts:?}");
    assert_eq!(
        (facts.repeats, facts.single, facts.median_span),
        (0.0, 0, 50.0)
    );
}

#[test]
fn every_format_gives_the_same_events() {
    let want = ["u1 i 2 7", "u2 ï 8", "u1 q\"1 9"];
    let request = Request::default();
    for (name, text) in [
        (
            "t.csv",
            "user_id,item_id,timestamp\nu1,i 2,7\nu2,ï,8\nu1,\"q\"\"1\",9\n",
        ),
        (
            "t.csv",
            "sep=;\r\nuser_id;item_id;timestamp\r\nu1;i 2;7\r\nu2;ï;8\r\nu1;\"q\"\"1\";9\r\n",
        ),
        (
            "t.tsv",
            "user_id\titem_id\ttimestamp\nu1\ti 2\t7\nu2\tï\t8\nu1\tq\"1\t9\n",
        ),
        (
            "t.inter",
            "user_id:token\titem_id:token\ttimestamp:float\r\nu1\ti 2\t7\r\nu2\tï\t8\r\nu1\tq\"1\t9\r\n",
        ),
        ("t.dat", "u1::i 2::3::7\nu2::ï::5::8\nu1::q\"1::4::9\n"),
        (
            "t.jsonl",
            "{\"user_id\":\"u1\",\"item_id\":\"i 2\",\"timestamp\":7}\n{\"user_id\":\"u2\",\"item_id\":\"ï\",\"timestamp\":8}\n{\"user_id\":\"u1\",\"item_id\":\"q\\\"1\",\"timestamp\":9}\n",
        ),
    ] {
        let i = parse_with(name, text.as_bytes(), &request).unwrap();
        assert_eq!(shown(&i), want, "{name}");
        assert_eq!(i.users, ["u1", "u2"], "{name}");
        assert_eq!(role(&i, "timestamp"), "time", "{name}");
    }
}

#[test]
fn an_atomic_file_knows_no_quotes() {
    let text =
        "user_id:token\titem_id:token\ttimestamp:float\na\t\"Quoted\" (1997)\t1\na\t\"Whole\"\t2\n";
    let i = parse("t.inter", text);
    assert_eq!(i.items, ["\"Quoted\" (1997)", "\"Whole\""]);
    // Quotes that CSV would take away.
    let text = "user_id:token\titem_id:token\ttimestamp:float\na\t\"Whole\"\t2\n";
    assert_eq!(parse("t.inter", text).items, ["\"Whole\""]);
    assert!(
        i.notes.iter().any(|n| n.contains("RecBole")),
        "{:?}",
        i.notes
    );
    // Types on some columns only are part of the names.
    let mixed = error(
        "t.inter",
        "user_id:token\titem_id\ttimestamp:float\na\tb\t1\n",
    );
    assert!(mixed.contains("user"), "{mixed}");
}

#[test]
fn a_movielens_file_may_be_latin_1() {
    let i = parse_with(
        "r.dat",
        b"1::Caf\xe9::5::978300760\n1::B::3::978300761\n",
        &Request::default(),
    );
    let i = i.unwrap();
    assert_eq!(i.items, ["Café", "B"]);
    assert_eq!(i.rating, Some(vec![5.0, 3.0]));
    let ragged = error("r.dat", "1::2::5::978300760\n1::2::x::5::978300761\n");
    assert!(
        ragged.contains("line 2: 5 fields where the first line has 4"),
        "{ragged}"
    );
    let other = error("users.dat", "1::F::1::10::48067\n");
    assert!(
        other.contains("5 fields") && other.contains("user::item::rating::timestamp"),
        "{other}"
    );
}

#[test]
fn usual_names_are_known_and_reasons_given() {
    for (header, user, item, time) in [
        (
            "userId,movieId,rating,timestamp",
            "userId",
            "movieId",
            "timestamp",
        ),
        (
            "rating,reviewerID,asin,unixReviewTime",
            "reviewerID",
            "asin",
            "unixReviewTime",
        ),
        (
            "rating,user_id,parent_asin,timestamp",
            "user_id",
            "parent_asin",
            "timestamp",
        ),
        ("rating,visitorid,itemid,ts", "visitorid", "itemid", "ts"),
        (
            "rating,CustomerID,StockCode,InvoiceDate",
            "CustomerID",
            "StockCode",
            "InvoiceDate",
        ),
    ] {
        let rows = (0..30)
            .map(|k| format!("{},{},{},{}\n", k % 4, k % 5, k % 7, 978_300_760 + k))
            .collect::<Vec<_>>()
            .concat();
        let i = parse("t.csv", &format!("{header}\n{rows}"));
        for (column, name) in [(user, "user"), (item, "item"), (time, "time")] {
            assert_eq!(role(&i, column), name, "{header}: {:?}", i.reasons);
        }
        assert!(
            i.reasons.iter().all(|r| r.why.starts_with("its name, and")),
            "{:?}",
            i.reasons
        );
        assert!(i.rating.is_some());
    }
}

#[test]
fn content_decides_where_one_column_is_left() {
    let rows = (0..40)
        .map(|k| format!("k{},p{},2024-05-{:02}\n", k % 4, k % 9, k % 28 + 1))
        .collect::<Vec<_>>()
        .concat();
    let i = parse("t.csv", &format!("user,thing,bought\n{rows}"));
    assert_eq!(role(&i, "thing"), "item");
    assert_eq!(role(&i, "bought"), "time");
    assert!(
        i.reasons
            .iter()
            .any(|r| r.why.contains("only other column")),
        "{:?}",
        i.reasons
    );
    // Two columns could be it.
    let rows = (0..40)
        .map(|k| format!("k{},p{},{},2024-05-01\n", k % 4, k % 9, k % 6))
        .collect::<Vec<_>>()
        .concat();
    let error = error("t.csv", &format!("user,thing,place,bought\n{rows}"));
    assert!(
        error.contains("which column of") && error.contains("is the item"),
        "{error}"
    );
    assert!(
        error.contains("`thing`") && error.contains("`place`") && error.contains("--item COLUMN"),
        "{error}"
    );
}

#[test]
fn named_columns_are_taken_and_misspelt_ones_corrected() {
    let text = b"a,b,c\n1,2,100\n2,1,90\n";
    let mut request = Request {
        columns: Columns {
            user: Some("b".into()),
            item: Some("a".into()),
            time: Some("c".into()),
            ..Columns::default()
        },
        ..Request::default()
    };
    let i = parse_with("t.csv", text, &request).unwrap();
    assert_eq!(shown(&i), ["1 2 90", "2 1 100"]);
    request.columns.time = Some("b".into());
    let twice = parse_with("t.csv", text, &request).unwrap_err().to_string();
    assert!(
        twice.contains("`b`") && twice.contains("both user and time"),
        "{twice}"
    );
    request.columns.time = Some("when".into());
    let lost = parse_with("t.csv", text, &request).unwrap_err().to_string();
    assert!(
        lost.contains("no column `when`") && lost.contains("`a`, `b`, `c`"),
        "{lost}"
    );
}

#[test]
fn without_times_the_order_of_the_rows_must_be_asked_for() {
    let text = "user_id,item_id\na,x\nb,x\na,y\n";
    let error = error("t.csv", text);
    assert!(
        error.contains("is the time") && error.contains("--file-order"),
        "{error}"
    );
    let request = Request {
        file_order: true,
        ..Request::default()
    };
    let i = parse_with("t.csv", text.as_bytes(), &request).unwrap();
    assert_eq!(shown(&i), ["a x 0", "b x 1", "a y 2"]);
    assert_eq!((i.clock, i.facts().median_span), (Clock::Rows, 0.0));
}

#[test]
fn times_in_two_units_are_an_error_that_names_both_rows() {
    let error = error(
        "t.csv",
        "user_id,item_id,timestamp\na,x,978300760\na,y,978300761000\n",
    );
    assert!(
        error.contains("column `timestamp`") && error.contains("t.csv, line 3"),
        "{error}"
    );
    assert!(
        error.contains("`978300761000` looks like milliseconds"),
        "{error}"
    );
    assert!(
        error.contains("`978300760` in") && error.contains("line 2 like seconds"),
        "{error}"
    );
    assert!(error.contains("one unit"), "{error}");
}

#[test]
fn bad_cells_are_placed() {
    let head = "user_id,item_id,rating,timestamp\na,x,1,100\na,y,2,101\na,z,3,102\n";
    let many = (0..500)
        .map(|k| format!("a,x{k},1,{}\n", 200 + k))
        .collect::<Vec<_>>()
        .concat();
    for (row, wants) in [
        (
            "a,x,1,soon",
            [
                "`timestamp`",
                "line 505",
                "`soon` is neither a number nor a date",
                "--time",
            ],
        ),
        (
            "a,x,1,",
            ["`timestamp`", "line 505", "it is empty", "--file-order"],
        ),
        (
            "a,x,good,103",
            ["`rating`", "line 505", "`good` is not a number", "--rating"],
        ),
        (
            "a,x,1,99999999999",
            [
                "`timestamp`",
                "line 505",
                "outside the years 1677 to 2262",
                "--time",
            ],
        ),
    ] {
        let error = error("t.csv", &format!("{head}{many}{row}\n"));
        for want in wants {
            assert!(error.contains(want), "{row}: {error}");
        }
    }
    let ragged = error("t.csv", &format!("{head}a,b\n"));
    assert!(
        ragged.contains("line 5") && ragged.contains("2 fields where the header has 4"),
        "{ragged}"
    );
}

#[test]
fn rows_without_user_or_item_are_counted() {
    let i = parse(
        "t.csv",
        "user_id,item_id,timestamp\na,x,1\n,y,2\na, ,3\na,z,4\n b ,x,5\n",
    );
    assert_eq!(shown(&i), ["a x 1", "a z 4", "b x 5"]);
    let note = i.notes.iter().find(|n| n.contains("left out")).unwrap();
    assert!(
        note.contains("2 of 5 rows") && note.contains("line 3"),
        "{note}"
    );
    let i = parse(
        "t.csv",
        "user_id,item_id,timestamp\na,x,1\nNaN,y,2\nNaN,z,3\n",
    );
    assert!(
        i.notes
            .iter()
            .any(|n| n.contains("`NaN` is taken for a user with 2 events")),
        "{:?}",
        i.notes
    );
    let mostly = error("t.csv", "user_id,item_id,timestamp\na,x,1\n,y,2\n,z,3\n");
    assert!(
        mostly.contains("2 of 3 rows") && mostly.contains("--user"),
        "{mostly}"
    );
}

#[test]
fn empty_files_and_headers_alone_are_refused() {
    assert!(error("t.csv", "").contains("it is empty"));
    assert!(error("t.inter", "").contains("it is empty"));
    assert!(error("t.csv", "user_id,item_id,timestamp\n").contains("no rows"));
    assert!(error("t.dat", "1::2::3::4\n5::6\n").contains("line 2"));
    let none = read(&[PathBuf::from("no-such.inter")], &Request::default()).unwrap_err();
    assert!(none.to_string().contains("no-such.inter"), "{none}");
    assert!(
        read(&[], &Request::default())
            .unwrap_err()
            .to_string()
            .contains("no events")
    );
}

#[test]
fn several_files_follow_one_another() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["a.csv", "b.csv"].map(|name| dir.path().join(name));
    std::fs::write(&paths[0], "user_id,item_id,timestamp\na,x,5\nb,x,3\n").unwrap();
    std::fs::write(
        &paths[1],
        "item_id,user_id,event,rating,timestamp\ny,a,buy,2,5\nx,a,view,,4\n",
    )
    .unwrap();
    let i = read(&paths, &Request::default()).unwrap();
    assert_eq!(shown(&i), ["b x 3", "a x 4", "a x 5", "a y 5"]);
    let rating: Vec<bool> = i.rating.unwrap().iter().map(|r| r.is_nan()).collect();
    assert_eq!(rating, [true, true, true, false]);
    let event = i.event.unwrap();
    let names: Vec<&str> = event
        .code
        .iter()
        .map(|&c| event.names[c as usize].as_str())
        .collect();
    assert_eq!(names, ["", "view", "", "buy"]);
    std::fs::write(&paths[1], "user_id,item_id,timestamp\na,y,5000000000000\n").unwrap();
    let mixed = read(&paths, &Request::default()).unwrap_err().to_string();
    assert!(
        mixed.contains("a.csv, line 2") && mixed.contains("b.csv, line 2"),
        "{mixed}"
    );
}

#[test]
fn ids_of_any_kind_stay_as_they_are() {
    let ids = [
        "a b", "x,y", "q\"q", "ä|ö", "日本", "a::b", "'", "-1", "1.0", "1",
    ];
    let mut text = String::from("user_id,item_id,timestamp\n");
    for (k, id) in ids.iter().enumerate() {
        let id = id.replace('"', "\"\"");
        writeln!(text, "\"{id}\",\"{id}\",{k}").unwrap();
    }
    let i = parse("t.csv", &text);
    assert_eq!(i.users, ids);
    assert_eq!(i.items, ids);
}

#[test]
fn files_that_are_read_in_parts_give_the_same_events_and_places() {
    let rows = 20_011_i64;
    let (mut csv, mut json) = (String::from("user_id,item_id,timestamp\n"), String::new());
    for k in 0..rows {
        let (user, item, time) = (k % 313, k % 77, 978_300_760 + k % 5000);
        writeln!(csv, "{user},i{item},{time}").unwrap();
        writeln!(
            json,
            "{{\"user_id\":{user},\"item_id\":\"i{item}\",\"timestamp\":{time}}}"
        )
        .unwrap();
    }
    let want = shown(&parse("t.csv", &csv));
    assert_eq!(shown(&parse("t.jsonl", &json)), want);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.parquet");
    let write = |bad: Option<i64>| {
        let users: Float64Array = (0..rows).map(|k| Some((k % 313) as f64)).collect();
        let items: StringArray = (0..rows).map(|k| Some(format!("i{}", k % 77))).collect();
        let time = |k| (Some(k) != bad).then_some(978_300_760 + k % 5000);
        let times: Int64Array = (0..rows).map(time).collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("user_id", Arc::new(users)),
            ("item_id", Arc::new(items)),
            ("timestamp", Arc::new(times)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        read(std::slice::from_ref(&path), &Request::default())
    };
    assert_eq!(shown(&write(None).unwrap()), want);
    let empty = write(Some(17_999)).unwrap_err().to_string();
    assert!(
        empty.contains("t.parquet, row 18000") && empty.contains("it is empty"),
        "{empty}"
    );
    json.push_str("{\"user_id\":1,\"item_id\":\"x\",\"timestamp\":\"soon\"}\n");
    let error = error("t.jsonl", &json);
    assert!(
        error.contains("t.jsonl, line 20012") && error.contains("`soon`"),
        "{error}"
    );
}
