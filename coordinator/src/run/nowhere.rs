//! A run that leaves nothing behind but what its expert found: what comes before the first round.

use super::{
    RunError, Storage,
    archive::{Archive, Durable, Syncing},
};
use crate::Snapshot;
use lyceum_core::{Event, Params, Payload, Round};
use std::{io, path::PathBuf};

/// Keeps nothing but what an expert's training found.
#[derive(Default)]
pub struct Nowhere {
    /// That, once it is there.
    pub expert: Option<Payload>,
}

impl Archive for Nowhere {
    fn event(&mut self, _: Event) -> Result<(), RunError> {
        Ok(())
    }

    fn best(&mut self, _: Params) {}

    fn expert(&mut self, found: Payload) {
        self.expert = Some(found);
    }

    fn clients_took(&mut self, _: &[u64]) {}

    fn round_took(&mut self, _: Round, _: u64, _: u64) -> Result<(), RunError> {
        Ok(())
    }

    fn save(&mut self, _: &Snapshot) -> Result<(), RunError> {
        Ok(())
    }

    fn storage(&mut self) -> &mut dyn Storage {
        self
    }
}

impl Durable for Nowhere {
    fn syncing(&mut self) -> Syncing {
        Box::pin(async { Ok(()) })
    }

    fn idle(&mut self) -> Result<(), RunError> {
        Ok(())
    }
}

impl Storage for Nowhere {
    fn read(&self, _: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn list(&self, _: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn replace(&mut self, _: &str, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn append(&mut self, _: &str, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }
}
