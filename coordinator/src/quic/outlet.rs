//! What waits to be said to a node.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Frames that wait for a node that does not read, before it is given up.
const WAITING_FRAMES: usize = 4096;
/// KiB of them: what a node asks about decides how long the answers are.
const WAITING_KIB: usize = 128 << 10;

/// What is said to a node.
pub(super) enum Out {
    /// A frame.
    Frame(Vec<u8>),
    /// Nothing more, for this reason.
    End(String),
}

/// Where what is said to one node waits until it reads: a number of frames, and a number of KiB.
pub(super) struct Outlet {
    sender: mpsc::Sender<(Out, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

impl Outlet {
    pub(super) fn new() -> (Self, Outbox) {
        let (sender, outbox) = mpsc::channel(WAITING_FRAMES);
        let room = Arc::new(Semaphore::new(WAITING_KIB));
        (Self { sender, room }, outbox)
    }

    /// Says something; `false` if too much waits already. Nobody is told anything whose connection has ended.
    pub(super) fn say(&self, out: Out) -> bool {
        let bytes = match &out {
            Out::Frame(frame) => frame.len(),
            Out::End(_) => 0,
        };
        let kib = bytes.div_ceil(1024).min(WAITING_KIB) as u32;
        let permit = self.room.clone().try_acquire_many_owned(kib);
        self.sender.is_closed()
            || permit.is_ok_and(|permit| self.sender.try_send((out, permit)).is_ok())
    }

    /// Frames that wait.
    pub(super) fn waiting(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }
}

/// The receiving side of what the hub says to one node.
pub(super) type Outbox = mpsc::Receiver<(Out, OwnedSemaphorePermit)>;
