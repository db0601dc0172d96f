//! Finding out what the other one lacks without telling a version: the dots of two replicas as sets to be reconciled, by coded symbols
//! ([`crate::reconcile::rateless`]) or down a search tree ([`crate::reconcile::merkle`]).
//!
//! The items are all changes, removals included, above what every member is known to have: whoever begins says from where on. In the end
//! one side knows both lists, sends what the other one lacks and says what it lacks itself ([`Probe::Found`]); that comes in return. As
//! a replica has each author's changes up to some point, the first missing one of each author says all.

use super::Protocol;
use super::replica::{Bring, VersionReplica};
use crate::contract::{Malformed, Outbox, Transport};
use crate::crdt::causal::{Agent, COUNTER_MAX, Dot, Version};
use crate::reconcile::merkle::{Descent, Step, Tree, answer};
use crate::reconcile::rateless::{Batch, Decoder, Drift, Progress, Sketch};
use crate::reconcile::{Differences, Key};
use crate::wire::{Reader, Writer};

/// A document of more changes is not taken over: each of them that is not stable gets a key, and how many there are a peer can make up.
pub const MOST_KEYS: u64 = 1 << 20;

/// Sets of different floors that are kept at the same time.
const KEPT_SETS: usize = 4;

/// One message of an exchange; `number` names the exchange among those that its beginner began with this peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// An exchange begins.
    Begin { number: u64, sender: Agent, floor: Version, opening: Opening },
    /// More symbols, please, behind the first so many.
    More { number: u64, from: u32 },
    /// They follow.
    Symbols { number: u64, batch: Batch },
    /// A further question about the tree.
    Ask { number: u64, question: Vec<u8> },
    /// The answer to one.
    Answer { number: u64, answer: Vec<u8> },
    /// The sender knows all differences: from these dots on, it lacks what the receiver has.
    Found { number: u64, lacking: Vec<Dot> },
}

/// What an exchange begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The first symbols.
    Symbols(Batch),
    /// The question about the root.
    Question(Vec<u8>),
}

impl Probe {
    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        let mut head = |kind: u8, number: &u64| {
            writer.byte(kind);
            writer.uint(*number);
        };
        match self {
            Probe::Begin { number, sender, floor, opening } => {
                head(if matches!(opening, Opening::Symbols(_)) { 0 } else { 1 }, number);
                sender.write(writer);
                floor.write(writer);
                match opening {
                    Opening::Symbols(batch) => batch.write(writer),
                    Opening::Question(question) => writer.blob(question),
                }
            }
            Probe::More { number, from } => {
                head(2, number);
                writer.uint(u64::from(*from));
            }
            Probe::Symbols { number, batch } => {
                head(3, number);
                batch.write(writer);
            }
            Probe::Ask { number, question } => {
                head(4, number);
                writer.blob(question);
            }
            Probe::Answer { number, answer } => {
                head(5, number);
                writer.blob(answer);
            }
            Probe::Found { number, lacking } => {
                head(6, number);
                writer.count(lacking.len());
                for dot in lacking {
                    dot.agent.write(writer);
                    writer.uint(dot.counter);
                }
            }
        }
    }

    /// Reads what [`Probe::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (kind, number) = (reader.byte()?, reader.uint()?);
        Ok(match kind {
            0 | 1 => {
                let sender = Agent::read(reader)?;
                let floor = Version::read(reader)?;
                let opening = match kind {
                    0 => Opening::Symbols(Batch::read(reader)?),
                    _ => Opening::Question(reader.blob()?.to_vec()),
                };
                Probe::Begin { number, sender, floor, opening }
            }
            2 => Probe::More { number, from: reader.uint32()? },
            3 => Probe::Symbols { number, batch: Batch::read(reader)? },
            4 => Probe::Ask { number, question: reader.blob()?.to_vec() },
            5 => Probe::Answer { number, answer: reader.blob()?.to_vec() },
            6 => {
                let first_missing = Version::read(reader)?;
                let dot = |(agent, counter)| Dot { agent, counter };
                let lacking = first_missing.iter().map(dot).collect();
                Probe::Found { number, lacking }
            }
            _ => return Err(Malformed("unknown kind of probe")),
        })
    }
}

/// Numbers of exchanges in each life of a replica, about: one that lost its memory does not know which it has used.
const NUMBERS_PER_LIFE: u64 = 1 << 24;

/// The number before the first exchange of a replica in some incarnation.
pub fn number_before(incarnation: u32) -> u64 {
    u64::from(incarnation) * NUMBERS_PER_LIFE
}

/// One side of an exchange.
#[derive(Debug)]
pub struct Exchange {
    number: u64,
    floor: Version,
    /// What this replica had when it began.
    began: Version,
    role: Role,
}

#[derive(Debug)]
enum Role {
    /// Sends symbols, or answers questions.
    Serving,
    /// Receives symbols.
    Decoding(Decoder),
    /// Asks down the tree.
    Descending(Descent),
}

/// The exchanges with one peer, at most one in each direction. They end with the session.
#[derive(Debug, Default)]
pub struct Exchanges {
    /// Begun here.
    begun: Option<Exchange>,
    /// Whether the end of the one begun here is awaited. Only this is saved: a restored replica has lost its links, and all exchanges with them.
    pub is_open: bool,
    /// Begun by the peer, and not ended.
    taken: Option<Exchange>,
    /// The last one that the peer began, under the name it had then. Kept and saved, so that doubled datagrams begin nothing anew: what this
    /// replica has by then is not what the peer speaks of.
    pub last_taken: Option<(Agent, u64)>,
}

impl Exchanges {
    /// What was begun here goes on.
    fn hold(&mut self, exchange: Exchange) {
        self.begun = Some(exchange);
        self.is_open = true;
    }

    /// The exchange begun here, if it has this number; it has ended unless it is held again.
    fn release(&mut self, number: u64) -> Option<Exchange> {
        let exchange = self.begun.take_if(|exchange| exchange.number == number)?;
        self.is_open = false;
        Some(exchange)
    }

    /// The link was lost, and all that was under way with it.
    pub fn lose(&mut self) {
        self.abandon();
        self.taken = None;
    }

    /// What was begun here is of no use any more.
    pub fn abandon(&mut self) {
        self.begun = None;
        self.is_open = false;
    }
}

/// The dots above a floor, as the structure that finds differences.
#[derive(Debug)]
struct Set {
    floor: Version,
    /// What of this replica's dots is in it.
    upto: Version,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Sketch(Box<Sketch>),
    Tree(Tree),
}

/// The sets in use, the latest last. They follow from what the replica has, and are not saved.
#[derive(Debug, Default)]
pub struct Sets(Vec<Set>);

impl Sets {
    /// The set above a floor, brought up to date.
    fn above(
        &mut self,
        protocol: Protocol,
        floor: &Version,
        have: &Version,
        visited: &mut u64,
    ) -> &mut Keys {
        let kept = self.0.iter().position(|set| set.floor == *floor);
        let mut set = match kept {
            Some(at) => self.0.remove(at),
            None => {
                if self.0.len() == KEPT_SETS {
                    self.0.remove(0);
                }
                let keys = match protocol {
                    Protocol::Rateless => Keys::Sketch(Box::new(Sketch::new(seed(floor)))),
                    _ => Keys::Tree(Tree::new()),
                };
                Set { floor: floor.clone(), upto: floor.clone(), keys }
            }
        };
        each_key(&set.upto, have, |key| {
            match &mut set.keys {
                Keys::Sketch(sketch) => sketch.insert(key, visited),
                Keys::Tree(tree) => tree.insert(key, visited),
            };
        });
        set.upto.join(have);
        self.0.push(set);
        &mut self.0.last_mut().expect("it was just pushed").keys
    }

    /// Forgets all, as after this replica took over another document.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// The same for everybody who speaks of the same set: checksums of the symbols are made under it.
fn seed(floor: &Version) -> u64 {
    floor.iter().fold(0x5eed, |sum: u64, (agent, counter)| {
        let mixed = (sum ^ agent.bits()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29 ^ counter).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    })
}

/// Calls `visit` with the key of every dot that `upto` covers and `from` does not.
fn each_key(from: &Version, upto: &Version, mut visit: impl FnMut(Key)) {
    for (agent, counter) in upto.iter() {
        for counter in from.get(agent) + 1..=counter {
            visit(u128::from(agent.bits()) << 64 | u128::from(counter));
        }
    }
}

/// The first dot of each agent among keys in ascending order.
fn firsts(keys: &[Key]) -> Result<Vec<Dot>, Malformed> {
    let mut firsts: Vec<Dot> = Vec::new();
    for key in keys {
        let dot = Dot { agent: Agent::from_bits((key >> 64) as u64), counter: *key as u64 };
        if !(1..=COUNTER_MAX).contains(&dot.counter) || dot.agent >= Agent::GENESIS {
            return Err(Malformed("a key that names nothing"));
        }
        if firsts.last().is_none_or(|last| last.agent != dot.agent) {
            firsts.push(dot);
        }
    }
    Ok(firsts)
}

/// A version without what comes from some dots on.
fn without(version: &Version, lacking: &[Dot]) -> Version {
    let mut rest = Version::new();
    for (agent, counter) in version.iter() {
        let first = lacking.iter().find(|dot| dot.agent == agent);
        rest.raise(agent, first.map_or(counter, |dot| counter.min(dot.counter - 1)));
    }
    rest
}

fn drift(exchange: &Exchange, have: &Version) -> Drift {
    let mut drift = Drift::new();
    each_key(&exchange.began, have, |key| drift.inserted(key));
    drift
}

/// So many keys of 16 bytes are one unit of work.
const KEYS_PER_UNIT: u64 = 4;

/// Does something whose work is counted in keys visited.
pub(super) fn by_keys<T>(out: &mut Outbox, action: impl FnOnce(&mut Outbox) -> T) -> T {
    let before = out.work_units;
    let result = action(out);
    out.work_units = before + (out.work_units - before).div_ceil(KEYS_PER_UNIT);
    result
}

impl VersionReplica {
    /// Begins an exchange with a peer.
    pub(super) fn begin(&mut self, at: usize, out: &mut Outbox) -> Probe {
        let (store, peer) = (&self.store, &mut self.peers[at]);
        peer.digests += 1;
        let number = peer.digests;
        let floor = store.members.stable(&store.have).unwrap_or_default();
        out.work(floor.len() as u64);
        let visited = &mut out.work_units;
        let (role, opening) = match self.sets.above(self.protocol, &floor, &store.have, visited) {
            Keys::Sketch(sketch) => {
                let batch = sketch.batch(0, &Drift::new(), visited);
                (Role::Serving, Opening::Symbols(batch.expect("there is a first batch")))
            }
            Keys::Tree(tree) => {
                let (descent, question) = Descent::start(tree, visited);
                (Role::Descending(descent), Opening::Question(question))
            }
        };
        let began = store.have.news(&Version::new());
        let sender = store.agent;
        peer.exchanges.hold(Exchange { number, floor: floor.clone(), began, role });
        peer.sent.join(&store.have);
        Probe::Begin { number, sender, floor, opening }
    }

    /// Takes a probe. Returns what is said in return, and whether the peer is to get what it lacks.
    pub(super) fn probed(
        &mut self,
        at: usize,
        probe: Probe,
        out: &mut Outbox,
    ) -> Result<(Option<Probe>, Bring), Malformed> {
        let nothing = (None, Bring::Nothing);
        Ok(match probe {
            Probe::Begin { number, sender, floor, opening } => {
                self.begun(at, (number, sender), floor, opening, out)?
            }
            Probe::More { number, from } => match &self.peers[at].exchanges.begun {
                Some(exchange) if exchange.number == number => {
                    let (have, visited) = (&self.store.have, &mut out.work_units);
                    let drift = drift(exchange, have);
                    let set = self.sets.above(self.protocol, &exchange.floor, have, visited);
                    let Keys::Sketch(sketch) = set else { return Err(OTHER) };
                    match sketch.batch(from, &drift, visited) {
                        Some(batch) => (Some(Probe::Symbols { number, batch }), Bring::Nothing),
                        // Too many for any number of symbols.
                        None => {
                            self.peers[at].exchanges.abandon();
                            (None, Bring::Version)
                        }
                    }
                }
                _ => nothing,
            },
            Probe::Symbols { number, batch } => self.decode(at, number, &batch, out)?,
            Probe::Ask { number, question } => match &self.peers[at].exchanges.taken {
                Some(exchange) if exchange.number == number => {
                    let (have, visited) = (&self.store.have, &mut out.work_units);
                    let set = self.sets.above(self.protocol, &exchange.floor, have, visited);
                    let Keys::Tree(tree) = set else { return Err(OTHER) };
                    let answer = answer(tree, &question, visited)?;
                    (Some(Probe::Answer { number, answer }), Bring::Nothing)
                }
                _ => nothing,
            },
            Probe::Answer { number, answer } => self.descend(at, number, &answer, out)?,
            Probe::Found { number, lacking } => {
                let exchanges = &mut self.peers[at].exchanges;
                let ended = match self.protocol {
                    Protocol::Rateless => exchanges.release(number),
                    _ => exchanges.taken.take_if(|exchange| exchange.number == number),
                };
                let Some(exchange) = ended else { return Ok(nothing) };
                let known = without(&exchange.began, &lacking);
                self.settle(at, &known);
                (None, Bring::Changes)
            }
        })
    }

    /// The peer began an exchange.
    fn begun(
        &mut self,
        at: usize,
        (number, sender): (u64, Agent),
        floor: Version,
        opening: Opening,
        out: &mut Outbox,
    ) -> Result<(Option<Probe>, Bring), Malformed> {
        let peer = &mut self.peers[at];
        if sender.replica() != peer.id {
            return Err(Malformed("an exchange under somebody else's name"));
        }
        let exchanges = &mut peer.exchanges;
        let (this, last) = (Some((sender, number)), exchanges.last_taken);
        let is_again = last == this && exchanges.taken.is_some();
        if self.transport == Transport::Datagram && last >= this && !is_again {
            return Ok((None, Bring::Nothing));
        }
        let store = &self.store;
        if peer.misled || !store.have.reaches(&floor) {
            // This replica is taken to have what it lacks: only its version says how far behind it is.
            return Ok((None, Bring::Version));
        }
        let began = store.have.news(&Version::new());
        match opening {
            Opening::Symbols(batch) => {
                if self.protocol != Protocol::Rateless {
                    return Err(OTHER);
                }
                if !is_again {
                    let role = Role::Decoding(Decoder::new());
                    exchanges.taken = Some(Exchange { number, floor, began, role });
                    exchanges.last_taken = this;
                }
                self.decode(at, number, &batch, out)
            }
            Opening::Question(question) => {
                if self.protocol != Protocol::Merkle {
                    return Err(OTHER);
                }
                let visited = &mut out.work_units;
                let set = self.sets.above(self.protocol, &floor, &store.have, visited);
                let Keys::Tree(tree) = set else { return Err(OTHER) };
                let answer = answer(tree, &question, visited)?;
                if !is_again {
                    let role = Role::Serving;
                    exchanges.taken = Some(Exchange { number, floor, began, role });
                    exchanges.last_taken = this;
                }
                Ok((Some(Probe::Answer { number, answer }), Bring::Nothing))
            }
        }
    }

    /// Takes symbols of an exchange that the peer began.
    fn decode(
        &mut self,
        at: usize,
        number: u64,
        batch: &Batch,
        out: &mut Outbox,
    ) -> Result<(Option<Probe>, Bring), Malformed> {
        let (have, visited) = (&self.store.have, &mut out.work_units);
        let slot = &mut self.peers[at].exchanges.taken;
        let Some(mut exchange) = slot.take_if(|exchange| exchange.number == number) else {
            return Ok((None, Bring::Nothing));
        };
        let drift = drift(&exchange, have);
        let Role::Decoding(decoder) = &mut exchange.role else { return Err(OTHER) };
        let set = self.sets.above(self.protocol, &exchange.floor, have, visited);
        let Keys::Sketch(sketch) = set else { return Err(OTHER) };
        match decoder.take(batch, sketch, &drift, visited)? {
            Progress::Done => {
                let differences = decoder.differences();
                Ok((Some(self.found(at, &exchange, &differences)?), Bring::Changes))
            }
            Progress::More { from } => {
                *slot = Some(exchange);
                Ok((Some(Probe::More { number, from }), Bring::Nothing))
            }
            Progress::Stale => {
                *slot = Some(exchange);
                Ok((None, Bring::Nothing))
            }
        }
    }

    /// Takes an answer in an exchange that this replica began.
    fn descend(
        &mut self,
        at: usize,
        number: u64,
        answer: &[u8],
        out: &mut Outbox,
    ) -> Result<(Option<Probe>, Bring), Malformed> {
        let (have, visited) = (&self.store.have, &mut out.work_units);
        let exchanges = &mut self.peers[at].exchanges;
        let Some(mut exchange) = exchanges.release(number) else {
            return Ok((None, Bring::Nothing));
        };
        let Role::Descending(descent) = &mut exchange.role else { return Err(OTHER) };
        let set = self.sets.above(self.protocol, &exchange.floor, have, visited);
        let Keys::Tree(tree) = set else { return Err(OTHER) };
        match descent.take(tree, answer, visited)? {
            Step::Done => {
                let differences = descent.differences().clone();
                Ok((Some(self.found(at, &exchange, &differences)?), Bring::Changes))
            }
            Step::Ask(question) => {
                exchanges.hold(exchange);
                Ok((Some(Probe::Ask { number, question }), Bring::Nothing))
            }
            Step::Stale => {
                exchanges.hold(exchange);
                Ok((None, Bring::Nothing))
            }
        }
    }

    /// This replica knows all differences.
    fn found(
        &mut self,
        at: usize,
        exchange: &Exchange,
        differences: &Differences,
    ) -> Result<Probe, Malformed> {
        let have = &self.store.have;
        let missing = firsts(&differences.only_mine)?;
        let mut lacking = firsts(&differences.only_theirs)?;
        // Some of it may have come meanwhile.
        let last = |agent: Agent| {
            let of_it = differences.only_theirs.iter().map(|key| (key >> 64, *key as u64));
            of_it.filter(|(of, _)| *of as u64 == agent.bits()).map(|(_, counter)| counter).max()
        };
        let mut known = without(&exchange.began, &missing);
        for dot in &mut lacking {
            if dot.agent == self.store.agent {
                return Err(Malformed("own changes that were never made"));
            }
            if dot.counter > have.get(dot.agent) + 1 {
                return Err(Malformed("changes whose predecessors are missing"));
            }
            known.raise(dot.agent, last(dot.agent).unwrap_or(0));
            dot.counter = have.get(dot.agent) + 1;
        }
        lacking.retain(|dot| known.get(dot.agent) >= dot.counter);
        self.settle(at, &known);
        Ok(Probe::Found { number: exchange.number, lacking })
    }

    /// A peer has all this. It may have more, which it said while the exchange was under way: what is known of it never shrinks here, or the
    /// log might not reach back to it any more. A peer that lost its memory says so with its version.
    fn settle(&mut self, at: usize, known: &Version) {
        let peer = &mut self.peers[at];
        peer.acked.join(known);
        peer.sent = peer.acked.clone();
        peer.cursor = self.store.log.first_unknown(peer.cursor, &peer.acked);
    }
}

const OTHER: Malformed = Malformed("a probe of another protocol");
