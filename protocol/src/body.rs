//! An upload's result as bytes, for a transfer and for the journal.
//!
//! Reports one by one, each within a limit of its own, then the sum as canonical bytes or updates as raw numbers, then the
//! slots of client states, each with its name and kind: nothing is allocated because a length says so. A long vector stands beside the bytes, so that
//! it is nowhere copied on its way. Each kind is read as that kind and no other, so that no
//! text, whose length a decoder believes, and no sum that was not checked comes in by another's door.

use crate::blob::{Blob, Vector};
use bytes::Bytes;
use lyceum_core::{
    Addend, ClientId, ClientReport, ClientState, ClientTerm, ExactSum, ExpertScores, Grid, Lane,
    Params, Payload, Slot, SlotKind, SlotName, SumBytesError, Ticket, Trained, UnitId, Upload,
    codec::{self, CodecError},
};

/// Bytes of one client's report, at most; its reason is the only text in it.
const REPORT: usize = 16 << 10;
/// Bytes of a result of another kind, at most (an expert's scores grow as they are read, and have no limit here).
const OTHER: usize = 64 << 20;
const TRAINED: u8 = 0;
const SCORED: u8 = 1;
const EXPERT: u8 = 2;
const EVALUATED: u8 = 3;
const SINGLE: u8 = 9;
const EACH: u8 = 10;
const FLOATS: u8 = 0;
const BYTES: u8 = 1;
/// Stands for the length of the next of the vectors beside.
const BESIDE: u64 = u64::MAX;
/// Vectors of so many values stand beside the bytes.
const LONG: usize = 16 << 10;

/// A result as bytes, and the long vectors of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// Everything else.
    pub bytes: Blob,
    /// In the order in which the bytes speak of them.
    pub vectors: Vec<Vector>,
}

impl Body {
    /// Without a long vector.
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: Blob::of(bytes.into()),
            vectors: Vec::new(),
        }
    }
}

/// What has been written of a body.
#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    vectors: Vec<Vector>,
}

/// Why bytes are no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// They end where more was announced.
    #[error("a result ends early")]
    Short,
    /// They go on after its end.
    #[error("a result with {0} bytes too many")]
    Long(usize),
    /// They begin with a kind that is not known.
    #[error("a result of the unknown kind {0}")]
    Kind(u8),
    /// A slot has a name that is none, or the name of the slot before.
    #[error("a slot of client {0} whose name is too long, no text, or not after the one before it")]
    SlotName(ClientId),
    /// A slot holds a kind of content that is not known.
    #[error("a slot of the unknown kind {0}")]
    SlotKind(u8),
    /// Vectors beside it that it does not speak of, or the other way round.
    #[error("a result with {0} vectors beside it, which speaks of another number")]
    Beside(usize),
    /// A part of it cannot be read.
    #[error("a result that cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// Its sum cannot be read.
    #[error("{0}")]
    Sum(#[from] SumBytesError),
}

/// The bytes of an upload's result. Wall times go with it, ticket and units do not.
pub fn encode(payload: &Payload, micros: &[u64]) -> Body {
    let mut out = Out::default();
    match payload {
        Payload::Trained(trained) => {
            out.bytes.push(match &trained.sum {
                Addend::Sum(_) => TRAINED,
                Addend::Single(_) => SINGLE,
                Addend::Each(_) => EACH,
            });
            put_micros(micros, &mut out);
            put(trained.reports.len() as u64, &mut out);
            for report in &trained.reports {
                out.bytes.extend(codec::encode(&within_limit(report)));
            }
            put_addend(&trained.sum, &mut out);
            put(trained.states.len() as u64, &mut out);
            for (client, state) in &trained.states {
                put(client.0, &mut out);
                put_state(state, &mut out);
            }
        }
        Payload::Expert { params, scores } => {
            out.bytes.push(EXPERT);
            put_micros(micros, &mut out);
            out.bytes.extend(codec::encode(&(params, scores)));
        }
        Payload::Scored { scores, samples } => {
            out.bytes.push(SCORED);
            put_micros(micros, &mut out);
            out.bytes.extend(codec::encode(&(scores, samples)));
        }
        Payload::Evaluated { probe, tally } => {
            out.bytes.push(EVALUATED);
            put_micros(micros, &mut out);
            out.bytes.extend(codec::encode(&(probe, tally)));
        }
    }
    Body {
        bytes: Blob::of(out.bytes.into()),
        vectors: out.vectors,
    }
}

/// A report whose reason is short enough for its reader.
fn within_limit(report: &ClientReport) -> ClientReport {
    use lyceum_core::Outcome;
    let mut report = report.clone();
    if let Outcome::Refused(reason) = &mut report.outcome {
        let most = reason.floor_char_boundary(REPORT / 4);
        reason.truncate(most);
    }
    report
}

/// Reads [`encode`]'s bytes as the answer to these units. Lanes and grid are those of the run.
pub fn decode(
    body: &Body,
    ticket: Ticket,
    units: Vec<UnitId>,
    lanes: &[Lane],
    grid: &Grid,
) -> Result<Upload, BodyError> {
    let mut rest = Rest(&body.bytes.bytes, body.vectors.iter());
    let kind = rest.take(1)?[0];
    let micros = rest.micros()?;
    let payload = match kind {
        TRAINED => Payload::Trained(rest.trained(|rest| rest.sum(lanes, grid))?),
        SINGLE => Payload::Trained(rest.trained(|rest| rest.single(lanes))?),
        EACH => Payload::Trained(rest.trained(|rest| rest.each(lanes))?),
        SCORED => {
            let (scores, samples) = codec::decode_within::<_, OTHER>(rest.all())?;
            Payload::Scored { scores, samples }
        }
        EVALUATED => {
            let (probe, tally) = codec::decode_within::<_, OTHER>(rest.all())?;
            Payload::Evaluated { probe, tally }
        }
        EXPERT => {
            let (params, scores) = codec::decode::<(Params, ExpertScores)>(rest.all())?;
            Payload::Expert { params, scores }
        }
        other => return Err(BodyError::Kind(other)),
    };
    if !rest.0.is_empty() {
        return Err(BodyError::Long(rest.0.len()));
    }
    if rest.1.len() > 0 {
        return Err(BodyError::Beside(body.vectors.len()));
    }
    Ok(Upload {
        ticket,
        units,
        payload,
        micros,
    })
}

fn put(number: u64, out: &mut Out) {
    out.bytes.extend(number.to_le_bytes());
}

fn put_micros(micros: &[u64], out: &mut Out) {
    put(micros.len() as u64, out);
    micros.iter().for_each(|&m| put(m, out));
}

fn put_addend(addend: &Addend, out: &mut Out) {
    match addend {
        Addend::Sum(sum) => {
            let start = out.bytes.len();
            put(0, out);
            sum.write_bytes(&mut out.bytes);
            let len = (out.bytes.len() - start - 8) as u64;
            out.bytes[start..start + 8].copy_from_slice(&len.to_le_bytes());
        }
        Addend::Single(parts) => put_parts(parts, out),
        Addend::Each(terms) => {
            put(terms.len() as u64, out);
            for term in terms {
                put(term.client.0, out);
                put_parts(&term.lanes, out);
            }
        }
    }
}

/// One client's weights and values.
fn put_parts(parts: &[(f64, Params)], out: &mut Out) {
    for (weight, values) in parts {
        out.bytes.extend(weight.to_le_bytes());
        put_vector(values, out);
    }
}

/// Slots in the order of their names.
fn put_state(state: &ClientState, out: &mut Out) {
    let slots = state.slots();
    put(slots.len() as u64, out);
    for (name, slot) in slots {
        put(name.len() as u64, out);
        out.bytes.extend(name.as_bytes());
        match slot {
            Slot::Floats(values) => {
                out.bytes.push(FLOATS);
                put_vector(values, out);
            }
            Slot::Bytes(bytes) => {
                out.bytes.push(BYTES);
                put(bytes.len() as u64, out);
                out.bytes.extend(&bytes[..]);
            }
        }
    }
}

fn put_vector(vector: &Params, out: &mut Out) {
    if vector.len() >= LONG {
        put(BESIDE, out);
        out.vectors.push(Vector::of(vector.clone()));
    } else {
        put(vector.len() as u64, out);
        out.bytes.extend(vector.bytes());
    }
}

struct Rest<'a>(&'a [u8], std::slice::Iter<'a, Vector>);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], BodyError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(BodyError::Short)?;
        self.0 = tail;
        Ok(head)
    }

    fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn number(&mut self) -> Result<u64, BodyError> {
        let bytes = self.take(8)?.try_into().map_err(|_| BodyError::Short)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A length that the rest can hold, if each item takes `each` bytes.
    fn length(&mut self, each: usize) -> Result<usize, BodyError> {
        let number = self.number()?;
        let most = self.0.len() / each;
        usize::try_from(number)
            .ok()
            .filter(|n| *n <= most)
            .ok_or(BodyError::Short)
    }

    fn micros(&mut self) -> Result<Vec<u64>, BodyError> {
        let count = self.length(8)?;
        (0..count).map(|_| self.number()).collect()
    }

    fn trained(
        &mut self,
        addend: impl FnOnce(&mut Self) -> Result<Addend, BodyError>,
    ) -> Result<Trained, BodyError> {
        // A report takes more than 8 bytes, a state as many.
        let reports = (0..self.length(8)?)
            .map(|_| self.report())
            .collect::<Result<_, _>>()?;
        let sum = addend(self)?;
        let states = (0..self.length(8)?)
            .map(|_| self.state())
            .collect::<Result<_, _>>()?;
        Ok(Trained {
            sum,
            reports,
            states,
        })
    }

    fn sum(&mut self, lanes: &[Lane], grid: &Grid) -> Result<Addend, BodyError> {
        let bytes = self.length(1)?;
        Ok(ExactSum::from_bytes(self.take(bytes)?, lanes, grid)?.into())
    }

    /// One client's weights and values; the lengths are the sender's, and are looked at by who adds them.
    fn single(&mut self, lanes: &[Lane]) -> Result<Addend, BodyError> {
        self.parts(lanes).map(Addend::Single)
    }

    fn each(&mut self, lanes: &[Lane]) -> Result<Addend, BodyError> {
        // An update takes more than 8 bytes.
        let count = self.length(8)?;
        let term = |_| {
            let client = ClientId(self.number()?);
            let lanes = self.parts(lanes)?;
            Ok(ClientTerm { client, lanes })
        };
        let terms: Result<_, BodyError> = (0..count).map(term).collect();
        Ok(Addend::Each(terms?))
    }

    fn parts(&mut self, lanes: &[Lane]) -> Result<Vec<(f64, Params)>, BodyError> {
        let part = |_| {
            let weight = f64::from_bits(self.number()?);
            let values = self.vector()?;
            Ok((weight, values))
        };
        (0..lanes.len()).map(part).collect()
    }

    fn report(&mut self) -> Result<ClientReport, BodyError> {
        let (report, used) = codec::decode_first::<ClientReport, REPORT>(self.0)?;
        self.take(used)?;
        Ok(report)
    }

    fn state(&mut self) -> Result<(ClientId, ClientState), BodyError> {
        let client = ClientId(self.number()?);
        let mut state = ClientState::default();
        let mut last = SlotName::default();
        // A slot takes more than 16 bytes.
        for _ in 0..self.length(16)? {
            let name = self.slot_name(client)?;
            if name <= last {
                return Err(BodyError::SlotName(client));
            }
            last = name.clone();
            state.put(name, self.slot()?);
        }
        Ok((client, state))
    }

    fn slot_name(&mut self, client: ClientId) -> Result<SlotName, BodyError> {
        let len = self.length(1)?;
        let text = (len <= SlotName::MOST)
            .then(|| self.take(len))
            .transpose()?;
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        text.map(SlotName::new).ok_or(BodyError::SlotName(client))
    }

    fn slot(&mut self) -> Result<Slot, BodyError> {
        match self.take(1)?[0] {
            FLOATS => self.vector().map(Slot::Floats),
            BYTES => {
                let len = self.length(1)?;
                let bytes = self.take(len)?;
                SlotKind::Bytes.slot(bytes).ok_or(BodyError::Short)
            }
            other => Err(BodyError::SlotKind(other)),
        }
    }

    fn vector(&mut self) -> Result<Params, BodyError> {
        let (before, length) = (self.0, self.number()?);
        if length == BESIDE {
            let vector = self.1.next().ok_or(BodyError::Short)?;
            return Ok(vector.params.clone());
        }
        self.0 = before;
        let len = self.length(4)?;
        let bytes = self.take(4 * len)?;
        Params::from_bytes(bytes).ok_or(BodyError::Short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Outcome, Probe, Tally};
    use proptest::prelude::*;

    fn trained() -> Payload {
        let mut sum = ExactSum::new(&[Lane::INTEGER], 3);
        sum.add(0, 5.0, &[1.0, -2.0, 0.5]).unwrap();
        let refused = ClientReport {
            outcome: Outcome::Refused("its update is not finite".into()),
            ..ClientReport::dropped_out(ClientId(9), 4, 12)
        };
        let rule = Params::from(vec![1.0, 2.0, 3.0]);
        let mut state: ClientState = [(SlotName::new("strategy"), rule.into())]
            .into_iter()
            .collect();
        state.put(SlotName::method("er"), b"seven bytes".to_vec());
        Payload::Trained(Trained {
            sum: ExactSum::from_bytes(&sum.to_bytes(), &[Lane::INTEGER], 3)
                .unwrap()
                .into(),
            reports: vec![ClientReport::dropped_out(ClientId(2), 5, 12), refused],
            states: vec![(ClientId(2), state)],
        })
    }

    fn read(bytes: &[u8]) -> Result<Upload, BodyError> {
        read_body(&Body::of(bytes.to_vec()))
    }

    fn read_body(body: &Body) -> Result<Upload, BodyError> {
        let units = vec![UnitId(1), UnitId(2)];
        decode(body, Ticket(4), units, &[Lane::INTEGER], &3.into())
    }

    #[test]
    fn long_vectors_stand_beside_the_bytes_and_are_not_copied() {
        let long = Params::from(vec![0.5; LONG]);
        let Payload::Trained(one) = trained() else {
            return;
        };
        let rule = Params::from(vec![1.0; LONG]);
        let state = [(SlotName::new("strategy"), rule.into())];
        let state = state.into_iter().collect();
        let payload = Payload::Trained(Trained {
            sum: Addend::Single(vec![(5.0, long.clone())]),
            states: vec![(ClientId(2), state)],
            ..one
        });
        let body = encode(&payload, &[7]);
        assert!(body.bytes.name.len() < 1000 && body.vectors[0].params.is_same(&long));
        assert_eq!(read_body(&body).unwrap().payload, payload);
        for vectors in [
            body.vectors[..1].to_vec(),
            [&body.vectors[..], &[Vector::of(long)]].concat(),
        ] {
            let bytes = body.bytes.clone();
            assert!(read_body(&Body { bytes, vectors }).is_err());
        }
    }

    #[test]
    fn every_kind_of_result_comes_back() {
        let mut tally = Tally::new(2);
        tally.add(1, true, 0.25);
        let Payload::Trained(one) = trained() else {
            return;
        };
        let one = Trained {
            sum: Addend::Single(vec![(5.0, vec![1.0, -2.0, 0.5].into())]),
            ..one
        };
        let term = |client| ClientTerm {
            client: ClientId(client),
            lanes: vec![(client as f64, vec![0.25, -1.5, 2.0].into())],
        };
        let each = Trained {
            sum: Addend::Each(vec![term(4), term(2)]),
            ..one.clone()
        };
        let payloads = [
            trained(),
            Payload::Trained(one),
            Payload::Trained(each),
            Payload::Scored {
                scores: vec![(ClientId(1), 0.5)],
                samples: 3,
            },
            Payload::Evaluated {
                probe: Probe::Test,
                tally,
            },
            Payload::Expert {
                params: vec![1.0].into(),
                scores: Default::default(),
            },
        ];
        for payload in payloads {
            let bytes = encode(&payload, &[7, 8]).bytes.bytes;
            let upload = read(&bytes).unwrap();
            assert_eq!(
                (&upload.payload, &upload.micros[..]),
                (&payload, &[7, 8][..])
            );
            for cut in 0..bytes.len() {
                assert!(read(&bytes[..cut]).is_err(), "{cut} of {payload:?}");
            }
            let long = [&bytes[..], &[0]].concat();
            assert!(read(&long).is_err(), "{payload:?}");
        }
    }

    /// Reports hold text, and a text's length is believed: they may be read only one by one, within their limit.
    #[test]
    fn a_result_of_one_kind_is_not_read_as_another() {
        let smuggled = codec::encode(&trained());
        for kind in [SCORED, EXPERT, EVALUATED] {
            let mut bytes = vec![kind];
            bytes.extend(0_u64.to_le_bytes());
            bytes.extend(&smuggled);
            assert!(read(&bytes).is_err(), "{kind}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_and_a_huge_length_takes_no_memory() {
        let Payload::Trained(mut trained) = trained() else {
            return;
        };
        trained.reports[0].outcome = Outcome::Refused("ä".repeat(REPORT));
        assert!(read_body(&encode(&Payload::Trained(trained), &[])).is_ok());
        let mut huge = vec![TRAINED];
        huge.extend([0xff; 16]);
        assert_eq!(read(&huge), Err(BodyError::Short));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_flipped_bit_never_panics(at in 0_usize..10_000, bit in 0_u8..8) {
            let mut bytes = encode(&trained(), &[1]).bytes.bytes.to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let _ = read(&bytes);
        }
    }
}
