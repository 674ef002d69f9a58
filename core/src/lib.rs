//! The vocabulary of Lyceum.
//!
//! Pure: no input or output, no clock, no thread, no ambient randomness, no order taken from a hash.
//! Everything here can be tested with three numbers and a seed.

#![forbid(unsafe_code)]

mod aims;
mod attendance;
mod augment;
mod bounds;
mod calibration;
mod continual;
mod contract;
mod corpus;
mod descent;
mod divergence;
mod event;
mod exp;
mod f1;
mod facts;
mod fingerprint;
mod gate;
mod ids;
mod learner;
mod lens;
mod loss;
mod mode;
mod network;
mod objective;
mod optimizer;
mod params;
mod pass;
mod posterior;
mod predict;
mod ranking;
mod request;
mod retrieval;
mod roster;
mod samples;
mod seed;
mod selection;
mod sparse;
mod state;
mod steering;
mod strategy;
mod stream;
mod sum;
mod tally;
mod task;
mod time;
mod transform;
mod updates;
mod wide;

pub mod codec;
pub mod units;

pub use aims::{ALL_CLASSES, Aims, Match, MatchKind};
pub use attendance::{Absence, Attendance, Who};
pub use augment::{Augmentation, Crop, Cutout, DropTokens, Flip, Mixup};
pub use bounds::{Bounds, Folded, Harvest};
pub use calibration::Calibration;
pub use continual::{
    AnyMethod, ContinualMethod, Draft, IMPORTANCES, Lessons, MEANS, MethodRun, Needs, Site, Step,
    sets,
};
pub use contract::{
    Addend, Assignment, ClientReport, DataRef, ExpertScores, Job, Outcome, Payload, Trained,
    Upload, Work,
};
pub use corpus::{Corpus, Kin, Pairs};
pub use descent::{Conduct, Moments, Segments, Update};
pub use divergence::{Charge, Divergence, ResolvedDivergence};
pub use event::{Event, TaskInfo, Turnout};
pub use exp::{exp, exp_all};
pub use f1::F1;
pub use facts::{Fact, FactError, Facts, TaskDefinition, TaskMaker};
pub use fingerprint::{Chain, Fingerprint};
pub use gate::{Gate, NextTask, Opening};
pub use ids::{ClientId, Round, TaskId, Ticket, UnitId, UnitKey};
pub use learner::{Engine, Learner, argmax, clip_to_norm, normalised, step_by_gradient};
pub use lens::{Lens, Pixels};
pub use loss::{Contrastive, Huber, Loss, Smoothed, Target, Targets};
pub use mode::{Mode, Noise};
pub use network::{
    Backward, Forward, Halves, Init, Initial, Layer, LayerEntry, LayerKind, LayerKinds, Network,
    NetworkError, NetworkParts, OpenLayer, Operation, ReadLayer, Tensor, Variational,
};
pub use objective::{Objective, Pull, Resolved, ResolvedStrength, Strength, VectorRef, Vectors};
pub use optimizer::Optimizer;
pub use params::{Entry, Layout, Params, Role};
pub use pass::{Length, Moves, Pass, PassDice, PassResult, Passes, Start};
pub use posterior::Posterior;
pub use predict::{LargestLogit, Predict, Predictor, Rows};
pub use ranking::{Roc, Top};
pub use request::{Answer, Request, Want, Worth};
pub use retrieval::{Retrieval, Standing};
pub use roster::Roster;
pub use samples::{
    Affine, Batch, Features, Federation, Item, Probe, Samples, Shard, Showing, View,
};
pub use seed::{Purpose, Seed, Stream, dirichlet, sample_distinct, shuffle};
pub use selection::{AnySelector, ClientSelector, SelectorRun};
pub use sparse::{Few, Sparse};
pub use state::{
    ClientState, Memory, Sizes, Slot, SlotFault, SlotKind, SlotName, SlotSize, SlotSpec, SlotSpecs,
};
pub use steering::{
    AnySteering, Directive, GLOBAL, ModelTraining, RoundOutcome, RoundPlan, RunView, Steering,
    SteeringRun, TrainedModel,
};
pub use strategy::{AnyStrategy, ClientRule, LocalWork, PlainClient, Prior, Strategy, StrategyRun};
pub use stream::{StreamRules, TaskStream, TaskView, all_have_begun};
pub use sum::{ExactSum, Grid, Lane, SumBytesError, SumError, Term};
pub use tally::{LossUnit, Tally};
pub use task::{Bits, Calendar, Head, Members, Reach, Task, Visit};
pub use time::Time;
pub use transform::{AnyTransform, Outgoing, Transform, Transforms};
pub use updates::{ClientTerm, Contribution, Reduction, Settled, Stall, Updates};
pub use wide::wide;
