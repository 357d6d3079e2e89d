//! Which tile serves a number format on an instruction set.

use half::bf16;

#[cfg(target_arch = "x86_64")]
use super::amx::AmxBf16;
use super::tile::{PortableBf16, PortableF32, Tile};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512, Avx512Bf16};
use crate::element::Element;
use crate::isa::Isa;

/// Work written once for every tile of a format.
pub trait Job<E> {
    /// What it returns.
    type Out;

    /// Does the work with tile `T`.
    fn run<T: Tile<Elem = E>>(self) -> Self::Out;
}

/// A number format that has tiles.
pub trait Kind: Sized {
    /// Runs `job` with the tile for `isa`.
    ///
    /// # Panics
    /// When the machine does not have it.
    fn dispatch<J: Job<Self>>(isa: Isa, job: J) -> J::Out
    where
        Self: Element;
}

impl Kind for f32 {
    fn dispatch<J: Job<f32>>(isa: Isa, job: J) -> J::Out {
        assert!(isa.is_available(), "this machine has no {}", isa.name());
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 | Isa::AmxBf16 => job.run::<Avx512>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => job.run::<Avx2>(),
            _ => job.run::<PortableF32>(),
        }
    }
}

impl Kind for bf16 {
    fn dispatch<J: Job<bf16>>(isa: Isa, job: J) -> J::Out {
        assert!(isa.is_available(), "this machine has no {}", isa.name());
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::AmxBf16 => job.run::<AmxBf16>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => job.run::<Avx512Bf16>(),
            _ => job.run::<PortableBf16>(),
        }
    }
}
