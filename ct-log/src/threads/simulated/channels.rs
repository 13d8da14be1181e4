//! Channels whose receivers wait as a simulation has it.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SendError, TryRecvError, TrySendError};
use std::time::Duration;

use super::super::schedule::{self, Woken};

/// What waits for messages is woken by this address.
type Key = Arc<u8>;

fn key(key: &Key) -> usize {
    Arc::as_ptr(key).addr()
}

/// Wakes the other end when it goes.
#[derive(Debug, Clone)]
struct End(Key);

impl Drop for End {
    fn drop(&mut self) {
        schedule::wake(key(&self.0));
    }
}

#[derive(Debug)]
pub(crate) struct Sender<T> {
    inner: mpsc::Sender<T>,
    end: End,
}

#[derive(Debug)]
pub(crate) struct SyncSender<T> {
    inner: mpsc::SyncSender<T>,
    end: End,
}

#[derive(Debug)]
pub(crate) struct Receiver<T> {
    inner: mpsc::Receiver<T>,
    key: Key,
}

pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let ((inner, receiver), key) = (mpsc::channel(), Key::default());
    let end = End(Arc::clone(&key));
    (Sender { inner, end }, Receiver { inner: receiver, key })
}

pub(crate) fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let ((inner, receiver), key) = (mpsc::sync_channel(bound), Key::default());
    let end = End(Arc::clone(&key));
    (SyncSender { inner, end }, Receiver { inner: receiver, key })
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.inner.send(message)?;
        schedule::wake(key(&self.end.0));
        Ok(())
    }
}

impl<T> SyncSender<T> {
    pub(crate) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.inner.try_send(message)?;
        schedule::wake(key(&self.end.0));
        Ok(())
    }
}

impl<T> Receiver<T> {
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        self.inner.try_recv()
    }

    pub(crate) fn try_iter(&self) -> mpsc::TryIter<'_, T> {
        self.inner.try_iter()
    }

    pub(crate) fn recv_timeout(&self, at_most: Duration) -> Result<T, RecvTimeoutError> {
        if !schedule::is_simulated() {
            return self.inner.recv_timeout(at_most);
        }
        loop {
            match self.inner.try_recv() {
                Ok(message) => return Ok(message),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            if schedule::wait(key(&self.key), Some(at_most)) == Woken::ByTime {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }
}
