//! Everything that happened, in order. Files, progress and reports are fed by it; nothing in it
//! depends on wall time except [`Event::Timing`].

use crate::{
    Answer, ClientId, ClientReport, Fingerprint, Opening, Posterior, Probe, Round, TaskDefinition,
    Visit,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One thing that happened. Written as one JSON object a line, `{"event": "<kind>", ...}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// First line of every log.
    RunStarted {
        /// From the scenario.
        name: String,
        /// Root of all randomness.
        seed: u64,
        /// Rounds planned.
        rounds: u64,
        /// Clients in the federation.
        clients: u64,
        /// Parameters of the model.
        parameters: u64,
        /// Hash of the resolved scenario, of what its prelude found, and of the initial parameters.
        scenario: Fingerprint,
    },
    /// What the classes are called, where the data has names for them: class 0 first.
    ClassesNamed {
        /// One for each class.
        names: Vec<String>,
    },
    /// The expert was trained.
    ExpertTrained {
        /// Samples in the pool.
        samples: u64,
        /// Mean loss of the expert on them, in nats.
        mean_loss: f64,
    },
    /// A stream of tasks begins. Second line of the log of a run that has one.
    StreamStarted {
        /// In the order of their definition.
        tasks: Vec<TaskInfo>,
        /// The order that tables follow, and when its tasks begin. With a gate the first task alone: of the others
        /// [`Event::TaskBegan`] tells.
        order: Vec<Visit>,
        /// Where clients have calendars of their own: for each entry of `order`, the first round in which no client is at
        /// it any more, `None` for the end of the run; empty where their orders differ
        /// ([`TaskStream::ends`](crate::TaskStream::ends)).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends: Option<Vec<Option<u64>>>,
    },
    /// A competence gate opened: the next task comes to everybody.
    TaskBegan(Opening),
    /// A task joined the stream.
    TaskAdded {
        /// The first round in which clients may meet it.
        round: Round,
        /// The task.
        task: TaskInfo,
        /// The order that tables follow from now on.
        order: Vec<Visit>,
        /// Its definition.
        definition: TaskDefinition,
    },
    /// A model that the round did not train was judged, by the rule that steers the run.
    ModelEvaluated {
        /// After which round.
        round: Round,
        /// Its name in the book.
        model: String,
        /// Which samples.
        probe: Probe,
        /// Share of hits.
        accuracy: f64,
        /// Mean of the scenario's loss in nats.
        loss: f64,
        /// Samples.
        samples: u64,
        /// What else was found, by name, where the scenario asks for more.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        further: BTreeMap<String, f64>,
    },
    /// A task's posterior joined the knowledge base, or is like one that is there.
    PosteriorLearned {
        /// Behind which round.
        round: Round,
        /// Which one, and what became of it.
        #[serde(flatten)]
        posterior: Posterior,
    },
    /// A request from outside was taken.
    Answered(Answer),
    /// A probe was evaluated with the initial parameters.
    EvaluatedBefore {
        /// Which samples.
        probe: Probe,
        /// Share of hits.
        accuracy: f64,
        /// Mean of the scenario's loss in nats.
        loss: f64,
        /// Samples.
        samples: u64,
        /// What else was found, by name, where the scenario asks for more.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        further: BTreeMap<String, f64>,
    },
    /// Clients were scored for the selector.
    ClientsScored {
        /// In which round.
        round: Round,
        /// How many clients.
        clients: u64,
        /// Samples that went through the model.
        samples: u64,
        /// Parameters sent to the scored clients, in bytes.
        bytes_down: u64,
    },
    /// By the timeline, clients are there from a round on.
    ClientsJoined(Turnout),
    /// By the timeline, clients are gone for good from a round on.
    ClientsLeft(Turnout),
    /// By the timeline, clients do not answer from a round on.
    ClientsSilent(Turnout),
    /// Clients that were silent answer again from a round on.
    ClientsBack(Turnout),
    /// By the timeline, settings change from a round on.
    SettingsChanged {
        /// From which round on.
        round: Round,
        /// Dotted keys and their values, as a scenario file has them.
        set: BTreeMap<String, String>,
    },
    /// Nobody can be selected in a round, or the selector wants nobody: the model stays as it is.
    NobodySelected {
        /// In which round.
        round: Round,
        /// Clients that are there.
        present: u64,
    },
    /// The cohort is known and its work is out.
    RoundStarted {
        /// Which round.
        round: Round,
        /// Clients selected.
        cohort: u64,
        /// The model that it trains, where that is not `global`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// What came of a model, where a round trains several.
    ModelTrained {
        /// Which round.
        round: Round,
        /// Its name in the book.
        model: String,
        /// Clients that were to train it.
        cohort: u64,
        /// Clients whose work counts.
        accepted: u64,
        /// Clients whose work was refused.
        refused: u64,
        /// Clients that never answered.
        dropped_out: u64,
        /// Mean of the accepted clients' last losses, weighted by samples; `None` where there is none.
        train_loss: Option<f64>,
    },
    /// The clients that answered are too few for the strategy: the model stays as it is.
    RoundSkipped {
        /// Which round.
        round: Round,
        /// What is missing.
        reason: String,
    },
    /// One client's report.
    Client {
        /// In which round.
        round: Round,
        /// What it reported.
        #[serde(flatten)]
        report: ClientReport,
    },
    /// A probe was evaluated with the parameters that a round left behind.
    Evaluated {
        /// After which round.
        round: Round,
        /// Which samples.
        probe: Probe,
        /// Share of hits.
        accuracy: f64,
        /// Mean of the scenario's loss in nats.
        loss: f64,
        /// Samples.
        samples: u64,
        /// Hits of each class.
        correct: Vec<u64>,
        /// Samples of each class.
        count: Vec<u64>,
        /// What else was found, by name, where the scenario asks for more.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        further: BTreeMap<String, f64>,
    },
    /// Accuracy of the global model on a client's own test set: all test samples of its classes.
    ClientAccuracy {
        /// After which round.
        round: Round,
        /// Whose.
        client: ClientId,
        /// Share of hits.
        accuracy: f64,
    },
    /// A round is over.
    RoundClosed {
        /// Which round.
        round: Round,
        /// Clients selected.
        cohort: u64,
        /// Clients whose work counts.
        accepted: u64,
        /// Clients whose work was refused.
        refused: u64,
        /// Clients that never answered.
        dropped_out: u64,
        /// Mean of the accepted clients' last-epoch losses, weighted by samples; `None`
        /// where there is none.
        train_loss: Option<f64>,
        /// Samples that went through training, repeats counted.
        trained: u64,
        /// Samples that went through the model only to be scored, by clients and for selection.
        scored: u64,
        /// Optimizer steps.
        steps: u64,
        /// Bytes of parameters sent to clients.
        bytes_down: u64,
        /// Bytes of parameters received from clients.
        bytes_up: u64,
        /// Link of the chain after this round.
        fingerprint: Fingerprint,
    },
    /// Wall time of a round, from the driver.
    Timing {
        /// Which round.
        round: Round,
        /// From its start to its close, evaluation left out.
        seconds: f64,
        /// Of evaluating after it.
        evaluation_seconds: f64,
    },
    /// Something that somebody should know, such as what is probably not meant. It is shown and stands in no log: a run that met it ends like one that did not.
    Warned {
        /// What happened, and what was done.
        message: String,
    },
    /// The run stopped before its end and can be resumed.
    Paused {
        /// Rounds that are done.
        rounds: u64,
    },
    /// The run cannot go on.
    Stalled {
        /// In which round.
        round: Round,
        /// Why.
        reason: String,
    },
    /// The run is complete.
    RunFinished {
        /// Rounds done.
        rounds: u64,
        /// Last link of the chain.
        fingerprint: Fingerprint,
    },
}

/// Clients whose presence changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turnout {
    /// From which round on.
    pub round: Round,
    /// How many.
    pub clients: u64,
    /// Clients that are there from then on, silent ones among them.
    pub present: u64,
    /// Who, ascending, where it is at most [`Turnout::NAMED`] clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub who: Vec<ClientId>,
}

impl Turnout {
    /// More clients are counted and not named.
    pub const NAMED: usize = 1000;
}

/// What a log says of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// For tables.
    pub name: String,
    /// Labels that it shows, ascending.
    pub classes: Vec<u32>,
    /// Samples of its probe.
    pub probe: u64,
}
