//! Where replicas sit in a test: seats, the document they start from, and what can happen to one of them.

use reconverge_strategies::*;
use std::fmt;

/// Records that tests edit.
pub const RECORDS: u32 = 3;

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Everybody with the hub, by its number.
    Star { hub: usize },
    /// Everybody with everybody.
    Mesh,
    /// Replica *n* with replicas 2*n* + 1 and 2*n* + 2.
    Tree,
    /// Everybody with the one before and the one after.
    Ring,
}

impl Topology {
    /// Whether two replicas out of so many are linked.
    fn links(self, a: usize, b: usize, count: usize) -> bool {
        let (low, high) = (a.min(b), a.max(b));
        a != b
            && match self {
                Topology::Star { hub } => a == hub || b == hub,
                Topology::Mesh => true,
                Topology::Tree => (high - 1) / 2 == low,
                Topology::Ring => high == low + 1 || low == 0 && high + 1 == count,
            }
    }
}

/// Everything about a test network that does not change.
pub struct Stage<'s> {
    pub strategy: &'s dyn Strategy,
    pub profile: Profile,
    pub topology: Topology,
    pub transport: Transport,
    pub schema: Schema,
    pub genesis: Vec<(EditId, Edit)>,
    peers: Vec<Vec<ReplicaId>>,
    members: Vec<ReplicaId>,
    partitions: u32,
}

/// The identity of the `n`-th replica: neither contiguous nor from zero, since no contract promises that.
pub fn id(n: usize) -> ReplicaId {
    ReplicaId(3 * n as u32 + 1)
}

/// The number of a replica.
pub fn number(id: ReplicaId) -> usize {
    (id.0 as usize - 1) / 3
}

impl<'s> Stage<'s> {
    /// A network of `count` replicas.
    pub fn new(
        strategy: &'s dyn Strategy,
        topology: Topology,
        transport: Transport,
        count: usize,
    ) -> Self {
        let profile = strategy.profile();
        let linked = |a: usize, b: usize| topology.links(a, b, count);
        let peers =
            (0..count).map(|a| (0..count).filter(|b| linked(a, *b)).map(id).collect()).collect();
        let schema = schema(&profile);
        let genesis = genesis(&schema);
        let members = (0..count).map(id).collect();
        let partitions = 1;
        Stage {
            strategy,
            profile,
            topology,
            transport,
            schema,
            genesis,
            peers,
            members,
            partitions,
        }
    }

    /// The same network, with the document in so many partitions that everybody holds.
    #[allow(dead_code, reason = "the fuzzers use it, the laws do not")]
    pub fn in_partitions(self, partitions: u32) -> Self {
        Stage { partitions, ..self }
    }

    /// A number for what a replica shows in all partitions.
    pub fn fingerprint(&self, replica: &dyn Replica) -> u128 {
        (0..self.partitions).fold(0, |all: u128, partition| {
            all.rotate_left(1) ^ replica.fingerprint(PartitionId(partition))
        })
    }

    /// Number of replicas.
    pub fn count(&self) -> usize {
        self.peers.len()
    }

    /// Those that a replica can talk to.
    pub fn peers(&self, n: usize) -> &[ReplicaId] {
        &self.peers[n]
    }

    /// All links, the dialling side first: in a star the client, otherwise the lower number.
    pub fn links(&self) -> Vec<(usize, usize)> {
        let count = self.count();
        match self.topology {
            Topology::Star { hub } => (0..count).filter(|n| *n != hub).map(|n| (n, hub)).collect(),
            topology => (0..count)
                .flat_map(|a| (a + 1..count).map(move |b| (a, b)))
                .filter(|(a, b)| topology.links(*a, *b, count))
                .collect(),
        }
    }

    /// All links in both directions.
    pub fn directions(&self) -> Vec<(usize, usize)> {
        self.links().into_iter().flat_map(|(a, b)| [(a, b), (b, a)]).collect()
    }

    /// The replicas with a user: all but a hub.
    pub fn authors(&self) -> Vec<usize> {
        (0..self.count()).filter(|n| self.topology != Topology::Star { hub: *n }).collect()
    }

    /// The authority, where there is one.
    pub fn authority(&self) -> Option<usize> {
        match self.topology {
            Topology::Star { hub } => Some(hub),
            Topology::Mesh | Topology::Tree | Topology::Ring => None,
        }
    }

    /// Whether the strategy shows local edits late, as its profile says.
    pub fn shows_late(&self) -> bool {
        self.profile.exceptions.iter().any(|(law, _)| *law == Law::LocalVisibility)
    }

    /// The cells of all records that tests edit.
    pub fn cells(&self) -> impl Iterator<Item = (Cell, FieldKind)> + '_ {
        (0..RECORDS).flat_map(|record| self.schema.cells(RecordId(record)))
    }

    /// A new replica.
    pub fn create(&self, n: usize) -> Box<dyn Replica> {
        self.strategy.create(&self.seat(n))
    }

    /// A replica from its snapshot.
    pub fn restore(&self, n: usize, saved: &[u8]) -> Result<Box<dyn Replica>, String> {
        self.strategy
            .restore(&self.seat(n), saved)
            .map_err(|e| format!("{} refuses its own snapshot: {e}", id(n)))
    }

    fn seat(&self, n: usize) -> Seat<'_> {
        Seat {
            replica: id(n),
            peers: &self.peers[n],
            members: &self.members,
            partitions: Partitions { count: self.partitions, held: &[] },
            authority: self.authority().map(id),
            schema: &self.schema,
            genesis: &self.genesis,
            transport: self.transport,
            incarnation: 0,
        }
    }
}

impl fmt::Display for Stage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.topology {
            Topology::Star { hub } => write!(f, "star of {}, hub {}", self.count(), id(hub))?,
            Topology::Mesh => write!(f, "mesh of {}", self.count())?,
            Topology::Tree => write!(f, "tree of {}", self.count())?,
            Topology::Ring => write!(f, "ring of {}", self.count())?,
        }
        match self.transport {
            Transport::Session => f.write_str(", sessions"),
            Transport::Datagram => f.write_str(", datagrams"),
        }
    }
}

/// Topologies and transports that a profile supports; `clients` beside the hub of a star, that many in a mesh, one more in a tree or
/// a ring (where that makes them differ from a mesh).
pub fn settings(
    profile: &Profile,
    clients: usize,
    hub: usize,
) -> Vec<(Topology, Transport, usize)> {
    let mut settings = Vec::new();
    for (transport, carried) in
        [(Transport::Session, profile.session), (Transport::Datagram, profile.datagram)]
    {
        if carried.unsupported().is_some() {
            continue;
        }
        if profile.star.unsupported().is_none() {
            settings.push((Topology::Star { hub: hub % (clients + 1) }, transport, clients + 1));
        }
        if profile.mesh.unsupported().is_none() {
            settings.push((Topology::Mesh, transport, clients));
        }
        if profile.graph.unsupported().is_none() && clients > 1 {
            settings.push((Topology::Tree, transport, clients + 1));
            if clients > 2 {
                settings.push((Topology::Ring, transport, clients + 1));
            }
        }
    }
    settings
}

/// Every kind of field that the strategy serves, registers twice: the second one is critical.
fn schema(profile: &Profile) -> Schema {
    let kinds = [
        FieldKind::Register,
        FieldKind::Counter,
        FieldKind::Set,
        FieldKind::Text,
        FieldKind::Register,
    ];
    let fields: Vec<FieldKind> =
        kinds.into_iter().filter(|kind| profile.field(*kind).unsupported().is_none()).collect();
    let registers = (0..fields.len()).filter(|field| fields[*field] == FieldKind::Register);
    let critical = registers.skip(1).map(|field| FieldId(field as u16)).collect();
    Schema { critical, ..Schema::new(fields) }
}

/// Record 0 is full, record 1 has a value here and there, the others are empty.
fn genesis(schema: &Schema) -> Vec<(EditId, Edit)> {
    let mut edits = Vec::new();
    for (cell, kind) in schema.cells(RecordId(0)) {
        match kind {
            FieldKind::Register => {
                edits.push(Edit::Put { cell, value: format!("g{cell}").into() });
            }
            FieldKind::Counter => edits.push(Edit::Add { cell, amount: 5 }),
            FieldKind::Set => {
                for element in ["g-one", "g-two"] {
                    edits.push(Edit::Insert { cell, element: element.into() });
                }
            }
            FieldKind::Text => {
                edits.push(Edit::Splice { cell, at: 0, delete: 0, insert: "abcö".into() });
                edits.push(Edit::Splice { cell, at: 1, delete: 1, insert: "😀".into() });
            }
        }
    }
    for (cell, kind) in schema.cells(RecordId(1)) {
        match kind {
            FieldKind::Register => {
                edits.push(Edit::Put { cell, value: format!("g{cell}").into() });
            }
            FieldKind::Text => {
                edits.push(Edit::Splice { cell, at: 0, delete: 0, insert: "xyz".into() });
            }
            FieldKind::Counter | FieldKind::Set => {}
        }
    }
    let name = |n: usize| EditId { origin: ReplicaId::GENESIS, sequence: 2 * n as u64 + 1 };
    edits.into_iter().enumerate().map(|(n, edit)| (name(n), edit)).collect()
}

/// An input that owns what it speaks of, or a crash and return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Edit { id: EditId, edit: Edit },
    Sync { peer: ReplicaId },
    Receive { from: ReplicaId, bytes: Vec<u8>, cargo: Cargo },
    Link { peer: ReplicaId, state: LinkState },
    Restart,
}

/// Lets something happen to the `n`-th replica; `out` holds its effects afterwards.
pub fn play(
    stage: &Stage<'_>,
    n: usize,
    replica: &mut Box<dyn Replica>,
    clock: Clock,
    event: &Event,
    out: &mut Outbox,
) -> Result<(), String> {
    out.clear();
    let input = match event {
        Event::Edit { id, edit } => Input::Edit { id: *id, edit },
        Event::Sync { peer } => Input::Sync { peer: *peer },
        Event::Receive { from, bytes, cargo } => Input::Receive { from: *from, bytes, cargo },
        Event::Link { peer, state } => Input::Link { peer: *peer, state: *state },
        Event::Restart => {
            let mut saved = Vec::new();
            replica.save(&mut saved);
            *replica = stage.restore(n, &saved)?;
            return Ok(());
        }
    };
    replica.handle(clock, input, out).map_err(|e| format!("{} {event}: {e}", id(n)))
}

/// What a replica shows of everything.
pub fn rendering(replica: &dyn Replica) -> Rendering {
    let mut rendering = Rendering::new();
    replica.render(Scope::All, &mut rendering);
    rendering
}

/// The first cell in which two renderings differ, in words.
pub fn difference(left: &Rendering, right: &Rendering) -> String {
    let cells = left.iter().chain(right.iter()).map(|(cell, _)| cell);
    match cells.filter(|cell| left.get(*cell) != right.get(*cell)).min() {
        Some(cell) => format!("cell {cell}: {:?} against {:?}", left.get(cell), right.get(cell)),
        None => String::from("nothing differs"),
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Edit { id, edit } => write!(f, "makes {id}: {edit:?}"),
            Event::Sync { peer } => write!(f, "syncs with {peer}"),
            Event::Receive { from, bytes, .. } => {
                write!(f, "receives from {from} {} bytes ", bytes.len())?;
                bytes.iter().take(64).try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Event::Link { peer, state } => write!(f, "learns: link to {peer} {state:?}"),
            Event::Restart => f.write_str("crashes and comes back"),
        }
    }
}
