//! Long tables go through `$PAGER`; what fits on the screen does not.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Used when `$PAGER` is not set.
const DEFAULT_PAGER: &str = "less";
/// Makes `less` keep long lines on one line and leave the text on the screen.
const LESS_OPTIONS: &str = "SRX";

/// Size of the terminal, in characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Lines.
    pub(crate) height: usize,
    /// Characters per line.
    pub(crate) width: usize,
}

/// Holds text back until it is clear whether it fits; dropping it shows the text or waits for the
/// pager to be left.
pub(crate) struct Pager {
    screen: Screen,
    state: State,
}

enum State {
    /// Fits so far.
    Held {
        text: Vec<u8>,
        lines: usize,
        line_width: usize,
    },
    /// Does not fit.
    Paged {
        child: Child,
        input: Option<ChildStdin>,
    },
    /// Does not fit, and there is no pager.
    Direct,
}

impl Pager {
    /// Nothing written yet.
    pub(crate) fn new(screen: Screen) -> Self {
        Self {
            screen,
            state: State::Held {
                text: Vec::new(),
                lines: 0,
                line_width: 0,
            },
        }
    }

    fn overflow(&mut self) -> io::Result<()> {
        let next = match spawn() {
            Ok(mut child) => {
                let input = child.stdin.take();
                State::Paged { child, input }
            }
            Err(_) => State::Direct,
        };
        if let State::Held { text, .. } = std::mem::replace(&mut self.state, next) {
            self.write_all(&text)?;
        }
        Ok(())
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::Held {
                text,
                lines,
                line_width,
            } => {
                text.extend_from_slice(bytes);
                let mut fits = true;
                for byte in bytes {
                    let is_continuation = byte & 0xC0 == 0x80;
                    match byte {
                        b'\n' => (*lines, *line_width) = (*lines + 1, 0),
                        _ => *line_width += usize::from(!is_continuation),
                    }
                    fits &= *line_width <= self.screen.width;
                }
                // The prompt and the count need two lines.
                if !fits || *lines + 2 > self.screen.height {
                    self.overflow()?;
                }
                Ok(bytes.len())
            }
            State::Paged {
                input: Some(input), ..
            } => input.write(bytes),
            State::Paged { input: None, .. } => Err(io::ErrorKind::BrokenPipe.into()),
            State::Direct => io::stdout().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::Paged {
                input: Some(input), ..
            } => input.flush(),
            State::Direct => io::stdout().flush(),
            _ => Ok(()),
        }
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        // A terminal that has gone cannot be told about it.
        match &mut self.state {
            State::Held { text, .. } => {
                let _ = io::stdout()
                    .write_all(text)
                    .and_then(|()| io::stdout().flush());
            }
            State::Paged { child, input } => {
                drop(input.take());
                let _ = child.wait();
            }
            State::Direct => {}
        }
    }
}

fn spawn() -> io::Result<Child> {
    let pager = std::env::var("PAGER").unwrap_or_default();
    let mut words = pager.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or(DEFAULT_PAGER));
    command.args(words).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", LESS_OPTIONS);
    }
    command.spawn()
}
