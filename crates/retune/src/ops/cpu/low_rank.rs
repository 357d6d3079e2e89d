//! Low-rank updates of layers (Hu et al., "LoRA", arXiv:2106.09685), beside the layer's own product: the base
//! weight is never formed anew, so it stays packed, and its dense gradient is never computed.
//!
//! For parts side by side the factors are one: `down` `[rank, in]` holds them one below the other, `up`
//! `[out, rank]` in blocks along its diagonal, with each part's scale in it. Then `y += (x downᵀ) upᵀ`.

use burn::tensor::DType;
use retune_kernels::gemm::{Packed, Side, Stored, View, multiply, outer};
use retune_kernels::isa::Isa;
use retune_kernels::scratch;

use super::linear::{dims, view};
use super::{Buffer, Number, Plain, values};

/// One part's factors.
#[derive(Debug, Clone)]
pub(super) struct Factors {
    /// `[rank, in]`.
    pub down: Plain,
    /// `[out, rank]`.
    pub up: Plain,
    /// Outputs of the part.
    pub out: usize,
    /// Factor of the update; `None` for a part without one.
    pub scale: Option<f32>,
}

impl Factors {
    fn rank(&self) -> usize {
        self.scale.map_or(0, |_| dims(&self.down).0)
    }
}

/// The updates of a layer's parts during one pass.
#[derive(Debug, Clone)]
pub(super) struct Update {
    parts: Vec<Factors>,
    down: Vec<f32>,
    up: Vec<f32>,
    outputs: usize,
    width: usize,
    /// What the updates read, `[rows, in]`.
    input: Plain,
    /// Format in which it came.
    pub came: DType,
    /// `input downᵀ`, `[rows, rank]`.
    hidden: Plain,
}

impl Update {
    /// Of the parts' factors, and what they read with the format in which it came.
    pub(super) fn new<E: Number>(
        isa: Isa,
        parts: Vec<Factors>,
        (input, came): (Plain, DType),
    ) -> Self {
        let rank: usize = parts.iter().map(Factors::rank).sum();
        let outputs: usize = parts.iter().map(|part| part.out).sum();
        let (rows, width) = dims(&input);
        let mut down = Vec::with_capacity(rank * width);
        let mut up = vec![0f32; outputs * rank];
        let (mut first_out, mut first) = (0, 0);
        for part in &parts {
            if let Some(scale) = part.scale {
                down.extend_from_slice(values::<f32>(&part.down));
                let own = part.rank();
                for (i, from) in values::<f32>(&part.up).chunks_exact(own).enumerate() {
                    let to = &mut up[(first_out + i) * rank + first..][..own];
                    to.iter_mut().zip(from).for_each(|(to, f)| *to = scale * f);
                }
                first += own;
            }
            first_out += part.out;
        }
        let hidden = {
            let down = (View::new(&down[..], rank, width), Stored::Transposed);
            narrow::<E, E>(isa, view(&input), down).tensor(&[rows, rank])
        };
        Self {
            parts,
            down,
            up,
            outputs,
            width,
            input,
            came,
            hidden,
        }
    }

    fn rank(&self) -> usize {
        self.down.len() / self.width.max(1)
    }

    /// Runs `f` with `hidden` and the packed `up`.
    pub(super) fn with_up<E: Number, R>(
        &self,
        isa: Isa,
        stored: Stored,
        f: impl FnOnce(View<'_, E>, &Packed<'_, E>) -> R,
    ) -> R {
        let up = View::new(&self.up[..], self.outputs, self.rank());
        packed(isa, up, stored, |up| f(view(&self.hidden), up))
    }

    /// Runs `f` with the packed `down`.
    pub(super) fn with_down<E: Number, R>(
        &self,
        isa: Isa,
        stored: Stored,
        f: impl FnOnce(&Packed<'_, E>) -> R,
    ) -> R {
        packed(
            isa,
            View::new(&self.down[..], self.rank(), self.width),
            stored,
            f,
        )
    }

    /// Gradient of `hidden`: `dz up`, `[rows, rank]`.
    pub(super) fn back<E: Number>(&self, isa: Isa, dz: &Plain) -> Plain {
        let up = View::new(&self.up[..], self.outputs, self.rank());
        let rows = dims(dz).0;
        narrow::<E, E>(isa, view(dz), (up, Stored::Plain)).tensor(&[rows, self.rank()])
    }

    /// Gradient of an input that only the updates read, `[rows, in]`, in the format `O` it came in.
    pub(super) fn input_gradient<E: Number, O: Number>(&self, isa: Isa, dh: &Plain) -> Plain {
        let down = View::new(&self.down[..], self.rank(), self.width);
        let rows = dims(dh).0;
        let down = (down, Stored::Plain);
        narrow::<E, O>(isa, view(dh), down).tensor(&[rows, self.width])
    }

    /// Gradients of down and up of each part; none for parts without an update.
    pub(super) fn gradients<E: Number>(
        &self,
        isa: Isa,
        dz: &Plain,
        dh: &Plain,
    ) -> Vec<[Option<Plain>; 2]> {
        let rows = dims(dz).0;
        let mut all_down = vec![0f32; self.rank() * self.width];
        outer(
            isa,
            view::<E>(dh),
            view(&self.input),
            &mut all_down,
            &mut [],
        );
        let (mut first_out, mut first) = (0, 0);
        let mut found = Vec::new();
        for part in &self.parts {
            let (out, rank) = (part.out, part.rank());
            let gradients = part.scale.map(|scale| {
                let mut down = Buffer::<f32>::new(rank * self.width);
                down.copy_from_slice(&all_down[first * self.width..][..rank * self.width]);
                let mut up = Buffer::<f32>::new(out * rank);
                let dz = view::<E>(dz).part((0, rows), (first_out, out));
                let hidden = view::<E>(&self.hidden).part((0, rows), (first, rank));
                outer(isa, dz, hidden, &mut up, &mut []);
                up.iter_mut().for_each(|value| *value *= scale);
                [down.tensor(&[rank, self.width]), up.tensor(&[out, rank])]
            });
            found.push(match gradients {
                Some(both) => both.map(Some),
                None => [None, None],
            });
            first_out += out;
            first += rank;
        }
        found
    }
}

fn packed<E: Number, R>(
    isa: Isa,
    matrix: View<'_, f32>,
    stored: Stored,
    f: impl FnOnce(&Packed<'_, E>) -> R,
) -> R {
    let (k, n) = match stored {
        Stored::Plain => (matrix.rows(), matrix.cols()),
        Stored::Transposed => (matrix.cols(), matrix.rows()),
    };
    scratch::with::<E, _>(Packed::<E>::len(isa, k, n), |panels| {
        f(&Packed::pack(isa, &[matrix], stored, Side::N, panels))
    })
}

/// `a b`, `[rows, n]`.
fn narrow<E: Number, O: Number>(
    isa: Isa,
    a: View<'_, E>,
    (b, stored): (View<'_, f32>, Stored),
) -> Buffer<O> {
    packed::<E, _>(isa, b, stored, |b| {
        let n = b.n();
        let mut product = Buffer::<O>::new(a.rows() * n);
        multiply(a, b, &mut product, &mut [(); 0], |spot, out, _| {
            spot.store(isa, n, out);
        });
        product
    })
}
