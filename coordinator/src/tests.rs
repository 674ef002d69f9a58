//! Lists of outputs, with a model of two numbers and clients that answer by hand.

mod flights;
mod rounds;

use crate::{Input, InputError, Output, Plan, RoundMachine};
use lyceum_core::{
    Addend, AnySelector, AnyStrategy, Assignment, Calendar, ClientId, ClientReport, Contribution,
    DataRef, Event, ExactSum, ExpertScores, Fingerprint, Folded, Lane, Layout, Outcome, Params,
    Payload, Probe, Roster, Round, Seed, Stall, Strategy, StreamRules, Tally, Task, TaskId,
    TaskStream, Ticket, Time, Trained, UnitId, Upload, Visit, Work,
    units::{Count, Misfit},
};
use lyceum_strategies::{
    aggregation::FedAvg,
    selection::{All, Difficulty, Uniform},
};
use std::sync::Arc;

struct Clients(u64);

impl Roster for Clients {
    fn clients(&self) -> u64 {
        self.0
    }
    fn samples(&self, client: ClientId) -> usize {
        client.0 as usize + 1
    }
}

fn machine_with(selector: Arc<dyn AnySelector>, rounds: u64, dropout: f64) -> RoundMachine {
    machine_in(None, selector, rounds, dropout)
}

fn machine_in(
    stream: Option<Arc<TaskStream>>,
    selector: Arc<dyn AnySelector>,
    rounds: u64,
    dropout: f64,
) -> RoundMachine {
    machine_of(
        Arc::new(FedAvg::default()),
        stream,
        selector,
        rounds,
        dropout,
    )
}

fn machine_of(
    strategy: Arc<dyn AnyStrategy>,
    stream: Option<Arc<TaskStream>>,
    selector: Arc<dyn AnySelector>,
    rounds: u64,
    dropout: f64,
) -> RoundMachine {
    let plan = Plan {
        rounds,
        seed: Seed(1),
        dropout,
        evaluate_every: 2,
        probes: vec![(Probe::Test, 3)],
        classes: 2,
        contribution: Contribution {
            lanes: vec![Lane::INTEGER],
            layout: Layout::weights(2),
            ..Contribution::default()
        },
        transforms: Default::default(),
        alone_from: ClientId(u64::MAX),
        schedule: Arc::new(crate::Synchronous(None)),
        stream,
        judges_ahead: true,
        judges_before: false,
        given: Vec::new(),
        prior: None,
        steering: None,
        attendance: Default::default(),
        changes: Vec::new(),
        phases: Vec::new(),
    };
    let global = Params::from(vec![0.0, 0.0]);
    let roster: Arc<dyn Roster> = Arc::new(Clients(3));
    let selector = selector.start(roster.clone(), rounds);
    RoundMachine::new(
        plan,
        roster,
        strategy.start(&global, &Layout::weights(2)),
        selector,
        global,
        Fingerprint::default(),
    )
}

/// One task, which comes to each client in the round of its number.
fn late_comers(clients: u64) -> Arc<TaskStream> {
    let visit = |begins| Visit {
        task: TaskId(0),
        place: 0,
        begins,
        ends: 100,
    };
    let task = Task {
        name: "only".into(),
        train: lyceum_core::Members::All,
        probe: [0, 1, 2].into(),
        classes: [0, 1].into(),
        lens: Default::default(),
    };
    let calendar = Calendar::Each((0..clients).map(|c| [visit(c)].into()).collect());
    let rules = StreamRules::default();
    let stream = TaskStream::new(vec![task], calendar, [visit(0)].into(), rules, Seed(1));
    Arc::new(stream)
}

fn machine(rounds: u64) -> RoundMachine {
    machine_with(Arc::new(All {}), rounds, 0.0)
}

fn drain(machine: &mut RoundMachine) -> Vec<Output> {
    std::iter::from_fn(|| machine.poll()).collect()
}

fn assignments(outputs: &[Output]) -> Vec<Assignment> {
    let assigned = |o: &Output| match o {
        Output::Assign(a) => Some(a.clone()),
        _ => None,
    };
    outputs.iter().filter_map(assigned).collect()
}

/// Every client moves by (id, 1), weighted by its samples (id + 1); clients in `bad` are refused.
fn answer(assignment: &Assignment, bad: &[u64]) -> Upload {
    let clients = || {
        assignment.jobs.iter().map(|job| match job.data {
            DataRef::Shard(client) => client,
            other => panic!("{other:?} has no client"),
        })
    };
    let payload = match assignment.work {
        Work::Train => {
            let mut sum = ExactSum::new(&[Lane::INTEGER], 2);
            let report = |client: ClientId| {
                let refused = bad.contains(&client.0);
                if !refused {
                    sum.add(0, client.0 as f64 + 1.0, &[client.0 as f32, 1.0])
                        .unwrap();
                }
                let outcome = if refused {
                    Outcome::Refused("bad".into())
                } else {
                    Outcome::Accepted
                };
                ClientReport {
                    outcome,
                    ..ClientReport::dropped_out(client, client.0 + 1, 8)
                }
            };
            let reports = clients().map(report).collect();
            Payload::Trained(Trained {
                sum: sum.into(),
                reports,
                states: vec![],
            })
        }
        Work::Score => Payload::Scored {
            scores: clients().map(|c| (c, -(c.0 as f32))).collect(),
            samples: 1,
        },
        Work::Evaluate => {
            let mut tally = Tally::new(2);
            tally.add(0, true, 0.5);
            let DataRef::Probe { probe, .. } = assignment.jobs[0].data else {
                panic!("{:?} is no probe", assignment.jobs[0].data);
            };
            Payload::Evaluated { probe, tally }
        }
        Work::Expert => panic!("the machine trains no expert"),
    };
    Upload {
        ticket: assignment.ticket,
        units: vec![assignment.unit],
        payload,
        micros: vec![],
    }
}

fn upload(machine: &mut RoundMachine, upload: Upload) {
    machine.handle(Time(0), Input::Upload(upload)).unwrap();
}

/// Answers everything until the round is over; returns all outputs.
fn play(machine: &mut RoundMachine, bad: &[u64], reverse: bool) -> Vec<Output> {
    machine.handle(Time(0), Input::NextRound).unwrap();
    let mut all = Vec::new();
    loop {
        let outputs = drain(machine);
        let mut units = assignments(&outputs);
        all.extend(outputs);
        if units.is_empty() {
            return all;
        }
        if reverse {
            units.reverse();
        }
        units.iter().for_each(|a| upload(machine, answer(a, bad)));
    }
}

/// Mean of (0, 1), (1, 1), (2, 1) with weights 1, 2, 3: (0*1 + 1*2 + 2*3) / 6 = 8/6.
#[test]
fn before_there_are_clients_the_expert_is_a_stage_without_a_round() {
    let assignment = Assignment {
        ticket: Ticket(0),
        round: Round(0),
        unit: UnitId(u64::MAX),
        work: Work::Expert,
        facts: Default::default(),
        model: "global".into(),
        global: Params::zeros(2),
        vectors: vec![],
        jobs: vec![],
    };
    let found = Payload::Expert {
        params: Params::from(vec![1.0, 2.0]),
        scores: ExpertScores {
            losses: vec![0.5],
            errors: vec![0.25],
        },
    };
    let upload = |unit, payload| {
        Input::Upload(Upload {
            ticket: Ticket(0),
            units: vec![UnitId(unit)],
            payload,
            micros: vec![],
        })
    };
    let mut machine = RoundMachine::prelude(assignment.clone());
    let said = |machine: &mut RoundMachine| -> Vec<Output> {
        std::iter::from_fn(|| machine.poll()).collect()
    };
    machine.handle(Time(0), Input::NextRound).unwrap();
    assert_eq!(said(&mut machine), [Output::Assign(assignment)]);
    let scored = Payload::Scored {
        scores: vec![],
        samples: 0,
    };
    for other in [upload(u64::MAX, scored), upload(3, found.clone())] {
        machine.handle(Time(0), other).unwrap();
        assert_eq!(said(&mut machine), []);
    }
    let answer = upload(u64::MAX, found.clone());
    machine.handle(Time(0), answer.clone()).unwrap();
    assert_eq!(
        said(&mut machine),
        [Output::Expert(found), Output::Finished]
    );
    machine.handle(Time(0), answer).unwrap();
    assert_eq!(said(&mut machine), []);
    assert!(machine.is_prelude() && machine.is_complete());
}

#[test]
fn a_round_assigns_collects_and_closes() {
    let mut machine = machine(2);
    machine.handle(Time(0), Input::NextRound).unwrap();
    let outputs = drain(&mut machine);
    assert_eq!(
        outputs[0],
        Output::Event(Event::RoundStarted {
            round: Round(0),
            cohort: 3,
            model: None,
        })
    );
    let units = assignments(&outputs);
    assert_eq!(units.len(), 3);
    assert_eq!(outputs.len(), 4);
    assert!(
        units
            .iter()
            .all(|a| a.ticket == Ticket(0) && a.work == Work::Train && a.jobs.len() == 1)
    );
    upload(&mut machine, answer(&units[0], &[]));
    upload(&mut machine, answer(&units[1], &[]));
    assert_eq!(drain(&mut machine), []);
    upload(&mut machine, answer(&units[2], &[]));
    let outputs = drain(&mut machine);
    let kinds: Vec<_> = outputs.iter().map(kind).collect();
    assert_eq!(kinds, ["client", "client", "client", "closed", "over"]);
    assert_eq!(machine.global()[..], [8.0 / 6.0, 1.0]);
    assert_eq!(machine.rounds_done(), 1);
}

fn kind(output: &Output) -> &'static str {
    match output {
        Output::Assign(_) => "assign",
        Output::Event(Event::Client { .. }) => "client",
        Output::Event(Event::RoundClosed { .. }) => "closed",
        Output::Event(Event::RoundStarted { .. }) => "started",
        Output::Event(Event::ClientsScored { .. }) => "scored",
        Output::Event(Event::Evaluated { .. }) => "evaluated",
        Output::Event(Event::RunFinished { .. }) => "run finished",
        Output::Event(Event::RoundSkipped { .. }) => "skipped",
        Output::Event(_) => "event",
        Output::Best(_) => "best",
        Output::Expert(_) => "expert",
        Output::RoundOver(_) => "over",
        Output::Finished => "finished",
        Output::Stalled(_) => "stalled",
    }
}

#[test]
fn evaluation_follows_every_second_round_and_then_the_run_ends() {
    let mut machine = machine(2);
    assert!(
        !play(&mut machine, &[], false)
            .iter()
            .any(|o| kind(o) == "evaluated")
    );
    let second: Vec<_> = play(&mut machine, &[], false).iter().map(kind).collect();
    assert_eq!(
        second[second.len() - 4..],
        ["closed", "assign", "evaluated", "over"]
    );
    machine.handle(Time(0), Input::NextRound).unwrap();
    assert_eq!(
        drain(&mut machine).iter().map(kind).collect::<Vec<_>>(),
        ["run finished", "finished"]
    );
    assert_eq!(
        machine.handle(Time(0), Input::NextRound),
        Err(InputError::NotBetween)
    );
}

#[test]
fn delay_and_disorder_never_change_the_model() {
    let (mut forward, mut backward) = (machine(2), machine(2));
    for _ in 0..2 {
        play(&mut forward, &[], false);
        play(&mut backward, &[], true);
    }
    assert_eq!(forward.fingerprint(), backward.fingerprint());
    assert_eq!(forward.global(), backward.global());
}

#[test]
fn repeated_late_and_foreign_uploads_are_ignored() {
    let mut once = machine(2);
    play(&mut once, &[], false);
    let mut twice = machine(2);
    twice.handle(Time(0), Input::NextRound).unwrap();
    let units = assignments(&drain(&mut twice));
    for unit in &units {
        upload(&mut twice, answer(unit, &[]));
        upload(&mut twice, answer(unit, &[]));
    }
    drain(&mut twice);
    upload(&mut twice, answer(&units[0], &[]));
    upload(
        &mut twice,
        Upload {
            units: vec![UnitId(99)],
            ..answer(&units[0], &[])
        },
    );
    upload(
        &mut twice,
        Upload {
            ticket: Ticket(7),
            ..answer(&units[0], &[])
        },
    );
    assert_eq!(drain(&mut twice), []);
    assert_eq!(once.fingerprint(), twice.fingerprint());
}

/// Two units summed together by one worker; then one of them again, alone and beside another.
#[test]
fn units_that_were_summed_together_count_once_or_not_at_all() {
    let (mut apart, mut joined) = (machine(1), machine(1));
    for machine in [&mut apart, &mut joined] {
        machine.handle(Time(0), Input::NextRound).unwrap();
    }
    let units = assignments(&drain(&mut joined));
    drain(&mut apart);
    for unit in &units {
        upload(&mut apart, answer(unit, &[]));
    }
    let together = |units: &[Assignment]| {
        let mut first = answer(&units[0], &[]);
        for unit in &units[1..] {
            let (Payload::Trained(sum), Payload::Trained(more)) =
                (&mut first.payload, answer(unit, &[]).payload)
            else {
                panic!("training units are trained");
            };
            let Addend::Sum(all) = &mut sum.sum else {
                panic!("these are sums");
            };
            more.sum.add_to(all).unwrap();
            sum.reports.extend(more.reports);
            first.units.push(unit.unit);
        }
        first
    };
    assert!(units.len() > 2, "three units are needed");
    upload(&mut joined, together(&[units[0].clone(), units[0].clone()]));
    upload(&mut joined, together(&units[..2]));
    upload(&mut joined, answer(&units[1], &[]));
    upload(&mut joined, together(&units[1..]));
    upload(&mut joined, together(&units[2..]));
    assert_eq!(drain(&mut joined), drain(&mut apart));
    assert_eq!(joined.fingerprint(), apart.fingerprint());
}

#[test]
fn a_sum_of_another_shape_is_an_error_and_changes_nothing() {
    let mut machine = machine(1);
    machine.handle(Time(0), Input::NextRound).unwrap();
    let units = assignments(&drain(&mut machine));
    let payload = Payload::Trained(Trained {
        sum: ExactSum::new(&[Lane::INTEGER], 3).into(),
        reports: vec![],
        states: vec![],
    });
    let wrong = Upload {
        payload,
        ..answer(&units[0], &[])
    };
    assert!(matches!(
        machine.handle(Time(0), Input::Upload(wrong)),
        Err(InputError::Sum {
            unit: 0,
            round: 0,
            ..
        })
    ));
    units
        .iter()
        .for_each(|a| upload(&mut machine, answer(a, &[])));
    assert_eq!(machine.global()[..], [8.0 / 6.0, 1.0]);
}

/// Without client 1: (0*1 + 2*3) / 4 = 1.5.
#[test]
fn refused_clients_are_left_out_and_a_round_of_refusals_stalls() {
    let mut machine = machine(2);
    let outputs = play(&mut machine, &[1], false);
    assert_eq!(machine.global()[..], [1.5, 1.0]);
    let closed = |o: &Output| {
        matches!(
            o,
            Output::Event(Event::RoundClosed {
                accepted: 2,
                refused: 1,
                ..
            })
        )
    };
    assert!(outputs.iter().any(closed));
    let outputs = play(&mut machine, &[0, 1, 2], false);
    assert_eq!(kind(outputs.last().unwrap()), "stalled");
    assert_eq!(machine.global()[..], [1.5, 1.0]);
}

/// The mean of at least three updates.
struct OfThree;

impl Strategy for OfThree {
    type State = u64;

    fn init(&self, _: &Params) -> u64 {
        0
    }

    fn short_of(&self, updates: usize) -> Option<Misfit> {
        (updates < 3).then(|| Misfit {
            key: String::new(),
            message: format!("{updates} are no three"),
            expected: String::new(),
        })
    }

    fn close(
        &self,
        rounds: &mut u64,
        global: &mut Params,
        folded: &Folded<'_>,
    ) -> Result<(), Stall> {
        *rounds += 1;
        *global = folded.sum.mean(0).into();
        Ok(())
    }
}

#[test]
fn a_round_with_too_few_updates_for_the_strategy_is_skipped_and_the_run_goes_on() {
    let new = || machine_of(Arc::new(OfThree), None, Arc::new(All {}), 3, 0.0);
    let mut machine = new();
    let before = machine.fingerprint();
    let outputs = play(&mut machine, &[1], false);
    let kinds: Vec<_> = outputs.iter().map(kind).collect();
    let expected = ["skipped", "client", "client", "client", "closed", "over"];
    assert_eq!(kinds[kinds.len() - 6..], expected);
    let skipped = Event::RoundSkipped {
        round: Round(0),
        reason: "2 are no three".into(),
    };
    assert!(outputs.contains(&Output::Event(skipped)));
    assert_eq!(machine.global()[..], [0.0, 0.0]);
    assert_ne!(machine.fingerprint(), before);
    let mut resumed = new();
    resumed.restore(machine.snapshot().unwrap()).unwrap();
    for machine in [&mut machine, &mut resumed] {
        play(machine, &[], false);
        assert_eq!(machine.global()[..], [8.0 / 6.0, 1.0]);
    }
    assert_eq!(machine.fingerprint(), resumed.fingerprint());
}

#[test]
fn a_round_in_which_nobody_answers_leaves_the_model_as_it_is() {
    let mut machine = machine_with(Arc::new(All {}), 1, 1.0);
    let kinds: Vec<_> = play(&mut machine, &[], false).iter().map(kind).collect();
    let closed = ["started", "client", "client", "client", "closed", "over"];
    assert_eq!(kinds, closed);
    let kinds: Vec<_> = play(&mut machine, &[], false).iter().map(kind).collect();
    assert_eq!(kinds[..2], ["assign", "evaluated"]);
    assert_eq!(machine.global()[..], [0.0, 0.0]);
}

#[test]
fn a_selector_that_wants_scores_gets_a_stage_of_its_own() {
    let difficulty = Difficulty::new(lyceum_core::units::Count::new(1).unwrap());
    let mut machine = machine_with(Arc::new(difficulty), 3, 0.0);
    let kinds: Vec<_> = play(&mut machine, &[], false).iter().map(kind).collect();
    assert_eq!(
        kinds,
        [
            "assign", "assign", "assign", "scored", "started", "assign", "client", "closed", "over"
        ]
    );
    // Client 2 has the lowest score; a pool of one (linear pace, 0.2 of 3 clients) is the easiest client.
    assert_eq!(machine.global()[..], [2.0, 1.0]);
}

#[test]
fn a_restored_machine_goes_on_as_if_nothing_had_happened() {
    let mut whole = machine(4);
    (0..4).for_each(|_| drop(play(&mut whole, &[], false)));
    let mut first = machine(4);
    (0..2).for_each(|_| drop(play(&mut first, &[], false)));
    let saved = lyceum_core::codec::encode(&first.snapshot().unwrap());
    let mut second = machine(4);
    second
        .restore(lyceum_core::codec::decode(&saved).unwrap())
        .unwrap();
    (0..2).for_each(|_| drop(play(&mut second, &[], true)));
    assert_eq!(whole.fingerprint(), second.fingerprint());
    assert!(machine(1).snapshot().is_some());
    let mut busy = machine(1);
    busy.handle(Time(0), Input::NextRound).unwrap();
    assert!(busy.snapshot().is_none());
}

#[test]
fn absent_clients_give_their_places_to_others_that_are_there() {
    let per_round = Count::new(2).unwrap();
    let uniform = Arc::new(Uniform { per_round });
    let mut machine = machine_in(Some(late_comers(3)), uniform, 40, 0.0);
    let mut seen = [0; 3];
    for round in 0..40 {
        let outputs = play(&mut machine, &[], false);
        let units = assignments(&outputs).into_iter();
        let train = units.filter(|a| a.work == Work::Train);
        let cohort: Vec<u64> = train
            .flat_map(|a| a.jobs)
            .map(|job| match job.data {
                DataRef::Shard(client) => client.0,
                other => panic!("{other:?} has no client"),
            })
            .collect();
        assert_eq!(cohort.len(), 2.min(round + 1), "round {round}");
        assert!(cohort.iter().all(|&client| client <= round as u64));
        cohort.iter().for_each(|&client| seen[client as usize] += 1);
    }
    assert!(seen.iter().all(|&n| n > 15), "{seen:?}");
}
