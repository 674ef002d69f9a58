//! Faults in a scenario file, told with the place and with what would be right.

use std::{fmt, ops::Range};

/// The texts a scenario was put together from: the file, then each override of the command line.
///
/// Spans count through all texts, one behind the other, so that a span alone names its text.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    parts: Vec<Source>,
}

#[derive(Clone, Debug)]
struct Source {
    name: String,
    text: String,
    start: usize,
}

impl Sources {
    /// Appends a text; returns where it begins.
    pub fn push(&mut self, name: impl Into<String>, text: impl Into<String>) -> usize {
        let start = self.parts.last().map_or(0, |p| p.start + p.text.len() + 1);
        self.parts.push(Source {
            name: name.into(),
            text: text.into(),
            start,
        });
        start
    }

    /// The number of the override that stands at an offset, from 1; none for the file.
    pub(crate) fn override_at(&self, offset: usize) -> Option<usize> {
        let part = self.parts.iter().rposition(|p| p.start <= offset);
        part.filter(|part| *part > 0)
    }

    fn at(&self, offset: usize) -> Option<&Source> {
        self.parts.iter().rev().find(|p| p.start <= offset)
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What would be right; stands under the place.
    pub label: String,
    /// Where.
    pub span: Option<Range<usize>>,
}

impl Fault {
    /// A fault at a place.
    pub fn new(
        message: impl Into<String>,
        label: impl Into<String>,
        span: Option<Range<usize>>,
    ) -> Self {
        Self {
            message: message.into(),
            label: label.into(),
            span,
        }
    }

    /// The same fault of a table, some of whose keys were read before the others: that one of its `keys` is unknown is told
    /// with all of them.
    pub(crate) fn with_keys(mut self, before: &[&str], keys: &[Range<usize>]) -> Self {
        const LIST: &str = "expected one of ";
        let own = self.span.as_ref().is_some_and(|span| keys.contains(span));
        let unknown = own && self.message.starts_with("unknown key ");
        if let (true, Some(rest)) = (unknown, self.label.strip_prefix(LIST)) {
            let before: String = before.iter().map(|key| format!("`{key}`, ")).collect();
            self.label = format!("{LIST}{before}{rest}");
        }
        self
    }

    /// A text that is no TOML, as far as its error says.
    pub fn from_toml(error: &toml::de::Error, text: &str) -> Self {
        let message = error.message();
        if message.starts_with("duplicate key") {
            let key = error.span().and_then(|span| text.get(span)).unwrap_or("?");
            let message = format!("the key `{}` is there twice", key.trim());
            return Self::new(message, "keep one of both", error.span());
        }
        if message.starts_with("cannot recurse further") {
            let message = "lists and tables within each other go too deep";
            return Self::new(message, "no key needs as many", error.span());
        }
        if let Some(kind) = message.strip_prefix("cannot extend value of type ") {
            let kind = kind.split(' ').next().unwrap_or_default();
            let what = match kind {
                "array" => "a list",
                "string" => "a text",
                "boolean" => "true or false",
                "integer" | "float" => "a number",
                _ => "a value",
            };
            let key = error.span().and_then(|span| text.get(span)).unwrap_or("?");
            let message = format!("`{key}` was given as {what}, and has keys here");
            return Self::new(message, "keep one of both", error.span());
        }
        let cut = message
            .find(", expected ")
            .or_else(|| message.find(": expected "));
        let (message, label) =
            cut.map_or((message, ""), |cut| (&message[..cut], &message[cut + 2..]));
        Self::new(message, label, error.span())
    }
}

/// All faults of a scenario, ready to be shown.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    faults: Vec<Fault>,
    sources: Sources,
    beyond_schema: bool,
}

impl Diagnostic {
    /// Faults, shown in the order of their places.
    pub fn new(mut faults: Vec<Fault>, sources: &Sources) -> Self {
        faults.sort_by_key(|f| f.span.as_ref().map_or(usize::MAX, |s| s.start));
        Self {
            faults,
            sources: sources.clone(),
            beyond_schema: false,
        }
    }

    /// Faults in what keys say together, or in what data say to them: each key by itself is right.
    pub fn beyond_schema(faults: Vec<Fault>, sources: &Sources) -> Self {
        Self {
            beyond_schema: true,
            ..Self::new(faults, sources)
        }
    }

    /// The faults, to say more of them.
    pub(crate) fn faults_mut(&mut self) -> &mut [Fault] {
        &mut self.faults
    }

    /// Whether every key by itself is right, so that a schema cannot know what is wrong.
    pub fn is_beyond_schema(&self) -> bool {
        self.beyond_schema
    }

    /// The faults.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl std::error::Error for Diagnostic {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            show(fault, &self.sources, f)?;
        }
        Ok(())
    }
}

fn show(fault: &Fault, sources: &Sources, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "error: {}", fault.message)?;
    let span = fault.span.clone().unwrap_or(0..0);
    let Some(source) = sources.at(span.start) else {
        return Ok(());
    };
    let mut from = (span.start - source.start).min(source.text.len());
    while !source.text.is_char_boundary(from) {
        from -= 1;
    }
    let before = &source.text[..from];
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    let line_number = before.matches('\n').count() + 1;
    let line = source.text[line_start..].lines().next().unwrap_or("");
    let column = source.text[line_start..from].chars().count();
    let wanted = span.end.saturating_sub(span.start).max(1);
    let room = line.len().saturating_sub(from - line_start).max(1);
    let shown = line
        .get(from - line_start..from - line_start + wanted.min(room))
        .map_or(1, |s| s.chars().count());
    let gutter = " ".repeat(line_number.to_string().len());
    writeln!(
        f,
        "{gutter}--> {}:{line_number}:{}",
        source.name,
        column + 1
    )?;
    let (line, column) = near(line, column);
    let shown = shown.min(line.chars().count().saturating_sub(column));
    writeln!(f, "{gutter} |")?;
    writeln!(f, "{line_number} | {line}")?;
    let mark = format!(
        "{}{} {}",
        " ".repeat(column),
        "^".repeat(shown.max(1)),
        fault.label
    );
    writeln!(f, "{gutter} | {}", mark.trim_end())
}

/// What is shown of a line: all of it, or of a long one the part around a column, and where the column stands there.
fn near(line: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 160;
    const BEFORE: usize = 60;
    let length = line.chars().count();
    if length <= WIDTH {
        return (line.to_owned(), column);
    }
    let from = column.saturating_sub(BEFORE);
    let part: String = line.chars().skip(from).take(WIDTH).collect();
    let begin = if from > 0 { "..." } else { "" };
    let end = if from + WIDTH < length { "..." } else { "" };
    (format!("{begin}{part}{end}"), column - from + begin.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_line_the_part_around_the_fault_is_shown() {
        let mut sources = Sources::default();
        let text = format!("{}wrong{}", "a".repeat(500), "b".repeat(500));
        sources.push("long.toml", &text);
        let fault = Fault::new("not this", "that", Some(500..505));
        let shown = Diagnostic::new(vec![fault], &sources).to_string();
        let line = format!("1 | ...{}wrong{}...\n", "a".repeat(60), "b".repeat(95));
        let mark = format!("  | {}^^^^^ that\n", " ".repeat(63));
        assert!(shown.contains(&line) && shown.ends_with(&mark), "{shown}");
        assert!(shown.contains("long.toml:1:501"), "{shown}");
    }

    #[test]
    fn the_caret_stands_under_the_value() {
        let mut sources = Sources::default();
        let text = "[selection.uniform]\nper_round = 1000\n";
        sources.push("quick.toml", text);
        let at = text.find("1000").unwrap();
        let fault = Fault::new(
            "more clients per round than clients",
            "at most data.clients = 100",
            Some(at..at + 4),
        );
        let shown = Diagnostic::new(vec![fault], &sources).to_string();
        assert_eq!(
            shown,
            "error: more clients per round than clients\n --> quick.toml:2:13\n  |\n2 | per_round = 1000\n  |             ^^^^ at most data.clients = 100\n"
        );
    }

    #[test]
    fn an_override_is_shown_by_itself() {
        let mut sources = Sources::default();
        sources.push("a.toml", "[run]\n");
        let start = sources.push("--set", "run.rounds = -1");
        let fault = Fault::new("out of range", "", Some(start + 13..start + 15));
        let shown = Diagnostic::new(vec![fault], &sources).to_string();
        assert!(shown.contains("--> --set:1:14"), "{shown}");
    }
}
