//! Resident memory and processor time of this process.

/// Largest resident set so far, in MiB (`VmHWM` of `/proc/self/status`); 0 where the system is not
/// Linux or does not say.
pub fn peak_rss_mib() -> f64 {
    status_mib("VmHWM:")
}

/// Resident set now, in MiB (`VmRSS` of `/proc/self/status`); 0 where the system is not Linux or
/// does not say.
pub fn rss_mib() -> f64 {
    status_mib("VmRSS:")
}

/// Memory that new work may take without swapping, in MiB (`MemAvailable` of `/proc/meminfo`); `None` where the system
/// does not say.
pub fn available_mib() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    field_mib(&text, "MemAvailable:")
}

/// Processor time of this process over all threads, in seconds (`utime` and `stime` of `/proc/self/stat`, in ticks of
/// 10 ms); 0 where the system is not Linux or does not say.
pub fn cpu_seconds() -> f64 {
    if !cfg!(target_os = "linux") {
        return 0.0;
    }
    std::fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(|stat| ticks(&stat))
        .map_or(0.0, |ticks| ticks as f64 / 100.0)
}

/// The name, in brackets, may hold anything; `utime` and `stime` are the 12th and 13th field behind it.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

fn status_mib(key: &str) -> f64 {
    if !cfg!(target_os = "linux") {
        return 0.0;
    }
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| field_mib(&status, key))
        .unwrap_or(0.0)
}

/// The kernel writes `VmRSS:     1234 kB`, where kB means 1024 bytes.
fn field_mib(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_in_mib() {
        let status = "Name:\tlyceum\nVmHWM:\t    2048 kB\nVmRSS:\t    1536 kB\n";
        assert_eq!(field_mib(status, "VmHWM:"), Some(2.0));
        assert_eq!(field_mib(status, "VmRSS:"), Some(1.5));
        assert_eq!(field_mib(status, "VmSwap:"), None);
    }

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a ) b) R 1 7 7 0 -1 4194304 95 0 0 0 250 31 0 0 20 0 1 0";
        assert_eq!(ticks(stat), Some(281));
        assert_eq!(ticks("7 (short) R 1"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_memory() {
        assert!(rss_mib() > 0.0);
        assert!(peak_rss_mib() > 0.0);
        assert!(available_mib().unwrap() > 0.0);
    }
}
