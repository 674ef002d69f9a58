//! The tables of a run, made from its event log.

use crate::log::EventReader;
use crate::log_error::LogError;
use crate::parquet_table::ParquetTable;
use crate::replacement::Replacement;
use crate::rows::{CLIENT_COLUMNS, Cell, Column, ROUND_COLUMNS, RoundRows, client_row};
use lyceum_core::Event;
use parquet::errors::ParquetError;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Name of the event log in a run's folder.
pub const EVENTS: &str = "events.jsonl";
/// Name of the table of rounds, as text.
pub const ROUNDS_CSV: &str = "rounds.csv";
/// Name of the table of rounds.
pub const ROUNDS_PARQUET: &str = "rounds.parquet";
/// Name of the table of clients.
pub const CLIENTS_PARQUET: &str = "clients.parquet";

/// Rows of a row group: what is held in memory, however long the run.
const GROUP_ROWS: usize = 4_096;

/// Why the tables could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The text table could not be written.
    #[error("table {path}: {source}")]
    Csv {
        /// Of the table.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// A Parquet table could not be written.
    #[error("table {path}: {source}")]
    Parquet {
        /// Of the table.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
}

/// Streams `events.jsonl` of a run's folder into `rounds.csv` and `rounds.parquet`, with a row for
/// each closed round, and `clients.parquet`, with a row for each client and round it was selected
/// in. Each table appears whole or not at all. Memory does not depend on the length of the run.
///
/// Cells are empty where nothing was measured, and NaN where a measured loss was not finite. Losses
/// are in nats. Times are empty where the log has none.
pub fn write_tables(run: &Path) -> Result<(), TableError> {
    write_tables_in_groups(run, GROUP_ROWS)
}

fn write_tables_in_groups(run: &Path, group_rows: usize) -> Result<(), TableError> {
    let events = EventReader::open(&run.join(EVENTS))?;
    let mut tables = Tables::begin(run, group_rows)?;
    let mut rounds = RoundRows::default();
    for event in events {
        let event = event?;
        if let Event::Client { round, report } = &event {
            push(&mut tables.clients, client_row(*round, report))?;
        }
        if let Some(row) = rounds.observe(&event) {
            tables.round(row)?;
        }
    }
    if let Some(row) = rounds.finish() {
        tables.round(row)?;
    }
    tables.finish()
}

struct Tables {
    text: CsvTable,
    rounds: ParquetTable,
    clients: ParquetTable,
}

impl Tables {
    fn begin(run: &Path, group_rows: usize) -> Result<Self, TableError> {
        let parquet = |name, columns| {
            let path = run.join(name);
            ParquetTable::begin(&path, columns, group_rows)
                .map_err(|source| TableError::Parquet { path, source })
        };
        let path = run.join(ROUNDS_CSV);
        let text = CsvTable::begin(&path, &ROUND_COLUMNS);
        Ok(Self {
            text: text.map_err(|source| TableError::Csv { path, source })?,
            rounds: parquet(ROUNDS_PARQUET, &ROUND_COLUMNS)?,
            clients: parquet(CLIENTS_PARQUET, &CLIENT_COLUMNS)?,
        })
    }

    fn round(&mut self, row: Vec<Cell>) -> Result<(), TableError> {
        self.text.push(&row).map_err(|source| TableError::Csv {
            path: self.text.replacement.path().to_path_buf(),
            source,
        })?;
        push(&mut self.rounds, row)
    }

    fn finish(self) -> Result<(), TableError> {
        let path = self.text.replacement.path().to_path_buf();
        let text = self.text.finish();
        text.map_err(|source| TableError::Csv { path, source })?;
        for table in [self.rounds, self.clients] {
            let path = table.path().to_path_buf();
            let finished = table.finish();
            finished.map_err(|source| TableError::Parquet { path, source })?;
        }
        Ok(())
    }
}

/// A small table as comma-separated text with a line of names.
pub(crate) fn csv_text(columns: &[Column<'_>], rows: &[Vec<Cell>]) -> Result<String, TableError> {
    let text = || -> csv::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(columns.iter().map(|column| column.name))?;
        for row in rows {
            writer.write_record(row.iter().map(written))?;
        }
        Ok(writer
            .into_inner()
            .map_err(csv::IntoInnerError::into_error)?)
    };
    let bytes = text().map_err(|source| TableError::Csv {
        path: PathBuf::from("-"),
        source,
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a small table into a folder, as `<stem>.csv` and as `<stem>.parquet`.
pub(crate) fn write_both(
    folder: &Path,
    stem: &str,
    columns: &[Column<'_>],
    rows: Vec<Vec<Cell>>,
) -> Result<(), TableError> {
    let path = folder.join(format!("{stem}.csv"));
    let text = CsvTable::begin(&path, columns).and_then(|mut text| {
        rows.iter().try_for_each(|row| text.push(row))?;
        text.finish()
    });
    text.map_err(|source| TableError::Csv { path, source })?;
    let path = folder.join(format!("{stem}.parquet"));
    let table = ParquetTable::begin(&path, columns, GROUP_ROWS).and_then(|mut table| {
        rows.into_iter().try_for_each(|row| table.push(row))?;
        table.finish()
    });
    table.map_err(|source| TableError::Parquet { path, source })
}

fn push(table: &mut ParquetTable, row: Vec<Cell>) -> Result<(), TableError> {
    table.push(row).map_err(|source| TableError::Parquet {
        path: table.path().to_path_buf(),
        source,
    })
}

/// A table as comma-separated text with a line of names.
struct CsvTable {
    replacement: Replacement,
    writer: csv::Writer<File>,
}

impl CsvTable {
    fn begin(path: &Path, columns: &[Column<'_>]) -> csv::Result<Self> {
        let (replacement, file) = Replacement::begin(path)?;
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(columns.iter().map(|column| column.name))?;
        Ok(Self {
            replacement,
            writer,
        })
    }

    fn push(&mut self, row: &[Cell]) -> csv::Result<()> {
        self.writer.write_record(row.iter().map(written))
    }

    fn finish(self) -> csv::Result<()> {
        let file = self.writer.into_inner();
        let file = file.map_err(csv::IntoInnerError::into_error)?;
        Ok(self.replacement.commit(file)?)
    }
}

/// Numbers have the fewest digits that are read back as the same number.
fn written(cell: &Cell) -> String {
    match cell {
        Cell::Count(value) => value.to_string(),
        Cell::Real(value) => value.to_string(),
        Cell::Text(value) => value.clone(),
        Cell::Empty => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::EventLog;
    use crate::small_run::{closed, run};
    use lyceum_core::Fingerprint;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::{Field, Row, RowAccessor};
    use std::fs;

    fn folder_with(events: &[Event]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventLog::create(&folder.path().join(EVENTS)).unwrap();
        events.iter().for_each(|event| log.write(event).unwrap());
        log.sync().unwrap();
        folder
    }

    fn rows(path: &Path) -> Vec<Row> {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        reader
            .get_row_iter(None)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    fn text(value: &str) -> Field {
        Field::Str(value.to_owned())
    }

    fn fields(row: &Row) -> Vec<Field> {
        row.get_column_iter()
            .map(|(_, field)| field.clone())
            .collect()
    }

    #[test]
    fn the_text_of_the_rounds_is_exact() {
        let folder = folder_with(&run());
        write_tables(folder.path()).unwrap();
        let fingerprints = [0_u64, 1].map(|round| Fingerprint::of(&round.to_le_bytes()));
        let expected = format!(
            "round,cohort,accepted,refused,dropped_out,train_loss,trained,scored,steps,bytes_down,\
             bytes_up,validation_accuracy,validation_loss,test_accuracy,test_loss,\
             mean_client_accuracy,seconds,evaluation_seconds,fingerprint\n\
             0,3,1,1,1,0.5,40,30,4,200,80,0.5,0.25,0.75,0.125,0.75,0.001,0.0005,{}\n\
             1,3,1,1,1,,40,30,4,200,80,,,,,,0.001,,{}\n",
            fingerprints[0], fingerprints[1]
        );
        let found = fs::read_to_string(folder.path().join(ROUNDS_CSV)).unwrap();
        assert_eq!(found, expected);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn the_rounds_are_read_back_from_parquet() {
        let folder = folder_with(&run());
        write_tables(folder.path()).unwrap();
        let rows = rows(&folder.path().join(ROUNDS_PARQUET));
        assert_eq!(rows.len(), 2);
        let names: Vec<_> = rows[0].get_column_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ROUND_COLUMNS.map(|column| column.name).each_ref());
        assert_eq!(rows[0].get_double(14).unwrap(), 0.125);
        let mut expected: Vec<_> = [1, 3, 1, 1, 1].map(Field::ULong).to_vec();
        expected.push(Field::Null);
        expected.extend([40, 30, 4, 200, 80].map(Field::ULong));
        expected.extend([const { Field::Null }; 5]);
        expected.extend([Field::Double(0.001), Field::Null]);
        expected.push(text(&Fingerprint::of(&1_u64.to_le_bytes()).to_string()));
        assert_eq!(fields(&rows[1]), expected);
    }

    #[test]
    fn the_clients_are_read_back_from_parquet() {
        let folder = folder_with(&run());
        write_tables(folder.path()).unwrap();
        let rows = rows(&folder.path().join(CLIENTS_PARQUET));
        assert_eq!(rows.len(), 6);
        let refused = [
            Field::ULong(0),
            Field::ULong(8),
            text("refused"),
            text("not finite"),
            Field::ULong(10),
            Field::ULong(20),
            Field::ULong(10),
            Field::ULong(2),
            Field::Double(0.75),
            Field::Double(f64::from(0.1_f32)),
            Field::Null,
            Field::ULong(40),
            Field::ULong(40),
        ];
        assert_eq!(fields(&rows[1]), refused);
        assert_eq!(fields(&rows[0])[2..4], [text("accepted"), Field::Null]);
        assert_eq!(fields(&rows[0])[10], Field::Double(1.25));
        assert_eq!(fields(&rows[5])[2..4], [text("dropped_out"), Field::Null]);
        assert_eq!(fields(&rows[5])[8..10], [Field::Null, Field::Null]);
    }

    #[test]
    fn a_long_run_is_cut_into_row_groups() {
        let folder = folder_with(&(0..7).map(closed).collect::<Vec<_>>());
        write_tables_in_groups(folder.path(), 3).unwrap();
        let path = folder.path().join(ROUNDS_PARQUET);
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let sizes: Vec<_> = reader
            .metadata()
            .row_groups()
            .iter()
            .map(|group| group.num_rows())
            .collect();
        assert_eq!(sizes, [3, 3, 1]);
        let rounds: Vec<_> = rows(&path)
            .iter()
            .map(|row| row.get_ulong(0).unwrap())
            .collect();
        assert_eq!(rounds, [0, 1, 2, 3, 4, 5, 6]);
        assert!(rows(&folder.path().join(CLIENTS_PARQUET)).is_empty());
    }

    #[test]
    fn a_broken_log_leaves_the_old_tables() {
        let folder = folder_with(&run());
        fs::write(folder.path().join(ROUNDS_CSV), "old").unwrap();
        fs::write(folder.path().join(EVENTS), "{}\n").unwrap();
        let error = write_tables(folder.path()).unwrap_err();
        assert!(matches!(error, TableError::Log(LogError::Line { .. })));
        let kept = fs::read_to_string(folder.path().join(ROUNDS_CSV)).unwrap();
        assert_eq!(kept, "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
