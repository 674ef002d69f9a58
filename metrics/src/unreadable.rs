//! What to tell a user of JSON that is not what a run wrote.

use serde_json::error::Category;

/// Why a file, or a line of one, cannot be read: a reason for whoever reads messages, with the place.
pub fn unreadable(error: &serde_json::Error) -> String {
    let place = match (error.line(), error.column()) {
        (0, _) => String::new(),
        (1, column) => format!(" (column {column})"),
        (line, column) => format!(" (line {line}, column {column})"),
    };
    match error.classify() {
        Category::Io => error.to_string(),
        Category::Eof if (error.line(), error.column()) == (1, 0) => "it is empty".into(),
        Category::Eof => format!("it ends too early{place}"),
        Category::Syntax => format!("it is no JSON{place}"),
        Category::Data => {
            format!("a value or a name is missing or is not what a run writes there{place}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_plain_and_have_the_place() {
        let reason = |text: &str| {
            let error = serde_json::from_str::<(u64, bool)>(text);
            unreadable(&error.expect_err("none of these is a pair"))
        };
        assert_eq!(reason("[1,"), "it ends too early (column 3)");
        assert_eq!(reason("[1\n;"), "it is no JSON (line 2, column 1)");
        assert_eq!(reason(""), "it is empty");
        let data = "a value or a name is missing or is not what a run writes there (column 4)";
        assert_eq!(reason("[1,2]"), data);
    }
}
