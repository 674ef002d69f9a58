//! Credentials for the processes of one run on one host.

use std::time::Duration;

use super::{Authority, AuthorityError, Credentials, Identity, Name, Role};

/// Longer than a run; the authority's key is gone when [`ephemeral`] returns, so nothing else can
/// ever be signed with it.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// What [`ephemeral`] makes, all under one authority.
#[derive(Debug)]
pub struct Ephemeral {
    /// For the coordinator, which is called `local`.
    pub coordinator: Credentials,
    /// One for each node, in the order of their names.
    pub nodes: Vec<Credentials>,
}

/// An authority in memory that signs for one coordinator and these nodes and is dropped. Nothing
/// is on disk unless the caller hands credentials to a child process by [`Credentials::write`].
pub fn ephemeral(nodes: impl IntoIterator<Item = Name>) -> Result<Ephemeral, AuthorityError> {
    let authority = Authority::ephemeral()?;
    let local = "local".parse().expect("`local` is a name");
    let coordinator = Identity::new(Role::Coordinator, local);
    let node = |name| authority.credentials(&Identity::new(Role::Simulate, name), VALIDITY);
    Ok(Ephemeral {
        coordinator: authority.credentials(&coordinator, VALIDITY)?,
        nodes: nodes.into_iter().map(node).collect::<Result<_, _>>()?,
    })
}
