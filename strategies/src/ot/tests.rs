use super::Central;
use super::codec::Message;
use super::op::{Addition, CellOp, CounterOp, ElementOp, Ops, RegisterOp};
use super::text::TextOp;
use crate::contract::*;
use crate::document::*;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const RECORD: RecordId = RecordId(0);
const REGISTER: Cell = Cell { record: RECORD, field: FieldId(0) };
const COUNTER: Cell = Cell { record: RECORD, field: FieldId(1) };
const SET: Cell = Cell { record: RECORD, field: FieldId(2) };
const TEXT: Cell = Cell { record: RECORD, field: FieldId(3) };

/// Number of the server, which is not the first replica on purpose.
const SERVER: usize = 1;

fn schema() -> Schema {
    use FieldKind::{Counter, Register, Set, Text};
    Schema { fields: vec![Register, Counter, Set, Text] }
}

fn id(n: usize) -> ReplicaId {
    ReplicaId(n as u32)
}

/// A server and three clients, with messages under way.
struct Star {
    replicas: Vec<Box<dyn Replica>>,
    /// Whether there is a session between a client and the server.
    open: [bool; 4],
    /// Messages under way, by client: up to the server, and down to the client.
    up: [VecDeque<(Vec<u8>, Cargo)>; 4],
    down: [VecDeque<(Vec<u8>, Cargo)>; 4],
    sequences: [u64; 4],
    /// Everything reported, by replica.
    changes: [Vec<Change>; 4],
}

impl Star {
    fn new() -> Self {
        let mut star = Star {
            replicas: (0..4).map(|n| with_seat(n, |seat| Central.create(seat))).collect(),
            open: [false; 4],
            up: Default::default(),
            down: Default::default(),
            sequences: [0; 4],
            changes: Default::default(),
        };
        star.clients().for_each(|n| star.connect(n));
        star.deliver_all();
        star
    }

    fn clients(&self) -> impl Iterator<Item = usize> + use<> {
        (0..4).filter(|n| *n != SERVER)
    }

    fn handle(&mut self, n: usize, input: Input<'_>) -> Result<(), Malformed> {
        let mut out = Outbox::new();
        let clock = Clock { now: Tick(0), wall: WallTime(0) };
        let result = self.replicas[n].handle(clock, input, &mut out);
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

    fn edit(&mut self, n: usize, edit: &Edit) -> EditId {
        self.sequences[n] += 1;
        let id = EditId { origin: id(n), sequence: self.sequences[n] };
        self.handle(n, Input::Edit { id, edit }).expect("a valid edit");
        id
    }

    fn sync(&mut self, from: usize, to: usize) {
        self.handle(from, Input::Sync { peer: id(to) }).expect("nothing was received");
    }

    fn connect(&mut self, n: usize) {
        self.open[n] = true;
        for (a, b) in [(n, SERVER), (SERVER, n)] {
            let open = Input::Link { peer: id(b), state: LinkState::Open };
            self.handle(a, open).expect("nothing was received");
        }
        self.sync(n, SERVER);
    }

    fn lose(&mut self, n: usize) {
        self.open[n] = false;
        self.up[n].clear();
        self.down[n].clear();
        for (a, b) in [(n, SERVER), (SERVER, n)] {
            let lost = Input::Link { peer: id(b), state: LinkState::Lost };
            self.handle(a, lost).expect("nothing was received");
        }
    }

    fn deliver_up(&mut self, n: usize) {
        if let Some((bytes, cargo)) = self.up[n].pop_front() {
            let input = Input::Receive { from: id(n), bytes: &bytes, cargo: &cargo };
            self.handle(SERVER, input).expect("an honest message");
        }
    }

    fn deliver_down(&mut self, n: usize) {
        if let Some((bytes, cargo)) = self.down[n].pop_front() {
            let input = Input::Receive { from: id(SERVER), bytes: &bytes, cargo: &cargo };
            self.handle(n, input).expect("an honest message");
        }
    }

    fn deliver_all(&mut self) {
        for n in self.clients() {
            while !self.up[n].is_empty() || !self.down[n].is_empty() {
                self.deliver_up(n);
                self.deliver_down(n);
            }
        }
    }

    /// One client and the server tell each other everything.
    fn exchange(&mut self, n: usize) {
        self.sync(n, SERVER);
        self.deliver_all();
        self.sync(SERVER, n);
        self.deliver_all();
    }

    /// A crash: the replica comes back from its own snapshot.
    fn restart(&mut self, n: usize) {
        let saved = saved(&*self.replicas[n]);
        let restored = with_seat(n, |seat| Central.restore(seat, &saved)).expect("own snapshot");
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
    fn settle(&mut self) {
        for n in self.clients() {
            if !self.open[n] {
                self.connect(n);
            }
        }
        self.deliver_all();
        for _ in 0..4 {
            for n in self.clients() {
                self.exchange(n);
            }
        }
        for n in self.clients() {
            assert_eq!(self.replicas[n].pending(id(SERVER)), Pending::default(), "client {n}");
            assert_eq!(self.replicas[SERVER].pending(id(n)), Pending::default(), "to {n}");
        }
    }

    fn shown(&self, n: usize) -> Rendering {
        let mut shown = Rendering::new();
        self.replicas[n].render(Scope::All, &mut shown);
        shown
    }

    fn content(&self, n: usize, cell: Cell) -> Option<Content> {
        self.shown(n).get(cell).map(|shown| shown.first().clone())
    }

    fn value(&self, n: usize) -> Option<Value> {
        match self.content(n, REGISTER) {
            Some(Content::Register(value)) => value,
            _ => None,
        }
    }

    fn sum(&self, n: usize) -> i64 {
        match self.content(n, COUNTER) {
            Some(Content::Counter(sum)) => sum,
            _ => 0,
        }
    }

    fn elements(&self, n: usize) -> BTreeSet<Value> {
        match self.content(n, SET) {
            Some(Content::Set(elements)) => elements,
            _ => BTreeSet::new(),
        }
    }

    fn text(&self, n: usize) -> String {
        match self.content(n, TEXT) {
            Some(Content::Text(text)) => text,
            _ => String::new(),
        }
    }

    fn converged(&self, words: &str) {
        for n in self.clients() {
            assert_eq!(self.shown(n), self.shown(SERVER), "{words}: client {n}");
            let fingerprint = |n: usize| self.replicas[n].fingerprint(PartitionId(0));
            assert_eq!(fingerprint(n), fingerprint(SERVER), "{words}: client {n}");
        }
    }
}

fn with_seat<R>(n: usize, then: impl FnOnce(&Seat<'_>) -> R) -> R {
    let clients: Vec<ReplicaId> = (0..4).filter(|n| *n != SERVER).map(id).collect();
    then(&Seat {
        replica: id(n),
        peers: if n == SERVER { &clients } else { &[ReplicaId(SERVER as u32)] },
        authority: Some(id(SERVER)),
        schema: &schema(),
        genesis: &[],
        transport: Transport::Session,
        incarnation: 0,
    })
}

fn saved(replica: &dyn Replica) -> Vec<u8> {
    let mut saved = Vec::new();
    replica.save(&mut saved);
    saved
}

fn put(text: &str) -> Edit {
    Edit::Put { cell: REGISTER, value: text.into() }
}

fn add(amount: i64) -> Edit {
    Edit::Add { cell: COUNTER, amount }
}

fn insert(text: &str) -> Edit {
    Edit::Insert { cell: SET, element: text.into() }
}

fn splice(at: usize, delete: usize, insert: &str) -> Edit {
    Edit::Splice { cell: TEXT, at, delete, insert: insert.into() }
}

const DELETE: Edit = Edit::Delete { record: RECORD };

/// What users did to one record, each with contents of his own, and took away while they saw it.
#[derive(Default)]
struct Ledger {
    puts: BTreeSet<Value>,
    puts_gone: BTreeSet<Value>,
    /// Every addition is another power of two, so that a sum says which additions are in it.
    added: i64,
    taken: i64,
    elements: BTreeSet<Value>,
    elements_gone: BTreeSet<Value>,
    chars: BTreeSet<char>,
    chars_gone: BTreeSet<char>,
}

impl Ledger {
    fn random_edit(&mut self, rng: &mut ChaCha8Rng, star: &Star, n: usize) -> Option<Edit> {
        Some(match rng.random_range(0..12) {
            0 | 1 => {
                self.puts_gone.extend(star.value(n));
                let value = Value::from(format!("v{}", self.puts.len()));
                self.puts.insert(value.clone());
                Edit::Put { cell: REGISTER, value }
            }
            2 => self.delete(star, n),
            3 | 4 => {
                let amount = self.added + 1;
                if amount == 1 << 62 {
                    return None;
                }
                self.added += amount;
                add(amount)
            }
            5 | 6 => {
                let element = Value::from(format!("e{}", self.elements.len()));
                self.elements.insert(element.clone());
                Edit::Insert { cell: SET, element }
            }
            7 => {
                let shown: Vec<Value> = star.elements(n).into_iter().collect();
                let element = shown.choose(rng)?.clone();
                self.elements_gone.insert(element.clone());
                Edit::Remove { cell: SET, element }
            }
            8 => self.resolve(rng, star, n),
            _ => {
                let shown: Vec<char> = star.text(n).chars().collect();
                let at = rng.random_range(0..=shown.len());
                let delete = rng.random_range(0..=(shown.len() - at).min(3));
                self.chars_gone.extend(&shown[at..at + delete]);
                splice(at, delete, &self.fresh_text(rng))
            }
        })
    }

    fn delete(&mut self, star: &Star, n: usize) -> Edit {
        self.puts_gone.extend(star.value(n));
        self.taken |= star.sum(n);
        self.elements_gone.extend(star.elements(n));
        self.chars_gone.extend(star.text(n).chars());
        DELETE
    }

    /// Nothing here is ever in conflict; an answer nevertheless replaces what is shown.
    fn resolve(&mut self, rng: &mut ChaCha8Rng, star: &Star, n: usize) -> Edit {
        let text = self.fresh_text(rng);
        self.chars_gone.extend(star.text(n).chars());
        Edit::Resolve { cell: TEXT, content: Content::Text(text), seen: Vec::new() }
    }

    /// Characters that nobody used before, some of three bytes and some of four.
    fn fresh_text(&mut self, rng: &mut ChaCha8Rng) -> String {
        let mut text = String::new();
        for number in (self.chars.len() as u32..).take(rng.random_range(0..4)) {
            let plane = if number % 2 == 0 { 0xe000 } else { 0x1_0000 };
            text.push(char::from_u32(plane + number).expect("no surrogate"));
        }
        self.chars.extend(text.chars());
        text
    }

    fn check(&self, star: &Star, words: &str) {
        let left = |all: &BTreeSet<Value>, gone| all - gone;
        assert_eq!(star.sum(SERVER), self.added & !self.taken, "{words}: the counter");
        assert_eq!(star.elements(SERVER), left(&self.elements, &self.elements_gone), "{words}");
        let chars: Vec<char> = star.text(SERVER).chars().collect();
        let distinct: BTreeSet<char> = chars.iter().copied().collect();
        assert_eq!(chars.len(), distinct.len(), "{words}: a character is doubled");
        assert_eq!(distinct, &self.chars - &self.chars_gone, "{words}: the text");
        match star.value(SERVER) {
            Some(value) => {
                let left = left(&self.puts, &self.puts_gone);
                assert!(left.contains(&value), "{words}: {value:?} was taken away");
            }
            // Every write lost to a later one, and the last was taken away by somebody who saw it.
            None => assert_eq!(self.puts.is_empty(), self.puts_gone.is_empty(), "{words}"),
        }
    }
}

fn random_step(rng: &mut ChaCha8Rng, star: &mut Star, ledger: &mut Ledger) {
    // The server has no user, but may.
    let n = rng.random_range(0..4);
    let client = [0, 2, 3][rng.random_range(0..3)];
    match rng.random_range(0..20) {
        0..8 => {
            if let Some(edit) = ledger.random_edit(rng, star, n) {
                star.edit(n, &edit);
            }
        }
        8..11 if star.open[client] => star.sync(client, SERVER),
        11..13 if star.open[client] => star.sync(SERVER, client),
        13..15 => star.deliver_up(client),
        15..17 => star.deliver_down(client),
        17 if star.open[client] => star.lose(client),
        18 if !star.open[client] => star.connect(client),
        19 if rng.random_bool(0.3) => star.restart(n),
        _ => {}
    }
}

#[test]
fn whatever_happens_all_show_the_same_and_only_rival_writes_are_lost() {
    for seed in 0..400 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut star, mut ledger) = (Star::new(), Ledger::default());
        for _ in 0..rng.random_range(5..200) {
            random_step(&mut rng, &mut star, &mut ledger);
        }
        star.settle();
        star.converged(&format!("seed {seed}"));
        ledger.check(&star, &format!("seed {seed}"));
        let history = star.replicas[SERVER].footprint().history_bytes;
        assert_eq!(history, 0, "seed {seed}: everybody has everything");
    }
}

#[test]
fn reports_say_when_edits_came_and_were_acknowledged() {
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut star, mut ledger) = (Star::new(), Ledger::default());
        for _ in 0..100 {
            random_step(&mut rng, &mut star, &mut ledger);
        }
        star.settle();
        for n in 0..4 {
            let mut applied: BTreeMap<EditId, u32> = BTreeMap::new();
            let mut acknowledged: BTreeMap<EditId, u32> = BTreeMap::new();
            let mut replaced = BTreeSet::new();
            for change in &star.changes[n] {
                match change {
                    Change::Applied { edit } => *applied.entry(*edit).or_default() += 1,
                    Change::Acknowledged { edit } => *acknowledged.entry(*edit).or_default() += 1,
                    Change::Replaced { edit, .. } => {
                        replaced.insert(*edit);
                    }
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
            for origin in 0..4 {
                for sequence in 1..=star.sequences[origin] {
                    let edit = EditId { origin: id(origin), sequence };
                    let words = format!("seed {seed}: {edit} at {n}");
                    if origin == n {
                        assert_eq!(acknowledged.get(&edit), Some(&1), "{words}");
                    } else {
                        let came = applied.get(&edit);
                        assert!(came == Some(&1) || replaced.contains(&edit), "{words}");
                        assert!(came <= Some(&1), "{words} came more than once");
                    }
                }
            }
        }
    }
}

#[test]
fn a_batch_whose_answer_was_lost_is_executed_once() {
    let mut star = Star::new();
    let edit = star.edit(0, &add(5));
    star.sync(0, SERVER);
    star.deliver_up(0);
    star.lose(0);
    assert_eq!(star.replicas[0].pending(id(SERVER)), Pending { edits: 1, exchange_open: false });
    star.connect(0);
    let (hello, _) = star.up[0].back().expect("a hello").clone();
    assert_eq!(Message::decode(&hello), Ok(Message::Hello { seen: 0, flight: Some(1) }));
    star.deliver_all();
    assert_eq!(star.changes[0], [Change::Acknowledged { edit }]);
    star.settle();
    assert_eq!((star.sum(0), star.sum(SERVER)), (5, 5));
}

#[test]
fn a_batch_that_was_lost_is_sent_again_once_the_server_says_so() {
    let mut star = Star::new();
    star.edit(0, &add(5));
    star.sync(0, SERVER);
    star.lose(0);
    star.edit(2, &add(1));
    star.exchange(2);
    star.connect(0);
    star.deliver_up(0);
    star.deliver_down(0);
    assert_eq!(star.sum(0), 6, "the answer brought what was missed");
    let (again, _) = star.up[0].back().expect("the batch").clone();
    assert!(matches!(Message::decode(&again), Ok(Message::Batch { base: 1, number: 1, .. })));
    star.settle();
    star.converged("sent again");
    assert_eq!(star.sum(SERVER), 6);
}

#[test]
fn a_server_that_crashed_before_the_first_session_learns_how_far_a_client_is() {
    let mut star = Star::new();
    star.edit(2, &add(1));
    star.exchange(2);
    star.restart(SERVER);
    // As if this client had never been connected, nor had lost a session.
    star.replicas[0] = with_seat(0, |seat| Central.create(seat));
    star.connect(0);
    star.deliver_all();
    assert_eq!(star.sum(0), 1);
    assert_eq!(star.replicas[SERVER].pending(id(0)), Pending::default());
}

#[test]
fn an_acknowledgement_is_small_and_later_edits_wait_for_it() {
    let mut star = Star::new();
    star.edit(0, &put("a"));
    star.sync(0, SERVER);
    star.edit(0, &put("b"));
    let waiting = Pending { edits: 0, exchange_open: true };
    assert_eq!(star.replicas[0].pending(id(SERVER)), waiting);
    star.sync(0, SERVER);
    assert_eq!(star.up[0].len(), 1, "one batch in flight");
    star.deliver_up(0);
    assert_eq!(star.down[0][0].0.len(), 4);
    star.deliver_down(0);
    assert_eq!(star.replicas[0].pending(id(SERVER)).edits, 1);
    star.settle();
    star.converged("two batches");
    assert_eq!(star.value(2), Some("b".into()));
}

#[test]
fn a_write_wins_over_a_concurrent_delete_in_either_order() {
    for first in [0, 2] {
        let mut star = Star::new();
        star.edit(0, &put("old"));
        star.settle();
        star.edit(0, &put("new"));
        star.edit(2, &DELETE);
        star.exchange(first);
        star.settle();
        star.converged("write and delete");
        assert_eq!(star.value(3), Some("new".into()), "the first to arrive is {first}");
    }
}

#[test]
fn of_two_rival_writes_the_later_in_the_servers_order_stays() {
    let mut star = Star::new();
    let early = star.edit(0, &put("early"));
    let late = star.edit(2, &put("late"));
    star.exchange(0);
    assert_eq!(star.value(2), Some("late".into()));
    star.sync(SERVER, 2);
    star.deliver_all();
    assert_eq!(star.value(2), Some("late".into()), "displayed until the server says otherwise");
    assert_eq!(star.changes[2], [Change::Replaced { edit: early, by: late }]);
    star.settle();
    star.converged("two writes");
    assert_eq!(star.value(0), Some("late".into()));
    let end = [Change::Applied { edit: late }, Change::Replaced { edit: early, by: late }];
    assert_eq!(star.changes[0][1..], end);
}

#[test]
fn two_deletes_take_a_counter_once_and_leave_what_neither_saw() {
    let mut star = Star::new();
    star.edit(0, &add(5));
    star.settle();
    star.edit(0, &DELETE);
    star.edit(2, &DELETE);
    star.edit(2, &add(2));
    let seen_by_nobody = star.edit(3, &add(10));
    star.exchange(3);
    star.settle();
    star.converged("two deletes");
    assert_eq!(star.sum(SERVER), 12);
    let gone = |change: &Change| matches!(change, Change::Replaced { edit, .. } if *edit == seen_by_nobody);
    assert!(!star.changes.iter().flatten().any(gone));
}

#[test]
fn the_last_word_on_an_element_stays() {
    for (first, stays) in [(0, false), (2, true)] {
        let mut star = Star::new();
        star.edit(0, &insert("x"));
        star.settle();
        star.edit(0, &insert("x"));
        star.edit(2, &Edit::Remove { cell: SET, element: "x".into() });
        star.exchange(first);
        star.settle();
        star.converged("an element");
        assert_eq!(star.elements(3).contains(&"x".into()), stays, "{first} came first");
    }
}

#[test]
fn what_two_users_type_at_one_place_does_not_mix() {
    for seed in 0..100 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut star = Star::new();
        let words = [(0, "abcdef"), (2, "uvwxyz")];
        let mut typed = [0, 0];
        while typed != [6, 6] {
            let who = rng.random_range(0..2);
            let (n, word) = words[who];
            if typed[who] < 6 {
                let (before, letter) = (&word[..typed[who]], &word[typed[who]..=typed[who]]);
                let at = star.text(n).find(before).expect("his own word") + before.len();
                star.edit(n, &splice(at, 0, letter));
                typed[who] += 1;
            }
            if rng.random_bool(0.5) {
                star.exchange(words[rng.random_range(0..2)].0);
            }
        }
        star.settle();
        star.converged(&format!("seed {seed}"));
        let text = star.text(3);
        assert!(words.iter().all(|(_, word)| text.contains(word)), "seed {seed}: {text}");
    }
}

#[test]
fn history_is_kept_for_the_client_that_lacks_it() {
    let mut star = Star::new();
    star.lose(3);
    for n in 0..5 {
        star.edit(0, &splice(0, 0, &n.to_string()));
        star.exchange(0);
        star.exchange(2);
    }
    assert!(star.replicas[SERVER].footprint().history_bytes > 0);
    assert_eq!(star.replicas[SERVER].pending(id(3)).edits, 5);
    star.settle();
    star.converged("late");
    assert_eq!(star.replicas[SERVER].footprint().history_bytes, 0);
}

#[test]
fn the_server_refuses_batches_that_cannot_be() {
    let mut star = Star::new();
    star.edit(0, &splice(0, 0, "añ😀"));
    star.settle();
    let base = 1;
    let batch = |base, number, cell, op| {
        Message::Batch { base, number, ops: Ops::from([(cell, op)]) }.encode()
    };
    let clear = || CellOp::Register(RegisterOp::Clear);
    let wipe = |revision| {
        let left = Some(vec![Addition { revision, amount: 1 }]);
        CellOp::Counter(CounterOp { left, add: 0 })
    };
    let other = |field| Cell { record: RECORD, field: FieldId(field) };
    let hostile = [
        batch(base + 1, 1, REGISTER, clear()),
        batch(u64::MAX, 1, REGISTER, clear()),
        batch(0, 1, REGISTER, clear()),
        batch(base, 0, REGISTER, clear()),
        batch(base, 2, REGISTER, clear()),
        batch(base, 1, TEXT, clear()),
        batch(base, 1, other(4), clear()),
        batch(base, 1, REGISTER, CellOp::Set([("x".into(), ElementOp::Insert)].into())),
        batch(base, 1, COUNTER, wipe(base + 1)),
        batch(base, 1, TEXT, CellOp::Text(TextOp::splice(4, 0, "x"))),
        batch(base, 1, TEXT, CellOp::Text(TextOp::splice(2, 2, ""))),
        batch(base, 1, TEXT, CellOp::Text(TextOp::splice(1 << 30, 1 << 30, "x"))),
        batch(base, 1, TEXT, CellOp::Text(TextOp::splice(1 << 40, 0, "x"))),
        Message::Hello { seen: base + 1, flight: None }.encode(),
        Message::Hello { seen: base, flight: Some(2) }.encode(),
        Message::Revisions { answer: false, first: 1, revisions: Vec::new() }.encode(),
    ];
    let before = saved(&*star.replicas[SERVER]);
    for bytes in hostile {
        let input = Input::Receive { from: id(2), bytes: &bytes, cargo: &Cargo::default() };
        assert!(star.handle(SERVER, input).is_err(), "{:?}", Message::decode(&bytes));
        assert_eq!(saved(&*star.replicas[SERVER]), before, "{:?}", Message::decode(&bytes));
    }
    let bytes = batch(base, 1, TEXT, CellOp::Text(TextOp::splice(1, 1, "n")));
    let stranger = Input::Receive { from: id(9), bytes: &bytes, cargo: &Cargo::default() };
    assert!(star.handle(SERVER, stranger).is_err());
    let honest = Input::Receive { from: id(2), bytes: &bytes, cargo: &Cargo::default() };
    star.handle(SERVER, honest).expect("the next batch");
    assert_eq!(star.text(SERVER), "an😀");
}

#[test]
fn tampered_messages_are_refused_or_handled() {
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut star, mut ledger) = (Star::new(), Ledger::default());
        for _ in 0..80 {
            random_step(&mut rng, &mut star, &mut ledger);
        }
        for n in star.clients() {
            for (to, from) in [(SERVER, n), (n, SERVER)] {
                let queue = if to == SERVER { &star.up[n] } else { &star.down[n] };
                let Some((mut bytes, cargo)) = queue.front().cloned() else { continue };
                let at = rng.random_range(0..bytes.len());
                if rng.random_bool(0.2) {
                    bytes.truncate(at);
                } else {
                    bytes[at] = rng.random();
                }
                let before = star.shown(to);
                let input = Input::Receive { from: id(from), bytes: &bytes, cargo: &cargo };
                if star.handle(to, input).is_err() {
                    assert_eq!(star.shown(to), before, "seed {seed}: {bytes:02x?}");
                }
            }
        }
        // What was taken for honest may make later messages fail, but nobody panics.
        for n in star.clients() {
            star.edit(n, &splice(0, star.text(n).chars().count().min(2), "x"));
            star.edit(n, &DELETE);
            star.sync(n, SERVER);
            while let Some((bytes, cargo)) = star.up[n].pop_front() {
                let input = Input::Receive { from: id(n), bytes: &bytes, cargo: &cargo };
                let _: Result<(), Malformed> = star.handle(SERVER, input);
            }
            star.sync(SERVER, n);
            while let Some((bytes, cargo)) = star.down[n].pop_front() {
                let input = Input::Receive { from: id(SERVER), bytes: &bytes, cargo: &cargo };
                let _: Result<(), Malformed> = star.handle(n, input);
            }
        }
    }
}
