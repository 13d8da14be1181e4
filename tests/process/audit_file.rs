//! The file of the audit record is rotated, removed, copied away: nothing is issued that is on no record, and no record is lost.

use std::fs::{self, File, OpenOptions};

use rustix::process::{Signal, kill_process};

use crate::{
    audit::AuditRecord,
    installation::{Installation, Serving},
    load::Load,
    program::until,
};

const ANEW: &str = "the audit record was opened anew";

impl Serving<'_> {
    /// SIGHUP, and waits until the file at its path is the record.
    fn reopen(&self) {
        let before = self.program.stderr().matches(ANEW).count();
        kill_process(self.program.pid(), Signal::HUP).unwrap();
        self.program.wait_for(|text| text.matches(ANEW).count() > before);
    }

    /// Of the audit record, as `/readyz` has it.
    async fn audit_problem(&self) -> Option<String> {
        let ready = self.client.get("/readyz").await.body["audit"].take();
        assert_eq!(ready["usable"], ready["problem"].is_null());
        ready["problem"].as_str().map(str::to_owned)
    }

    async fn is_issued_again(&self) {
        until("the record is usable", async || {
            self.audit_problem().await.is_none()
        })
        .await;
    }

    async fn usable_metric(&self) -> String {
        let metrics = reqwest::get(self.program.serving_metrics())
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("mayfly_audit_usable "));
        line.unwrap().to_owned()
    }
}

async fn installation() -> Installation {
    let installation = Installation::new().await;
    installation.configure("metrics-listen: off", "metrics-listen: 127.0.0.1:0");
    installation
}

/// As logrotate does by default: rename, create, SIGHUP. No request fails meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_under_load_costs_no_request_and_no_record() {
    let installation = installation().await;
    let (audit, old) = (
        installation.path("audit.jsonl"),
        installation.path("audit.jsonl.1"),
    );
    let mut serving = installation.serve();
    let mut load = Load::on(&installation, &serving);
    for _ in 0..3 {
        load.issues(10).await;
        fs::rename(&audit, &old).unwrap();
        File::create(&audit).unwrap();
        serving.reopen();
        load.issues(10).await;
        // Later files go in front, so that the whole record is in one.
        let text = fs::read_to_string(&old).unwrap();
        append(&installation.path("all.jsonl"), &text);
    }
    let issued = load.end_unrefused().await;
    serving.program.stop();
    append(
        &installation.path("all.jsonl"),
        &fs::read_to_string(&audit).unwrap(),
    );
    let record = AuditRecord::read(&installation.path("all.jsonl"));
    issued.iter().for_each(|issued| record.assert_holds(issued));
    assert_eq!(record.torn, 0);
}

fn append(path: &std::path::Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

/// What was acknowledged stays in the old file; a new one is made; a line that was cut short in it is ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_at_the_path_is_opened_on_sighup() {
    let installation = installation().await;
    let (audit, old) = (
        installation.path("audit.jsonl"),
        installation.path("audit.jsonl.1"),
    );
    let mut serving = installation.serve();
    let before = serving.request().await.issued();
    fs::rename(&audit, &old).unwrap();
    serving.reopen();
    let after = serving.request().await.issued();
    AuditRecord::read(&old).assert_holds(&before);
    AuditRecord::read(&audit).assert_holds(&after);

    fs::remove_file(&audit).unwrap();
    fs::write(&audit, "{\"ti").unwrap();
    serving.reopen();
    let last = serving.request().await.issued();
    let record = AuditRecord::read(&audit);
    record.assert_holds(&last);
    assert_eq!(record.torn, 1);
    serving.program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_file_nothing_is_issued_until_sighup() {
    let installation = installation().await;
    let (audit, old) = (
        installation.path("audit.jsonl"),
        installation.path("audit.jsonl.1"),
    );
    let mut serving = installation.serve();
    let mut issued = vec![serving.request().await.issued()];
    assert_eq!(serving.usable_metric().await, "mayfly_audit_usable 1");

    // Nobody asks for a certificate, and still it is noticed.
    fs::rename(&audit, &old).unwrap();
    until("it is noticed", async || serving.audit_problem().await.is_some()).await;
    let problem = serving.audit_problem().await.unwrap();
    assert!(problem.contains("renamed or removed"), "{problem}");
    assert_eq!(serving.client.get("/readyz").await.status, 503);
    assert_eq!(serving.usable_metric().await, "mayfly_audit_usable 0");
    assert_eq!(serving.request().await.reason(), (503, "audit_unavailable"));
    assert_eq!(serving.client.get("/api/v2/trustBundle").await.status, 200);
    // Nor when another file is there.
    File::create(&audit).unwrap();
    assert_eq!(serving.request().await.reason(), (503, "audit_unavailable"));
    assert_eq!(fs::metadata(&audit).unwrap().len(), 0);

    serving.reopen();
    serving.is_issued_again().await;
    issued.push(serving.request().await.issued());
    assert_eq!(serving.usable_metric().await, "mayfly_audit_usable 1");

    // Removed: whatever is asked until it is noticed, no certificate leaves without a record.
    fs::remove_file(&audit).unwrap();
    assert_eq!(serving.request().await.reason(), (503, "audit_unavailable"));
    serving.reopen();
    serving.is_issued_again().await;
    issued.push(serving.request().await.issued());
    AuditRecord::read(&old).assert_holds(&issued[0]);
    AuditRecord::read(&audit).assert_holds(&issued[2]);
    // Those that were refused before anything was signed are in no log.
    let published = serving.published(&installation.path("log"));
    assert!(published.audited_entries().await.len() <= issued.len() + 1);

    // Back where it was: nobody needs to ask.
    fs::rename(&audit, &old).unwrap();
    until("it is noticed", async || serving.audit_problem().await.is_some()).await;
    fs::rename(&old, &audit).unwrap();
    serving.is_issued_again().await;
    serving.request().await.issued();
    serving.program.stop();
}

/// Another process has the file that is at the path now: its lines would be torn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_process_has_is_not_taken() {
    let installation = installation().await;
    let (audit, old) = (
        installation.path("audit.jsonl"),
        installation.path("audit.jsonl.1"),
    );
    let mut serving = installation.serve();
    fs::rename(&audit, &old).unwrap();
    let other = File::create(&audit).unwrap();
    other.lock().unwrap();
    kill_process(serving.program.pid(), Signal::HUP).unwrap();
    until("it says why", async || {
        let problem = serving.audit_problem().await;
        problem.is_some_and(|problem| problem.contains("in use by another process"))
    })
    .await;
    // Of the file that it had, it has let go of nothing.
    assert!(File::open(&old).unwrap().try_lock().is_err());
    assert_eq!(serving.request().await.reason(), (503, "audit_unavailable"));
    drop(other);
    serving.is_issued_again().await;
    let issued = serving.request().await.issued();
    AuditRecord::read(&audit).assert_holds(&issued);
    serving.program.stop();
}

/// logrotate's `copytruncate`: the file stays the same, and is empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_truncated_goes_on_at_its_beginning() {
    let installation = installation().await;
    let (audit, old) = (
        installation.path("audit.jsonl"),
        installation.path("audit.jsonl.1"),
    );
    let mut serving = installation.serve();
    let before = serving.request().await.issued();
    fs::copy(&audit, &old).unwrap();
    OpenOptions::new()
        .write(true)
        .open(&audit)
        .unwrap()
        .set_len(0)
        .unwrap();
    let after = serving.request().await.issued();
    AuditRecord::read(&old).assert_holds(&before);
    let record = AuditRecord::read(&audit);
    record.assert_holds(&after);
    assert_eq!(record.torn, 0);
    serving.program.stop();
}
