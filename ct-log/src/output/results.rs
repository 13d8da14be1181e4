//! Standard output of a command whose results are what it is for.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::lines::{ATOMIC, wait_for_room};

/// Standard output for results: whoever reads it is waited for, and may stop reading at any time, as `head` does.
#[derive(Debug, Default)]
pub struct StandardOutput;

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let output = io::stdout();
        loop {
            match rustix::io::write(&output, bytes) {
                // The reader wants no more. The command still ends with the code that tells how it went.
                Err(Errno::PIPE) => return Ok(bytes.len()),
                Err(Errno::AGAIN) => wait_for_room(output.as_fd())?,
                Err(Errno::INTR) => {}
                written => return Ok(written?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// In one piece.
    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        self.write_all(text.to_string().as_bytes())
    }
}

/// Lines on standard output that must arrive: whoever wrote them goes on only then.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    /// The last line ends in the middle.
    torn: bool,
}

impl Deliveries {
    /// Writes whole lines.
    ///
    /// # Errors
    /// Nobody reads them, or not within that time. The same are to be delivered again then.
    pub(crate) fn deliver(&mut self, lines: &[u8], within: Duration) -> io::Result<()> {
        let end = Instant::now() + within;
        if self.torn {
            write(b"\n", end)?;
            self.torn = false;
        }
        for piece in lines.chunks(ATOMIC) {
            let written = write(piece, end);
            self.torn |= written.is_err();
            written?;
        }
        Ok(())
    }
}

fn write(mut bytes: &[u8], end: Instant) -> io::Result<()> {
    let output = io::stdout();
    while !bytes.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&output, PollFlags::OUT)], Some(&left)) {
            Ok(0) => {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "nobody reads standard output",
                ));
            }
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match rustix::io::write(&output, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
