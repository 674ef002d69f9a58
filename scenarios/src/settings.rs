//! Settings beside a scenario: a TOML file, and variables that are laid over it.

use crate::{diagnostic::Diagnostic, document::Texts, reader::Reader};
use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A setting from outside of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// What it is called there.
    pub name: String,
    /// Its dotted key.
    pub key: String,
    /// Its value, a text that needs no quotes.
    pub value: String,
}

/// Reads settings. Faults show the line of the file, or the variable.
pub fn read_settings<T: DeserializeOwned>(
    file: &str,
    text: &str,
    variables: &[Variable],
) -> Result<T, Diagnostic> {
    let items = variables.iter().map(|v| (v.name.clone(), item::<T>(v)));
    let texts = Texts::of(file, text, items);
    let root = texts.parse()?.into_root();
    whole(root).map_err(|fault| Diagnostic::new(vec![fault], &texts.sources))
}

/// A variable as a line of TOML: a string where its key takes one, whatever the value looks like.
fn item<T: DeserializeOwned>(variable: &Variable) -> String {
    let Variable { key, value, .. } = variable;
    let quoted = format!("{key}={}", toml::Value::String(value.clone()));
    let read = DeTable::parse(&quoted).map(|table| whole::<T>(table.into_inner()).is_ok());
    match read {
        Ok(true) => quoted,
        _ => format!("{key}={value}"),
    }
}

fn whole<T: DeserializeOwned>(root: DeTable<'_>) -> Result<T, crate::diagnostic::Fault> {
    Reader::new("settings", Spanned::new(0..0, DeValue::Table(root))).read()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Own {
        threads: Option<u16>,
        folder: Option<String>,
        inner: Inner,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        seconds: f64,
    }

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Own, String> {
        let variable = |(key, value): &(&str, &str)| Variable {
            name: format!("OWN__{}", key.to_uppercase()),
            key: (*key).into(),
            value: (*value).into(),
        };
        let variables: Vec<_> = variables.iter().map(variable).collect();
        read_settings("own.toml", text, &variables).map_err(|e| e.to_string())
    }

    #[test]
    fn variables_lie_over_the_file_and_need_no_quotes() {
        let given = [("folder", "2024"), ("inner.seconds", "3")];
        let own = read("threads = 4\nfolder = \"a\"\n", &given).unwrap();
        assert_eq!(own.threads, Some(4));
        assert_eq!(own.folder.as_deref(), Some("2024"));
        assert_eq!(own.inner.seconds, 3.0);
        assert_eq!(read("", &[]).unwrap(), Own::default());
    }

    #[test]
    fn faults_show_the_line_or_the_variable() {
        let text = read("\nthreads = \"x\"\n", &[]).unwrap_err();
        assert!(text.contains("own.toml:2:11"), "{text}");
        let text = read("", &[("threads", "many")]).unwrap_err();
        assert!(text.contains("--> OWN__THREADS:1:9"), "{text}");
        assert!(text.contains("expected a whole number"), "{text}");
        let text = read("", &[("treads", "4")]).unwrap_err();
        assert!(text.contains("unknown key `treads`"), "{text}");
        let text = read("inner = [3]", &[]).unwrap_err();
        assert!(text.contains("`inner` is a list"), "{text}");
    }
}
