//! The closer look as text for a terminal.

use std::fmt::{Display, Formatter, Result};

use super::Deep;

/// Findings listed of each kind; the rest is counted.
const SHOWN: usize = 10;

impl Display for Deep {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(
            f,
            "Near-copies across the split: {}",
            self.near_duplicates.len()
        )?;
        for copy in self.near_duplicates.iter().take(SHOWN) {
            writeln!(f, "  {:.0} % alike", 100.0 * copy.similarity)?;
            for i in 0..2 {
                let (side, place, text) = (&copy.sides[i], &copy.places[i], &copy.texts[i]);
                writeln!(f, "    {side:5}  {place}: \"{text}\"")?;
            }
        }
        more(f, self.near_duplicates.len())?;
        writeln!(f, "\nTokens that tell the label: {}", self.tokens.len())?;
        for leak in self.tokens.iter().take(SHOWN) {
            writeln!(
                f,
                "  `{}`  {:.1} % of its {} rows are `{}` (of all rows {:.1} %)",
                leak.token,
                100.0 * leak.share,
                leak.rows,
                leak.label,
                100.0 * leak.prior
            )?;
        }
        more(f, self.tokens.len())?;
        writeln!(f, "\nColumns that tell the label: {}", self.columns.len())?;
        for leak in self.columns.iter().take(SHOWN) {
            writeln!(
                f,
                "  `{}`  tells {:.1} % (without it {:.1} %)",
                leak.column,
                100.0 * leak.share,
                100.0 * leak.prior
            )?;
        }
        more(f, self.columns.len())
    }
}

fn more(f: &mut Formatter<'_>, found: usize) -> Result {
    if found > SHOWN {
        writeln!(f, "  and {} more", found - SHOWN)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::deep::{ColumnLeak, NearCopy, TokenLeak};

    #[test]
    fn each_finding_has_its_lines() {
        let pair = |a: &str, b: &str| [a.to_string(), b.to_string()];
        let copy = NearCopy {
            rows: [7, 2],
            sides: pair("test", "train"),
            places: pair("t.csv, line 9", "t.csv, line 4"),
            texts: pair("a fine film indeed", "a fine film, indeed"),
            similarity: 0.914,
        };
        let token = TokenLeak {
            token: ":)".to_string(),
            label: "pos".to_string(),
            rows: 212,
            share: 0.995,
            prior: 0.5,
        };
        let column = ColumnLeak {
            column: "stars".to_string(),
            share: 1.0,
            prior: 0.5,
        };
        let found = Deep {
            near_duplicates: vec![copy; 11],
            tokens: vec![token],
            columns: vec![column],
        };
        let text = found.to_string();
        for line in [
            "Near-copies across the split: 11",
            "    train  t.csv, line 4: \"a fine film, indeed\"",
            "  and 1 more",
            "  `:)`  99.5 % of its 212 rows are `pos` (of all rows 50.0 %)",
            "  `stars`  tells 100.0 % (without it 50.0 %)",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
