//! Which types `CAST` converts into which, in the numbering of Flight SQL.

use std::collections::BTreeMap;

use arrow_flight::sql::SqlSupportsConvert;

/// What `CAST` converts: numbers among each other, dates and timestamps among each other, bytes and
/// text, and everything from and to text.
pub(super) fn conversions() -> BTreeMap<i32, Vec<i32>> {
    use SqlSupportsConvert as C;
    let text = [
        C::SqlConvertChar,
        C::SqlConvertVarchar,
        C::SqlConvertLongvarchar,
    ];
    let families: [&[C]; 5] = [
        &[
            C::SqlConvertBit,
            C::SqlConvertTinyint,
            C::SqlConvertSmallint,
            C::SqlConvertInteger,
            C::SqlConvertBigint,
            C::SqlConvertReal,
            C::SqlConvertFloat,
            C::SqlConvertDecimal,
            C::SqlConvertNumeric,
        ],
        &[C::SqlConvertDate, C::SqlConvertTimestamp],
        &[C::SqlConvertTime],
        &[
            C::SqlConvertBinary,
            C::SqlConvertVarbinary,
            C::SqlConvertLongvarbinary,
        ],
        &[C::SqlConvertIntervalDayTime, C::SqlConvertIntervalYearMonth],
    ];
    let numbers = |types: &[C]| types.iter().map(|one| *one as i32).collect::<Vec<i32>>();
    let mut conversions = BTreeMap::new();
    for family in families {
        let targets = [numbers(family), numbers(&text)].concat();
        conversions.extend(
            numbers(family)
                .into_iter()
                .map(|from| (from, targets.clone())),
        );
    }
    let everything = [families.concat(), text.to_vec()].concat();
    conversions.extend(
        numbers(&text)
            .into_iter()
            .map(|from| (from, numbers(&everything))),
    );
    conversions
}

#[cfg(test)]
mod tests;
