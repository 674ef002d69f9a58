//! Files of samples: JSON lines or CSV, a task a file or a task a value of a column. Whatever is wrong is told with its file and line.

use crate::StoreError;
use serde_json::{Map, Value};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

/// Bytes of a line, at most.
const MOST: u64 = 4 << 20;

/// A line's number and its record as JSON.
pub type Line = (u64, String);

/// The records of a file, read one by one.
pub fn open(path: &Path) -> Result<Box<dyn Iterator<Item = Result<Line, StoreError>>>, StoreError> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let ending = ending.map(str::to_ascii_lowercase);
    let file = || File::open(path).map_err(StoreError::file(path));
    let shown = path.display().to_string();
    match ending.as_deref() {
        Some("jsonl" | "ndjson") => {
            let lines = json_lines(BufReader::with_capacity(1 << 17, file()?));
            Ok(Box::new(lines.map(at(shown))))
        }
        Some("csv") => {
            let reader = BufReader::with_capacity(1 << 17, file()?);
            let rows = csv_rows(reader).map_err(|fault| refused(&shown, 1, &fault))?;
            Ok(Box::new(rows.map(at(shown))))
        }
        _ => Err(StoreError::refused(format!(
            "{shown}: a file of records has the ending .jsonl (a JSON record a line) or .csv (names of columns in the first line)"
        ))),
    }
}

type Read1 = Result<Line, (u64, String)>;

fn at(shown: String) -> impl FnMut(Read1) -> Result<Line, StoreError> {
    move |line| line.map_err(|(number, fault)| refused(&shown, number, &fault))
}

/// A fault of a line.
pub(crate) fn refused(file: &str, line: u64, fault: &str) -> StoreError {
    StoreError::refused(format!("{file}, line {line}: {fault}"))
}

/// The lines of a file of JSON lines that are not empty.
pub fn json_lines(mut reader: impl BufRead) -> impl Iterator<Item = Read1> {
    let mut number = 0;
    let mut ended = false;
    std::iter::from_fn(move || {
        loop {
            if ended {
                return None;
            }
            number += 1;
            let mut line = Vec::new();
            let read = reader.by_ref().take(MOST + 1).read_until(b'\n', &mut line);
            let wrong = |fault: String| Some(Err((number, fault)));
            match read {
                Err(error) => {
                    ended = true;
                    return wrong(error.to_string());
                }
                Ok(0) => return None,
                Ok(_) if line.len() as u64 > MOST => {
                    ended = true;
                    return wrong(format!(
                        "it has more than {MOST} bytes; a record a line is right"
                    ));
                }
                Ok(_) => {}
            }
            match String::from_utf8(line) {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => return Some(Ok((number, text))),
                Err(_) => return wrong("it is no text in UTF-8".into()),
            }
        }
    })
}

/// The rows of a CSV file, whose first line names the columns.
pub fn csv_rows(reader: impl Read) -> Result<impl Iterator<Item = Read1>, String> {
    let limited = Limited { reader, since: 0 };
    let mut reader = csv::ReaderBuilder::new().from_reader(limited);
    let head = reader.headers().map_err(|e| csv_fault(&e))?.clone();
    let columns: Vec<String> = head.iter().map(str::to_string).collect();
    for (place, column) in columns.iter().enumerate() {
        if columns[..place].contains(column) {
            return Err(format!(
                "the column `{column}` is there twice; a name of its own for each column is right"
            ));
        }
    }
    Ok(reader.into_records().map(move |row| {
        let row = row.map_err(|e| {
            let line = e.position().map_or(0, csv::Position::line);
            (line, csv_fault(&e))
        })?;
        let line = row.position().map_or(0, csv::Position::line);
        let cells = columns.iter().zip(row.iter());
        let record: Map<String, Value> = cells
            .map(|(column, cell)| (column.clone(), value_of(cell)))
            .collect();
        Ok((line, Value::Object(record).to_string()))
    }))
}

/// A reader that ends a file of absurdly long rows.
struct Limited<R> {
    reader: R,
    since: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        match buffer[..read].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => self.since = (read - end) as u64,
            None => self.since += read as u64,
        }
        match self.since > MOST {
            true => Err(std::io::Error::other(format!(
                "a line has more than {MOST} bytes"
            ))),
            false => Ok(read),
        }
    }
}

fn csv_fault(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("{len} cells, and the first line names {expected_len} columns"),
        csv::ErrorKind::Utf8 { .. } => "it is no text in UTF-8".into(),
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// A cell: nothing, true or false, a number that is written as numbers are, or a text.
fn value_of(cell: &str) -> Value {
    match cell {
        "" => return Value::Null,
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    let number = serde_json::from_str::<serde_json::Number>(cell).ok();
    match number.filter(|number| number.to_string() == cell) {
        Some(number) => Value::Number(number),
        None => Value::String(cell.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Read1> {
        csv_rows(text.as_bytes()).unwrap().collect()
    }

    #[test]
    fn cells_are_numbers_texts_or_nothing() {
        let row = |line, text: &str| Ok((line, text.to_string()));
        assert_eq!(
            rows("name,steps,ok\na,3,true\n\"b,c\",,x\n007,1.50,false\n"),
            [
                row(2, r#"{"name":"a","steps":3,"ok":true}"#),
                row(3, r#"{"name":"b,c","steps":null,"ok":"x"}"#),
                row(4, r#"{"name":"007","steps":"1.50","ok":false}"#),
            ]
        );
        let fault = rows("a,b\n1,2\n3\n").remove(1).unwrap_err();
        assert_eq!(
            fault,
            (3, "1 cells, and the first line names 2 columns".into())
        );
        let twice = csv_rows("a,a\n".as_bytes()).err().unwrap();
        assert!(twice.contains("`a` is there twice"), "{twice}");
    }

    #[test]
    fn lines_are_counted_and_empty_ones_left_out() {
        let lines: Vec<_> = json_lines("{}\n\n {\"a\":1}".as_bytes()).collect();
        let line = |number, text: &str| Ok((number, text.to_string()));
        assert_eq!(lines, [line(1, "{}\n"), line(3, " {\"a\":1}")]);
        let long = vec![b'x'; MOST as usize + 9];
        let lines: Vec<_> = json_lines(&long[..]).collect();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].as_ref().unwrap_err().1.contains("a record a line"));
    }
}
