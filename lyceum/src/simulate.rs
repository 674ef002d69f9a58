//! `lyceum simulate`.

use crate::{
    arguments::Simulate,
    check::read,
    failure::Failure,
    output::{complain, counted, line},
    settings::ProcessSettings,
};
use lyceum_core::Fingerprint;
use lyceum_scenarios::{Registry, Scenario};
use lyceum_simulation::{
    stack::{StackFaults, StackOutcome, stack_world},
    world::{Faults, Ground, Lab, Span, World, worlds},
};
use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// Runs worlds of both kinds and tells what did not hold.
pub(crate) fn simulate(registry: &Registry, arguments: &Simulate) -> Result<(), Failure> {
    let process = ProcessSettings::read()?;
    let scenario = read(registry, &arguments.file, &arguments.set)?;
    let folders = process.folders(&arguments.data, &arguments.file, &scenario.data.folders);
    let threads = process.threads(arguments.threads)?;
    let range = |number: u64| arguments.from..arguments.from.saturating_add(number);
    let one = |seed: u64| seed..seed.saturating_add(1);
    let (messages, stack) = match (arguments.world, arguments.stack_world) {
        (Some(seed), _) => (one(seed), 0..0),
        (None, Some(seed)) => (0..0, one(seed)),
        (None, None) => (range(arguments.worlds), range(arguments.stack)),
    };
    if messages.is_empty() && stack.is_empty() {
        return Err(Failure::input(
            "no world would be simulated: expected --worlds or --stack above 0, and --from with room for them",
        ));
    }
    let faults = arguments.faults.as_deref().map(named).transpose()?;
    let mut bad = 0;
    if !messages.is_empty() {
        let span = Span {
            seeds: messages,
            faults,
            threads,
            file: arguments.file.display().to_string(),
            folders: folders.clone(),
        };
        bad += message_worlds(&scenario, registry, &span)?;
    }
    if !stack.is_empty() {
        bad += stack_worlds(&scenario, registry, arguments, &folders, stack, threads)?;
    }
    match bad {
        0 => Ok(()),
        1 => Err(Failure::other("1 world did not hold")),
        _ => Err(Failure::other(format!("{bad} worlds did not hold"))),
    }
}

fn named(name: &str) -> Result<Faults, Failure> {
    Faults::named(name).ok_or_else(|| {
        Failure::input(format!(
            "--faults {name}: expected calm, bad-network, crashes, bad-disk or damaged-files"
        ))
    })
}

fn message_worlds(scenario: &Scenario, registry: &Registry, span: &Span) -> Result<usize, Failure> {
    let started = Instant::now();
    let report = worlds(scenario, registry, span, &|_| true)?;
    let seconds = started.elapsed().as_secs_f64();
    line(format_args!(
        "{} of messages in {seconds:.1} s ({:.0} per second), {} finished, {} stalled",
        counted(report.worlds, "world"),
        report.worlds as f64 / seconds.max(1e-9),
        report.finished,
        report.stalled
    ));
    let counters: Vec<String> = report
        .counters
        .entries()
        .into_iter()
        .map(|(name, number)| format!("{name} {number}"))
        .collect();
    line(format_args!("  {}", counters.join(", ")));
    line(format_args!("  trace {}", report.trace));
    let lines: Vec<&str> = report.lines().collect();
    lines.iter().for_each(|text| complain(&format!("{text}\n")));
    Ok(lines.len())
}

fn stack_worlds(
    scenario: &Scenario,
    registry: &Registry,
    arguments: &Simulate,
    folders: &[PathBuf],
    seeds: Range<u64>,
    threads: usize,
) -> Result<usize, Failure> {
    let ground = Arc::new(Ground::new(scenario, registry, folders)?);
    let calm = stack_world(&ground, &StackFaults::default(), 0)?;
    if let (None, [first, ..]) = (calm.fingerprint, calm.complaints.as_slice()) {
        let calm = "without any fault the run does not come to its end";
        return Err(Failure::other(format!("{calm}: {first}")));
    }
    let started = Instant::now();
    let outcomes = side_by_side(&ground, seeds.clone(), threads)?;
    let mut chain = Fingerprint::default().extend();
    let (mut packets, mut bad, mut troubles, mut joined) = (0, 0, [0; 3], 0);
    let mut lab = Lab::new(&ground)?;
    for (seed, outcome) in seeds.zip(&outcomes) {
        chain.add(outcome.trace.bytes());
        packets += outcome.packets;
        joined += outcome.asked.len();
        let now = outcome.troubles;
        for (sum, number) in
            troubles
                .iter_mut()
                .zip([now.coordinator_crashes, now.node_crashes, now.partitions])
        {
            *sum += number;
        }
        let wanted = match outcome.asked.is_empty() {
            true => calm.fingerprint,
            false => World::calm(&ground, &mut lab, &outcome.asked).fingerprint,
        };
        let differs = ground.waits() && outcome.fingerprint != wanted;
        if differs || !outcome.complaints.is_empty() {
            bad += 1;
            complain(&format!(
                "lyceum simulate {} --stack-world {seed}: {} instead of {}; {}\n",
                arguments.file.display(),
                shown(outcome.fingerprint),
                shown(wanted),
                outcome.complaints.join("; ")
            ));
        }
    }
    line(format_args!(
        "{} of the whole stack in {:.1} s, {packets} packets",
        counted(outcomes.len() as u64, "world"),
        started.elapsed().as_secs_f64()
    ));
    let [coordinator, nodes, partitions] = troubles;
    line(format_args!(
        "  coordinator_crashes {coordinator}, node_crashes {nodes}, partitions {partitions}, tasks_joined {joined}"
    ));
    line(format_args!("  trace {}", chain.link()));
    line(format_args!("  fingerprint {}", shown(calm.fingerprint)));
    Ok(bad)
}

fn shown(fingerprint: Option<Fingerprint>) -> String {
    fingerprint.map_or_else(|| "no result".into(), |f| f.to_string())
}

/// Runs worlds on several threads; the outcomes are in the order of the seeds.
fn side_by_side(
    ground: &Arc<Ground>,
    seeds: Range<u64>,
    threads: usize,
) -> Result<Vec<StackOutcome>, Failure> {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Vec<(u64, Result<StackOutcome, _>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = stack_world(ground, &StackFaults::drawn(seed), seed);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.push((seed, outcome));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(seed, _)| *seed);
    found.into_iter().map(|(_, outcome)| Ok(outcome?)).collect()
}
