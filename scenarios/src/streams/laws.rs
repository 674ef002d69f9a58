//! What holds for every stream, however it comes to however many clients.

use crate::{Loaded, Registry, Scenario};
use lyceum_core::{
    ClientId, Engine, Federation, Item, Probe, Reach, Round, Shard, TaskStream, Visit,
};
use proptest::{prelude::*, sample::select};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

const STREAMS: [&str; 16] = [
    "class_incremental]\ntasks = 5",
    "class_incremental]\nclasses = [[3], [1, 4, 5], [9, 0]]",
    "task_incremental]\ntasks = 2\nshuffled = true",
    "online]\ntasks = 5",
    "blurry]\ntasks = 5\nshare = 0.3",
    "task_free]\ntasks = 5\nonce = true",
    "gradual_drift]\ntasks = 5\nfade = 0.6",
    "gradual_drift]\nshift.rotated.degrees = [0, 45, 90]",
    "domain_incremental]\ntasks = 3\nshift.permuted = { first_as_it_is = true }",
    "domain_incremental]\ntasks = 4\nshift.rotated.degrees = [0, 90]",
    "domain_incremental]\nshift.noise.deviation = [0, 0.3]",
    "domain_incremental]\ntasks = 3\nshift.brightness.factor = [0.5, 1.5]",
    "domain_incremental]\ntasks = 3\nshift.label_shift.share = 0.6",
    "domain_incremental]\ntasks = 3\nshift.feature_skew.per = 'value'",
    "domain_incremental]\ntasks = 5\nshift.groups.shuffled = true",
    "domain_incremental]\nshift.groups.groups = [[[0, 1], [2]], [[2], [0], [7, 8]]]",
];
const ARRIVALS: [&str; 7] = [
    "",
    "sequence = 'own'",
    "jitter = 3",
    "spread = 0.5\nrounds_per_task = 4",
    "repeats = 2\nrepeated = 'shuffled'",
    "tasks_per_client = 2",
    "joining = { initial = 2, per_task = 6, stay = 0.3 }\njitter = 2",
];
const ORDERS: [&str; 4] = ["defined", "seeded", "blocked", "interleaved"];
const PARTITIONS: [&str; 4] = [
    "iid]",
    "dirichlet]\nalpha = 0.3\nmin_samples = 1",
    "labels_per_client]\nlabels = 2",
    "quantity_skew]\nalpha = 1.0",
];

#[derive(Clone, Debug)]
struct Case {
    stream: &'static str,
    arrival: &'static str,
    order: &'static str,
    partition: &'static str,
    clients: u64,
    rounds: u64,
    validation: bool,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let choices = (
        select(&STREAMS[..]),
        select(&ARRIVALS[..]),
        select(&ORDERS[..]),
        select(&PARTITIONS[..]),
    );
    let numbers = (1..9_u64, 1..31_u64, any::<bool>(), 0..1000_u64);
    (choices, numbers).prop_map(
        |((stream, arrival, order, partition), (clients, rounds, validation, seed))| Case {
            stream,
            arrival,
            order,
            partition,
            clients,
            rounds,
            validation: validation && !stream.contains("groups"),
            seed,
        },
    )
}

/// A scenario's stream with the clients that it comes to.
struct World {
    stream: Arc<TaskStream>,
    federation: Arc<dyn Federation>,
    train: Shard,
}

fn scenario(text: &str) -> Result<Scenario, crate::Diagnostic> {
    let mut registry = Registry::default();
    registry.engines.push(Engine {
        name: "fused",
        summary: "none",
        build: |_| Err("only the stream is asked for".into()),
    });
    Scenario::read(&registry, "laws", text, &[])
}

fn world(text: &str) -> World {
    attempt(text).unwrap_or_else(|| panic!("a task never comes\n{text}"))
}

/// Nothing where the run is too short for its tasks, or has too few clients, which is refused.
fn attempt(text: &str) -> Option<World> {
    let is_too_short = |e: &crate::Diagnostic| {
        let text = e.to_string();
        text.contains("never comes") || text.contains("are there at first")
    };
    let scenario = match scenario(text) {
        Err(e) if is_too_short(&e) => return None,
        scenario => scenario.unwrap_or_else(|e| panic!("{e}\n{text}")),
    };
    let loaded = Loaded::read(&scenario, &[]).unwrap();
    let train = loaded.pooled().unwrap();
    let stream = match loaded.stream(&scenario, None) {
        Err(e) if is_too_short(&e) => return None,
        stream => stream.unwrap_or_else(|e| panic!("{e}\n{text}")).unwrap(),
    };
    Some(World {
        stream,
        federation: loaded.federate(&scenario, None).unwrap(),
        train,
    })
}

fn text(run: &str, data: &str, stream: &str) -> String {
    format!(
        "run = {{ name = 'laws', {run} }}\nmodel = 'softmax'\ntraining = {{ rate = 0.1 }}\n\
         selection = 'all'\nstrategy = 'fed_avg'\n[data]\nset = 'digits'\n{data}\n[scenario.{stream}"
    )
}

impl Case {
    fn world(&self) -> Option<World> {
        let run = format!("seed = {}, rounds = {}", self.seed, self.rounds);
        let validation = if self.validation { 0.2 } else { 0.0 };
        let data = format!(
            "clients = {}\nvalidation = {validation}\n[data.partition.{}",
            self.clients, self.partition
        );
        let kind = self.stream.split(']').next().unwrap_or_default();
        let stream = format!(
            "{}\norder = '{}'\n[scenario.{kind}.arrival]\n{}",
            self.stream, self.order, self.arrival
        );
        attempt(&text(&run, &data, &stream))
    }
}

impl World {
    fn clients(&self) -> impl Iterator<Item = (ClientId, Cow<'_, Shard>)> + '_ {
        let all = (0..self.federation.clients()).map(ClientId);
        all.map(|client| (client, self.federation.shard(client)))
    }

    /// The task after a visit, where it fades in.
    fn fading(&self, client: ClientId, visit: Visit) -> Option<Visit> {
        let visits = self.stream.calendar().of(client);
        let fades = self.stream.rules().fade > 0.0;
        let next = visits.get(visit.place as usize + 1).copied();
        next.filter(|_| fades)
    }

    fn check_sight(&self, client: ClientId, round: Round, shard: &Shard) {
        let visit = self.stream.calendar().at(client, round).copied();
        let sight = self.stream.sight(client, round, shard, Reach::Task);
        let view = self.stream.view(client, round);
        assert_eq!(
            (sight.is_some(), view.is_some()),
            (visit.is_some(), visit.is_some())
        );
        let (Some(visit), Some(sight)) = (visit, sight) else {
            return;
        };
        let own: BTreeSet<u32> = shard.indices.iter().copied().collect();
        let fading = self.fading(client, visit);
        for item in sight.items() {
            assert!(own.contains(&item.index), "a sample of somebody else");
            let here = [Some(visit.task), fading.map(|v| v.task)].contains(&Some(item.task));
            assert!(here, "a task that is not the client's");
            let task = &self.stream.tasks()[item.task.0 as usize];
            assert!(
                task.train.contain(&shard.pool, item.index),
                "not of the task"
            );
            assert!(
                task.classes.contains(&sight.label_of(item)),
                "a label not of the task"
            );
        }
        let all: BTreeSet<Item> = sight.items().collect();
        assert_eq!(all.len(), sight.len(), "a sample twice");
        let so_far = self
            .stream
            .sight(client, round, shard, Reach::UpToNow)
            .unwrap();
        let came = self.stream.calendar().of(client).iter();
        let came: BTreeSet<_> = came
            .filter(|v| v.place <= visit.place)
            .map(|v| v.task)
            .collect();
        assert!(so_far.items().all(|item| came.contains(&item.task)));
    }

    /// What `once` promises: the portions of a visit make up the task.
    fn check_portions(&self, client: ClientId, shard: &Shard) {
        for visit in self.stream.calendar().of(client) {
            let rounds = (visit.begins..visit.ends).map(Round);
            let sights = rounds.map(|r| self.stream.sight(client, r, shard, Reach::Task));
            let mut shown: Vec<Item> = Vec::new();
            sights
                .flatten()
                .for_each(|sight| shown.extend(sight.items()));
            let mut whole: Vec<Item> = self.stream.whole_task(visit.task, shard).items().collect();
            shown.sort_unstable();
            whole.sort_unstable();
            assert_eq!(shown, whole, "each sample in one round of the visit");
        }
    }

    fn check_probes(&self) {
        let test = self.federation.probe(Probe::Test).unwrap();
        assert!(!Arc::ptr_eq(test, &self.train.pool));
        for (number, task) in (0..).map(lyceum_core::TaskId).zip(self.stream.tasks()) {
            let size = task.probe.len() as u32;
            let probe = self
                .stream
                .probe(Probe::Task(number), test, 0, size)
                .unwrap();
            assert!(
                size > 0
                    && probe
                        .items()
                        .all(|i| task.classes.contains(&probe.label_of(i)))
            );
        }
        let held = self
            .federation
            .probe(Probe::Validation)
            .map_or(0, |v| v.len());
        assert_eq!(held + self.train.len(), self.train.pool.len());
        let kept: BTreeSet<u32> = self.train.indices.iter().copied().collect();
        let all_kept = |shard: &Shard| shard.indices.iter().all(|i| kept.contains(i));
        assert!(self.clients().all(|(_, shard)| all_kept(&shard)));
    }

    /// How often all tasks together show each of a client's samples.
    fn showings(&self, shard: &Shard) -> Vec<usize> {
        let count = |index: &u32| {
            let tasks = self.stream.tasks().iter();
            tasks
                .filter(|t| t.train.contain(&shard.pool, *index))
                .count()
        };
        shard.indices.iter().map(count).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn no_client_sees_a_sample_that_is_not_its_own_or_not_of_its_task(case in cases()) {
        // A client needs as many tasks as it is to have, and room to join.
        prop_assume!(!case.arrival.contains("joining") || case.clients <= 8);
        let world = case.world();
        prop_assume!(world.is_some());
        let world = world.unwrap();
        world.check_probes();
        let divides = ["class_incremental]\ntasks", "task_", "online", "blurry", "gradual_drift]\ntasks"];
        let divides = divides.iter().any(|kind| case.stream.starts_with(kind))
            || case.stream.contains("label_shift");
        for (client, shard) in world.clients() {
            for round in 0..case.rounds + 3 {
                world.check_sight(client, Round(round), &shard);
            }
            if world.stream.rules().once {
                world.check_portions(client, &shard);
            }
            if divides {
                prop_assert!(world.showings(&shard).iter().all(|n| *n == 1));
            }
        }
    }
}

const PLAIN: &str = "clients = 1\npartition = 'iid'";

#[test]
fn shuffled_labels_are_a_permutation_that_depends_on_the_seed() {
    let names = |seed: u64, labels: &str| {
        let run = format!("seed = {seed}, rounds = 10");
        let stream = format!("class_incremental]\ntasks = 10\nlabels = '{labels}'");
        let world = world(&text(&run, PLAIN, &stream));
        let test = world.federation.probe(Probe::Test).unwrap();
        let shown = |task: u32| {
            let task = lyceum_core::TaskId(task);
            let whole = world.stream.whole_task(task, &world.train);
            let labels: BTreeSet<u32> = (0..whole.len()).map(|p| whole.label(p)).collect();
            let probe = world.stream.probe(Probe::Task(task), test, 0, 1).unwrap();
            assert!(labels.contains(&probe.label(0)));
            assert!(
                labels
                    .iter()
                    .eq(world.stream.tasks()[task.0 as usize].classes.iter())
            );
            labels
        };
        (0..10).flat_map(shown).collect::<Vec<u32>>()
    };
    assert!(names(1, "as-they-are").into_iter().eq(0..10));
    let first = names(1, "shuffled");
    assert_eq!(
        first.iter().copied().collect::<BTreeSet<_>>(),
        (0..10).collect()
    );
    assert_eq!(first, names(1, "shuffled"));
    assert_ne!(first, names(2, "shuffled"));
    assert!((0..10).any(|seed| names(seed, "shuffled")[0] != 0));
}

#[test]
fn groups_ask_one_question_after_another_under_shared_labels() {
    let stream = "domain_incremental]\nshift.groups.groups = [[[4], [1]], [[2, 3], [7]]]";
    let world = world(&text("rounds = 4", PLAIN, stream));
    assert_eq!(world.stream.rules().outputs, Some(2));
    let names: Vec<_> = world.stream.tasks().iter().map(|t| &t.name[..]).collect();
    assert_eq!(names, ["4 or 1", "2+3 or 7"]);
    let whole = world
        .stream
        .whole_task(lyceum_core::TaskId(1), &world.train);
    for item in whole.items() {
        let class = whole.pool.labels[item.index as usize];
        assert_eq!(whole.label_of(item), u32::from(class == 7), "class {class}");
    }
}

#[test]
fn a_designed_order_begins_where_the_designer_says() {
    let order = |keys: &str| {
        let stream = format!("class_incremental]\ntasks = 5\norder.designed = {{ {keys} }}");
        let world = world(&text("rounds = 5", PLAIN, &stream));
        let tasks = world.stream.reference().iter().map(|v| v.task.0);
        tasks.collect::<Vec<u32>>()
    };
    assert_eq!(order(""), order("percentile = 100"));
    assert_eq!(order("rank = 119"), order("percentile = 0"));
    assert_ne!(order(""), order("rank = 119"));
    assert_ne!(order(""), order("distance = 'euclidean', percentile = 50"));
}

#[test]
fn an_order_by_difficulty_follows_the_losses_of_an_expert() {
    let order = |keys: &str| {
        let stream = format!("class_incremental]\ntasks = 5\norder.difficulty = {{ {keys} }}");
        let scenario = scenario(&text("rounds = 5", PLAIN, &stream)).unwrap();
        assert!(scenario.needs_expert());
        let loaded = Loaded::read(&scenario, &[]).unwrap();
        let pooled = loaded.pooled().unwrap();
        // The higher the class, the easier its samples.
        let losses: Vec<f32> = (0..pooled.len())
            .map(|p| 10.0 - pooled.label(p) as f32)
            .collect();
        let stream = loaded.stream(&scenario, Some(&losses)).unwrap().unwrap();
        let tasks = stream.reference().iter().map(|v| v.task.0);
        tasks.collect::<Vec<u32>>()
    };
    assert_eq!(order("by = 'mean-loss'"), [4, 3, 2, 1, 0]);
    assert_eq!(
        order("by = 'mean-loss', first = 'hardest'"),
        [0, 1, 2, 3, 4]
    );
    // The easy third ends within class 6: equal shares keep the order of the stream.
    assert_eq!(order("by = 'share-easy'"), [3, 4, 0, 1, 2]);
    assert_eq!(order("")[2..], [0, 1, 2]);
}

#[test]
fn what_does_not_go_together_is_said_where_it_stands() {
    let faults = |data: &str, stream: &str| {
        let made = scenario(&text("rounds = 5", data, stream)).and_then(|scenario| {
            let loaded = Loaded::read(&scenario, &[])?;
            loaded.stream(&scenario, None).map(|_| ())
        });
        made.expect_err(stream).to_string()
    };
    let on_demand = "clients = 3";
    for (data, stream, want) in [
        (
            PLAIN,
            "online]\ntasks = 3",
            "10 classes cannot be dealt to 3 tasks",
        ),
        (
            PLAIN,
            "task_free]\ntasks = 5\nhead = 'multi-head'",
            "does not tell of which task",
        ),
        (
            PLAIN,
            "task_incremental]\ntasks = 5\nhead = 'shared'",
            "a test says of which task",
        ),
        (
            PLAIN,
            "blurry]\ntasks = 5\nshare = 1.5",
            "a fraction from 0 to 1",
        ),
        (
            PLAIN,
            "domain_incremental]\nshift.permuted = {}",
            "`tasks` is not given",
        ),
        (
            PLAIN,
            "domain_incremental]\ntasks = 4\nshift.rotated.degrees = [0, 10, 20]",
            "3 values for 4 tasks",
        ),
        (
            PLAIN,
            "domain_incremental]\ntasks = 2\nshift.permuted = {}\norder = 'difficulty'",
            "an order by difficulty needs",
        ),
        (
            PLAIN,
            "domain_incremental]\ntasks = 5\nlabels = 'shuffled'\nshift.groups = {}",
            "this stream has labels of its own",
        ),
        (
            PLAIN,
            "class_incremental]\ntasks = 5\norder.designed = { rank = 1, percentile = 3 }",
            "both `rank` and `percentile`",
        ),
        (
            PLAIN,
            "class_incremental]\ntasks = 5\narrival = { shared = false }",
            "`shared` says nothing without `tasks_per_client`",
        ),
        (
            PLAIN,
            "class_incremental]\ntasks = 5\narrival = { tasks_per_client = 9 }",
            "there are 5 tasks",
        ),
    ] {
        // Before an expert has scored them, samples have no difficulty.
        let want = if stream.contains("difficulty") {
            "no difficulty yet"
        } else {
            want
        };
        let said = faults(data, stream);
        assert!(said.contains(want), "{said}");
    }
    for stream in [
        "blurry]\ntasks = 5",
        "domain_incremental]\ntasks = 5\nshift.label_shift = {}",
        "class_incremental]\ntasks = 5\norder = 'designed'",
        "class_incremental]\ntasks = 5\norder = 'difficulty'",
    ] {
        let text = text("rounds = 5", on_demand, stream).replace("'digits'", "'synthetic'");
        let made = scenario(&text).and_then(|scenario| {
            let loaded = Loaded::read(&scenario, &[])?;
            loaded.stream(&scenario, None).map(|_| ())
        });
        let said = made.expect_err(stream).to_string();
        assert!(said.contains("clients on demand"), "{said}");
    }
}
