//! How a new host gets its first certificate: a small service beside the authority's key, apart
//! from the coordinator.
//!
//! The client knows a join string. It connects, checks that the server's chain ends in the
//! authority that the string names, makes a key, and sends the token and a certificate request; the
//! server takes one use of the token and answers with the certificate. One connection carries one
//! request.

mod client;
mod pin;
mod server;
mod wire;

#[cfg(test)]
pub(super) use client::exchange;
pub use client::{EnrolError, join};
pub use server::{ServeError, Server, serve};

/// The protocol of this service.
pub const ALPN: &[u8] = b"lyceum-enrol/1";

/// The server name of this service, which no coordinator or node has.
pub const ENROL_NAME: &str = "enrol.lyceum";

/// How long an enrolled certificate is valid unless the server is told otherwise.
pub const VALIDITY: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);
