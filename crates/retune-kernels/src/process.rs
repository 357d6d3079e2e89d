//! What the running process uses, and what it may use.

use std::path::Path;

/// Largest resident size of this process so far, in bytes; `None` where the system does not tell.
pub fn peak_resident_bytes() -> Option<u64> {
    kib("/proc/self/status", "VmHWM:")
}

/// Memory that this process could have in all, in bytes: what it has now and what the machine, or the control group
/// that it runs in, could still give it. `None` where the system does not tell.
pub fn memory_bytes() -> Option<u64> {
    let own = kib("/proc/self/status", "VmRSS:")?;
    let machine = kib("/proc/meminfo", "MemAvailable:")?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group_bytes(Path::new("/sys/fs/cgroup"), &groups);
    Some(own + group.map_or(machine, |group| machine.min(group)))
}

/// Gives memory that was freed, and that the allocator keeps for later, back to the system. Costs some milliseconds;
/// elsewhere than on glibc it does nothing.
#[cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "asks the allocator")
)]
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: declared as in malloc.h.
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> i32;
        }
        // SAFETY: it may be called at any time from any thread and touches no block in use.
        unsafe { malloc_trim(0) };
    }
}

/// A figure in KiB on the line of a status file that begins with `name`, in bytes.
fn kib(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Bytes that the tightest memory limit among the process's control groups still allows; `None` where none is set.
/// `groups` is what `/proc/self/cgroup` says, `root` the folder of the groups.
fn group_bytes(root: &Path, groups: &str) -> Option<u64> {
    // `0::/a/b` is version 2, which has one tree; `4:memory:/a/b` is version 1.
    let places = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            return Some((root.to_path_buf(), path, ["memory.max", "memory.current"]));
        }
        let memory = controllers.split(',').any(|name| name == "memory");
        let files = ["memory.limit_in_bytes", "memory.usage_in_bytes"];
        memory.then(|| (root.join("memory"), path, files))
    });
    let free = places.flat_map(|(tree, path, files)| {
        // In a container the path may be the host's: the tree then begins at the process's own group.
        let inside = Path::new(path).ancestors().map(Path::to_path_buf);
        let folders: Vec<_> = inside.map(|folder| tree.join(folder)).collect();
        folders
            .into_iter()
            .filter_map(move |folder| free_bytes(&folder, files))
    });
    free.min()
}

/// Bytes below the limit of the control group in `folder`. Files that it has read count as used until the memory is
/// needed, so they are taken off.
fn free_bytes(folder: &Path, [limit, used]: [&str; 2]) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let stat = read("memory.stat").unwrap_or_default();
    let cached = stat.lines().filter_map(|line| {
        let (name, bytes) = line.split_once(' ')?;
        // Version 1 counts the groups below in a line of its own.
        let counts = name == "inactive_file" || name == "total_inactive_file";
        bytes.trim().parse::<u64>().ok().filter(|_| counts)
    });
    let used = number(used)?.saturating_sub(cached.max().unwrap_or(0));
    Some(number(limit)?.saturating_sub(used))
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
    #![expect(clippy::unwrap_used, reason = "tests")]

    #[test]
    #[cfg(target_os = "linux")]
    fn is_at_least_what_was_just_touched() {
        let block = vec![1u8; 64 << 20];
        std::hint::black_box(&block);
        assert!(super::peak_resident_bytes() >= Some(64 << 20));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_at_least_what_the_process_has() {
        let block = vec![1u8; 64 << 20];
        std::hint::black_box(&block);
        assert!(super::memory_bytes() >= Some(64 << 20));
    }

    #[test]
    fn giving_back_leaves_what_is_in_use() {
        let kept: Vec<Vec<u8>> = (0..100u8).map(|i| vec![i; 10_000]).collect();
        drop(vec![vec![1u8; 10_000]; 1_000]);
        super::give_back();
        assert!((0..100u8).all(|i| kept[i as usize].iter().all(|byte| *byte == i)));
    }

    #[test]
    fn the_tightest_control_group_counts() {
        let dir = std::env::temp_dir().join(format!("retune-groups-{}", std::process::id()));
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let bytes = |groups: &str| super::group_bytes(&dir, groups);
        assert_eq!(bytes("0::/a/b\n"), None);
        write("a/b/memory.max", "max\n");
        write("a/b/memory.current", "70\n");
        assert_eq!(bytes("0::/a/b\n"), None, "no limit is set");
        write("a/memory.max", "1000\n");
        write("a/memory.current", "300\n");
        write("a/memory.stat", "anon 200\ninactive_file 100\n");
        assert_eq!(bytes("0::/a/b\n"), Some(800), "of the group above");
        write("a/b/memory.max", "90\n");
        assert_eq!(bytes("0::/a/b\n"), Some(20));
        write("memory/c/memory.limit_in_bytes", "50\n");
        write("memory/c/memory.usage_in_bytes", "60\n");
        assert_eq!(bytes("4:cpu:/x\n3:memory,other:/c\n"), Some(0));
        std::fs::remove_dir_all(&dir).unwrap();
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
