//! Layers of other kinds, read value by value like everything else.

use super::Reader;
use crate::diagnostic::Fault;
use lyceum_core::OpenLayer;
use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

/// Reads the settings of a kind.
pub(crate) type ReadLayer = fn(&'static str, Reader<'_>) -> Result<OpenLayer, Fault>;

/// How the settings of each kind are read, by its name.
pub(crate) type LayerReaders = BTreeMap<&'static str, ReadLayer>;

thread_local! {
    static READERS: RefCell<Arc<LayerReaders>> = RefCell::default();
}

/// Runs `work`, in which layers of these kinds are read so.
pub(crate) fn within<R>(readers: &Arc<LayerReaders>, work: impl FnOnce() -> R) -> R {
    let before = READERS.replace(readers.clone());
    let result = work();
    READERS.set(before);
    result
}

/// How the settings are read that are asked for under this name, if they are those of a layer.
pub(super) fn reader_of(name: &str) -> Option<impl FnOnce(Reader<'_>) -> Result<OpenLayer, Fault>> {
    if !OpenLayer::is_asked(name) {
        return None;
    }
    let found = READERS.with_borrow(|readers| readers.get_key_value(name).map(|(n, r)| (*n, *r)));
    let (name, read) = found?;
    Some(move |reader: Reader<'_>| read(name, reader))
}
