//! The bytes of version 1, fixed.

use super::*;

fn hex(block: &[u8]) -> String {
    block.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file_header() -> FileHeader {
    FileHeader {
        number: 0x0102,
        salt: 0x1112_1314_1516_1718,
        first_lsn: 0x21,
        predecessor_number: 0x31,
        predecessor_salt: 0x4142_4344_4546_4748,
        predecessor_bytes: 0x5180,
    }
}

fn frame_header() -> FrameHeader {
    FrameHeader {
        salt: 0x1112_1314_1516_1718,
        payload_crc: payload_crc(&[Bytes::from_static(b"1234"), Bytes::from_static(b"56789")]),
        payload_bytes: 9,
        lsn: 0x22,
        durable_lsn: 0x20,
        kind: 7,
        is_mark: false,
    }
}

#[test]
fn headers_keep_their_bytes() {
    let expected = concat!(
        "515549565257414c010000007729a41902010000000000001817161514131211",
        "2100000000000000310000000000000048474645444342418051000000000000",
    );
    assert_eq!(hex(&file_header().encode()), expected);
    let expected = concat!(
        "1817161514131211839206e38c010d5809000000070000002200000000000000",
        "2000000000000000000000000000000000000000000000000000000000000000",
    );
    assert_eq!(hex(&frame_header().encode()), expected);
    let mark = FrameHeader {
        kind: 0,
        is_mark: true,
        payload_bytes: 0,
        payload_crc: 0,
        ..frame_header()
    };
    let expected = concat!(
        "181716151413121100000000a298907000000000000100002200000000000000",
        "2000000000000000000000000000000000000000000000000000000000000000",
    );
    assert_eq!(hex(&mark.encode()), expected);
}

#[test]
fn the_payload_checksum_is_crc32c_of_the_whole() {
    // The check value of CRC-32C in the catalogue of CRC parameters.
    assert_eq!(frame_header().payload_crc, 0xe306_9283);
}

#[test]
fn a_header_with_any_bit_flipped_is_refused() {
    let (file, frame) = (file_header().encode(), frame_header().encode());
    assert_eq!(FileHeader::decode(&file), Ok(file_header()));
    assert_eq!(
        FrameHeader::decode(&frame, frame_header().salt),
        Some(frame_header())
    );
    for bit in 0..BLOCK_BYTES * 8 {
        let mut flipped = file;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(FileHeader::decode(&flipped), Err(BadHeader::Damaged));
        let mut flipped = frame;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(FrameHeader::decode(&flipped, frame_header().salt), None);
    }
}

#[test]
fn a_frame_of_another_use_of_the_file_is_refused() {
    let frame = frame_header().encode();
    assert_eq!(FrameHeader::decode(&frame, frame_header().salt ^ 1), None);
    assert_eq!(
        FrameHeader::decode(&[0; BLOCK_BYTES], 0),
        None,
        "zeros are no frame"
    );
    assert_eq!(FrameHeader::decode(&frame[..63], frame_header().salt), None);
}

#[test]
fn salts_differ_in_every_argument() {
    let salt = next_salt(1, 2, 3);
    assert_eq!(salt, next_salt(1, 2, 3));
    for other in [next_salt(2, 2, 3), next_salt(1, 3, 3), next_salt(1, 2, 4)] {
        assert_ne!(salt, other);
    }
}

#[test]
fn frames_fill_whole_blocks() {
    let sizes = [(0, 64), (1, 128), (64, 128), (65, 192)];
    assert!(
        sizes
            .iter()
            .all(|(payload, frame)| frame_bytes(*payload) == *frame)
    );
}
