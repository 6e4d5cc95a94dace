//! Reads the frames of one file and judges what comes after the last good one.
//!
//! Every payload given out has passed its checksums and has the number that was expected.

use std::path::Path;

use bytes::Bytes;

use super::Lsn;
use super::error::WalError;
use super::format::{BLOCK_BYTES, FileHeader, FrameHeader, payload_crc};
use crate::storage_fs::StorageFs;

#[cfg(test)]
mod tests;

/// Reads the first `bytes` of a file, or less if it is shorter, in one piece that starts at a
/// multiple of 64 in memory: payloads are then aligned in memory as they are in the file.
pub(super) fn read_aligned(fs: &dyn StorageFs, path: &Path, bytes: u64) -> Result<Bytes, WalError> {
    let failed = |error| WalError::io("read", path, error);
    let file = fs.open(path).map_err(failed)?;
    let bytes =
        usize::try_from(bytes).map_err(|_| failed(std::io::ErrorKind::OutOfMemory.into()))?;
    let (mut memory, start) = aligned_memory(bytes);
    let read = file
        .read_at(0, &mut memory[start..start + bytes])
        .map_err(failed)?;
    Ok(Bytes::from(memory).slice(start..start + read))
}

/// Memory for so many bytes, and where in it they start at a multiple of 64.
fn aligned_memory(bytes: usize) -> (Vec<u8>, usize) {
    let memory = vec![0; bytes + BLOCK_BYTES];
    // `align_offset` may refuse in theory; then payloads are unaligned, which is only slower.
    let start = memory.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
    (memory, start)
}

/// A copy that starts at a multiple of 64 in memory too.
pub(super) fn aligned_copy(payload: &[u8]) -> Bytes {
    let (mut memory, start) = aligned_memory(payload.len());
    memory[start..start + payload.len()].copy_from_slice(payload);
    Bytes::from(memory).slice(start..start + payload.len())
}

/// A frame that is as it was written.
#[derive(Debug)]
pub(super) struct FoundFrame {
    pub(super) header: FrameHeader,
    /// A slice of the file's content.
    pub(super) payload: Bytes,
    /// Where the frame starts in the file.
    pub(super) offset: u64,
}

/// The frames of a file's content from its header on, up to the first that is not good.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    content: &'a Bytes,
    salt: u64,
    /// Where the next frame would start.
    pub(super) offset: usize,
    /// The number the next frame would have.
    pub(super) lsn: Lsn,
}

impl<'a> Scan<'a> {
    pub(super) fn new(content: &'a Bytes, header: &FileHeader) -> Self {
        Self {
            content,
            salt: header.salt,
            offset: BLOCK_BYTES,
            lsn: header.first_lsn,
        }
    }

    fn read_frame(&self) -> Option<FoundFrame> {
        let start = self.offset.checked_add(BLOCK_BYTES)?;
        let header = FrameHeader::decode(self.content.get(self.offset..start)?, self.salt)?;
        if header.lsn != self.lsn || header.durable_lsn >= header.lsn {
            return None;
        }
        let end = start.checked_add(header.payload_bytes as usize)?;
        // The padding too: a frame counts as a whole or not at all.
        if end.checked_next_multiple_of(BLOCK_BYTES)? > self.content.len() {
            return None;
        }
        let payload = self.content.slice(start..end);
        let intact = payload_crc(std::slice::from_ref(&payload)) == header.payload_crc;
        intact.then_some(FoundFrame {
            header,
            payload,
            offset: self.offset as u64,
        })
    }

    /// What can be seen of the file after the frame at which the scan stopped.
    pub(super) fn rest(&self) -> Rest {
        let mut rest = Rest::default();
        // From the bad frame itself on: its header may be the good one of a later frame.
        let blocks = self.content.get(self.offset..).unwrap_or_default();
        for (index, block) in blocks.chunks_exact(BLOCK_BYTES).enumerate() {
            let Some(header) = FrameHeader::decode(block, self.salt) else {
                continue;
            };
            rest.frames += 1;
            rest.durable_lsn = rest.durable_lsn.max(header.durable_lsn);
            rest.bytes = (index * BLOCK_BYTES) as u64 + header.frame_bytes();
        }
        rest.bytes = rest.bytes.min(blocks.len() as u64);
        rest
    }
}

impl Iterator for Scan<'_> {
    type Item = FoundFrame;

    fn next(&mut self) -> Option<FoundFrame> {
        let frame = self.read_frame()?;
        self.lsn += 1;
        self.offset += usize::try_from(frame.header.frame_bytes()).ok()?;
        Some(frame)
    }
}

/// Traces of frames after the one at which a scan stopped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rest {
    /// Intact frame headers of this use of the file.
    pub(super) frames: u64,
    /// The highest frame that one of them knows to be durable.
    pub(super) durable_lsn: Lsn,
    /// Bytes up to the end of the last of them.
    pub(super) bytes: u64,
}
