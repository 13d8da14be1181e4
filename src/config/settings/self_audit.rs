//! `log.self-audit` and `log.self-audit-interval`.

use std::time::Duration;

use ct_log::remote::{RemoteLog, TlsTrust};
use url::Url;

use crate::{
    config::{fields::Fields, problem::Problems},
    log::self_audit::SelfAudit,
};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);

/// With a longer one an alarm could come later than a minute after the SCT.
const MAX_INTERVAL: u64 = 15;

/// `None` if it is wrong; `Some(None)` if it is off.
pub(super) fn read(fields: &Fields<'_>, problems: &mut Problems) -> Option<Option<SelfAudit>> {
    let interval = interval(fields, problems);
    let Some(text) = fields.text("self-audit", problems) else {
        let interval = interval?;
        return Some(Some(SelfAudit { url: None, interval }));
    };
    if text.value == "off" {
        return Some(None);
    }
    let usable = RemoteLog::new(text.value, TlsTrust::System).is_ok();
    let url = Url::parse(text.value).ok().filter(|_| usable);
    if url.is_none() {
        let what = format!("`{}` is not the URL of a server", text.value);
        let suggestion = "Write https://ca.example.com, to which the path of each log is added, or `off`";
        problems.report(&text.place, what, suggestion);
    }
    let url = Some(url?);
    let interval = interval?;
    Some(Some(SelfAudit { url, interval }))
}

fn interval(fields: &Fields<'_>, problems: &mut Problems) -> Option<Duration> {
    let Some(text) = fields.text("self-audit-interval", problems) else {
        return Some(DEFAULT_INTERVAL);
    };
    let seconds = text
        .value
        .strip_suffix('s')
        .and_then(|seconds| seconds.parse().ok());
    let seconds = seconds.filter(|seconds| (1..=MAX_INTERVAL).contains(seconds));
    if seconds.is_none() {
        let what = format!("`{}` is not a time from 1s to {MAX_INTERVAL}s", text.value);
        problems.report(&text.place, what, "Write 10s");
    }
    seconds.map(Duration::from_secs)
}
