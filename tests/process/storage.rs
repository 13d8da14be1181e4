//! Writes that fail under a running server: nothing is issued that is not written, and the next start goes on.
//!
//! A limit on the size of files, set from outside, makes writes fail at a moment of our choice, for root as well.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use crate::{
    audit::AuditRecord,
    certificate::Issued,
    installation::{Installation, Serving},
    program::mayfly_with_file_limit,
};

/// More than any file of the log has, so that a limit between the two stops the audit record alone.
const LONG_RECORD: u64 = 16 * 1024 * 1024;

/// From now on the process cannot write beyond `bytes` of any file.
fn limit_files(serving: &Serving<'_>, bytes: u64) {
    let limit = Rlimit {
        current: Some(bytes),
        maximum: getrlimit(Resource::Fsize).maximum,
    };
    prlimit(Some(serving.program.pid()), Resource::Fsize, limit).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_write_refuses_ends_the_process_and_recovers() {
    let installation = Installation::new().await;
    let mut serving = installation.serve_as(&mut mayfly_with_file_limit());
    let before = serving.request().await.issued();

    limit_files(&serving, 1);
    assert_eq!(serving.request().await.reason(), (503, "log_unavailable"));
    assert_eq!(serving.program.exit().code(), Some(3));
    let stderr = serving.program.stderr();
    assert!(
        stderr.contains("the certificate log could not be written"),
        "{stderr}"
    );
    assert!(stderr.contains("because: File too large"), "{stderr}");

    let serving = installation.serve();
    let after = serving.request().await.issued();
    assert_all_logged(&installation, &serving, &[before, after]).await;
}

/// As on a disk that has become read-only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_cannot_make_files_ends_the_process_and_recovers() {
    let installation = Installation::new().await;
    let mut serving = installation.serve();
    let mut left = vec![serving.request().await.issued()];
    let (files, aside) = (installation.path("log/tmp"), installation.path("log/aside"));
    fs::rename(&files, &aside).unwrap();
    // Entries go to a file that is open, until a checkpoint or the next file cannot be written.
    while let Ok(answer) = serving.try_request().await {
        match answer.status {
            200 => left.push(answer.issued()),
            _ => assert_eq!(answer.reason(), (503, "log_unavailable")),
        }
    }
    assert_eq!(serving.program.exit().code(), Some(3));

    fs::rename(&aside, &files).unwrap();
    let serving = installation.serve();
    left.push(serving.request().await.issued());
    assert_all_logged(&installation, &serving, &left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_record_that_cannot_be_written_ends_the_process_and_recovers() {
    let installation = Installation::new().await;
    let audit = installation.path("audit.jsonl");
    let mut long = File::create(&audit).unwrap();
    long.set_len(LONG_RECORD - 1).unwrap();
    std::io::Seek::seek(&mut long, std::io::SeekFrom::End(0)).unwrap();
    long.write_all(b"\n").unwrap();
    let mut serving = installation.serve_as(&mut mayfly_with_file_limit());
    let before = serving.request().await.issued();

    // Of the next two lines, the first can be written, and the second not to its end.
    let [intent, certificate] = lines_after_the_long_one(&audit).try_into().unwrap();
    let room = intent.len() + certificate.len() / 2;
    limit_files(
        &serving,
        fs::metadata(&audit).unwrap().len() + u64::try_from(room).unwrap(),
    );
    assert_eq!(serving.request().await.reason(), (503, "audit_unavailable"));
    // Without another request.
    assert_eq!(serving.program.exit().code(), Some(3));
    let stderr = serving.program.stderr();
    assert!(stderr.contains("a write of the audit record failed"), "{stderr}");
    assert!(stderr.contains("because: File too large"), "{stderr}");

    let serving = installation.serve();
    let after = serving.request().await.issued();
    let published = serving.published(&installation.path("log"));
    assert_eq!(
        published.audited_entries_of(3).await.len(),
        3,
        "the second was logged, then held back"
    );
    let record = AuditRecord::parse(&lines_after_the_long_one(&audit).concat());
    record.assert_holds(&before);
    record.assert_holds(&after);
    assert_eq!(record.torn, 1);
}

/// With their ends.
fn lines_after_the_long_one(audit: &Path) -> Vec<String> {
    let text = fs::read(audit)
        .unwrap()
        .split_off(usize::try_from(LONG_RECORD).unwrap());
    let text = String::from_utf8(text).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

async fn assert_all_logged(installation: &Installation, serving: &Serving<'_>, left: &[Issued]) {
    let published = serving.published(&installation.path("log"));
    let entries = published
        .audited_entries_of(u64::try_from(left.len()).unwrap())
        .await;
    let record = AuditRecord::read(&installation.path("audit.jsonl"));
    for issued in left {
        let index = usize::try_from(issued.sct.leaf_index().get()).unwrap();
        issued.assert_is_logged_as(&entries[index], &published.key);
        record.assert_holds(issued);
    }
}

/// C15: a folder that went back to an older copy is noticed by the mark outside of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_rolled_back_does_not_start() {
    let installation = Installation::new().await;
    installation.configure("  key: log-key.pem\n", "  key: log-key.pem\n  high-water: mark\n");
    let copy = |from: &Path, to: &Path| {
        let mut cp = std::process::Command::new("cp");
        assert!(cp.arg("-a").args([from, to]).status().unwrap().success());
    };
    let (log, old) = (installation.path("log"), installation.path("old"));
    let mut serving = installation.serve();
    serving.request().await.issued();
    serving.program.stop();
    copy(&log, &old);
    let mut serving = installation.serve();
    serving.request().await.issued();
    serving.program.stop();

    fs::rename(&log, installation.path("newest")).unwrap();
    copy(&old, &log);
    let (code, said) = installation.refusal();
    assert_ne!(code, Some(0));
    assert!(said.contains("mark"), "{said}");

    fs::remove_dir_all(&log).unwrap();
    fs::rename(installation.path("newest"), &log).unwrap();
    installation.serve().request().await.issued();
}

/// C15: without a mark, too, because the audit record says what was given out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_a_certificate_that_is_on_record_does_not_start() {
    let installation = Installation::new().await;
    let copy = |from: &Path, to: &Path| {
        let mut cp = std::process::Command::new("cp");
        assert!(cp.arg("-a").args([from, to]).status().unwrap().success());
    };
    let (log, old) = (installation.path("log"), installation.path("old"));
    let audit = installation.path("audit.jsonl");
    let mut serving = installation.serve();
    serving.request().await.issued();
    serving.program.stop();
    copy(&log, &old);
    let mut serving = installation.serve();
    serving.request().await.issued();
    serving.program.stop();

    fs::rename(&log, installation.path("newest")).unwrap();
    copy(&old, &log);
    let rotated = installation.path("audit.jsonl.1");
    for record in [&audit, &rotated] {
        let (code, said) = installation.refusal();
        assert_ne!(code, Some(0));
        assert!(
            said.contains("SCT was given out for entry 1") && said.contains("retire the log"),
            "{said}"
        );
        if record == &audit {
            fs::rename(&audit, &rotated).unwrap();
        }
    }
    fs::remove_dir_all(&log).unwrap();
    fs::rename(installation.path("newest"), &log).unwrap();
    // One that was rotated away, or that another server wrote, holds nobody up.
    let mut serving = installation.serve();
    serving.request().await.issued();
    serving.program.stop();
    fs::remove_file(&rotated).unwrap();
    installation.serve().request().await.issued();
}
