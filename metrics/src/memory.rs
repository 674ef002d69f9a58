//! Resident memory of this process.

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
    #[cfg(target_os = "linux")]
    fn this_process_has_memory() {
        assert!(rss_mib() > 0.0);
        assert!(peak_rss_mib() > 0.0);
    }
}
