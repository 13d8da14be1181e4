//! A token that goes away and comes back.

use std::{
    fs,
    time::{Duration, Instant},
};

use mayfly::key::SigningKey;
use tokio::time::sleep;

use crate::token::{alone, open, sign};

/// The key is left alone for 16 seconds at most.
const PATIENCE: Duration = Duration::from_secs(40);

async fn signs_again(key: &dyn SigningKey) {
    let began = Instant::now();
    while let Err(error) = sign(key).await {
        assert!(began.elapsed() < PATIENCE, "{error}");
        sleep(Duration::from_millis(200)).await;
    }
}

#[test]
#[ignore = "needs SoftHSM2"]
fn a_token_that_comes_back_signs_again() {
    alone("away::a_token_that_comes_back_signs_again", async |token| {
        token.make_key("EC:prime256v1", "ca", "01");
        let key = open(&token.settings("token=ca;object=ca")).await.unwrap();
        sign(&*key).await.unwrap();
        let (tokens, elsewhere) = (token.path("tokens"), token.path("elsewhere"));
        fs::rename(&tokens, &elsewhere).unwrap();
        for _ in 0..10 {
            sign(&*key).await.unwrap_err();
            sleep(Duration::from_millis(300)).await;
        }
        fs::rename(&elsewhere, &tokens).unwrap();
        signs_again(&*key).await;
    });
}

/// As at a rotation in the running program.
#[test]
#[ignore = "needs SoftHSM2"]
fn a_token_that_is_made_later_is_found() {
    alone("away::a_token_that_is_made_later_is_found", async |token| {
        token.make_key("EC:prime256v1", "ca", "01");
        let old = open(&token.settings("token=ca;object=ca")).await.unwrap();
        let later = token.another("later");
        later.make_key("EC:secp384r1", "ca", "01");
        let new = open(&later.settings("token=later;object=ca")).await.unwrap();
        for _ in 0..20 {
            sign(&*new).await.unwrap();
            sign(&*old).await.unwrap();
        }
        drop(old);
        sign(&*new).await.unwrap();
    });
}
