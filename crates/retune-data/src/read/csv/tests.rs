//! Dialects, headers and rows of delimited files.
#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;

fn parse_with(name: &str, text: &str, o: &ReadOptions) -> Result<Table> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    read(&path, o)
}

fn parse(text: &str) -> Table {
    parse_with("t.csv", text, &ReadOptions::default()).unwrap()
}

fn error(text: &str) -> String {
    parse_with("t.csv", text, &ReadOptions::default())
        .unwrap_err()
        .to_string()
}

fn column(t: &Table, i: usize) -> Vec<String> {
    (0..t.rows())
        .map(|r| t.columns[i].text(r).unwrap_or_default().into_owned())
        .collect()
}

fn lines(t: &Table) -> Vec<u64> {
    t.origin.iter().map(|o| o.line).collect()
}

#[test]
fn quoted_fields_line_ends_and_empty_cells() {
    let t = parse(" text ,label\r\n\"a, \"\"b\"\"\r\nc\",1\r\n\r\nd,\r\ne,2\r\n");
    assert_eq!(t.columns[0].name, "text");
    assert_eq!(column(&t, 0), ["a, \"b\"\r\nc", "d", "e"]);
    assert_eq!(t.columns[1].text(1), None);
    assert_eq!(lines(&t), [2, 5, 6]);
}

#[test]
fn every_delimiter_is_found_also_beside_other_candidates() {
    for d in ["\t", ";", ",", "|"] {
        let text = format!("text{d}label\n\"one, two; three | four\"{d}1\nfive{d}0\n");
        let t = parse(&text);
        assert_eq!(column(&t, 1), ["1", "0"], "{d:?}");
    }
    let t = parse("text;label\na, b;1\nc, d, e;0\n");
    assert_eq!(column(&t, 0), ["a, b", "c, d, e"]);
    let t = parse("sep=;\na;b\n1;2\n");
    assert_eq!((column(&t, 1), lines(&t)), (vec!["2".to_string()], vec![3]));
}

#[test]
fn a_named_delimiter_wins() {
    let o = ReadOptions {
        delimiter: Some(b'^'),
        ..ReadOptions::default()
    };
    let t = parse_with("t.csv", "text^label\na,b^1\n", &o).unwrap();
    assert_eq!(column(&t, 0), ["a,b"]);
}

#[test]
fn a_ragged_row_names_its_line_and_both_counts() {
    let more = error("text,label\n\"two\nlines\",1\ngood, but slow,0\n");
    assert!(
        more.contains("t.csv, line 4: 3 fields where the header has 2"),
        "{more}"
    );
    assert!(more.contains("double quotes"), "{more}");
    let less = error("text,label,x\na,1,2\n\nb\n");
    assert!(
        less.contains("line 4: 1 field where the header has 3"),
        "{less}"
    );
}

#[test]
fn headers_are_checked() {
    assert!(error("text,text\na,b\n").contains("two columns are called `text`"));
    assert!(error("text,label\n").contains("no rows"));
    assert!(error("1_1\t-0.75\tfine film\n1_2\t0.5\tgood\n").contains("no header line: `-0.75`"));
    assert!(
        error("1_1\t-0.75\tfine film\n1_2\t0.5\tgood\n").contains("such as id<tab>text<tab>label")
    );
    assert!(
        error("pos,I love it\nneg,I hate it\npos,So good\npos,Fine\n")
            .contains("no header line: `pos`")
    );
    assert!(error("this is a fine film\nthat is a bad one\n").contains("no header line"));
    let t = parse(",text,,\n0,a,,\n1,b,,\n");
    let names: Vec<&str> = t.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["unnamed_1", "text"]);
}

#[test]
fn a_repeated_header_is_no_row() {
    let t = parse("text,label\na,1\ntext,label\nb,0\ntext,label\n");
    assert_eq!(column(&t, 0), ["a", "b"]);
    assert!(t.notes[0].contains("2 repeated header lines"));
}

#[test]
fn quotes_never_swallow_rows() {
    let open = error("text,label\nfine,1\n\"not closed,0\nmore,1\n");
    assert!(
        open.contains("line 3") && open.contains("not closed"),
        "{open}"
    );
    let merged = error("text,label\n\"Hm, 1\n\"Oh\", 2\n");
    assert!(merged.contains("line 2"), "{merged}");
    let t = parse_with(
        "t.tsv",
        "text\tlabel\n\"Up\" is fine\t1\n\"open\t0\n",
        &ReadOptions::default(),
    )
    .unwrap();
    assert_eq!(column(&t, 0), ["\"Up\" is fine", "\"open"]);
    assert!(t.notes.iter().any(|n| n.contains("plain characters")));
    let t = parse("text,label\n\"say \\\"hi, you\\\"\",1\n");
    assert_eq!(column(&t, 0), ["say \"hi, you\""]);
}

#[test]
fn a_single_column_needs_no_delimiter() {
    let t = parse("text\ngood, really\nbad\n");
    assert_eq!(
        t.columns.len(),
        1,
        "a comma in one row is not a delimiter of the file"
    );
}
