use super::*;

fn shape(schema: &Schema) -> Vec<(&str, DataType, bool)> {
    schema
        .fields()
        .iter()
        .map(|field| {
            (
                field.name().as_str(),
                field.data_type().clone(),
                field.is_nullable(),
            )
        })
        .collect()
}

#[test]
fn answers_are_empty_and_shaped_as_specified() {
    use DataType::{Int32, UInt8, Utf8};
    assert_eq!(
        shape(&primary_keys().schema()),
        [
            ("catalog_name", Utf8, true),
            ("db_schema_name", Utf8, true),
            ("table_name", Utf8, false),
            ("column_name", Utf8, false),
            ("key_sequence", Int32, false),
            ("key_name", Utf8, true),
        ]
    );
    let foreign = foreign_keys().schema();
    let foreign = shape(&foreign);
    assert_eq!(foreign.len(), 13);
    assert_eq!(foreign[2], ("pk_table_name", Utf8, false));
    assert_eq!(foreign[8], ("key_sequence", Int32, false));
    assert_eq!(foreign[11], ("update_rule", UInt8, false));
    assert_eq!(foreign[12], ("delete_rule", UInt8, false));
    assert_eq!(primary_keys().num_rows() + foreign_keys().num_rows(), 0);
}
