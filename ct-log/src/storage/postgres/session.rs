//! One connection to the database, made anew when it is lost.
//!
//! Whoever asks blocks: the log's threads have nothing better to do meanwhile. The connections themselves are served by a thread of
//! their own, so that asking is allowed on any thread, also on one that serves an asynchronous program.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_postgres::error::Severity;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::reach::Away;
use crate::threads::{Background, Instant, timeout};

use super::client;
use super::fault::fault;
use super::safety;
use super::settings::PostgresSettings;

/// Longest time for an answer, a new connection included. It ends the wait for a lock (`lock_timeout`) and for a server that is
/// gone without a word.
const ANSWER: Duration = Duration::from_secs(10);

/// Pauses before connecting again, the shortest and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3));

/// The thread that serves the connections.
pub(super) struct Worker {
    runtime: Background,
}

impl Worker {
    pub(super) fn start() -> io::Result<Worker> {
        let runtime = Background::start("ct-log-postgres", 1)?;
        Ok(Worker { runtime })
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let answered = self.runtime.run(work);
        answered.unwrap_or_else(|| Err(io::Error::other("the database's thread has stopped")))
    }
}

/// A connection that is made when it is needed.
pub(super) struct Session {
    worker: Arc<Worker>,
    settings: PostgresSettings,
    connection: Mutex<Connection>,
}

struct Connection {
    open: Option<Arc<Connected>>,
    /// Since the last success: no attempt before that time, which is so long after the last one.
    pause: Option<(Instant, Duration)>,
}

/// A connection with the session's settings in force.
pub(super) struct Connected {
    pub(super) client: client::Client,
    warned: Arc<AtomicBool>,
}

impl Connected {
    /// Forgets earlier warnings.
    pub(super) fn forget_warnings(&self) {
        self.warned.store(false, Ordering::SeqCst);
    }

    /// Whether the server warned since. A commit that is interrupted while it waits for a standby succeeds, with a warning.
    pub(super) fn was_warned(&self) -> bool {
        self.warned.load(Ordering::SeqCst)
    }
}

impl Session {
    pub(super) fn new(worker: Arc<Worker>, settings: PostgresSettings) -> Arc<Session> {
        let connection = Mutex::new(Connection {
            open: None,
            pause: None,
        });
        Arc::new(Session {
            worker,
            settings,
            connection,
        })
    }

    /// Asks and waits for the answer. A connection that does not answer in time is given up.
    pub(super) fn ask<T, A>(
        self: &Arc<Self>,
        question: impl FnOnce(Arc<Connected>) -> A + Send + 'static,
    ) -> io::Result<T>
    where
        T: Send + 'static,
        A: Future<Output = io::Result<T>> + Send,
    {
        let session = Arc::clone(self);
        self.wait(async move {
            let connected = session.connected().await?;
            question(connected).await
        })
    }

    /// Waits for what was asked on a connection that the caller holds.
    pub(super) fn wait<T: Send + 'static>(
        self: &Arc<Self>,
        asked: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let session = Arc::clone(self);
        self.worker.run(async move {
            if let Ok(answer) = timeout(ANSWER, asked).await {
                return answer;
            }
            session.give_up();
            Err(Away::error("it gave no answer in 10 s"))
        })
    }

    /// The next question is asked on a new connection; the server ends what the old one had under way.
    pub(super) fn give_up(&self) {
        self.lock().open = None;
    }

    async fn connected(&self) -> io::Result<Arc<Connected>> {
        if let Some(open) = self.usable()? {
            return Ok(open);
        }
        // Two that ask at once make two connections, one of which remains.
        match connect(&self.settings).await {
            Ok(connected) => {
                let connected = Arc::new(connected);
                let mut connection = self.lock();
                connection.open = Some(Arc::clone(&connected));
                connection.pause = None;
                Ok(connected)
            }
            Err(error) => {
                self.lock().pause_longer();
                Err(error)
            }
        }
    }

    /// The open connection, nothing if it is time to make one.
    fn usable(&self) -> io::Result<Option<Arc<Connected>>> {
        let connection = self.lock();
        let open = connection.open.as_ref();
        if let Some(open) = open.filter(|open| !open.client.is_closed()) {
            return Ok(Some(Arc::clone(open)));
        }
        match connection.pause {
            Some((until, _)) if Instant::now() < until => {
                Err(Away::error("it could not be reached a moment ago"))
            }
            _ => Ok(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn pause_longer(&mut self) {
        let (shortest, longest) = PAUSES;
        let last = self.pause.map(|(_, length)| length.saturating_mul(2));
        let length = last.unwrap_or(shortest).min(longest);
        self.pause = Instant::now().checked_add(length).map(|until| (until, length));
    }
}

async fn connect(settings: &PostgresSettings) -> io::Result<Connected> {
    #[cfg(test)]
    if let Some(server) = &settings.simulated {
        let client = client::Client::Simulated(server.connect().map_err(|refusal| fault(refusal.into()))?);
        safety::secure(&client).await?;
        let warned = Arc::default();
        return Ok(Connected { client, warned });
    }
    let connected = match &settings.tls {
        Some(tls) => connect_by(settings, MakeRustlsConnect::new((**tls).clone())).await?,
        None => connect_by(settings, NoTls).await?,
    };
    safety::secure(&connected.client).await?;
    Ok(connected)
}

async fn connect_by<T>(settings: &PostgresSettings, tls: T) -> io::Result<Connected>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: Send + 'static,
{
    let (client, mut connection) = client::connect(&settings.config, tls).await.map_err(fault)?;
    let warned = Arc::new(AtomicBool::new(false));
    let warn = Arc::clone(&warned);
    // Ends with the connection, which ends with its client.
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notice(notice) = message
                && notice.parsed_severity() == Some(Severity::Warning)
            {
                warn.store(true, Ordering::SeqCst);
                tracing::warn!(message = notice.message(), "the log's database warns");
            }
        }
    });
    Ok(Connected { client, warned })
}
