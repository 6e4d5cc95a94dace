//! Random lives of a log on a disk that fails, against a model of what it must give back.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::storage_fs::simulated::Faults;

const SEEDS: u64 = 3000;
const STEPS: usize = 120;

/// What the log must remember.
#[derive(Debug, Default)]
struct Model {
    /// All frames that may be in the log.
    frames: BTreeMap<Lsn, Frame>,
    /// Frames up to here were reported durable.
    durable_lsn: Lsn,
    /// Frames below were released.
    keep_from: Lsn,
}

impl Model {
    /// Frames given back must be an unbroken part of what was written, from at most the first
    /// wanted frame to at least the last durable one. What is behind them is then gone for good.
    fn check(&mut self, found: &[(Lsn, Frame)], end_lsn: Lsn) {
        for (lsn, found) in found {
            let written = self.frames.get(lsn).expect("an invented frame");
            assert_eq!(found.kind, written.kind, "kind of frame {lsn}");
            assert_eq!(payload(found), payload(written), "payload of frame {lsn}");
        }
        assert!(
            end_lsn > self.durable_lsn,
            "frames {end_lsn}.. to {} lost",
            self.durable_lsn
        );
        let first = found
            .first()
            .map_or(end_lsn, |(lsn, _)| *lsn)
            .min(self.keep_from.max(1));
        let expected: Vec<_> = self
            .frames
            .range(first..end_lsn)
            .map(|(lsn, _)| *lsn)
            .collect();
        let found: Vec<_> = found.iter().map(|(lsn, _)| *lsn).collect();
        assert_eq!(found, expected, "frames are missing");
        self.frames.split_off(&end_lsn);
        self.durable_lsn = end_lsn - 1;
    }
}

struct Life {
    rng: StdRng,
    fs: SimulatedFs,
    model: Model,
    file_bytes: u64,
    opens: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let file_bytes = [4096, 5000, 16384][rng.random_range(0..3)];
        Self {
            rng,
            fs: SimulatedFs::new(seed),
            model: Model::default(),
            file_bytes,
            opens: 0,
        }
    }

    fn run(&mut self) {
        let mut log = self.open();
        for _ in 0..STEPS {
            let failed = self.step(&mut log).is_err();
            if failed || self.rng.random_ratio(1, 25) {
                drop(log);
                match self.rng.random_range(0..3) {
                    0 => self.fs.kill(),
                    _ => self.fs.crash(),
                }
                log = self.open();
            }
        }
    }

    /// Opens the log; a start on a failing disk may fail, any number of times.
    fn open(&mut self) -> Driven {
        for attempt in 0.. {
            let faults = if attempt < 3 {
                self.faults()
            } else {
                Faults::default()
            };
            self.fs.set_faults(faults);
            self.opens += 1;
            match open(&self.fs, self.file_bytes, self.opens) {
                Ok(log) => {
                    self.model.check(&log.found, log.files.written_lsn() + 1);
                    return log;
                }
                Err(error @ (WalError::Corrupt { .. } | WalError::Version { .. })) => {
                    unreachable!("no damage was done: {error}");
                }
                Err(_) if self.rng.random_bool(0.5) => self.fs.crash(),
                Err(_) => self.fs.kill(),
            }
        }
        unreachable!("the loop has no end")
    }

    fn faults(&mut self) -> Faults {
        if self.rng.random_ratio(2, 3) {
            return Faults::default();
        }
        let mut rate = |most| self.rng.random_range(0..=most);
        Faults {
            write: rate(20),
            sync: rate(20),
            sync_dir: rate(50),
            name: rate(50),
            disk_bytes: None,
        }
    }

    fn step(&mut self, log: &mut Driven) -> Result<(), WalError> {
        if self.rng.random_ratio(1, 20) {
            let mut faults = self.faults();
            faults.disk_bytes = self.rng.random_ratio(1, 10).then_some(self.file_bytes * 3);
            self.fs.set_faults(faults);
        }
        match self.rng.random_range(0..20) {
            0..8 => self.write(log),
            8..13 => {
                let written = log.files.written_lsn();
                log.core.sync()?;
                self.model.durable_lsn = written;
                assert_eq!(log.files.durable_lsn(), written);
                Ok(())
            }
            13..15 => {
                log.core.write_mark()?;
                self.model.durable_lsn = log.files.durable_lsn();
                Ok(())
            }
            15..17 => {
                let last = self.model.durable_lsn + 1;
                let keep_from = self.rng.random_range(self.model.keep_from..=last);
                self.model.keep_from = keep_from;
                log.files.ask_release(keep_from);
                log.housekeeper.release()
            }
            _ => {
                log.housekeeper.prepare();
                Ok(())
            }
        }
    }

    fn write(&mut self, log: &mut Driven) -> Result<(), WalError> {
        let count = self.rng.random_range(1..6);
        let frames: Vec<Frame> = (0..count).map(|_| self.frame()).collect();
        // Before the write: of one that fails, any part may turn up later.
        let first = log.files.written_lsn() + 1;
        self.model.frames.split_off(&first);
        self.model
            .frames
            .extend((first..).zip(frames.iter().cloned()));
        assert_eq!(log.write(&frames)?, first);
        Ok(())
    }

    fn frame(&mut self) -> Frame {
        let rng = &mut self.rng;
        let parts = (0..rng.random_range(0..4))
            .map(|_| {
                let bytes = [0, 1, 64, rng.random_range(0..900)][rng.random_range(0..4)];
                let mut part = vec![0; bytes];
                rng.fill(&mut part[..]);
                Bytes::from(part)
            })
            .collect();
        Frame {
            kind: rng.random(),
            parts,
        }
    }
}

#[test]
fn no_life_loses_or_invents_frames() {
    for seed in 0..SEEDS {
        let outcome = catch_unwind(AssertUnwindSafe(|| Life::new(seed).run()));
        if let Err(panic) = outcome {
            // Shown with the failure: this seed replays it.
            std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("the failing seed is {seed}\n"),
            )
            .unwrap();
            resume_unwind(panic);
        }
    }
}
