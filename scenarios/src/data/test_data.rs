//! Where tests find the public data sets; tests that need them pass over their absence.

use std::path::PathBuf;

/// The folder of public sets, or none after saying why.
#[allow(clippy::print_stderr)]
pub(super) fn shared_data() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let folder = std::env::var_os("LYCEUM_DATA").map_or_else(|| beside.into(), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("not tested: there is no folder {}", folder.display());
    None
}
