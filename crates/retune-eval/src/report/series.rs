//! Colours of several lines in one chart: each has its own dash too, so that none rests on colour alone.

/// CSS classes of lines, in the order in which they are handed out.
const CLASSES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// The class of line `i`; they begin anew after the sixth.
pub(super) fn class(i: usize) -> &'static str {
    CLASSES[i % CLASSES.len()]
}
