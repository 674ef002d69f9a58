use super::*;
use crate::continual::lifelong::BlockKind;

fn judged(round: u64, task: u32, accuracy: f64) -> Event {
    Event::Evaluated {
        round: Round(round),
        probe: Probe::Task(TaskId(task)),
        accuracy,
        loss: 0.0,
        samples: 1,
        correct: vec![],
        count: vec![],
        further: Default::default(),
    }
}

fn visit(task: u32, place: u32, begins: u64) -> Visit {
    let task = TaskId(task);
    Visit {
        task,
        place,
        begins,
        ends: begins + 2,
    }
}

fn record() -> StreamRecord {
    let info = |name: &str| TaskInfo {
        name: name.into(),
        classes: vec![],
        probe: 1,
    };
    let trained = |round, task| {
        let mut report = ClientReport::dropped_out(ClientId(3), 7, 0);
        report.outcome = lyceum_core::Outcome::Accepted;
        report.task = Some(TaskId(task));
        Event::Client {
            round: Round(round),
            report,
        }
    };
    let mut record = StreamRecord::default();
    let events = [
        Event::StreamStarted {
            tasks: vec![info("a"), info("b")],
            order: vec![visit(1, 0, 0), visit(0, 1, 2)],
            ends: None,
        },
        judged(0, 1, 0.5),
        trained(1, 0),
        judged(1, 1, 0.9),
        judged(1, 0, 0.1),
        trained(2, 1),
        judged(3, 1, 0.6),
        judged(3, 0, 0.8),
    ];
    events.iter().for_each(|e| record.observe(e));
    record
}

#[test]
fn a_row_is_the_evaluation_at_the_end_of_its_task() {
    let curve = record().curve();
    assert_eq!(curve.tasks, [TaskId(1), TaskId(0)]);
    let want = [[Some(0.9), Some(0.1)], [Some(0.6), Some(0.8)]];
    assert_eq!(curve.rows, want);
    assert_eq!(curve.before, [None, None]);
}

/// Task b is at 0.7 in the middle of its rounds and never judged at their end.
#[test]
fn what_was_not_judged_when_a_task_was_over_is_not_measured() {
    let mut late = record();
    late.judged.remove(&Round(1));
    assert_eq!(late.curve().rows[0], [None, None]);
    let measures = late.measures();
    assert!(measures.contains_key("average_accuracy"));
    assert!(!measures.contains_key("forgetting"), "{measures:?}");
    let said = late.unmeasured().join("\n");
    assert!(
        said.contains("round 1, the last of task `b`, was not judged"),
        "{said}"
    );
    assert!(record().unmeasured().is_empty());
}

/// The last client leaves task b behind round 2 only: the evaluation after round 2 counts.
#[test]
fn with_calendars_of_their_own_a_task_is_over_when_the_last_client_goes_on() {
    let mut own = record();
    own.ends = Some(vec![Some(3), None]);
    own.observe(&judged(2, 1, 0.7));
    own.observe(&judged(2, 0, 0.2));
    assert_eq!(own.curve().rows[0], [Some(0.7), Some(0.2)]);
    own.ends = Some(vec![None, None]);
    assert_eq!(
        own.curve().rows[0],
        [Some(0.6), Some(0.8)],
        "the end of the run"
    );
    own.ends = Some(vec![]);
    assert_eq!(own.curve().rows[0], [None, None]);
    assert_eq!(own.curve().rows[1], [Some(0.6), Some(0.8)]);
    let said = own.unmeasured().join("\n");
    assert!(said.contains("orders of their own"), "{said}");
}

#[test]
fn a_run_is_a_lifetime_of_learning_and_evaluation() {
    let life = record().lifetime();
    let blocks: Vec<_> = life
        .blocks
        .iter()
        .map(|b| (b.number, b.kind, b.task.as_str(), b.experiences.len()))
        .collect();
    let (train, test) = (BlockKind::Train, BlockKind::Test);
    let want = [
        (0, train, "b", 2),
        (1, test, "a", 1),
        (1, test, "b", 1),
        (2, train, "a", 1),
        (3, test, "a", 1),
        (3, test, "b", 1),
    ];
    assert_eq!(blocks, want);
    assert_eq!(life.blocks[0].experiences[1].performance, 90.0);
}

/// The same run, where a gate opened with round 2.
#[test]
fn tasks_that_a_gate_brought_are_where_they_would_be_in_a_calendar() {
    let planned = record();
    let mut gated = StreamRecord {
        order: vec![Visit {
            ends: 4,
            ..visit(1, 0, 0)
        }],
        ..planned.clone()
    };
    assert_eq!(gated.curve().tasks, [TaskId(1)], "the other has not come");
    gated.observe(&Event::TaskBegan(Opening {
        round: Round(2),
        task: TaskId(0),
        place: 1,
        accuracy: 0.99,
        mean: 0.99,
        competent: true,
    }));
    assert_eq!(gated, planned);
}

#[test]
fn a_client_has_a_curve_of_its_own_order() {
    let curve = record().curve_of(ClientId(3));
    let measures = record().measures();
    assert!((measures["average_accuracy"] - 0.7).abs() < 1e-12);
    assert!((measures["forgetting"] - 0.3).abs() < 1e-12);
    assert!((measures["backward_transfer"] + 0.3).abs() < 1e-12);
    assert!(!measures.contains_key("forward_transfer"));
    assert_eq!(curve.tasks, [TaskId(0), TaskId(1)]);
    assert_eq!(curve.rows[0], [Some(0.1), Some(0.9)]);
    assert_eq!(curve.rows[1], [Some(0.8), Some(0.6)]);
}
