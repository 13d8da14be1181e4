//! An object store as Amazon S3 describes it: a read sees what was written last, a condition and its write are one step. What is
//! between it and a writer loses, delays and repeats requests and answers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::threads::schedule::{self, note, random};

use super::plan::up_to;
use super::world::World;

/// How long a request takes at most on its way, as a rule.
const USUAL: Duration = Duration::from_millis(40);

/// When a late request takes effect at the latest: after everybody has given it up.
const LATE: Duration = Duration::from_secs(40);

/// One writer's way to the bucket that all share.
#[derive(Clone)]
pub(super) struct SimulatedBucket {
    pub(super) objects: Arc<InMemory>,
    pub(super) world: Arc<World>,
    pub(super) away: Arc<AtomicBool>,
    /// Whether readers see what is published.
    pub(super) seen: bool,
    /// For a test of the simulation: conditions are not looked at.
    pub(super) forgets_conditions: bool,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// It does not arrive.
    Lost,
    /// The store refuses it for now.
    SlowDown,
    /// It has its effect, the answer is lost.
    AnswerLost,
    /// It has its effect, there is never an answer.
    Unanswered,
    /// There is no answer, and it has its effect later, if its condition still holds then.
    Late,
    /// It arrives twice; the answer is that to the second.
    Twice,
    /// It collides with another write: refused, though nobody has the place.
    Collision,
}

fn broken(text: &'static str) -> Error {
    Error::Generic {
        store: "simulation",
        source: text.into(),
    }
}

impl SimulatedBucket {
    fn fate(&self) -> Fate {
        self.world.delay(USUAL);
        if self.away.load(Ordering::SeqCst) {
            return Fate::Lost;
        }
        if !self.world.fails() {
            return Fate::Answered;
        }
        match random(7) {
            0 => Fate::Lost,
            1 => Fate::SlowDown,
            2 => Fate::AnswerLost,
            3 => Fate::Unanswered,
            4 => Fate::Late,
            5 => Fate::Twice,
            _ => Fate::Collision,
        }
    }

    /// The effect of a write, at this moment.
    async fn write(&self, to: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if self.forgets_conditions && to.as_ref().contains("/commit/") {
            options.mode = object_store::PutMode::Overwrite;
        }
        let checkpoint = to.as_ref().ends_with("/checkpoint");
        let text: Vec<u8> = match checkpoint {
            true => payload.iter().flat_map(|bytes| bytes.to_vec()).collect(),
            false => Vec::new(),
        };
        let written = self.objects.put_opts(to, payload, options).await;
        note(|| match &written {
            Ok(_) => format!("{to} is written"),
            Err(error) => format!("{to} is not written: {error}"),
        });
        if checkpoint && self.seen && written.is_ok() {
            self.world
                .saw(|history| history.published(&String::from_utf8_lossy(&text)));
        }
        written
    }

    async fn answer<T>(&self, answer: Result<T>) -> Result<T> {
        self.world.delay(USUAL / 2);
        answer
    }

    /// A request that only reads is lost on one way or the other.
    async fn read<T>(&self, what: &Path, read: impl Future<Output = Result<T>>) -> Result<T> {
        let fate = self.fate();
        note(|| format!("read {what}: {fate:?}"));
        match fate {
            Fate::Answered | Fate::Twice => self.answer(read.await).await,
            Fate::Lost | Fate::AnswerLost | Fate::Collision => Err(broken("the connection broke")),
            Fate::SlowDown => Err(broken("503")),
            Fate::Unanswered | Fate::Late => std::future::pending().await,
        }
    }
}

#[async_trait]
impl ObjectStore for SimulatedBucket {
    async fn put_opts(&self, to: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fate = self.fate();
        note(|| format!("write {to}: {fate:?}"));
        match fate {
            Fate::Answered => {
                let written = self.write(to, payload, options).await;
                self.answer(written).await
            }
            Fate::Lost => Err(broken("the connection broke")),
            Fate::SlowDown => Err(broken("503")),
            Fate::AnswerLost => {
                let _ = self.write(to, payload, options).await;
                Err(broken("the connection broke"))
            }
            Fate::Unanswered => {
                let _ = self.write(to, payload, options).await;
                std::future::pending().await
            }
            Fate::Late => {
                let (bucket, to) = (self.clone(), to.clone());
                schedule::start_in(schedule::MAIN, "late request", move || {
                    schedule::sleep(up_to(LATE));
                    let _ = schedule::block_on(bucket.write(&to, payload, options));
                });
                match random(2) {
                    0 => Err(broken("the connection broke")),
                    _ => std::future::pending().await,
                }
            }
            Fate::Twice => {
                let _ = self.write(to, payload.clone(), options.clone()).await;
                let written = self.write(to, payload, options).await;
                self.answer(written).await
            }
            Fate::Collision => Err(Error::Precondition {
                path: to.to_string(),
                source: "409".into(),
            }),
        }
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.read(path, self.objects.get_opts(path, options)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (bucket, prefix, offset) = (self.clone(), prefix.cloned(), offset.clone());
        let listed = async move {
            let what = prefix.clone().unwrap_or_default();
            let fate = bucket.fate();
            note(|| format!("list {what}: {fate:?}"));
            if !matches!(fate, Fate::Answered | Fate::Twice) {
                return stream::once(async { Err(broken("the connection broke")) }).boxed();
            }
            bucket.objects.list_with_offset(prefix.as_ref(), &offset)
        };
        stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

impl fmt::Debug for SimulatedBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a simulated bucket")
    }
}

impl fmt::Display for SimulatedBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a simulated bucket")
    }
}
