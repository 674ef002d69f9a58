//! Keys that are right, and do nothing as the others are: what runs but is hardly meant, in sentences.

use crate::{
    data::Normalisation,
    deadline::Deadline,
    scenario::Scenario,
    training::{OptimizerChoice, Schedule, Training},
};
use lyceum_strategies::ordering::{Order, Ordering, Pace, Score};

/// Keys with defaults that a file has all of only if a run wrote it.
const WRITTEN_OUT: [&str; 7] = [
    "run.seed",
    "data.normalise",
    "data.validation",
    "training.optimizer",
    "training.schedule",
    "availability.dropout",
    "evaluation.every",
];

/// Draws of all weights in a step that are hardly meant.
const MANY_DRAWS: usize = 1000;

/// What is said of a key that says nothing.
const NOTHING: &str = "` does nothing here: ";

/// A key that says nothing, and why.
pub(crate) fn idle(key: &str, why: impl std::fmt::Display) -> String {
    format!("`{key}{NOTHING}{why}")
}

/// Whether a sentence is about a key that says nothing.
pub fn is_idle(sentence: &str) -> bool {
    sentence.contains(NOTHING)
}

/// Those of several that do nothing.
fn idle_of<const N: usize>(all: [(bool, &str, &str); N]) -> impl Iterator<Item = String> {
    let there = all.into_iter().filter(|(nothing, ..)| *nothing);
    let told: Vec<String> = there.map(|(_, key, why)| idle(key, why)).collect();
    told.into_iter()
}

impl Scenario {
    /// Whether an author wrote a key. The `scenario.toml` of a run has every key, whether somebody wrote it or not.
    fn wrote(&self, key: &str) -> bool {
        self.places.has(key) && !WRITTEN_OUT.iter().all(|key| self.places.has(key))
    }

    /// Keys that do nothing, whatever the data are.
    pub fn idle_keys(&self) -> Vec<String> {
        let mut all = self.idle_in_training();
        all.extend(self.unusual_numbers());
        all.extend(self.nothing_to_contrast());
        all.extend(self.ordering.iter().flat_map(|o| self.idle_in_ordering(o)));
        all.extend(self.idle_in_data());
        all.extend(self.idle_in_deadline());
        all.extend(self.idle_in_stream());
        all.extend(self.short_budget());
        all.extend(self.idle_rules());
        all.extend(self.idle_in_distributions());
        all
    }

    fn idle_in_training(&self) -> Vec<String> {
        let Training {
            steps,
            epochs,
            step_decay,
            ..
        } = &self.training;
        let mut all = Vec::new();
        if steps.is_some() && (epochs.get() != 1 || self.wrote("training.epochs")) {
            let why = "`training.steps` says how much a client trains; leave one of them out";
            all.push(idle("training.epochs", why));
        }
        if let Some(decay) = step_decay
            && (decay.factor.get() == 0.0 || decay.power.get() == 0.0)
        {
            let why = "with a factor or a power of 0 the rate stays as it is";
            all.push(idle("training.step_decay", why));
        }
        all.extend(self.idle_schedule());
        let momentum = match &self.training.optimizer {
            OptimizerChoice::Sgd(sgd) => sgd.momentum.get() > 0.0,
            _ => true,
        };
        if matches!(&self.training.optimizer, OptimizerChoice::Sgd(sgd) if sgd.nesterov && !momentum)
        {
            let why = "there is no momentum to look ahead by";
            all.push(idle("training.optimizer.sgd.nesterov", why));
        }
        let expert = self.places.has("expert") && !self.needs_expert();
        all.extend(idle_of([
            (
                self.training.carry && !momentum,
                "training.carry",
                "plain SGD has nothing that could go on; give a momentum, or leave it out",
            ),
            (
                expert,
                "expert",
                "no score, partition or order of tasks asks for an expert",
            ),
        ]));
        all
    }

    /// What does nothing, or is far from any use, where weights are distributions.
    fn idle_in_distributions(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.gives_priors() && self.wrote("variational.prior") {
            all.push(idle(
                "variational.prior",
                "a knowledge base has priors of its own",
            ));
        }
        let draws = self.variational.as_ref().map_or(1, |v| v.draws.get());
        if draws > MANY_DRAWS {
            all.push(format!(
                "`variational.draws` = {draws} makes each step take as many gradients: 1 to 10 are usual"
            ));
        }
        all
    }

    /// Rules that never come to act within the run, or have nothing to choose.
    fn idle_rules(&self) -> Vec<String> {
        let rounds = self.rounds();
        let mut all = Vec::new();
        let number = |table: &toml::Value, key: &str| table.get(key)?.as_integer();
        if let Some(steering) = &self.steering {
            let late = number(&steering.resolved, "from").filter(|from| *from >= rounds as i64);
            all.extend(late.map(|from| {
                let why = format!(
                    "it begins with round {from}, and the last round is {}",
                    rounds - 1
                );
                idle(&format!("steering.{}", steering.name), why)
            }));
        }
        let wanted = number(&self.selection.resolved, "per_round");
        let candidates = number(&self.selection.resolved, "candidates");
        if candidates.is_some() && candidates == wanted {
            let key = format!("selection.{}.candidates", self.selection.name);
            all.push(idle(
                &key,
                "as many as `per_round` leave nobody to choose from",
            ));
        }
        all.extend(self.idle_model());
        all
    }

    /// A model of a list of layers that has none, so that only the dense layer to the classes is left.
    fn idle_model(&self) -> Option<String> {
        let (key, of) = match self.model.name {
            "mlp" => ("hidden", "a hidden layer"),
            "cnn" | "stack" => ("layers", "a layer"),
            _ => return None,
        };
        let list = self.model.resolved.get(key)?.as_array()?;
        let empty = list.is_empty() && self.training.loss.contrastive().is_none();
        let key = format!("model.{}", self.model.name);
        empty.then(|| idle(&key, format!("without {of} it is `softmax`")))
    }

    /// Pairs that come one by one.
    fn nothing_to_contrast(&self) -> Option<String> {
        let training = &self.training;
        let alone = training.loss.contrastive().is_some() && training.batch.get() == 1;
        alone.then(|| {
            "`batch = 1` in [training] leaves a pair nothing to be told from: its loss is 0; a contrastive loss needs batches of several \
             pairs"
                .into()
        })
    }

    fn idle_schedule(&self) -> Option<String> {
        let rounds = self.rounds();
        let why = match &self.training.schedule {
            Schedule::Step(step) if step.factor.get() == 1.0 => "its factor is 1".to_owned(),
            Schedule::Step(step) if step.every.get() as u64 >= rounds => {
                format!(
                    "`every` = {} rounds never pass: the run has {rounds}",
                    step.every.get()
                )
            }
            Schedule::Cosine(cosine) if cosine.floor.get() == 1.0 => {
                "its floor is the whole rate".to_owned()
            }
            _ => return None,
        };
        Some(idle("training.schedule", why))
    }

    fn idle_in_data(&self) -> Vec<String> {
        let mut all = self.data_set.plugin.warnings();
        let standard = self.data.normalise == Normalisation::Standard;
        let table = self.data_set.plugin.table();
        let owners = table.and_then(|csv| csv.client.as_ref());
        let partition = self.partition.iter().find(|p| !p.plugin.keeps_owners());
        if let (Some(column), Some(partition)) = (owners, partition) {
            let why = format!(
                "the partition `{}` deals out samples whoever owns them, and the column {column} is no feature; take `by_client` to keep \
                 owners apart",
                partition.name
            );
            all.push(idle("data.set.csv.client", why));
        }
        let given = table.is_some_and(|csv| csv.mean.is_some() || csv.deviation.is_some());
        all.extend(idle_of([
            (
                given && !standard,
                "data.set.csv.mean",
                "only `normalise = \"standard\"` in [data] takes means and deviations out",
            ),
            (
                self.data_set.plugin.is_generated() && !self.data.folders.is_empty(),
                "data.folders",
                "this data set is made, and no file is read",
            ),
        ]));
        all
    }

    /// Keys that do nothing where every client's samples are made when it is asked.
    pub(crate) fn idle_on_demand(&self) -> Vec<String> {
        let told = idle_of([
            (
                self.data.normalise != Normalisation::Unit,
                "data.normalise",
                "samples that are made on demand are used as they are",
            ),
            (
                self.data.parts.is_some(),
                "data.parts",
                "samples that are made on demand are not cut into parts",
            ),
        ]);
        told.collect()
    }

    fn idle_in_deadline(&self) -> Option<String> {
        let Some(Deadline::Close(close)) = &self.deadline else {
            return None;
        };
        let (least, after) = (close.min_s.get(), close.after_s.get());
        let why = match close.enough_clients {
            _ if least == 0.0 => return None,
            None => "no round closes early without `enough_clients`".to_owned(),
            Some(_) if least >= after => {
                return Some(idle(
                    "deadline.close.enough_clients",
                    format!("no round closes early with min_s = {least} and after_s = {after}"),
                ));
            }
            Some(_) => return None,
        };
        Some(idle("deadline.close.min_s", why))
    }

    /// A budget of client updates whose rounds were counted as if nobody left.
    fn short_budget(&self) -> Option<String> {
        self.rounds_of_budget(&self.selection)?;
        let thin = self.availability.dropout.get() > 0.0;
        let leaves = self
            .timeline
            .iter()
            .any(|m| m.drop_clients.is_some() || m.silence.is_some());
        (thin || leaves).then(|| {
            format!(
                "`budget = \"updates\"` of selection.{} counts updates that are asked for: clients that leave, drop out or \
                 are silent are not made up for, and the run ends with fewer",
                self.selection.name
            )
        })
    }

    /// Keys of an order that has no use for them.
    fn idle_in_ordering(&self, ordering: &Ordering) -> Vec<String> {
        let vanilla = ordering.order == Order::Vanilla;
        let whole = matches!(ordering.pace, Pace::All(_));
        let cyclical = matches!(ordering.pace, Pace::Cyclical(_));
        let floor = ordering.floor != Ordering::default().floor;
        let score = ordering.score != Score::default();
        let from_start = match &ordering.pace {
            Pace::All(_) | Pace::Cyclical(_) => false,
            Pace::Linear(ramp)
            | Pace::Quadratic(ramp)
            | Pace::Root(ramp)
            | Pace::Step(ramp)
            | Pace::Exponential(ramp)
            | Pace::Logarithmic(ramp) => ramp.start.get() == 1.0,
        };
        let told = idle_of([
            (
                !ordering.order.needs_scores() && score,
                "ordering.score",
                "only the orders \"curriculum\" and \"anti-curriculum\" sort by a score",
            ),
            (
                vanilla && !whole,
                "ordering.pace",
                "the order \"vanilla\" has no pace",
            ),
            (
                from_start && !vanilla,
                "ordering.pace",
                "it starts with all samples",
            ),
            (
                floor && (vanilla || whole || cyclical),
                "ordering.floor",
                "it holds for paces that grow, other than \"cyclical\"",
            ),
        ]);
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::{registry::Registry, scenario::Scenario};

    const GOOD: &str = "[run]\nname = 'a'\nrounds = 5\n[data]\nset = 'digits'\nclients = 4\n[data.partition.iid]\n\
        [model.softmax]\n[training]\nrate = 0.1\n[selection.all]\n[strategy.fed_avg]\n";

    fn registry() -> Registry {
        let mut registry = Registry::default();
        registry.engines.push(lyceum_core::Engine {
            name: "fused",
            summary: "",
            build: |_| Err("none here".into()),
        });
        registry
    }

    fn told(set: &[&str]) -> Vec<String> {
        let set: Vec<String> = set.iter().map(|text| text.to_string()).collect();
        let scenario = Scenario::read(&registry(), "a.toml", GOOD, &set);
        scenario
            .unwrap_or_else(|e| panic!("{set:?}: {e}"))
            .idle_keys()
    }

    #[test]
    fn keys_that_do_nothing_are_named() {
        let stream = "scenario.class_incremental={tasks=5}";
        for (set, key) in [
            (
                &["training.epochs=5", "training.steps=3"][..],
                "training.epochs",
            ),
            (
                &["training.epochs=1", "training.steps=3"],
                "training.epochs",
            ),
            (&["training.rate=1e-12"], "training.rate"),
            (&["training.rate=50"], "training.rate"),
            (&["training.weight_decay=5"], "training.weight_decay"),
            (&["training.epochs=4294967296"], "training.epochs"),
            (&["training.steps=4294967296"], "training.steps"),
            (&["transform.clip=[{norm=1e-20}]"], "transform.clip.norm"),
            (
                &["data.set.mixture.label_noise=1.0"],
                "data.set.mixture.label_noise",
            ),
            (
                &["data.set.csv={train='a',label='y',client='who'}"],
                "data.set.csv.client",
            ),
            (
                &["scenario.class_incremental={tasks=5,method={naive={},er={memory=50}}}"],
                "scenario.class_incremental.method.naive",
            ),
            (
                &["scenario.class_incremental={tasks=5,method={joint={},er={memory=50}}}"],
                "scenario.class_incremental.method.er",
            ),
            (&["training.rate=1e4"], "training.rate"),
            (&["training.clip=1e-12"], "training.clip"),
            (&["training.weight_decay=10"], "training.weight_decay"),
            (&["model.mlp.hidden=[]"], "model.mlp"),
            (&["model.cnn.layers=[]"], "model.cnn"),
            (&["model.stack.layers=[]"], "model.stack"),
            (&["steering.average={from=5}"], "steering.average"),
            (
                &["selection.power_of_choice={per_round=2,candidates=2}"],
                "selection.power_of_choice.candidates",
            ),
            (
                &["ordering.order='random'", "ordering.pace.linear.start=1"],
                "ordering.pace",
            ),
            (
                &["training.step_decay={factor=0,power=1}"],
                "training.step_decay",
            ),
            (
                &["training.schedule.step={every=5,factor=0.5}"],
                "training.schedule",
            ),
            (&["training.schedule.cosine={floor=1}"], "training.schedule"),
            (&["expert.rate=0.2"], "expert"),
            (&["ordering.score='local-loss'"], "ordering.score"),
            (
                &["ordering.order='random'", "ordering.score='global-error'"],
                "ordering.score",
            ),
            (&["ordering.pace.step={}"], "ordering.pace"),
            (
                &["ordering.order='random'", "ordering.floor=8"],
                "ordering.floor",
            ),
            (&["data.folders=['x']"], "data.folders"),
            (
                &["deadline.close={after_s=5,min_s=2}"],
                "deadline.close.min_s",
            ),
            (
                &["deadline.close={after_s=5,min_s=5,enough_clients=2}"],
                "deadline.close.enough_clients",
            ),
            (&[stream, "training.carry=true"], "training.carry"),
            (
                &["scenario.class_incremental={tasks=5,arrival={spread=0}}"],
                "scenario.class_incremental.arrival.spread",
            ),
        ] {
            let told = told(set);
            assert_eq!(told.len(), 1, "{set:?}: {told:?}");
            assert!(
                told[0].starts_with(&format!("`{key}`")),
                "{set:?}: {told:?}"
            );
        }
        assert_eq!(told(&[stream]), [""; 0]);
        assert_eq!(told(&["model.text_classifier={width=8}"]), [""; 0]);
        for method in ["naive={}", "joint={}", "er={memory=50},ewc={lambda=1}"] {
            let stream = format!("scenario.class_incremental={{tasks=5,method={{{method}}}}}");
            assert_eq!(told(&[&stream]), [""; 0]);
        }
        let owners = [
            "data.set.csv={train='a',label='y',client='who'}",
            "data.partition='by_client'",
        ];
        assert_eq!(told(&owners), [""; 0]);
        let budget = "selection.difficulty={per_round=2,budget='updates'}";
        assert_eq!(told(&[budget]), [""; 0]);
        assert!(told(&[budget, "availability.dropout=0.2"])[0].contains("budget"));
    }

    /// A run's own copy has every key, those that do nothing included; nobody wrote them.
    #[test]
    fn the_copy_that_a_run_writes_is_warned_of_no_default() {
        let set = ["training.steps=3".into(), "ordering.order='random'".into()];
        let scenario = Scenario::read(&registry(), "a.toml", GOOD, &set).unwrap();
        let copy = scenario.resolved().to_string();
        assert!(
            copy.contains("epochs = 1") && copy.contains("score = "),
            "{copy}"
        );
        let again = Scenario::read(&registry(), "b.toml", &copy, &[]).unwrap();
        assert_eq!(again.idle_keys(), [""; 0]);
    }

    #[test]
    fn what_can_never_mean_anything_is_refused_at_its_key() {
        for (set, key) in [
            ("run.start_from=''", "the path of no file"),
            (
                "run={name='a',rounds=5,start_from='a',start_from_blake3='x'}",
                "64 hexadecimal digits",
            ),
            (
                "data.real=[{name='A B',samples=3}]",
                "no certificate can be for `A B`",
            ),
            ("training.rate=1e-300", "1.2e-38"),
            (
                "deadline.close={after_s=5,give_up_s=1}",
                "would stop before",
            ),
            (
                "deadline.close={after_s=5,min_clients=3,enough_clients=2}",
                "fewer clients",
            ),
            (
                "timeline=[{round=2,drop_clients={share=0}}]",
                "nobody leaves",
            ),
            (
                "timeline=[{round=2,silence={share=0,rounds=1}}]",
                "nobody falls silent",
            ),
            ("timeline=[{round=2,set={}}]", "no key changes"),
            ("timeline=[{round=2,drop_clients=3}]", "share"),
        ] {
            let read = Scenario::read(&registry(), "a.toml", GOOD, &[set.into()]);
            let error = read.err().expect(set).to_string();
            assert!(error.contains(key), "{set}: {error}");
        }
    }
}
