//! Counters of one direction of a link: what came, what left, and what each rule did.

use std::time::Duration;

/// Counts since the link was made.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Datagrams handed in.
    pub received: u64,
    /// Bytes handed in.
    pub received_bytes: u64,
    /// Datagrams handed in whose fate was to be lost.
    pub lost: u64,
    /// Of those, because more was under way than [`super::WaitingLimit`] allows.
    pub lost_waiting: u64,
    /// Datagrams that are still to come out, copies included.
    pub under_way: u64,
    /// Datagrams handed out, copies included.
    pub delivered: u64,
    /// Bytes handed out.
    pub delivered_bytes: u64,
    /// Datagrams handed out after one that came in later: the effect of [`super::Fault::Reorder`].
    pub overtaken: u64,
    /// Time between handing in and handing out, over all `delivered`.
    pub transit_sum: Duration,
    /// The longest such time.
    pub transit_max: Duration,
    /// How much later than due datagrams were fetched, over all `delivered`: the caller's inaccuracy, not the
    /// link's.
    pub late_sum: Duration,
    /// The latest.
    pub late_max: Duration,
    /// Verdicts not told because nobody fetched the ones before.
    pub verdicts_missed: u64,
    /// One for each rule of the plan, in its order.
    pub rules: Vec<RuleStatistics>,
}

impl Statistics {
    /// The mean time between handing in and handing out.
    pub fn transit_mean(&self) -> Duration {
        mean(self.transit_sum, self.delivered)
    }

    /// How much later than due a datagram was fetched on average.
    pub fn late_mean(&self) -> Duration {
        mean(self.late_sum, self.delivered)
    }

    pub(super) fn count_delivery(
        &mut self,
        length: usize,
        transit: Duration,
        late: Duration,
        overtaken: bool,
    ) {
        self.delivered += 1;
        self.delivered_bytes += length as u64;
        self.overtaken += u64::from(overtaken);
        self.transit_sum = self.transit_sum.saturating_add(transit);
        self.transit_max = self.transit_max.max(transit);
        self.late_sum = self.late_sum.saturating_add(late);
        self.late_max = self.late_max.max(late);
    }
}

fn mean(sum: Duration, count: u64) -> Duration {
    let nanos = sum.as_nanos() / u128::from(count.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What one rule did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RuleStatistics {
    /// Datagrams that it was asked about: in its scope, and not already lost to another rule.
    pub asked: u64,
    /// Of those, the ones that it acted on. Of a [`super::Fault::Rebind`], the rebindings.
    pub acted: u64,
    /// Those that it would have lost, but for [`super::LinkPlan::max_consecutive`].
    pub spared: u64,
}
