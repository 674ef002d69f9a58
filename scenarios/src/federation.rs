//! From a data set on disk to clients with shards.

mod doubts;
mod fit;
mod overview;

pub use overview::shares;

use crate::{
    data::{
        DataError, Items, LoadContext, Origin, Settled, Source, TableNames, in_words, normalise,
        split_validation,
    },
    diagnostic::Diagnostic,
    partition::{Divide, PartitionError},
    scenario::Scenario,
    stream_resolution::Material,
};
use lyceum_core::{
    ClientId, Features, Federation, Fingerprint, IMPORTANCES, MEANS, Needs, Network, Probe,
    Purpose, Role, Roster, Samples, Shard, TaskStream,
    units::{Fraction, Misfit},
};
use std::{borrow::Cow, path::PathBuf, sync::Arc};

/// A scenario's data, read but not yet divided among clients.
pub struct Loaded {
    shape: Vec<usize>,
    classes: usize,
    kind: Kind,
    /// Where the samples come from a table, or from texts.
    names: Option<TableNames>,
    /// What the data set says of the things that its tasks are made of, where a stream may ask for that.
    items: Option<Items>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

enum Kind {
    Pool(Pool),
    OnDemand(Arc<dyn Federation>),
}

struct Pool {
    train: Arc<Samples>,
    /// Training samples that are not validation samples, ascending.
    kept: Arc<[u32]>,
    /// The others, ascending.
    held: Vec<u32>,
    validation: Option<Arc<Samples>>,
    test: Arc<Samples>,
    natural: Option<Vec<u32>>,
}

impl Loaded {
    /// Reads the scenario's data set; `folders` are where sets by name and relative paths are looked for.
    pub fn read(scenario: &Scenario, folders: &[PathBuf]) -> Result<Self, Diagnostic> {
        let context = LoadContext {
            seed: scenario.seed(),
            clients: scenario.data.clients.get() as u64,
            folders: folders.to_vec(),
        };
        let refuse = |e: DataError| {
            let (message, label) = (e.to_string(), "this data set cannot be read");
            match e.key() {
                Some(key) => {
                    let path = format!("data.set.{}.{key}", scenario.data_set.name);
                    scenario.fault(&path, message, label)
                }
                None if e.is_of_files() => {
                    let path = format!("data.set.{}", scenario.data_set.name);
                    scenario.fault(&path, message, label)
                }
                None => scenario.fault_among(&["data.set"], message, label),
            }
        };
        let items = match &scenario.stream {
            None => None,
            Some(_) => scenario.data_set.plugin.items(&context).map_err(refuse)?,
        };
        let loaded = match scenario.data_set.plugin.load(&context).map_err(refuse)? {
            Source::Pool {
                train,
                test,
                natural,
            } => {
                let (mut train, mut test) = (train, test);
                normalise(scenario.data.normalise, &mut train, &mut test);
                Self::pool((scenario, folders), (train, None), test, natural)
            }
            Source::Parted {
                train,
                held,
                test,
                natural,
            } => Self::pool((scenario, folders), (train, Some(held)), test, natural),
            Source::Table(table) => {
                let settled = table.settle(scenario.data.normalise).map_err(refuse)?;
                Self::table((scenario, folders), settled)
            }
            Source::Text(settled) => Self::table((scenario, folders), *settled),
            Source::OnDemand(federation) => Self::on_demand(scenario, federation),
        }?;
        Ok(Self { items, ..loaded })
    }

    fn table(place: (&Scenario, &[PathBuf]), settled: Settled) -> Result<Self, Diagnostic> {
        let Settled {
            train,
            test,
            natural,
            names,
            warnings,
            notes,
        } = settled;
        Ok(Self {
            names: Some(names),
            warnings,
            notes,
            ..Self::pool(place, (train, None), test, natural)?
        })
    }

    /// The scenario with what was learned of its data, so that whoever reads it again reads by the same names.
    pub fn settled(&self, scenario: &Scenario) -> Scenario {
        let mut scenario = scenario.clone();
        if let (Some(names), Some(set)) = (&self.names, scenario.data_set.resolved.as_table_mut()) {
            set.extend(names.keys());
        }
        scenario
    }

    /// Names of the classes; empty where they are numbers.
    pub fn class_names(&self) -> &[String] {
        self.names.as_ref().map_or(&[], |names| &names.classes)
    }

    /// Names of the features; empty where they have none.
    fn feature_names(&self) -> &[String] {
        let names = self
            .names
            .as_ref()
            .and_then(|names| names.features.as_ref());
        names.map_or(&[], Vec::as_slice)
    }

    fn pool(
        (scenario, folders): (&Scenario, &[PathBuf]),
        (mut train, given): (Samples, Option<Vec<u32>>),
        mut test: Samples,
        natural: Option<Vec<u32>>,
    ) -> Result<Self, Diagnostic> {
        if train.is_empty() || test.is_empty() {
            return Err(scenario.fault(
                "data.set",
                "the data set has no training or no test samples",
                "at least one of each",
            ));
        }
        if let (Some(_), Some(_)) = (&scenario.data.features, train.pairs()) {
            return Err(scenario.fault(
                "data.features",
                "pairs of texts have features of their own",
                "leave it out",
            ));
        }
        if let Some(features) = &scenario.data.features {
            let origin = Origin {
                seed: scenario.seed(),
                engine: scenario.engine,
                folders,
            };
            let applied = features.apply(&origin, &mut train, &mut test);
            let refuse = |e: DataError| {
                scenario.fault("data.features", e.to_string(), "these cannot be computed")
            };
            applied.map_err(refuse)?;
        }
        let (kept, held) = parted(scenario, train.len() as u32, given)?;
        let validation = (!held.is_empty()).then(|| Arc::new(train.select(&held)));
        let (shape, classes) = (train.shape.clone(), train.classes);
        let pool = Pool {
            train: Arc::new(train),
            kept: kept.into(),
            held,
            validation,
            test: Arc::new(test),
            natural,
        };
        Ok(Self {
            shape,
            classes,
            kind: Kind::Pool(pool),
            names: None,
            items: None,
            warnings: Vec::new(),
            notes: Vec::new(),
        })
    }

    fn on_demand(scenario: &Scenario, federation: Arc<dyn Federation>) -> Result<Self, Diagnostic> {
        let set = scenario.data_set.name;
        let refuse = |path: &str, label: String| {
            Err(scenario.fault(path, format!("`{set}` makes its clients on demand"), label))
        };
        if scenario.partition.is_some() {
            return refuse(
                "data.partition",
                "remove the partition: this set comes divided".into(),
            );
        }
        if scenario.needs_expert() {
            let ordering = scenario.ordering.as_ref();
            let path = match (&scenario.stream, ordering.is_some_and(|o| o.needs_expert())) {
                (Some(stream), false) => format!("scenario.{}.order", stream.kind.name),
                _ => "ordering.score".into(),
            };
            return refuse(
                &path,
                "scores by an expert need a set that lies in one place".into(),
            );
        }
        if scenario.data.features.is_some() {
            return refuse(
                "data.features",
                "fixed features need a set that lies in one place".into(),
            );
        }
        if scenario.data.validation.get() > 0.0 {
            return refuse(
                "data.validation",
                "a validation set needs a set that lies in one place".into(),
            );
        }
        let Some(test) = federation.probe(Probe::Test) else {
            return refuse("data.set", "it has no test samples".into());
        };
        Ok(Self {
            shape: test.shape.clone(),
            classes: test.classes,
            kind: Kind::OnDemand(federation),
            names: None,
            items: None,
            warnings: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// The scenario's stream of tasks, if it has one. `difficulty` holds an expert's loss on each pooled sample, for the
    /// orders that need it.
    pub fn stream(
        &self,
        scenario: &Scenario,
        difficulty: Option<&[f32]>,
    ) -> Result<Option<Arc<TaskStream>>, Diagnostic> {
        let Some(choice) = &scenario.stream else {
            return Ok(None);
        };
        let material = match &self.kind {
            Kind::Pool(pool) => Material {
                train: Some(&pool.train),
                test: &pool.test,
                kept: &pool.kept,
                held: &pool.held,
                losses: difficulty,
                called: self.class_names(),
                items: self.items.as_ref(),
                features: self.feature_names(),
            },
            Kind::OnDemand(federation) => match federation.probe(Probe::Test) {
                Some(test) => Material {
                    train: None,
                    test,
                    kept: &[],
                    held: &[],
                    losses: None,
                    called: &[],
                    items: None,
                    features: &[],
                },
                None => {
                    let label = "this set has no test samples";
                    return Err(scenario.fault("data.set", "a stream judges tasks by them", label));
                }
            },
        };
        let has_pairs = material.test.pairs().is_some();
        let stream = choice.resolve(scenario, material)?;
        let changes = |task: &lyceum_core::Task| !task.lens.is_plain();
        if has_pairs && stream.tasks().iter().any(changes) {
            let message =
                "the tasks of this stream change values or labels, and pairs stay as they are";
            let label = "`class_incremental` without shuffled labels: one repository a task";
            return Err(scenario.fault(&format!("scenario.{}", choice.kind.name), message, label));
        }
        Ok(Some(Arc::new(stream)))
    }

    /// The scenario's model for these samples.
    pub fn network(&self, scenario: &Scenario) -> Result<Network, Diagnostic> {
        let outputs = scenario
            .stream
            .as_ref()
            .and_then(|s| s.kind.plugin.outputs());
        let (model, classes) = (&scenario.model, outputs.unwrap_or(self.classes));
        let path = format!("model.{}", model.name);
        let refuse =
            |message: String, label: String| scenario.fault_among(&[path.as_str()], message, label);
        if let Some((message, expected)) = model.plugin.unfit(classes) {
            return Err(refuse(message, expected));
        }
        let network = model.plugin.network(&self.shape, classes).map_err(|e| {
            let (samples, classes) = (in_words(&self.shape), self.classes);
            let label = format!("samples are {samples}, in {classes} classes");
            let layer = format!("{path}.layers.{}", e.index);
            match scenario.places.has(&layer) {
                true => scenario.fault(&layer, e.to_string(), label),
                false => refuse(e.to_string(), label),
            }
        })?;
        if let Some((key, message, expected)) = self.unfit(scenario, &network) {
            return Err(scenario.fault(&key, message, expected));
        }
        let network = scenario.distributed(network);
        let stream = scenario.stream.as_ref();
        match stream.and_then(|s| s.unfit(&network, self.sample_bytes())) {
            Some(Misfit {
                key,
                message,
                expected,
            }) => Err(scenario.fault(&format!("scenario.{key}"), message, expected)),
            None => {
                if let Some((key, message, expected)) = scenario.wrong_in_draws(&network) {
                    return Err(scenario.fault(&key, message, expected));
                }
                scenario.with_local(with_room(network, scenario.needs()))
            }
        }
    }

    /// Bytes of a sample as it is stored; 0 where there is none.
    fn sample_bytes(&self) -> usize {
        match &self.kind {
            Kind::Pool(pool) => pool.train.sample_bytes(),
            Kind::OnDemand(federation) => {
                let test = federation.probe(Probe::Test);
                test.map_or(0, |samples| samples.sample_bytes())
            }
        }
    }

    /// All training samples, where they lie in one place: what an expert learns from.
    pub fn pooled(&self) -> Option<Shard> {
        match &self.kind {
            Kind::Pool(pool) => Some(Shard::new(pool.train.clone(), pool.kept.clone())),
            Kind::OnDemand(federation) => federation.pooled(),
        }
    }

    /// Hash of all samples, so that a run is not resumed over other data.
    pub fn digest(&self) -> Fingerprint {
        let mut chain = Fingerprint::default().extend();
        let Kind::Pool(pool) = &self.kind else {
            return chain.link();
        };
        for samples in [&pool.train, &pool.test] {
            match &samples.features {
                Features::U8(bytes) => chain.add(bytes),
                Features::F32(values) => chain.floats(values),
                Features::U16(values) => {
                    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                    chain.add(&bytes)
                }
                Features::Sparse(sparse) => {
                    for (places, values) in (0..sparse.len()).map(|row| sparse.row(row)) {
                        chain.number(places.len() as u64);
                        places.iter().for_each(|&place| {
                            chain.number(place.into());
                        });
                        chain.floats(values);
                    }
                    &mut chain
                }
                Features::Pairs(pairs) => {
                    pairs.corpus.chained(&mut chain);
                    pairs.of.iter().flatten().for_each(|&place| {
                        chain.number(place.into());
                    });
                    &mut chain
                }
            };
            if !samples.goals.is_empty() {
                chain.floats(&samples.goals);
            }
            samples.targets.iter().for_each(|&target| {
                chain.number(target.into());
            });
            samples.labels.iter().for_each(|&label| {
                chain.number(label.into());
            });
            for value in samples.affine.shift.iter().chain(&samples.affine.scale) {
                chain.number(value.to_bits().into());
            }
        }
        pool.natural.iter().flatten().for_each(|&owner| {
            chain.number(owner.into());
        });
        chain.link()
    }

    /// All training samples before anybody owns them, for the node that trains the expert.
    pub fn undivided(&self) -> Option<Arc<dyn Federation>> {
        self.pooled()
            .map(|pool| Arc::new(Undivided(pool)) as Arc<dyn Federation>)
    }

    /// Divides the samples among clients. `difficulty` holds an expert's loss on each pooled sample,
    /// for the partitions that need it.
    pub fn federate(
        self,
        scenario: &Scenario,
        difficulty: Option<&[f32]>,
    ) -> Result<Arc<dyn Federation>, Diagnostic> {
        let pool = match self.kind {
            Kind::OnDemand(federation) => return Ok(with_real(scenario, federation)),
            Kind::Pool(pool) => pool,
        };
        let Some(partition) = &scenario.partition else {
            return Err(scenario.fault(
                "data",
                format!(
                    "`{}` must be divided among the clients",
                    scenario.data_set.name
                ),
                "add a table such as `[data.partition.iid]`",
            ));
        };
        let clients = scenario.data.clients.get();
        let labels: Vec<u32> = pool
            .kept
            .iter()
            .map(|&i| pool.train.labels[i as usize])
            .collect();
        let natural: Option<Vec<u32>> = pool
            .natural
            .as_ref()
            .map(|owners| pool.kept.iter().map(|&i| owners[i as usize]).collect());
        let input = Divide {
            labels: &labels,
            classes: pool.train.classes,
            parts: scenario.data.parts.map_or(clients, |p| p.get()),
            natural: natural.as_deref(),
            difficulty,
        };
        let parts = partition
            .plugin
            .divide(&input, &mut scenario.seed().once(Purpose::PARTITION))
            .map_err(|e| {
                let without = self.names.as_ref().map_or(0, |names| names.without.len());
                cannot_divide(scenario, partition.name, e, (pool.held.len(), without))
            })?;
        let place = |position: u32| pool.kept[position as usize];
        let shards = parts
            .into_iter()
            .take(clients)
            .map(|part| Shard::new(pool.train.clone(), part.into_iter().map(place).collect()))
            .collect();
        Ok(with_real(scenario, Arc::new(Pooled { pool, shards })))
    }
}

/// Why a partition cannot be made, at the key that is most likely at fault.
fn cannot_divide(
    scenario: &Scenario,
    partition: &str,
    error: PartitionError,
    (held, without): (usize, usize),
) -> Diagnostic {
    match error {
        PartitionError::TooFewSamples {
            samples,
            parts,
            each,
        } if samples + held >= parts.saturating_mul(each) => {
            let message = format!(
                "{held} validation samples leave {samples} to train on, too few for {parts} clients with at least {each}"
            );
            let label = "a smaller share, or fewer clients";
            scenario.fault("data.validation", message, label)
        }
        PartitionError::TooFewOwners { owners, parts } if owners + without >= parts => {
            let message = format!(
                "of {} owners, {owners} are left with training samples, and {parts} clients are asked for",
                owners + without
            );
            let path = format!("data.set.{}.test_fraction", scenario.data_set.name);
            scenario.fault(
                &path,
                message,
                "a smaller share for tests, or fewer clients",
            )
        }
        PartitionError::TooFewOwners { owners, .. } => {
            let keys = ["data.clients", "data.parts"];
            scenario.fault_among(&keys, error.to_string(), format!("at most {owners}"))
        }
        error => {
            let path = format!("data.partition.{partition}");
            let keys = [path.as_str(), "data.clients", "data.parts"];
            scenario.fault_among(&keys, error.to_string(), "this partition cannot be made")
        }
    }
}

/// Places of the training samples and of the validation samples: those that the data set gives, or a share.
fn parted(
    scenario: &Scenario,
    samples: u32,
    given: Option<Vec<u32>>,
) -> Result<(Vec<u32>, Vec<u32>), Diagnostic> {
    let share = scenario.data.validation.get();
    match given {
        Some(held) if share == 0.0 => {
            let is_held = |place: &u32| held.binary_search(place).is_ok();
            Ok(((0..samples).filter(|p| !is_held(p)).collect(), held))
        }
        Some(_) => {
            let message = "the data set brings validation samples of its own";
            Err(scenario.fault("data.validation", message, "leave it out"))
        }
        None => {
            let all: Vec<u32> = (0..samples).collect();
            let share = Fraction::new(share).expect("a decay is a fraction");
            let (kept, held) = split_validation(&all, share, scenario.seed());
            holds_some(scenario, &kept, &held)?;
            Ok((kept, held))
        }
    }
}

/// Refuses a validation share that holds back nothing, or everything.
fn holds_some(scenario: &Scenario, kept: &[u32], held: &[u32]) -> Result<(), Diagnostic> {
    let (share, samples) = (scenario.data.validation.get(), kept.len() + held.len());
    let refuse =
        |message: String, label: &str| Err(scenario.fault("data.validation", message, label));
    match (kept, held) {
        (_, []) if share > 0.0 => {
            let message = format!("{share} of {samples} training samples are none");
            refuse(message, "a larger share, or 0")
        }
        ([], _) => refuse(
            format!("{share} of {samples} training samples leave none to train on"),
            "a smaller share",
        ),
        _ => Ok(()),
    }
}

/// Adds the scenario's real clients, of whom only the number of samples is known.
fn with_real(scenario: &Scenario, inner: Arc<dyn Federation>) -> Arc<dyn Federation> {
    let samples: Vec<usize> = scenario.data.real.iter().map(|c| c.samples.get()).collect();
    if samples.is_empty() {
        return inner;
    }
    let simulated = scenario.data.clients.get() as u64;
    Arc::new(WithReal {
        inner,
        simulated,
        samples,
    })
}

/// Simulated clients, and behind them real ones whose samples are elsewhere.
struct WithReal {
    inner: Arc<dyn Federation>,
    simulated: u64,
    samples: Vec<usize>,
}

impl WithReal {
    fn real(&self, client: ClientId) -> Option<usize> {
        let index = client.0.checked_sub(self.simulated)?;
        self.samples.get(index as usize).copied()
    }
}

impl Roster for WithReal {
    fn clients(&self) -> u64 {
        self.simulated + self.samples.len() as u64
    }

    fn samples(&self, client: ClientId) -> usize {
        self.real(client)
            .unwrap_or_else(|| self.inner.samples(client))
    }
}

impl Federation for WithReal {
    fn shard(&self, client: ClientId) -> Cow<'_, Shard> {
        if self.real(client).is_none() {
            return self.inner.shard(client);
        }
        // Nothing of it is here.
        let pool = self.inner.shard(ClientId(0)).into_owned().pool;
        Cow::Owned(Shard::new(pool, Arc::default()))
    }

    fn probe(&self, probe: Probe) -> Option<&Arc<Samples>> {
        self.inner.probe(probe)
    }

    fn pooled(&self) -> Option<Shard> {
        self.inner.pooled()
    }
}

/// A pool that nobody owns a part of.
struct Undivided(Shard);

impl Roster for Undivided {
    fn clients(&self) -> u64 {
        0
    }

    fn samples(&self, _: ClientId) -> usize {
        0
    }
}

impl Federation for Undivided {
    fn shard(&self, _: ClientId) -> Cow<'_, Shard> {
        Cow::Owned(Shard::new(self.0.pool.clone(), Arc::default()))
    }

    fn probe(&self, _: Probe) -> Option<&Arc<Samples>> {
        None
    }

    fn pooled(&self) -> Option<Shard> {
        Some(self.0.clone())
    }
}

/// Clients whose samples all lie in one pool.
struct Pooled {
    pool: Pool,
    shards: Vec<Shard>,
}

impl Roster for Pooled {
    fn clients(&self) -> u64 {
        self.shards.len() as u64
    }

    fn samples(&self, client: ClientId) -> usize {
        self.shards.get(client.0 as usize).map_or(0, |s| s.len())
    }
}

impl Federation for Pooled {
    fn shard(&self, client: ClientId) -> Cow<'_, Shard> {
        match self.shards.get(client.0 as usize) {
            Some(shard) => Cow::Borrowed(shard),
            None => Cow::Owned(Shard::new(self.pool.train.clone(), Arc::default())),
        }
    }

    fn probe(&self, probe: Probe) -> Option<&Arc<Samples>> {
        match probe {
            Probe::Validation => self.pool.validation.as_ref(),
            Probe::Test => Some(&self.pool.test),
            Probe::Task(_) | Probe::Gate(_) => None,
        }
    }

    fn pooled(&self) -> Option<Shard> {
        Some(Shard::new(self.pool.train.clone(), self.pool.kept.clone()))
    }
}

/// A network with room for what methods keep in the model.
fn with_room(mut network: Network, needs: Needs) -> Network {
    if let (true, Some(features)) = (needs.means, network.features()) {
        let shape = vec![network.classes(), features + 1];
        network.append(MEANS, shape, Role::Statistic);
    }
    if needs.importances {
        let parameters = network.layers_len();
        network.append(IMPORTANCES, vec![parameters], Role::Statistic);
    }
    network
}
