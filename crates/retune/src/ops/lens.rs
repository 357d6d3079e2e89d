//! A look into a forward pass, for heat maps: the map that they are made of, as a leaf of the gradient graph.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;

/// Off unless it is [`Lens::open`]: then the gradient graph of the pass begins at the map that the backbone shows it.
#[derive(Debug, Clone, Default)]
pub struct Lens(Option<Arc<Mutex<Option<Seen>>>>);

/// The map of a pass.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `[pictures * (front + places), width]`.
    pub tokens: Tensor<2>,
    /// Tokens of each picture before those of its places.
    pub front: usize,
    /// Places of a picture from top to bottom and from left to right, packed row by row.
    pub grid: [usize; 2],
}

impl Lens {
    /// One that looks.
    pub fn open() -> Self {
        Self(Some(Arc::default()))
    }

    /// The map `[pictures * (front + places), width]`, with which the pass goes on.
    pub fn at(&self, map: Tensor<2>, front: usize, grid: [usize; 2]) -> Tensor<2> {
        let Some(seen) = &self.0 else {
            return map;
        };
        let tokens = map.detach().require_grad();
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen {
            tokens: tokens.clone(),
            front,
            grid,
        });
        tokens
    }

    /// What it saw; `None` where it is off, or the backbone has no map.
    pub fn seen(&self) -> Option<Seen> {
        let seen = self.0.as_ref()?;
        seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
