//! What must be known before the clients exist: data, model, and, where it is needed, the expert.

use super::{
    RunError, Storage,
    checkpoint::manifests,
    model_file::{from_safetensors, to_safetensors},
    seal::{self, FileSeal, Found},
    storage::replace,
};
use crate::{Closing, Plan, RoundMachine, SelectionPhase, SteeringPlan, Synchronous};
use lyceum_core::{
    Assignment, Calendar, ClientId, DataRef, Event, ExpertScores, Facts, Federation, Fingerprint,
    Job, Layout, Network, Params, Payload, Probe, Role, Roster, Round, Task, TaskDefinition,
    TaskInfo, TaskStream, Ticket, UnitId, Work,
};
use lyceum_scenarios::{Deadline, Loaded, Phase, Scenario, Timetable, no_room};
use serde::{Deserialize, Serialize};
use std::{fs, io, path::PathBuf, sync::Arc};

/// Where the expert is kept in a run's folder.
pub const EXPERT: &str = "expert.safetensors";
const EXPERT_SEAL: &str = "expert.json";
/// Models that a run holds at least: the first one, the global one, a client's, and a checkpoint's.
const MODELS: u64 = 4;
/// The unit of the expert's training, apart from those of round 0.
const EXPERT_UNIT: UnitId = UnitId(u64::MAX);

/// A scenario with its data read and its model built, before the samples are divided.
pub struct Groundwork {
    /// The samples.
    pub loaded: Loaded,
    /// The model.
    pub network: Network,
    initial: Params,
    start_from: Option<Fingerprint>,
}

/// A scenario with everything that the coordinator needs at hand.
pub struct Prepared {
    /// The model.
    pub network: Network,
    /// The clients and their samples.
    pub federation: Arc<dyn Federation>,
    /// What clients see when, where there is a stream of tasks.
    pub stream: Option<Arc<TaskStream>>,
    /// Who is there when, and what changes when.
    pub timetable: Timetable,
    /// What the expert's training found, if there was any.
    pub expert: Option<Expert>,
    /// The model's parameters before the first round.
    pub initial: Params,
    /// The scenario with what was learned of its data.
    pub settled: Scenario,
    /// What the classes are called; empty where they are numbers.
    pub class_names: Vec<String>,
    /// What is probably not meant, in sentences.
    pub warnings: Vec<String>,
    /// Hash of the file that they come from, if they come from one.
    pub start_from: Option<Fingerprint>,
    /// Tasks that another run was asked for, and the rounds in which they joined its stream.
    pub given: Vec<(Round, TaskDefinition)>,
    /// Digest of the samples.
    pub data: Fingerprint,
    /// Digest of the scenario, of its prelude, and of the initial parameters.
    pub digest: Fingerprint,
}

/// Which expert is in a folder.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpertSeal {
    /// Lineage of the scenario.
    scenario: Fingerprint,
    file: FileSeal,
}

/// What the expert's training found.
#[derive(Clone, Debug, PartialEq)]
pub struct Expert {
    /// Its parameters.
    pub params: Params,
    /// What it makes of the samples, in the order of the pool.
    pub scores: Arc<ExpertScores>,
}

impl Groundwork {
    /// Reads data, builds the model, makes or reads its first parameters.
    pub fn read(scenario: &Scenario, folders: &[PathBuf]) -> Result<Self, RunError> {
        let loaded = Loaded::read(scenario, folders)?;
        let network = loaded.network(scenario)?;
        let (initial, start_from) = initial(scenario, &network, folders)?;
        Ok(Self {
            loaded,
            network,
            initial,
            start_from,
        })
    }

    /// The machine that has the expert of a scenario trained that needs one.
    pub fn prelude(&self, scenario: &Scenario) -> Result<RoundMachine, RunError> {
        self.expert_assignment(scenario).map(RoundMachine::prelude)
    }

    fn expert_assignment(&self, scenario: &Scenario) -> Result<Assignment, RunError> {
        if self.loaded.pooled().is_none() {
            return Err(scenario
                .fault(
                    "data.set",
                    "an expert needs all samples in one place",
                    "this set makes them on demand",
                )
                .into());
        }
        Ok(Assignment {
            ticket: Ticket(0),
            round: Round(0),
            unit: EXPERT_UNIT,
            work: Work::Expert,
            facts: Facts::default(),
            model: "global".into(),
            global: self.network.initial(scenario.seed()).into(),
            vectors: Vec::new(),
            jobs: vec![Job {
                data: DataRef::Pool,
                state: Default::default(),
            }],
        })
    }

    /// Takes what the [`prelude`](Self::prelude) found.
    pub fn expert_of(&self, scenario: &Scenario, found: Payload) -> Result<Expert, RunError> {
        let samples = self.loaded.pooled().map_or(0, |pool| pool.len());
        let Payload::Expert { params, scores } = found else {
            return Err(RunError::Worker(
                "the expert's unit came back as something else".into(),
            ));
        };
        if [&scores.losses, &scores.errors]
            .iter()
            .any(|s| s.len() != samples)
        {
            return Err(RunError::Worker(format!(
                "the expert scored {} of {samples} samples",
                scores.losses.len()
            )));
        }
        if scores.losses.iter().any(|l| !l.is_finite()) {
            return Err(scenario
                .fault(
                    "expert.rate",
                    "the expert's training diverged",
                    "try a smaller rate",
                )
                .into());
        }
        Ok(Expert {
            params,
            scores: Arc::new(scores),
        })
    }

    /// The expert that an earlier process of this run left in its folder. One that is not what was written is made again.
    pub fn saved_expert(
        &self,
        scenario: &Scenario,
        storage: &dyn Storage,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Expert>, RunError> {
        if !scenario.needs_expert() {
            return Ok(None);
        }
        let read = match seal::read::<ExpertSeal>(storage, EXPERT_SEAL)? {
            Found::Nothing if begun(storage)? => Err((EXPERT_SEAL, "it is missing".to_string())),
            Found::Nothing => return Ok(None),
            Found::Good(seal) if seal.scenario != scenario.lineage() => {
                Err((EXPERT_SEAL, "it is of another run".to_string()))
            }
            Found::Good(seal) => {
                let read = self.expert_in(storage, &seal.file);
                read.map_err(|reason| (EXPERT, reason))
            }
            Found::Damaged(reason) => Err((EXPERT_SEAL, reason)),
        };
        read.map(Some).or_else(|(file, reason)| {
            let path = storage.path(file);
            let message = format!("{}: {reason}; the expert is trained again", path.display());
            warnings.push(message);
            Ok(None)
        })
    }

    fn expert_in(&self, storage: &dyn Storage, seal: &FileSeal) -> Result<Expert, String> {
        let path = storage.path(EXPERT);
        let bytes = storage.read(EXPERT).map_err(|e| e.to_string())?;
        let bytes = bytes.ok_or("it is missing")?;
        if FileSeal::of(&bytes) != *seal {
            return Err("it does not hold what was written".into());
        }
        let samples = self.loaded.pooled().map_or(0, |pool| pool.len());
        let layout = self.network.layout();
        let all = from_safetensors(&path, &bytes, &with_scores(layout, samples));
        let all = all.map_err(|e| e.to_string())?;
        let (params, scores) = all.split_at(layout.len());
        let (losses, errors) = scores.split_at(samples);
        let scores = ExpertScores {
            losses: losses.to_vec(),
            errors: errors.to_vec(),
        };
        Ok(Expert {
            params: params.to_vec().into(),
            scores: Arc::new(scores),
        })
    }

    /// Divides the samples.
    pub fn finish(self, scenario: &Scenario, expert: Option<Expert>) -> Result<Prepared, RunError> {
        let data = self.loaded.digest();
        let settled = self.loaded.settled(scenario);
        let class_names = self.loaded.class_names().to_vec();
        let mut warnings = scenario.idle_keys();
        warnings.extend(self.loaded.warnings(scenario, &self.network));
        let losses = expert.as_ref().map(|e| e.scores.losses.as_slice());
        let stream = self.loaded.stream(scenario, losses)?;
        let timetable = scenario.timetable(stream.as_deref())?;
        warnings.extend_from_slice(&timetable.warnings);
        let federation = self.loaded.federate(scenario, losses)?;
        let clients = scenario.clients();
        if federation.clients() < clients {
            let message = match federation.clients() {
                1 => "the data set has only 1 client".to_owned(),
                some => format!("the data set has only {some} clients"),
            };
            return Err(scenario
                .fault("data.clients", message, "ask for at most that many")
                .into());
        }
        let mut chain = scenario.lineage().extend();
        chain.add(data.bytes()).add(self.initial.bytes());
        if let Some(expert) = &expert {
            chain
                .floats(&expert.scores.losses)
                .floats(&expert.scores.errors);
        }
        Ok(Prepared {
            digest: chain.link(),
            settled,
            class_names,
            warnings,
            given: Vec::new(),
            data,
            network: self.network,
            federation,
            stream,
            timetable,
            expert,
            initial: self.initial,
            start_from: self.start_from,
        })
    }
}

impl Prepared {
    /// The events that a log begins with.
    pub fn opening(&self, scenario: &Scenario) -> Vec<Event> {
        let mut opening = vec![Event::RunStarted {
            name: scenario.run.name.clone(),
            seed: scenario.run.seed,
            rounds: scenario.rounds(),
            clients: scenario.clients(),
            parameters: self.network.layout().len() as u64,
            scenario: self.digest,
        }];
        if let Some(stream) = &self.stream {
            let info = |task: &Task| TaskInfo {
                name: task.name.clone(),
                classes: task.classes.to_vec(),
                probe: task.probe.len() as u64,
            };
            opening.push(Event::StreamStarted {
                tasks: stream.tasks().iter().map(info).collect(),
                order: stream.reference().to_vec(),
                ends: matches!(stream.calendar(), Calendar::Each(_))
                    .then(|| stream.ends().unwrap_or_default()),
            });
        }
        if !self.class_names.is_empty() {
            let names = self.class_names.clone();
            opening.push(Event::ClassesNamed { names });
        }
        opening
    }

    /// The round machine before its first round.
    pub fn machine(&self, scenario: &Scenario) -> RoundMachine {
        let probes = [Probe::Validation, Probe::Test].into_iter();
        let size = |probe| Some((probe, self.federation.probe(probe)?.len() as u32));
        let plan = Plan {
            rounds: scenario.rounds(),
            seed: scenario.seed(),
            dropout: scenario.availability.dropout.get(),
            evaluate_every: scenario.evaluation.every.get() as u64,
            probes: probes.filter_map(size).collect(),
            classes: self.network.classes(),
            contribution: scenario.contribution(&self.network, self.federation.pooled().as_ref()),
            transforms: scenario.transforms(),
            alone_from: ClientId(scenario.data.clients.get() as u64),
            schedule: Arc::new(Synchronous(closing(scenario))),
            attendance: self.timetable.attendance.clone(),
            changes: self.timetable.changes.clone(),
            phases: selection_phases(&self.timetable.phases),
            stream: self.stream.clone(),
            judges_ahead: scenario.evaluation.ahead,
            judges_before: scenario.evaluation.before,
            given: self.given.clone(),
            prior: scenario.prior(&self.network),
            steering: scenario.rule().map(|rule| SteeringPlan {
                rule,
                strategy: scenario.strategy.plugin.clone(),
            }),
        };
        let roster: Arc<dyn Roster> = self.federation.clone();
        let strategy = scenario.strategy.plugin.clone();
        let strategy = strategy.start(&self.initial, self.network.layout());
        let selector = scenario
            .selection
            .plugin
            .clone()
            .start(roster.clone(), scenario.run.rounds.get() as u64);
        RoundMachine::new(
            plan,
            roster,
            strategy,
            selector,
            self.initial.clone(),
            self.digest,
        )
    }

    /// Writes the expert's tensors and, behind them, its scores, as one safetensors file, and its seal.
    pub fn save_expert(
        &self,
        scenario: &Scenario,
        storage: &mut dyn Storage,
    ) -> Result<(), RunError> {
        let Some(expert) = &self.expert else {
            return Ok(());
        };
        let ExpertScores { losses, errors } = &*expert.scores;
        let values: Vec<f32> = expert
            .params
            .iter()
            .chain(losses)
            .chain(errors)
            .copied()
            .collect();
        let layout = with_scores(self.network.layout(), losses.len());
        let bytes = to_safetensors(&storage.path(EXPERT), &layout, &values.into())?;
        replace(storage, EXPERT, &bytes)?;
        let seal = ExpertSeal {
            scenario: scenario.lineage(),
            file: FileSeal::of(&bytes),
        };
        seal::write(storage, EXPERT_SEAL, &seal)
    }
}

/// How cohorts are found in later phases; a selection that stays the same goes on as it is.
fn selection_phases(phases: &[Phase]) -> Vec<SelectionPhase> {
    let changed = |pair: &[Phase]| {
        let (before, after) = (&pair[0].selection, &pair[1].selection);
        (before.name, &before.resolved) != (after.name, &after.resolved)
    };
    let phase = |pair: &[Phase]| SelectionPhase {
        from: pair[1].from,
        selector: changed(pair).then(|| pair[1].selection.plugin.clone()),
        dropout: pair[1].dropout,
    };
    phases.windows(2).map(phase).collect()
}

/// When a round closes without everybody, in microseconds.
fn closing(scenario: &Scenario) -> Option<Closing> {
    let Some(Deadline::Close(close)) = &scenario.deadline else {
        return None;
    };
    let micros = |seconds: f64| (seconds * 1e6) as u64;
    let after = close.after_s.get();
    Some(Closing {
        after: micros(after),
        min_clients: close.min_clients.get(),
        enough_clients: close.enough_clients.map(|c| c.get()),
        min: micros(close.min_s.get()),
        give_up: micros(close.give_up_s.map_or(10.0 * after, |s| s.get())),
    })
}

/// The first parameters, and the hash of the file that they come from, if they come from one; an error where that file does
/// not fit the model.
pub fn initial(
    scenario: &Scenario,
    network: &Network,
    folders: &[PathBuf],
) -> Result<(Params, Option<Fingerprint>), RunError> {
    let values = network.layout().len() as u64;
    let bytes = values.saturating_mul(4 * MODELS);
    if let Some(why) = no_room(bytes) {
        let message = format!("a run of a model of {values} parameters {why}");
        let key = format!("model.{}", scenario.model.name);
        return Err(scenario
            .fault_among(&[key.as_str()], message, "a smaller model")
            .into());
    }
    let Some(path) = scenario.start_from(folders) else {
        return Ok((network.initial(scenario.seed()).into(), None));
    };
    let unfit = |e: RunError| {
        let label = "a safetensors file of this scenario's model";
        scenario.fault("run.start_from", e.to_string(), label)
    };
    let bytes = fs::read(&path).map_err(|e| {
        let shown = path.display();
        let message = match e.kind() {
            io::ErrorKind::IsADirectory => format!("{shown} is a folder"),
            io::ErrorKind::NotFound => format!("there is no file {shown}, here or in a data folder"),
            _ => format!("{shown}: {e}"),
        };
        let label = "a safetensors file of this scenario's model, such as the global.safetensors of a run's checkpoint";
        scenario.fault("run.start_from", message, label)
    })?;
    let hash = Fingerprint::of(&bytes);
    let wanted = scenario.run.start_from_blake3.as_ref();
    if let Some(wanted) = wanted.filter(|wanted| **wanted != hash.to_string()) {
        let message = format!("{} is another file than {wanted}", path.display());
        let label = format!("its BLAKE3 is {hash}; leave the key out to take it as it is");
        return Err(scenario
            .fault("run.start_from_blake3", message, label)
            .into());
    }
    let params = from_safetensors(&path, &bytes, network.layout()).map_err(unfit)?;
    Ok((params, Some(hash)))
}

/// Whether an earlier process has got as far as the expert.
fn begun(storage: &dyn Storage) -> Result<bool, RunError> {
    let expert = storage.read(EXPERT).is_ok_and(|bytes| bytes.is_some());
    let mut all = manifests(storage)?.into_iter();
    Ok(expert || all.any(|(_, found)| !matches!(found, Found::Nothing)))
}

fn with_scores(layout: &Layout, samples: usize) -> Layout {
    let mut layout = layout.clone();
    layout.push("losses", vec![samples], Role::Frozen);
    layout.push("errors", vec![samples], Role::Frozen);
    layout
}
