//! What the process writes to its log: all levels, all libraries, all threads.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

/// The log of this process. Tests that run beside each other share it, so it may hold more than a test's own lines.
pub(crate) static LOG_OUTPUT: LazyLock<LogOutput> = LazyLock::new(LogOutput::install);

/// Everything that was written so far.
#[derive(Clone, Default)]
pub(crate) struct LogOutput(Arc<Mutex<Vec<u8>>>);

impl LogOutput {
    fn install() -> Self {
        let output = Self::default();
        let writer = output.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        output
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn since(&self, start: usize) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()[start..]).into_owned()
    }
}

impl io::Write for LogOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
