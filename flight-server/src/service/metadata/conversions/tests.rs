use super::*;

#[test]
fn every_type_converts_to_text_and_back() {
    use SqlSupportsConvert as C;
    let conversions = conversions();
    assert_eq!(conversions.len(), 20);
    let varchar = C::SqlConvertVarchar as i32;
    for (from, targets) in &conversions {
        assert!(
            targets.contains(&varchar) && targets.contains(from),
            "{from}"
        );
        assert!(conversions[&varchar].contains(from), "{from}");
    }
    let bigint = &conversions[&(C::SqlConvertBigint as i32)];
    assert!(bigint.contains(&(C::SqlConvertDecimal as i32)));
    assert!(!bigint.contains(&(C::SqlConvertBinary as i32)));
}
