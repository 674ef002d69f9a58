//! Measures of accuracy matrices.

use super::options::Options;
use super::show;
use super::table::Table;
use super::units::doubts;
use crate::failure::Failure;
use lyceum_metrics::continual::lean_agent::{LeanAgent, composites, published, standard};
use lyceum_metrics::continual::{AccuracyMatrix, Measure, TaskValues, measures, out_of_scale};
use lyceum_metrics::{Setup, read_task_values};
use serde_json::{Map, Value, json};

/// Prints the measures of every setup, and the composites where there are several.
///
/// `known` is what is known of the tasks of each setup; a file of tasks takes its place. `notes` say what was not measured.
pub(super) fn print(
    options: &Options,
    setups: &[Setup],
    known: Vec<TaskValues>,
    mut notes: Vec<String>,
) -> Result<(), Failure> {
    let values = match &options.tasks {
        Some(path) => read_task_values(path, setups).map_err(Failure::input)?,
        None => known,
    };
    let window = options.window();
    let found: Vec<Vec<Measure>> = setups
        .iter()
        .zip(&values)
        .map(|(setup, values)| measures(&setup.matrix, values, window))
        .collect();
    for (setup, values) in setups.iter().zip(&values) {
        let name = setup.name.as_ref();
        let name = name.map_or_else(String::new, |name| format!("{name}: "));
        let found = out_of_scale(&setup.matrix, values).into_iter();
        notes.extend(found.map(|note| format!("{name}{note}")));
    }
    let composites = Composites::new(setups, &values, window);
    notes.extend(doubts(setups));
    let table = table(setups, &found, &composites);
    let json = json!({
        "setups": setups.iter().zip(&found).map(setup_json).collect::<Vec<_>>(),
        "composites": composites.json(setups),
        "notes": notes,
    });
    show(options, &title(options, setups), &table, &notes, &json)
}

fn title(options: &Options, setups: &[Setup]) -> String {
    let mut counts: Vec<usize> = setups.iter().map(|setup| setup.tasks.len()).collect();
    counts.sort_unstable();
    counts.dedup();
    let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
    let setups = match setups.len() {
        1 => String::new(),
        count => format!(", {count} setups"),
    };
    let tasks = if counts == ["1"] { "task" } else { "tasks" };
    format!(
        "{}: {} {tasks}{setups}",
        options.file.display(),
        counts.join(" or ")
    )
}

fn table(setups: &[Setup], found: &[Vec<Measure>], composites: &Composites) -> Table {
    let name = |setup: &Setup| setup.name.clone().unwrap_or_else(|| "value".to_owned());
    let mut table = Table {
        columns: setups.iter().map(name).collect(),
        ..Table::default()
    };
    let names = found.first().into_iter().flatten().enumerate();
    for (row, measure) in names {
        let values = found.iter().map(|measures| measures[row].value);
        table.row(measure.name.clone(), values.collect());
    }
    if setups.len() > 1 {
        for (form, scores) in composites.forms() {
            let scores = scores.clone();
            let scores = scores.map_or_else(
                || vec![None; setups.len()],
                |scores| scores.into_iter().map(Some).collect(),
            );
            table.row(format!("composite_{form}"), scores);
        }
    }
    table
}

fn setup_json((setup, measures): (&Setup, &Vec<Measure>)) -> Value {
    let measures: Map<String, Value> = measures
        .iter()
        .map(|measure| (measure.name.clone(), json!(measure.value)))
        .collect();
    json!({"setup": setup.name, "tasks": setup.tasks, "metrics": measures})
}

/// LeanAgent's composite scores of the setups, in both forms; `None` where a measure is missing.
struct Composites {
    published: Option<Vec<f64>>,
    standard: Option<Vec<f64>>,
}

/// One form of LeanAgent's measures.
type Form = fn(&AccuracyMatrix, &[Option<f64>], usize) -> LeanAgent;

impl Composites {
    fn new(setups: &[Setup], values: &[TaskValues], window: usize) -> Self {
        let scores = |form: Form| -> Option<Vec<f64>> {
            let found: Vec<LeanAgent> = setups
                .iter()
                .zip(values)
                .map(|(setup, values)| form(&setup.matrix, &values.validation, window))
                .collect();
            let composites = composites(&found)?;
            Some(composites.iter().map(|composite| composite.score).collect())
        };
        Self {
            published: scores(published),
            standard: scores(standard),
        }
    }

    fn forms(&self) -> [(&'static str, &Option<Vec<f64>>); 2] {
        [("published", &self.published), ("standard", &self.standard)]
    }

    /// Scores by form and setup; nothing for a single setup, which has nothing to be compared with.
    fn json(&self, setups: &[Setup]) -> Value {
        if setups.len() < 2 {
            return Value::Null;
        }
        let by_setup = |scores: &Option<Vec<f64>>| -> Value {
            let Some(scores) = scores else {
                return Value::Null;
            };
            let names = setups
                .iter()
                .map(|setup| setup.name.clone().unwrap_or_default());
            let scores = names.zip(scores.iter().map(|score| json!(score)));
            Value::Object(scores.collect())
        };
        json!({
            "published": by_setup(&self.published),
            "standard": by_setup(&self.standard),
        })
    }
}
