//! Where sightings go: standard output, or a webhook.

use std::cell::RefCell;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Serialize;

use super::super::failure::Failure;
use crate::output::Deliveries;

/// A receiver that takes longer will get the same again.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Most lines in one request.
const MAX_LINES: usize = 1000;

pub(super) enum Delivery {
    Output(RefCell<Deliveries>),
    Webhook { client: Client, url: Url },
}

impl Delivery {
    pub(super) fn new(webhook: Option<&str>) -> Result<Delivery, Failure> {
        let Some(webhook) = webhook else {
            return Ok(Delivery::Output(RefCell::default()));
        };
        let url = Url::parse(webhook).map_err(Failure::usage)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Failure::usage("--webhook takes an http or https URL"));
        }
        let client = Client::builder().timeout(TIMEOUT).redirect(Policy::none());
        let client = client.user_agent(concat!("ct-log/", env!("CARGO_PKG_VERSION")));
        let client = client.build()?;
        Ok(Delivery::Webhook { client, url })
    }

    /// Returns when all of them were taken.
    pub(super) async fn deliver(&self, items: &[impl Serialize]) -> Result<(), Failure> {
        for items in items.chunks(MAX_LINES) {
            let mut lines = Vec::new();
            for item in items {
                serde_json::to_writer(&mut lines, item)?;
                lines.push(b'\n');
            }
            self.send(lines).await?;
        }
        Ok(())
    }

    pub(super) async fn deliver_line(&self, item: &impl Serialize) -> Result<(), Failure> {
        self.deliver(std::slice::from_ref(item)).await
    }

    async fn send(&self, lines: Vec<u8>) -> Result<(), Failure> {
        match self {
            Delivery::Output(output) => Ok(output.borrow_mut().deliver(&lines, TIMEOUT)?),
            Delivery::Webhook { client, url } => {
                let request = client
                    .post(url.clone())
                    .header(CONTENT_TYPE, "application/x-ndjson");
                // The URL may hold a secret, so an error does not repeat it.
                let answer = request.body(lines).send().await;
                let answer =
                    answer.map_err(|error| format!("the webhook failed: {}", error.without_url()))?;
                if answer.status().is_success() {
                    return Ok(());
                }
                Err(format!("the webhook answered {}", answer.status()).into())
            }
        }
    }
}
