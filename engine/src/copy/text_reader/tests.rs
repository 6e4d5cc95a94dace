#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write;

use arrow::datatypes::Int32Type;

use super::super::FileFormat;
use super::*;

const SMALL: Limits = Limits {
    batch_bytes: 10_000,
    record_bytes_max: 50_000,
};

fn table() -> SchemaRef {
    let fields = [("n", DataType::Int32), ("t", DataType::Utf8)];
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
    Arc::new(Schema::new(fields.to_vec()))
}

fn file(content: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

fn csv_reader(content: &str) -> TextReader {
    let options = CopyOptions::new(FileFormat::Csv);
    let mut reader = open_csv(file(content), "f".into(), &options, Some(table())).unwrap();
    reader.limits = SMALL;
    reader.input = BufReader::with_capacity(1_000, reader.input.into_inner());
    reader
}

fn json_reader(content: &str) -> TextReader {
    let mut reader = open_json(file(content), "f".into(), Some(table())).unwrap();
    reader.limits = SMALL;
    reader.input = BufReader::with_capacity(1_000, reader.input.into_inner());
    reader
}

/// Rows 0, 1, 2, … with their texts, in several batches of bounded size.
fn expect_rows(reader: TextReader, texts: &[String]) {
    let batches = reader.collect::<Result<Vec<_>>>().unwrap();
    assert!(batches.len() > 3, "{}", batches.len());
    let mut rows = texts.iter().enumerate();
    for batch in batches {
        let bytes: usize = batch.column(1).as_string::<i32>().value_data().len();
        assert!(bytes < 30_000, "{bytes}");
        let numbers = batch.column(0).as_primitive::<Int32Type>().values().iter();
        for (number, text) in numbers.zip(batch.column(1).as_string::<i32>()) {
            let (row, wanted) = rows.next().unwrap();
            assert_eq!((*number as usize, text), (row, Some(wanted.as_str())));
        }
    }
    assert!(rows.next().is_none());
}

#[test]
fn batches_are_bounded_in_bytes() {
    let texts: Vec<String> = (0..40).map(|row| "x\\\"y ".repeat(row * 50 + 1)).collect();
    let lines = texts.iter().enumerate().map(|(row, text)| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("{{\"n\":{row},\"t\":\"{text}\"}}\n")
    });
    expect_rows(json_reader(&lines.collect::<String>()), &texts);
}

#[test]
fn records_are_never_cut_between_batches() {
    // Line breaks, quotes and delimiters inside of quotes, in the first and in the last column.
    for header in ["n,t", "t,n"] {
        let text = |row: usize| "a\r\n\"b\",5\" \n\n\r".repeat(row * 40 + 1);
        let texts: Vec<String> = (0..40).map(text).collect();
        let mut content = format!("{header}\r\n");
        for (row, text) in texts.iter().enumerate() {
            let text = format!("\"{}\"", text.replace('"', "\"\""));
            let end = ["\n", "\r\n"][row % 2];
            content += &match header {
                "n,t" => format!("{row},{text}{end}"),
                _ => format!("{text},{row}{end}"),
            };
        }
        let reader = csv_reader(&content);
        let place = reader.schema().index_of("n").unwrap();
        if place == 0 {
            expect_rows(reader, &texts);
            continue;
        }
        let batches = reader.collect::<Result<Vec<_>>>().unwrap();
        assert!(batches.len() > 3);
        let found: Vec<String> = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten())
            .map(str::to_owned)
            .collect();
        assert_eq!(found, texts);
    }
}

#[test]
fn records_without_end_are_refused() {
    let endless = "\n".repeat(100_000);
    let error = csv_reader(&format!("n,t\n1,\"{endless}"))
        .next()
        .unwrap()
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("a record is longer than 50000 bytes: check the quotes"),
        "{message}"
    );
    let error = json_reader(&format!("{{\"n\":1,\"t\":{endless}"))
        .next()
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().contains("a record is longer"), "{error}");
}

#[test]
fn lines_are_counted_over_batches() {
    let text = "x\n".repeat(3_000);
    let mut content = String::from("n,t\n");
    (0..10).for_each(|row| content += &format!("{row},\"{text}\"\n"));
    content += "no,y\n";
    let errors: Vec<_> = csv_reader(&content).filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0]
            .to_string()
            .contains("line 30012: column 'n': 'no'"),
        "{}",
        errors[0]
    );
}
