use super::{Distance, check_preference};
use lyceum_core::{
    Calendar, ClientId, Directive, GLOBAL, Halves, ModelTraining, Params, Posterior, RoundOutcome,
    RoundPlan, RunView, Steering, TaskId, TrainedModel,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Learns every task once with each prior, and keeps what is new (the paper's algorithm 1).
///
/// The clients that are at a task train its posteriors in turn, one a round: that of the first prior in the first round of the
/// task, that of the second in the second, and round again. All of them begin with the run's first parameters. The j-th posterior
/// of a task has as its prior the j-th of the task that was over last, or the one that stands for it; of the first task, a normal one.
/// Once no client is at a task any more, its posteriors are compared with those that are kept: one that is near enough to
/// another is given up for it. A task that comes back, or to other clients, goes on from its own posteriors as priors: what its clients
/// have seen is in them.
#[derive(Clone, Debug, PartialEq)]
pub struct Ibcl {
    /// Deviations of the first priors, around 0.
    pub priors: Vec<f64>,
    /// Posteriors that are no farther apart count as one; 0 keeps all.
    pub threshold: f64,
    /// What is measured between posteriors.
    pub distance: Distance,
    /// What a posterior begins as.
    pub start: Beginning,
    /// Whether each round of a posterior begins anew, because what comes of it is made of its clients' own posteriors.
    pub afresh: bool,
}

/// What a posterior begins as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Beginning {
    /// The run's first parameters, as published.
    #[default]
    First,
    /// Its prior.
    Prior,
}

/// What has been learned, and what is being learned. It is in the run's chain and in its checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Knowledge {
    /// Posteriors in the order in which they were learned, those that others stand for among them.
    pub points: Vec<Point>,
    /// Tasks that are being learned.
    sessions: BTreeMap<TaskId, Session>,
}

/// A task that is being learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Session {
    /// Rounds since it came to these clients.
    rounds: u64,
    /// Names of the models that its posteriors have as priors, as far as they have begun.
    priors: Vec<String>,
}

/// A posterior of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Of which task.
    pub task: TaskId,
    /// With which of the priors, from 0.
    pub prior: u32,
    /// Name of the model that stands for it.
    pub model: String,
    /// Name of the model that it began as a prior with.
    pub prior_model: String,
    /// Whether another one stands for it.
    pub reused: bool,
    /// Divergence from that prior, in nats.
    pub divergence: f64,
    /// Distance to the nearest of those that were kept before; `None` for the first.
    pub distance: Option<f64>,
}

impl Knowledge {
    /// Tasks that were learned, in the order in which they were over for the first time.
    pub fn tasks(&self) -> Vec<TaskId> {
        let mut tasks = Vec::new();
        for point in &self.points {
            if !tasks.contains(&point.task) {
                tasks.push(point.task);
            }
        }
        tasks
    }

    /// Names of the models that are kept, in the order in which they came.
    pub fn kept(&self) -> Vec<&str> {
        let mut kept = Vec::new();
        for point in &self.points {
            if !kept.contains(&point.model.as_str()) {
                kept.push(&point.model);
            }
        }
        kept
    }

    /// The posterior of a task and a prior.
    pub fn point(&self, task: TaskId, prior: u32) -> Option<&Point> {
        let mut points = self.points.iter();
        points.find(|point| (point.task, point.prior) == (task, prior))
    }

    /// The models that stand for a preference over the tasks in ascending order, and their weights: that of a task is shared out
    /// among its posteriors.
    pub fn preferred(&self, tasks: &[TaskId], preference: &[f64]) -> Vec<(String, f64)> {
        let mut all: Vec<(String, f64)> = Vec::new();
        for (task, weight) in tasks.iter().zip(preference) {
            let own: Vec<&Point> = self.points.iter().filter(|p| p.task == *task).collect();
            let share = weight / own.len().max(1) as f64;
            for point in own.into_iter().filter(|_| share > 0.0) {
                match all.iter_mut().find(|(model, _)| *model == point.model) {
                    Some((_, sum)) => *sum += share,
                    None => all.push((point.model.clone(), share)),
                }
            }
        }
        all
    }

    /// The tasks of a preference: those that were learned, ascending.
    pub fn learned(&self) -> Vec<TaskId> {
        let tasks: BTreeSet<TaskId> = self.points.iter().map(|p| p.task).collect();
        tasks.into_iter().collect()
    }

    /// Whether a model stands for a posterior, or is the prior of one that is being learned.
    fn needs(&self, model: &str) -> bool {
        let mut priors = self.sessions.values().flat_map(|session| &session.priors);
        self.kept().contains(&model) || priors.any(|prior| prior == model)
    }

    /// The model that stands for the j-th posterior that was learned last.
    fn latest(&self, prior: u32) -> Option<&Point> {
        self.points.iter().rev().find(|point| point.prior == prior)
    }
}

/// Name of the first prior of this number.
fn first_prior(prior: u32) -> String {
    format!("prior.{prior}")
}

/// Name of a posterior.
fn name(task: TaskId, prior: u32) -> String {
    format!("posterior.{}.{prior}", task.0)
}

/// Name of a posterior of a task that came back, while it is learned.
fn again(task: TaskId, prior: u32) -> String {
    format!("{}.again", name(task, prior))
}

/// The tasks that clients are at in a round, each with who they are; `None` for everybody who is there.
type AtWork = BTreeMap<TaskId, Option<Vec<ClientId>>>;

fn at_work(view: &RunView<'_>) -> AtWork {
    let Some(stream) = view.stream else {
        return BTreeMap::from([(TaskId(0), None)]);
    };
    let calendar = stream.calendar();
    if let Calendar::Same(_) = calendar {
        let visit = calendar.at(ClientId(0), view.round);
        return visit.map(|visit| (visit.task, None)).into_iter().collect();
    }
    let mut tasks = AtWork::new();
    for client in (0..view.clients).map(ClientId) {
        if let Some(visit) = calendar.at(client, view.round) {
            let clients = tasks.entry(visit.task).or_insert_with(|| Some(Vec::new()));
            clients.iter_mut().for_each(|all| all.push(client));
        }
    }
    tasks
}

impl Ibcl {
    fn count(&self) -> u32 {
        self.priors.len() as u32
    }

    /// The j-th model of a task while it is learned.
    fn working(&self, state: &Knowledge, task: TaskId, prior: u32) -> String {
        match state.point(task, prior) {
            Some(_) => again(task, prior),
            None => name(task, prior),
        }
    }

    /// What the j-th posterior of a task begins as a prior with.
    fn prior_of(&self, state: &Knowledge, task: TaskId, prior: u32) -> String {
        let own = state.point(task, prior).or_else(|| state.latest(prior));
        own.map_or_else(|| first_prior(prior), |point| point.model.clone())
    }

    fn training(&self, state: &Knowledge, task: TaskId) -> ModelTraining {
        let session = state.sessions.get(&task);
        let rounds = session.map_or(0, |session| session.rounds);
        let prior = (rounds % u64::from(self.count())) as u32;
        let begun = session.and_then(|session| session.priors.get(prior as usize));
        let prior_model = match begun {
            Some(model) => model.clone(),
            None => self.prior_of(state, task, prior),
        };
        let from = match self.start {
            Beginning::First => GLOBAL.to_owned(),
            Beginning::Prior => prior_model.clone(),
        };
        ModelTraining {
            from: (begun.is_none() || self.afresh).then_some(from),
            prior: Some(prior_model),
            ..ModelTraining::of(self.working(state, task, prior))
        }
    }

    /// Compares the posteriors of a task that is over with those that are kept.
    fn settle(
        &self,
        state: &mut Knowledge,
        (task, session): (TaskId, Session),
        book: &mut Book,
    ) -> Vec<Directive> {
        let mut directives = Vec::new();
        for prior in 0..self.count() {
            let working = self.working(state, task, prior);
            let Some(params) = book.models.get(&working).cloned() else {
                continue;
            };
            let begun = session.priors.get(prior as usize);
            let prior_model = begun.cloned().unwrap_or_else(|| first_prior(prior));
            let from = book.models.get(&prior_model);
            let divergence = from.map_or(0.0, |from| book.halves.divergence(&params, from));
            let own = state.point(task, prior).cloned();
            state.points.retain(|p| (p.task, p.prior) != (task, prior));
            let nearest = self.nearest(state, &params, book);
            let distance = nearest.as_ref().map(|(_, distance)| *distance);
            let stands = nearest.filter(|(_, d)| self.threshold > 0.0 && *d <= self.threshold);
            let reused = stands.is_some();
            let model = stands.map_or_else(|| name(task, prior), |(model, _)| model);
            directives.extend(book.put_away(&working, &model, reused));
            state.points.push(Point {
                task,
                prior,
                model,
                prior_model,
                reused,
                divergence,
                distance,
            });
            let given_up = own.filter(|old| !state.needs(&old.model));
            if let Some(old) = given_up {
                directives.extend(book.forget(&old.model));
            }
            let told = self.told(state, &session, book.halves);
            directives.extend(told.map(Directive::Learned));
        }
        directives
    }

    /// The posterior that is kept and nearest to a model, with the distance; the first of several.
    fn nearest(&self, state: &Knowledge, params: &Params, book: &Book) -> Option<(String, f64)> {
        let kept = state.kept();
        let distances = kept.iter().filter_map(|name| {
            let other = book.models.get(*name)?;
            let distance = self.distance.between(book.halves, params, other);
            Some(((*name).to_owned(), distance))
        });
        distances.reduce(|a, b| if b.1 < a.1 { b } else { a })
    }

    /// What the log is told of the posterior that was settled last.
    fn told(&self, state: &Knowledge, session: &Session, halves: Halves) -> Option<Posterior> {
        let point = state.points.last()?.clone();
        let (all, in_turn) = (session.rounds, u64::from(self.count()));
        let more = u64::from(point.prior) < all % in_turn;
        let kept = state.kept().len() as u64;
        Some(Posterior {
            task: point.task,
            prior: point.prior,
            prior_model: point.prior_model,
            model: point.model,
            reused: point.reused,
            distance: point.distance,
            divergence: point.divergence,
            rounds: all / in_turn + u64::from(more),
            kept,
            bytes: kept * 8 * halves.len as u64,
        })
    }
}

/// The models of the run, as they become while tasks are settled.
struct Book {
    models: BTreeMap<String, Params>,
    halves: Halves,
}

impl Book {
    /// A model that was being learned is over: it gets its name, or goes where another one stands for it.
    fn put_away(&mut self, working: &str, model: &str, reused: bool) -> Vec<Directive> {
        let mut directives = Vec::new();
        if model == working {
            return directives;
        }
        if let Some(params) = self.models.get(working).filter(|_| !reused).cloned() {
            directives.push(Directive::Combine {
                into: model.to_owned(),
                of: vec![(working.to_owned(), 1.0)],
            });
            self.models.insert(model.to_owned(), params);
        }
        directives.extend(self.forget(working));
        directives
    }

    /// A model leaves the book, if it is there.
    fn forget(&mut self, model: &str) -> Option<Directive> {
        self.models.remove(model)?;
        let model = model.to_owned();
        Some(Directive::Forget { model })
    }
}

impl Steering for Ibcl {
    type State = Knowledge;

    fn init(&self) -> Knowledge {
        Knowledge::default()
    }

    fn gives_priors(&self) -> bool {
        true
    }

    fn first_models(&self, len: usize, halves: Option<Halves>) -> Vec<(String, Params)> {
        let Some(halves) = halves else {
            return Vec::new();
        };
        let model = |(prior, deviation): (u32, &f64)| {
            let mut values = vec![0.0; len];
            values[halves.rhos()].fill(deviation.ln() as f32);
            (first_prior(prior), values.into())
        };
        (0..).zip(&self.priors).map(model).collect()
    }

    fn preferred(
        &self,
        state: &Knowledge,
        preference: &[f64],
    ) -> Result<Vec<(String, f64)>, String> {
        let tasks = state.learned();
        check_preference(preference, tasks.len()).map_err(|fault| fault.to_string())?;
        match state.preferred(&tasks, preference) {
            none if none.is_empty() => Err("no task has been learned yet".into()),
            models => Ok(models),
        }
    }

    fn plan(&self, state: &Knowledge, view: &RunView<'_>) -> RoundPlan {
        let train: Vec<ModelTraining> = at_work(view)
            .into_iter()
            .map(|(task, clients)| ModelTraining {
                clients,
                ..self.training(state, task)
            })
            .collect();
        match train.is_empty() {
            false => RoundPlan {
                train,
                judge: Vec::new(),
            },
            // Nobody has a task yet: the first model is there for nobody.
            true => {
                let nobody = ModelTraining {
                    clients: Some(Vec::new()),
                    prior: Some(first_prior(0)),
                    ..ModelTraining::of(GLOBAL)
                };
                RoundPlan {
                    train: vec![nobody],
                    judge: Vec::new(),
                }
            }
        }
    }

    fn absorb(&self, state: &mut Knowledge, outcome: &RoundOutcome<'_>) -> Vec<Directive> {
        let Some(halves) = outcome.halves else {
            return Vec::new();
        };
        let trained = outcome
            .trained
            .iter()
            .filter_map(|t: &TrainedModel<'_>| task_of(t.model));
        let tasks: BTreeSet<TaskId> = trained.collect();
        for task in tasks {
            let mut session = state.sessions.get(&task).cloned().unwrap_or_default();
            if session.rounds < u64::from(self.count()) {
                let prior = self.prior_of(state, task, session.rounds as u32);
                session.priors.push(prior);
            }
            session.rounds += 1;
            state.sessions.insert(task, session);
        }
        let next = outcome.next.map(at_work).unwrap_or_default();
        let now = outcome.now.map(at_work).unwrap_or_default();
        let stays = |task: &TaskId| next.contains_key(task) && next.get(task) == now.get(task);
        let sessions = std::mem::take(&mut state.sessions).into_iter();
        let (on, over): (BTreeMap<TaskId, Session>, BTreeMap<TaskId, Session>) =
            sessions.partition(|(task, _)| stays(task));
        state.sessions = on;
        if over.is_empty() {
            return Vec::new();
        }
        let models = outcome.models.iter();
        let models = models.map(|(name, params)| ((*name).to_owned(), (*params).clone()));
        let mut book = Book {
            models: models.collect(),
            halves,
        };
        let settled = over.into_iter();
        settled
            .flat_map(|session| self.settle(state, session, &mut book))
            .collect()
    }
}

/// The task that a model is learned for.
fn task_of(model: &str) -> Option<TaskId> {
    let mut parts = model.strip_prefix("posterior.")?.split('.');
    parts.next()?.parse().ok().map(TaskId)
}
