//! A device's process: it takes one input after the other, pays for it with time, energy and storage, and then its effects show.

use super::{Event, MAX_REPLIES, Message, Timer, World};
use crate::device::battery::Battery;
use crate::device::clock::DeviceClock;
use crate::device::journal::{HostInput, Journal};
use crate::fact::{Fact, NotMade, Phase, Stop};
use crate::schedule::{Decision, Rule, Signals};
use crate::workload::EditKind;
use reconverge_scenarios::{self as scenarios, Durability, Group};
use reconverge_strategies::{
    Cargo, Change, Edit, EditId, LinkState, Output, Replica, ReplicaId, SeatChange, Transport,
};
use std::collections::VecDeque;

/// Something that waits for the processor.
#[derive(Debug)]
pub(super) enum Waiting {
    /// The user acted.
    Asked { number: u32, acted_ns: u64 },
    /// The user answered a prompt.
    Answer { prompt: u32, acted_ns: u64 },
    /// The host has something for the replica.
    Input { input: HostInput, hops: u32 },
}

/// What an input did, until it shows.
#[derive(Debug, Default)]
struct Running {
    outputs: Vec<Output>,
    edit: Option<(EditId, u64)>,
    hops: u32,
    barrier: bool,
    was_sync: bool,
    /// The work of a recovery, where this is one.
    recovery_units: Option<u64>,
}

/// A device and its process.
pub struct Host {
    pub(super) rule: Rule,
    /// The replica; while the process is stopped, as it was.
    pub replica: Box<dyn Replica>,
    pub(super) journal: Journal,
    clock: DeviceClock,
    cpu: scenarios::Cpu,
    storage: scenarios::Storage,
    /// From a stop until the process runs again: after a kill or an empty battery, and after a loss of power.
    restart_ns: u64,
    boot_ns: u64,
    /// How often it came back knowing less than it had told.
    pub(super) incarnation: u32,
    /// What a loss of power took may be known to others: it comes back as a new incarnation.
    reborn: bool,
    /// A loss of power took inputs: what the replica showed last is not what it is to show after its recovery.
    lossy: bool,
    /// The battery, where it has one.
    pub battery: Option<Battery>,
    /// Whether somebody sits in front of it at times.
    pub has_user: bool,
    pub(super) alive: bool,
    stopped: bool,
    life: u32,
    /// Whether its link is usable, as far as the weather goes.
    pub link_up: bool,
    pub(super) present: bool,
    pub(super) users: super::users::Prompts,
    /// Pairs that it is part of, and on which side.
    pub(super) pairs: Vec<(u32, usize)>,
    queue: VecDeque<Waiting>,
    busy: bool,
    running: Running,
    /// What the membership service said while the process did not run.
    pub(super) missed: Vec<SeatChange>,
    /// Effects of an input that a kill cut off before they showed; they show after the recovery.
    cut_off: Option<Running>,
    /// The name of the next edit. It is never given twice, also where a loss of power takes the edit that had it.
    next_sequence: u64,
    /// Facts told so far of the effects of inputs.
    reports: u64,
    radio_billed_pj: u64,
    dead_since_ns: Option<u64>,
    /// Work so far.
    pub work_units: u64,
    /// Work done again after restarts.
    pub recovery_units: u64,
    /// Energy of the processor.
    pub cpu_pj: u64,
    /// Energy of the storage.
    pub storage_pj: u64,
    /// Time it was dead.
    pub dead_ns: u64,
    /// Snapshots and journal.
    pub written: crate::device::journal::Written,
}

impl Host {
    pub(super) fn new(
        group: &Group,
        rule: Rule,
        replica: Box<dyn Replica>,
        journal: Journal,
        clock: DeviceClock,
    ) -> Host {
        Host {
            rule,
            replica,
            journal,
            clock,
            cpu: group.device.cpu.clone(),
            storage: group.device.storage.clone(),
            restart_ns: group.kills.as_ref().map_or(2_000_000_000, |kills| kills.restart_ns),
            boot_ns: group.power_losses.as_ref().map_or(0, |losses| losses.restart_ns),
            incarnation: 0,
            reborn: false,
            lossy: false,
            battery: group.device.battery.as_ref().map(Battery::new),
            has_user: group.user.is_some(),
            alive: true,
            stopped: false,
            life: 0,
            link_up: true,
            present: false,
            users: super::users::Prompts::new(group.user.as_ref().map(|user| user.think.clone())),
            pairs: Vec::new(),
            queue: VecDeque::new(),
            busy: false,
            running: Running::default(),
            missed: Vec::new(),
            cut_off: None,
            next_sequence: 0,
            reports: 0,
            radio_billed_pj: 0,
            dead_since_ns: None,
            work_units: 0,
            recovery_units: 0,
            cpu_pj: 0,
            storage_pj: 0,
            dead_ns: 0,
            written: Default::default(),
        }
    }

    /// Whether its process runs.
    pub(super) fn running(&self) -> bool {
        self.alive && !self.stopped
    }

    /// Whether it can be reached.
    pub(super) fn reachable(&self) -> bool {
        self.running() && self.link_up
    }

    /// Whether nothing waits for its processor.
    pub(super) fn idle(&self) -> bool {
        !self.busy && self.queue.is_empty()
    }

    /// How long it takes to put everything in the journal on storage.
    fn sync_ns(&self) -> u64 {
        self.storage.sync_ns + write_ns(&self.storage, self.journal.unsynced_bytes())
    }

    fn signals(&self) -> Signals {
        match &self.battery {
            Some(battery) => Signals { powered: battery.plugged(), saving: battery.saving() },
            None => Signals { powered: true, saving: false },
        }
    }
}

impl World<'_> {
    pub(super) fn enqueue(&mut self, device: usize, waiting: Waiting) {
        let host = &mut self.hosts[device];
        host.queue.push_back(waiting);
        if !host.busy {
            self.start_next(device);
        }
    }

    /// Starts inputs until one takes the processor or none is left.
    fn start_next(&mut self, device: usize) {
        while !self.hosts[device].busy
            && self.ending.is_none()
            && let Some(waiting) = self.hosts[device].queue.pop_front()
        {
            match waiting {
                Waiting::Asked { number, acted_ns } => self.start_asked(device, number, acted_ns),
                Waiting::Answer { prompt, acted_ns } => {
                    self.start_answer(device, prompt, acted_ns);
                }
                Waiting::Input { input, hops } => self.start_input(device, input, hops, None),
            }
        }
    }

    fn start_asked(&mut self, device: usize, number: u32, acted_ns: u64) {
        let mut seen = std::mem::take(&mut self.seen);
        let host = &self.hosts[device];
        let edit = self.script.concrete(number, host.replica.as_ref(), &mut seen);
        // A recorded session makes sense only as a whole: a patch without its place is an error, not a void edit.
        let recorded = self.script.asked[number as usize].kind == EditKind::Typed;
        match edit {
            Some(edit) => self.start_edit(device, edit, Some(number), acted_ns, &seen, &[]),
            None if recorded => self.fail(format!("patch {number} finds no place in the text")),
            None => {
                // The name stays unused: names have gaps.
                self.hosts[device].next_sequence += 1;
                self.emit(&Fact::NotMade { number, why: NotMade::Void });
            }
        }
        self.seen = seen;
    }

    /// A user's edit, concrete now.
    pub(super) fn start_edit(
        &mut self,
        device: usize,
        edit: Edit,
        number: Option<u32>,
        acted_ns: u64,
        seen: &reconverge_strategies::Rendering,
        prompted: &[reconverge_strategies::Content],
    ) {
        let host = &mut self.hosts[device];
        let id = EditId { origin: ReplicaId(device as u32), sequence: host.next_sequence };
        host.next_sequence += 1;
        self.emit(&Fact::EditMade { id, number, edit: &edit, acted_ns, seen, prompted });
        self.start_input(device, HostInput::Edit { id, edit }, 0, Some((id, acted_ns)));
    }

    /// Lets the replica handle an input; its effects show when the processor, and the storage where needed, are done.
    fn start_input(
        &mut self,
        device: usize,
        input: HostInput,
        hops: u32,
        edit: Option<(EditId, u64)>,
    ) {
        if let HostInput::Link { peer, .. } = input {
            let (pair, side) = self.pair_with(device, peer);
            self.pairs[pair].untold[side] -= 1;
        }
        let host = &mut self.hosts[device];
        let clock = host.clock.read(self.now_ns);
        host.journal.append(&input);
        if let Err(malformed) = host.replica.handle(clock, input.input(), &mut self.out) {
            let reason = format!("r{device} refuses an input: {malformed}");
            self.out.clear();
            return self.fail(reason);
        }
        let was_sync = matches!(input, HostInput::Sync { .. });
        let addressee = addressee(&input);
        let is_change = |output: &&Output| matches!(output, Output::Change(_));
        let changes = self.out.outputs.iter().filter(is_change).count() as u64;
        let reports = u64::from(edit.is_some()) + changes;
        let snapshot_bytes = host.journal.keep(clock, input, reports, host.replica.as_ref());
        let work_units = self.out.work_units;
        let mut done_ns = self.now_ns + work_units * host.cpu.unit_ns;
        let mut leaves = false;
        for output in &self.out.outputs {
            leaves |=
                matches!(output, Output::Send { .. } | Output::Change(Change::Acknowledged { .. }));
            if let Output::Send { to, .. } = output
                && Some(*to) != addressee
            {
                let allowed = addressee.map_or("nobody".into(), |peer| peer.to_string());
                let reason = format!("r{device} writes to {to} where it may write to {allowed}");
                self.out.clear();
                return self.fail(reason);
            }
        }
        let barrier = host.journal.unsynced_bytes() > 0
            && match host.storage.durability {
                Durability::Edit => leaves || edit.is_some(),
                Durability::Output { .. } => leaves,
                Durability::Unsafe { .. } => false,
            };
        let mut storage_ns = write_ns(&host.storage, snapshot_bytes);
        if barrier {
            let barrier_ns = host.sync_ns();
            storage_ns += barrier_ns;
            done_ns += barrier_ns;
        }
        host.work_units += work_units;
        std::mem::swap(&mut host.running.outputs, &mut self.out.outputs);
        self.out.clear();
        host.running.edit = edit;
        host.running.hops = hops;
        host.running.barrier = barrier;
        host.running.was_sync = was_sync;
        host.busy = true;
        if barrier {
            self.agenda.clear_timer(self.timers.id(Timer::Journal(device as u32)));
        } else if let Durability::Output { interval_ns } | Durability::Unsafe { interval_ns } =
            host.storage.durability
        {
            let timer = self.timers.id(Timer::Journal(device as u32));
            if self.agenda.timer_ns(timer).is_none() {
                self.agenda.set_timer(timer, self.now_ns + interval_ns);
            }
        }
        self.agenda.set_timer(self.timers.id(Timer::Cpu(device as u32)), done_ns);
        self.bill_cpu(device, work_units);
        self.bill_storage(device, storage_ns);
    }

    /// The processor is done with an input: its effects show, in order.
    pub(super) fn finish_input(&mut self, device: usize) {
        let mut running = std::mem::take(&mut self.hosts[device].running);
        self.hosts[device].busy = false;
        if running.barrier {
            self.hosts[device].journal.sync();
        }
        self.show(device, &mut running);
        let was_sync = running.was_sync;
        // The buffer is used again.
        self.hosts[device].running.outputs = running.outputs;
        if self.hosts[device].running() {
            self.plan_talk(device, was_sync);
            self.start_next(device);
        }
    }

    fn show(&mut self, device: usize, running: &mut Running) {
        let number = device as u32;
        if let Some(work_units) = running.recovery_units.take() {
            self.emit(&Fact::Restarted { device: number, work_units });
        }
        if let Some((id, acted_ns)) = running.edit.take() {
            self.hosts[device].reports += 1;
            self.emit(&Fact::EditDone { id, acted_ns });
        }
        if running.barrier {
            self.emit(&Fact::Committed { device: number });
        }
        for output in running.outputs.drain(..) {
            match output {
                Output::Change(change) => self.changed(device, change),
                Output::Send { to, bytes, cargo } => {
                    self.transmit(device, to, bytes, cargo, running.hops);
                }
            }
        }
    }

    fn changed(&mut self, device: usize, change: Change) {
        self.hosts[device].reports += 1;
        self.emit(&Fact::Changed { device: device as u32, change });
        self.settling.changes += 1;
        self.settling.last_change_ns = self.now_ns;
        if let Change::Conflicted { cell, edit, with } = change {
            self.conflicted(device, cell, edit, with);
        }
    }

    /// The pair of a device and a peer, and the device's side of it.
    fn pair_with(&self, device: usize, peer: ReplicaId) -> (usize, usize) {
        let is_it = |(pair, _): &&(u32, usize)| {
            self.pairs[*pair as usize].other(device as u32) == Some(peer.0)
        };
        let (pair, side) = self.hosts[device].pairs.iter().find(is_it).expect("only peers meet");
        (*pair as usize, *side)
    }

    fn transmit(&mut self, from: usize, to: ReplicaId, bytes: Vec<u8>, cargo: Cargo, hops: u32) {
        let length = bytes.len() as u64;
        self.counts.messages += 1;
        self.counts.bytes_strategy += length;
        self.counts.bytes_content += cargo.content_bytes;
        self.counts.elements += cargo.elements;
        if hops > MAX_REPLIES {
            return self.fail(format!(
                "an exchange between r{from} and {to} did not end within {MAX_REPLIES} replies"
            ));
        }
        let (from_number, to_number) = (from as u32, to.0);
        let (pair, side) = self.pair_with(from, to);
        let session = &self.pairs[pair];
        let passes = match self.transport {
            Transport::Session => {
                session.is_open() && session.knows[side] && session.untold[side] == 0
            }
            Transport::Datagram => self.hosts[from].reachable(),
        };
        if !passes {
            self.counts.bytes_wasted += length;
            self.emit(&Fact::Dropped { from: from_number, to: to_number, bytes: length });
            return;
        }
        let generation = session.generation;
        let mut passage = self.network.send(self.now_ns, from, to_number as usize, length);
        self.bill_radio(from);
        self.bill_radio(to_number as usize);
        if self.transport == Transport::Session {
            let last_ns = &mut self.pairs[pair].last_reaches_ns[side];
            passage.reaches_ns = passage.reaches_ns.map(|at_ns| at_ns.max(*last_ns));
            *last_ns = passage.reaches_ns.unwrap_or(*last_ns);
        }
        self.emit(&Fact::Sent {
            from: from_number,
            to: to_number,
            bytes: &bytes,
            arrives_ns: passage.reaches_ns,
        });
        let Some(reaches_ns) = passage.reaches_ns else {
            self.counts.bytes_wasted += length;
            self.settling.drops += 1;
            return;
        };
        let (to, wire_bytes) = (to_number, passage.wire_bytes);
        let message = Box::new(Message {
            from: from_number,
            to,
            pair: pair as u32,
            generation,
            bytes,
            cargo,
            wire_bytes,
            hops,
        });
        if let Some(again_ns) = passage.again_ns {
            self.in_flight += 1;
            self.agenda.schedule(again_ns, Event::Reaches(message.clone()));
        }
        self.in_flight += 1;
        self.agenda.schedule(reaches_ns, Event::Reaches(message));
    }

    /// Whether the receiver of a message is still there for it.
    fn is_awaited(&self, message: &Message) -> bool {
        let session = &self.pairs[message.pair as usize];
        self.hosts[message.to as usize].reachable()
            && (self.transport == Transport::Datagram
                || session.is_open() && session.generation == message.generation)
    }

    fn drop_message(&mut self, message: &Message) {
        let Message { from, to, .. } = *message;
        let bytes = message.bytes.len() as u64;
        self.in_flight -= 1;
        self.counts.bytes_wasted += bytes;
        self.settling.drops += 1;
        self.emit(&Fact::Dropped { from, to, bytes });
    }

    pub(super) fn reaches(&mut self, message: Box<Message>) {
        if !self.is_awaited(&message) {
            return self.drop_message(&message);
        }
        let to = message.to as usize;
        let through_ns = self.network.receive(self.now_ns, to, message.wire_bytes);
        self.bill_radio(to);
        self.agenda.schedule(through_ns, Event::Deliver(message));
    }

    pub(super) fn deliver(&mut self, message: Message) {
        if !self.is_awaited(&message) {
            return self.drop_message(&message);
        }
        self.in_flight -= 1;
        let Message { from, to, bytes, cargo, hops, .. } = message;
        self.in_contact(from);
        self.in_contact(to);
        self.emit(&Fact::Delivered { from, to, bytes: bytes.len() as u64 });
        let input = HostInput::Receive { from: ReplicaId(from), bytes, cargo };
        self.enqueue_input(to as usize, input, hops + 1);
    }

    /// After an input: whoever is owed something and waits for no answer gets a time.
    fn plan_talk(&mut self, device: usize, was_sync: bool) {
        let host = &mut self.hosts[device];
        if let Some(battery) = &mut host.battery {
            battery.advance(self.now_ns);
        }
        let Decision::After(delay_ns) = host.rule.decide(host.signals()) else { return };
        for n in 0..host.pairs.len() {
            let (pair, side) = self.hosts[device].pairs[n];
            let session = &self.pairs[pair as usize];
            let timer = self.timers.id(Timer::Sync { pair, side });
            if !session.knows[side] || self.agenda.timer_ns(timer).is_some() {
                continue;
            }
            let pending = self.hosts[device].replica.pending(ReplicaId(session.ends[1 - side]));
            if pending.edits == 0 {
                continue;
            }
            let mut delay_ns = delay_ns;
            if was_sync || self.transport == Transport::Datagram && pending.exchange_open {
                // It has just spoken. Over sessions an answer, or the loss of the session, will come; over datagrams it may be lost.
                if pending.exchange_open && self.transport == Transport::Session {
                    continue;
                }
                delay_ns = delay_ns.max(RETRY_NS);
            }
            self.agenda.set_timer(timer, self.now_ns + delay_ns);
        }
    }

    /// The user's device takes note of everything at the latest now.
    pub(super) fn sync_journal(&mut self, device: usize) {
        let host = &mut self.hosts[device];
        if !host.running() || host.journal.unsynced_bytes() == 0 {
            return;
        }
        let time_ns = host.sync_ns();
        host.journal.sync();
        self.bill_storage(device, time_ns);
        self.emit(&Fact::Committed { device: device as u32 });
    }

    pub(super) fn kill(&mut self, device: usize) {
        self.emit(&Fact::Kill { device: device as u32 });
        if self.hosts[device].running() && self.phase == Phase::Work {
            self.counts.kills += 1;
            self.stop(device, Stop::Killed);
            self.restart_after(device, self.hosts[device].restart_ns);
        }
    }

    fn restart_after(&mut self, device: usize, after_ns: u64) {
        let event = Event::Restart { device: device as u32, life: self.hosts[device].life };
        self.agenda.schedule(self.now_ns + after_ns, event);
    }

    /// The power fails, be it while the process runs or while it is restarting. A device with an empty battery has been shut down.
    pub(super) fn power_fails(&mut self, device: usize) {
        self.emit(&Fact::PowerFails { device: device as u32 });
        if !self.hosts[device].alive || self.phase != Phase::Work {
            return;
        }
        self.counts.power_losses += 1;
        if self.hosts[device].stopped {
            self.hosts[device].life += 1;
        } else {
            self.stop(device, Stop::Power);
        }
        self.forget(device);
        self.restart_after(device, self.hosts[device].boot_ns);
    }

    /// What is not on storage never happened on this device.
    fn forget(&mut self, device: usize) {
        let host = &mut self.hosts[device];
        host.lossy |= !host.journal.is_synced();
        let taken = host.journal.lose();
        host.reborn |= matches!(host.storage.durability, Durability::Unsafe { .. });
        let synced = host.journal.reports_synced();
        // What an input does shows as a whole, and so is what was cut off: of an input on storage, or gone with it.
        if synced <= host.reports {
            host.cut_off = None;
        }
        let reports = host.reports.saturating_sub(synced);
        host.reports -= reports;
        // The conflicts are open again; users are asked anew.
        host.users.ask_again(taken.answered);
        // What the membership service had said before is told again, and first.
        host.missed.splice(..0, taken.members);
        if taken.edits > 0 || reports > 0 {
            let edits = taken.edits;
            self.emit(&Fact::Forgotten { device: device as u32, edits, reports });
        }
    }

    /// Stops a process. What was written to its journal stays with the operating system.
    fn stop(&mut self, device: usize, why: Stop) {
        let number = device as u32;
        self.emit(&Fact::Stopped { device: number, why });
        let host = &mut self.hosts[device];
        host.stopped = true;
        host.life += 1;
        if host.busy {
            host.busy = false;
            let mut running = std::mem::take(&mut host.running);
            if running.barrier && why == Stop::Killed {
                // The operating system ends what the process began.
                host.journal.sync();
            }
            running.outputs.retain(|output| matches!(output, Output::Change(_)));
            match &mut host.cut_off {
                // Stopped again during a recovery: what was cut off before is still to be shown.
                Some(earlier) => earlier.outputs.append(&mut running.outputs),
                None => host.cut_off = Some(running),
            }
        }
        if why == Stop::Battery {
            // The device shuts down in order.
            host.journal.sync();
        }
        let queue = std::mem::take(&mut host.queue);
        for waiting in queue {
            match waiting {
                Waiting::Asked { number, .. } => {
                    self.emit(&Fact::NotMade { number, why: NotMade::Blocked });
                }
                Waiting::Input { input: HostInput::Receive { from, bytes, .. }, .. } => {
                    let bytes = bytes.len() as u64;
                    self.counts.bytes_wasted += bytes;
                    self.emit(&Fact::Dropped { from: from.0, to: number, bytes });
                }
                Waiting::Answer { prompt, .. } => self.hosts[device].users.reopen(prompt),
                Waiting::Input { input: HostInput::Seat(change), .. } => {
                    self.hosts[device].missed.push(change);
                }
                Waiting::Input { .. } => {}
            }
        }
        for n in 0..self.hosts[device].pairs.len() {
            let (pair, side) = self.hosts[device].pairs[n];
            self.pairs[pair as usize].untold[side] = 0;
        }
        for timer in [Timer::Cpu(number), Timer::Journal(number)] {
            self.agenda.clear_timer(self.timers.id(timer));
        }
        self.cut_sessions(device, why == Stop::Killed);
    }

    pub(super) fn restart(&mut self, device: usize, life: u32) {
        let host = &self.hosts[device];
        if !host.alive || !host.stopped || host.life != life {
            return;
        }
        let recovered = host.journal.recover(self.strategy, &self.seat(device));
        let (mut replica, work_units) = match recovered {
            Ok(recovered) => recovered,
            Err(malformed) => {
                return self.fail(format!("r{device} cannot read its own snapshot: {malformed}"));
            }
        };
        let mut storage_ns = 0;
        if self.hosts[device].reborn {
            self.hosts[device].reborn = false;
            self.hosts[device].incarnation += 1;
            let mut saved = Vec::new();
            replica.save(&mut saved);
            let shown = self.held_fingerprints(device, replica.as_ref());
            replica = match self.strategy.restore(&self.seat(device), &saved) {
                Ok(replica) => replica,
                Err(malformed) => {
                    return self.fail(format!("r{device} cannot be born again: {malformed}"));
                }
            };
            if self.held_fingerprints(device, replica.as_ref()) != shown {
                return self.fail(format!("r{device} shows something else when born again"));
            }
            let incarnation = self.hosts[device].incarnation;
            self.emit(&Fact::Reborn { device: device as u32, incarnation });
            let host = &mut self.hosts[device];
            let bytes = host.journal.begin_anew(replica.as_ref());
            storage_ns = host.storage.sync_ns + write_ns(&host.storage, bytes);
        }
        if !self.hosts[device].lossy && !self.shows_the_same(device, replica.as_ref()) {
            return self.fail(format!("r{device} shows something else after its recovery"));
        }
        let host = &mut self.hosts[device];
        host.lossy = false;
        host.replica = replica;
        host.stopped = false;
        host.recovery_units += work_units;
        host.running = host.cut_off.take().unwrap_or_default();
        host.running.recovery_units = Some(work_units);
        host.running.barrier = false;
        host.busy = true;
        let done_ns = self.now_ns + work_units * host.cpu.unit_ns + storage_ns;
        self.agenda.set_timer(self.timers.id(Timer::Cpu(device as u32)), done_ns);
        self.bill_cpu(device, work_units);
        self.bill_storage(device, storage_ns);
        self.tell_missed(device);
        for n in 0..self.hosts[device].pairs.len() {
            let (pair, side) = self.hosts[device].pairs[n];
            self.tell(pair as usize, side, LinkState::Lost);
        }
        self.dial_all(device);
    }

    pub(super) fn plugged(&mut self, device: usize, plugged: bool) {
        self.emit(&Fact::Plugged { device: device as u32, plugged });
        let now_ns = self.now_ns;
        if let Some(battery) = &mut self.hosts[device].battery {
            battery.advance(now_ns);
            battery.set_plugged(plugged);
        }
        self.rearm_battery(device);
    }

    pub(super) fn rearm_battery(&mut self, device: usize) {
        let timer = self.timers.id(Timer::Battery(device as u32));
        let Some(battery) = &self.hosts[device].battery else { return };
        match battery.crossing_ns() {
            Some(at_ns) => self.agenda.set_timer(timer, at_ns.max(self.now_ns)),
            None => self.agenda.clear_timer(timer),
        }
    }

    pub(super) fn battery_due(&mut self, device: usize) {
        let now_ns = self.now_ns;
        let host = &mut self.hosts[device];
        let Some(battery) = &mut host.battery else { return };
        battery.advance(now_ns);
        if host.alive && battery.is_empty() && self.phase == Phase::Work {
            battery.set_dead(true);
            host.alive = false;
            host.dead_since_ns = Some(now_ns);
            self.counts.battery_deaths += 1;
            if host.stopped {
                host.life += 1;
                host.journal.sync();
            } else {
                self.stop(device, Stop::Battery);
            }
            if let Some(radio) = self.network.radio_mut(device) {
                radio.close(now_ns);
            }
            self.bill_radio(device);
        } else if !host.alive && battery.can_revive() {
            self.revive(device);
        }
        self.rearm_battery(device);
    }

    /// A dead device starts again.
    pub(super) fn revive(&mut self, device: usize) {
        let host = &mut self.hosts[device];
        if let Some(battery) = &mut host.battery {
            battery.set_dead(false);
        }
        host.alive = true;
        if let Some(since_ns) = host.dead_since_ns.take() {
            host.dead_ns += self.now_ns - since_ns;
        }
        let restart_ns = host.restart_ns;
        self.restart_after(device, restart_ns);
    }

    fn bill_cpu(&mut self, device: usize, work_units: u64) {
        let host = &mut self.hosts[device];
        let energy_pj = work_units * host.cpu.unit_ns * host.cpu.active_mw;
        host.cpu_pj += energy_pj;
        self.debit(device, energy_pj);
    }

    fn bill_storage(&mut self, device: usize, time_ns: u64) {
        let host = &mut self.hosts[device];
        let energy_pj = time_ns * host.storage.active_mw;
        host.storage_pj += energy_pj;
        self.debit(device, energy_pj);
    }

    pub(super) fn bill_radio(&mut self, device: usize) {
        let Some(radio) = self.network.radio(device) else { return };
        let total_pj = radio.energy().total_pj();
        let host = &mut self.hosts[device];
        let energy_pj = total_pj - host.radio_billed_pj;
        host.radio_billed_pj = total_pj;
        self.debit(device, energy_pj);
    }

    fn debit(&mut self, device: usize, energy_pj: u64) {
        let now_ns = self.now_ns;
        if let Some(battery) = &mut self.hosts[device].battery
            && energy_pj > 0
        {
            battery.advance(now_ns);
            battery.debit(energy_pj);
            if battery.is_empty() {
                self.agenda.set_timer(self.timers.id(Timer::Battery(device as u32)), now_ns);
            }
        }
    }

    /// The trial ends: tails of radios, dead times and journals are counted up to now.
    pub(super) fn close(&mut self) {
        for device in 0..self.hosts.len() {
            let now_ns = self.now_ns;
            if let Some(radio) = self.network.radio_mut(device) {
                radio.close(now_ns);
            }
            self.bill_radio(device);
            let host = &mut self.hosts[device];
            if let Some(battery) = &mut host.battery {
                battery.advance(now_ns);
            }
            if let Some(since_ns) = host.dead_since_ns.take() {
                host.dead_ns += now_ns - since_ns;
            }
            host.written = host.journal.written();
            let total = host.replica.footprint().total();
            self.counts.footprint_peak_bytes = self.counts.footprint_peak_bytes.max(total);
        }
    }
}

/// Over datagrams, what was not acknowledged is sent again after this at the earliest: the initial timeout of RFC 6298.
const RETRY_NS: u64 = 1_000_000_000;

/// The only replica that may be written to on an input.
fn addressee(input: &HostInput) -> Option<ReplicaId> {
    match input {
        HostInput::Sync { peer } => Some(*peer),
        HostInput::Receive { from, .. } => Some(*from),
        HostInput::Edit { .. } | HostInput::Link { .. } | HostInput::Seat(_) => None,
    }
}

fn write_ns(storage: &scenarios::Storage, bytes: u64) -> u64 {
    (u128::from(bytes) * 1_000_000_000 / u128::from(storage.write_bytes_per_s.max(1))) as u64
}
