//! Pictures that look the same and lie on two sides of a division.

use std::collections::HashMap;

use crate::table::Table;

/// Rows of later sides whose picture looks like one of an earlier side: the row, and the first such row of the
/// earliest side that has one. `groups` are rows that look the same; `sides` are rows, training first.
pub(crate) fn across(groups: &[Vec<usize>], sides: &[&[usize]]) -> Vec<[usize; 2]> {
    let mut group_of: HashMap<usize, usize> = HashMap::new();
    for (i, group) in groups.iter().enumerate() {
        group_of.extend(group.iter().map(|&row| (row, i)));
    }
    let mut earlier: HashMap<usize, usize> = HashMap::new();
    let mut found = Vec::new();
    for side in sides {
        let grouped = side
            .iter()
            .filter_map(|row| Some((*row, *group_of.get(row)?)));
        let grouped: Vec<(usize, usize)> = grouped.collect();
        found.extend(
            grouped
                .iter()
                .filter_map(|(row, group)| Some([*row, *earlier.get(group)?])),
        );
        for (row, group) in grouped {
            earlier.entry(group).or_insert(row);
        }
    }
    found
}

/// What is said of them. The sides stay as they are: whoever gave them has to mend them.
pub(super) fn note(t: &Table, groups: &[Vec<usize>], sides: [&[usize]; 3]) -> Option<String> {
    let found = across(groups, &sides);
    let [later, before] = *found.first()?;
    Some(format!(
        "{} validation or test pictures look like one of an earlier side, such as {} like {}: figures on them flatter; \
         remove them, or let the data be divided for you",
        found.len(),
        t.place(later),
        t.place(before)
    ))
}
