//! A bounded queue of lines, and the thread that writes them: whoever hands in a line neither waits nor fails.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait at most, some 20,000 requests' lines.
const CAPACITY: usize = 4 * 1024 * 1024;

/// `PIPE_BUF` of Linux: what is written to a pipe in one piece, so that lines of several processes do not mix.
pub(super) const ATOMIC: usize = 4096;

/// At the end, for a reader that makes no progress.
const STILL: Duration = Duration::from_millis(500);

/// At the end, in all.
const LONGEST_FLUSH: Duration = Duration::from_secs(2);

thread_local! {
    /// Of a thread that writes lines: its own must find room, for nobody else makes any.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// Lines on their way to a file descriptor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    handed_in: Condvar,
    progress: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    writing: bool,
}

impl Lines {
    /// Writes to `output` from now on. After lines were dropped, `told` is called once with their number when a line could be
    /// written again.
    pub(super) fn start(name: &str, output: impl AsFd + Send + 'static, told: fn(u64)) -> io::Result<Lines> {
        let lines = Lines(Arc::default());
        let shared = Arc::clone(&lines.0);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || Writer::new(shared, told).write_all(output.as_fd()))?;
        Ok(lines)
    }

    /// Takes a line, with its end, or drops it.
    pub fn push(&self, line: Vec<u8>) {
        let mut queue = self.0.queue();
        if queue.bytes.saturating_add(line.len()) > CAPACITY && !WRITES.get() {
            drop(queue);
            self.0.drop_lines(1);
            return;
        }
        queue.bytes = queue.bytes.saturating_add(line.len());
        queue.lines.push_back(line);
        drop(queue);
        self.0.handed_in.notify_one();
    }

    /// How many lines were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written or dropped; no longer than there is progress, and a few seconds at most.
    pub fn flush(&self) {
        let end = Instant::now() + LONGEST_FLUSH;
        let mut queue = self.0.queue();
        while (queue.writing || !queue.lines.is_empty()) && Instant::now() < end {
            let waited = self.0.progress.wait_timeout(queue, STILL);
            let (after, still) = waited.unwrap_or_else(PoisonError::into_inner);
            if still.timed_out() {
                return;
            }
            queue = after;
        }
    }
}

impl Shared {
    /// No thread panics while it has the lock; if one did, the queue would still be one.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_lines(&self, lines: usize) {
        let lines = u64::try_from(lines).unwrap_or(u64::MAX);
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }
}

/// One line of `tracing_subscriber::fmt`: each call of `write` hands in a whole one. It never fails.
#[derive(Debug)]
pub struct LineWriter<'a>(&'a Lines);

impl io::Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(self)
    }
}

/// The other end of the queue.
struct Writer {
    shared: Arc<Shared>,
    tell: fn(u64),
    /// How many dropped lines have been told.
    told: u64,
    /// The same, once the line that tells it is written.
    telling: Option<u64>,
    /// The last line ends in the middle.
    torn: bool,
}

/// Lines that are written together.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Writer {
    fn new(shared: Arc<Shared>, tell: fn(u64)) -> Writer {
        Writer {
            shared,
            tell,
            told: 0,
            telling: None,
            torn: false,
        }
    }

    fn write_all(mut self, output: BorrowedFd<'_>) {
        WRITES.set(true);
        let mut chunk = Chunk::default();
        loop {
            self.take(&mut chunk);
            let written = write_whole(output, &chunk.bytes);
            self.settle(&chunk, written);
            self.shared.queue().writing = false;
            self.shared.progress.notify_all();
        }
    }

    /// Waits for lines, and takes as many as go together.
    fn take(&self, chunk: &mut Chunk) {
        chunk.bytes.clear();
        chunk.ends.clear();
        if self.torn {
            chunk.bytes.push(b'\n');
        }
        let mut queue = self.shared.queue();
        while queue.lines.is_empty() {
            let waited = self.shared.handed_in.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
        }
        queue.writing = true;
        let room = |chunk: &Chunk, line: &Vec<u8>| {
            chunk.ends.is_empty() || chunk.bytes.len().saturating_add(line.len()) <= ATOMIC
        };
        while let Some(line) = queue.lines.pop_front_if(|line| room(chunk, line)) {
            queue.bytes = queue.bytes.saturating_sub(line.len());
            chunk.bytes.extend_from_slice(&line);
            chunk.ends.push(chunk.bytes.len());
        }
    }

    fn settle(&mut self, chunk: &Chunk, written: usize) {
        let whole = chunk.ends.partition_point(|end| *end <= written);
        let lost = chunk.ends.len().saturating_sub(whole);
        if written > 0 {
            self.torn = chunk.bytes.get(written.saturating_sub(1)) != Some(&b'\n');
        }
        if lost > 0 {
            self.telling = None;
            self.shared.drop_lines(lost);
            return;
        }
        self.told = self.telling.take().unwrap_or(self.told);
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        if dropped > self.told {
            self.telling = Some(dropped);
            (self.tell)(dropped.saturating_sub(self.told));
        }
    }
}

/// As much as can be written, waiting for a reader that is behind.
fn write_whole(output: BorrowedFd<'_>, bytes: &[u8]) -> usize {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match rustix::io::write(output, rest) {
            Ok(0) => break,
            Ok(more) => written = written.saturating_add(more),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if wait_for_room(output).is_ok() => {}
            Err(_) => break,
        }
    }
    written
}

/// Of a descriptor that does not block.
pub(super) fn wait_for_room(output: BorrowedFd<'_>) -> rustix::io::Result<()> {
    match poll(&mut [PollFd::from_borrowed_fd(output, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, pipe};
    use std::sync::mpsc;

    use rustix::io::ioctl_fionbio;

    use super::*;

    fn start(output: impl AsFd + Send + 'static) -> Lines {
        Lines::start("test", output, |_| {}).unwrap()
    }

    fn line(number: usize) -> Vec<u8> {
        format!("{number:>99}\n").into_bytes()
    }

    #[test]
    fn lines_arrive_whole_and_in_order() {
        let (mut reader, writer) = pipe().unwrap();
        let lines = start(writer);
        let mut sent = Vec::new();
        for number in 0..10 {
            let long = "x".repeat(number * 1000);
            lines.push(format!("{long}\n").into_bytes());
            sent.extend(format!("{long}\n").into_bytes());
        }
        let mut arrived = vec![0; sent.len()];
        reader.read_exact(&mut arrived).unwrap();
        assert!(arrived == sent);
        lines.flush();
        assert_eq!(lines.dropped(), 0);
    }

    /// Nothing is lost to `EAGAIN` as long as the queue has room.
    #[test]
    fn a_pipe_that_does_not_block_and_is_full_for_a_while_loses_nothing() {
        let (mut reader, writer) = pipe().unwrap();
        ioctl_fionbio(&writer, true).unwrap();
        let lines = start(writer);
        let number = 5000;
        (0..number).for_each(|at| lines.push(line(at)));
        let mut arrived = vec![0; number * 100];
        reader.read_exact(&mut arrived).unwrap();
        assert!(arrived.chunks(100).enumerate().all(|(at, read)| read == line(at)));
        assert_eq!(lines.dropped(), 0);
    }

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_no_wait() {
        for blocking in [true, false] {
            let (_reader, writer) = pipe().unwrap();
            ioctl_fionbio(&writer, !blocking).unwrap();
            let lines = start(writer);
            let number = 2 * CAPACITY / 100;
            (0..number).for_each(|at| lines.push(line(at)));
            let dropped = usize::try_from(lines.dropped()).unwrap();
            assert!(dropped > number / 4 && dropped < number, "{dropped}");
            lines.flush();
        }
    }

    #[test]
    fn without_a_reader_or_space_each_line_is_counted() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let lines = start(writer);
        (0..7).for_each(|at| lines.push(line(at)));
        lines.flush();
        assert_eq!(lines.dropped(), 7);

        if let Ok(full) = File::options().write(true).open("/dev/full") {
            let lines = start(full);
            (0..7).for_each(|at| lines.push(line(at)));
            lines.flush();
            assert_eq!(lines.dropped(), 7);
        }
    }

    /// The queue is full, then read: how many lines are missing is said once.
    #[test]
    fn dropped_lines_are_told_when_there_is_room_again() {
        static TOLD: Mutex<Option<mpsc::Sender<u64>>> = Mutex::new(None);
        let (tell, told) = mpsc::channel();
        *TOLD.lock().unwrap() = Some(tell);
        let (mut reader, writer) = pipe().unwrap();
        let lines = Lines::start("test", writer, |number| {
            TOLD.lock().unwrap().as_ref().unwrap().send(number).unwrap();
        });
        let lines = lines.unwrap();
        (0..2 * CAPACITY / 100).for_each(|at| lines.push(line(at)));
        let dropped = lines.dropped();
        assert!(dropped > 0);
        let reading = thread::spawn(move || reader.read_to_end(&mut Vec::new()));
        let mut sum = 0;
        while sum < dropped {
            sum += told.recv().unwrap();
        }
        assert_eq!(sum, dropped);
        lines.push(line(0));
        lines.flush();
        assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));
        drop(reading);
    }

    /// The line in the middle of which the disk was full does not spoil the next one.
    #[test]
    fn a_line_that_was_cut_is_ended_before_the_next() {
        let mut writer = Writer::new(Arc::default(), |_| {});
        let chunk = |lines: &[&[u8]]| {
            let mut chunk = Chunk::default();
            for line in lines {
                chunk.bytes.extend_from_slice(line);
                chunk.ends.push(chunk.bytes.len());
            }
            chunk
        };
        writer.settle(&chunk(&[b"one\n", b"two\n"]), 6);
        assert!(writer.torn);
        assert_eq!(writer.shared.dropped.load(Ordering::Relaxed), 1);
        Lines(Arc::clone(&writer.shared)).push(b"three\n".to_vec());
        let mut next = Chunk::default();
        writer.take(&mut next);
        assert_eq!(next.bytes, b"\nthree\n");
        writer.settle(&next, next.bytes.len());
        assert!(!writer.torn);
    }
}
