//! Working space of kernels: kept by each thread, so that steps do not ask the system for memory.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use crate::element::Element;

/// Alignment of every buffer, in bytes: a cache line and the widest vector.
const ALIGN: usize = 64;
const WORD: usize = size_of::<u64>();

thread_local! {
    static FREE: RefCell<Vec<Vec<u64>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` with `len` values aligned to a cache line; their content is arbitrary.
///
/// May be nested; each nesting level has a buffer of its own.
pub fn with<E: Element, R>(len: usize, f: impl FnOnce(&mut [E]) -> R) -> R {
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    let words = (len * E::BYTES).div_ceil(WORD) + ALIGN / WORD;
    if buffer.len() < words {
        // A fresh allocation: growing in place would copy what nobody needs.
        buffer = vec![0; words];
    }
    let start = buffer.as_ptr().align_offset(ALIGN);
    let values: &mut [E] = bytemuck::cast_slice_mut(&mut buffer[start..]);
    let result = f(&mut values[..len]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

/// Values that begin at a cache line, all zero at first.
#[derive(Debug)]
pub struct Aligned<E> {
    words: Vec<u64>,
    len: usize,
    format: PhantomData<E>,
}

impl<E: Element> Aligned<E> {
    /// Of `len` values.
    pub fn new(len: usize) -> Self {
        Self {
            words: vec![0; (len * E::BYTES).div_ceil(WORD) + ALIGN / WORD],
            len,
            format: PhantomData,
        }
    }
}

impl<E: Element> Deref for Aligned<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        let start = self.words.as_ptr().align_offset(ALIGN);
        &bytemuck::cast_slice(&self.words[start..])[..self.len]
    }
}

impl<E: Element> DerefMut for Aligned<E> {
    fn deref_mut(&mut self) -> &mut [E] {
        let start = self.words.as_ptr().align_offset(ALIGN);
        &mut bytemuck::cast_slice_mut(&mut self.words[start..])[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    #[test]
    fn nested_buffers_are_apart_aligned_and_reused() {
        let first = with::<f32, _>(100, |outer| {
            outer.fill(1.0);
            with::<bf16, _>(77, |inner| inner.fill(bf16::from_f32(2.0)));
            assert!(outer.iter().all(|v| *v == 1.0));
            assert_eq!(outer.as_ptr().align_offset(ALIGN), 0);
            outer.as_ptr() as usize
        });
        with::<bf16, _>(77, |_| ());
        let seen: Vec<usize> = with::<f32, _>(10, |a| {
            with::<f32, _>(10, |b| vec![a.as_ptr() as usize, b.as_ptr() as usize])
        });
        assert!(seen.contains(&first));
        assert_eq!(with::<f32, _>(0, |x| x.len()), 0);
    }
}
