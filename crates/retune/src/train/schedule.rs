//! Learning rate over the steps of a run.

use serde::{Deserialize, Serialize};

use super::TrainOptions;

/// Shape of the learning rate after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Falls in a straight line to 0 at the end.
    #[default]
    Linear,
    /// Falls along half a cosine to 0 at the end.
    Cosine,
    /// Stays.
    Constant,
    /// Rises by equal factors, from this share of the highest rate at the first step to all of it at the last. For
    /// range tests: recipes do not offer it.
    #[serde(skip)]
    Exponential(f64),
}

/// Rate of the 1-based `step`, as transformers' `get_*_schedule_with_warmup` gives it: the first step of
/// a warm-up of `w` steps has rate 0. A warm-up that would last the whole run is left out, so that a run of
/// one step learns.
pub fn rate(options: &TrainOptions, step: u64) -> f64 {
    let done = (step - 1) as f64;
    let total = options.steps.max(1) as f64;
    let warmup = (options.warmup_share * total).ceil();
    if done < warmup && warmup < total {
        return options.lr * done / warmup;
    }
    let warmup = if warmup < total { warmup } else { 0.0 };
    let share = (done - warmup) / (total - warmup).max(1.0);
    options.lr
        * match options.schedule {
            Schedule::Linear => (1.0 - share).max(0.0),
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * share).cos()),
            Schedule::Constant => 1.0,
            Schedule::Exponential(from) => from.powf(1.0 - done / (total - 1.0).max(1.0)),
        }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn options(schedule: Schedule, warmup_share: f64) -> TrainOptions {
        TrainOptions {
            steps: 10,
            steps_per_epoch: 10,
            lr: 1.0,
            warmup_share,
            schedule,
            ..TrainOptions::default()
        }
    }

    #[test]
    fn rises_then_falls_as_transformers_does() {
        // transformers 5.x get_linear_schedule_with_warmup(num_warmup_steps=2, num_training_steps=10)
        let want = [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125];
        let options = options(Schedule::Linear, 0.2);
        let got: Vec<f64> = (1..=10).map(|step| rate(&options, step)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn a_run_of_one_step_learns() {
        let one = TrainOptions {
            steps: 1,
            ..options(Schedule::Linear, 0.1)
        };
        assert_eq!(rate(&one, 1), 1.0);
    }

    #[test]
    fn cosine_is_half_in_the_middle_and_constant_stays() {
        assert!((rate(&options(Schedule::Cosine, 0.0), 6) - 0.5).abs() < 1e-12);
        assert_eq!(rate(&options(Schedule::Constant, 0.0), 9), 1.0);
    }

    #[test]
    fn exponential_rises_by_equal_factors_and_is_no_word_of_recipes() {
        let options = options(Schedule::Exponential(1e-9), 0.0);
        for step in 1..=10 {
            let log = rate(&options, step).log10();
            assert!(
                (log + 10.0 - step as f64).abs() < 1e-9,
                "step {step}: {log}"
            );
        }
        let error = serde_json::from_str::<Schedule>("\"exponential\"").unwrap_err();
        assert!(!error.to_string().contains("Exponential"), "{error}");
        assert!(error.to_string().contains("constant"), "{error}");
    }
}
