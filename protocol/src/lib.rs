//! The wire between coordinator and nodes.

#![forbid(unsafe_code)]

pub mod blob;
pub mod body;
mod files;
pub mod identity;
pub mod message;
pub mod quic;
pub mod wire;
