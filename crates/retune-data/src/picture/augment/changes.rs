//! The random changes of an epoch: which draws a row gets, and which pictures of a batch are mixed.

use super::{Knobs, cutmix, key, mix_share, mixup};
use crate::example::Target;
use crate::picture::Size;
use crate::random::mix;

/// The random changes of one epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// How much is changed.
    pub knobs: Knobs,
    /// Seed of the run.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u64,
}

/// What the pictures that were mixed into those of a batch should answer; empty where nothing was mixed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mixed {
    /// Of the picture that was mixed into that of each row, `[rows]`.
    pub targets: Vec<Target>,
    /// Its weight in the loss, `[rows]`; with the weight of the row itself it is what that was before.
    pub weights: Vec<f32>,
}

/// A batch whose pictures may be mixed: as many values of pictures, targets and weights as rows.
pub(crate) struct Rows<'a> {
    pub values: &'a mut [f32],
    pub targets: &'a [Target],
    pub weights: &'a mut [f32],
    pub ids: &'a [u64],
}

impl Changes {
    /// The key of a row's draws.
    pub(crate) fn key(&self, row: u64) -> u64 {
        key(self.seed, self.epoch, row)
    }

    /// Mixes each picture with the one after it, the last with the first; a single one stays as it is.
    pub(crate) fn mix(&self, batch: Rows, size: Size) -> Mixed {
        let Knobs {
            mixup: up,
            cutmix: cut,
            ..
        } = self.knobs;
        let n = batch.ids.len();
        if n < 2 || (up <= 0.0 && cut <= 0.0) {
            return Mixed::default();
        }
        let each = batch.values.len() / n;
        // The last picture is mixed when the first has already been.
        let first = batch.values[..each].to_vec();
        let mut mixed = Mixed::default();
        for (i, row) in batch.ids.iter().enumerate() {
            let key = mix(self.key(*row), MIXING);
            let (this, rest) = batch.values[i * each..].split_at_mut(each);
            let other = if i + 1 < n { &rest[..each] } else { &first[..] };
            let by_cut = cut > 0.0 && (up <= 0.0 || mix(key, 1) & 1 == 0);
            let share = mix_share(if by_cut { cut } else { up }, key);
            let share = if by_cut {
                cutmix(this, other, size, share, mix(key, 2))
            } else {
                mixup(this, other, share as f32);
                share
            };
            let share = share as f32;
            mixed.targets.push(batch.targets[(i + 1) % n].clone());
            mixed.weights.push((1.0 - share) * batch.weights[i]);
            batch.weights[i] *= share;
        }
        mixed
    }
}

/// Keeps the draws of mixing apart from those of the picture itself.
const MIXING: u64 = 0x6d69_7869_6e67;

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(knobs: Knobs, n: usize, epoch: u64) -> (Vec<f32>, Vec<f32>, Mixed) {
        let size = Size::square(4);
        let mut values: Vec<f32> = (0..n).flat_map(|i| [i as f32; 48]).collect();
        let targets: Vec<Target> = (0..n as u32).map(Target::Class).collect();
        let (mut weights, rows) = (vec![2.0; n], (10..10 + n as u64).collect::<Vec<_>>());
        let changes = Changes {
            knobs,
            seed: 3,
            epoch,
        };
        let batch = Rows {
            values: &mut values,
            targets: &targets,
            weights: &mut weights,
            ids: &rows,
        };
        let mixed = changes.mix(batch, size);
        (values, weights, mixed)
    }

    #[test]
    fn shares_of_pixels_are_those_of_the_loss() {
        for (mixup, cutmix) in [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
            let knobs = Knobs {
                mixup,
                cutmix,
                ..Knobs::default()
            };
            let (values, weights, mixed) = mixed(knobs, 8, 0);
            for i in 0..8 {
                let next = (i + 1) % 8;
                assert_eq!(mixed.targets[i], Target::Class(next as u32));
                assert!((weights[i] + mixed.weights[i] - 2.0).abs() < 1e-5);
                let share = weights[i] / 2.0;
                let want = share * i as f32 + (1.0 - share) * next as f32;
                let mean = values[i * 48..(i + 1) * 48].iter().sum::<f32>() / 48.0;
                assert!((mean - want).abs() < 1e-3, "{i}: {mean} {want}");
            }
            assert!(mixed.weights.iter().any(|w| *w > 0.1));
        }
    }

    #[test]
    fn epochs_differ_and_one_picture_stays() {
        let knobs = Knobs {
            mixup: 1.0,
            ..Knobs::default()
        };
        assert_eq!(mixed(knobs.clone(), 4, 1), mixed(knobs.clone(), 4, 1));
        assert_ne!(mixed(knobs.clone(), 4, 1), mixed(knobs.clone(), 4, 2));
        let (values, weights, found) = mixed(knobs, 1, 0);
        assert_eq!(
            (values, weights, found),
            (vec![0.0; 48], vec![2.0], Mixed::default())
        );
        assert_eq!(mixed(Knobs::default(), 4, 0).2, Mixed::default());
    }
}
