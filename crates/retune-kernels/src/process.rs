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

/// Time that this process has used on all cores so far, in seconds; `None` where the system does not tell.
pub fn cpu_seconds() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = status.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    // Linux counts 100 ticks a second for programs, whatever the kernel's own clock.
    Some((ticks()? + ticks()?) as f64 / 100.0)
}

/// Energy that the machine's processors have used so far, in joules, as their counters have it; `None` where the
/// system does not show them. Counters wrap after some hours at full load.
pub fn energy_joules() -> Option<f64> {
    let packages = std::fs::read_dir("/sys/class/powercap").ok()?.flatten();
    let joules = packages.filter_map(|package| {
        let name = package.file_name().into_string().ok()?;
        // `intel-rapl:0` is a processor, `intel-rapl:0:0` a part of it.
        let whole = name.starts_with("intel-rapl:") && name.matches(':').count() == 1;
        let text = std::fs::read_to_string(package.path().join("energy_uj")).ok();
        text.filter(|_| whole)?.trim().parse::<f64>().ok()
    });
    let found: Vec<f64> = joules.collect();
    (!found.is_empty()).then(|| found.iter().sum::<f64>() / 1e6)
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

    #[test]
    #[cfg(target_os = "linux")]
    fn work_takes_time() {
        let before = super::cpu_seconds().unwrap_or_default();
        let mut x = 1u64;
        while super::cpu_seconds().unwrap_or_default() < before + 0.05 {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(super::cpu_seconds().unwrap_or_default() - before < 10.0);
    }
}
