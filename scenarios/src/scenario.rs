//! A scenario, resolved: every value present, in base units. Times are nanoseconds, sizes bytes, rates bits per second, powers
//! milliwatts, energies millijoules.

/// A world and what to run in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What this scenario is meant to show, in prose.
    pub analysis: String,
    /// Its name, also that of its output folder: letters, digits, `-`, `_`.
    pub name: String,
    /// Length of the work phase.
    pub duration_ns: u64,
    /// Longest time that settling may take after it.
    pub settle_ns: u64,
    /// How far apart the rows of `timeline.csv` are; nothing else depends on it.
    pub timeline_step_ns: u64,
    /// Number of seeds where the command names none.
    pub seeds: u32,
    /// Names or globs of the strategies to compare.
    pub strategies: Vec<String>,
    /// The devices, in order; replicas are numbered through.
    pub groups: Vec<Group>,
    /// Who talks to whom.
    pub topology: Topology,
    /// The document.
    pub data: Data,
    /// What users do to it.
    pub workload: Workload,
    /// What carries the messages.
    pub transport: Transport,
    /// Gates.
    pub budgets: Vec<Budget>,
}

/// Devices that are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How many devices; at least 1.
    pub count: u32,
    /// The hardware.
    pub device: Device,
    /// The access link.
    pub link: Link,
    /// When that link is unusable; several processes add up.
    pub outages: Vec<Outage>,
    /// When the devices speak.
    pub schedule: Schedule,
    /// How wrong their clocks are.
    pub clock: ClockError,
    /// The user in front of each device; none on servers.
    pub user: Option<User>,
    /// How often the operating system kills the process; none where absent.
    pub kills: Option<Crashes>,
    /// How often power fails, which takes what was not synced to storage; never where absent. A battery that runs empty is none: the
    /// device shuts down in order.
    pub power_losses: Option<Crashes>,
    /// How many of the document's partitions each device holds; all where absent.
    pub partitions_held: Option<u32>,
}

/// Hardware of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Name of the built-in profile it starts from.
    pub profile: String,
    /// The battery; none for devices on mains.
    pub battery: Option<Battery>,
    /// The processor.
    pub cpu: Cpu,
    /// The storage that holds journal and snapshots.
    pub storage: Storage,
}

/// A battery, what drains it besides synchronisation, and when it is charged.
#[derive(Clone, Debug, PartialEq)]
pub struct Battery {
    /// Usable energy when full.
    pub capacity_mj: u64,
    /// Charge at the start of a trial.
    pub initial_permille: u32,
    /// Drain while nobody uses the device.
    pub idle_mw: u64,
    /// Drain on top of that while the user is present (screen and foreground work).
    pub screen_mw: u64,
    /// Power of the charger.
    pub charge_mw: u64,
    /// When it is plugged in, each day.
    pub charging: Vec<Window>,
    /// Spread of each plug-in and plug-out, uniform in ± this.
    pub charging_jitter_ns: u64,
    /// Below this charge the device saves energy (schedules may ask).
    pub saver_permille: u32,
    /// A dead device comes back once charged to this.
    pub revive_permille: u32,
}

/// Cost of a strategy's work.
#[derive(Clone, Debug, PartialEq)]
pub struct Cpu {
    /// Time for one unit of work.
    pub unit_ns: u64,
    /// Power above idle while working.
    pub active_mw: u64,
}

/// Cost of making things durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Time of one barrier (fsync).
    pub sync_ns: u64,
    /// Sequential write rate, bytes per second.
    pub write_bytes_per_s: u64,
    /// Power above idle while writing or syncing.
    pub active_mw: u64,
    /// When what was written is synced.
    pub durability: Durability,
}

/// When the journal is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After every edit, and before anything leaves the device.
    Edit,
    /// Before anything leaves the device, and at the latest after this time.
    Output {
        /// Longest time that an input stays unsynced.
        interval_ns: u64,
    },
    /// After this time and never before: what leaves the device may stand on what a loss of power takes. After one, the replica
    /// comes back as a new incarnation that knows less than its peers may.
    Unsafe {
        /// Longest time that an input stays unsynced.
        interval_ns: u64,
    },
}

/// An access link between a device and the network's core.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Name of the built-in network it starts from.
    pub profile: String,
    /// Rate towards the core, bits per second.
    pub up_bps: u64,
    /// Rate towards the device, bits per second.
    pub down_bps: u64,
    /// Fixed part of the one-way delay.
    pub delay_ns: u64,
    /// Variable part of the one-way delay, drawn for each packet.
    pub jitter: DurationLaw,
    /// Loss of packets.
    pub loss: Loss,
    /// Share of datagrams that arrive twice, in parts per million.
    pub duplicate_ppm: u32,
    /// Largest packet, headers included.
    pub mtu_bytes: u32,
    /// The radio that serves it; none for cables.
    pub radio: Option<Radio>,
}

/// How packets get lost.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// Each for itself.
    Independent {
        /// Share of packets lost, in parts per million.
        ppm: u32,
    },
    /// Gilbert–Elliott in continuous time: the state changes whether or not packets are sent.
    Bursts {
        /// Mean stay in the good state.
        good_ns: u64,
        /// Mean stay in the bad state.
        bad_ns: u64,
        /// Share lost in the good state.
        good_ppm: u32,
        /// Share lost in the bad state.
        bad_ppm: u32,
    },
}

/// A radio that is expensive to wake and slow to fall asleep.
#[derive(Clone, Debug, PartialEq)]
pub struct Radio {
    /// Time from idle to connected.
    pub promotion_ns: u64,
    /// Power meanwhile.
    pub promotion_mw: u64,
    /// How long it stays connected after the last transfer.
    pub tail_ns: u64,
    /// Power meanwhile.
    pub tail_mw: u64,
    /// Power of a transfer, before its rate.
    pub active_mw: u64,
    /// Added for each Mbit/s sent, in microwatts.
    pub up_uw_per_mbps: u64,
    /// Added for each Mbit/s received, in microwatts.
    pub down_uw_per_mbps: u64,
    /// Longest wait of a packet for an idle device, uniform from 0 (paging cycle).
    pub paging_ns: u64,
}

/// When a link is unusable.
#[derive(Clone, Debug, PartialEq)]
pub struct Outage {
    /// Name of the built-in outage it starts from; empty for one that is spelt out.
    pub profile: String,
    /// The process.
    pub model: OutageModel,
}

/// The process that makes outages.
#[derive(Clone, Debug, PartialEq)]
pub enum OutageModel {
    /// At fixed times of each day.
    Windows {
        /// From and until.
        windows: Vec<Window>,
        /// Spread of each beginning and end, uniform in ± this, drawn for each device.
        jitter_ns: u64,
    },
    /// Alternating renewal: usable for `up`, unusable for `down`, starting at a random moment of its stationary law's cycle.
    Renewal {
        /// Usable.
        up: DurationLaw,
        /// Unusable.
        down: DurationLaw,
        /// Only within these times of each day; always where empty.
        within: Vec<Window>,
    },
}

/// A stretch of each day, in nanoseconds from midnight; `from < until`, which may lie in the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Begins.
    pub from_ns: u64,
    /// Ends.
    pub until_ns: u64,
}

/// The law of a random duration.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationLaw {
    /// Always the same.
    Fixed {
        /// The duration.
        ns: u64,
    },
    /// Uniform between the two.
    Uniform {
        /// Shortest.
        from_ns: u64,
        /// Longest.
        until_ns: u64,
    },
    /// Exponential.
    Exponential {
        /// Mean.
        mean_ns: u64,
    },
    /// Lognormal.
    Lognormal {
        /// Median.
        median_ns: u64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// Weibull; a shape below 1 is heavy-tailed, 1 is exponential.
    Weibull {
        /// Mean (not the scale).
        mean_ns: u64,
        /// Shape.
        shape: f64,
    },
}

/// When a device speaks, and to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Name of the built-in schedule: its kind.
    pub kind: ScheduleKind,
    /// `batched`, `battery-aware`: how long the oldest unsent edit waits.
    pub age_ns: u64,
    /// `periodic`, `rounds`, `random-peer`: the interval; `battery-aware`: the interval while saving energy.
    pub interval_ns: u64,
}

/// The kinds of schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleKind {
    /// After every change.
    Immediate,
    /// At fixed intervals with every peer, each device with its own random phase.
    Periodic,
    /// At fixed intervals with every peer; of n devices, device number i has the phase i/n of its interval.
    Rounds,
    /// At fixed intervals with one peer drawn uniformly, each device with its own random phase.
    RandomPeer,
    /// When the oldest unsent change has a certain age.
    Batched,
    /// As batched; periodic below the saver threshold, immediate while charging.
    BatteryAware,
}

impl ScheduleKind {
    /// The name used in scenarios.
    pub fn name(self) -> &'static str {
        match self {
            ScheduleKind::Immediate => "immediate",
            ScheduleKind::Periodic => "periodic",
            ScheduleKind::Rounds => "rounds",
            ScheduleKind::RandomPeer => "random-peer",
            ScheduleKind::Batched => "batched",
            ScheduleKind::BatteryAware => "battery-aware",
        }
    }
}

/// How wrong a device's clock is. Each device draws its own error.
#[derive(Clone, Debug, PartialEq)]
pub struct ClockError {
    /// Distance of the time of day from the truth, either way.
    pub offset: DurationLaw,
    /// Standard deviation of the frequency error, cut at five times this.
    pub drift_ppm: u32,
}

/// The person in front of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// The part of each day in which the person may be present.
    pub awake: Window,
    /// How long the person stays.
    pub session: DurationLaw,
    /// How long the person is away in between.
    pub gap: DurationLaw,
    /// How long the person thinks over a prompt.
    pub think: DurationLaw,
}

/// Sudden ends of a process: kills, as by an operating system short of memory, or losses of power.
#[derive(Clone, Debug, PartialEq)]
pub struct Crashes {
    /// Mean time between two (Poisson).
    pub mean_ns: u64,
    /// How long until the process runs again.
    pub restart_ns: u64,
}

/// Who talks to whom. Devices are numbered through the groups, from 0. In a star the others dial the hub; else of two neighbours
/// the lower number dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Everybody with the hub.
    Star {
        /// The group of one device that is the hub.
        hub: String,
    },
    /// Everybody with everybody.
    Mesh,
    /// Everybody with its parent and its children: the parent of device n is (n − 1) / `branching`, rounded down.
    Tree {
        /// How many children a device has at most; at least 1.
        branching: u32,
    },
    /// Everybody with the next, and the last with the first.
    Ring,
    /// Those that are named.
    Edges {
        /// The two ends of each edge, as written: each edge once, of two devices, and together they connect all.
        edges: Vec<[u32; 2]>,
    },
}

impl Topology {
    /// The name of its kind, as used in scenarios.
    pub fn name(&self) -> &'static str {
        match self {
            Topology::Star { .. } => "star",
            Topology::Mesh => "mesh",
            Topology::Tree { .. } => "tree",
            Topology::Ring => "ring",
            Topology::Edges { .. } => "edges",
        }
    }
}

/// The document that every replica holds at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Number of records.
    pub records: u32,
    /// Bytes of user content in each record at the start, about.
    pub record_bytes: u32,
    /// The fields of every record, in order.
    pub fields: Vec<Field>,
    /// Number of partitions; at least 1 and no more than records. Record r is in partition r mod this.
    pub partitions: u32,
    /// A replica without any contact for longer than this is taken to be gone.
    pub retention_ns: u64,
}

/// A field of every record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: FieldKind,
    /// Whether a user wants to be asked about its concurrent changes rather than see one of them vanish.
    pub critical: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// One value.
    Register,
    /// A number that people add to.
    Counter,
    /// Distinct values.
    Set,
    /// A text.
    Text,
}

/// What users do.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Rate of edits of one user while present (Poisson); without effect where there is a rhythm.
    pub edits_per_hour: f64,
    /// Edits at exact times instead.
    pub rhythm: Option<Rhythm>,
    /// Exponent of the Zipf law over records; 0 is uniform.
    pub zipf: f64,
    /// Shares of the kinds of edit.
    pub mix: Mix,
    /// Mean bytes of a put value.
    pub value_bytes: u32,
    /// Mean words of an inserted text.
    pub splice_words: u32,
    /// For tests: every inserted character is unique and every Add is +1 or −1.
    pub audit: bool,
}

/// Edits at exact intervals, on every device of a group that has a user, whether or not that user is present. Of n devices, number i
/// (from 0) makes its edit number k (from 1) at `every` · (k + (i + ½)/n): with the schedule `rounds` at the same interval, half a slot
/// after it has spoken and before the next one speaks. In the first interval all have spoken once and nobody has edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// The interval.
    pub every_ns: u64,
    /// How many edits each device makes.
    pub count: u32,
}

/// Relative shares of the kinds of edit; kinds whose field kind the data lack get none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Puts.
    pub put: u32,
    /// Adds.
    pub add: u32,
    /// Inserts.
    pub insert: u32,
    /// Removes.
    pub remove: u32,
    /// Splices.
    pub splice: u32,
    /// Deletes of records.
    pub delete: u32,
}

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Sessions or datagrams.
    pub kind: TransportKind,
    /// Encryption.
    pub encryption: Encryption,
}

/// Sessions or datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// In order and complete, or lost with everything in flight (TCP).
    Session,
    /// Each for itself (UDP).
    Datagram,
}

/// Encryption of what is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// None.
    None,
    /// TLS 1.3 (DTLS 1.3 over datagrams).
    Tls13,
}

/// A gate on a figure of every trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Name or glob of the strategies it speaks of.
    pub strategy: String,
    /// A column of `trials.csv`.
    pub metric: String,
    /// Largest value that is allowed.
    pub max: Option<u64>,
    /// Smallest value that is allowed.
    pub min: Option<u64>,
}
