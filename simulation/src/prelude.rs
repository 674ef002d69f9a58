//! What must be known before the clients exist: data, model, and, where it is needed, the expert.

use crate::{RunError, model_file};
use lyceum_client_node::{Node, Worker};
use lyceum_core::{
    Assignment, DataRef, Engine, ExpertScores, Federation, Fingerprint, Job, Layout, Network,
    Params, Payload, Role, Round, Ticket, UnitId, Work,
};
use lyceum_scenarios::{Loaded, Registry, Scenario};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A scenario with everything it needs at hand.
pub(crate) struct Prepared {
    pub(crate) engine: Engine,
    pub(crate) network: Network,
    pub(crate) federation: Arc<dyn Federation>,
    pub(crate) expert: Option<Expert>,
    pub(crate) initial: Params,
    /// Digest of the scenario, of its prelude, and of the initial parameters.
    pub(crate) digest: Fingerprint,
}

/// What the expert's training found.
pub(crate) struct Expert {
    pub(crate) params: Params,
    pub(crate) scores: ExpertScores,
}

/// Reads data, builds the model, trains or reads back the expert, divides the samples.
pub(crate) fn prepare(
    scenario: &Scenario,
    registry: &Registry,
    folders: &[PathBuf],
    saved_expert: Option<&Path>,
) -> Result<Prepared, RunError> {
    let engine = *registry.engine(&scenario.training.engine).ok_or_else(|| {
        scenario.fault(
            "training.engine",
            "this engine is not known",
            "see `lyceum list`",
        )
    })?;
    let loaded = Loaded::read(scenario, folders)?;
    let network = loaded.network(scenario)?;
    (engine.build)(&network)
        .map_err(|reason| scenario.fault("training.engine", reason, "cannot be used here"))?;
    let initial = initial(scenario, &network)?;
    let expert = match scenario.needs_expert() {
        true => Some(expert(scenario, engine, &network, &loaded, saved_expert)?),
        false => None,
    };
    let data = loaded.digest();
    let federation = loaded.federate(
        scenario,
        expert.as_ref().map(|e| e.scores.losses.as_slice()),
    )?;
    let clients = scenario.data.clients.get() as u64;
    if federation.clients() < clients {
        let message = format!("the data set has only {} clients", federation.clients());
        return Err(scenario
            .fault("data.clients", message, "ask for at most that many")
            .into());
    }
    let mut chain = scenario.digest().extend();
    chain.add(data.bytes()).add(initial.bytes());
    if let Some(expert) = &expert {
        chain
            .floats(&expert.scores.losses)
            .floats(&expert.scores.errors);
    }
    Ok(Prepared {
        digest: chain.link(),
        engine,
        network,
        federation,
        expert,
        initial,
    })
}

fn initial(scenario: &Scenario, network: &Network) -> Result<Params, RunError> {
    match &scenario.run.start_from {
        None => Ok(network.initial(scenario.seed()).into()),
        Some(path) => model_file::read(path, network.layout()).map_err(|e| {
            scenario
                .fault(
                    "run.start_from",
                    e.to_string(),
                    "a safetensors file of this scenario's model",
                )
                .into()
        }),
    }
}

fn expert(
    scenario: &Scenario,
    engine: Engine,
    network: &Network,
    loaded: &Loaded,
    saved: Option<&Path>,
) -> Result<Expert, RunError> {
    let samples = loaded.pooled().map_or(0, |pool| pool.len());
    if let Some(path) = saved.filter(|p| p.exists()) {
        return read_expert(path, network.layout(), samples);
    }
    let undivided = loaded.undivided().ok_or_else(|| {
        scenario.fault(
            "data.set",
            "an expert needs all samples in one place",
            "this set makes them on demand",
        )
    })?;
    let node = Arc::new(Node::new(
        scenario,
        engine,
        network.clone(),
        undivided,
        None,
    ));
    let assignment = Assignment {
        ticket: Ticket(0),
        round: Round(0),
        unit: UnitId(0),
        work: Work::Expert,
        global: network.initial(scenario.seed()).into(),
        vectors: Vec::new(),
        jobs: vec![Job {
            data: DataRef::Pool,
            state: Default::default(),
        }],
    };
    let upload = Worker::new(node)?.execute(&assignment)?;
    let Payload::Expert { params, scores } = upload.payload else {
        return Err(RunError::Panic(
            "the expert's unit came back as something else".into(),
        ));
    };
    if scores.losses.iter().any(|l| !l.is_finite()) {
        return Err(scenario
            .fault(
                "expert.rate",
                "the expert's training diverged",
                "try a smaller rate",
            )
            .into());
    }
    Ok(Expert { params, scores })
}

/// The expert's tensors and, behind them, its scores, as one safetensors file.
pub(crate) fn write_expert(path: &Path, layout: &Layout, expert: &Expert) -> Result<(), RunError> {
    let ExpertScores { losses, errors } = &expert.scores;
    let values: Vec<f32> = expert
        .params
        .iter()
        .chain(losses)
        .chain(errors)
        .copied()
        .collect();
    model_file::write(path, &with_scores(layout, losses.len()), &values.into())
}

fn read_expert(path: &Path, layout: &Layout, samples: usize) -> Result<Expert, RunError> {
    let all = model_file::read(path, &with_scores(layout, samples))?;
    let (params, scores) = all.split_at(layout.len());
    let (losses, errors) = scores.split_at(samples);
    let scores = ExpertScores {
        losses: losses.to_vec(),
        errors: errors.to_vec(),
    };
    Ok(Expert {
        params: params.to_vec().into(),
        scores,
    })
}

fn with_scores(layout: &Layout, samples: usize) -> Layout {
    let mut layout = layout.clone();
    layout.push("losses", vec![samples], Role::Frozen);
    layout.push("errors", vec![samples], Role::Frozen);
    layout
}
