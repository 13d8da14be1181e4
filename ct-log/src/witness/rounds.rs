//! The thread that has checkpoints cosigned. Each round is one checkpoint, for all witnesses at once, so that their cosignatures
//! come together. It is over once it has a quorum, or has taken long; the next one takes the newest checkpoint then. A witness that is
//! still busy, or waits after a failure, joins the round that is on when it is free.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::publish::Published;
use crate::running::Shared;

use super::WitnessOutcome;
use super::exchange::{Exchange, client};
use super::state::{Kept, Stopping};

/// Longest time that a round lasts for want of a quorum.
const ROUND: Duration = Duration::from_secs(5);

/// How often the checkpoint of a log that does not grow is cosigned again: the times say that the witnesses still look.
const RENEWAL: Duration = Duration::from_secs(60);

/// What a witness is left alone for after its first failure, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// The checkpoint that is asked for, and whether it has a quorum.
#[derive(Debug)]
struct Round {
    published: Arc<Published>,
    cosigned: watch::Sender<usize>,
}

/// Works until the log stops.
pub(crate) fn run(shared: &Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let prepared = runtime.and_then(|runtime| Ok((runtime, client().map_err(io::Error::other)?)));
    let (runtime, client) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            tracing::error!(%error, "no witness can be asked");
            return;
        }
    };
    let mut stopping = shared.witnessing.stopping.subscribe();
    runtime.block_on(async {
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping == Stopping::Yes) => {}
            () = rounds(shared, &client) => {}
        }
    });
    // Its blocking reads are of no use to anybody any more.
    runtime.shutdown_background();
}

async fn rounds(shared: &Arc<Shared>, client: &Client) {
    let (announce, _) = watch::channel(None::<Arc<Round>>);
    let mut askers = JoinSet::new();
    for (number, witness) in shared.witnessing.witnesses().iter().enumerate() {
        let exchange = Exchange {
            client: client.clone(),
            shared: Arc::clone(shared),
            witness: witness.clone(),
            seen: 0,
        };
        askers.spawn(ask(exchange, number, announce.subscribe()));
    }
    let quorum = shared.witnessing.quorum();
    let mut newest = shared.watch_published();
    // A tree without entries is nothing to witness.
    let Ok(first) = newest.wait_for(|published| published.checkpoint.size() > 0).await else {
        return;
    };
    let mut published = Arc::clone(&first);
    drop(first);
    loop {
        shared.witnessing.begin(&published.note);
        let (cosigned, mut answers) = watch::channel(0);
        let size = published.checkpoint.size();
        announce.send_replace(Some(Arc::new(Round { published, cosigned })));
        let _ = timeout(ROUND, answers.wait_for(|count| *count >= quorum)).await;
        let grown = newest.wait_for(|published| published.checkpoint.size() > size);
        if timeout(RENEWAL, grown).await.is_ok_and(|grown| grown.is_err()) {
            return;
        }
        published = Arc::clone(&newest.borrow());
    }
}

/// Asks one witness, round after round.
async fn ask(mut exchange: Exchange, number: usize, mut rounds: watch::Receiver<Option<Arc<Round>>>) {
    let mut wait = BACKOFF.0;
    while rounds.changed().await.is_ok() {
        let Some(round) = rounds.borrow_and_update().clone() else {
            continue;
        };
        let answer = exchange.cosign(&round.published).await;
        let (witnessing, name) = (&exchange.shared.witnessing, exchange.witness.key.name());
        match answer {
            Ok(cosignature) => {
                wait = BACKOFF.0;
                witnessing.count(number, WitnessOutcome::Cosigned);
                if witnessing.accept(number, cosignature, &round.published.note) == Kept::Yes {
                    round.cosigned.send_modify(|count| *count += 1);
                    exchange.shared.durable.renew();
                }
            }
            Err(error) => {
                let outcome = error.outcome();
                witnessing.count(number, outcome);
                match outcome {
                    WitnessOutcome::Ahead | WitnessOutcome::Inconsistent => {
                        tracing::error!(witness = name, %error, "a witness contradicts this log");
                    }
                    _ => tracing::warn!(witness = name, ?error, "a witness did not cosign: {error}"),
                }
                sleep(wait).await;
                wait = (wait * 2).min(BACKOFF.1);
                rounds.mark_changed();
            }
        }
    }
}
