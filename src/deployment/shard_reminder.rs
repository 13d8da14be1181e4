//! Reminds operators of the next shard while there is time.

use std::{sync::Arc, time::Duration};

use tokio::time::{self, MissedTickBehavior};

use crate::{
    clock::{Clock, SystemClock},
    issue::Authority,
    log::Outlook,
};

/// How often.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Says once a day, from tomorrow on, if certificates will have no shard soon; the configuration's warnings say it at
/// the start. Ends only by being dropped.
pub async fn remind_of_shards(authority: Arc<Authority>) {
    let mut day = time::interval_at(time::Instant::now() + EVERY, EVERY);
    day.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        day.tick().await;
        let outlook = authority
            .log()
            .embedded()
            .map(|shards| shards.outlook(SystemClock.now()));
        if let Some((what, suggestion)) = outlook.and_then(Outlook::warning) {
            tracing::warn!("{what}. {suggestion}");
        }
    }
}
