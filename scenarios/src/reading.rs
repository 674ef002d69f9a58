//! A scenario read from its file: all faults of all tables at once.

use crate::{
    data::DataSet,
    diagnostic::{Diagnostic, Fault, Sources},
    document::{Document, Node, Places, Texts},
    partition::Partition,
    registry::{Chosen, Plugins, Registry},
    scenario::Scenario,
    tables::{Data, TABLES},
    task_stream::StreamChoice,
    transforms,
};
use lyceum_core::AnySteering;
use serde::de::DeserializeOwned;
use toml::de::DeValue;

/// A table that may be left out, as it is written.
fn example_of(table: &str) -> &'static str {
    match table {
        "variational" => "`variational = { prior = 0.1, start = 0.05 }`; `{}` takes every default",
        "personal" => "`personal = { local = [\"norms\"] }`",
        "ordering" => "`ordering = { order = \"curriculum\" }`",
        _ => "`deadline = { close = { after_s = 30 } }`",
    }
}

/// Collects faults while a file is read, so that all are reported at once.
struct Reading<'t, 'r> {
    document: Document<'t>,
    registry: &'r Registry,
    faults: Vec<Fault>,
    missing: Vec<(&'static str, &'static str)>,
}

impl<'t, 'r> Reading<'t, 'r> {
    fn keep<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.faults.push(fault)).ok()
    }

    fn required(&mut self, table: &'static str, example: &'static str) -> Option<Node<'t>> {
        let node = self.document.take(table);
        if node.is_none() {
            self.missing.push((table, example));
        }
        node
    }

    /// One fault for all missing tables.
    fn missing_fault(&self) -> Option<Fault> {
        match self.missing.as_slice() {
            [] => None,
            [(table, example)] => Some(Fault::new(
                format!("the table `[{table}]` is missing"),
                *example,
                None,
            )),
            several => {
                let names: Vec<_> = several
                    .iter()
                    .map(|(table, _)| format!("`[{table}]`"))
                    .collect();
                let message = format!("the tables {} are missing", names.join(", "));
                Some(Fault::new(
                    message,
                    "a scenario needs them all; scenarios/catalogue/quickstart.toml is one",
                    None,
                ))
            }
        }
    }

    fn optional<T: DeserializeOwned + Default>(&mut self, table: &str) -> Option<T> {
        match self.document.take(table) {
            Some(node) => {
                let result = node.read();
                self.keep(result)
            }
            None => Some(T::default()),
        }
    }

    /// A table that every scenario has.
    fn typed<T: DeserializeOwned>(
        &mut self,
        table: &'static str,
        example: &'static str,
    ) -> Option<T> {
        let result = self.required(table, example)?.read();
        self.keep(result)
    }

    /// A choice that every scenario makes.
    fn chosen<T: ?Sized>(
        &mut self,
        plugins: &'r Plugins<T>,
        table: &'static str,
        example: &'static str,
    ) -> Option<Chosen<T>> {
        let result = plugins.choose(self.required(table, example)?);
        self.keep(result)
    }

    /// A table that may be left out, and has no defaults of its own then. Who only says that it is wanted is shown an example.
    fn absent_or<T: DeserializeOwned>(&mut self, table: &str) -> Option<Option<T>> {
        let Some(node) = self.document.take(table) else {
            return Some(None);
        };
        let read = match node.value() {
            DeValue::Boolean(wanted) => {
                let expected = match wanted {
                    true => format!("expected a table, such as {}", example_of(table)),
                    false => format!("expected no key; without a table `[{table}]` there is none"),
                };
                let message = format!("`{table}` is {wanted}");
                Err(Fault::new(message, expected, Some(node.span())))
            }
            _ => node.read(),
        };
        self.keep(read).map(Some)
    }
}

impl Scenario {
    /// Reads and checks a scenario. `overrides` have the form `path.to.key=value`.
    pub fn read(
        registry: &Registry,
        name: &str,
        text: &str,
        overrides: &[String],
    ) -> Result<Self, Diagnostic> {
        let texts = Texts::new(name, text, overrides);
        let mut document = texts.parse()?;
        if let Some(sweep) = document.take("sweep") {
            let label = "`lyceum run` and `lyceum check` take it; here it has to be left out";
            let fault = Fault::new(
                "a sweep is many scenarios, not one",
                label,
                Some(sweep.span()),
            );
            return Err(Diagnostic::new(vec![fault], &texts.sources));
        }
        Self::of(registry, document, &texts.sources).map_err(|faults| faults.advised(registry))
    }

    /// Reads and checks a document without a sweep.
    pub(crate) fn of(
        registry: &Registry,
        document: Document<'_>,
        sources: &Sources,
    ) -> Result<Self, Diagnostic> {
        let places = document.places();
        let mut reading = Reading {
            document,
            registry,
            faults: Vec::new(),
            missing: Vec::new(),
        };
        let scenario = parse(&mut reading, places, sources);
        let leftovers = reading.document.leftovers(&TABLES);
        reading.faults.extend(leftovers);
        let missing = reading.missing_fault();
        reading.faults.extend(missing);
        match scenario {
            Some(scenario) if reading.faults.is_empty() => scenario.checked(registry),
            _ => Err(Diagnostic::new(reading.faults, sources)),
        }
    }

    /// Looks at what keys say together, once each is right by itself.
    fn checked(mut self, registry: &Registry) -> Result<Self, Diagnostic> {
        self.engine = registry.engine(&self.training.engine).copied();
        let wrong = self.cross_faults(registry);
        if !wrong.is_empty() {
            return Err(self.faults(wrong));
        }
        self.resolve_phases(registry)?;
        match self.prospects() {
            wrong if wrong.is_empty() => Ok(self),
            wrong => Err(self.faults(wrong)),
        }
    }
}

fn parse(reading: &mut Reading<'_, '_>, places: Places, sources: &Sources) -> Option<Scenario> {
    let registry = reading.registry;
    let run = reading.typed("run", "it needs `name` and `rounds`");
    let data = reading
        .required("data", "it needs `set` and `clients`")
        .map(|n| read_data(reading, n));
    let example = "such as `[model.mlp]` with `hidden = [200]`";
    let model = registry.with_layers(|| reading.chosen(&registry.models, "model", example));
    let variational = reading.absent_or("variational");
    let personal = reading.absent_or("personal");
    let training = reading.typed("training", "it needs `rate`");
    let ordering = reading.absent_or("ordering");
    let expert = reading.optional("expert");
    let example = "such as `[selection.uniform]` with `per_round = 10`";
    let selection = reading.chosen(&registry.selectors, "selection", example);
    let availability = reading.optional("availability");
    let deadline = reading.absent_or("deadline");
    let example = "such as `[strategy.fed_avg]`";
    let strategy = reading.chosen(&registry.strategies, "strategy", example);
    let transforms = match reading.document.take("transform") {
        Some(node) => transforms::read(node, registry, &mut reading.faults),
        None => Some(Vec::new()),
    };
    let steering = steering(reading);
    let stream = match reading.document.take("scenario") {
        Some(node) => StreamChoice::read(node, registry, &mut reading.faults).map(Some),
        None => Some(None),
    };
    let timeline = reading.optional("timeline");
    let evaluation = reading.optional("evaluation");
    let (data, data_set, partition) = data.flatten()?;
    Some(Scenario {
        engine: None,
        run: run?,
        data,
        data_set,
        partition,
        model: model?,
        variational: variational?,
        personal: personal?,
        training: training?,
        ordering: ordering?,
        expert: expert?,
        selection: selection?,
        availability: availability?,
        deadline: deadline?,
        strategy: strategy?,
        transforms: transforms?,
        steering: steering?,
        stream: stream?,
        timeline: timeline?,
        phases: Vec::new(),
        evaluation: evaluation?,
        places,
        sources: sources.clone(),
    })
}

fn steering(reading: &mut Reading<'_, '_>) -> Option<Option<Chosen<dyn AnySteering>>> {
    let Some(node) = reading.document.take("steering") else {
        return Some(None);
    };
    reading
        .keep(reading.registry.steering.choose(node))
        .map(Some)
}

type DataParts = (Data, Chosen<dyn DataSet>, Option<Chosen<dyn Partition>>);

fn read_data(reading: &mut Reading<'_, '_>, mut node: Node<'_>) -> Option<DataParts> {
    let registry = reading.registry;
    let span = node.span();
    let set = match node.take("set") {
        Some(set) => reading.keep(registry.data_sets.choose(set)),
        None => {
            let names: Vec<_> = registry
                .data_sets
                .entries()
                .iter()
                .map(|e| e.name)
                .collect();
            let label = format!("`set = \"...\"`, one of {}", names.join(", "));
            reading
                .faults
                .push(Fault::new("no data set is chosen", label, Some(span)));
            None
        }
    };
    let partition = match node.take("partition") {
        Some(partition) => reading
            .keep(registry.partitions.choose(partition))
            .map(Some),
        None => Some(None),
    };
    let keys = node.key_spans();
    let data = node
        .read()
        .map_err(|fault: Fault| fault.with_keys(&["set", "partition"], &keys));
    let data = reading.keep(data);
    Some((data?, set?, partition?))
}
