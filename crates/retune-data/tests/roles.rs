//! Which columns are text and label in files as people have them.
#![expect(clippy::unwrap_used, reason = "tests")]

use retune_data::picture::Picture;
use retune_data::read::{ReadOptions, read};
use retune_data::roles::{RoleRequest, Roles, TaskKind, detect, detect_label};
use retune_data::{Column, Result, RowOrigin, Table, Values};

const SENTENCES: [&str; 8] = [
    "a fine film with great music",
    "dull and far too long for me",
    "I would watch it again any day",
    "the plot makes no sense at all",
    "what a cast and what a script",
    "my kids fell asleep after a while",
    "one of the best things this year",
    "never again will I trust that critic",
];

/// A file of `rows` rows with the given header; each cell is made from its row number.
fn file(header: &str, rows: usize, row: impl Fn(usize) -> String) -> String {
    (0..rows).fold(format!("{header}\n"), |all, i| format!("{all}{}\n", row(i)))
}

fn sentence(i: usize) -> String {
    format!(
        "{} {}",
        SENTENCES[i % 8],
        ["again", "today", "", "maybe", "indeed"][i % 5]
    )
}

fn request(text: &str, r: &RoleRequest) -> Result<Roles> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    std::fs::write(&path, text).unwrap();
    detect(&read(&path, &ReadOptions::default()).unwrap(), r)
}

fn found(text: &str) -> Roles {
    request(text, &RoleRequest::default()).unwrap()
}

fn error(text: &str) -> String {
    request(text, &RoleRequest::default())
        .unwrap_err()
        .to_string()
}

#[track_caller]
fn check(text: &str, texts: &[&str], label: &str, task: TaskKind) {
    let r = found(text);
    assert_eq!(r.text, texts, "{:?}", r.reasons);
    assert_eq!(r.label.as_deref(), Some(label), "{:?}", r.reasons);
    assert_eq!(r.task, Some(task), "{:?}", r.reasons);
    assert!(r.reasons.iter().all(|x| !x.why.is_empty()));
}

#[test]
fn common_shapes_need_no_flag() {
    use TaskKind::{Classification, Regression};
    let pos = |i: usize| ["pos", "neg"][i % 2];
    check(
        &file("text,label", 40, |i| format!("{},{}", sentence(i), pos(i))),
        &["text"],
        "label",
        Classification,
    );
    check(
        &file("label,text", 40, |i| format!("{},{}", i % 2, sentence(i))),
        &["text"],
        "label",
        Classification,
    );
    check(
        &file("v1,v2", 40, |i| {
            format!("{},{}", ["ham", "spam"][i % 2], sentence(i))
        }),
        &["v2"],
        "v1",
        Classification,
    );
    check(
        &file("id,review,sentiment", 40, |i| {
            format!("{i},{},{}", sentence(i), pos(i))
        }),
        &["review"],
        "sentiment",
        Classification,
    );
    check(
        &file("Review Text,Rating", 60, |i| {
            format!("{},{}", sentence(i), 1 + i % 5)
        }),
        &["Review Text"],
        "Rating",
        Classification,
    );
    check(
        &file("sentence,score", 40, |i| {
            format!("{},{}", sentence(i), i as f64 * 0.137)
        }),
        &["sentence"],
        "score",
        Regression,
    );
}

#[test]
fn lists_pairs_and_intents_need_no_flag() {
    use TaskKind::{Classification, MultiLabel, Regression};
    check(
        &file("overview,genres", 40, |i| {
            format!(
                "{},{}",
                sentence(i),
                ["Drama|War", "War", "Drama", "Comedy|War"][i % 4]
            )
        }),
        &["overview"],
        "genres",
        MultiLabel,
    );
    check(
        &file("premise,hypothesis,label", 40, |i| {
            format!("{},{},{}", sentence(i), sentence(i + 1), i % 3)
        }),
        &["premise", "hypothesis"],
        "label",
        Classification,
    );
    check(
        &file("sentence1,sentence2,similarity_score", 40, |i| {
            format!("{},{},{}", sentence(i), sentence(i + 1), i as f64 * 0.11)
        }),
        &["sentence1", "sentence2"],
        "similarity_score",
        Regression,
    );
    check(
        &file("utterance,intent", 60, |i| {
            format!("{},intent_{}", sentence(i), i % 20)
        }),
        &["utterance"],
        "intent",
        Classification,
    );
}

#[test]
fn codes_with_names_and_bystanders_do_not_confuse() {
    use TaskKind::Classification;
    let name = |i: usize| ["business", "sport", "world"][i % 3];
    check(
        &file("text,label,label_text", 40, |i| {
            format!("{},{},{}", sentence(i), i % 3, name(i))
        }),
        &["text"],
        "label",
        Classification,
    );
    check(
        &file("uuid,created_at,body,url,topic,votes", 40, |i| {
            format!(
                "{i:08x}-aaaa,2024-01-{:02},{},https://x.y/{i},{},{}",
                1 + i % 28,
                sentence(i),
                name(i),
                i * i % 17
            )
        }),
        &["body"],
        "topic",
        Classification,
    );
    check(
        &file(
            "text,airline_sentiment,airline_sentiment_confidence",
            40,
            |i| format!("{},{},{}", sentence(i), name(i), 0.3 + i as f64 * 0.011),
        ),
        &["text"],
        "airline_sentiment",
        Classification,
    );
    check(
        &file("Message,Kategorie", 40, |i| {
            format!("{},{}", sentence(i), name(i))
        }),
        &["Message"],
        "Kategorie",
        Classification,
    );
}

#[test]
fn short_names_are_texts_where_there_are_no_sentences() {
    let r = found(&file("name,origin", 40, |i| {
        let name = SENTENCES[i % 8].replace(' ', "");
        format!(
            "{} {},{}",
            &name[..5],
            &name[i / 8..6 + i / 8],
            ["a", "b"][i % 2]
        )
    }));
    assert_eq!(
        (r.text[0].as_str(), r.label.as_deref()),
        ("name", Some("origin"))
    );
}

#[test]
fn whole_numbers_are_classes_when_few_and_numbers_when_many() {
    let few = found(&file("text,stars", 60, |i| {
        format!("{},{}", sentence(i), 1 + i % 5)
    }));
    let why = &few.reasons.iter().find(|r| r.role == "task").unwrap().why;
    assert!(why.contains("--task text-regression"), "{why}");
    let many = found(&file("text,price", 60, |i| {
        format!("{},{}", sentence(i), (i * 7919) % 1000)
    }));
    assert_eq!(many.task, Some(TaskKind::Regression));
    let coded = found(&file("text,label", 400, |i| {
        format!("{},{}", sentence(i), i % 77)
    }));
    assert_eq!(coded.task, Some(TaskKind::Classification));
    let asked = RoleRequest {
        task: Some(TaskKind::Regression),
        ..RoleRequest::default()
    };
    let r = request(
        &file("text,stars", 60, |i| {
            format!("{},{}", sentence(i), 1 + i % 5)
        }),
        &asked,
    )
    .unwrap();
    assert_eq!(r.task, Some(TaskKind::Regression));
}

#[test]
fn doubt_lists_the_candidates_and_the_flag() {
    let two = error(&file("first_part,second_part,label", 40, |i| {
        format!("{},{},{}", sentence(i), sentence(i + 3), i % 2)
    }));
    assert!(
        two.contains("`first_part`") && two.contains("`second_part`") && two.contains("--text"),
        "{two}"
    );
    let labels = error(&file("text,colour,size", 40, |i| {
        format!(
            "{},{},{}",
            sentence(i),
            ["red", "blue"][i % 2],
            ["s", "m", "l"][i % 3]
        )
    }));
    assert!(
        labels.contains("`colour`") && labels.contains("`size`") && labels.contains("--label"),
        "{labels}"
    );
    let flags = error(&file("text,toxic,insult,threat", 40, |i| {
        format!("{},{},{},{}", sentence(i), i % 2, (i / 2) % 2, (i / 4) % 2)
    }));
    assert!(flags.contains("join these 0/1 columns"), "{flags}");
    let numbers = error(&file("x,y,label", 40, |i| {
        format!("{}.5,{}.25,{}", i * 3, i * 7, i % 2)
    }));
    assert!(
        numbers.contains("no column holds sentences") && numbers.contains("`x` (numbers"),
        "{numbers}"
    );
}

#[test]
fn without_a_label_the_text_is_still_found() {
    let r = found(&file("id,text", 40, |i| format!("{i},{}", sentence(i))));
    assert_eq!(
        (r.text, r.label, r.task),
        (vec!["text".to_string()], None, None)
    );
}

#[test]
fn what_the_user_names_is_taken_or_refused_with_the_nearest_name() {
    let text = file("first_part,second_part,label", 40, |i| {
        format!("{},{},{}", sentence(i), sentence(i + 3), i % 2)
    });
    let ask = |texts: &[&str], label: Option<&str>| RoleRequest {
        text: texts.iter().map(ToString::to_string).collect(),
        label: label.map(str::to_string),
        ..RoleRequest::default()
    };
    let r = request(&text, &ask(&["second_part", "first_part"], None)).unwrap();
    assert_eq!(
        (r.text.len(), r.text[0].as_str(), r.label.as_deref()),
        (2, "second_part", Some("label"))
    );
    let wrong = request(&text, &ask(&["frist_part"], None))
        .unwrap_err()
        .to_string();
    assert!(wrong.contains("did you mean `first_part`?"), "{wrong}");
    let both = request(&text, &ask(&["label"], Some("label")))
        .unwrap_err()
        .to_string();
    assert!(both.contains("two roles"), "{both}");
    let three = request(&text, &ask(&["label", "first_part", "second_part"], None))
        .unwrap_err()
        .to_string();
    assert!(three.contains("third text column"), "{three}");
    let ignore = RoleRequest {
        ignore: vec!["second_part".into()],
        ..RoleRequest::default()
    };
    assert_eq!(request(&text, &ignore).unwrap().text, ["first_part"]);
}

#[test]
fn owners_of_several_rows_are_pointed_out() {
    let r = found(&file("patient,note,label", 60, |i| {
        format!("p{},{},{}", i % 9, sentence(i), i % 2)
    }));
    assert_eq!(r.label.as_deref(), Some("label"));
    let hint = r.reasons.iter().find(|r| r.role == "hint").unwrap();
    assert!(hint.why.contains("--group-by \"patient\""), "{}", hint.why);
}

#[test]
fn a_column_of_numbers_with_a_stray_word_is_a_number() {
    let text = file("text,score", 60, |i| match i {
        7 => format!("{},inf", sentence(i)),
        n if n % 9 == 0 => format!("{},nan", sentence(i)),
        _ => format!("{},{:.2}", sentence(i), i as f64 * 1.37),
    });
    check(&text, &["text"], "score", TaskKind::Regression);
}

#[test]
fn a_class_of_its_own_for_every_row_is_refused() {
    let text = file("text,label", 60, |i| format!("{},class{i}", sentence(i)));
    let found = error(&text);
    assert!(
        found.contains("60 different values in 60 rows are no classes"),
        "{found}"
    );
}

#[test]
fn a_ticket_file_of_an_office_needs_no_flag() {
    let text = file("Nr,Kunde,Text,Abteilung,Stufe", 80, |i| {
        format!(
            "{},K{:03},{},{},{}",
            7000 + i,
            i % 20,
            sentence(i),
            ["Technik", "Versand", "Rechnung"][i % 3],
            ["hoch", "mittel"][i % 2]
        )
    });
    check(&text, &["Text"], "Abteilung", TaskKind::Classification);
}

#[test]
fn pictures_are_read_beside_captions_and_classes_of_two_words() {
    let classes = ["golden retriever", "german shepherd", "great dane"];
    let paths = file("file,label", 30, |i| format!("{i}.png,{}", classes[i % 3]));
    let r = found(&paths);
    assert!(r.pictures, "{:?}", r.reasons);
    assert_eq!(
        (&r.text[0], r.label.as_deref()),
        (&"file".to_string(), Some("label"))
    );
    // Beside names of files a text is what can be read.
    let noted = file("file,review,label", 30, |i| {
        format!("{i}.png,{},{}", sentence(i), classes[i % 3])
    });
    assert_eq!(found(&noted).text, ["review"]);
    // Beside the pictures themselves it is a caption.
    let column = |name: &str, values| Column {
        name: name.to_string(),
        values,
    };
    let picture = Picture::Bytes(b"x".as_slice().into());
    let t = Table {
        columns: vec![
            column("image", Values::Picture(vec![Some(picture); 30])),
            column(
                "caption",
                Values::Text((0..30).map(|i| Some(sentence(i))).collect()),
            ),
            column(
                "label",
                Values::Text((0..30).map(|i| Some(classes[i % 3].into())).collect()),
            ),
        ],
        origin: (1..31).map(|line| RowOrigin { file: 0, line }).collect(),
        ..Table::default()
    };
    let r = detect(&t, &RoleRequest::default()).unwrap();
    assert!(r.pictures);
    assert_eq!(
        (&r.text[0], r.label.as_deref()),
        (&"image".to_string(), Some("label"))
    );
    let why = &r.reasons.iter().find(|x| x.column == "image").unwrap().why;
    assert!(why.contains("`caption` could be named"), "{why}");
}

#[test]
fn a_column_that_tells_the_sides_is_no_label() {
    let text = file("text,split,mark", 30, |i| {
        format!(
            "{},{},{}",
            sentence(i),
            ["train", "test"][i % 2],
            ["a", "b"][i % 2]
        )
    });
    check(&text, &["text"], "mark", TaskKind::Classification);
}

const SKIES: [&str; 3] = ["rain", "sun", "fog"];

#[test]
fn of_a_table_the_last_column_is_the_label_where_no_other_holds_words() {
    let label = |header: &str, row: fn(usize) -> String| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, file(header, 60, row)).unwrap();
        let table = read(&path, &ReadOptions::default()).unwrap();
        detect_label(&table, &RoleRequest::default())
    };
    let roles = label("wind,heat,sky", |i| {
        format!("{}.5,{}.25,{}", i % 7, i % 11, SKIES[i % 3])
    });
    let roles = roles.unwrap();
    assert_eq!(roles.label.as_deref(), Some("sky"));
    assert_eq!(roles.task, Some(TaskKind::Classification));
    // A label that is the same everywhere is one, not a column to pass over.
    let roles = label("wind,heat,is_fraud", |i| {
        format!("{}.5,{}.25,0", i % 7, i % 11)
    });
    assert_eq!(roles.unwrap().label.as_deref(), Some("is_fraud"));
    // Words in the middle are as likely a field, and so are two columns of words.
    for (header, row) in [
        (
            "wind,sky,heat",
            (|i| format!("{}.5,{},{}.25", i % 7, SKIES[i % 3], i % 11)) as fn(usize) -> String,
        ),
        ("wind,town,sky", |i| {
            format!("{}.5,{},{}", i % 7, ["oslo", "rome"][i % 2], SKIES[i % 3])
        }),
    ] {
        let error = label(header, row).unwrap_err().to_string();
        assert!(error.contains("--label"), "{error}");
    }
}
