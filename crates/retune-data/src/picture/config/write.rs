//! Writing [`Preprocess`] as the files that other programs read.

use serde_json::{Value, json};

use super::super::{Filter, Preprocess, Resize, Size};

impl Preprocess {
    /// The same steps as a `preprocessor_config.json` of transformers; `None` where it has no words for them.
    pub fn to_transformers(&self) -> Option<Value> {
        let resample = match self.filter {
            Filter::Nearest => 0,
            Filter::Lanczos => 1,
            Filter::Bilinear => 2,
            Filter::Bicubic => 3,
            Filter::Box => 4,
            Filter::Hamming => 5,
        };
        let sides = |s: Size| json!({"height": s.height, "width": s.width});
        let cuts = self.resize != Resize::Exact(self.crop);
        let mut config = json!({
            "image_processor_type": if cuts { "CLIPImageProcessor" } else { "ViTImageProcessor" },
            "do_resize": true,
            "resample": resample,
            "do_rescale": true,
            "rescale_factor": self.scale,
            "do_normalize": true,
            "image_mean": self.mean,
            "image_std": self.std,
            "size": match self.resize {
                Resize::Shortest(n) => json!({"shortest_edge": n}),
                Resize::Exact(size) => sides(size),
                _ => return None,
            },
        });
        if cuts {
            config["do_center_crop"] = true.into();
            config["crop_size"] = sides(self.crop);
        }
        let read = Self::from_transformers(&config.to_string(), "").ok()?;
        self.is_like(&read).then_some(config)
    }

    /// The same steps as the `pretrained_cfg` of timm; `None` where it has no words for them.
    pub fn to_timm(&self) -> Option<Value> {
        let unit = 255.0 * self.scale;
        let (mode, before) = match self.resize {
            Resize::Shortest(n) => ("center", n),
            Resize::Exact(size) => ("squash", size.height),
            Resize::Pad(size, _) => ("border", size.height),
            Resize::Cover(size) => ("center", size.height),
            Resize::Keep => return None,
        };
        let config = json!({
            "input_size": [3, self.crop.height, self.crop.width],
            "fixed_input_size": false,
            "interpolation": self.filter,
            "crop_pct": self.crop.height as f64 / before as f64,
            "crop_mode": mode,
            "mean": self.mean.map(|m| m / unit),
            "std": self.std.map(|s| s / unit),
        });
        let read = Self::from_timm(&config.to_string(), "").ok()?;
        self.is_like(&read).then_some(config)
    }

    /// Whether pictures become the same values, but for a pixel's shift of an odd cut.
    fn is_like(&self, other: &Self) -> bool {
        let at = |p: &Self, v: f64, c: usize| (v * p.scale - p.mean[c]) / p.std[c];
        let near = |v, c| (at(self, v, c) - at(other, v, c)).abs() < 1e-6;
        (self.resize, self.crop, self.filter) == (other.resize, other.crop, other.filter)
            && (0..3).all(|c| near(0.0, c) && near(255.0, c))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_written_reads_as_the_same_steps() {
        let lite = Preprocess::efficientnet_lite0();
        let small = Preprocess {
            resize: Resize::Shortest(73),
            crop: Size::square(64),
            ..lite.clone()
        };
        let vit = Preprocess {
            resize: Resize::Exact(Size::square(224)),
            filter: Filter::Bilinear,
            scale: 1.0 / 255.0,
            mean: [0.5; 3],
            std: [0.5; 3],
            ..lite.clone()
        };
        for p in [&lite, &small, &vit] {
            let text = p.to_timm().unwrap().to_string();
            assert!(p.is_like(&Preprocess::from_timm(&text, "").unwrap()));
            let text = p.to_transformers().unwrap().to_string();
            assert!(p.is_like(&Preprocess::from_transformers(&text, "").unwrap()));
        }
        let other = Preprocess {
            mean: [126.0; 3],
            ..lite.clone()
        };
        assert!(!lite.is_like(&other));
        let kept = Preprocess {
            resize: Resize::Keep,
            ..lite
        };
        assert_eq!((kept.to_timm(), kept.to_transformers()), (None, None));
    }
}
