//! The line of one client's report. Nine of ten lines of a long log are such, and a round of many small clients waits
//! for them: they are written and read without the detour over [`Event`]'s general form, to and from the same bytes.
//!
//! [`Event`]: lyceum_core::Event

use lyceum_core::{ClientId, ClientReport, Outcome, Round, TaskId};
use serde::{Deserialize, Serialize};

/// How such a line begins.
const BEGIN: &[u8] = b"{\"event\":\"client\"";

/// Appends the line, without its line break.
pub(crate) fn write(
    line: &mut Vec<u8>,
    round: Round,
    report: &ClientReport,
) -> serde_json::Result<()> {
    let ClientReport {
        client,
        outcome,
        samples,
        trained,
        scored,
        steps,
        first_loss,
        last_loss,
        rms_loss,
        difficulty,
        bytes_down,
        bytes_up,
        task,
        local_accuracy,
        personal_accuracy,
        received_accuracy,
    } = report;
    line.extend_from_slice(BEGIN);
    field(line, b",\"round\":", &round)?;
    field(line, b",\"client\":", client)?;
    field(line, b",\"outcome\":", outcome)?;
    field(line, b",\"samples\":", samples)?;
    field(line, b",\"trained\":", trained)?;
    field(line, b",\"scored\":", scored)?;
    field(line, b",\"steps\":", steps)?;
    field(line, b",\"first_loss\":", first_loss)?;
    field(line, b",\"last_loss\":", last_loss)?;
    field(line, b",\"rms_loss\":", rms_loss)?;
    field(line, b",\"difficulty\":", difficulty)?;
    field(line, b",\"bytes_down\":", bytes_down)?;
    field(line, b",\"bytes_up\":", bytes_up)?;
    field(line, b",\"task\":", task)?;
    field(line, b",\"local_accuracy\":", local_accuracy)?;
    field(line, b",\"personal_accuracy\":", personal_accuracy)?;
    field(line, b",\"received_accuracy\":", received_accuracy)?;
    line.push(b'}');
    Ok(())
}

#[inline(always)]
fn field<const N: usize>(
    line: &mut Vec<u8>,
    key: &[u8; N],
    value: &impl Serialize,
) -> serde_json::Result<()> {
    line.extend_from_slice(key);
    serde_json::to_writer(line, value)
}

/// What such a line says; `None` for any other line, and where something is wrong with it. The line is as it was again
/// afterwards.
pub(crate) fn read(line: &mut [u8]) -> Option<(Round, ClientReport)> {
    let rest = line.strip_prefix(BEGIN)?;
    let at = BEGIN.len();
    if rest.first() != Some(&b',') {
        return None;
    }
    line[at] = b'{';
    let read = serde_json::from_slice::<Line>(&line[at..]);
    line[at] = b',';
    read.ok().map(Line::into_report)
}

/// The fields of [`ClientReport`], and the round.
#[derive(Deserialize)]
struct Line {
    round: Round,
    client: ClientId,
    outcome: Outcome,
    samples: u64,
    trained: u64,
    scored: u64,
    steps: u64,
    first_loss: Option<f32>,
    last_loss: Option<f32>,
    rms_loss: f32,
    difficulty: Option<f32>,
    bytes_down: u64,
    bytes_up: u64,
    task: Option<TaskId>,
    local_accuracy: Option<f64>,
    #[serde(default)]
    personal_accuracy: Option<f64>,
    #[serde(default)]
    received_accuracy: Option<f64>,
}

impl Line {
    fn into_report(self) -> (Round, ClientReport) {
        let report = ClientReport {
            client: self.client,
            outcome: self.outcome,
            samples: self.samples,
            trained: self.trained,
            scored: self.scored,
            steps: self.steps,
            first_loss: self.first_loss,
            last_loss: self.last_loss,
            rms_loss: self.rms_loss,
            difficulty: self.difficulty,
            bytes_down: self.bytes_down,
            bytes_up: self.bytes_up,
            task: self.task,
            local_accuracy: self.local_accuracy,
            personal_accuracy: self.personal_accuracy,
            received_accuracy: self.received_accuracy,
        };
        (self.round, report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::Event;
    use proptest::{option, prelude::*};

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Accepted),
            Just(Outcome::DroppedOut),
            any::<String>().prop_map(Outcome::Refused),
        ]
    }

    fn finite() -> impl Strategy<Value = f32> {
        any::<f32>().prop_map(|x| if x.is_finite() { x } else { 0.5 })
    }

    prop_compose! {
        fn report()(
            outcome in outcome(),
            counts in any::<[u64; 7]>(),
            losses in [option::of(finite()), option::of(finite()), option::of(finite())],
            rms_loss in any::<f32>(),
            task in option::of(any::<u32>()),
            accuracies in [option::of(0.0..1.0), option::of(0.0..1.0), option::of(0.0..1.0)],
        ) -> ClientReport {
            let [client, samples, trained, scored, steps, bytes_down, bytes_up] = counts;
            let [first_loss, last_loss, difficulty] = losses;
            let [local_accuracy, personal_accuracy, received_accuracy] = accuracies;
            ClientReport {
                client: ClientId(client),
                outcome,
                samples,
                trained,
                scored,
                steps,
                first_loss,
                last_loss,
                rms_loss,
                difficulty,
                bytes_down,
                bytes_up,
                task: task.map(TaskId),
                local_accuracy,
                personal_accuracy,
                received_accuracy,
            }
        }
    }

    proptest! {
        #[test]
        fn a_line_is_what_the_event_is_written_as_and_comes_back(round: u64, report in report()) {
            let mut line = Vec::new();
            write(&mut line, Round(round), &report).unwrap();
            let event = Event::Client { round: Round(round), report: report.clone() };
            let general = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(std::str::from_utf8(&line).unwrap(), &general);
            let read = read(&mut line);
            prop_assert_eq!(std::str::from_utf8(&line).unwrap(), &general);
            // No number is written as `null`, which the log reads back.
            let expected = report.rms_loss.is_finite().then_some((Round(round), report));
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn other_lines_are_left_to_others() {
        for line in [
            r#"{"event":"paused","rounds":3}"#,
            r#"{"event":"client"}"#,
            r#"{"event":"client","round":1}"#,
            r#"{"event":"clients_scored","round":1}"#,
            "",
        ] {
            let mut bytes = line.as_bytes().to_vec();
            assert_eq!(read(&mut bytes), None);
            assert_eq!(bytes, line.as_bytes());
        }
    }
}
