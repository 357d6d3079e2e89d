//! LoRA: low-rank updates beside frozen weights (Hu et al., arXiv:2106.09685), scaled by `alpha / rank`, or by
//! `alpha / sqrt(rank)` (Kalajdzievski, "rsLoRA", arXiv:2312.03732).

use serde::{Deserialize, Serialize};

use super::{Method, Place};
use crate::weights::Adapters;

/// Trains low-rank updates of some layers, and the head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lora {
    /// Rank of the updates.
    pub rank: usize,
    /// Their factor is `alpha / rank`.
    pub alpha: f64,
    /// Dropout before the updates.
    pub dropout: f64,
    /// Layers that get one: each a name, or a regular expression that matches a whole name or a whole path, or
    /// `all-linear`. Default: what the family recommends.
    pub targets: Vec<String>,
    /// Whether the factor is `alpha / sqrt(rank)` instead.
    pub rslora: bool,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            dropout: 0.0,
            targets: Vec::new(),
            rslora: false,
        }
    }
}

impl Lora {
    /// Factor of the updates.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rslora { rank.sqrt() } else { rank }
    }
}

impl Method for Lora {
    fn name(&self) -> &'static str {
        "lora"
    }

    fn about(&self) -> &'static str {
        "low-rank updates beside frozen weights (rank = 8, alpha = 16, dropout, targets, rslora), and the head"
    }

    fn lr(&self) -> f64 {
        5e-4
    }

    fn start(&self, place: &Place) -> Option<f64> {
        place.is_new().then_some(0.0)
    }

    fn adapters(&self, layers: &[&str]) -> Option<Adapters> {
        let recommended = || layers.iter().map(ToString::to_string).collect();
        let targets = match self.targets.as_slice() {
            [] => recommended(),
            [all] if all == "all-linear" => vec![".*".to_string()],
            chosen => chosen.to_vec(),
        };
        Some(Adapters {
            rank: self.rank,
            scale: self.scale(),
            dropout: self.dropout,
            targets,
        })
    }

    fn problem(&self) -> Option<(&'static str, String)> {
        if self.rank == 0 || self.rank > 1024 {
            let text = format!("{} is out of range 1 to 1024; try 8", self.rank);
            return Some(("rank", text));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Some(("alpha", format!("{} is not above 0; try 16", self.alpha)));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let text = format!("{} is out of range 0 to 1; try 0.05", self.dropout);
            return Some(("dropout", text));
        }
        let wrong = |pattern: &String| {
            let error = regex::Regex::new(pattern).err()?;
            Some(("targets", format!("`{pattern}` is no regular expression: {error}")))
        };
        self.targets.iter().find_map(wrong)
    }
}
