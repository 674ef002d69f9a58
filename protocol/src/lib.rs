//! The wire between coordinator and nodes.
#![forbid(unsafe_code)]

pub mod identity;
