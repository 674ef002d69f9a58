//! Memory that a scenario asks for, against what there is: a sentence rather than a process that dies.

use std::fs;

const GIB: f64 = (1_u64 << 30) as f64;
/// Where a system does not say how much memory it has, nothing may need more than this: 64 GiB.
const UNKNOWN: u64 = 64 << 30;

/// Why so many bytes cannot be had, if they cannot: such as "needs 80.0 GiB of memory, and 12.3 GiB are free".
pub fn no_room(bytes: u64) -> Option<String> {
    beyond(bytes, available().unwrap_or(UNKNOWN))
}

fn beyond(bytes: u64, available: u64) -> Option<String> {
    let gib = |bytes: u64| bytes as f64 / GIB;
    (bytes > available).then(|| {
        let (needs, free) = (gib(bytes), gib(available));
        format!("needs {needs:.1} GiB of memory, and {free:.1} GiB are free")
    })
}

/// Bytes that may be taken without swapping: `MemAvailable` of `/proc/meminfo`.
fn available() -> Option<u64> {
    field(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// The kernel writes `MemAvailable:   2048 kB`, where kB means 1024 bytes.
fn field(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_held_against_what_is_free() {
        assert_eq!(
            field("MemTotal: 1 kB\nMemAvailable:    2048 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(field("MemTotal: 1 kB\n"), None);
        assert_eq!(beyond(5, 5), None);
        let told = beyond(3 << 30, 1 << 30).unwrap();
        assert_eq!(told, "needs 3.0 GiB of memory, and 1.0 GiB are free");
        assert_eq!(no_room(1), None);
        assert!(no_room(u64::MAX).is_some());
    }
}
