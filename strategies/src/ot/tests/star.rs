//! A server and three clients, with sessions that break and replicas that crash.

use crate::contract::*;
use crate::document::*;
use crate::ot::Ot;
use std::collections::{BTreeSet, VecDeque};

pub const RECORD: RecordId = RecordId(0);
pub const REGISTER: Cell = Cell { record: RECORD, field: FieldId(0) };
pub const COUNTER: Cell = Cell { record: RECORD, field: FieldId(1) };
pub const SET: Cell = Cell { record: RECORD, field: FieldId(2) };
pub const TEXT: Cell = Cell { record: RECORD, field: FieldId(3) };

/// Number of the server, which is not the first replica on purpose.
pub const SERVER: usize = 1;

pub fn schema() -> Schema {
    use FieldKind::{Counter, Register, Set, Text};
    Schema::new(vec![Register, Counter, Set, Text])
}

pub fn id(n: usize) -> ReplicaId {
    ReplicaId(n as u32)
}

/// Every variant.
pub const KINDS: [Ot; 3] = [Ot::Central, Ot::Uncomposed, Ot::Relay];

/// A server and three clients, with messages under way.
pub struct Star {
    pub kind: Ot,
    pub replicas: Vec<Box<dyn Replica>>,
    /// Whether there is a session between a client and the server.
    pub open: [bool; 4],
    /// Messages under way, by client: up to the server, and down to the client.
    pub up: [VecDeque<(Vec<u8>, Cargo)>; 4],
    pub down: [VecDeque<(Vec<u8>, Cargo)>; 4],
    pub sequences: [u64; 4],
    /// Everything reported, by replica.
    pub changes: [Vec<Change>; 4],
    /// Work billed, by replica.
    pub work: [u64; 4],
}

impl Star {
    pub fn new(kind: Ot) -> Self {
        let mut star = Star {
            kind,
            replicas: (0..4).map(|n| with_seat(n, |seat| kind.create(seat))).collect(),
            open: [false; 4],
            up: Default::default(),
            down: Default::default(),
            sequences: [0; 4],
            changes: Default::default(),
            work: [0; 4],
        };
        star.clients().for_each(|n| star.connect(n));
        star.deliver_all();
        star
    }

    pub fn clients(&self) -> impl Iterator<Item = usize> + use<> {
        (0..4).filter(|n| *n != SERVER)
    }

    pub fn handle(&mut self, n: usize, input: Input<'_>) -> Result<(), Malformed> {
        let mut out = Outbox::new();
        let clock = Clock { now: Tick(0), wall: WallTime(0) };
        let result = self.replicas[n].handle(clock, input, &mut out);
        self.work[n] += out.work_units;
        for output in out.outputs {
            match output {
                Output::Change(change) => self.changes[n].push(change),
                Output::Send { to, bytes, cargo } if n == SERVER => {
                    self.down[to.0 as usize].push_back((bytes, cargo));
                }
                Output::Send { bytes, cargo, .. } => self.up[n].push_back((bytes, cargo)),
            }
        }
        result
    }

    pub fn edit(&mut self, n: usize, edit: &Edit) -> EditId {
        self.sequences[n] += 1;
        let id = EditId { origin: id(n), sequence: self.sequences[n] };
        self.handle(n, Input::Edit { id, edit }).expect("a valid edit");
        id
    }

    pub fn sync(&mut self, from: usize, to: usize) {
        self.handle(from, Input::Sync { peer: id(to) }).expect("nothing was received");
    }

    pub fn connect(&mut self, n: usize) {
        self.open[n] = true;
        for (a, b) in [(n, SERVER), (SERVER, n)] {
            let open = Input::Link { peer: id(b), state: LinkState::Open };
            self.handle(a, open).expect("nothing was received");
        }
        self.sync(n, SERVER);
    }

    pub fn lose(&mut self, n: usize) {
        self.open[n] = false;
        self.up[n].clear();
        self.down[n].clear();
        for (a, b) in [(n, SERVER), (SERVER, n)] {
            let lost = Input::Link { peer: id(b), state: LinkState::Lost };
            self.handle(a, lost).expect("nothing was received");
        }
    }

    /// The membership service tells everybody.
    pub fn member(&mut self, change: SeatChange) {
        for n in 0..4 {
            self.handle(n, Input::Seat(change)).expect("nothing was received");
        }
    }

    pub fn deliver_up(&mut self, n: usize) {
        if let Some((bytes, cargo)) = self.up[n].pop_front() {
            let input = Input::Receive { from: id(n), bytes: &bytes, cargo: &cargo };
            self.handle(SERVER, input).expect("an honest message");
        }
    }

    pub fn deliver_down(&mut self, n: usize) {
        if let Some((bytes, cargo)) = self.down[n].pop_front() {
            let input = Input::Receive { from: id(SERVER), bytes: &bytes, cargo: &cargo };
            self.handle(n, input).expect("an honest message");
        }
    }

    pub fn deliver_all(&mut self) {
        for n in self.clients() {
            while !self.up[n].is_empty() || !self.down[n].is_empty() {
                self.deliver_up(n);
                self.deliver_down(n);
            }
        }
    }

    /// One client and the server tell each other everything.
    pub fn exchange(&mut self, n: usize) {
        self.sync(n, SERVER);
        self.deliver_all();
        self.sync(SERVER, n);
        self.deliver_all();
    }

    /// One client and the server tell each other everything, while nothing else arrives.
    pub fn exchange_alone(&mut self, n: usize) {
        for (from, to) in [(n, SERVER), (SERVER, n)] {
            self.sync(from, to);
            while !self.up[n].is_empty() || !self.down[n].is_empty() {
                self.deliver_up(n);
                self.deliver_down(n);
            }
        }
    }

    /// A crash: the replica comes back from its own snapshot.
    pub fn restart(&mut self, n: usize) {
        let saved = saved(&*self.replicas[n]);
        let restored = with_seat(n, |seat| self.kind.restore(seat, &saved)).expect("own snapshot");
        assert_eq!(saved, self::saved(&*restored), "replica {n} saves other bytes");
        assert_eq!(self.replicas[n].footprint(), restored.footprint());
        self.replicas[n] = restored;
        let clients: Vec<usize> = if n == SERVER { self.clients().collect() } else { vec![n] };
        for client in clients {
            if self.open[client] {
                self.lose(client);
            } else {
                let peer = if n == SERVER { id(client) } else { id(SERVER) };
                let lost = Input::Link { peer, state: LinkState::Lost };
                self.handle(n, lost).expect("nothing was received");
            }
        }
    }

    /// Everybody connects and tells until nobody owes anything, which takes a few rounds.
    pub fn settle(&mut self) {
        let clients: Vec<usize> = self.clients().collect();
        self.settle_among(&clients);
    }

    /// The same, with one client cut off.
    pub fn settle_without(&mut self, absent: usize) {
        let clients: Vec<usize> = self.clients().filter(|n| *n != absent).collect();
        self.settle_among(&clients);
    }

    fn settle_among(&mut self, clients: &[usize]) {
        for n in clients {
            if !self.open[*n] {
                self.connect(*n);
            }
        }
        self.deliver_all();
        for _ in 0..4 {
            for n in clients {
                self.exchange(*n);
            }
        }
        for n in clients {
            assert_eq!(self.replicas[*n].pending(id(SERVER)), Pending::default(), "client {n}");
            assert_eq!(self.replicas[SERVER].pending(id(*n)), Pending::default(), "to {n}");
        }
    }

    pub fn shown(&self, n: usize) -> Rendering {
        let mut shown = Rendering::new();
        self.replicas[n].render(Scope::All, &mut shown);
        shown
    }

    pub fn content(&self, n: usize, cell: Cell) -> Option<Content> {
        self.shown(n).get(cell).map(|shown| shown.first().clone())
    }

    pub fn value(&self, n: usize) -> Option<Value> {
        match self.content(n, REGISTER) {
            Some(Content::Register(value)) => value,
            _ => None,
        }
    }

    pub fn sum(&self, n: usize) -> i64 {
        match self.content(n, COUNTER) {
            Some(Content::Counter(sum)) => sum,
            _ => 0,
        }
    }

    pub fn elements(&self, n: usize) -> BTreeSet<Value> {
        match self.content(n, SET) {
            Some(Content::Set(elements)) => elements,
            _ => BTreeSet::new(),
        }
    }

    pub fn text(&self, n: usize) -> String {
        match self.content(n, TEXT) {
            Some(Content::Text(text)) => text,
            _ => String::new(),
        }
    }

    pub fn converged(&self, words: &str) {
        for n in self.clients() {
            assert_eq!(self.shown(n), self.shown(SERVER), "{words}: client {n}");
            let fingerprint = |n: usize| self.replicas[n].fingerprint(PartitionId(0));
            assert_eq!(fingerprint(n), fingerprint(SERVER), "{words}: client {n}");
        }
    }
}

pub fn with_seat<R>(n: usize, then: impl FnOnce(&Seat<'_>) -> R) -> R {
    let clients: Vec<ReplicaId> = (0..4).filter(|n| *n != SERVER).map(id).collect();
    then(&Seat {
        replica: id(n),
        peers: if n == SERVER { &clients } else { &[ReplicaId(SERVER as u32)] },
        members: &[0, 1, 2, 3].map(id),
        partitions: Partitions::WHOLE,
        authority: Some(id(SERVER)),
        schema: &schema(),
        genesis: &[],
        transport: Transport::Session,
        incarnation: 0,
    })
}

pub fn saved(replica: &dyn Replica) -> Vec<u8> {
    let mut saved = Vec::new();
    replica.save(&mut saved);
    saved
}

pub fn put(text: &str) -> Edit {
    Edit::Put { cell: REGISTER, value: text.into() }
}

pub fn add(amount: i64) -> Edit {
    Edit::Add { cell: COUNTER, amount }
}

pub fn insert(text: &str) -> Edit {
    Edit::Insert { cell: SET, element: text.into() }
}

pub fn write(at: usize, delete: usize, insert: &str) -> Edit {
    Edit::Splice { cell: TEXT, at, delete, insert: insert.into() }
}

pub const DELETE: Edit = Edit::Delete { record: RECORD };
