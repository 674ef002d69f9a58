//! Templates with holes: the small part of Helm's language that the chart uses.
//!
//! `{{ .Values.name }}` is a value in its place; `{{- .Values.name | nindent 4 }}`, alone on its line, a text of many lines;
//! `{{- if .Values.name }}`, `{{- else }}` and `{{- end }}`, each alone on its line, keep what lies between where the value is
//! not empty.

use std::collections::BTreeMap;

pub(super) type Values = BTreeMap<&'static str, String>;

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// A template with its holes filled, or what is wrong with it.
pub(super) fn render(template: &str, values: &Values) -> Result<String, String> {
    let mut out = String::new();
    // Whether lines are kept, from the outside in.
    let mut kept = vec![true];
    for line in template.lines() {
        let outside = kept.len() < 2 || kept[kept.len() - 2];
        let keeps = kept.last().copied().unwrap_or(true);
        match order(line) {
            Some("end") => drop(kept.pop()),
            Some("else") => {
                kept.pop();
                kept.push(outside && !keeps);
            }
            Some(order) if order.starts_with("if ") => {
                let filled = !value(&order[3..], values)?.is_empty();
                kept.push(keeps && filled);
            }
            _ if !keeps => {}
            Some(order) if order.contains('|') => out.push_str(&block(order, values)?),
            _ => {
                out.push_str(&filled(line, values)?);
                out.push('\n');
            }
        }
    }
    match kept.len() {
        1 => Ok(out),
        _ => Err("an `if` and an `end` of a template do not match".into()),
    }
}

/// What a line orders that holds nothing else.
fn order(line: &str) -> Option<&str> {
    let inside = line.trim().strip_prefix("{{-")?.strip_suffix(CLOSE)?;
    (!inside.contains(OPEN)).then_some(inside.trim())
}

fn value<'a>(hole: &str, values: &'a Values) -> Result<&'a str, String> {
    let name = hole.trim().strip_prefix(".Values.");
    let found = name.and_then(|name| values.get(name));
    found
        .map(String::as_str)
        .ok_or_else(|| format!("a template asks for `{}`, which nobody gives", hole.trim()))
}

/// A text of many lines, moved to the right.
fn block(order: &str, values: &Values) -> Result<String, String> {
    let wrong = || format!("a template asks for `{order}`, which is not understood");
    let (hole, how) = order.split_once('|').ok_or_else(wrong)?;
    let spaces = how.trim().strip_prefix("nindent ").ok_or_else(wrong)?;
    let spaces: usize = spaces.trim().parse().map_err(|_| wrong())?;
    let mut out = String::new();
    for line in value(hole, values)?.trim_end().lines() {
        match line.is_empty() {
            true => {}
            false => out.extend([&" ".repeat(spaces), line]),
        }
        out.push('\n');
    }
    Ok(out)
}

fn filled(line: &str, values: &Values) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), line);
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (hole, after) = after
            .split_once(CLOSE)
            .ok_or_else(|| format!("a hole of a template has no end: {line}"))?;
        out.push_str(before);
        out.push_str(value(hole, values)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str) -> Result<String, String> {
        let values = [("a", "1"), ("none", ""), ("text", "x\n\n  y\n")];
        let values = values.map(|(name, value)| (name, value.to_string()));
        render(template, &Values::from(values))
    }

    #[test]
    fn holes_are_filled_and_branches_taken() {
        for (template, expected) in [
            ("k: {{ .Values.a }}-{{ .Values.a }}\n", "k: 1-1\n"),
            (
                "t: |\n  {{- .Values.text | nindent 2 }}\nz: 1\n",
                "t: |\n  x\n\n    y\nz: 1\n",
            ),
            (
                "{{- if .Values.a }}\nyes\n{{- else }}\nno\n{{- end }}\n",
                "yes\n",
            ),
            (
                "{{- if .Values.none }}\nyes\n{{- else }}\nno\n{{- end }}\nz\n",
                "no\nz\n",
            ),
        ] {
            assert_eq!(rendered(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for template in [
            "{{ .Values.absent }}",
            "{{ .Values.a",
            "{{- .Values.text | upper }}",
            "{{- if .Values.a }}\nx",
        ] {
            assert!(rendered(template).is_err(), "{template}");
        }
    }
}
