//! A run's files and what it stands on: what in-process runs and a coordinator process share.

mod archive;
pub mod checkpoint;
mod desk;
mod error;
mod files;
mod finished;
pub mod incarnation;
pub mod journal;
pub mod lock;
pub mod model_file;
mod nowhere;
mod prepared;
mod resume;
pub mod seal;
mod settings;
mod spill;
mod storage;
mod told;

pub use archive::{Archive, Durable, Syncing};
pub use desk::{ANSWERS, REQUESTS};
pub use error::RunError;
pub use files::{Observer, RunFiles, toml_text};
pub use finished::{Finished, alterations};
pub use nowhere::Nowhere;
pub use prepared::{EXPERT, Expert, Groundwork, Prepared, initial};
pub use resume::Resume;
pub use settings::{Held, Settings, TAKEOVER};
pub use spill::SpillFile;
pub use storage::{Folder, Storage};
pub use told::{look_at_log, must_be_log};
