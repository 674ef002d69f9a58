//! Connections: settings of the transport, frames on a control stream, transfers of blobs.

mod addresses;
mod endpoint;
mod frames;
mod refusal;
mod settings;
mod transfer;

pub use addresses::{first_answer, first_bound};
pub use endpoint::{
    Keys, bind, client_transport, configure_client, configure_server, server_transport,
};
pub use frames::{ReadError, read_frame};
pub use refusal::{Sides, is_verdict, refusal};
pub use settings::{Congestion, SettingsError, Transport};
pub use transfer::{FetchError, Stock, fetch, serve};
