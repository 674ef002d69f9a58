//! Rows into a Parquet file, a row group at a time.

use crate::replacement::Replacement;
use crate::rows::{Cell, Column, Kind};
use parquet::basic::{LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A Parquet file being written; holds at most one row group in memory.
pub(crate) struct ParquetTable {
    replacement: Replacement,
    writer: SerializedFileWriter<File>,
    columns: Vec<Buffer>,
    rows: usize,
    group_rows: usize,
}

/// The cells of one column of the row group being collected.
struct Buffer {
    values: Values,
    /// 1 where there is a value, 0 where the cell is empty; of optional columns only.
    levels: Option<Vec<i16>>,
}

enum Values {
    Count(Vec<i64>),
    Real(Vec<f64>),
    Text(Vec<ByteArray>),
}

impl ParquetTable {
    /// Opens a table that will appear at `path`, in row groups of `group_rows` rows.
    pub(crate) fn begin(path: &Path, columns: &[Column<'_>], group_rows: usize) -> Result<Self> {
        let (replacement, file) = Replacement::begin(path)?;
        let properties = WriterProperties::builder()
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .build();
        let schema = Arc::new(schema(columns)?);
        Ok(Self {
            replacement,
            writer: SerializedFileWriter::new(file, schema, Arc::new(properties))?,
            columns: columns.iter().map(Buffer::new).collect(),
            rows: 0,
            group_rows,
        })
    }

    /// The final name, for messages.
    pub(crate) fn path(&self) -> &Path {
        self.replacement.path()
    }

    /// Adds a row: a cell for each column.
    pub(crate) fn push(&mut self, row: Vec<Cell>) -> Result<()> {
        debug_assert_eq!(row.len(), self.columns.len());
        for (column, cell) in self.columns.iter_mut().zip(row) {
            column.push(cell);
        }
        self.rows += 1;
        if self.rows == self.group_rows {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes what is left and gives the file its name.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.rows > 0 {
            self.write_group()?;
        }
        let file = self.writer.into_inner()?;
        Ok(self.replacement.commit(file)?)
    }

    fn write_group(&mut self) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let mut writer = group
                .next_column()?
                .expect("the schema has as many columns as the table");
            column.write(&mut writer)?;
            writer.close()?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

impl Buffer {
    fn new(column: &Column<'_>) -> Self {
        Self {
            values: match column.kind {
                Kind::Count => Values::Count(Vec::new()),
                Kind::Real => Values::Real(Vec::new()),
                Kind::Text => Values::Text(Vec::new()),
            },
            levels: column.optional.then(Vec::new),
        }
    }

    fn push(&mut self, cell: Cell) {
        if let Some(levels) = &mut self.levels {
            levels.push(i16::from(cell != Cell::Empty));
        }
        match (&mut self.values, cell) {
            // Unsigned in the schema: the bits are kept.
            (Values::Count(values), Cell::Count(value)) => values.push(value as i64),
            (Values::Real(values), Cell::Real(value)) => values.push(value),
            (Values::Text(values), Cell::Text(value)) => values.push(value.into_bytes().into()),
            (_, Cell::Empty) => {}
            _ => unreachable!("rows are made next to their columns, kind by kind"),
        }
    }

    /// Writes the collected cells and forgets them.
    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let levels = self.levels.as_deref();
        match &mut self.values {
            Values::Count(values) => {
                let writer = writer.typed::<Int64Type>();
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Real(values) => {
                let writer = writer.typed::<DoubleType>();
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Text(values) => {
                let writer = writer.typed::<ByteArrayType>();
                writer.write_batch(values, levels, None)?;
                values.clear();
            }
        }
        if let Some(levels) = &mut self.levels {
            levels.clear();
        }
        Ok(())
    }
}

fn schema(columns: &[Column<'_>]) -> Result<Type> {
    let fields = columns.iter().map(|column| {
        let (physical, logical) = match column.kind {
            Kind::Count => (PhysicalType::INT64, Some(LogicalType::integer(64, false))),
            Kind::Real => (PhysicalType::DOUBLE, None),
            Kind::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let repetition = match column.optional {
            true => Repetition::OPTIONAL,
            false => Repetition::REQUIRED,
        };
        let field = Type::primitive_type_builder(column.name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical);
        Ok(Arc::new(field.build()?))
    });
    Type::group_type_builder("lyceum")
        .with_fields(fields.collect::<Result<_>>()?)
        .build()
}
