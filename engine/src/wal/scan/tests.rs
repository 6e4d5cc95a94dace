//! What counts as a frame, and what the traces behind the last good one tell.

use super::super::format::frame_bytes;
use super::*;

const SALT: u64 = 0x5a17;
const FIRST_LSN: Lsn = 5;

/// A file with the frames that a test makes by hand.
struct File {
    content: Vec<u8>,
}

impl File {
    fn new() -> Self {
        Self {
            content: header().encode().to_vec(),
        }
    }

    /// A frame that is intact in itself.
    fn frame(self, lsn: Lsn, durable_lsn: Lsn, payload: &[u8]) -> Self {
        self.frame_with_salt(SALT, lsn, durable_lsn, payload)
    }

    fn frame_with_salt(mut self, salt: u64, lsn: Lsn, durable_lsn: Lsn, payload: &[u8]) -> Self {
        let header = FrameHeader {
            salt,
            payload_crc: crc32c::crc32c(payload),
            payload_bytes: payload.len() as u32,
            lsn,
            durable_lsn,
            kind: 1,
            is_mark: false,
        };
        let end = self.content.len() + frame_bytes(payload.len() as u64) as usize;
        self.content.extend_from_slice(&header.encode());
        self.content.extend_from_slice(payload);
        self.content.resize(end, 0);
        self
    }

    fn zeros(mut self, bytes: usize) -> Self {
        self.content.resize(self.content.len() + bytes, 0);
        self
    }

    fn cut_to(mut self, bytes: usize) -> Self {
        self.content.truncate(bytes);
        self
    }

    /// Numbers of the frames found, and what is seen of the rest.
    fn scan(self) -> (Vec<Lsn>, Rest) {
        let content = Bytes::from(self.content);
        let mut scan = Scan::new(&content, &header());
        let found = scan.by_ref().map(|frame| frame.header.lsn).collect();
        (found, scan.rest())
    }
}

fn header() -> FileHeader {
    FileHeader {
        number: 1,
        salt: SALT,
        first_lsn: FIRST_LSN,
        predecessor_number: 0,
        predecessor_salt: 0,
        predecessor_bytes: 0,
    }
}

fn rest(frames: u64, durable_lsn: Lsn, bytes: u64) -> Rest {
    Rest {
        frames,
        durable_lsn,
        bytes,
    }
}

#[test]
fn an_intact_frame_with_another_number_ends_the_scan() {
    let good = || File::new().frame(5, 4, b"a");
    assert_eq!(good().frame(6, 4, b"b").scan().0, [5, 6]);
    for wrong in [7, 5, 4, u64::MAX] {
        let (found, seen) = good().frame(wrong, 0, b"b").frame(6, 4, b"c").scan();
        assert_eq!(found, [5], "frame {wrong} is not the next one");
        assert_eq!(seen.frames, 2);
    }
    assert!(File::new().frame(6, 4, b"a").scan().0.is_empty());
}

#[test]
fn a_frame_that_calls_itself_durable_is_none() {
    assert_eq!(File::new().frame(5, 4, b"a").scan().0, [5]);
    for durable in [5, 6, u64::MAX] {
        assert!(File::new().frame(5, durable, b"a").scan().0.is_empty());
    }
}

#[test]
fn a_frame_of_another_use_of_the_file_is_not_even_a_trace() {
    let file = File::new()
        .frame(5, 4, b"a")
        .frame_with_salt(SALT + 1, 6, 5, b"b");
    assert_eq!(file.scan(), (vec![5], rest(0, 0, 0)));
}

#[test]
fn a_frame_counts_with_its_padding_or_not_at_all() {
    for bytes in 0..=256 {
        let file = || File::new().frame(5, 4, &[7; 100]).cut_to(64 + bytes);
        let whole = bytes >= 64 + 128;
        let found: &[Lsn] = if whole { &[5] } else { &[] };
        assert_eq!(file().scan().0, found, "{bytes} bytes");
    }
}

#[test]
fn a_payload_that_is_not_its_own_ends_the_scan_but_the_header_is_a_trace() {
    let mut file = File::new().frame(5, 4, b"a").frame(6, 5, &[1; 64]);
    let last = file.content.len() - 1;
    file.content[last] ^= 1;
    assert_eq!(file.scan(), (vec![5], rest(1, 5, 128)));
}

#[test]
fn traces_lead_to_the_last_of_them_and_to_the_highest_durable_frame() {
    let file = File::new()
        .frame(5, 4, b"a")
        .zeros(64)
        .frame(7, 6, &[1; 100])
        .zeros(128)
        .frame(8, 3, &[2; 65])
        .zeros(640);
    let bytes = 64 + (64 + 128) + 128 + (64 + 128);
    assert_eq!(file.scan(), (vec![5], rest(2, 6, bytes)));
    let nothing = File::new().frame(5, 4, b"a").zeros(640);
    assert_eq!(nothing.scan(), (vec![5], rest(0, 0, 0)));
}

#[test]
fn a_trace_does_not_reach_beyond_the_file() {
    let file = File::new().zeros(64).frame(6, 4, &[1; 500]);
    let bytes = 64 + 64 + 10;
    assert_eq!(
        file.cut_to(64 + bytes).scan(),
        (vec![], rest(1, 4, bytes as u64))
    );
}

#[test]
fn a_length_beyond_the_file_is_no_frame() {
    let mut file = File::new().frame(5, 4, b"");
    let header = FrameHeader {
        salt: SALT,
        payload_crc: 0,
        payload_bytes: u32::MAX,
        lsn: 5,
        durable_lsn: 4,
        kind: 1,
        is_mark: false,
    };
    file.content[64..128].copy_from_slice(&header.encode());
    assert_eq!(file.scan(), (vec![], rest(1, 4, 64)));
    assert_eq!(File::new().cut_to(10).scan(), (vec![], rest(0, 0, 0)));
}
