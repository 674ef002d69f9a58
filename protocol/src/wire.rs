//! Messages as they cross a network: everything large stands there by name, and travels beside them as a blob.

use crate::{
    blob::BlobRef,
    message::{ToCoordinatorOf, ToNodeOf, WelcomeOf},
};
use lyceum_core::{
    DataRef, Round, SlotKind, SlotName, Ticket, UnitId, Work,
    codec::{self, CodecError},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// First byte of every frame's content.
pub const VERSION: u8 = 6;
/// Bytes of a frame from a node, at most.
pub const FROM_NODE: usize = 1 << 20;
/// Bytes of a frame from the coordinator, at most: a unit of thousands of clients with states.
pub const FROM_COORDINATOR: usize = 4 << 20;
/// Results up to so many bytes go inside their message.
pub const INLINE: usize = 4 << 10;

/// [`ToNode`](crate::message::ToNode) on the wire.
pub type ToNodeWire = ToNodeOf<WelcomeWire, AssignmentWire>;

/// [`Welcome`](crate::message::Welcome) on the wire: the scenario's text, and losses of the expert, then its errors, as
/// numbers.
pub type WelcomeWire = WelcomeOf<BlobRef, BlobRef>;

/// [`Assignment`](lyceum_core::Assignment) on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AssignmentWire {
    /// The assignment's ticket.
    pub ticket: Ticket,
    /// The assignment's round.
    pub round: Round,
    /// The assignment's unit.
    pub unit: UnitId,
    /// What to do.
    pub work: Work,
    /// What the stream was told, if it was told anything.
    pub facts: Option<BlobRef>,
    /// Name of the model.
    pub model: String,
    /// The model.
    pub global: BlobRef,
    /// Vectors of the strategy.
    pub vectors: Vec<BlobRef>,
    /// On what.
    pub jobs: Vec<JobWire>,
}

/// [`Job`](lyceum_core::Job) on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobWire {
    /// Which samples, by name.
    pub data: DataRef,
    /// What the client left behind last time.
    pub slots: Vec<SlotWire>,
}

/// A slot of a client's state on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotWire {
    /// Its name.
    pub name: SlotName,
    /// Of what kind it is.
    pub kind: SlotKind,
    /// What it holds.
    pub content: BlobRef,
}

/// [`ToCoordinator`](crate::message::ToCoordinator) on the wire.
pub type ToCoordinatorWire = ToCoordinatorOf<OfferWire>;

/// An [`Upload`](lyceum_core::Upload) on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OfferWire {
    /// The upload's ticket.
    pub ticket: Ticket,
    /// The upload's units.
    pub units: Vec<UnitId>,
    /// The upload's result.
    pub result: ResultWire,
    /// The long vectors of it.
    pub vectors: Vec<BlobRef>,
}

/// A result's bytes without its long vectors ([`body`](crate::body)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ResultWire {
    /// Here they are.
    Here(Vec<u8>),
    /// They can be fetched.
    Fetch(BlobRef),
}

/// Why a frame is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It is longer than its reader allows.
    #[error("a frame of {len} bytes where at most {most} are allowed")]
    TooLong {
        /// Bytes that it announces.
        len: usize,
        /// Bytes that are allowed.
        most: usize,
    },
    /// It is empty.
    #[error("an empty frame")]
    Empty,
    /// It is of another version.
    #[error(
        "a frame of version {0}, this is version {VERSION}; use the same version of lyceum on both sides"
    )]
    Version(u8),
    /// Its content cannot be read.
    #[error("a frame that cannot be read: {0}")]
    Codec(#[from] CodecError),
}

/// A message as a frame: length, version, content.
pub fn frame(message: &impl Serialize) -> Vec<u8> {
    let content = codec::encode(message);
    let mut bytes = Vec::with_capacity(5 + content.len());
    bytes.extend((1 + content.len() as u32).to_le_bytes());
    bytes.push(VERSION);
    bytes.extend(content);
    bytes
}

/// The length of what follows, if its reader allows so much.
pub fn frame_len(head: [u8; 4], most: usize) -> Result<usize, FrameError> {
    let len = u32::from_le_bytes(head) as usize;
    if len > most {
        Err(FrameError::TooLong { len, most })
    } else {
        Ok(len)
    }
}

/// Reads what follows the length. `MOST` bounds what lengths inside may claim.
pub fn open<T: DeserializeOwned, const MOST: usize>(content: &[u8]) -> Result<T, FrameError> {
    match content {
        [] => Err(FrameError::Empty),
        [VERSION, rest @ ..] => Ok(codec::decode_within::<T, MOST>(rest)?),
        [other, ..] => Err(FrameError::Version(*other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        blob::Blob,
        message::{Flights, Report, SessionId},
    };
    use lyceum_core::ClientId;
    use proptest::prelude::*;

    /// Golden bytes: what is on the wire changes only together with [`VERSION`].
    #[test]
    fn the_bytes_of_a_message_do_not_change() {
        let report = ToCoordinatorWire::Report(Report {
            session: SessionId(0x0102),
            turn: 3,
            held: [4, 5].map(|unit| Ticket(7).unit(UnitId(unit))).to_vec(),
            open: 1,
            steps: 6,
        });
        let bytes = frame(&report);
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "490000000602000000\
             0201000000000000\
             0300000000000000\
             0200000000000000\
             07000000000000000400000000000000\
             07000000000000000500000000000000\
             01000000\
             0600000000000000"
        );
        assert_eq!(
            open::<ToCoordinatorWire, FROM_NODE>(&bytes[4..]).unwrap(),
            report
        );
    }

    #[test]
    fn an_assignment_names_its_vectors_and_holds_no_sample() {
        let name = Blob::of(vec![0; 8].into()).name;
        let flights = Flights {
            turn: 1,
            open: vec![Ticket(2)],
        };
        let assignment = AssignmentWire {
            ticket: Ticket(2),
            round: Round(2),
            unit: UnitId(3),
            work: Work::Train,
            facts: Some(name),
            model: "global".into(),
            global: name,
            vectors: vec![],
            jobs: vec![JobWire {
                data: DataRef::Shard(ClientId(9)),
                slots: vec![SlotWire {
                    name: SlotName::new(SlotName::STRATEGY),
                    kind: SlotKind::Floats,
                    content: name,
                }],
            }],
        };
        let assign = ToNodeWire::Assign {
            session: SessionId(1),
            flights,
            assignment,
        };
        let bytes = frame(&assign);
        assert_eq!(
            bytes.len(),
            5 + 4
                + 4 * 8
                + (8 + 8 + 8)
                + 4
                + (1 + 40)
                + (8 + 6)
                + 40
                + 8
                + 8
                + (4 + 8)
                + 8
                + (8 + 8 + 4 + 40)
        );
        assert_eq!(
            open::<ToNodeWire, FROM_COORDINATOR>(&bytes[4..]).unwrap(),
            assign
        );
    }

    #[test]
    fn long_empty_strange_and_trailing_frames_are_refused() {
        assert!(frame_len([0xff; 4], FROM_NODE).is_err());
        let read = |bytes: &[u8]| open::<ToCoordinatorWire, FROM_NODE>(bytes);
        assert_eq!(read(&[]), Err(FrameError::Empty));
        assert_eq!(read(&[9, 0]), Err(FrameError::Version(9)));
        let mut bytes = frame(&ToCoordinatorWire::Goodbye {
            session: SessionId(1),
        });
        bytes.push(0);
        assert!(matches!(read(&bytes[4..]), Err(FrameError::Codec(_))));
    }

    #[test]
    fn a_declared_length_takes_no_memory() {
        // A refusal whose text claims to be as long as a number can say.
        let mut content = vec![VERSION];
        content.extend(1_u32.to_le_bytes());
        content.extend(u64::MAX.to_le_bytes());
        assert!(open::<ToNodeWire, FROM_COORDINATOR>(&content).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = open::<ToCoordinatorWire, FROM_NODE>(&bytes);
            let _ = open::<ToNodeWire, FROM_COORDINATOR>(&bytes);
        }
    }
}
