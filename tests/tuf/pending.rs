//! A change that came back from another machine: nobody signs what is not shown, and nothing is published that was not signed.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::*;

impl Fixture {
    fn pending(&self, name: &str) -> PathBuf {
        self.folder.path().join("pending").join(name)
    }

    fn change_pending(&self, name: &str, change: impl Fn(&mut Value)) {
        let path = self.pending(name);
        let mut metadata = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut metadata);
        fs::write(&path, metadata.to_string()).unwrap();
    }

    fn propose(&self, contents: &str) {
        let files = [file("trusted_root.json", contents)];
        self.open().propose_targets(&files, now()).unwrap();
    }

    /// Names of the public files of targets.
    fn public_targets(&self) -> Vec<String> {
        let entries = fs::read_dir(self.public().join("targets")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    async fn refresh(&self) {
        let online = [self.online.clone()];
        self.open().refresh(&online, now()).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_in_it_and_not_shown_is_refused() {
    type Change = fn(&mut Value);
    let hidden: [(&str, Change); 6] = [
        ("targets.json", |targets| {
            targets["signed"]["delegations"] = json!({ "keys": {}, "roles": [] });
        }),
        ("targets.json", |targets| targets["signed"]["extra"] = json!(1)),
        ("targets.json", |targets| {
            targets["signed"]["targets"]["trusted_root.json"]["custom"] = json!({ "other": 1 });
        }),
        ("targets.json", |targets| {
            let target = targets["signed"]["targets"]["trusted_root.json"].clone();
            targets["signed"]["targets"]["\u{1b}[2Kgood.json"] = target;
        }),
        ("root.json", |root| {
            let online = root["signed"]["roles"]["timestamp"]["keyids"][0].clone();
            root["signed"]["roles"]["root"]["keyids"]
                .as_array_mut()
                .unwrap()
                .push(online);
        }),
        ("root.json", |root| {
            root["signed"]["consistent_snapshot"] = json!(false);
        }),
    ];
    for (name, change) in hidden {
        let fixture = Fixture::new().await;
        match name {
            "root.json" => fixture.open().propose_roles(&fixture.roles(), now()).unwrap(),
            _ => fixture.propose("new"),
        }
        fixture.open().proposal().unwrap();
        fixture.change_pending(name, change);
        let refused = fixture.open().proposal();
        assert!(
            matches!(refused, Err(TufError::Foreign { .. } | TufError::OnlineKey)),
            "{refused:?}"
        );
        fixture.open().drop_pending().unwrap();
        assert_eq!(fixture.reads().await.unwrap(), "");
    }
}

#[tokio::test]
async fn signatures_that_do_not_count_spoil_no_others() {
    let fixture = Fixture::new().await;
    fixture.propose("new");
    sign(&fixture.open(), &fixture.signers()).await;
    fixture.change_pending("targets.json", |targets| {
        let signature = targets["signatures"][0].clone();
        let stranger = json!({ "keyid": "00", "sig": signature["sig"] });
        targets["signatures"] = json!([stranger, signature, signature]);
    });
    fixture.open().publish(&fixture.signers(), now()).await.unwrap();
    assert_eq!(fixture.reads().await.unwrap(), "new");
}

#[tokio::test]
async fn a_file_that_nobody_signed_is_never_public() {
    let fixture = Fixture::new().await;
    fixture.propose("new");
    fs::write(fixture.pending("targets/secret"), "not public").unwrap();
    fixture.refresh().await;
    assert!(fixture.public_targets().is_empty(), "nobody has signed yet");
    sign(&fixture.open(), &fixture.signers()).await;
    fixture.open().publish(&fixture.signers(), now()).await.unwrap();
    assert_eq!(
        fixture.public_targets().len(),
        1,
        "{:?}",
        fixture.public_targets()
    );
}

#[tokio::test]
async fn a_file_that_is_not_the_one_that_was_signed_is_not_published() {
    let fixture = Fixture::new().await;
    type Replace = fn(&Path);
    let cases: [(&str, Replace); 3] = [
        ("other contents", |path| fs::write(path, "old").unwrap()),
        ("a link", |path| symlink("/etc/hostname", path).unwrap()),
        ("nothing", |_| {}),
    ];
    for (case, replace) in cases {
        fixture.propose("new");
        sign(&fixture.open(), &fixture.signers()).await;
        let target = fs::read_dir(fixture.pending("targets")).unwrap().next();
        let target = target.unwrap().unwrap().path();
        fs::remove_file(&target).unwrap();
        replace(&target);
        let refused = fixture.open().publish(&fixture.signers(), now()).await;
        assert!(refused.is_err(), "{case}");
        assert_eq!(fixture.reads().await.unwrap(), "", "{case}");
        fixture.open().drop_pending().unwrap();
    }
    fixture.publish("new").await;
    assert_eq!(fixture.reads().await.unwrap(), "new");
}

/// As while it is being copied.
#[tokio::test]
async fn what_cannot_be_read_holds_up_no_timestamp_and_can_be_dropped() {
    let fixture = Fixture::new().await;
    for name in ["root.json", "targets.json", "other"] {
        fs::create_dir(fixture.pending("")).unwrap();
        fs::write(fixture.pending(name), "{").unwrap();
        fixture.refresh().await;
        assert!(fixture.pending(name).exists(), "it is not dropped by itself");
        fixture.open().proposal().unwrap_err();
        fixture.open().drop_pending().unwrap();
        assert!(!fixture.pending("").exists());
    }
    fixture.publish("new").await;
    assert_eq!(fixture.reads().await.unwrap(), "new");
}

#[tokio::test]
async fn a_server_adds_the_online_signature_once_all_others_are_there() {
    let fixture = Fixture::new().await;
    let online = [fixture.online.clone()];
    let attend = async || Repository::attend(fixture.folder.path(), &online, now()).await;
    attend().await.unwrap();
    assert_eq!(
        fixture.open().published().unwrap().standing()[3].version,
        1,
        "nothing to do"
    );
    fixture.propose("new");
    attend().await.unwrap();
    assert_eq!(fixture.reads().await.unwrap(), "", "nobody has signed yet");
    let at_work = fixture.open();
    sign(&at_work, std::slice::from_ref(&fixture.targets)).await;
    attend().await.unwrap();
    assert_eq!(fixture.reads().await.unwrap(), "", "somebody is at work");
    drop(at_work);
    attend().await.unwrap();
    assert_eq!(fixture.reads().await.unwrap(), "new");
    assert!(!fixture.pending("").exists());
}
