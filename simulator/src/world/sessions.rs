//! Sessions between pairs of devices: dialled when both can be reached, cut by weather, kills and empty batteries.

use super::{Event, Timer, World};
use crate::device::journal::HostInput;
use crate::fact::Fact;
use reconverge_strategies::{LinkState, ReplicaId};

/// A side that hears nothing gives a session up after this: 1.5 × 30 s, the socket timeout of y-websocket.
const SILENCE_NS: u64 = 45_000_000_000;

/// Two devices that talk to each other, and their session.
#[derive(Debug)]
pub(super) struct Pair {
    /// The side that dials, and the other one.
    pub(super) ends: [u32; 2],
    state: State,
    /// Rises whenever a session is begun or cut: what belongs to an older one is void.
    pub(super) generation: u32,
    /// Whether each side's host believes in a session.
    pub(super) knows: [bool; 2],
    /// Beginnings and ends of sessions that wait for the processor of each side: until its replica has taken them, what it says belongs to a
    /// session that is over.
    pub(super) untold: [u32; 2],
    /// When the last message of each side reaches the other's link: the next one cannot overtake it.
    pub(super) last_reaches_ns: [u64; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Dialling,
    Open,
}

impl Pair {
    pub(super) fn new(dials: u32, other: u32) -> Pair {
        Pair {
            ends: [dials, other],
            state: State::Down,
            generation: 0,
            knows: [false; 2],
            untold: [0; 2],
            last_reaches_ns: [0; 2],
        }
    }

    pub(super) fn side(&self, device: u32) -> Option<usize> {
        self.ends.iter().position(|end| *end == device)
    }

    pub(super) fn other(&self, device: u32) -> Option<u32> {
        self.side(device).map(|side| self.ends[1 - side])
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }
}

impl World<'_> {
    /// Begins a session where both can be reached and there is none.
    pub(super) fn dial(&mut self, number: usize) {
        let pair = &mut self.pairs[number];
        let [a, b] = pair.ends.map(|end| end as usize);
        if pair.state != State::Down || !self.hosts[a].reachable() || !self.hosts[b].reachable() {
            return;
        }
        pair.state = State::Dialling;
        pair.generation += 1;
        self.dialling += 1;
        let (pair, generation) = (number as u32, pair.generation);
        self.agenda.schedule(self.now_ns, Event::Leg { pair, generation, n: 0 });
    }

    /// The next message of a set-up, or its end.
    pub(super) fn leg_due(&mut self, number: usize, generation: u32, n: u32) {
        if !self.continues(number, generation) {
            return;
        }
        let [a, b] = self.pairs[number].ends.map(|end| end as usize);
        let Some(passage) = self.network.send_leg(self.now_ns, a, b, n as usize) else {
            self.dialling -= 1;
            return self.connected(number);
        };
        self.bill_radio(a);
        self.bill_radio(b);
        let reaches_ns = passage.reaches_ns.expect("set-ups insist");
        let event = Event::LegReaches { pair: number as u32, generation, n };
        self.agenda.schedule(reaches_ns, event);
    }

    pub(super) fn leg_reaches(&mut self, number: usize, generation: u32, n: u32) {
        if !self.continues(number, generation) {
            return;
        }
        let [a, b] = self.pairs[number].ends.map(|end| end as usize);
        let (through_ns, receiver) = self.network.receive_leg(self.now_ns, a, b, n as usize);
        self.bill_radio(receiver);
        let event = Event::Leg { pair: number as u32, generation, n: n + 1 };
        self.agenda.schedule(through_ns, event);
    }

    /// Whether a set-up goes on; one that was cut meanwhile ends here.
    fn continues(&mut self, number: usize, generation: u32) -> bool {
        let pair = &self.pairs[number];
        let goes_on = pair.generation == generation && pair.state == State::Dialling;
        self.dialling -= u32::from(!goes_on);
        goes_on
    }

    pub(super) fn dial_all(&mut self, device: usize) {
        for n in 0..self.hosts[device].pairs.len() {
            self.dial(self.hosts[device].pairs[n].0 as usize);
        }
    }

    fn connected(&mut self, number: usize) {
        let pair = &mut self.pairs[number];
        pair.state = State::Open;
        pair.last_reaches_ns = [0; 2];
        let ends = pair.ends;
        self.counts.sessions += 1;
        self.emit(&Fact::SessionOpened { device: ends[0], peer: ends[1] });
        for side in 0..2 {
            self.tell_lost(number, side);
            self.pairs[number].knows[side] = true;
            self.tell(number, side, LinkState::Open);
        }
        // Who dialled says hello, unless its schedule has a rhythm of its own.
        if self.hosts[ends[0] as usize].rule.tick_ns().is_none() {
            let hello = Timer::Sync { pair: number as u32, side: 0 };
            self.agenda.set_timer(self.timers.id(hello), self.now_ns);
        }
    }

    /// A replica that believes in a session learns that it is over.
    fn tell_lost(&mut self, number: usize, side: usize) {
        let pair = &mut self.pairs[number];
        let ends = pair.ends;
        for timer in [
            Timer::Silence { pair: number as u32, side },
            Timer::Sync { pair: number as u32, side },
        ] {
            self.agenda.clear_timer(self.timers.id(timer));
        }
        if std::mem::take(&mut pair.knows[side]) && self.hosts[ends[side] as usize].running() {
            self.tell(number, side, LinkState::Lost);
        }
    }

    /// A replica is to learn what became of its session with a peer.
    pub(super) fn tell(&mut self, number: usize, side: usize, state: LinkState) {
        let pair = &mut self.pairs[number];
        pair.untold[side] += 1;
        let (device, peer) = (pair.ends[side], ReplicaId(pair.ends[1 - side]));
        self.enqueue_input(device as usize, HostInput::Link { peer, state }, 0);
    }

    /// Cuts every session of a device. It learns of it at once; the other side when told (a killed process: its system closes the
    /// connection), or after hearing nothing for long enough.
    pub(super) fn cut_sessions(&mut self, device: usize, others_are_told: bool) {
        for n in 0..self.hosts[device].pairs.len() {
            let (number, side) = self.hosts[device].pairs[n];
            let pair = &mut self.pairs[number as usize];
            let state = std::mem::replace(&mut pair.state, State::Down);
            if state == State::Down {
                // The other side was cut off before, and this one has not noticed yet.
                self.tell_lost(number as usize, side);
                continue;
            }
            pair.generation += 1;
            let [a, b] = pair.ends;
            let was_open = state == State::Open;
            if !was_open {
                self.counts.sessions_failed += 1;
            }
            self.emit(&Fact::SessionLost { device: a, peer: b, was_open });
            self.tell_lost(number as usize, side);
            let pair = &self.pairs[number as usize];
            if pair.knows[1 - side] {
                let wait_ns = if others_are_told && self.hosts[device].link_up {
                    self.network.one_way_ns(a as usize, b as usize)
                } else {
                    SILENCE_NS
                };
                let timer = Timer::Silence { pair: number, side: 1 - side };
                self.agenda.set_timer(self.timers.id(timer), self.now_ns + wait_ns);
            }
        }
    }

    pub(super) fn silence_due(&mut self, number: usize, side: usize) {
        if !self.pairs[number].is_open() {
            self.tell_lost(number, side);
        }
    }

    pub(super) fn link_changed(&mut self, device: usize, up: bool) {
        self.emit(&Fact::Link { device: device as u32, up });
        self.hosts[device].link_up = up;
        if up {
            self.dial_all(device);
        } else {
            self.cut_sessions(device, false);
        }
    }

    /// The time that a schedule set has come.
    pub(super) fn sync_due(&mut self, number: usize, side: usize) {
        let pair = &self.pairs[number];
        let (device, peer) = (pair.ends[side], pair.ends[1 - side]);
        if pair.knows[side] && self.hosts[device as usize].running() {
            self.emit(&Fact::Synced { device, peer });
            self.enqueue_input(device as usize, HostInput::Sync { peer: ReplicaId(peer) }, 0);
        }
    }

    /// A tick: every peer, one after the other, or one of them at random, reachable or not.
    pub(super) fn tick(&mut self, device: usize) {
        let count = self.hosts[device].pairs.len();
        let peers = if self.hosts[device].rule.draws_partners() && count > 0 {
            let drawn = self.partners[device].below(count as u64) as usize;
            drawn..drawn + 1
        } else {
            0..count
        };
        for n in peers {
            let (number, side) = self.hosts[device].pairs[n];
            self.sync_due(number as usize, side);
        }
        if let Some(interval_ns) = self.hosts[device].rule.tick_ns() {
            let timer = self.timers.id(Timer::Tick(device as u32));
            self.agenda.set_timer(timer, self.now_ns + interval_ns);
        }
    }
}
