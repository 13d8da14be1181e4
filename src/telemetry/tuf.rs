//! Metrics of the TUF repository.

use prometheus::{IntGauge, IntGaugeVec};

use super::Maker;
use crate::trust::tuf::Standing;

/// How long the repository's metadata still counts.
pub(super) struct TufMetrics {
    expiry: IntGaugeVec,
    unpublished: IntGauge,
}

impl TufMetrics {
    pub(super) fn new(make: &Maker) -> Result<Self, prometheus::Error> {
        Ok(Self {
            expiry: make.gauges(
                "mayfly_tuf_expiry_timestamp_seconds",
                "When the metadata of a role ends, since the Unix epoch: clients refuse the TUF repository then",
                &["role"],
            )?,
            unpublished: make.gauge(
                "mayfly_tuf_unpublished",
                "Certificates and keys in force that the trusted root in the TUF repository lacks",
            )?,
        })
    }

    pub(super) fn stands(&self, roles: &[Standing], unpublished: usize) {
        self.unpublished
            .set(i64::try_from(unpublished).unwrap_or(i64::MAX));
        for role in roles {
            let end = i64::try_from(role.end.unix_seconds()).unwrap_or(i64::MAX);
            self.expiry.with_label_values(&[role.role.to_string()]).set(end);
        }
    }
}
