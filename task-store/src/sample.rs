//! A sample as a record of columns: its one way to be written, what it is, and how hard.

use lyceum_core::Fingerprint;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Bytes of a sample, at most.
pub const MOST_BYTES: usize = 1 << 20;
/// Records within each other, at most; the reader of JSON has the same limit.
const DEEPEST: usize = 120;

/// How hard a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difficulty {
    /// By a number.
    Known(f64),
    /// Nobody knows.
    Unknown,
    /// Harder than every number, such as a theorem without proof.
    Infinite,
}

impl Difficulty {
    /// A number whose order is that of difficulties; `None` for unknown ones.
    pub(crate) fn ordered(self) -> Option<u64> {
        let value = match self {
            Self::Unknown => return None,
            Self::Infinite => f64::INFINITY,
            // -0 and 0 are one.
            Self::Known(value) => value + 0.0,
        };
        let bits = value.to_bits();
        Some(match bits >> 63 {
            0 => bits | 1 << 63,
            _ => !bits,
        })
    }

    /// The inverse of [`ordered`](Self::ordered).
    pub(crate) fn from_ordered(word: u64) -> Self {
        let bits = match word >> 63 {
            1 => word & !(1 << 63),
            _ => !word,
        };
        match f64::from_bits(bits) {
            f64::INFINITY => Self::Infinite,
            value => Self::Known(value),
        }
    }
}

/// How a record is read as a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// Column that says how hard a sample is: a number, the entries of a list, or the characters of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<String>,
    /// Column that is true for what nobody has solved yet; then it is harder than every number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsolved: Option<String>,
}

impl Columns {
    /// Whether nobody has solved a sample, and how hard it is; an error says what would be right.
    pub(crate) fn read(&self, record: &Map<String, Value>) -> Result<(bool, Difficulty), String> {
        let unsolved = match self.unsolved.as_ref() {
            None => false,
            Some(column) => match record.get(column) {
                None | Some(Value::Null | Value::Bool(false)) => false,
                Some(Value::Bool(true)) => true,
                Some(other) => {
                    return Err(format!(
                        "column `{column}` says whether a sample is unsolved and is {}; true or false is right",
                        shown(other)
                    ));
                }
            },
        };
        if unsolved {
            return Ok((true, Difficulty::Infinite));
        }
        let Some(column) = &self.difficulty else {
            return Ok((false, Difficulty::Unknown));
        };
        measured(record.get(column))
            .map(|difficulty| (false, difficulty))
            .ok_or_else(|| {
                let found = record.get(column).map_or("missing".into(), shown);
                format!(
                    "column `{column}` says how hard a sample is and is {found}; a number, a list (its entries are counted), a text \
                     (its characters are), `inf`, or nothing where it is unknown is right"
                )
            })
    }
}

fn measured(value: Option<&Value>) -> Option<Difficulty> {
    Some(match value {
        None | Some(Value::Null) => Difficulty::Unknown,
        Some(Value::Number(number)) => Difficulty::Known(number.as_f64()?),
        Some(Value::Array(entries)) => Difficulty::Known(entries.len() as f64),
        Some(Value::String(text)) => match text.as_str() {
            "inf" | "infinity" | "Infinity" => Difficulty::Infinite,
            "" => Difficulty::Unknown,
            text => Difficulty::Known(text.chars().count() as f64),
        },
        Some(Value::Bool(_) | Value::Object(_)) => return None,
    })
}

/// A value in a message, cut short.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        None => format!("`{text}`"),
        Some((end, _)) => format!("`{}...`", &text[..end]),
    }
}

/// A record in its one way to be written: keys in order, no space. An error says what would be right.
pub fn canonical(text: &str) -> Result<(String, Map<String, Value>), String> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let at = error.column();
        format!(
            "no JSON at column {at}: {}; a record such as {{\"name\":\"a\",\"steps\":3}} is right",
            words(&error)
        )
    })?;
    let Value::Object(record) = value else {
        return Err(format!(
            "{} is no record; one such as {{\"name\":\"a\",\"steps\":3}} is right",
            shown(&value)
        ));
    };
    let record = in_order(Value::Object(record), 0)?;
    let text = record.to_string();
    match (record, text.len() <= MOST_BYTES) {
        (Value::Object(record), true) => Ok((text, record)),
        _ => Err(format!(
            "a record of {} bytes; at most {MOST_BYTES} are right",
            text.len()
        )),
    }
}

/// What the reader of JSON says, without where.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_string()
}

fn in_order(value: Value, depth: usize) -> Result<Value, String> {
    if depth > DEEPEST {
        return Err(format!(
            "records and lists are deeper than {DEEPEST} within each other"
        ));
    }
    Ok(match value {
        Value::Object(record) => {
            let mut pairs: Vec<_> = record.into_iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| Ok((key, in_order(value, depth + 1)?)));
            Value::Object(pairs.collect::<Result<_, String>>()?)
        }
        Value::Array(list) => {
            let list = list.into_iter().map(|value| in_order(value, depth + 1));
            Value::Array(list.collect::<Result<_, String>>()?)
        }
        other => other,
    })
}

/// What a sample is: the hash of the columns that say so, or of the whole record.
pub(crate) fn identity(
    columns: &[String],
    text: &str,
    record: &Map<String, Value>,
) -> Result<Fingerprint, String> {
    if columns.is_empty() {
        return Ok(Fingerprint::of(text.as_bytes()));
    }
    let mut chain = Fingerprint::default().extend();
    for column in columns {
        let value = record.get(column).ok_or_else(|| {
            format!(
                "column `{column}` is missing, which says which sample it is; this record has {}",
                names(record)
            )
        })?;
        chain.add(value.to_string().as_bytes());
    }
    Ok(chain.link())
}

fn names(record: &Map<String, Value>) -> String {
    let names: Vec<_> = record.keys().map(|key| format!("`{key}`")).collect();
    match names.is_empty() {
        true => "no columns".into(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_columns_is_no_part_of_a_record() {
        let (one, record) = canonical(r#"{"b": [1, {"z":1,"a":2}], "a": "x"}"#).unwrap();
        assert_eq!(one, r#"{"a":"x","b":[1,{"a":2,"z":1}]}"#);
        let (other, again) = canonical(&one).unwrap();
        assert_eq!((&one, &record), (&other, &again));
        let whole = identity(&[], &one, &record).unwrap();
        let by_name = identity(&["a".into()], &one, &record).unwrap();
        assert_eq!(whole, Fingerprint::of(one.as_bytes()));
        assert_ne!(whole, by_name);
    }

    #[test]
    fn difficulties_are_ordered_as_numbers_are() {
        let values = [-2.5, -0.5, 0.0, 1e-300, 3.0, 4.0, f64::MAX];
        let all: Vec<_> = values.map(Difficulty::Known).into_iter().collect();
        let words: Vec<_> = all.iter().map(|d| d.ordered().unwrap()).collect();
        assert!(words.is_sorted());
        assert!(words.last() < Difficulty::Infinite.ordered().as_ref());
        for (difficulty, word) in all.iter().zip(words) {
            assert_eq!(Difficulty::from_ordered(word), *difficulty);
        }
        assert_eq!(
            Difficulty::Known(-0.0).ordered(),
            Difficulty::Known(0.0).ordered()
        );
        assert_eq!(Difficulty::Unknown.ordered(), None);
    }

    #[test]
    fn a_column_says_how_hard_a_sample_is() {
        let columns = Columns {
            difficulty: Some("steps".into()),
            unsolved: Some("sorry".into()),
        };
        for (text, expected) in [
            (r#"{"steps":3}"#, (false, Difficulty::Known(3.0))),
            (r#"{"steps":["a","b"]}"#, (false, Difficulty::Known(2.0))),
            (r#"{"steps":"four"}"#, (false, Difficulty::Known(4.0))),
            (r#"{"steps":"inf"}"#, (false, Difficulty::Infinite)),
            (r#"{"steps":null}"#, (false, Difficulty::Unknown)),
            (r#"{"sorry":false}"#, (false, Difficulty::Unknown)),
            (r#"{"steps":3,"sorry":true}"#, (true, Difficulty::Infinite)),
        ] {
            let (_, record) = canonical(text).unwrap();
            assert_eq!(columns.read(&record), Ok(expected), "{text}");
        }
        for (text, part) in [
            (r#"{"steps":true}"#, "column `steps`"),
            (r#"{"sorry":"yes"}"#, "true or false is right"),
        ] {
            let (_, record) = canonical(text).unwrap();
            let fault = columns.read(&record).unwrap_err();
            assert!(fault.contains(part), "{fault}");
        }
    }
}
