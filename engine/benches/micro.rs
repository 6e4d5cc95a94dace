//! Micro-benchmarks of the data path, one part at a time: `make bench-micro`.
//!
//! Everything that is written goes to a disk (`QUIVER_BENCH_DIR`, or the folder for temporary files), with
//! the syncs that the server makes.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use quiver_catalog::{Column, ColumnId};
use quiver_engine::micro::{Log, PrunedTable, RecycledFile, decode, encode, flush, memtable};

const MIB: usize = 1 << 20;
const BATCH_ROWS: usize = 65_536;

fn main() {
    divan::main();
}

fn folder() -> tempfile::TempDir {
    let parent =
        std::env::var_os("QUIVER_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(parent).expect("a folder for what is written")
}

fn payloads(count: usize, bytes: usize) -> Vec<Bytes> {
    let bytes: Vec<u8> = (0..bytes).map(|at| (at * 31) as u8).collect();
    vec![Bytes::from(bytes); count]
}

/// Columns such as a table of orders has: a key in order, one that is not, a price, a word, a remark.
fn batch(rows: usize, first: usize) -> RecordBatch {
    let numbers = first as i64..(first + rows) as i64;
    let mixed = |n: i64, kinds: i64| (n.wrapping_mul(2_654_435_761) >> 7).rem_euclid(kinds);
    let words = ["RAIL", "SHIP", "TRUCK", "AIR"];
    let prices =
        Decimal128Array::from_iter_values(numbers.clone().map(|n| mixed(n, 9_999_999).into()));
    let columns: [(&str, ArrayRef); 5] = [
        (
            "key",
            Arc::new(Int64Array::from_iter_values(numbers.clone())),
        ),
        (
            "part",
            Arc::new(Int64Array::from_iter_values(
                numbers.clone().map(|n| mixed(n, 200_000)),
            )),
        ),
        (
            "price",
            Arc::new(prices.with_precision_and_scale(15, 2).expect("prices fit")),
        ),
        (
            "mode",
            Arc::new(StringArray::from_iter_values(
                numbers.clone().map(|n| words[mixed(n, 4) as usize]),
            )),
        ),
        (
            "remark",
            Arc::new(StringArray::from_iter_values(
                numbers.map(|n| format!("remark {} of no one", mixed(n, 1 << 40))),
            )),
        ),
    ];
    let fields = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns.map(|(_, column)| column).to_vec())
        .expect("columns of one length")
}

fn columns(batch: &RecordBatch) -> Vec<Column> {
    let fields = batch.schema().fields().clone();
    let columns = fields.iter().zip(1..);
    columns
        .map(|(field, id)| column(id, field.name(), field.data_type().clone()))
        .collect()
}

fn column(id: i64, name: &str, data_type: DataType) -> Column {
    Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type,
        nullable: true,
        children: vec![],
        default: quiver_catalog::ColumnDefault::default(),
    }
}

fn bytes_of(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::get_array_memory_size).sum()
}

/// Frames in a group of one sync, and bytes of each.
const GROUPS: [(usize, usize); 4] = [(1, 1000), (1, MIB), (4, MIB), (16, MIB)];

#[divan::bench(args = GROUPS, sample_count = 100)]
fn log_append(bencher: Bencher, (frames, bytes): (usize, usize)) {
    let folder = folder();
    let log = Log::open(folder.path()).expect("a log");
    let payloads = payloads(frames, bytes);
    // Until its first files are recycled.
    for _ in 0..600 * MIB / (frames * bytes.max(MIB / 4)) {
        log.append(&payloads).expect("an append");
    }
    bencher
        .counter(BytesCount::new(frames * bytes))
        .bench_local(|| log.append(&payloads).expect("an append"));
}

/// The floor of the log: the same bytes into a file that was written before.
#[divan::bench(args = GROUPS, sample_count = 100)]
fn log_floor_fdatasync(bencher: Bencher, (frames, bytes): (usize, usize)) {
    let folder = folder();
    let path = folder.path().join("recycled");
    let mut file = RecycledFile::create(&path, 128 << 20).expect("a file");
    let payloads = payloads(frames, bytes);
    bencher
        .counter(BytesCount::new(frames * bytes))
        .bench_local(|| file.append(&payloads).expect("an append"));
}

#[divan::bench]
fn encode_batch(bencher: Bencher) {
    let batch = batch(BATCH_ROWS, 0);
    bencher
        .counter(BytesCount::new(bytes_of(std::slice::from_ref(&batch))))
        .bench(|| encode(&batch).expect("a payload"));
}

#[divan::bench]
fn decode_batch(bencher: Bencher) {
    let batch = batch(BATCH_ROWS, 0);
    let payload = Bytes::from(encode(&batch).expect("a payload").concat());
    let schema = batch.schema();
    bencher
        .counter(BytesCount::new(payload.len()))
        .bench(|| decode(&payload, &schema).expect("a batch"));
}

#[divan::bench(args = [1, BATCH_ROWS])]
fn memtable_of_1000_commits(bencher: Bencher, rows: usize) {
    let batches = vec![batch(rows, 0); 1000];
    bencher
        .counter(ItemsCount::new(batches.len()))
        .bench(|| memtable(&batches));
}

#[divan::bench(sample_count = 10)]
fn flush_of_16_batches(bencher: Bencher) {
    let folder = folder();
    let batches: Vec<_> = (0..16).map(|n| batch(BATCH_ROWS, n * BATCH_ROWS)).collect();
    let columns = columns(&batches[0]);
    bencher
        .counter(BytesCount::new(bytes_of(&batches)))
        .bench_local(|| flush(folder.path(), &columns, &batches).expect("a segment"));
}

#[divan::bench(args = [10, 1000, 100_000])]
fn prune_segments(bencher: Bencher, segments: usize) {
    let id = column(1, "id", DataType::Int64);
    let table = PrunedTable::new(vec![id], segments);
    bencher
        .counter(ItemsCount::new(segments))
        .bench(|| assert_eq!(table.prune(5).expect("a count"), 1));
}
