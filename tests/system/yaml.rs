//! Reads the part of YAML in which manifests are written: maps, lists and literal texts by indentation; quotes, `[...]` and
//! `{...}` on one line. What it does not know it refuses.

use serde_json::{Map, Number, Value};
use std::{iter::Peekable, str::Chars};

/// All documents of a text that are not empty.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let mut all = vec![Vec::new()];
    for line in text.lines() {
        match line == "---" {
            true => all.push(Vec::new()),
            false => all.last_mut().unwrap().push(line.to_string()),
        }
    }
    let read = |lines: Vec<String>| {
        let mut reader = Reader { lines, at: 0 };
        let value = reader.peek().map(|indent| reader.block(indent))?;
        assert_eq!(
            reader.peek(),
            None,
            "line {}: {:?}",
            reader.at + 1,
            reader.lines[reader.at]
        );
        Some(value)
    };
    all.into_iter().filter_map(read).collect()
}

struct Reader {
    lines: Vec<String>,
    at: usize,
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn is_item(text: &str) -> bool {
    text == "-" || text.starts_with("- ")
}

impl Reader {
    /// The next line that says something, by its indentation.
    fn peek(&mut self) -> Option<usize> {
        while let Some(line) = self.lines.get(self.at) {
            let text = line.trim();
            if !text.is_empty() && !text.starts_with('#') {
                assert!(!line.contains('\t'), "line {}: a tab", self.at + 1);
                return Some(indent(line));
            }
            self.at += 1;
        }
        None
    }

    fn text(&self) -> String {
        self.lines[self.at].trim().to_string()
    }

    fn block(&mut self, at: usize) -> Value {
        let text = self.text();
        match key(&text) {
            _ if is_item(&text) => self.list(at),
            Some(_) => self.map(at),
            None => {
                self.at += 1;
                flow(&text)
            }
        }
    }

    fn list(&mut self, at: usize) -> Value {
        let mut list = Vec::new();
        while self.peek() == Some(at) && is_item(&self.text()) {
            // What follows the dash is a block of its own, at its column.
            let line = &mut self.lines[self.at];
            line.replace_range(at..=at, " ");
            let inner = self.peek().filter(|inner| *inner > at);
            list.push(inner.map_or(Value::Null, |inner| self.block(inner)));
        }
        Value::Array(list)
    }

    fn map(&mut self, at: usize) -> Value {
        let mut map = Map::new();
        while self.peek() == Some(at) && !is_item(&self.text()) {
            let (line, text) = (self.at + 1, self.text());
            let (key, rest) = key(&text).unwrap_or_else(|| panic!("line {line}: no key in {text}"));
            self.at += 1;
            let value = self.value(at, rest);
            assert!(
                map.insert(key.clone(), value).is_none(),
                "line {line}: `{key}` twice"
            );
        }
        Value::Object(map)
    }

    fn value(&mut self, at: usize, rest: &str) -> Value {
        if let Some(how) = rest.strip_prefix('|') {
            return Value::String(self.literal(at, how));
        }
        if !rest.is_empty() {
            return flow(rest);
        }
        match self.peek() {
            Some(inner) if inner > at => self.block(inner),
            Some(inner) if inner == at && is_item(&self.text()) => self.list(inner),
            _ => Value::Null,
        }
    }

    fn literal(&mut self, at: usize, how: &str) -> String {
        let mut lines: Vec<String> = Vec::new();
        while let Some(line) = self.lines.get(self.at) {
            if !line.trim().is_empty() && indent(line) <= at {
                break;
            }
            lines.push(line.clone());
            self.at += 1;
        }
        let first = lines.iter().find(|line| !line.trim().is_empty());
        let inner = first.map_or(0, |line| indent(line));
        let cut = |line: &String| line.get(inner..).unwrap_or("").to_string();
        let text: Vec<String> = lines.iter().map(cut).collect();
        let text = text.join("\n").trim_end_matches('\n').to_string();
        match how {
            "-" => text,
            "" => text + "\n",
            how => panic!("|{how} is not known"),
        }
    }
}

/// The key of a line, and what follows it.
fn key(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (key, rest) = quoted.split_once("\":")?;
        return Some((key.into(), rest.trim()));
    }
    if text.starts_with(['[', '{', '\'']) {
        return None;
    }
    let (key, rest) = match text.strip_suffix(':') {
        Some(key) if !key.contains(": ") => (key, ""),
        _ => text.split_once(": ")?,
    };
    let rest = rest.trim();
    Some((key.into(), if rest.starts_with('#') { "" } else { rest }))
}

/// A value on one line.
fn flow(text: &str) -> Value {
    let mut rest = text.chars().peekable();
    let value = one(&mut rest, false);
    let after: String = rest.collect();
    let after = after.trim();
    assert!(
        after.is_empty() || after.starts_with('#'),
        "{text}: `{after}` is not known"
    );
    value
}

fn one(rest: &mut Peekable<Chars<'_>>, inside: bool) -> Value {
    while rest.next_if_eq(&' ').is_some() {}
    match rest.peek() {
        Some('[') => Value::Array(
            many(rest, ']')
                .into_iter()
                .map(|(_, value)| value)
                .collect(),
        ),
        Some('{') => Value::Object(many(rest, '}').into_iter().collect()),
        Some(&quote @ ('"' | '\'')) => {
            rest.next();
            Value::String(quoted(rest, quote))
        }
        _ => {
            let mut word = String::new();
            while let Some(c) = rest.next_if(|c| !inside || !",]}:".contains(*c)) {
                if c == '#' && word.ends_with(' ') {
                    rest.by_ref().for_each(drop);
                    break;
                }
                word.push(c);
            }
            scalar(word.trim())
        }
    }
}

fn quoted(rest: &mut Peekable<Chars<'_>>, quote: char) -> String {
    let mut text = String::new();
    while let Some(c) = rest.next() {
        match c {
            '\\' if quote == '"' => match rest.next() {
                Some('n') => text.push('\n'),
                Some(c @ ('"' | '\\')) => text.push(c),
                other => panic!("\\{other:?} is not known"),
            },
            c if c == quote && (quote == '"' || rest.next_if_eq(&'\'').is_none()) => return text,
            c => text.push(c),
        }
    }
    panic!("{text}: a quote has no end")
}

/// Entries between brackets; those of a list have no keys.
fn many(rest: &mut Peekable<Chars<'_>>, close: char) -> Vec<(String, Value)> {
    rest.next();
    let mut all = Vec::new();
    loop {
        while rest.next_if(|c| " ,".contains(*c)).is_some() {}
        if rest.next_if_eq(&close).is_some() {
            return all;
        }
        assert!(rest.peek().is_some(), "a bracket has no end");
        let first = one(rest, true);
        match rest.next_if_eq(&':') {
            Some(_) => {
                let key = first.as_str().map_or_else(|| first.to_string(), Into::into);
                all.push((key, one(rest, true)));
            }
            None => all.push((String::new(), first)),
        }
    }
}

fn scalar(word: &str) -> Value {
    assert!(
        !word.starts_with(['&', '*', '!', '>', '%', '@', '`']),
        "{word} is not known"
    );
    let float = || word.parse().ok().and_then(Number::from_f64);
    match word {
        "" | "null" | "~" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if word.parse::<i64>().is_ok() => Value::from(word.parse::<i64>().unwrap()),
        _ if word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.') => {
            float().map_or_else(|| Value::from(word), Value::Number)
        }
        _ => Value::from(word),
    }
}

#[test]
fn what_manifests_are_written_in_is_read() {
    let text = "# c\na: 1\nb:\n  - x: 'it''s'\n    y: [\"-m\", 2, v]\n  - z\n  -\n    w: {}\n\"c d\": |\n  one\n\n    two\nd:\n- e: 0.1.0 # c\n---\nf: |-\n  g\nh: {i: j, k: \"l\\n\"}\n";
    let wanted = serde_json::json!([
        {"a": 1, "b": [{"x": "it's", "y": ["-m", 2, "v"]}, "z", {"w": {}}], "c d": "one\n\n  two\n", "d": [{"e": "0.1.0"}]},
        {"f": "g", "h": {"i": "j", "k": "l\n"}},
    ]);
    assert_eq!(Value::Array(documents(text)), wanted);
}

#[test]
#[should_panic(expected = "is not known")]
fn what_is_not_known_is_refused() {
    documents("a: *b\n");
}
