//! What one trial comes to: a flat row, its histograms, and its course over time.

use hdrhistogram::Histogram;
use serde::Serialize;

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every replica shows the same.
    Ok,
    /// Replicas differ at the end.
    Diverged,
    /// The strategy cannot do what the scenario asks.
    Unsupported,
    /// A replica misbehaved: malformed bytes, endless exchange, reports that contradict what is shown.
    Failed,
}

impl Status {
    /// The word used in files.
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Diverged => "diverged",
            Status::Unsupported => "unsupported",
            Status::Failed => "failed",
        }
    }
}

/// One row of `trials.csv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the scenario.
    pub scenario: String,
    /// Which point of a sweep; `0` where nothing is swept.
    pub cell: String,
    /// Name of the strategy.
    pub strategy: String,
    /// The schedule that its devices followed, as in `batched 30s`.
    pub schedule: String,
    /// The seed.
    pub seed: u64,
    /// How it ended.
    pub status: Status,
    /// Why, where it did not end well; else empty.
    pub reason: String,
    /// Digest of everything that happened; 0 where nothing ran.
    pub digest: u128,
    /// Digest of the world that the strategy met (class A): equal for all strategies of a cell and seed.
    pub world_digest: u128,
    /// Edits that the workload asked for.
    pub edits_asked: u64,
    /// The figures; none where nothing ran.
    pub metrics: Option<Metrics>,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The figures of a trial, as defined in the documentation of metrics. A figure without any observation (a percentile of
        /// nothing) is `None`.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Metrics {
            $($(#[$doc])* pub $name: Option<u64>,)*
        }

        impl Metrics {
            /// Names of the columns, in order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// Values of the columns, in order.
            pub fn values(&self) -> impl Iterator<Item = Option<u64>> {
                [$(self.$name,)*].into_iter()
            }

            /// The value of a column; the outer `None` where there is no such column.
            pub fn get(&self, name: &str) -> Option<Option<u64>> {
                Some(match name {
                    $(stringify!($name) => self.$name,)*
                    _ => return None,
                })
            }
        }
    };
}

metrics! {
    /// Never made: device dead or not able to take it.
    edits_blocked,
    /// Never made: no effect in the author's view.
    edits_void,
    /// Effect in the final rendering.
    edits_kept,
    /// Kept beside a rival as an open conflict.
    edits_surfaced,
    /// An authority refused it.
    edits_refused,
    /// Lost with an unsynced journal.
    edits_crashed,
    /// Exists only on a device that is gone or was cut off by the deadline.
    edits_stranded,
    /// Overwritten by someone who had been shown it.
    edits_superseded,
    /// Replaced or dropped, and nobody who did so had been shown it.
    edits_lost,
    /// Deleted instances that came back with no concurrent edit that would keep them.
    deletes_resurrected,
    /// Adds that are missing in the final sum.
    increments_lost,
    /// Adds that count more than once in the final sum.
    increments_doubled,
    /// Inserted characters that vanished although no deleter had been shown them.
    text_chars_lost,
    /// Characters shown more often than inserted.
    text_chars_doubled,
    /// Runs broken up by a concurrent run.
    text_runs_interleaved,
    /// Conflicts reported to applications.
    conflicts,
    /// Prompts that users saw.
    prompts,
    /// Seconds that a prompt stood open, median.
    prompt_open_s_p50,
    /// Answers to prompts.
    edits_reactive,
    /// First shown − made, over (edit, interested user seat): mean.
    visible_us_mean,
    /// The same, median.
    visible_us_p50,
    /// The same, 90th percentile.
    visible_us_p90,
    /// The same, 99th percentile.
    visible_us_p99,
    /// The same, 99.9th percentile.
    visible_us_p999,
    /// The same, largest.
    visible_us_max,
    /// Settled − made, over the same pairs, replaced edits included: mean.
    settled_us_mean,
    /// The same, median.
    settled_us_p50,
    /// The same, 90th percentile.
    settled_us_p90,
    /// The same, 99th percentile.
    settled_us_p99,
    /// The same, 99.9th percentile.
    settled_us_p999,
    /// The same, largest.
    settled_us_max,
    /// Pairs that never settle, in thousandths.
    unsettled_permille,
    /// Of a probabilistic strategy: pairs of a replica and an edit that the replica does not hold at the end, though others do, in millionths.
    residue_ppm,
    /// Settled on the last seat − made, per edit: mean.
    everywhere_us_mean,
    /// The same, median.
    everywhere_us_p50,
    /// The same, 90th percentile.
    everywhere_us_p90,
    /// The same, 99th percentile.
    everywhere_us_p99,
    /// The same, 99.9th percentile.
    everywhere_us_p999,
    /// The same, largest.
    everywhere_us_max,
    /// End of a disruption until both sides are level again: mean.
    reconverge_us_mean,
    /// The same, median.
    reconverge_us_p50,
    /// The same, 90th percentile.
    reconverge_us_p90,
    /// The same, 99th percentile.
    reconverge_us_p99,
    /// The same, 99.9th percentile.
    reconverge_us_p999,
    /// The same, largest.
    reconverge_us_max,
    /// Disruptions whose recovery was cut by the end of the phase.
    reconverge_censored,
    /// Share of seat-time in which a seat lacks a committed edit.
    diverged_permille,
    /// Start of heal to the last change.
    settle_us,
    /// User's action until the own replica shows it: mean.
    local_us_mean,
    /// The same, median.
    local_us_p50,
    /// The same, 90th percentile.
    local_us_p90,
    /// The same, 99th percentile.
    local_us_p99,
    /// The same, 99.9th percentile.
    local_us_p999,
    /// The same, largest.
    local_us_max,
    /// Local actions that took longer than 100 ms.
    local_over_100ms,
    /// Everything that access links of devices carried, both ways.
    bytes_wire,
    /// Of that, from devices.
    bytes_wire_up,
    /// Of that, to devices.
    bytes_wire_down,
    /// What strategies wrote.
    bytes_strategy,
    /// User content inside it.
    bytes_content,
    /// Of the wire bytes: packet headers and message framing.
    bytes_framing,
    /// Of the wire bytes: encryption of records.
    bytes_encryption,
    /// Of the wire bytes: connection and key set-up.
    bytes_handshake,
    /// Of the wire bytes: acknowledgements of the transport.
    bytes_ack,
    /// Of the wire bytes: sent again after loss.
    bytes_retransmitted,
    /// Data elements in all messages.
    elements_sent,
    /// The user's own content, once per edit and interested replica but the origin.
    bytes_user,
    /// In flight when a session was cut, or lost as datagrams.
    bytes_wasted,
    /// 1000 × bytes_wire / bytes_user.
    overhead_milli,
    /// Messages of strategies.
    messages,
    /// Sessions opened.
    sessions,
    /// Sessions that did not come about.
    sessions_failed,
    /// Mean over replicas at the end: user content.
    footprint_content_bytes,
    /// Mean over replicas at the end: metadata.
    footprint_metadata_bytes,
    /// Mean over replicas at the end: history.
    footprint_history_bytes,
    /// Largest total of one replica, looked at every hour and at the end.
    footprint_peak_bytes,
    /// Journals and snapshots.
    storage_written_bytes,
    /// Of that, own edits.
    storage_own_bytes,
    /// Of that, received messages.
    storage_received_bytes,
    /// Of that, snapshots.
    storage_snapshot_bytes,
    /// Mean per user device: records stored.
    records_held,
    /// Mean per user device: records its user edited.
    records_touched,
    /// Sum of work.
    work_units,
    /// Work done again after restarts.
    work_recovery_units,
    /// Energy of radios above idle, over battery devices.
    energy_radio_mj,
    /// Energy of processors for sync.
    energy_cpu_mj,
    /// Energy of storage for sync.
    energy_storage_mj,
    /// Sum of the three.
    energy_total_mj,
    /// Energy that the same devices use without sync: beside it, not in it.
    energy_baseline_mj,
    /// Radio energy of waking up.
    energy_radio_promotion_mj,
    /// Radio energy of transfers.
    energy_radio_transfer_mj,
    /// Radio energy of tails.
    energy_radio_tail_mj,
    /// Total / edits asked.
    energy_per_edit_uj,
    /// Time of radios above idle.
    radio_on_ms,
    /// Wake-ups of radios.
    radio_promotions,
    /// Lowest charge of any battery.
    battery_min_permille,
    /// Batteries that ran empty.
    battery_deaths,
    /// Time that devices were dead.
    dead_ms,
    /// Process kills that hit.
    kills,
    /// Losses of power that hit.
    power_losses,
}

/// Distributions of a trial, in microseconds, three significant digits. Percentiles are never averaged: histograms are merged.
#[derive(Clone, Debug)]
pub struct Histograms {
    /// First shown − made.
    pub visible: Histogram<u64>,
    /// Settled − made.
    pub settled: Histogram<u64>,
    /// Settled on the last seat − made.
    pub everywhere: Histogram<u64>,
    /// Recovery after a disruption.
    pub reconverge: Histogram<u64>,
    /// Local action until shown.
    pub local: Histogram<u64>,
}

impl Default for Histograms {
    fn default() -> Self {
        let new = || Histogram::new(3).expect("three significant digits are valid");
        Histograms {
            visible: new(),
            settled: new(),
            everywhere: new(),
            reconverge: new(),
            local: new(),
        }
    }
}

impl Metrics {
    /// Fills in the statistics of all times; those of an empty histogram stay `None`.
    pub fn spread(&mut self, histograms: &Histograms) {
        let spread = |histogram: &Histogram<u64>, slots: [&mut Option<u64>; 6]| {
            if histogram.is_empty() {
                return;
            }
            let [mean, p50, p90, p99, p999, max] = slots;
            *mean = Some(histogram.mean() as u64);
            *p50 = Some(histogram.value_at_quantile(0.5));
            *p90 = Some(histogram.value_at_quantile(0.9));
            *p99 = Some(histogram.value_at_quantile(0.99));
            *p999 = Some(histogram.value_at_quantile(0.999));
            *max = Some(histogram.max());
        };
        macro_rules! spread {
            ($histogram:ident: $($column:ident),*) => {
                spread(&histograms.$histogram, [$(&mut self.$column),*]);
            };
        }
        spread!(visible: visible_us_mean, visible_us_p50, visible_us_p90, visible_us_p99, visible_us_p999, visible_us_max);
        spread!(settled: settled_us_mean, settled_us_p50, settled_us_p90, settled_us_p99, settled_us_p999, settled_us_max);
        spread!(everywhere: everywhere_us_mean, everywhere_us_p50, everywhere_us_p90, everywhere_us_p99, everywhere_us_p999, everywhere_us_max);
        spread!(reconverge: reconverge_us_mean, reconverge_us_p50, reconverge_us_p90, reconverge_us_p99, reconverge_us_p999, reconverge_us_max);
        spread!(local: local_us_mean, local_us_p50, local_us_p90, local_us_p99, local_us_p999, local_us_max);
    }
}

impl Histograms {
    /// Each with its name as in `latency.csv`.
    pub fn named(&self) -> [(&'static str, &Histogram<u64>); 5] {
        [
            ("visible", &self.visible),
            ("settled", &self.settled),
            ("everywhere", &self.everywhere),
            ("reconverge", &self.reconverge),
            ("local", &self.local),
        ]
    }
}

/// One row of `timeline.csv`: the state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineRow {
    /// Virtual seconds since the start.
    pub at_s: u64,
    /// The device it speaks of; `None` for the whole trial.
    pub device: Option<u32>,
    /// Edits not yet shown by every interested seat (for a device: edits it lacks).
    pub edits_pending: u64,
    /// User seats that lack a committed edit (for a device: 0 or 1).
    pub seats_diverged: u64,
    /// Wire bytes since the start.
    pub bytes_wire: u64,
    /// Energy of sync since the start.
    pub energy_mj: u64,
    /// Usable access links of user devices.
    pub links_up: u64,
    /// Mean charge of the batteries; `None` without any.
    pub battery_permille: Option<u64>,
}

/// What it cost to run the trial, on a real clock. The only figures that differ from run to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Real time.
    pub wall_us: u64,
    /// Events of the agenda.
    pub events: u64,
}

/// Everything a trial leaves behind.
#[derive(Clone, Debug)]
pub struct TrialResult {
    /// The figures.
    pub row: Row,
    /// Where they come from.
    pub histograms: Histograms,
    /// Their course.
    pub timeline: Vec<TimelineRow>,
    /// What it took.
    pub timing: Timing,
}
