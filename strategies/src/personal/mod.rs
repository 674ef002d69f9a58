//! Ways of giving each client a model of its own, one file per way: lists of training passes.

mod ditto;
mod fed_rep;

pub use ditto::Ditto;
pub use fed_rep::FedRep;
