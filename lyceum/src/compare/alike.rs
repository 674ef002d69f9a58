//! Which runs belong together: those of one scenario, whatever they are called.

use crate::{failure::Failure, output::warn};
use lyceum_coordinator::run::alterations;
use lyceum_metrics::{Labelled, Summary};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Settings that a label names at most.
const NAMED: usize = 3;

/// Dotted keys with their values.
type Settings = BTreeMap<String, String>;

/// A run's folder, read.
pub(super) struct Found {
    folder: String,
    summary: Summary,
    /// What the run resolved to, without name and seed; `None` where the folder does not say.
    settings: Option<Settings>,
}

impl Found {
    /// Reads the summary of a run, and its scenario if it is there.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let summary = Summary::read(&folder.join("summary.json")).map_err(Failure::input)?;
        alterations(folder).iter().for_each(|text| warn(text));
        let path = folder.join("scenario.toml");
        let settings = match std::fs::read_to_string(&path) {
            Ok(text) => Some(settings(&path, &text)?),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                let path = path.display();
                return Err(Failure::input(format_args!(
                    "{path} is damaged: it is no text"
                )));
            }
            Err(e) => return Err(Failure::input(format_args!("{}: {e}", path.display()))),
        };
        Ok(Self {
            folder: folder.display().to_string(),
            summary,
            settings,
        })
    }

    /// Whether two runs differ in nothing but their seeds and names. Where a folder does not say, the name decides.
    fn is_like(&self, other: &Self) -> bool {
        let unknown = self.settings.is_none() && self.summary.name == other.summary.name;
        self.settings == other.settings && (self.settings.is_some() || unknown)
    }
}

fn settings(path: &Path, text: &str) -> Result<Settings, Failure> {
    let table: toml::Table = toml::from_str(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start).min(text.len());
        let line = text.as_bytes()[..at]
            .iter()
            .filter(|&&b| b == b'\n')
            .count()
            + 1;
        Failure::input(format_args!(
            "{} is damaged: line {line} is no TOML; `lyceum run` with --resume makes it again",
            path.display()
        ))
    })?;
    let mut all = Settings::new();
    flatten("", &toml::Value::Table(table), &mut all);
    all.remove("run.name");
    all.remove("run.seed");
    // Where data lie is in no fingerprint: what is in the files is.
    all.remove("data.folders");
    Ok(all)
}

fn flatten(path: &str, value: &toml::Value, all: &mut Settings) {
    match value {
        toml::Value::Table(table) if !table.is_empty() => {
            for (key, value) in table {
                let path = match path {
                    "" => key.clone(),
                    _ => format!("{path}.{key}"),
                };
                flatten(&path, value, all);
            }
        }
        toml::Value::Table(_) => drop(all.insert(path.to_owned(), String::new())),
        value => drop(all.insert(path.to_owned(), value.to_string())),
    }
}

/// Labels runs by the scenarios that they are of, and says where that is not their name. A scenario is called as its
/// first run is and, where others are called so too, by what sets it apart from them.
pub(super) fn label(found: Vec<Found>) -> (Vec<Labelled>, Vec<String>) {
    let mut firsts: Vec<usize> = Vec::new();
    let groups: Vec<usize> = (0..found.len())
        .map(|run| {
            let known = firsts.iter().position(|&f| found[f].is_like(&found[run]));
            known.unwrap_or_else(|| {
                firsts.push(run);
                firsts.len() - 1
            })
        })
        .collect();
    let firsts: Vec<&Found> = firsts.iter().map(|&first| &found[first]).collect();
    let labels = labels(&firsts);
    let mut notes = Vec::new();
    for (run, &group) in found.iter().zip(&groups) {
        let (name, first) = (&run.summary.name, &firsts[group].summary.name);
        if name != first {
            let note = format!("{name}: the same scenario as {first}, and counted with it");
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    let runs = found.iter().zip(&groups).map(|(run, &group)| {
        let (label, settings) = &labels[group];
        Labelled {
            label: label.clone(),
            seed: run.summary.seed,
            settings: settings.clone(),
            folder: Some(run.folder.clone()),
            outcome: Ok(run.summary.clone()),
        }
    });
    (runs.collect(), notes)
}

/// A label for each scenario and, where several have one name, the settings that set it apart.
fn labels(firsts: &[&Found]) -> Vec<(String, Vec<(String, String)>)> {
    let mut taken = BTreeSet::new();
    let one = |first: &&Found| {
        let name = &first.summary.name;
        let namesakes = firsts.iter().filter(|other| other.summary.name == *name);
        let namesakes: Vec<&Found> = namesakes.copied().collect();
        let settings = apart(first, &namesakes);
        let mut label = match settings.is_empty() {
            true => name.clone(),
            false => format!("{name} ({})", named(&settings, &namesakes)),
        };
        for number in 2.. {
            if taken.insert(label.clone()) {
                break;
            }
            label = format!("{name} #{number}");
        }
        (label, settings)
    };
    firsts.iter().map(one).collect()
}

/// The settings of a run that are not those of all its namesakes.
fn apart(run: &Found, namesakes: &[&Found]) -> Vec<(String, String)> {
    let Some(own) = &run.settings else {
        return Vec::new();
    };
    let all = namesakes.iter().filter_map(|other| other.settings.as_ref());
    let differs = |key: &str, value: &String| all.clone().any(|s| s.get(key) != Some(value));
    let own = own.iter().filter(|(key, value)| differs(key, value));
    own.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The settings that set a run apart from its namesakes: all of them or, of many, as few as tell it from each.
fn named(settings: &[(String, String)], namesakes: &[&Found]) -> String {
    let one = |(key, value): &(String, String)| match value.as_str() {
        "" => key.clone(),
        value => format!("{key}={}", value.trim_matches('"')),
    };
    if settings.len() <= NAMED {
        return settings.iter().map(one).collect::<Vec<_>>().join(", ");
    }
    let mut chosen: BTreeSet<usize> = telling(settings, namesakes);
    let more = (0..settings.len()).filter(|place| !chosen.contains(place));
    let more: Vec<usize> = more.take(NAMED.saturating_sub(chosen.len())).collect();
    chosen.extend(more);
    let mut all: Vec<String> = chosen.iter().map(|&place| one(&settings[place])).collect();
    if settings.len() > chosen.len() {
        all.push(format!("and {} more", settings.len() - chosen.len()));
    }
    all.join(", ")
}

/// Places of settings by which a run is told from each of the others: those first that tell it from most.
fn telling(settings: &[(String, String)], namesakes: &[&Found]) -> BTreeSet<usize> {
    let others = namesakes.iter().filter_map(|other| other.settings.as_ref());
    let same = |(key, value): &(String, String), other: &Settings| other.get(key) == Some(value);
    let mut left: Vec<&Settings> = others
        .filter(|other| settings.iter().any(|setting| !same(setting, other)))
        .collect();
    let mut chosen = BTreeSet::new();
    while !left.is_empty() {
        let told = |place: &usize| left.iter().filter(|o| !same(&settings[*place], o)).count();
        let best = (0..settings.len()).rev().max_by_key(told);
        let Some(best) = best.filter(|best| told(best) > 0) else {
            break;
        };
        chosen.insert(best);
        left.retain(|other| same(&settings[best], other));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_metrics::{Conditions, SummaryBuilder};

    fn found(name: &str, seed: u64, text: Option<&str>) -> Found {
        let mut summary = SummaryBuilder::new().summary(Conditions::default());
        (summary.name, summary.seed) = (name.into(), seed);
        Found {
            folder: format!("runs/{name}-{seed}"),
            summary,
            settings: text.map(|text| settings(Path::new("scenario.toml"), text).unwrap()),
        }
    }

    fn labelled(found: Vec<Found>) -> (Vec<String>, Vec<String>) {
        let (runs, notes) = label(found);
        (runs.into_iter().map(|run| run.label).collect(), notes)
    }

    #[test]
    fn seeds_and_names_are_no_settings() {
        let text = |name: &str, seed: u64| {
            format!("[run]\nname = \"{name}\"\nseed = {seed}\nrounds = 5\n[training]\nrate = 0.1\n")
        };
        let runs = vec![
            found("a", 1, Some(&text("a", 1))),
            found("a", 2, Some(&text("a", 2))),
            found("b", 3, Some(&text("b", 3))),
        ];
        let (labels, notes) = labelled(runs);
        assert_eq!(labels, ["a", "a", "a"]);
        assert_eq!(notes, ["b: the same scenario as a, and counted with it"]);
    }

    #[test]
    fn runs_of_one_name_with_different_settings_are_set_apart() {
        let fast = "[training]\nrate = 0.5\nbatch = 8\n[strategy.fed_avg]\n";
        let slow = "[training]\nrate = 0.1\nbatch = 8\n[strategy.fed_avg]\n";
        let prox = "[training]\nrate = 0.1\nbatch = 8\n[strategy.fed_prox]\nmu = 1.0\n";
        let runs = [fast, slow, fast, prox].map(|text| found("a", 1, Some(text)));
        let (labels, notes) = labelled(runs.into());
        assert_eq!(
            labels,
            [
                "a (strategy.fed_avg, training.rate=0.5)",
                "a (strategy.fed_avg, training.rate=0.1)",
                "a (strategy.fed_avg, training.rate=0.5)",
                "a (strategy.fed_prox.mu=1.0, training.rate=0.1)"
            ]
        );
        assert!(notes.is_empty());
    }

    #[test]
    fn of_many_settings_those_are_named_that_tell_runs_apart() {
        let of = |a: u8, b: u8, c: u8, d: u8, rate: f64| {
            let text = format!("[m]\na = {a}\nb = {b}\nc = {c}\nd = {d}\n[t]\nrate = {rate}\n");
            found("x", 1, Some(&text))
        };
        let runs = vec![
            of(1, 1, 1, 1, 0.1),
            of(1, 1, 1, 1, 0.2),
            of(2, 2, 2, 2, 0.1),
        ];
        let (labels, _) = labelled(runs);
        assert_eq!(
            labels,
            [
                "x (m.a=1, m.b=1, t.rate=0.1, and 2 more)",
                "x (m.a=1, m.b=1, t.rate=0.2, and 2 more)",
                "x (m.a=2, m.b=2, m.c=2, and 2 more)"
            ]
        );
    }

    #[test]
    fn where_data_lie_is_no_difference() {
        let text = |folder: &str| format!("[data]\nfolders = [\"{folder}\"]\nclients = 3\n");
        let runs = ["a", "b"].map(|folder| found("x", 1, Some(&text(folder))));
        assert_eq!(labelled(runs.into()).0, ["x", "x"]);
    }

    #[test]
    fn without_a_scenario_the_name_decides() {
        let runs = vec![
            found("a", 1, None),
            found("a", 2, None),
            found("b", 1, None),
            found("a", 3, Some("[run]\nrounds = 2\n")),
        ];
        let (labels, _) = labelled(runs);
        assert_eq!(labels[..3], ["a", "a", "b"]);
        assert!(labels[3] != "a" && labels[3].starts_with("a"), "{labels:?}");
    }
}
