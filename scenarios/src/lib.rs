//! The scenario file and what it names.
//!
//! One TOML file describes an experiment. This crate reads it, checks it, and says what is wrong and
//! where; it holds the registry of everything a file can name, the data sets, the partitions and the
//! models. It knows no network and no tensor library.

#![forbid(unsafe_code)]

pub mod data;
pub mod models;
pub mod partition;
pub mod streams;

mod client_slots;
mod cross_faults;
mod deadline;
mod diagnostic;
mod distributions;
mod document;
mod elsewhere;
mod federation;
mod idle_keys;
mod idle_stream_keys;
mod label;
mod lengthening;
mod numbers;
mod pair_faults;
mod personal;
mod personal_faults;
mod prospects;
mod reader;
mod reading;
mod registry;
mod room;
mod scenario;
mod schema;
mod settings;
mod stream_misfits;
mod stream_resolution;
mod sweep;
mod tables;
mod task_stream;
mod timeline;
mod timetable;
mod training;
mod transforms;
mod updates;
mod variational;

pub use deadline::{Close, Deadline, Reassign, Wait};
pub use diagnostic::{Diagnostic, Fault, Sources};
pub use distributions::normal_prior;
pub use federation::{Loaded, shares};
pub use idle_keys::is_idle;
pub use idle_stream_keys::LEFT_OUT;
pub use label::baselines;
pub use personal::Personal;
pub use registry::{Chosen, Config, Plugin, Plugins, Registry};
pub use room::no_room;
pub use scenario::Scenario;
pub use schema::{schema, variants};
pub use settings::{Variable, read_settings};
pub use sweep::{Point, Sweep, seeds};
pub use tables::{Availability, Data, Evaluation, RealClient, Run, TABLES};
pub use task_stream::StreamChoice;
pub use timeline::{Moment, Part, Phase, Silence};
pub use timetable::Timetable;
pub use training::{
    Adagrad, Adam, Constant, Cosine, Expert, Lion, OneCycle, OptimizerChoice, RmsProp, Schedule,
    Sgd, StepDecay, StepRates, StepSchedule, Training, WarmUp,
};
pub use transforms::TransformChoice;
pub use variational::VariationalWeights;
