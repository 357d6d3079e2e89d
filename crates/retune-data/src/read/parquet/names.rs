//! Names of classes, as the library `datasets` writes them into Parquet files: the key `huggingface` of the schema
//! holds JSON, in which a feature of the type `ClassLabel` lists the names of the numbers 0, 1, ...

use std::collections::HashMap;

use serde_json::Value;

use crate::table::{Column, Values};

/// The key of the schema.
pub(super) const KEY: &str = "huggingface";

/// The names of the classes of each column that has any, in the value of the key.
pub(super) fn class_names(text: Option<&str>) -> HashMap<String, Vec<String>> {
    let json = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let features = json
        .as_ref()
        .and_then(|v| v.pointer("/info/features"))
        .and_then(Value::as_object);
    let named = features.into_iter().flatten();
    named
        .filter_map(|(column, feature)| Some((column.trim().to_string(), names(feature)?)))
        .collect()
}

/// The names of a `ClassLabel`, or of a list of them.
fn names(feature: &Value) -> Option<Vec<String>> {
    let feature = feature.get("feature").unwrap_or(feature);
    if feature.get("_type")? != "ClassLabel" {
        return None;
    }
    let list = feature.get("names")?.as_array()?;
    let names: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    Some(names?.into_iter().map(str::to_string).collect())
}

/// Puts names in place of numbers; -1 stands for none. Whether it was done: not if a number has no name.
pub(super) fn name(column: &mut Column, names: &[String]) -> bool {
    let of = |number: f64| {
        let known = number.fract() == 0.0 && number >= 0.0;
        names.get(number as usize).filter(|_| known).cloned()
    };
    let named = match &column.values {
        Values::Number(cells) => {
            let one = |cell: &Option<f64>| match *cell {
                None | Some(-1.0) => Some(None),
                Some(number) => of(number).map(Some),
            };
            let cells: Option<Vec<Option<String>>> = cells.iter().map(one).collect();
            cells.map(Values::Text)
        }
        Values::List(cells) => {
            let all = |cell: &Option<Vec<String>>| match cell {
                None => Some(None),
                Some(list) => {
                    let one = |n: &String| n.parse().ok().and_then(of);
                    list.iter().map(one).collect::<Option<Vec<_>>>().map(Some)
                }
            };
            let cells: Option<Vec<Option<Vec<String>>>> = cells.iter().map(all).collect();
            cells.map(Values::List)
        }
        _ => None,
    };
    let done = named.is_some();
    if let Some(values) = named {
        column.values = values;
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: Values) -> Column {
        Column {
            name: "label".to_string(),
            values,
        }
    }

    #[test]
    fn class_labels_and_lists_of_them_have_names() {
        let text = r#"{"info": {"features": {
            "image": {"_type": "Image"},
            "label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
            "tags": {"feature": {"names": ["x"], "_type": "ClassLabel"}, "_type": "Sequence"},
            "odd": {"names": [1], "_type": "ClassLabel"}}}}"#;
        let found = class_names(Some(text));
        assert_eq!(found.len(), 2);
        assert_eq!(found["label"], ["cat", "dog"]);
        assert_eq!(found["tags"], ["x"]);
        for text in ["", "[]", "{\"info\": 3}"] {
            assert!(class_names(Some(text)).is_empty());
        }
        assert!(class_names(None).is_empty());
    }

    #[test]
    fn numbers_become_names_unless_one_has_none() {
        let names = ["cat", "dog"].map(str::to_string);
        let mut c = column(Values::Number(vec![Some(1.0), Some(-1.0), None, Some(0.0)]));
        assert!(name(&mut c, &names));
        let cells: Vec<_> = (0..4).map(|r| c.text(r)).collect();
        let cells: Vec<_> = cells.iter().map(Option::as_deref).collect();
        assert_eq!(cells, [Some("dog"), None, None, Some("cat")]);
        for odd in [2.0, 0.5, -2.0] {
            let mut c = column(Values::Number(vec![Some(odd)]));
            assert!(!name(&mut c, &names));
            assert_eq!(c.number(0), Some(odd));
        }
        let list = vec!["1".to_string(), "0".to_string()];
        let mut c = column(Values::List(vec![Some(list), None]));
        assert!(name(&mut c, &names));
        assert_eq!(c.text(0).as_deref(), Some("dog|cat"));
    }
}
