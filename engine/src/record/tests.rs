//! Kinds of frames are part of the disk format.

use super::*;

#[test]
fn kinds_stay() {
    assert_eq!([KIND_ROWS, KIND_COMMIT, KIND_PREPARE], [1, 2, 3]);
}
