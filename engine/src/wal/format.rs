//! The bytes of a log file: headers and checksums, see the tables in the parent module.
//!
//! Guarantees that a header decodes only if every bit of it is as written, and that the payload
//! checksum in a decoded frame header is the one that belongs to this frame of this file. Does no
//! I/O and knows nothing of what frames mean.

use bytes::Bytes;

use super::Lsn;

#[cfg(test)]
mod tests;

/// Size of a file header, of a frame header, and the alignment of both.
pub(super) const BLOCK_BYTES: usize = 64;
/// First bytes of every log file.
const MAGIC: [u8; 8] = *b"QUIVRWAL";
/// Version of the format.
pub(super) const VERSION: u32 = 1;
/// Frame flag: a durability mark, not given to replay.
const FLAG_MARK: u8 = 1;

/// One header, as it lies on disk.
pub(super) type Block = [u8; BLOCK_BYTES];

/// First block of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    /// Counts up with every file of a log; names the file.
    pub(super) number: u64,
    /// Tells this use of a recycled file from earlier ones.
    pub(super) salt: u64,
    /// Number of the first frame.
    pub(super) first_lsn: Lsn,
    /// The file that holds the frames before `first_lsn`; 0 if there is none.
    pub(super) predecessor_number: u64,
    /// The predecessor's salt.
    pub(super) predecessor_salt: u64,
    /// Bytes of the predecessor that belong to the log, its header included.
    pub(super) predecessor_bytes: u64,
}

/// Why a file header was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Not one of ours, or damaged.
    Damaged,
    /// Intact, but of another version.
    Version(u32),
}

impl FileHeader {
    pub(super) fn encode(&self) -> Block {
        let mut block = [0; BLOCK_BYTES];
        block[0..8].copy_from_slice(&MAGIC);
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[16..24].copy_from_slice(&self.number.to_le_bytes());
        block[24..32].copy_from_slice(&self.salt.to_le_bytes());
        block[32..40].copy_from_slice(&self.first_lsn.to_le_bytes());
        block[40..48].copy_from_slice(&self.predecessor_number.to_le_bytes());
        block[48..56].copy_from_slice(&self.predecessor_salt.to_le_bytes());
        block[56..64].copy_from_slice(&self.predecessor_bytes.to_le_bytes());
        let crc = header_crc(&block);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
        block
    }

    pub(super) fn decode(block: &Block) -> Result<Self, BadHeader> {
        if block[0..8] != MAGIC || u32_at(block, 12) != header_crc(block) {
            return Err(BadHeader::Damaged);
        }
        let version = u32_at(block, 8);
        if version != VERSION {
            return Err(BadHeader::Version(version));
        }
        Ok(Self {
            number: u64_at(block, 16),
            salt: u64_at(block, 24),
            first_lsn: u64_at(block, 32),
            predecessor_number: u64_at(block, 40),
            predecessor_salt: u64_at(block, 48),
            predecessor_bytes: u64_at(block, 56),
        })
    }
}

/// The block before each payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// The file's salt.
    pub(super) salt: u64,
    /// CRC32C of the payload.
    pub(super) payload_crc: u32,
    /// Bytes of the payload, padding not counted.
    pub(super) payload_bytes: u32,
    /// This frame's number.
    pub(super) lsn: Lsn,
    /// The highest frame known to be durable when this one was written.
    pub(super) durable_lsn: Lsn,
    /// The caller's kind.
    pub(super) kind: u8,
    /// A durability mark of the log's own.
    pub(super) is_mark: bool,
}

impl FrameHeader {
    pub(super) fn encode(&self) -> Block {
        let mut block = [0; BLOCK_BYTES];
        block[0..8].copy_from_slice(&self.salt.to_le_bytes());
        block[8..12].copy_from_slice(&self.payload_crc.to_le_bytes());
        block[16..20].copy_from_slice(&self.payload_bytes.to_le_bytes());
        block[20] = self.kind;
        block[21] = if self.is_mark { FLAG_MARK } else { 0 };
        block[24..32].copy_from_slice(&self.lsn.to_le_bytes());
        block[32..40].copy_from_slice(&self.durable_lsn.to_le_bytes());
        let crc = header_crc(&block);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// The header in `block`, if it is one of the file with this salt and intact.
    pub(super) fn decode(block: &[u8], salt: u64) -> Option<Self> {
        let block: &Block = block.try_into().ok()?;
        // The salt first: nearly every block that is not a header is told by it alone.
        if u64_at(block, 0) != salt || u32_at(block, 12) != header_crc(block) {
            return None;
        }
        Some(Self {
            salt,
            payload_crc: u32_at(block, 8),
            payload_bytes: u32_at(block, 16),
            kind: block[20],
            is_mark: block[21] & FLAG_MARK != 0,
            lsn: u64_at(block, 24),
            durable_lsn: u64_at(block, 32),
        })
    }

    /// Bytes of the frame in the file: header, payload, padding.
    pub(super) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.payload_bytes.into())
    }
}

/// Bytes in the file of a frame with a payload of this size.
pub(super) fn frame_bytes(payload_bytes: u64) -> u64 {
    let block = BLOCK_BYTES as u64;
    block + payload_bytes.next_multiple_of(block)
}

/// CRC32C over the parts as if they were one piece.
pub(super) fn payload_crc(parts: &[Bytes]) -> u32 {
    parts
        .iter()
        .fold(0, |crc, part| crc32c::crc32c_append(crc, part))
}

/// A salt that no earlier use of the file had: the seed differs between starts, number and
/// predecessor's salt differ within one.
pub(super) fn next_salt(seed: u64, number: u64, predecessor_salt: u64) -> u64 {
    let salt = mix(seed ^ mix(number ^ mix(predecessor_salt)));
    // A zeroed block must not pass for one with the right salt.
    salt.max(1)
}

/// A bijection that spreads every input bit over the output (the finaliser of SplitMix64).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// CRC32C of a header block without the four bytes that hold it (12..16 in both headers).
fn header_crc(block: &Block) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&block[..12]), &block[16..])
}

fn u32_at(block: &Block, at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

fn u64_at(block: &Block, at: usize) -> u64 {
    u64::from(u32_at(block, at)) | u64::from(u32_at(block, at + 4)) << 32
}
