//! `lyceum ask`: a question to a run, or a wish, while it goes on.

use crate::{
    arguments::Ask,
    failure::Failure,
    output::{complain, line},
};
use lyceum_coordinator::run::{ANSWERS, REQUESTS};
use lyceum_core::{Answer, Event, TaskDefinition, Want};
use lyceum_metrics::{EVENTS, EventReader};
use std::{
    fs,
    path::Path,
    process,
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How often is looked for the answer.
const PAUSE: Duration = Duration::from_millis(50);
/// How long is waited before it is said what for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Puts a request into a run's folder, and waits for the answer.
pub(crate) fn ask(arguments: &Ask) -> Result<(), Failure> {
    let folder = arguments.run.as_path();
    let want = wanted(arguments, folder)?;
    if !goes_on(folder)? {
        return Err(Failure::input(format!(
            "{}: no process runs here, so nobody would answer; `lyceum run` with --resume goes on with a run",
            folder.display()
        )));
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let id = format!("{}-{}", since.map_or(0, |s| s.as_nanos()), process::id());
    write(folder, &id, &want)?;
    let answer = wait(folder, &id)?;
    show(&answer)
}

/// What `--judge` asks for.
fn combination(text: &str) -> Result<Want, Failure> {
    let mut of: Vec<(String, f64)> = Vec::new();
    for part in text.split(',') {
        let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
        let (name, weight) = (name.trim(), weight.trim().parse().ok());
        let Some(weight) = weight.filter(|w: &f64| w.is_finite()) else {
            return Err(Failure::input(format!(
                "--judge {text}: expected NAME=WEIGHT, such as global=0.3,second=0.7"
            )));
        };
        if of.iter().any(|(before, _)| before == name) {
            return Err(Failure::input(format!(
                "--judge {text}: the model `{name}` is there twice: expected each once, with its whole weight"
            )));
        }
        of.push((name.to_owned(), weight));
    }
    Ok(Want::Judge { of })
}

fn wanted(arguments: &Ask, folder: &Path) -> Result<Want, Failure> {
    if let Some(text) = &arguments.judge {
        return combination(text);
    }
    if let Some(text) = &arguments.preference {
        let weights = text.split(',').map(|word| word.trim().parse::<f64>());
        let weights: Result<Vec<f64>, _> = weights.collect();
        return weights.map(|weights| Want::Prefer { weights }).map_err(|_| {
            Failure::input(format!(
                "--preference {text}: expected numbers with commas between them, such as 0.2,0.5,0.3"
            ))
        });
    }
    let text = arguments.task.as_deref().unwrap_or_default();
    let wrong = |what: &str| Failure::input(format!("--task {text}: {what}"));
    let whole = text
        .split_once('=')
        .filter(|(name, _)| !name.trim().is_empty());
    let (name, classes) = whole.ok_or_else(|| wrong("expected NAME=CLASSES, such as late=5,6"))?;
    let called = class_names(folder);
    let class = |class: &str| {
        let place = called.iter().position(|name| name == class);
        let number = || class.parse().ok();
        place
            .map(|place| place as u32)
            .or_else(number)
            .ok_or_else(|| {
                let right = match called.is_empty() {
                    true => "a class's number".to_owned(),
                    false => format!("a class's number, or one of {}", called.join(", ")),
                };
                wrong(&format!("`{class}` is no class: expected {right}"))
            })
    };
    let classes = classes.split(',').map(|text| class(text.trim()));
    Ok(Want::AddTask(TaskDefinition {
        name: name.trim().to_owned(),
        classes: classes.collect::<Result<_, _>>()?,
    }))
}

/// What the classes of a run are called, as the first lines of its log say; empty where they are numbers.
fn class_names(folder: &Path) -> Vec<String> {
    const OPENING: usize = 8;
    let log = EventReader::open(&folder.join(EVENTS)).ok();
    let named = |event| match event {
        Ok(Event::ClassesNamed { names }) => Some(names),
        _ => None,
    };
    log.and_then(|log| log.take(OPENING).find_map(named))
        .unwrap_or_default()
}

/// Whether a process holds a run's folder.
fn goes_on(folder: &Path) -> Result<bool, Failure> {
    let lock = folder.join("lock");
    match fs::File::open(&lock) {
        Ok(file) => Ok(file.try_lock().is_err()),
        Err(_) if !folder.is_dir() => {
            let shown = folder.display();
            Err(Failure::input(format!("{shown}: there is no such folder")))
        }
        Err(_) => Ok(false),
    }
}

fn write(folder: &Path, id: &str, want: &Want) -> Result<(), Failure> {
    let requests = folder.join(REQUESTS);
    let (file, new) = (
        requests.join(format!("{id}.json")),
        requests.join(format!("{id}.new")),
    );
    let json = serde_json::to_vec(want).map_err(Failure::other)?;
    fs::create_dir_all(&requests)
        .and_then(|()| fs::write(&new, json))
        .and_then(|()| fs::rename(&new, &file))
        .map_err(|e| {
            let _ = fs::remove_file(&new);
            Failure::unless_full(&e, Failure::other(format!("{}: {e}", file.display())))
        })
}

fn wait(folder: &Path, id: &str) -> Result<Answer, Failure> {
    let file = folder.join(ANSWERS).join(format!("{id}.json"));
    let mut silent = PATIENCE;
    loop {
        let over = !goes_on(folder)?;
        if let Ok(bytes) = fs::read(&file) {
            return serde_json::from_slice(&bytes).map_err(|e| {
                let reason = lyceum_metrics::unreadable(&e);
                Failure::other(format!("{}: {reason}", file.display()))
            });
        }
        if over {
            let _ = fs::remove_file(folder.join(REQUESTS).join(format!("{id}.json")));
            return Err(Failure::other(format!(
                "{}: the run ended before it answered",
                folder.display()
            )));
        }
        silent = match silent.checked_sub(PAUSE) {
            Some(rest) => rest,
            None => {
                complain(&format!(
                    "{}: the answer comes between two rounds, and the one under way is waited for; on nodes, it needs one that is \
                     connected\n",
                    folder.display()
                ));
                Duration::MAX
            }
        };
        sleep(PAUSE);
    }
}

fn show(answer: &Answer) -> Result<(), Failure> {
    if let Some(reason) = &answer.refused {
        return Err(Failure::input(reason));
    }
    if let Some(task) = &answer.task {
        line(format_args!(
            "task `{}` joined the stream behind round {}",
            task.name, answer.round
        ));
    }
    for worth in &answer.worth {
        let probe = serde_json::to_value(worth.probe).map_err(Failure::other)?;
        let probe = probe
            .as_str()
            .map_or_else(|| format!("task {}", probe["task"]), str::to_owned);
        line(format_args!(
            "{probe:12} accuracy {:6.2} %, loss {:.4}, {} samples, behind round {}",
            100.0 * worth.accuracy,
            worth.loss,
            worth.samples,
            answer.round
        ));
    }
    Ok(())
}
