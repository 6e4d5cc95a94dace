use super::*;

#[test]
fn key_parts_and_their_borders_matter() {
    let digest = keyed_digest(&[1; 32], &[b"ab", b"c"]);
    assert_eq!(digest, keyed_digest(&[1; 32], &[b"ab", b"c"]));
    assert_ne!(digest, keyed_digest(&[2; 32], &[b"ab", b"c"]));
    assert_ne!(digest, keyed_digest(&[1; 32], &[b"a", b"bc"]));
    assert_ne!(digest, keyed_digest(&[1; 32], &[b"abc"]));
    assert_ne!(digest, keyed_digest(&[1; 32], &[b"ab", b"c", b""]));
}
