//! Files of any content give a table or an error, never a panic; what is read can be looked at and divided.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use retune_data::inspect::inspect;
use retune_data::read::{ReadOptions, read};
use retune_data::roles::{RoleRequest, detect};
use retune_data::split::{Given, SplitOptions, split};

/// Reads `bytes` under `name` and takes the table as far as it goes.
fn survive(name: &str, bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let t = match read(&path, &ReadOptions::default()) {
        Ok(t) => t,
        Err(e) => {
            assert!(
                e.to_string().contains(name),
                "the message names the file: {e}"
            );
            return;
        }
    };
    assert!(t.rows() > 0 && t.columns.iter().all(|c| c.len() == t.rows()));
    let first = t.columns[0].name.clone();
    let requests = [
        RoleRequest::default(),
        RoleRequest {
            text: vec![first.clone()],
            ..RoleRequest::default()
        },
    ];
    for request in requests {
        let Ok(roles) = detect(&t, &request) else {
            continue;
        };
        assert!(
            !inspect(&t, &roles, Some(&str::len), 16)
                .to_string()
                .is_empty()
        );
        let rows: Vec<usize> = (0..t.rows()).collect();
        let by_time = SplitOptions {
            time: Some(first.clone()),
            ..SplitOptions::default()
        };
        for o in [SplitOptions::default(), by_time] {
            if let Ok(s) = split(&t, &rows, &roles, &o, &Given::default(), &[]) {
                assert!(s.train.len() + s.valid.len() + s.test.len() <= t.rows());
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for name in ["t.csv", "t.jsonl", "t.parquet", "t.dat"] {
            survive(name, &bytes);
        }
    }

    #[test]
    fn text_made_of_marks(text in "(text|label|sep=|[,;\t|\"\\\\\n\r 0-9a-zé😀:+Z/.'-]){0,120}") {
        survive("t.csv", text.as_bytes());
        survive("t.tsv", format!("time\tlabel\n{text}").as_bytes());
        survive("t.csv", format!("sep={text}").as_bytes());
    }

    #[test]
    fn json_made_of_marks(text in "(\\{\"text\": |\"a\"|null|NaN|1e999|true|[\\[\\]{},:\n \"0-9]){0,40}") {
        survive("t.jsonl", text.as_bytes());
        survive("t.json", format!("[{text}").as_bytes());
    }

    #[test]
    fn moments(cells in proptest::collection::vec("(20[0-9]{2}-[01][0-9]-[0-3][0-9]|[T Z:+0-9é.-]){1,6}", 5..30)) {
        let rows: String = cells.iter().map(|c| format!("{c}\tsome text here\tx\n")).collect::<Vec<_>>().concat();
        survive("t.tsv", format!("when\ttext\tlabel\n{rows}").as_bytes());
    }
}
