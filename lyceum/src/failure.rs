//! What ends the command early, and its exit code.

use crate::output::complain;
use lyceum_scenarios::Diagnostic;
use lyceum_simulation::RunError;
use std::process::ExitCode;

/// A sentence for the user.
pub(crate) enum Failure {
    /// The user's input is at fault: exit code 2.
    Input(String),
    /// Something else went wrong: exit code 1.
    Other(String),
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

    /// The message alone, without what introduces an error.
    pub(crate) fn sentence(self) -> String {
        let (Self::Input(text) | Self::Other(text)) = self;
        let text = text.trim();
        text.strip_prefix("error: ").unwrap_or(text).to_string()
    }

    /// Prints the message and says how to exit.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::Input(text) => {
                complain(&text);
                ExitCode::from(2)
            }
            Self::Other(text) => {
                complain(&text);
                ExitCode::FAILURE
            }
        }
    }
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
            bad if bad.is_bad_input() => Self::input(bad),
            other => Self::other(other),
        }
    }
}
