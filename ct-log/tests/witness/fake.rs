//! A witness on loopback that does what a test wants. By itself it does all that C2SP tlog-witness asks of one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ct_log::tree::{Hash, verify_consistency};
use ct_log::witness::Witness;
use tokio::net::TcpListener;

/// What it does instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Good,
    /// Says 409 with that size, whatever it is asked.
    Conflict(u64),
    Answer(u16),
    /// Cosigns with another key under its own name and key id.
    WrongKey,
    OtherRoot,
    /// Cosigns as of that many seconds ago.
    Old(u64),
    Garbage,
    Huge,
    Hangs,
    /// Redirects to itself.
    Redirects,
}

pub(crate) struct Fake {
    name: String,
    key: Ed25519KeyPair,
    address: SocketAddr,
    state: Arc<Mutex<Seen>>,
}

/// What it knows of the log.
pub(crate) struct Seen {
    pub(crate) behaviour: Behaviour,
    pub(crate) size: u64,
    root: Option<Hash>,
    pub(crate) requests: usize,
    /// Why it refused, in order.
    pub(crate) refused: Vec<&'static str>,
}

#[derive(Clone)]
struct Served {
    name: String,
    key: Arc<Ed25519KeyPair>,
    log_key: String,
    state: Arc<Mutex<Seen>>,
}

impl Fake {
    /// One that knows the log with that verifier key.
    pub(crate) async fn start(name: &str, behaviour: Behaviour) -> (Fake, FakeServer) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key = Ed25519KeyPair::generate().unwrap();
        let state = Arc::new(Mutex::new(Seen {
            behaviour,
            size: 0,
            root: None,
            requests: 0,
            refused: Vec::new(),
        }));
        let fake = Fake {
            name: name.to_owned(),
            address: listener.local_addr().unwrap(),
            state: Arc::clone(&state),
            key,
        };
        (fake, FakeServer { listener })
    }

    pub(crate) fn witness(&self) -> Witness {
        Witness {
            url: format!("http://{}/w/", self.address),
            key: self.verifier_key().parse().unwrap(),
        }
    }

    pub(crate) fn verifier_key(&self) -> String {
        let public = self.key.public_key().as_ref();
        let id = hex::encode(key_id(&self.name, 4, public));
        format!("{}+{id}+{}", self.name, STANDARD.encode([&[4], public].concat()))
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    /// Whether the note has a line of this witness that holds.
    pub(crate) fn cosigned(&self, note: &str) -> bool {
        let (text, lines) = note.rsplit_once("\n\n").unwrap();
        lines.lines().any(|line| {
            let value = line.strip_prefix(&format!("\u{2014} {} ", self.name));
            let Some(value) = value.map(|value| STANDARD.decode(value).unwrap()) else {
                return false;
            };
            let seconds = u64::from_be_bytes(value[4..12].try_into().unwrap());
            let signed = format!("cosignature/v1\ntime {seconds}\n{text}\n");
            let public = UnparsedPublicKey::new(&ED25519, self.key.public_key().as_ref().to_vec());
            public.verify(signed.as_bytes(), &value[12..]).is_ok()
        })
    }
}

/// Bound, but not serving yet: the log's key comes later.
pub(crate) struct FakeServer {
    listener: TcpListener,
}

impl FakeServer {
    /// Serves until the test's runtime ends.
    pub(crate) fn serve(self, fake: &Fake, log_key: &str) {
        let served = Served {
            name: fake.name.clone(),
            key: Arc::new(copy(&fake.key)),
            log_key: log_key.to_owned(),
            state: Arc::clone(&fake.state),
        };
        let routes = Router::new().route("/w/add-checkpoint", post(add_checkpoint));
        tokio::spawn(async move { axum::serve(self.listener, routes.with_state(served)).await });
    }
}

fn copy(key: &Ed25519KeyPair) -> Ed25519KeyPair {
    Ed25519KeyPair::from_pkcs8(key.to_pkcs8().unwrap().as_ref()).unwrap()
}

fn key_id(name: &str, algorithm: u8, public: &[u8]) -> Vec<u8> {
    let hashed = [name.as_bytes(), b"\n", &[algorithm], public].concat();
    digest(&SHA256, &hashed).as_ref()[..4].to_vec()
}

async fn add_checkpoint(State(served): State<Served>, body: String) -> Response {
    let behaviour = {
        let mut state = served.state.lock().unwrap();
        state.requests += 1;
        state.behaviour
    };
    match behaviour {
        Behaviour::Conflict(size) => conflict(size),
        Behaviour::Answer(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Behaviour::Garbage => Body::from(vec![0xff; 300]).into_response(),
        Behaviour::Huge => Body::from("\u{2014} w AAAA\n".repeat(1_000_000)).into_response(),
        Behaviour::Hangs => std::future::pending().await,
        Behaviour::Redirects => (
            StatusCode::TEMPORARY_REDIRECT,
            [(header::LOCATION, "/w/add-checkpoint")],
        )
            .into_response(),
        _ => served.judge(&body, behaviour).unwrap_or_else(|(status, why)| {
            served.state.lock().unwrap().refused.push(why);
            match status {
                409 => conflict(served.state.lock().unwrap().size),
                _ => StatusCode::from_u16(status).unwrap().into_response(),
            }
        }),
    }
}

fn conflict(size: u64) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/x.tlog.size")];
    (StatusCode::CONFLICT, headers, format!("{size}\n")).into_response()
}

impl Served {
    /// The rules of C2SP tlog-witness, in its order.
    fn judge(&self, body: &str, behaviour: Behaviour) -> Result<Response, (u16, &'static str)> {
        let malformed = (400, "malformed");
        let (head, note) = body.split_once("\n\n").ok_or(malformed)?;
        let mut head = head.lines();
        let old = head
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .ok_or(malformed)?;
        let old: u64 = old.parse().map_err(|_| malformed)?;
        let proof: Vec<Hash> = head.map(hash).collect();
        let (text, lines) = note.rsplit_once("\n\n").ok_or(malformed)?;
        let text = format!("{text}\n");
        if !self.is_signed(&text, lines) {
            return Err((403, "not signed with the note key"));
        }
        let mut fields = text.lines().skip(1);
        let size: u64 = fields.next().unwrap().parse().map_err(|_| malformed)?;
        let root = hash(fields.next().unwrap());
        let mut seen = self.state.lock().unwrap();
        if old > size {
            return Err((400, "old is larger"));
        }
        if old != seen.size {
            return Err((409, "conflict"));
        }
        let consistent = match seen.root {
            None => proof.is_empty(),
            Some(before) => verify_consistency((old, before), (size, root), &proof).is_ok(),
        };
        if !consistent {
            return Err((422, "inconsistent"));
        }
        (seen.size, seen.root) = (size, Some(root));
        Ok(self.cosign(&text, behaviour).into_response())
    }

    fn is_signed(&self, text: &str, lines: &str) -> bool {
        let mut parts = self.log_key.splitn(3, '+');
        let (name, id, material) = (
            parts.next().unwrap(),
            parts.next().unwrap(),
            parts.next().unwrap(),
        );
        let public = STANDARD.decode(material).unwrap()[1..].to_vec();
        lines.lines().any(|line| {
            let (line_name, value) = line.strip_prefix("\u{2014} ").unwrap().split_once(' ').unwrap();
            let value = STANDARD.decode(value).unwrap();
            line_name == name
                && hex::encode(&value[..4]) == id
                && UnparsedPublicKey::new(&ED25519, &public)
                    .verify(text.as_bytes(), &value[4..])
                    .is_ok()
        })
    }

    fn cosign(&self, text: &str, behaviour: Behaviour) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let seconds = match behaviour {
            Behaviour::Old(ago) => now - ago,
            _ => now,
        };
        let text = match behaviour {
            Behaviour::OtherRoot => text.replacen("\n1\n", "\n2\n", 1) + "x\n",
            _ => text.to_owned(),
        };
        let key = match behaviour {
            Behaviour::WrongKey => &Ed25519KeyPair::generate().unwrap(),
            _ => &*self.key,
        };
        let signature = key.sign(format!("cosignature/v1\ntime {seconds}\n{text}").as_bytes());
        let id = key_id(&self.name, 4, self.key.public_key().as_ref());
        let value = [id.as_slice(), &seconds.to_be_bytes(), signature.as_ref()].concat();
        // Lines of keys that the log does not know must be ignored.
        let stranger = STANDARD.encode([7; 80]);
        format!(
            "\u{2014} stranger {stranger}\n\u{2014} {} {}\n",
            self.name,
            STANDARD.encode(value)
        )
    }
}

fn hash(line: &str) -> Hash {
    Hash::new(STANDARD.decode(line).unwrap().try_into().unwrap())
}

/// Waits until something that is under way has happened.
pub(crate) async fn until<T>(mut happened: impl FnMut() -> Option<T>) -> T {
    loop {
        match happened() {
            Some(found) => return found,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
