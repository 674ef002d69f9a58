//! Exit codes, the same for all commands, and what decides between them.

use std::{error::Error, io};

/// Something went wrong.
pub(crate) const FAILED: u8 = 1;
/// The user's input or configuration is at fault; also clap's own code.
pub(crate) const BAD_INPUT: u8 = 2;
/// It stopped and can be gone on with, or tried again: EX_TEMPFAIL of sysexits.h.
pub(crate) const UNFINISHED: u8 = 75;
/// Ctrl-C, as shells have it: 128 and the number of the signal.
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether space is what is lacking.
pub(crate) fn is_full(error: &(dyn Error + 'static)) -> bool {
    let lacking = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    let mut cause = Some(error);
    while let Some(inner) = cause {
        let system = inner.downcast_ref::<io::Error>();
        if system.is_some_and(|error| lacking.contains(&error.kind())) {
            return true;
        }
        cause = inner.source();
    }
    false
}
