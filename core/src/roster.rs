//! The clients of a run, as far as they are known without asking them.

use crate::ClientId;

/// What is known of the clients without asking them.
pub trait Roster: Send + Sync {
    /// Number of clients; their ids are `0..clients()`.
    fn clients(&self) -> u64;
    /// Number of training samples of a client; cheap.
    fn samples(&self, client: ClientId) -> usize;
}
