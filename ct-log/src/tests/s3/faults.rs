//! What a network and a store do to writes, and a store that suffers it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// How long a late write takes: longer than the log waits for an outcome.
const LATE: Duration = Duration::from_millis(700);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It takes effect; the connection breaks before the answer.
    ReplyLost,
    /// It takes effect; the answer is 500.
    DoneAndFailed,
    /// It takes effect; the answer is that somebody else was first.
    DoneAndRefused,
    /// It takes effect; there is never an answer.
    DoneAndHung,
    /// It is lost.
    RequestLost,
    /// It is refused for now: 503.
    SlowDown,
    /// The connection breaks; it takes effect later.
    Late,
}

pub(super) const ALL: [Fault; 7] = [
    Fault::ReplyLost,
    Fault::DoneAndFailed,
    Fault::DoneAndRefused,
    Fault::DoneAndHung,
    Fault::RequestLost,
    Fault::SlowDown,
    Fault::Late,
];

/// When a write takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Now,
    Never,
    AfterAWhile,
}

/// What the client hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Broken,
    Status(u16),
    Nothing,
}

impl Fault {
    pub(super) fn parts(self) -> (Effect, Answer) {
        match self {
            Fault::ReplyLost => (Effect::Now, Answer::Broken),
            Fault::DoneAndFailed => (Effect::Now, Answer::Status(500)),
            Fault::DoneAndRefused => (Effect::Now, Answer::Status(412)),
            Fault::DoneAndHung => (Effect::Now, Answer::Nothing),
            Fault::RequestLost => (Effect::Never, Answer::Broken),
            Fault::SlowDown => (Effect::Never, Answer::Status(503)),
            Fault::Late => (Effect::AfterAWhile, Answer::Broken),
        }
    }
}

/// The faults to come, for writes of keys that contain a text.
#[derive(Debug, Default)]
pub(super) struct Plan {
    faults: Mutex<(String, VecDeque<Fault>)>,
    /// The connection of the next read of a key that ends so breaks.
    unread: Mutex<Option<String>>,
    pub(super) down: std::sync::atomic::AtomicBool,
    pub(super) happened: AtomicUsize,
}

impl Plan {
    pub(super) fn set(&self, keys: &str, faults: impl IntoIterator<Item = Fault>) {
        *self.faults.lock().unwrap() = (keys.to_owned(), faults.into_iter().collect());
    }

    pub(super) fn next(&self, key: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        if !key.contains(&faults.0) {
            return None;
        }
        let fault = faults.1.pop_front();
        self.happened
            .fetch_add(usize::from(fault.is_some()), Ordering::SeqCst);
        fault
    }

    /// The next read of that key fails, once.
    pub(super) fn fail_read(&self, key: &str) {
        *self.unread.lock().unwrap() = Some(key.to_owned());
    }

    /// Whether this read fails.
    pub(super) fn fails(&self, key: &str) -> bool {
        let mut unread = self.unread.lock().unwrap();
        unread.take_if(|end| key.ends_with(end.as_str())).is_some()
    }

    /// Whether a read is still to fail.
    pub(super) fn awaits_read(&self) -> bool {
        self.unread.lock().unwrap().is_some()
    }

    pub(super) fn left(&self) -> usize {
        self.faults.lock().unwrap().1.len()
    }
}

pub(super) async fn late() {
    tokio::time::sleep(LATE).await;
}

/// Another store, and what happens on the way to it.
#[derive(Debug, Clone)]
pub(super) struct Faulty {
    pub(super) inner: Arc<dyn ObjectStore>,
    pub(super) plan: Arc<Plan>,
    pub(super) conditions: Conditions,
}

/// What becomes of `If-None-Match` and `If-Match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conditions {
    Honoured,
    NoneMatchIgnored,
    MatchIgnored,
}

fn broken(text: &'static str) -> object_store::Error {
    object_store::Error::Generic {
        store: "test",
        source: text.into(),
    }
}

impl Faulty {
    fn up(&self) -> Result<()> {
        match self.plan.down.load(Ordering::SeqCst) {
            true => Err(broken("the store is away")),
            false => Ok(()),
        }
    }

    async fn suffer(&self, fault: Fault, to: &Path, write: (PutPayload, PutOptions)) -> Result<PutResult> {
        let (effect, answer) = fault.parts();
        let (inner, to, (payload, options)) = (Arc::clone(&self.inner), to.clone(), write);
        let done = async move { inner.put_opts(&to, payload, options).await };
        match effect {
            Effect::Now => drop(done.await),
            Effect::Never => drop(done),
            Effect::AfterAWhile => drop(tokio::spawn(async move {
                late().await;
                done.await
            })),
        }
        match answer {
            Answer::Broken => Err(broken("the connection broke")),
            Answer::Status(412) => Err(object_store::Error::Precondition {
                path: String::new(),
                source: "412".into(),
            }),
            Answer::Status(_) => Err(broken("an error of the server")),
            Answer::Nothing => std::future::pending().await,
        }
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, to: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        self.up()?;
        let ignored = match options.mode {
            PutMode::Overwrite => false,
            PutMode::Create => self.conditions == Conditions::NoneMatchIgnored,
            PutMode::Update(_) => self.conditions == Conditions::MatchIgnored,
        };
        if ignored {
            options.mode = PutMode::Overwrite;
        }
        match self.plan.next(to.as_ref()) {
            Some(fault) => self.suffer(fault, to, (payload, options)).await,
            None => self.inner.put_opts(to, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.up()?;
        if self.plan.fails(path.as_ref()) {
            return Err(broken("the connection broke"));
        }
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}
