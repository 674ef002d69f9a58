//! What a process is called where a cluster starts many of the same: by its place among them, or by its host.

use crate::{failure::Failure, settings::ProcessSettings};
use lyceum_protocol::identity::Name;
use std::env;

/// Variables that hold a number of a process among its like: of an Indexed Job of Kubernetes, and of a task of Slurm.
const INDICES: [&str; 2] = ["JOB_COMPLETION_INDEX", "SLURM_PROCID"];
/// Where Linux says what the host is called; a pod has its own name there.
const HOST: &str = "/proc/sys/kernel/hostname";

/// The name of this process, where none was given.
pub(crate) fn own_name(settings: &ProcessSettings) -> Result<Name, Failure> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let host = || {
        std::fs::read_to_string(HOST)
            .ok()
            .or_else(|| variable("HOSTNAME"))
    };
    let found = named(settings.name.clone(), variable, host);
    let (text, of) = found.ok_or_else(|| {
        Failure::input("this host has no name: give the node one, here or as LYCEUM__NAME")
    })?;
    text.parse()
        .map_err(|e| Failure::input(format!("{of}: the name `{text}`: {e}")))
}

/// The name and where it comes from.
fn named(
    set: Option<String>,
    variable: impl Fn(&str) -> Option<String>,
    host: impl FnOnce() -> Option<String>,
) -> Option<(String, &'static str)> {
    if let Some(name) = set {
        return Some((name, "the setting `name`"));
    }
    for index in INDICES {
        if let Some(number) = variable(index) {
            return Some((format!("node-{number}"), index));
        }
    }
    let host = host()?;
    let host = host.trim().to_lowercase();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = host.replace(|c| !allowed(c), "-");
    (!name.is_empty()).then_some((name, "the host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_comes_before_the_place_in_a_job_and_that_before_the_host() {
        for (set, variables, host, expected) in [
            (
                Some("a"),
                &[("SLURM_PROCID", "3")][..],
                Some("h"),
                Some("a"),
            ),
            (None, &[("SLURM_PROCID", "3")], Some("h"), Some("node-3")),
            (
                None,
                &[("SLURM_PROCID", "3"), ("JOB_COMPLETION_INDEX", "7")],
                Some("h"),
                Some("node-7"),
            ),
            (
                None,
                &[],
                Some("My Host.example\n"),
                Some("my-host.example"),
            ),
            (None, &[], Some("\n"), None),
            (None, &[], None, None),
        ] {
            let variable = |name: &str| {
                let mut all = variables.iter();
                let found = all.find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_string())
            };
            let found = named(set.map(Into::into), variable, || host.map(Into::into));
            let found = found.map(|(name, _)| name);
            assert_eq!(found.as_deref(), expected, "{set:?} {variables:?} {host:?}");
        }
    }
}
