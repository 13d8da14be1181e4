//! What a log in a bucket costs: entries per second and latency, beside those of a bare conditional write to the same store.
//!
//! `cargo bench -p ct-log --features s3 --bench s3 -- --bucket b --endpoint http://127.0.0.1:5000`, with credentials in the
//! environment. Objects are left in the bucket, below a prefix of their own.
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a benchmark may end at the first surprise"
)]

#[path = "log/disk.rs"]
mod disk;
#[path = "log/load.rs"]
#[expect(dead_code, reason = "for logs on a disk")]
mod load;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use ct_log::{Log, LogKey, LogSettings, Origin, S3Settings};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode};
use tokio::runtime::Runtime;

use disk::percentile;

/// Turns of each: what else the store does meets both.
const TURNS: u32 = 6;

/// About what a batch of one entry takes.
const BATCH_BYTES: usize = 2600;

#[derive(Parser)]
struct Arguments {
    /// An existing bucket.
    #[arg(long)]
    bucket: String,
    /// Another store than Amazon's: https://, or http:// on this machine.
    #[arg(long)]
    endpoint: Option<String>,
    /// Concurrent submitters.
    #[arg(long, value_delimiter = ',', default_value = "1,16,256")]
    submitters: Vec<usize>,
    /// For each number, half of it with bare writes.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Of a precertificate; its TBSCertificate comes on top.
    #[arg(long, default_value_t = 1200)]
    entry_bytes: usize,
    /// Cargo gives it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let prefix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let prefix = format!("bench-{}", prefix.as_millis());
    let directory = tempfile::tempdir().unwrap();
    let settings = LogSettings::new(directory.path(), Origin::new("bench.example.com/log").unwrap());
    let settings = settings.in_s3(place(&arguments, &prefix));
    let log = Log::create(settings, LogKey::generate().unwrap()).unwrap();
    let (runtime, store) = (Runtime::new().unwrap(), client(&arguments));
    println!("{}", load::machine());
    println!("submitters  entries/s  p50 ms  p99 ms  bare write p50 ms  p99 ms");
    let turn = Duration::from_secs(arguments.seconds) / (2 * TURNS);
    for count in &arguments.submitters {
        let (mut latencies, mut bare, mut busy) = (Vec::new(), Vec::new(), Duration::ZERO);
        for _ in 0..TURNS {
            bare.extend(runtime.block_on(writes(&*store, &prefix, turn)));
            let began = Instant::now();
            let submitted = load::submit(&log, *count, turn, arguments.entry_bytes);
            latencies.extend(runtime.block_on(submitted));
            busy += began.elapsed();
        }
        let rate = latencies.len() as f64 / busy.as_secs_f64();
        let [p50, p99] = [0.5, 0.99].map(|share| percentile(&mut latencies, share));
        let [bare50, bare99] = [0.5, 0.99].map(|share| percentile(&mut bare, share));
        println!("{count:10}  {rate:9.0}  {p50:6.2}  {p99:6.2}  {bare50:17.2}  {bare99:6.2}");
    }
    runtime.block_on(log.shutdown());
}

fn place(arguments: &Arguments, prefix: &str) -> S3Settings {
    let place = S3Settings::new(&arguments.bucket)
        .unwrap()
        .prefix(prefix)
        .unwrap();
    match &arguments.endpoint {
        Some(url) if url.starts_with("http://") => place.plain_endpoint(url).unwrap(),
        Some(url) => place.endpoint(url).unwrap(),
        None => place,
    }
}

fn client(arguments: &Arguments) -> Box<dyn ObjectStore> {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(&arguments.bucket);
    if let Some(url) = &arguments.endpoint {
        builder = builder
            .with_endpoint(url)
            .with_allow_http(url.starts_with("http://"));
    }
    Box::new(builder.build().unwrap())
}

/// The time of each write of a new object that must not be there.
async fn writes(store: &dyn ObjectStore, prefix: &str, during: Duration) -> Vec<Duration> {
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < during {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let path = Path::from(format!("bare/{prefix}/{nanos}"));
        let start = Instant::now();
        let written = store.put_opts(&path, vec![1; BATCH_BYTES].into(), PutMode::Create.into());
        written.await.unwrap();
        times.push(start.elapsed());
    }
    times
}
