//! What the running process uses.

/// Largest resident size of this process so far, in bytes; `None` where the system does not tell.
pub fn peak_resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Page faults of this process so far that needed no disk; `None` where the system does not tell.
pub fn page_faults() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold blanks; the count is the eighth field after it.
    let (_, rest) = status.rsplit_once(')')?;
    rest.split_whitespace().nth(7)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn is_at_least_what_was_just_touched() {
        let block = vec![1u8; 64 << 20];
        std::hint::black_box(&block);
        assert!(super::peak_resident_bytes() >= Some(64 << 20));
    }
}
