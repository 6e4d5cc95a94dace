//! Parquet writer settings of one segment.

use arrow::datatypes::DataType;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::SchemaDescriptor;
use quiver_catalog::{Column, SortColumn};

use super::options::SegmentOptions;
use super::stats::LeafStats;

/// Writer settings for a segment whose leaf columns have these statistics; of those that are marked,
/// no bounds are written.
pub(crate) fn writer_properties(
    options: &SegmentOptions,
    columns: &[Column],
    sort_key: &[SortColumn],
    schema: &SchemaDescriptor,
    stats: &[LeafStats],
    without_bounds: &[bool],
) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("quiver ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(options.compression)
        .set_max_row_group_row_count(Some(options.row_group_rows.max(1)))
        .set_max_row_group_bytes(Some(options.row_group_bytes.max(1)))
        .set_data_page_row_count_limit(options.data_page_rows.max(1))
        .set_write_batch_size(options.data_page_rows.clamp(1, 1024))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(sorting_columns(columns, sort_key))
        .set_bloom_filter_fpp(options.bloom_false_positive_rate)
        .set_bloom_filter_max_ndv(options.row_group_rows.max(1) as u64)
        .set_bloom_filter_enabled(false);
    let leaves = schema.columns().iter().zip(stats).zip(without_bounds);
    for ((leaf, stats), without_bounds) in leaves {
        if *without_bounds {
            // Parquet's bounds leave NaN out, but queries order it above every number: a reader
            // that trusts these bounds would drop the NaN rows of `x > 5`.
            builder =
                builder.set_column_statistics_enabled(leaf.path().clone(), EnabledStatistics::None);
        }
        if !stats.sample.repeats() {
            builder = builder.set_column_dictionary_enabled(leaf.path().clone(), false);
        }
    }
    if options.bloom_filters {
        for path in bloom_columns(columns, sort_key, schema, stats) {
            builder = builder.set_column_bloom_filter_enabled(path, true);
        }
    }
    builder.build()
}

/// Top-level columns that equality searches hit and bounds cannot serve. The first column of the
/// sort key needs none, nor does one whose values come in order: their bounds are narrow. Filters of
/// columns with few values shrink by themselves when they are written.
fn bloom_columns<'a>(
    columns: &'a [Column],
    sort_key: &'a [SortColumn],
    schema: &'a SchemaDescriptor,
    stats: &'a [LeafStats],
) -> impl Iterator<Item = parquet::schema::types::ColumnPath> + 'a {
    let leading = sort_key.first().map(|key| key.column_id);
    schema
        .columns()
        .iter()
        .enumerate()
        .filter_map(move |(leaf, descriptor)| {
            let column = &columns[schema.get_column_root_idx(leaf)];
            // A sort scatters all columns but its own.
            let is_scattered = leading.is_some() || stats[leaf].sample.is_scattered();
            (Some(column.id) != leading && is_scattered && may_be_searched(&column.data_type))
                .then(|| descriptor.path().clone())
        })
}

fn may_be_searched(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::Binary
            | DataType::FixedSizeBinary(_)
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt32
            | DataType::UInt64
    )
}

fn sorting_columns(columns: &[Column], sort_key: &[SortColumn]) -> Option<Vec<SortingColumn>> {
    let mut leaf = 0;
    let mut first_leaves = Vec::with_capacity(columns.len());
    for column in columns {
        first_leaves.push(leaf);
        leaf += column.leaves().len();
    }
    let sorting = sort_key.iter().map(|key| {
        let at = columns
            .iter()
            .position(|column| column.id == key.column_id)?;
        Some(SortingColumn {
            column_idx: i32::try_from(first_leaves[at]).ok()?,
            descending: key.descending,
            nulls_first: key.nulls_first,
        })
    });
    sorting
        .collect::<Option<Vec<_>>>()
        .filter(|sorting| !sorting.is_empty())
}
