//! One connection to a coordinator: what it says is heard once everything it names is here; what the node offers can be
//! fetched.

use super::{
    In,
    cache::{Cache, Told, text},
};
use lyceum_core::{
    Assignment, ClientState, ExpertScores, Facts, Job, Params, Slot, SlotKind, Ticket, UnitId,
};
use lyceum_protocol::{
    blob::{Blob, BlobRef},
    body,
    message::{Large, ToCoordinator, ToNode, Welcome},
    quic::{FetchError, Stock, read_frame, serve},
    wire::{
        AssignmentWire, FROM_COORDINATOR, INLINE, JobWire, OfferWire, ResultWire,
        ToCoordinatorWire, ToNodeWire, WelcomeWire, frame,
    },
};
use quinn::{Connection, RecvStream, SendStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Results that may be fetched, and the frames that offer them.
#[derive(Clone, Default)]
pub(super) struct Offers(Arc<Mutex<Vec<Offered>>>);

struct Offered {
    ticket: Ticket,
    units: Vec<UnitId>,
    result: ResultWire,
    vectors: Vec<BlobRef>,
    blobs: Vec<Blob>,
}

impl Offers {
    fn lock(&self) -> MutexGuard<'_, Vec<Offered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all but these.
    pub(super) fn keep(&self, uploads: &[lyceum_core::Upload]) {
        self.lock().retain(|offered| {
            let same =
                |u: &lyceum_core::Upload| u.ticket == offered.ticket && u.units == offered.units;
            uploads.iter().any(same)
        });
    }

    /// The result of an upload as it goes into a message, and its long vectors; encoded once.
    fn result(&self, upload: &lyceum_core::Upload) -> (ResultWire, Vec<BlobRef>) {
        let mut offers = self.lock();
        let same = |o: &&Offered| o.ticket == upload.ticket && o.units == upload.units;
        if let Some(known) = offers.iter().find(same) {
            return (known.result.clone(), known.vectors.clone());
        }
        let body = body::encode(&upload.payload, &upload.micros);
        let mut blobs: Vec<Blob> = body.vectors.into_iter().map(|v| v.blob).collect();
        let vectors: Vec<BlobRef> = blobs.iter().map(|blob| blob.name).collect();
        let result = if body.bytes.name.len() <= INLINE as u64 {
            ResultWire::Here(body.bytes.bytes.to_vec())
        } else {
            let name = body.bytes.name;
            blobs.push(body.bytes);
            ResultWire::Fetch(name)
        };
        offers.push(Offered {
            ticket: upload.ticket,
            units: upload.units.clone(),
            result: result.clone(),
            vectors: vectors.clone(),
            blobs,
        });
        (result, vectors)
    }

    /// A message as a frame.
    pub(super) fn pack(&self, message: ToCoordinator) -> Vec<u8> {
        frame(&match message.small() {
            Ok(small) => small,
            Err((session, upload)) => {
                let (result, vectors) = self.result(&upload);
                let upload = OfferWire {
                    ticket: upload.ticket,
                    units: upload.units,
                    result,
                    vectors,
                };
                ToCoordinatorWire::Offer { session, upload }
            }
        })
    }
}

impl Stock for Offers {
    fn find(&self, name: &BlobRef) -> Option<Blob> {
        let offers = self.lock();
        let mut blobs = offers.iter().flat_map(|o| &o.blobs);
        blobs.find(|blob| blob.name == *name).cloned()
    }
}

/// One connection, with a number of its own.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) connection: Connection,
    pub(super) cache: Arc<Cache>,
    pub(super) offers: Offers,
    pub(super) told: Told,
    pub(super) inputs: mpsc::Sender<In>,
}

impl Session {
    /// Goes on until the connection ends; says why.
    pub(super) async fn attend(
        self,
        send: SendStream,
        recv: RecvStream,
        frames: mpsc::Receiver<Vec<u8>>,
    ) {
        let reason = tokio::select! {
            biased;
            () = write(send, frames) => "the node ended it".to_string(),
            reason = self.read(recv) => reason,
            () = self.serve_transfers() => "the connection ended".to_string(),
        };
        let failure = match self.connection.close_reason() {
            Some(error) => super::failure(&error),
            None => super::Failure::Passing(reason),
        };
        self.connection
            .close(0_u32.into(), b"the node ends this connection");
        // A node that is gone needs no word.
        let _ = self.inputs.send(In::Broken(self.number, failure)).await;
    }

    async fn read(&self, mut recv: RecvStream) -> String {
        loop {
            match read_frame::<ToNodeWire, FROM_COORDINATOR>(&mut recv).await {
                Ok(Some(message)) => self.hear(message).await,
                Ok(None) => return "the coordinator ended it".into(),
                Err(error) => return error.to_string(),
            }
        }
    }

    async fn hear(&self, message: ToNodeWire) {
        let large = match message.small() {
            Ok(small) => return self.tell(small).await,
            Err(large) => large,
        };
        let session = self.clone();
        tokio::spawn(async move {
            match session.complete(large).await {
                Ok(message) => session.tell(message).await,
                // The coordinator says it again when it sees that the node has nothing.
                Err(error) => tracing::debug!(%error, "a message could not be completed"),
            }
        });
    }

    async fn tell(&self, message: ToNode) {
        // A node that is gone needs no word.
        let _ = self.inputs.send(In::Heard(self.number, message)).await;
    }

    async fn facts(&self, name: Option<BlobRef>) -> Result<Facts, FetchError> {
        match name {
            Some(name) => self.told.get(&self.connection, name).await,
            None => Ok(Facts::default()),
        }
    }

    async fn vector(&self, name: BlobRef) -> Result<Params, FetchError> {
        let slot = self.cache.get(&self.connection, name, SlotKind::Floats);
        match slot.await? {
            Slot::Floats(values) => Ok(values),
            Slot::Bytes(_) => Err(FetchError::Unknown(name)),
        }
    }

    /// A message with everything that it names.
    async fn complete(
        &self,
        message: Large<WelcomeWire, AssignmentWire>,
    ) -> Result<ToNode, FetchError> {
        match message {
            Large::Welcome(welcome) => self.welcome(welcome).await.map(ToNode::Welcome),
            Large::Assign {
                session,
                flights,
                assignment,
            } => Ok(ToNode::Assign {
                session,
                flights,
                assignment: self.assignment(assignment).await?,
            }),
        }
    }

    async fn welcome(&self, welcome: WelcomeWire) -> Result<Welcome, FetchError> {
        let expert = match welcome.expert {
            Some(name) => Some(Arc::new(expert_of(&self.vector(name).await?))),
            None => None,
        };
        Ok(Welcome {
            attempt: welcome.attempt,
            session: welcome.session,
            heartbeat_micros: welcome.heartbeat_micros,
            scenario: text(&self.connection, welcome.scenario).await?.into(),
            expert,
            client: welcome.client,
        })
    }

    async fn assignment(&self, named: AssignmentWire) -> Result<Assignment, FetchError> {
        Ok(Assignment {
            ticket: named.ticket,
            round: named.round,
            unit: named.unit,
            work: named.work,
            facts: self.facts(named.facts).await?,
            model: named.model.into(),
            global: self.vector(named.global).await?,
            vectors: self.vectors(named.vectors).await?,
            jobs: self.jobs(named.jobs).await?,
        })
    }

    async fn vectors(&self, names: Vec<BlobRef>) -> Result<Vec<Params>, FetchError> {
        let mut vectors = Vec::with_capacity(names.len());
        for name in names {
            vectors.push(self.vector(name).await?);
        }
        Ok(vectors)
    }

    async fn jobs(&self, jobs: Vec<JobWire>) -> Result<Vec<Job>, FetchError> {
        let mut complete = Vec::with_capacity(jobs.len());
        for job in jobs {
            complete.push(self.job(job).await?);
        }
        Ok(complete)
    }

    async fn job(&self, job: JobWire) -> Result<Job, FetchError> {
        let mut state = ClientState::default();
        for slot in job.slots {
            let held = self.cache.get(&self.connection, slot.content, slot.kind);
            state.put(slot.name, held.await?);
        }
        Ok(Job {
            data: job.data,
            state,
        })
    }

    async fn serve_transfers(&self) {
        while let Ok((mut send, mut recv)) = self.connection.accept_bi().await {
            let session = self.clone();
            tokio::spawn(async move {
                if let Err(error) = serve(&session.offers, &mut send, &mut recv).await {
                    tracing::debug!(%error, "a transfer ended early");
                }
            });
        }
    }
}

/// Losses and errors of an expert stand one behind the other.
fn expert_of(values: &Params) -> ExpertScores {
    let (losses, errors) = values.split_at(values.len() / 2);
    ExpertScores {
        losses: losses.to_vec(),
        errors: errors.to_vec(),
    }
}

async fn write(mut send: SendStream, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if send.write_all(&frame).await.is_err() {
            return;
        }
    }
    let _ = send.finish();
    // The last words are read before the connection is closed.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(3), send.stopped()).await;
}
