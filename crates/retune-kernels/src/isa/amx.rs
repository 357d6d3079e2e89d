//! Whether this process may use the matrix registers (AMX): the CPU has them, and Linux gives them to who asks.

#![expect(unsafe_code, reason = "asks the CPU and the system")]

/// Whether the CPU has the instructions for bf16 and the system keeps the registers of this process.
pub(super) fn is_granted() -> bool {
    cfg!(target_os = "linux") && cpu_has() && ask()
}

/// Tiles (bit 24) and products of bf16 (bit 22) in the CPU's list of features.
fn cpu_has() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const WANTED: u32 = 1 << 24 | 1 << 22;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & WANTED == WANTED
}

/// Asks Linux (since 5.16) to keep the registers, for all threads: see `arch/x86/xstate` of its documentation.
#[cfg(target_os = "linux")]
fn ask() -> bool {
    use std::ffi::c_long;
    const ARCH_PRCTL: c_long = 158;
    const REQUEST: c_long = 0x1023;
    const TILE_DATA: c_long = 18;
    // SAFETY: the signature is that of the C library.
    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }
    // SAFETY: a call of two numbers that reads and writes no memory of ours.
    unsafe { syscall(ARCH_PRCTL, REQUEST, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn ask() -> bool {
    false
}
