//! What waits for the sequencer.

use tokio::sync::oneshot;

use crate::leaf::PendingEntry;
use crate::pool::{Pool, Waiting};
use crate::submission::{SubmitError, Submitter};
use crate::tests::support::{entry, in_memory};

/// C17: the queue is not worked off here, because the disk has no segment left for it.
#[tokio::test(flavor = "multi_thread")]
async fn external_submitters_have_a_quarter_of_the_queue() {
    let pool = Pool::new(8);
    let push = |from| {
        let (answer, _) = oneshot::channel();
        let log = in_memory();
        pool.push(Waiting {
            entry: entry(&log, 1).into(),
            from,
            answer,
        })
    };
    push(Submitter::External).unwrap();
    push(Submitter::External).unwrap();
    assert!(matches!(push(Submitter::External), Err(SubmitError::Busy { .. })));
    for _ in 0..6 {
        push(Submitter::Internal).unwrap();
    }
    assert!(matches!(push(Submitter::Internal), Err(SubmitError::Busy { .. })));
    assert_eq!(pool.take_batch(None).unwrap().len(), 8);
    push(Submitter::External).unwrap();
    pool.close();
    assert!(matches!(push(Submitter::Internal), Err(SubmitError::Unavailable)));
    assert_eq!(
        pool.take_batch(None).unwrap().len(),
        1,
        "what was queued is still worked off"
    );
    assert!(pool.take_batch(None).is_none());
}

#[tokio::test]
async fn a_batch_is_bounded_in_bytes() {
    let pool = Pool::new(200);
    let issuers = in_memory().store_issuers(&[]).unwrap();
    for _ in 0..100 {
        let entry = PendingEntry::certificate(vec![1; 100_000], issuers.clone()).into();
        let (answer, _) = oneshot::channel();
        pool.push(Waiting {
            entry,
            from: Submitter::Internal,
            answer,
        })
        .unwrap();
    }
    let batch = pool.take_batch(None).unwrap().len();
    assert!((40..42).contains(&batch), "{batch}");
}
