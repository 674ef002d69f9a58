//! Lists of steps, and workers that ask in any order.

use super::{CrewEvent, CrewMachine, Failure, Handing, Step};
use lyceum_core::{
    Addend, Assignment, ExactSum, Lane, Params, Payload, Purpose, Round, Seed, Ticket, Trained,
    UnitId, Upload, Work,
};
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};

fn unit(id: u64) -> Assignment {
    Assignment {
        ticket: Ticket(0),
        round: Round(0),
        unit: UnitId(id),
        work: Work::Train,
        facts: Default::default(),
        model: "global".into(),
        global: Params::zeros(1),
        vectors: vec![],
        jobs: vec![],
    }
}

fn probe(id: u64) -> Assignment {
    Assignment {
        work: Work::Evaluate,
        ..unit(id)
    }
}

/// The sum of units, each of weight 1.
fn sum(units: &[u64]) -> Upload {
    let mut sum = ExactSum::new(&[Lane::INTEGER], 1);
    for unit in units {
        sum.add(0, 1.0, &[*unit as f32]).unwrap();
    }
    Upload {
        ticket: Ticket(0),
        units: units.iter().copied().map(UnitId).collect(),
        payload: Payload::Trained(Trained {
            sum: sum.into(),
            reports: vec![],
            states: vec![],
        }),
        micros: vec![],
    }
}

/// Weight and mean of a sum.
fn worth(upload: &Upload) -> (f64, f32) {
    match &upload.payload {
        Payload::Trained(Trained {
            sum: Addend::Sum(sum),
            ..
        }) => (sum.weight(0), sum.mean(0)[0]),
        other => panic!("{other:?}"),
    }
}

/// What a worker is told, in short.
fn asked(crew: &mut CrewMachine, worker: usize) -> String {
    match crew.next(worker) {
        Step::Begin(unit) => format!("begin {}", unit.unit),
        Step::Add(unit) => format!("add {}", unit.unit),
        Step::HandIn => "hand in".into(),
        Step::LetGo => "let go".into(),
        Step::Wait => "wait".into(),
        Step::Leave => "leave".into(),
    }
}

/// What the crew says, in short.
fn said(crew: &mut CrewMachine) -> Vec<String> {
    let short = |event| match event {
        CrewEvent::Summed {
            generation, unit, ..
        } => format!("{generation}: summed {unit}"),
        CrewEvent::Finished { generation, upload } => {
            let units: Vec<u64> = upload.units.iter().map(|u| u.0).collect();
            format!("{generation}: finished {units:?}")
        }
        CrewEvent::Failed(failure) => failure.to_string(),
    };
    std::iter::from_fn(|| crew.poll()).map(short).collect()
}

fn crew(workers: usize) -> CrewMachine {
    CrewMachine::new(workers, true, Handing::Together)
}

#[test]
fn a_worker_sums_while_units_wait_and_hands_in_when_that_is_wanted() {
    let mut crew = crew(1);
    assert_eq!(asked(&mut crew, 0), "wait");
    crew.work(1, unit(5));
    crew.work(1, unit(6));
    assert_eq!(asked(&mut crew, 0), "begin 5");
    assert_eq!(said(&mut crew), [""; 0]);
    assert_eq!(asked(&mut crew, 0), "add 6");
    assert_eq!(asked(&mut crew, 0), "wait");
    assert_eq!(asked(&mut crew, 0), "wait");
    assert_eq!(said(&mut crew), ["1: summed 5", "1: summed 6"]);
    crew.flush(1, true);
    assert_eq!(asked(&mut crew, 0), "hand in");
    crew.hand_in(0, sum(&[5, 6]));
    assert_eq!(said(&mut crew), ["1: finished [5, 6]"]);
    assert_eq!(asked(&mut crew, 0), "wait");
}

#[test]
fn the_last_sum_makes_the_upload_of_all_workers() {
    let mut crew = crew(2);
    crew.work(1, unit(1));
    crew.work(1, unit(2));
    asked(&mut crew, 0);
    asked(&mut crew, 1);
    crew.flush(1, true);
    assert_eq!(asked(&mut crew, 0), "hand in");
    crew.hand_in(0, sum(&[1]));
    assert_eq!(said(&mut crew), ["1: summed 1"]);
    assert_eq!(asked(&mut crew, 1), "hand in");
    crew.hand_in(1, sum(&[2]));
    let uploads = std::iter::from_fn(|| crew.poll()).filter_map(|event| match event {
        CrewEvent::Finished { upload, .. } => Some(upload),
        _ => None,
    });
    let uploads: Vec<_> = uploads.map(|upload| worth(&upload)).collect();
    assert_eq!(uploads, [(2.0, 1.5)]);
}

#[test]
fn a_sum_goes_before_units_of_another_generation_and_is_kept_until_it_is_wanted() {
    let mut crew = crew(1);
    crew.work(1, unit(1));
    asked(&mut crew, 0);
    crew.work(2, unit(9));
    crew.work(1, unit(2));
    // What is of its own generation comes first.
    assert_eq!(asked(&mut crew, 0), "add 2");
    assert_eq!(asked(&mut crew, 0), "hand in");
    crew.hand_in(0, sum(&[1, 2]));
    assert_eq!(asked(&mut crew, 0), "begin 9");
    assert_eq!(said(&mut crew), ["1: summed 1", "1: summed 2"]);
    crew.flush(1, true);
    assert_eq!(said(&mut crew), ["1: finished [1, 2]"]);
    assert_eq!(asked(&mut crew, 0), "wait");
}

#[test]
fn a_sum_that_is_wanted_waits_for_no_more_than_the_units_of_its_generation() {
    let mut crew = crew(1);
    crew.work(1, unit(1));
    crew.work(1, probe(2));
    crew.work(2, unit(9));
    crew.flush(1, true);
    asked(&mut crew, 0);
    assert_eq!(asked(&mut crew, 0), "hand in");
    crew.hand_in(0, sum(&[1]));
    assert_eq!(asked(&mut crew, 0), "begin 2");
    assert_eq!(asked(&mut crew, 0), "hand in");
    assert_eq!(said(&mut crew), ["1: summed 1"]);
    crew.hand_in(0, sum(&[2]));
    assert_eq!(said(&mut crew), ["1: finished [2]", "1: finished [1]"]);
    assert_eq!(asked(&mut crew, 0), "begin 9");
}

#[test]
fn clearing_voids_one_generation_alone() {
    let mut crew = crew(2);
    for (generation, id) in [(1, 1), (2, 2), (1, 3), (2, 4)] {
        crew.work(generation, unit(id));
    }
    assert_eq!(asked(&mut crew, 0), "begin 1");
    assert_eq!(asked(&mut crew, 1), "begin 3");
    crew.clear(1);
    assert_eq!(asked(&mut crew, 0), "let go");
    // One that was just handing in.
    crew.hand_in(1, sum(&[3]));
    assert_eq!(asked(&mut crew, 0), "begin 2");
    assert_eq!(asked(&mut crew, 1), "begin 4");
    crew.flush(2, true);
    crew.hand_in(0, sum(&[2]));
    crew.hand_in(1, sum(&[4]));
    assert_eq!(said(&mut crew), ["2: finished [2, 4]"]);
    assert_eq!(crew.waiting(), 0);
}

#[test]
fn a_generation_that_begins_does_not_flush_because_one_before_did() {
    let mut crew = crew(1);
    crew.work(1, unit(1));
    crew.flush(1, true);
    crew.clear(1);
    crew.work(2, unit(2));
    assert_eq!(asked(&mut crew, 0), "begin 2");
    assert_eq!(asked(&mut crew, 0), "wait");
}

#[test]
fn what_is_not_summed_is_handed_in_by_itself_as_soon_as_it_is_there() {
    let mut crew = crew(1);
    crew.work(1, probe(1));
    crew.work(1, probe(2));
    assert_eq!(asked(&mut crew, 0), "begin 1");
    assert_eq!(asked(&mut crew, 0), "hand in");
    crew.hand_in(0, sum(&[1]));
    assert_eq!(said(&mut crew), ["1: finished [1]"]);
    let mut single = CrewMachine::new(1, false, Handing::Together);
    single.work(1, unit(1));
    single.work(1, unit(2));
    assert_eq!(asked(&mut single, 0), "begin 1");
    assert_eq!(asked(&mut single, 0), "hand in");
}

#[test]
fn apart_each_worker_hands_in_when_nothing_waits_and_says_no_more_than_that() {
    let mut crew = CrewMachine::new(2, true, Handing::Apart);
    for id in 1..=3 {
        crew.work(1, unit(id));
    }
    assert_eq!(asked(&mut crew, 0), "begin 1");
    assert_eq!(asked(&mut crew, 1), "begin 2");
    assert_eq!(asked(&mut crew, 0), "add 3");
    assert_eq!(asked(&mut crew, 1), "hand in");
    crew.hand_in(1, sum(&[2]));
    assert_eq!(said(&mut crew), ["1: finished [2]"]);
    assert_eq!(asked(&mut crew, 0), "hand in");
    crew.hand_in(0, sum(&[1, 3]));
    assert_eq!(said(&mut crew), ["1: finished [1, 3]"]);
}

#[test]
fn a_crew_that_is_closed_leaves_and_takes_nothing() {
    let mut crew = crew(2);
    crew.work(1, unit(1));
    asked(&mut crew, 0);
    crew.close();
    crew.work(1, unit(2));
    for worker in 0..2 {
        assert_eq!(asked(&mut crew, worker), "let go");
        assert_eq!(asked(&mut crew, worker), "leave");
    }
    crew.hand_in(0, sum(&[1]));
    assert_eq!(said(&mut crew), [""; 0]);
}

#[test]
fn what_fails_is_said() {
    let mut crew = crew(1);
    crew.work(1, unit(1));
    asked(&mut crew, 0);
    crew.fail(0, Failure::Panic("no samples".into()));
    assert_eq!(said(&mut crew), ["a worker panicked: no samples"]);
}

/// Workers that ask in an order that is drawn, and what has come of their units.
struct Draw {
    crew: CrewMachine,
    hands: Vec<Vec<u64>>,
    finished: BTreeMap<u64, Vec<u64>>,
}

impl Draw {
    fn ask(&mut self, worker: usize) {
        match self.crew.next(worker) {
            Step::Begin(unit) => {
                assert_eq!(self.hands[worker], [0; 0]);
                self.hands[worker].push(unit.unit.0);
            }
            Step::Add(unit) => self.hands[worker].push(unit.unit.0),
            Step::LetGo => self.hands[worker].clear(),
            Step::HandIn => {
                let units = std::mem::take(&mut self.hands[worker]);
                self.crew.hand_in(worker, sum(&units));
            }
            Step::Wait | Step::Leave => {}
        }
        while let Some(event) = self.crew.poll() {
            if let CrewEvent::Finished { generation, upload } = event {
                let units: Vec<u64> = upload.units.iter().map(|u| u.0).collect();
                // All of its units are in the sum, and nothing else.
                assert_eq!(worth(&upload), worth(&sum(&units)));
                self.finished.entry(generation).or_default().extend(units);
            }
        }
    }
}

#[test]
fn whatever_the_order_every_unit_comes_back_once_in_a_sum_of_its_generation() {
    for seed in 0..300 {
        let mut rng = Seed(seed).stream(Purpose::named("lyceum.test"), Ticket(0), None);
        let workers = rng.random_range(1..4_u32) as usize;
        let mut draw = Draw {
            crew: crew(workers),
            hands: vec![vec![]; workers],
            finished: BTreeMap::new(),
        };
        let mut given: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut void = BTreeSet::new();
        for id in 0..40 {
            let generation = rng.random_range(1..4_u64);
            match rng.random_range(0..10_u32) {
                0 => draw.crew.flush(generation, rng.random()),
                1 if generation == 2 => {
                    draw.crew.clear(2);
                    void.insert(2);
                }
                _ if void.contains(&generation) => {}
                _ => {
                    // Where a probe waits for what somebody asked again, sums are not to be forgotten.
                    let work = if id % 7 == 0 { probe(id) } else { unit(id) };
                    draw.crew.work(generation, work);
                    given.entry(generation).or_default().push(id);
                }
            }
            let worker = rng.random_range(0..workers as u32) as usize;
            (0..2).for_each(|_| draw.ask(worker));
        }
        for generation in [1, 3] {
            draw.crew.flush(generation, true);
        }
        for worker in (0..workers).cycle().take(200) {
            draw.ask(worker);
        }
        for generation in [1, 3] {
            let mut back = draw.finished.remove(&generation).unwrap_or_default();
            back.sort_unstable();
            let given = given.remove(&generation).unwrap_or_default();
            assert_eq!(back, given, "seed {seed}, generation {generation}");
        }
    }
}
