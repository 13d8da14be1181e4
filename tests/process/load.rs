//! Requests without end on several connections, while the server is killed, or stopped and woken.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::JoinSet,
    time,
};

use crate::{
    certificate::Issued,
    client::{Answer, Client},
    installation::{EMAIL, Installation, Serving},
    program::HANG,
};

/// Certificates before something happens to a server.
pub(crate) const ENOUGH: usize = 40;
const CONNECTIONS: usize = 8;

/// What a server may answer that has been asleep, or waits for another one's turn to end.
const REFUSALS: [(u16, &str); 3] = [
    (503, "log_unavailable"),
    (503, "log_busy"),
    (504, "request_timeout"),
];

/// On one server.
pub(crate) struct Load {
    arriving: UnboundedReceiver<Answer>,
    /// Each with what ended it early: the server is gone.
    connections: JoinSet<Result<(), reqwest::Error>>,
    ending: Arc<AtomicBool>,
    left: Vec<Issued>,
    refusals: usize,
}

impl Load {
    pub(crate) fn on(installation: &Installation, serving: &Serving<'_>) -> Self {
        let (arrived, arriving) = unbounded_channel();
        let ending = Arc::new(AtomicBool::new(false));
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let client = Client::new(&format!("http://{}", serving.address));
            let (token, arrived, ending) = (installation.token(), arrived.clone(), Arc::clone(&ending));
            connections.spawn(async move {
                while !ending.load(Ordering::Relaxed) {
                    // Nobody takes what arrives after the end of a test that failed.
                    let _ = arrived.send(client.request(&token, EMAIL).await?);
                }
                Ok(())
            });
        }
        Self {
            arriving,
            connections,
            ending,
            left: Vec::new(),
            refusals: 0,
        }
    }

    /// Waits for so many more certificates than have arrived until now.
    pub(crate) async fn issues(&mut self, more: usize) {
        while let Ok(answer) = self.arriving.try_recv() {
            self.take(&answer);
        }
        let enough = self.left.len() + more;
        let issued = async {
            while self.left.len() < enough {
                let answer = self.arriving.recv().await.unwrap();
                self.take(&answer);
            }
        };
        // A store for tests, with others at work beside it, is slow.
        time::timeout(4 * HANG, issued).await.unwrap();
    }

    /// All certificates that arrived, and how many requests were refused instead.
    pub(crate) async fn end(self) -> (Vec<Issued>, usize) {
        let (left, refusals, _) = self.ended().await;
        (left, refusals)
    }

    /// The same of a server that had no excuse: it was there all the time, and refused nothing.
    pub(crate) async fn end_unrefused(self) -> Vec<Issued> {
        let (left, refusals, connections) = self.ended().await;
        connections.into_iter().for_each(Result::unwrap);
        assert_eq!(refusals, 0);
        left
    }

    async fn ended(mut self) -> (Vec<Issued>, usize, Vec<Result<(), reqwest::Error>>) {
        self.ending.store(true, Ordering::Relaxed);
        while let Some(answer) = self.arriving.recv().await {
            self.take(&answer);
        }
        (self.left, self.refusals, self.connections.join_all().await)
    }

    fn take(&mut self, answer: &Answer) {
        if answer.status == 200 {
            self.left.push(answer.issued());
        } else {
            let reason = answer.reason();
            assert!(REFUSALS.contains(&reason), "{answer:?}");
            self.refusals += 1;
        }
    }
}

/// The server is killed when enough certificates have arrived; until then it refuses nothing.
pub(crate) async fn burst(installation: &Installation, serving: &mut Serving<'_>) -> Vec<Issued> {
    let mut load = Load::on(installation, serving);
    load.issues(ENOUGH).await;
    serving.program.kill();
    let (left, refusals) = load.end().await;
    assert_eq!(refusals, 0);
    left
}

/// Every certificate has an entry of its own in the log, and the log is sound.
pub(crate) async fn assert_holds(serving: &Serving<'_>, identity: &Path, left: &[Issued]) {
    let mut indices: Vec<_> = left.iter().map(|issued| issued.sct.leaf_index().get()).collect();
    indices.sort_unstable();
    for pair in indices.windows(2) {
        assert_ne!(pair[0], pair[1], "two SCTs for one index");
    }
    let published = serving.published(identity);
    let entries = published.audited_entries_of(indices.last().unwrap() + 1).await;
    for issued in left {
        let index = usize::try_from(issued.sct.leaf_index().get()).unwrap();
        issued.assert_is_logged_as(&entries[index], &published.key);
    }
}

/// Two servers issue at the same time, the first is killed while it issues more, and the second goes on.
pub(crate) async fn one_of_two_is_killed(
    installation: &Installation,
    first: &mut Serving<'_>,
    second: &Serving<'_>,
) -> Vec<Issued> {
    let mut left = Vec::new();
    for _ in 0..10 {
        let (one, other) = tokio::join!(first.request(), second.request());
        left.extend([one.issued(), other.issued()]);
    }
    left.extend(burst(installation, first).await);
    left.push(second.request().await.issued());
    left
}
