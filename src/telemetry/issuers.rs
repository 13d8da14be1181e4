//! Metrics of the trusted issuers. Labels are names from the issuer file; what is no longer in it is dropped.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounterVec, IntGaugeVec};

use super::Maker;
use crate::token::IssuerStatus;

/// Reads how each configured issuer and pattern stands.
pub type IssuerStatuses = Arc<dyn Fn() -> Vec<IssuerStatus> + Send + Sync>;

/// What is known about the issuers, read at each scrape.
pub(super) struct IssuerMetrics {
    usable: IntGaugeVec,
    fetches: IntCounterVec,
    read: IssuerStatuses,
    /// One scrape at a time: another would find the series half made.
    scrape: Mutex<()>,
}

impl IssuerMetrics {
    pub(super) fn new(make: &Maker, read: IssuerStatuses) -> Result<Self, prometheus::Error> {
        Ok(Self {
            usable: make.gauges(
                "mayfly_issuer_usable",
                "Whether tokens of an issuer can be verified now; 1 for patterns, whose keys are fetched on demand",
                &["issuer"],
            )?,
            fetches: make.counters(
                "mayfly_issuer_key_fetches_total",
                "Fetches of an issuer's keys",
                &["issuer", "outcome"],
            )?,
            read,
            scrape: Mutex::default(),
        })
    }

    /// What `gather` gives while the series say how the issuers stand now.
    pub(super) fn refreshed<T>(&self, gather: impl FnOnce() -> T) -> T {
        let _scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh();
        gather()
    }

    fn refresh(&self) {
        self.usable.reset();
        self.fetches.reset();
        for issuer in (self.read)() {
            let name = issuer.name.as_str();
            let usable = issuer.keys.usable().is_ok();
            self.usable.with_label_values(&[name]).set(usable.into());
            self.fetches
                .with_label_values(&[name, "succeeded"])
                .inc_by(issuer.fetched);
            self.fetches
                .with_label_values(&[name, "failed"])
                .inc_by(issuer.failed);
        }
    }
}
