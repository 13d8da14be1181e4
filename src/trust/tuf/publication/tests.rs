//! Interrupted at each step.

use std::{mem, sync::Arc};

use super::*;
use crate::{
    clock::{Clock, SystemClock},
    issuer::ceremony::{KeyKind, generate_key},
    key::SoftwareKey,
    trust::tuf::{
        Repository, RoleKeys, Roles, TargetFile,
        folder::{pending_folder, public_folder},
    },
};

fn signer() -> Signer {
    let key = SoftwareKey::from_pkcs8_der(&generate_key(KeyKind::EcdsaP256).unwrap()).unwrap();
    Signer::new(Arc::new(key)).unwrap()
}

fn roles(signers: &[Signer; 3]) -> Roles {
    let [root, targets, online] = signers.each_ref().map(|signer| RoleKeys {
        keys: vec![signer.public().clone()],
        threshold: std::num::NonZeroU64::MIN,
    });
    Roles {
        root,
        targets,
        online,
        periods: Periods::default(),
    }
}

async fn sign(repository: &Repository, signers: &[Signer]) {
    let mut proposal = repository.proposal().unwrap();
    repository.sign(&mut proposal, signers).await.unwrap();
}

async fn publish(repository: &Repository, signers: &[Signer]) {
    sign(repository, signers).await;
    repository.publish(signers, SystemClock.now()).await.unwrap();
}

/// The file as a client reads it that has the first root.
async fn contents(public: &Path) -> String {
    let root = read(&public.join(FIRST_ROOT), LARGEST).unwrap();
    let (metadata, targets) = (url(public).unwrap(), url(&public.join(TARGETS)).unwrap());
    let client = RepositoryLoader::new(&root, metadata, targets)
        .transport(Disk)
        .load()
        .await
        .unwrap();
    let name = tough::TargetName::new("file").unwrap();
    let file = client.read_target(&name).await.unwrap().unwrap();
    String::from_utf8(file.into_vec().await.unwrap()).unwrap()
}

fn file(contents: &str) -> [TargetFile; 1] {
    [TargetFile {
        name: "file".to_owned(),
        contents: contents.as_bytes().to_vec(),
        sigstore: None,
    }]
}

/// The next state, in which every key is another, is made in one folder; in a copy of it before, the publication stops after
/// `step`, as if the power had gone.
async fn interrupted_after(step: u32) {
    // A name that is another in a URL.
    let folder = tempfile::Builder::new()
        .prefix("100% a folder")
        .tempdir()
        .unwrap();
    let (old, new) = ([signer(), signer(), signer()], [signer(), signer(), signer()]);
    let (place, proposed) = (
        public_folder(folder.path()),
        pending_folder(folder.path()).join(TARGETS),
    );
    let repository = Repository::create(folder.path(), &roles(&old), SystemClock.now()).unwrap();
    publish(&repository, &old).await;
    repository
        .propose_targets(&file("old"), SystemClock.now())
        .unwrap();
    publish(&repository, &old).await;

    repository.propose_roles(&roles(&new), SystemClock.now()).unwrap();
    sign(&repository, &[old.clone(), new.clone()].concat()).await;
    let next = repository.next(&new, SystemClock.now()).await.unwrap();
    let publication = Publication::begin(&place).unwrap();
    if step >= 1 {
        publication.write(&next, &proposed).unwrap();
    }
    if step >= 2 {
        publication.check(&next).await.unwrap();
    }
    match step {
        3 => publication.finish().unwrap(),
        _ => mem::forget(publication),
    }
    drop(repository);
    assert_eq!(contents(&place).await, "old");
    let versions = |repository: &Repository| repository.published().unwrap().standing()[0].version;

    // The next command finds everything in order, and what was pending as it was, or done.
    let repository = Repository::open(folder.path()).unwrap();
    match step {
        3 => assert!(matches!(repository.proposal(), Err(TufError::NothingPending(_)))),
        _ => {
            assert_eq!(versions(&repository), 1);
            repository.publish(&new, SystemClock.now()).await.unwrap();
        }
    }
    assert_eq!(versions(&repository), 2);
    assert_eq!(contents(&place).await, "old");
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 1, "nothing is left over");
}

#[tokio::test]
async fn an_interruption_at_any_step_leaves_the_old_state_or_the_new() {
    for step in 0..=3 {
        interrupted_after(step).await;
    }
}

#[tokio::test]
async fn what_a_client_would_refuse_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let signers = [signer(), signer(), signer()];
    let repository = Repository::create(folder.path(), &roles(&signers), SystemClock.now()).unwrap();
    publish(&repository, &signers).await;
    repository
        .propose_targets(&file("new"), SystemClock.now())
        .unwrap();
    sign(&repository, &signers).await;
    let mut next = repository.next(&signers, SystemClock.now()).await.unwrap();
    next.timestamp.signatures.clear();
    let publication = Publication::begin(&public_folder(folder.path())).unwrap();
    publication
        .write(&next, &pending_folder(folder.path()).join(TARGETS))
        .unwrap();
    let refused = publication.check(&next).await;
    assert!(matches!(refused, Err(TufError::Refused(_))), "nobody signed it");
}
