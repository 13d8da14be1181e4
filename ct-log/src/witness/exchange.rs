//! One request to one witness: `POST <prefix>/add-checkpoint` (C2SP tlog-witness).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};

use crate::proof::Plan;
use crate::publish::Published;
use crate::running::Shared;
use crate::tree::Hash;

use super::cosigner::Cosignature;
use super::{Witness, WitnessOutcome};

/// For all of a request. A witness has to sync a few bytes.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longest answer that is read, in bytes: two dozen lines of the largest known signature.
const MAX_ANSWER: usize = 64 * 1024;

/// How often a witness is asked about one checkpoint, each time with the size that it has answered with.
const MAX_TRIES: usize = 2;

/// Why a witness did not cosign.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoCosignature {
    #[error("it has seen {size} entries, another checkpoint than the one before")]
    Conflict { size: u64 },
    #[error(
        "it says that it cosigned {size} entries, but the log has {have}: was this log rolled back, or is its key used twice?"
    )]
    Ahead { size: u64, have: u64 },
    #[error("it says that the checkpoint contradicts what it has seen before (422)")]
    Inconsistent,
    #[error("it answered {status}; 403 and 404 mean that it does not know the log or its note key")]
    Refused { status: StatusCode },
    #[error("it does not answer")]
    Unreachable(#[source] reqwest::Error),
    #[error("its answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    #[error("its answer has no cosignature of this checkpoint that holds")]
    NoneValid,
    #[error("its cosignature is of another time; compare the clocks")]
    OtherTime,
    #[error("its answer to a conflict is not a number")]
    NoSize,
    #[error("the log could not make the proof")]
    Proof(#[source] io::Error),
}

impl NoCosignature {
    pub(super) fn outcome(&self) -> WitnessOutcome {
        match self {
            NoCosignature::Conflict { .. } | NoCosignature::Proof(_) => WitnessOutcome::Conflict,
            NoCosignature::Ahead { .. } => WitnessOutcome::Ahead,
            NoCosignature::Inconsistent => WitnessOutcome::Inconsistent,
            NoCosignature::Refused { .. } => WitnessOutcome::Refused,
            NoCosignature::Unreachable(_) => WitnessOutcome::Unreachable,
            NoCosignature::TooLong
            | NoCosignature::NoneValid
            | NoCosignature::OtherTime
            | NoCosignature::NoSize => WitnessOutcome::Invalid,
        }
    }
}

/// No redirects and no compression: a witness answers with a few lines.
pub(super) fn client() -> reqwest::Result<Client> {
    Client::builder()
        .redirect(Policy::none())
        .timeout(TIMEOUT)
        .no_proxy()
        .build()
}

/// One witness, and what is known of it.
pub(super) struct Exchange {
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    pub(super) witness: Witness,
    /// Entries of the last checkpoint that it cosigned, as far as known.
    pub(super) seen: u64,
}

impl Exchange {
    /// Asks for a cosignature of that checkpoint.
    pub(super) async fn cosign(&mut self, published: &Arc<Published>) -> Result<Cosignature, NoCosignature> {
        let size = published.checkpoint.size();
        for _ in 0..MAX_TRIES {
            if self.seen > size {
                return Err(self.beyond(size));
            }
            let response = self.post(published).await?;
            match response.status() {
                StatusCode::OK => {
                    let cosignature = self.read(response, &published.note).await?;
                    self.seen = size;
                    return Ok(cosignature);
                }
                StatusCode::CONFLICT => {
                    let answer = read_all(response).await?;
                    let seen = answer.trim_end().parse();
                    self.seen = seen.map_err(|_| NoCosignature::NoSize)?;
                }
                StatusCode::UNPROCESSABLE_ENTITY => return Err(NoCosignature::Inconsistent),
                status => return Err(NoCosignature::Refused { status }),
            }
        }
        Err(NoCosignature::Conflict { size: self.seen })
    }

    /// The witness has seen more than this checkpoint. What it says is not proven, so it is asked from the beginning next time.
    fn beyond(&mut self, size: u64) -> NoCosignature {
        let seen = std::mem::take(&mut self.seen);
        let have = self.shared.durable.head().size;
        if seen > have {
            return NoCosignature::Ahead { size: seen, have };
        }
        tracing::debug!(seen, size, "a witness has cosigned a later checkpoint already");
        NoCosignature::Conflict { size: seen }
    }

    async fn post(&self, published: &Arc<Published>) -> Result<Response, NoCosignature> {
        let (shared, old, new) = (Arc::clone(&self.shared), self.seen, published.checkpoint.size());
        let proof = tokio::task::spawn_blocking(move || consistency(&shared, old, new)).await;
        let proof = proof.unwrap_or_else(|error| Err(io::Error::other(error)));
        let mut body = format!("old {old}\n");
        for hash in proof.map_err(NoCosignature::Proof)? {
            let _ = writeln!(body, "{}", STANDARD.encode(hash.as_bytes()));
        }
        let _ = write!(body, "\n{}", published.note);
        let url = format!("{}/add-checkpoint", self.witness.url.trim_end_matches('/'));
        let response = self.client.post(url).body(body).send().await;
        response.map_err(NoCosignature::Unreachable)
    }

    async fn read(&self, response: Response, note: &str) -> Result<Cosignature, NoCosignature> {
        let lines = read_all(response).await?;
        let text = note.rfind("\n\n").and_then(|end| note.get(..=end));
        let found = text.and_then(|text| self.witness.key.find(&lines, text));
        let found = found.ok_or(NoCosignature::NoneValid)?;
        if !found.is_fresh(self.shared.clock.now()) {
            return Err(NoCosignature::OtherTime);
        }
        Ok(found)
    }
}

async fn read_all(mut response: Response) -> Result<String, NoCosignature> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(NoCosignature::Unreachable)? {
        answer.extend_from_slice(&chunk);
        if answer.len() > MAX_ANSWER {
            return Err(NoCosignature::TooLong);
        }
    }
    // Text that is not UTF-8 has no line that is looked for.
    Ok(String::from_utf8(answer).unwrap_or_default())
}

/// The proof between the trees of two sizes, both durable. Blocks.
fn consistency(shared: &Shared, old: u64, new: u64) -> io::Result<Vec<Hash>> {
    let impossible = || io::Error::other("there is no proof between these sizes");
    let plan = Plan::consistency(old, new).ok_or_else(impossible)?;
    let mut tiles = BTreeMap::new();
    for tile in plan.tiles() {
        tiles.insert(tile, shared.durable_tile(tile)?);
    }
    plan.hashes(&tiles).ok_or_else(impossible)
}
