//! Memory of results: used again from step to step, so that a step neither asks the system for pages nor
//! clears them.
//!
//! The pool keeps a second handle of each buffer; when Burn has dropped the tensor, the pool's handle is the
//! only one and the buffer is free.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::backend::flex::Layout;
use burn::tensor::{Bytes, Shape};
use retune_kernels::process;

use super::{Number, Plain};

type Shared = Arc<Bytes>;

static POOL: Mutex<Pool> = Mutex::new(Pool {
    buffers: Vec::new(),
    peak: 0,
});

/// Buffers in the order in which they were made, and the most bytes that were in use at a time.
struct Pool {
    buffers: Vec<Held>,
    peak: usize,
}

/// A buffer, with its length at hand: most are passed over for it.
struct Held {
    len: usize,
    bytes: Shared,
}

impl Held {
    /// Whether no tensor uses it.
    fn free(&self) -> bool {
        Arc::strong_count(&self.bytes) == 1
    }
}

/// Bytes below which a buffer is not worth keeping.
const SMALL: usize = 1 << 12;

/// Bytes of a cache line. Rows that begin inside one take twice as long to read by a product.
const LINE: usize = 64;

/// A result being computed: values of a format, with arbitrary content at first.
pub struct Buffer<E> {
    bytes: Shared,
    /// Where the values begin: at a cache line.
    start: usize,
    len: usize,
    format: PhantomData<E>,
}

impl<E: Number> Buffer<E> {
    /// Of `len` values.
    pub fn new(len: usize) -> Self {
        let size = rounded(len * size_of::<E>()) + LINE;
        let bytes = taken(size).unwrap_or_else(|| {
            let words = vec![0u64; size / size_of::<u64>()];
            Arc::new(Bytes::from_elems(words))
        });
        let start = bytes.as_ptr().align_offset(LINE) / size_of::<E>();
        Self {
            bytes,
            start,
            len,
            format: PhantomData,
        }
    }

    /// The finished tensor.
    pub fn tensor(self, shape: &[usize]) -> Plain {
        debug_assert_eq!(shape.iter().product::<usize>(), self.len);
        if self.bytes.len() >= SMALL {
            pool().buffers.push(Held {
                len: self.bytes.len(),
                bytes: Arc::clone(&self.bytes),
            });
        }
        let whole = Layout::contiguous(Shape::from(shape.to_vec()));
        let layout = Layout::new(whole.shape().clone(), whole.strides().to_vec(), self.start);
        Plain::from_arc(self.bytes, layout, E::dtype())
    }
}

impl<E: Number> Deref for Buffer<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        &bytemuck::cast_slice(&self.bytes)[self.start..][..self.len]
    }
}

impl<E: Number> DerefMut for Buffer<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        let Some(bytes) = Arc::get_mut(&mut self.bytes) else {
            unreachable!("a buffer outside the pool has one handle");
        };
        &mut bytemuck::cast_slice_mut(bytes)[self.start..][..self.len]
    }
}

/// Sizes step by an eighth of a power of two: batches of nearly the same length share buffers.
fn rounded(size: usize) -> usize {
    let step = (size.next_power_of_two() / 8).max(64);
    size.next_multiple_of(step).max(64)
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The smallest free buffer that holds `size` bytes and is not much larger.
fn taken(size: usize) -> Option<Shared> {
    let pool = &mut *pool();
    // Batches differ in length: a result of a short one lies in the buffer of a long one.
    let most = size + size / 2;
    let found = pool
        .buffers
        .iter()
        .rposition(|held| held.len == size && held.free())
        .or_else(|| pool.nearest(|len| (size..=most).contains(&len), |len| most - len));
    if let Some(index) = found {
        return Some(pool.buffers.remove(index).bytes);
    }
    // None is large enough. The new one takes the place of one that was so far, or sizes would pile up.
    let least = size - size / 3;
    if let Some(index) = pool.nearest(|len| (least..size).contains(&len), |len| len) {
        pool.buffers.remove(index);
    }
    // As much as was ever in use may lie idle; beyond that the oldest go, which are the least likely to be asked for.
    let (idle, used): (Vec<&Held>, Vec<&Held>) = pool.buffers.iter().partition(|held| held.free());
    let bytes = |of: &[&Held]| of.iter().map(|held| held.len).sum::<usize>();
    pool.peak = pool.peak.max(bytes(&used) + size);
    let mut excess = bytes(&idle).saturating_sub(pool.peak);
    pool.buffers.retain(|held| {
        let drop = excess > 0 && held.free();
        if drop {
            excess = excess.saturating_sub(held.len);
        }
        !drop
    });
    None
}

impl Pool {
    /// Index of the free buffer of a length that `fits` with the largest `rank`, the youngest of equal ones.
    fn nearest(
        &self,
        fits: impl Fn(usize) -> bool,
        rank: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        let all = self.buffers.iter().enumerate();
        let fitting = all.filter(|(_, held)| fits(held.len) && held.free());
        fitting
            .max_by_key(|(_, held)| rank(held.len))
            .map(|(index, _)| index)
    }
}

/// Gives idle buffers, and what else training has freed, back to the system.
pub fn release() {
    let mut pool = pool();
    pool.buffers.retain(|held| !held.free());
    pool.peak = 0;
    drop(pool);
    process::give_back();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_once_their_tensor_is_gone() {
        // A size that no other test of this process asks for.
        let len = 54_321;
        let mut first = Buffer::<f32>::new(len);
        first.fill(3.0);
        let place = first.as_ptr();
        assert_eq!(place.align_offset(LINE), 0);
        let tensor = first.tensor(&[len]);
        let kept = tensor.clone();
        let other = Buffer::<f32>::new(len);
        assert_ne!(other.as_ptr(), place);
        drop(tensor);
        assert!(
            kept.as_slice::<f32>()
                .is_some_and(|v| v.iter().all(|v| *v == 3.0))
        );
        assert_ne!(Buffer::<f32>::new(len).as_ptr(), place);
        drop(kept);
        assert_eq!(Buffer::<f32>::new(len).as_ptr(), place);
    }

    #[test]
    fn a_shorter_result_lies_in_a_longer_buffer_and_a_longer_one_takes_its_place() {
        // Sizes that no other test of this process asks for.
        let tensor = |len: usize| Buffer::<f32>::new(len).tensor(&[len]);
        let place = |tensor: &Plain| tensor.bytes().as_ptr();
        let long = tensor(7_000_000);
        let (first, size) = (place(&long), long.bytes().len());
        drop(long);
        let short = tensor(5_000_000);
        assert_eq!(place(&short), first);
        assert_eq!(short.as_slice::<f32>().map(<[f32]>::len), Some(5_000_000));
        drop(short);
        assert_ne!(place(&tensor(4_000_000)), first, "far too long");
        let held = |len: usize| pool().buffers.iter().any(|held| held.len == len);
        assert!(held(size));
        drop(tensor(9_000_000));
        assert!(!held(size));
    }

    #[test]
    fn sizes_step_by_an_eighth() {
        for size in [0, 1, 64, 1000, 4097, 1 << 20, (1 << 20) + 1] {
            let got = rounded(size);
            assert!(
                got >= size.max(64) && got <= (size + size / 4).max(128),
                "{size}: {got}"
            );
            assert_eq!(got % size_of::<u64>(), 0);
        }
    }
}
