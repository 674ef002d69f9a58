//! The models of a run that a rule steers, by name. A plain run has one, which is the machine's own.
//!
//! The model that a round trains lies open: it is the machine's `global`, with its strategy. The others wait in the book.

use super::RoundMachine;
use crate::{plan::Output, round::Stage, snapshot::Page};
use lyceum_core::{
    AnySteering, AnyStrategy, Chain, ClientReport, Directive, Event, Fact, FactError, GLOBAL,
    Halves, ModelTraining, Params, Probe, Round, RoundOutcome, RoundPlan, RunView, SteeringRun,
    StrategyRun, Tally, TaskDefinition, TaskInfo, TrainedModel, codec,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// A rule and the models that it knows.
pub(super) struct Steered {
    rule: Box<dyn SteeringRun>,
    /// Begins strategies for models that are trained.
    strategy: Arc<dyn AnyStrategy>,
    /// Models that do not lie open.
    waiting: BTreeMap<String, Closed>,
    /// Name of the model that lies open.
    pub(super) open: String,
    plan: RoundPlan,
    rule_gives_priors: bool,
    /// The models that the round has trained, and the reports of their clients.
    pub(super) reported: Vec<(Arc<str>, Vec<ClientReport>)>,
    /// Models that are still to be judged in the round in flight.
    unjudged: VecDeque<String>,
    /// The model that is judged now, if it is not the open one.
    judging: Option<String>,
    tallies: BTreeMap<(String, Probe), Tally>,
}

/// A model that does not lie open, and its strategy if it was ever trained.
struct Closed {
    params: Params,
    strategy: Option<Box<dyn StrategyRun>>,
}

impl Steered {
    /// A rule before the first round.
    pub(super) fn new(
        rule: &Arc<dyn AnySteering>,
        strategy: &Arc<dyn AnyStrategy>,
        global: &Params,
        halves: Option<Halves>,
    ) -> Self {
        let copies = rule.models().into_iter().map(|name| (name, global.clone()));
        let made = rule.first_models(global.len(), halves);
        let models = copies.chain(made).filter(|(name, _)| name != GLOBAL);
        let closed = |(name, params)| {
            let strategy = None;
            (name, Closed { params, strategy })
        };
        Self {
            rule: rule.clone().start(),
            strategy: strategy.clone(),
            waiting: models.map(closed).collect(),
            open: GLOBAL.into(),
            plan: RoundPlan::default(),
            rule_gives_priors: rule.gives_priors(),
            reported: Vec::new(),
            unjudged: VecDeque::new(),
            judging: None,
            tallies: BTreeMap::new(),
        }
    }
}

impl RoundMachine {
    /// Asks the rule what the round in flight does, and lays its model open.
    pub(super) fn follow_plan(&mut self) -> Result<(), String> {
        let Some(steered) = &self.steered else {
            return Ok(());
        };
        let names = steered.waiting.keys().map(String::as_str);
        let names = names.chain([steered.open.as_str()]);
        let view = self.run_view(self.current.round, names);
        let plan = steered.rule.plan(&view);
        if let Some(fault) = plan.fault(&view.models, view.clients) {
            return Err(fault);
        }
        if steered.rule_gives_priors && plan.train.iter().any(|t| t.prior.is_none()) {
            return Err("the rule trains a model without a prior".into());
        }
        for training in &plan.train {
            if let Some(params) = training.from.as_ref().and_then(|from| self.model(from)) {
                let params = params.clone();
                self.store_afresh(training.model.clone(), params);
            }
        }
        let first = plan.train.first().map(|training| training.model.clone());
        if let Some(steered) = &mut self.steered {
            steered.plan = plan;
            steered.tallies.clear();
        }
        if let Some(first) = first {
            self.lay_open(&first);
        }
        Ok(())
    }

    /// What the rule is told before a round, with these models in the book.
    fn run_view<'a>(&'a self, round: Round, models: impl Iterator<Item = &'a str>) -> RunView<'a> {
        let mut models: Vec<&str> = models.collect();
        models.sort_unstable();
        let stream = self.plan.stream.as_deref();
        RunView {
            round,
            tasks: stream.map_or(0, |stream| stream.tasks().len()),
            models,
            clients: self.roster.clients(),
            stream,
        }
    }

    /// The prior of a model that the round trains, where the rule gives priors.
    pub(super) fn prior_of(&self, model: &str) -> Option<Params> {
        let steered = self.steered.as_ref().filter(|s| s.rule_gives_priors)?;
        let training = steered.plan.train.iter().find(|t| t.model == model)?;
        self.model(training.prior.as_ref()?).cloned()
    }

    /// The models that the round trains.
    pub(super) fn trainings(&self) -> Vec<ModelTraining> {
        let steered = self.steered.as_ref();
        steered.map_or_else(
            || RoundPlan::default().train,
            |steered| steered.plan.train.clone(),
        )
    }

    /// Whether the selection has a part in the round.
    pub(super) fn selects(&self) -> bool {
        let plan = self.steered.as_ref().map(|steered| &steered.plan.train);
        plan.is_none_or(|train| train.iter().any(|t| t.clients.is_none()))
    }

    /// The machine's own model becomes the one of this name, which is in the book.
    pub(super) fn lay_open(&mut self, name: &str) {
        let Some(steered) = self.steered.as_mut().filter(|s| s.open != name) else {
            return;
        };
        let Some(Closed { params, strategy }) = steered.waiting.remove(name) else {
            return;
        };
        let layout = &self.plan.contribution.layout;
        let strategy = strategy.unwrap_or_else(|| steered.strategy.clone().start(&params, layout));
        let closed = Closed {
            params: std::mem::replace(&mut self.global, params),
            strategy: Some(std::mem::replace(&mut self.strategy, strategy)),
        };
        let before = std::mem::replace(&mut steered.open, name.to_owned());
        steered.waiting.insert(before, closed);
    }

    /// The name of the model that the round trains, where that is not the first one.
    pub(super) fn trained_name(&self) -> Option<String> {
        let steered = self.steered.as_ref().filter(|s| s.open != GLOBAL);
        steered.map(|steered| steered.open.clone())
    }

    /// A model of the book.
    fn model_names(&self) -> Vec<&str> {
        let Some(steered) = &self.steered else {
            return vec![GLOBAL];
        };
        let waiting = steered.waiting.keys().map(String::as_str);
        waiting.chain([steered.open.as_str()]).collect()
    }

    fn model(&self, name: &str) -> Option<&Params> {
        let Some(steered) = &self.steered else {
            return (name == GLOBAL).then_some(&self.global);
        };
        match steered.open == name {
            true => Some(&self.global),
            false => steered.waiting.get(name).map(|closed| &closed.params),
        }
    }

    /// The model that work of the stage in flight is about.
    pub(super) fn model_at_work(&self) -> &Params {
        if let Some(model) = self.desk.model() {
            return model;
        }
        let judging = self.steered.as_ref().and_then(|s| s.judging.as_deref());
        judging
            .and_then(|name| self.model(name))
            .unwrap_or(&self.global)
    }

    /// The name of that model; of one that somebody asked about, the question's.
    pub(super) fn name_at_work(&self) -> Arc<str> {
        let steered = self.steered.as_ref();
        let judged = steered.and_then(|s| s.judging.as_deref().or(Some(s.open.as_str())));
        self.desk.question().or(judged).unwrap_or(GLOBAL).into()
    }

    /// Notes what the open model is worth, and what is judged besides.
    pub(super) fn judged_open(&mut self, tallies: &BTreeMap<Probe, Tally>) {
        if let Some(steered) = &mut self.steered {
            let name = steered.open.clone();
            let named = tallies.iter().map(|(p, t)| ((name.clone(), *p), t.clone()));
            steered.tallies.extend(named);
            let others = steered.plan.judge.iter().filter(|other| **other != name);
            steered.unjudged = others.cloned().collect();
        }
    }

    /// Goes on judging the models of the plan; says whether one is being judged.
    pub(super) fn judge_next(&mut self) -> bool {
        let next = self.steered.as_mut().and_then(|s| s.unjudged.pop_front());
        let Some(name) = next else {
            return false;
        };
        if let Some(steered) = &mut self.steered {
            steered.judging = Some(name);
        }
        self.current.take_tallies(self.plan.classes);
        self.assign_evaluation(&self.judged());
        true
    }

    /// Takes what the model that was judged besides is worth; says whether there was one.
    pub(super) fn close_judging(&mut self) -> bool {
        let judging = self.steered.as_mut().and_then(|s| s.judging.take());
        let Some(model) = judging else {
            return false;
        };
        let round = self.current.round;
        let mut tallies = self.current.take_tallies(self.plan.classes);
        if let Some(merged) = self.merged(&tallies) {
            tallies.insert(Probe::Test, merged);
        }
        for (probe, tally) in tallies {
            self.outputs.push_back(Output::Event(Event::ModelEvaluated {
                round,
                model: model.clone(),
                probe,
                accuracy: tally.accuracy(),
                loss: tally.mean_loss(),
                samples: tally.samples(),
                further: tally.further(),
            }));
            if let Some(steered) = &mut self.steered {
                steered.tallies.insert((model.clone(), probe), tally);
            }
        }
        if !self.judge_next() {
            self.end_round();
        }
        true
    }

    /// Hands the rule what came of the round, and does what it wants; an error is the end of the run.
    pub(super) fn steer(&mut self) -> Result<(), String> {
        let Some(mut steered) = self.steered.take() else {
            return Ok(());
        };
        let reported = std::mem::take(&mut steered.reported);
        let trained = reported.iter().filter_map(|(model, reports)| {
            let params = match *steered.open == **model {
                true => &self.global,
                false => &steered.waiting.get(&**model)?.params,
            };
            Some(TrainedModel {
                model,
                params,
                reports,
            })
        });
        let waiting = steered.waiting.iter();
        let waiting = waiting.map(|(name, closed)| (name.as_str(), &closed.params));
        let mut models: BTreeMap<&str, &Params> = waiting.collect();
        models.insert(&steered.open, &self.global);
        let goes_on = self.done < self.plan.rounds;
        let now = self.run_view(self.current.round, models.keys().copied());
        let names = models.keys().copied();
        let next = goes_on.then(|| self.run_view(Round(self.done), names));
        let directives = steered.rule.absorb(&RoundOutcome {
            round: self.current.round,
            trained: &trained.collect::<Vec<_>>(),
            tallies: &steered.tallies,
            models: &models,
            halves: self.plan.contribution.layout.halves(),
            now: Some(&now),
            next: next.as_ref(),
        });
        let mut chain = self.fingerprint.extend();
        chain.add(&steered.rule.save());
        self.steered = Some(steered);
        for directive in directives {
            self.direct(directive, &mut chain)?;
        }
        self.fingerprint = chain.link();
        Ok(())
    }

    fn direct(&mut self, directive: Directive, chain: &mut Chain) -> Result<(), String> {
        match directive {
            Directive::Combine { into, of } => {
                let params = self.combined(&of)?;
                chain.add(into.as_bytes()).add(params.bytes());
                self.store(into, params);
            }
            Directive::Store { into, params } => {
                if params.len() != self.global.len() {
                    return Err(format!(
                        "the rule stores a model `{into}` of another length"
                    ));
                }
                if params.first_not_finite().is_some() {
                    return Err(format!("the model `{into}` is not finite"));
                }
                chain.add(into.as_bytes()).add(params.bytes());
                self.store(into, params);
            }
            Directive::Learned(posterior) => {
                let round = self.current.round;
                let event = Event::PosteriorLearned { round, posterior };
                self.outputs.push_back(Output::Event(event));
            }
            Directive::Forget { model } => {
                if model != GLOBAL && self.steered.as_ref().is_some_and(|s| s.open == model) {
                    self.lay_open(GLOBAL);
                }
                let steered = self.steered.as_mut();
                let waiting = steered.filter(|s| s.open != model && model != GLOBAL);
                if waiting.and_then(|s| s.waiting.remove(&model)).is_none() {
                    return Err(format!("the model `{model}` cannot leave the book"));
                }
                chain.add(model.as_bytes());
            }
            Directive::Announce(task) => {
                let fact = self.announce(task).map_err(|e| e.to_string())?;
                chain.add(&codec::encode(&fact));
            }
            Directive::Finish => {
                self.plan.rounds = self.done;
                self.ends = Some(self.done);
            }
        }
        Ok(())
    }

    /// The sum of models that stands for a preference over tasks.
    pub(super) fn preferred(&self, weights: &[f64]) -> Result<Vec<(String, f64)>, String> {
        let Some(steered) = &self.steered else {
            return Err("this run has no knowledge base: `[scenario.ibcl]` makes one".into());
        };
        steered.rule.preferred(weights)
    }

    /// The weighted sum of models, rounded once.
    pub(super) fn combined(&self, of: &[(String, f64)]) -> Result<Params, String> {
        let parts = of.iter().map(|(name, weight)| {
            let model = self.model(name).ok_or_else(|| {
                let all = self.model_names().join(", ");
                format!("there is no model `{name}`: expected one of {all}")
            })?;
            Ok((model, *weight))
        });
        let parts: Vec<(&Params, f64)> = parts.collect::<Result<_, String>>()?;
        if let [(only, 1.0)] = parts[..] {
            return Ok(only.clone());
        }
        let mut sums = vec![0.0_f64; self.global.len()];
        for (model, weight) in &parts {
            let values = sums.iter_mut().zip(model.iter());
            values.for_each(|(sum, &value)| *sum += weight * f64::from(value));
        }
        let params: Params = sums
            .iter()
            .map(|&sum| sum as f32)
            .collect::<Vec<_>>()
            .into();
        match params.first_not_finite() {
            Some(_) => Err("a combination of models is not finite".into()),
            None => Ok(params),
        }
    }

    fn store(&mut self, name: String, params: Params) {
        let Some(steered) = &mut self.steered else {
            return;
        };
        if steered.open == name {
            self.global = params;
            return;
        }
        let strategy = steered
            .waiting
            .remove(&name)
            .and_then(|closed| closed.strategy);
        steered.waiting.insert(name, Closed { params, strategy });
    }

    /// As [`store`](Self::store), with a strategy that has not begun.
    fn store_afresh(&mut self, name: String, params: Params) {
        let Some(steered) = &mut self.steered else {
            return;
        };
        if steered.open == name {
            let layout = &self.plan.contribution.layout;
            self.strategy = steered.strategy.clone().start(&params, layout);
            self.global = params;
            return;
        }
        let strategy = None;
        steered.waiting.insert(name, Closed { params, strategy });
    }

    /// A task joins the stream with the next round.
    pub(super) fn announce(&mut self, task: TaskDefinition) -> Result<Fact, FactError> {
        let Some(stream) = &self.plan.stream else {
            let why = "a task is announced, and there is no stream of tasks";
            return Err(FactError(why.into()));
        };
        let place = stream.tasks().len();
        let round = lyceum_core::Round(self.done);
        let definition = task.clone();
        let fact = Fact::Task { round, task };
        self.tell(fact.clone())?;
        if let Some(stream) = &self.plan.stream {
            let task = &stream.tasks()[place];
            self.outputs.push_back(Output::Event(Event::TaskAdded {
                round,
                task: TaskInfo {
                    name: task.name.clone(),
                    classes: task.classes.to_vec(),
                    probe: task.probe.len() as u64,
                },
                order: stream.reference().to_vec(),
                definition,
            }));
        }
        Ok(fact)
    }

    /// All models but the first one, and the rule's state, for a snapshot; the first one lies open in it.
    pub(super) fn pages(&self) -> (Vec<Page>, Vec<u8>) {
        let Some(steered) = &self.steered else {
            return (Vec::new(), Vec::new());
        };
        let closed = steered.waiting.iter().map(|(name, closed)| Page {
            name: name.clone(),
            params: closed.params.clone(),
            strategy: closed.strategy.as_ref().map(|strategy| strategy.save()),
        });
        let open = Page {
            name: steered.open.clone(),
            params: self.global.clone(),
            strategy: Some(self.strategy.save()),
        };
        let all = closed.chain([open]).filter(|page| page.name != GLOBAL);
        (all.collect(), steered.rule.save())
    }

    /// The first model and the state of its strategy.
    pub(super) fn first_model(&self) -> (Params, Vec<u8>) {
        let steered = self.steered.as_ref().filter(|s| s.open != GLOBAL);
        let closed = steered.and_then(|steered| steered.waiting.get(GLOBAL));
        match closed {
            Some(Closed { params, strategy }) => {
                let fresh = || self.strategy.save();
                (
                    params.clone(),
                    strategy.as_ref().map_or_else(fresh, |s| s.save()),
                )
            }
            None => (self.global.clone(), self.strategy.save()),
        }
    }

    /// Takes back what [`pages`](Self::pages) gave.
    pub(super) fn take_pages(
        &mut self,
        pages: Vec<Page>,
        rule: &[u8],
    ) -> Result<(), codec::CodecError> {
        let layout = &self.plan.contribution.layout;
        let Some(steered) = &mut self.steered else {
            return Ok(());
        };
        steered.rule.restore(rule)?;
        steered.waiting.clear();
        for Page {
            name,
            params,
            strategy,
        } in pages
        {
            let begun = strategy.map(|bytes| {
                let mut run = steered.strategy.clone().start(&params, layout);
                run.restore(&bytes).map(|()| run)
            });
            let strategy = begun.transpose()?;
            steered.waiting.insert(name, Closed { params, strategy });
        }
        Ok(())
    }

    /// Ends the round, once its model and those beside it are judged, and who asked is answered.
    pub(super) fn end_steered(&mut self) {
        if self.answer_all() {
            return;
        }
        match self.steer() {
            Ok(()) => {
                self.current.stage = Stage::Between;
                let over = Output::RoundOver(self.current.round);
                self.outputs.push_back(over);
            }
            Err(reason) => self.stall(format!("the rule that steers the run: {reason}")),
        }
    }
}
