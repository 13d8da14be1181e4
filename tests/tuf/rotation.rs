//! Other keys, and signatures that come one at a time.

use super::*;

#[tokio::test]
async fn a_client_follows_from_the_first_root_through_every_rotation() {
    let mut fixture = Fixture::new().await;
    fixture.publish("one").await;
    let first = Client::new(&fixture.root());
    for _ in 0..3 {
        let before = fixture.signers();
        fixture.roots = [signer(), signer()];
        fixture.targets = signer();
        fixture.online = signer();
        let repository = fixture.open();
        repository.propose_roles(&fixture.roles(), now()).unwrap();
        sign(&repository, &fixture.signers()).await;
        let refused = repository.publish(&fixture.signers(), now()).await;
        assert!(
            matches!(refused, Err(TufError::Missing(_))),
            "the old keys must sign"
        );
        sign(&repository, &before).await;
        repository.publish(&fixture.signers(), now()).await.unwrap();
        drop(repository);
        assert_eq!(first.reads(&fixture.public()).await.unwrap(), "one");
        let refused = fixture.open().refresh(&before, now()).await;
        assert!(
            matches!(refused, Err(TufError::Missing(_))),
            "the old online key is out"
        );
    }
    assert_eq!(fixture.open().published().unwrap().standing()[0].version, 4);
    fixture.publish("two").await;
    assert_eq!(first.reads(&fixture.public()).await.unwrap(), "two");
}

#[tokio::test]
async fn signatures_are_added_one_at_a_time() {
    let fixture = Fixture::new().await;
    let (third, online) = (signer(), [fixture.online.clone()]);
    let roles = Roles {
        root: keys(&[&fixture.roots[0], &fixture.roots[1], &third], 2),
        ..fixture.roles()
    };
    fixture.open().propose_roles(&roles, now()).unwrap();
    let missing = |wanted: &[(u64, u64)]| {
        let missing = fixture.open().proposal().unwrap().missing();
        let missing: Vec<_> = missing
            .iter()
            .map(|missing| (missing.root, missing.signed))
            .collect();
        assert_eq!(missing, wanted);
    };
    missing(&[(1, 0), (2, 0)]);
    sign(&fixture.open(), &[third.clone(), signer()]).await;
    missing(&[(1, 0), (2, 1)]);
    sign(&fixture.open(), &fixture.roots[..1]).await;
    sign(&fixture.open(), &fixture.roots[..1]).await;
    missing(&[(1, 1)]);
    let refused = fixture.open().publish(&online, now()).await;
    assert!(matches!(refused, Err(TufError::Missing(_))));
    sign(&fixture.open(), &fixture.roots[1..]).await;
    missing(&[]);
    fixture.open().publish(&online, now()).await.unwrap();
    assert_eq!(fixture.reads().await.unwrap(), "");
    assert!(matches!(
        fixture.open().proposal(),
        Err(TufError::NothingPending(_))
    ));
}

#[tokio::test]
async fn a_change_that_waits_is_not_lost_to_another() {
    let fixture = Fixture::new().await;
    let files = [file("trusted_root.json", "new")];
    fixture.open().propose_targets(&files, now()).unwrap();
    let second = fixture.open().propose_roles(&fixture.roles(), now());
    assert!(matches!(second, Err(TufError::Pending(_))));
    fixture
        .open()
        .refresh(std::slice::from_ref(&fixture.online), now())
        .await
        .unwrap();
    assert_eq!(
        fixture.reads().await.unwrap(),
        "",
        "a refresh publishes no change"
    );
    fixture.open().drop_pending().unwrap();
    fixture.publish("newer").await;
    assert_eq!(fixture.reads().await.unwrap(), "newer");
}

#[tokio::test]
async fn a_change_to_a_state_that_is_no_more_is_refused() {
    let fixture = Fixture::new().await;
    let files = [file("trusted_root.json", "stale")];
    fixture.open().propose_targets(&files, now()).unwrap();
    sign(&fixture.open(), &fixture.signers()).await;
    let kept = tempfile::tempdir().unwrap();
    let (pending, aside) = (fixture.folder.path().join("pending"), kept.path().join("pending"));
    fs::rename(&pending, &aside).unwrap();
    fixture.publish("newer").await;
    fs::rename(&aside, &pending).unwrap();
    let refused = fixture.open().publish(&fixture.signers(), now()).await;
    assert!(matches!(refused, Err(TufError::Outdated(_))));
    assert_eq!(fixture.reads().await.unwrap(), "newer");
}
