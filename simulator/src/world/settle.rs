//! After the work: faults end, and then the system must become quiet and equal, or we say why not.

use super::{Ending, Event, World};
use crate::fact::{Fact, Phase};
use reconverge_strategies::{Content, PartitionId, Rendering, Replica, ReplicaId, Scope, Shown};

/// How far settling has come.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// Changes reported since the trial began.
    pub(super) changes: u64,
    /// When the last one was.
    pub(super) last_change_ns: u64,
    /// Messages lost since the trial began.
    pub(super) drops: u64,
    /// When healing began.
    pub(super) healed_ns: u64,
    /// What held when the last full round of talking began.
    round: Option<(u64, u64, Vec<u128>)>,
    /// Rounds that changed nothing and yet were not the last.
    owing_rounds: u32,
}

/// So many rounds of talking that change nothing are borne while somebody says that it owes somebody else something: a question may
/// have to be asked and answered before what it is about is told.
const MOST_OWING_ROUNDS: u32 = 8;

impl World<'_> {
    /// All links up, batteries full, processes running, no new edits.
    pub(super) fn heal(&mut self) {
        self.phase = Phase::Heal;
        self.emit(&Fact::Phase(Phase::Heal));
        self.settling.healed_ns = self.now_ns;
        let now_ns = self.now_ns;
        for device in 0..self.hosts.len() {
            if let Some(battery) = &mut self.hosts[device].battery {
                battery.advance(now_ns);
                battery.fill();
            }
            if !self.hosts[device].alive {
                self.revive(device);
            }
            self.rearm_battery(device);
            if !self.hosts[device].link_up {
                self.link_changed(device, true);
            }
        }
        self.agenda.schedule(now_ns + self.settle_ns, Event::Deadline);
    }

    /// Nothing in flight, nobody busy, every session open.
    pub(super) fn is_quiet(&self) -> bool {
        self.in_flight == 0
            && self.dialling == 0
            && self.ending.is_none()
            && self.hosts.iter().all(|host| host.running() && host.idle())
            && self.pairs.iter().all(|pair| pair.is_open())
    }

    fn fingerprints(&self) -> Vec<u128> {
        let of = |partition: PartitionId| {
            let holders = self.holders.of(partition).iter();
            holders.map(move |device| self.fingerprint(*device as usize, partition))
        };
        self.holders.partitions().flat_map(of).collect()
    }

    fn fingerprint(&self, device: usize, partition: PartitionId) -> u128 {
        self.hosts[device].replica.fingerprint(partition)
    }

    /// What a replica in a device's seat shows, partition by partition that the device holds.
    pub(super) fn held_fingerprints(&self, device: usize, replica: &dyn Replica) -> Vec<u128> {
        let holds = |partition: &_| self.holders.holds(device as u32, *partition);
        self.holders
            .partitions()
            .filter(holds)
            .map(|partition| replica.fingerprint(partition))
            .collect()
    }

    /// Whether another replica shows what a device's own shows, in all that it holds.
    pub(super) fn shows_the_same(&self, device: usize, other: &dyn Replica) -> bool {
        let own = self.hosts[device].replica.as_ref();
        self.held_fingerprints(device, other) == self.held_fingerprints(device, own)
    }

    /// All is quiet: if the last full round of talking changed nothing and lost nothing, that was it; else there is another one.
    pub(super) fn settle_step(&mut self) {
        let now = (self.settling.changes, self.settling.drops, self.fingerprints());
        if self.settling.round.as_ref() == Some(&now) {
            let difference = self.difference();
            let patient = self.settling.owing_rounds < MOST_OWING_ROUNDS;
            if difference.is_none() || !patient || !self.owes_anything() {
                self.ending = Some(difference.map_or(Ending::Quiescent, Ending::Diverged));
                return;
            }
            self.settling.owing_rounds += 1;
        }
        self.settling.round = Some(now);
        for pair in 0..self.pairs.len() {
            for side in 0..2 {
                self.sync_due(pair, side);
            }
        }
    }

    /// Whether a replica says that it owes one of its peers something.
    fn owes_anything(&self) -> bool {
        self.pairs.iter().any(|pair| {
            let [first, second] = pair.ends;
            [(first, second), (second, first)].into_iter().any(|(device, peer)| {
                self.hosts[device as usize].replica.pending(ReplicaId(peer)).edits > 0
            })
        })
    }

    pub(super) fn deadline(&mut self) {
        self.ending = Some(match self.difference() {
            Some(difference) => Ending::Diverged(difference),
            None => {
                Ending::Failed("still talking at the deadline, though all show the same".into())
            }
        });
    }

    /// From the beginning of healing to the last change; 0 where nothing was left to do.
    pub fn settle_time_ns(&self) -> u64 {
        self.settling.last_change_ns.saturating_sub(self.settling.healed_ns)
    }

    /// Which replicas differ, and in what; `None` where all that hold a partition show the same of it.
    fn difference(&self) -> Option<String> {
        self.holders.partitions().find_map(|partition| self.difference_in(partition))
    }

    fn difference_in(&self, partition: PartitionId) -> Option<String> {
        let reference = self.holders.reference(partition) as usize;
        let expected = self.fingerprint(reference, partition);
        let holders = self.holders.of(partition).iter().map(|device| *device as usize);
        let odd: Vec<usize> =
            holders.filter(|device| self.fingerprint(*device, partition) != expected).collect();
        let first = *odd.first()?;
        let render = |device: usize| {
            let mut rendering = Rendering::new();
            let scope = Scope::Partition(partition);
            self.hosts[device].replica.render(scope, &mut rendering);
            rendering
        };
        let (expected, found) = (render(reference), render(first));
        let cells: std::collections::BTreeSet<_> =
            expected.iter().chain(found.iter()).map(|(cell, _)| cell).collect();
        let mut differing = cells.iter().filter(|cell| expected.get(**cell) != found.get(**cell));
        let count = differing.clone().count();
        let where_it_differs = match differing.next() {
            Some(cell) => format!(
                "record {} field {}: r{reference} shows {}, r{first} shows {}",
                cell.record.0,
                cell.field.0,
                shown_text(expected.get(*cell)),
                shown_text(found.get(*cell)),
            ),
            None => "fingerprints, though both show the same".into(),
        };
        let names: Vec<String> = odd.iter().map(|device| format!("r{device}")).collect();
        let names = names.join(" ");
        Some(format!("{names} differ from r{reference} in {count} cells, first {where_it_differs}"))
    }
}

fn shown_text(shown: Option<&Shown>) -> String {
    let contents: Vec<String> = match shown {
        None => return "nothing".into(),
        Some(shown) => shown.contents().map(content_text).collect(),
    };
    contents.join(" or ")
}

/// A content in few words.
fn content_text(content: &Content) -> String {
    let text = match content {
        Content::Register(None) => "nothing".into(),
        Content::Register(Some(value)) => format!("{:?}", value.as_str()),
        Content::Counter(sum) => sum.to_string(),
        Content::Set(elements) => {
            let elements: Vec<&str> = elements.iter().map(|element| element.as_str()).collect();
            format!("{{{}}}", elements.join(", "))
        }
        Content::Text(text) => format!("{text:?}"),
    };
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
