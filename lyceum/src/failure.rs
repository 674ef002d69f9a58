//! What ends a command without success, and its exit code: the same for all commands.

use crate::{
    codes::{BAD_INPUT, FAILED, INTERRUPTED, UNFINISHED, is_full},
    output::complain,
};
use lyceum_metrics::write_whole;
use lyceum_scenarios::Diagnostic;
use lyceum_simulation::RunError;
use lyceum_task_store::StoreError;
use std::{error::Error, path::Path, process::ExitCode};

/// What the help says of exit codes.
pub(crate) const EXIT_CODES: &str = "\
Exit codes, the same for all commands:
  0    finished; of a node also: dismissed, or asked to go by SIGTERM
  1    a failure
  2    bad input or configuration
  75   stopped, and can be gone on with or tried again: SIGTERM, a full disk, too few clients for deadline.close, a
       folder lost to another host
  130  stopped by Ctrl-C; a run or coordinator can be gone on with";

/// A sentence for the user.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user's input is at fault.
    Input(String),
    /// Something else went wrong.
    Other(String),
    /// It stopped, and can be gone on with or tried again. Everything may have been said already.
    Unfinished(String),
    /// As before, by Ctrl-C.
    Interrupted(String),
}

impl Failure {
    /// Bad input, told in one line.
    pub(crate) fn input(message: impl std::fmt::Display) -> Self {
        Self::Input(format!("error: {message}\n"))
    }

    /// A failure, told in one line.
    pub(crate) fn other(message: impl std::fmt::Display) -> Self {
        Self::Other(format!("error: {message}\n"))
    }

    /// A file that cannot be used, which the user named.
    pub(crate) fn file(error: impl Error + 'static) -> Self {
        Self::unless_full(&error, Self::input(&error))
    }

    /// What came of an error, unless it was a full disk: then it may be tried again once there is space.
    pub(crate) fn unless_full(error: &(dyn Error + 'static), otherwise: Self) -> Self {
        match is_full(error) {
            true => Self::Unfinished(format!(
                "error: {}; free some space, then try again\n",
                otherwise.sentence()
            )),
            false => otherwise,
        }
    }

    /// A run that stopped and can be gone on with; that was said already.
    pub(crate) fn unfinished() -> Self {
        Self::Unfinished(String::new())
    }

    /// Whether the run can be gone on with.
    pub(crate) fn can_go_on(&self) -> bool {
        matches!(self, Self::Unfinished(_) | Self::Interrupted(_))
    }

    fn text(&self) -> &str {
        match self {
            Self::Input(text)
            | Self::Other(text)
            | Self::Unfinished(text)
            | Self::Interrupted(text) => text,
        }
    }

    /// The message alone, without what introduces an error.
    pub(crate) fn sentence(&self) -> String {
        let text = self.text().trim();
        text.strip_prefix("error: ").unwrap_or(text).to_string()
    }

    /// Prints the message and says how to exit.
    pub(crate) fn report(&self) -> ExitCode {
        complain(self.text());
        ExitCode::from(match self {
            Self::Input(_) => BAD_INPUT,
            Self::Other(_) => FAILED,
            Self::Unfinished(_) => UNFINISHED,
            Self::Interrupted(_) => INTERRUPTED,
        })
    }
}

/// Writes what `--out` names, whole or not at all.
pub(crate) fn write_out(out: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_whole(out, bytes).map_err(|e| {
        let told = Failure::input(format!("--out {}: {e}", out.display()));
        Failure::unless_full(&e, told)
    })
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Input(diagnostic.to_string())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Scenario(diagnostic) => Self::Input(diagnostic.to_string()),
            error if error.is_bad_input() => Self::input(error),
            error if error.can_go_on() => Self::Unfinished(format!("error: {error}\n")),
            error => Self::other(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            error if error.is_bad_input() => Self::input(error),
            error if error.can_go_on() => Self::Unfinished(format!("error: {error}\n")),
            error => Self::other(error),
        }
    }
}
