//! Which instructions this machine has, and running code compiled for them.
//!
//! The program is built for the oldest CPU of its kind; everything newer is found at run time.

#[cfg(target_arch = "x86_64")]
mod amx;

use std::sync::OnceLock;

/// A set of instructions that kernels are compiled for, from plain to rich.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What every CPU of the target has (SSE2 on x86-64, NEON on AArch64).
    Portable,
    /// AVX2 and FMA: x86-64 since 2013 (Intel) and 2015 (AMD).
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AVX-512 with bf16 dot products: Zen 4, Cooper Lake, Sapphire Rapids and later.
    Avx512Bf16,
    /// The same with matrix instructions (AMX) for bf16: Sapphire Rapids and later Xeons, on Linux.
    AmxBf16,
}

/// Every set, from plain to rich.
const ALL: [Isa; 5] = [
    Isa::Portable,
    Isa::Avx2,
    Isa::Avx512,
    Isa::Avx512Bf16,
    Isa::AmxBf16,
];

static CURRENT: OnceLock<Isa> = OnceLock::new();

impl Isa {
    /// The name used by `RETUNE_ISA` and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512_bf16",
            Isa::AmxBf16 => "amx_bf16",
        }
    }

    /// The set of this name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// The sets this machine has, from plain to rich.
    pub fn available() -> Vec<Self> {
        ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The richest set this machine has.
    pub fn best() -> Self {
        ALL.into_iter()
            .rev()
            .find(|isa| isa.is_available())
            .unwrap_or(Isa::Portable)
    }

    /// The set that kernels use in this process: the best, unless [`Isa::choose`] came first.
    pub fn current() -> Self {
        *CURRENT.get_or_init(Self::best)
    }

    /// Makes this the set of the process. False when it is not available, or when kernels have run with
    /// another one already.
    pub fn choose(self) -> bool {
        self.is_available() && *CURRENT.get_or_init(|| self) == self
    }

    /// Whether this machine has the set.
    #[inline]
    pub fn is_available(self) -> bool {
        static FOUND: OnceLock<[bool; 5]> = OnceLock::new();
        FOUND.get_or_init(|| ALL.map(Self::detect))[self as usize]
    }

    #[cfg(target_arch = "x86_64")]
    fn detect(self) -> bool {
        let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = || {
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
        };
        let bf16 = || is_x86_feature_detected!("avx512bf16");
        match self {
            Isa::Portable => true,
            Isa::Avx2 => avx2(),
            Isa::Avx512 => avx2() && avx512(),
            Isa::Avx512Bf16 => avx2() && avx512() && bf16(),
            Isa::AmxBf16 => avx2() && avx512() && bf16() && amx::is_granted(),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detect(self) -> bool {
        self == Isa::Portable
    }
}

/// Defines functions whose plain loops are compiled once per instruction set: the first argument, an
/// [`Isa`], chooses.
///
/// ```text
/// vectorized! {
///     /// Doubles.
///     pub fn double[E: Element](x: &mut [E]) { ... }
/// }
/// double(Isa::current(), &mut x);
/// ```
///
/// Type parameters stand in square brackets, with one bound each. What the body calls has to be
/// `#[inline(always)]`, and closures in it small: only what is inlined gets the instructions. The
/// functions panic when the machine does not have them.
macro_rules! vectorized {
    ($($(#[$doc:meta])* $vis:vis fn $name:ident $([$($g:ident: $bound:path),+])?
        ($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block)+) => {$(
        $(#[$doc])*
        #[expect(unsafe_code, reason = "calls functions compiled for instructions that were found")]
        $vis fn $name $(<$($g: $bound),+>)? (
            isa: $crate::isa::Isa, $($arg: $type),*
        ) $(-> $out)? {
            #[inline(always)]
            fn plain $(<$($g: $bound),+>)? ($($arg: $type),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$($g: $bound),+>)? ($($arg: $type),*) $(-> $out)? {
                plain $(::<$($g),+>)? ($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512 $(<$($g: $bound),+>)? ($($arg: $type),*) $(-> $out)? {
                plain $(::<$($g),+>)? ($($arg),*)
            }

            assert!(isa.is_available(), "this machine has no {}", isa.name());
            match isa {
                // SAFETY: the machine has the instructions, by the assertion.
                #[cfg(target_arch = "x86_64")]
                isa if isa >= $crate::isa::Isa::Avx512 => unsafe {
                    avx512 $(::<$($g),+>)? ($($arg),*)
                },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Isa::Avx2 => unsafe { avx2 $(::<$($g),+>)? ($($arg),*) },
                _ => plain $(::<$($g),+>)? ($($arg),*),
            }
        }
    )+};
}
pub(crate) use vectorized;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_the_best_is_available() {
        for isa in ALL {
            assert_eq!(Isa::named(isa.name()), Some(isa));
        }
        assert_eq!(Isa::named("sse9"), None);
        assert!(Isa::available().contains(&Isa::best()));
        assert!(Isa::available().contains(&Isa::Portable));
    }

    vectorized! {
        fn double(x: &mut [f32]) {
            for value in x {
                *value *= 2.0;
            }
        }
    }

    #[test]
    fn code_gives_the_same_on_every_set() {
        let x: Vec<f32> = (0..1000).map(|i| i as f32 * 0.3).collect();
        let doubled = |isa: Isa| {
            let mut y = x.clone();
            double(isa, &mut y);
            y
        };
        for isa in Isa::available() {
            assert_eq!(doubled(isa), doubled(Isa::Portable));
        }
    }
}
