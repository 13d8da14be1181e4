//! When to stop, and when to read files again.

use std::io;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// The signals that end a server: SIGTERM by a supervisor, SIGINT by Ctrl-C.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From here on these signals do not kill the process; call it before anybody is told that the server runs.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves when one arrives, or has arrived since [`StopSignals::catch`].
    pub(crate) async fn received(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP, by which an operator asks for files to be read again. From here on it does not kill the process; call it first.
///
/// # Errors
/// The handler cannot be installed.
pub(crate) fn reload_requests() -> io::Result<watch::Receiver<()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let (ask, asked) = watch::channel(());
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            if ask.send(()).is_err() {
                return;
            }
        }
    });
    Ok(asked)
}
