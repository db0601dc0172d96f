//! One replica: what it does on each input.

use super::Protocol;
use super::buffer::{Buffer, Entry};
use super::group::Group;
use super::join::{self, join_group, join_state, knows_neighbours, new_runs};
use super::message::{Body, Head, read_message, write_message};
use super::notes::{Addition, Notes, Taken};
use super::peer::{Cursor, Peer};
use super::said::{self, Rows};
use super::speaking::{additions, covers};
use super::stable::Burial;
use super::whole::{Whole, split};
use super::{snapshot, spans};
use crate::contract::{
    Cargo, Change, Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending, Replica, Seat,
    SeatChange, Transport,
};
use crate::crdt::causal::{Agent, Dot, Version};
use crate::crdt::cells::{Cells, Effects, State};
use crate::crdt::op::Delta;
use crate::crdt::sequence::TextOrder;
use crate::crdt::snapshot::read_cell;
use crate::crdt::stability::Members;
use crate::document::{
    Cell, Edit, EditId, FieldKind, PartitionId, Rendering, ReplicaId, Schema, Scope,
};
use std::collections::BTreeMap;

/// A replica of `crdt/state` or of a `crdt/delta`.
#[derive(Debug)]
pub struct GroupReplica {
    pub(super) protocol: Protocol,
    pub(super) agent: Agent,
    pub(super) schema: Schema,
    pub(super) transport: Transport,
    /// What this replica has.
    pub(super) have: Version,
    pub(super) cells: Cells,
    /// Empty where whole states travel.
    pub(super) buffer: Buffer,
    /// In order of names.
    pub(super) peers: Vec<Peer>,
    pub(super) notes: Notes,
    /// The whole state as bytes, as far as it was sent or compared.
    pub(super) whole: Whole,
    /// What the others have.
    pub(super) members: Members,
    /// The last that each agent said of what it has, this one included.
    pub(super) said: Rows,
    pub(super) burial: Option<Burial>,
}

impl GroupReplica {
    /// A replica that holds the seat's genesis and nothing else.
    pub fn new(protocol: Protocol, text_order: TextOrder, seat: &Seat<'_>) -> Self {
        let mut peers: Vec<Peer> = seat.peers.iter().map(|id| Peer::new(*id)).collect();
        peers.sort_by_key(|peer| peer.id);
        let mut replica = GroupReplica {
            protocol,
            agent: Agent::seated(seat.replica, seat.incarnation),
            schema: seat.schema.clone(),
            transport: seat.transport,
            have: Version::new(),
            cells: Cells::new(text_order),
            buffer: Buffer::default(),
            peers,
            notes: Notes::default(),
            whole: Whole::default(),
            members: Members::new(seat.members, seat.replica),
            said: Rows::new(),
            burial: None,
        };
        for (id, edit) in seat.genesis {
            replica.mint(Agent::GENESIS, *id, edit, &mut Effects::default());
        }
        replica
    }

    /// Makes an edit, under the next dots of an agent.
    fn mint(&mut self, agent: Agent, id: EditId, edit: &Edit, effects: &mut Effects) -> Vec<Delta> {
        let first = Dot { agent, counter: self.have.get(agent) + 1 };
        let mut deltas = Vec::new();
        self.cells.edit(&self.schema, edit, first, &mut deltas, effects);
        if let Some(last) = deltas.last().map(Delta::last) {
            self.have.raise(agent, last.counter);
            // What happened within the genesis nobody needs to be told.
            let hidden = effects.hidden.iter().copied().filter(|_| agent != Agent::GENESIS);
            let hidden = hidden.filter(|dot| self.notes.of(*dot) != Some(id)).collect();
            self.notes.made(first, last.counter - first.counter + 1, id, hidden);
            deltas.iter().for_each(|delta| delta.each_cell(|cell| self.whole.touch(cell)));
        }
        deltas
    }

    fn edit(&mut self, id: EditId, edit: &Edit, out: &mut Outbox) {
        let mut effects = Effects::default();
        let deltas = self.mint(self.agent, id, edit, &mut effects);
        out.work(effects.work_units);
        for edit in effects.hidden.iter().filter_map(|dot| self.notes.of(*dot)) {
            if edit != id {
                out.change(Change::Replaced { edit, by: id });
            }
        }
        for (cell, dot) in &effects.rivals {
            if let Some(edit) = self.notes.of(*dot) {
                out.change(Change::Conflicted { cell: *cell, edit, with: id });
            }
        }
        let (Some(first), Some(last)) = (deltas.first(), deltas.last()) else { return };
        if self.protocol != Protocol::State {
            let group = Group::of_edit(&deltas, &self.cells);
            out.work(group.parts().len() as u64);
            self.offer(group);
            self.prune();
        }
        self.compact_alone(first.first, last.last(), out);
    }

    /// Adds to the buffer what was made here.
    pub(super) fn offer(&mut self, group: Group) {
        if self.protocol != Protocol::State && !self.buffer.extend(&group) {
            self.store(None, group, false);
        }
    }

    /// Adds to the buffer what the state has just been joined with.
    fn store(&mut self, from: Option<ReplicaId>, group: Group, is_whole: bool) {
        self.buffer.push(from, group, is_whole);
        for at in 0..self.peers.len() {
            self.advance(at);
        }
    }

    /// Moves a peer's cursors over what it does not need.
    fn advance(&mut self, at: usize) {
        let (buffer, protocol) = (&self.buffer, self.protocol);
        let peer = &mut self.peers[at];
        let id = peer.id;
        for cursor in [&mut peer.confirmed, &mut peer.sent] {
            cursor.next = cursor.next.max(cursor.told);
            let spares = |e: &Entry| protocol.spares(id, e.from, e.is_whole);
            while cursor.next >= peer.reborn && buffer.get(cursor.next).is_some_and(spares) {
                cursor.next += 1;
            }
        }
    }

    pub(super) fn peer(&self, id: ReplicaId) -> Result<usize, Malformed> {
        self.peers.binary_search_by_key(&id, |peer| peer.id).map_err(|_| Malformed("not a peer"))
    }

    fn receive(
        &mut self,
        from: ReplicaId,
        bytes: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let at = self.peer(from)?;
        let (head, body) = read_message(bytes)?;
        out.work_bytes(bytes.len());
        self.check(&head, &body)?;
        if head.incarnation < self.peers[at].incarnation {
            // From a life that is over.
            return Ok(());
        }
        self.members.heard(Agent::new(from, head.incarnation), 0, false);
        let is_gone = self.members.is_gone(from);
        let (life, is_state) = (self.agent, self.protocol == Protocol::State);
        let mut brought = body != Body::Nothing;
        let lived = head.incarnation == self.peers[at].incarnation;
        let heard = if lived { self.peers[at].heard } else { 0 };
        let heard = match body {
            Body::Nothing => heard,
            // Meant for an earlier life, of which the sender believes that it still has what it had. The answer tells it.
            _ if head.yours < self.agent.incarnation() => heard,
            // Something before it is missing: it got lost, or this replica's memory did. The answer says from where on.
            Body::Group { first, .. } if first > heard => heard,
            Body::Group { end, .. } if end <= heard => heard,
            // What it did while it was gone it has to do again.
            Body::Group { .. } | Body::Whole { again: false, .. } if is_gone => heard,
            Body::Group { end, group, .. } => {
                if self.take_group(from, &group, cargo, out)? {
                    end
                } else {
                    self.peers[at].again = true;
                    heard
                }
            }
            Body::Whole { end, again, said, cells } => {
                let version = head.version.as_ref().expect("a whole state comes with its version");
                // Of two that take each other to be gone the one with the smaller document begins again.
                let size = |version: &Version| version.beyond(&Version::new());
                let own = (size(&self.have), from);
                if is_gone && own >= (size(version), self.agent.replica()) {
                    heard
                } else {
                    self.take_whole(from, (version, again), &said, &cells, cargo, out)?;
                    heard.max(end)
                }
            }
        };
        brought |= head.asks;
        if self.agent == life {
            self.learn(at, &head, heard);
            self.say_if_due(out);
        } else {
            // What was said to the old life is void.
            let peer = &mut self.peers[at];
            (peer.incarnation, peer.heard) = (head.incarnation, heard);
        }
        if brought {
            let peer = &self.peers[at];
            let bytes = write_message(&self.head(peer), &Body::Nothing);
            out.work_bytes(bytes.len());
            out.send(from, bytes, Cargo::default());
        }
        self.prune();
        if is_state {
            self.settle_notes();
        }
        Ok(())
    }

    /// Whether what a message says of this replica can be, before anything changes.
    fn check(&self, head: &Head, body: &Body) -> Result<(), Malformed> {
        let own = self.agent.incarnation();
        if head.yours > own || head.yours == own && head.heard > self.buffer.end() {
            return Err(Malformed("groups that were never sent"));
        }
        let is_state = self.protocol == Protocol::State;
        if is_state != head.version.is_some() && !matches!(body, Body::Whole { .. })
            || is_state && matches!(body, Body::Group { .. })
        {
            return Err(Malformed("a message of another protocol"));
        }
        let version = head.version.iter().flat_map(Version::iter);
        if version.into_iter().any(|(agent, n)| agent == self.agent && n > self.have.get(agent)) {
            return Err(Malformed("own changes that were never made"));
        }
        Ok(())
    }

    fn take_group(
        &mut self,
        from: ReplicaId,
        group: &Group,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<bool, Malformed> {
        group.check(&self.schema, self.cells.text_order(), &self.have, self.agent)?;
        let runs = new_runs(group, &self.have)?;
        if !runs.iter().all(|(cell, runs)| knows_neighbours(&self.cells, *cell, runs)) {
            return Ok(false);
        }
        let before = self.have.clone();
        let sums: Vec<Addition> = group.additions().collect();
        let taken = self.notes.take(group.covers(), &self.have, &sums, cargo, out);
        let mut effects = join::Effects::default();
        let delta = join_group(&mut self.cells, &mut self.have, group, &runs, &mut effects);
        self.report(effects, taken, out);
        if !delta.covers().is_empty() {
            group.parts().keys().for_each(|cell| self.whole.touch(*cell));
            let covers = delta.covers().to_vec();
            let news = if self.protocol.removes_redundancy() { delta } else { group.clone() };
            self.store(Some(from), news, false);
            self.hear(&covers, group.said(), &before, out);
        }
        Ok(true)
    }

    fn take_whole(
        &mut self,
        from: ReplicaId,
        (version, again): (&Version, bool),
        rows: &Rows,
        cells: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        said::check_rows(rows, |dot| version.covers(dot))?;
        let mut version = version.clone();
        if version.beyond(&self.have) == 0 && !again {
            // All that such a state can tell is known.
            return Ok(());
        }
        version.raise(Agent::GENESIS, self.have.get(Agent::GENESIS));
        out.work(self.whole.refresh(&self.have, &self.cells));
        out.work_bytes(cells.len());
        let is_alike = self.whole.is_alike(&version);
        let written = split(cells)?;
        let mut theirs = BTreeMap::new();
        for (cell, bytes) in &written {
            let kind = self.schema.kind(cell.field).ok_or(Malformed("no such field"))?;
            if again || !is_alike || !self.whole.is_known(*cell, bytes) {
                let state = read_cell(bytes, &version, kind, self.cells.text_order())?;
                theirs.insert(*cell, (state, *bytes));
            }
        }
        out.work((written.len() + theirs.len()) as u64);
        let (sums, before) = (self.their_sums(&written, &theirs), self.have.clone());
        let mut effects = join::Effects::default();
        let (own, have) = (&mut self.cells, &mut self.have);
        let retyped = join_state(own, have, &theirs, (&version, again), &mut effects)?;
        for (cell, (_, bytes)) in theirs {
            self.whole.touch(cell);
            if self.schema.kind(cell.field) == Some(FieldKind::Text) {
                self.whole.note_joined(cell, bytes);
            }
        }
        let taken = self.notes.take(&covers(&version), &before, &sums, cargo, out);
        self.report(effects, taken, out);
        if self.protocol != Protocol::State {
            let news = covers(&version).into_iter();
            let news: Vec<_> = news.filter_map(|span| spans::beyond(span, &before)).collect();
            self.store(Some(from), Group::covering(news), true);
        }
        let news = covers(&version).into_iter();
        let news: Vec<_> = news.filter_map(|span| spans::beyond(span, &before)).collect();
        self.hear(&news, rows, &before, out);
        if let Some(retyped) = retyped {
            self.begin_again(from, retyped, out);
        }
        Ok(())
    }

    /// The agents whose additions to a counter are part of a state of which only these cells are not the same here.
    fn their_sums(
        &self,
        written: &[(Cell, &[u8])],
        theirs: &BTreeMap<Cell, (State, &[u8])>,
    ) -> Vec<Addition> {
        let mut sums = Vec::new();
        for (cell, _) in written {
            let own = self.cells.states().get(cell);
            let state = theirs.get(cell).map(|(state, _)| state).or(own);
            sums.extend(state.into_iter().flat_map(|state| additions(*cell, state)));
        }
        sums
    }

    /// Reports what a join did beyond what the cargo said, and notes which additions stand.
    fn report(&mut self, effects: join::Effects, taken: Taken, out: &mut Outbox) {
        out.work(effects.work_units);
        for ((cell, _), dot) in taken.standing {
            self.cells.revise(cell, FieldKind::Counter, |state| {
                if let State::Counter(counter) = state {
                    counter.note_standing(dot);
                }
                false
            });
        }
        for (cell, dot) in effects.gone {
            let Some(edit) = self.notes.of(dot).filter(|id| !taken.replaced.contains(id)) else {
                continue;
            };
            // What took its place was settled among the others long ago; of what is shown or came now this is as near as can be said.
            let shown = match self.cells.states().get(&cell) {
                Some(State::Register(register)) => register.values().first().map(|(dot, _)| *dot),
                _ => None,
            };
            if let Some(by) = shown.and_then(|dot| self.notes.of(dot)).or(taken.newest) {
                out.change(Change::Replaced { edit, by });
            }
        }
        for (cell, rival, new) in effects.rivals {
            if let (Some(edit), Some(with)) = (self.notes.of(rival), self.notes.of(new))
                && edit != with
            {
                out.change(Change::Conflicted { cell, edit, with });
            }
        }
    }

    /// Notes what a message says about its sender, and that its stream is known here up to `heard`.
    fn learn(&mut self, at: usize, head: &Head, heard: u64) {
        let own = self.agent.incarnation();
        let peer = &mut self.peers[at];
        peer.answered = true;
        let is_reborn = head.incarnation > peer.incarnation;
        if is_reborn {
            // What it had it may have no more, but for what it says.
            peer.incarnation = head.incarnation;
            peer.forget();
            peer.again = false;
            peer.reborn = self.buffer.end();
        }
        peer.heard = heard;
        if head.yours == own && head.heard > peer.confirmed.told {
            // What is its own it still does not need, and may have been dropped.
            let next = peer.confirmed.next.max(head.heard);
            peer.confirmed = Cursor { told: head.heard, next };
        }
        if peer.sent.told < peer.confirmed.told {
            peer.sent = peer.confirmed;
        }
        if let Some(version) = &head.version {
            peer.known.join(version);
            peer.offered.join(version);
        }
        self.advance(at);
    }

    /// Drops what every peer has. Peers that are gone are not waited for; they get the whole state once they are back.
    fn prune(&mut self) {
        let needed = self.peers.iter().filter(|peer| !peer.gone).map(|peer| {
            // Somebody who is behind the buffer already gets the whole state, and needs what comes after that.
            match [peer.confirmed.next, peer.sent.next] {
                [next, _] if next >= self.buffer.start() => next,
                [_, next] if next >= self.buffer.start() => next,
                _ => self.buffer.end(),
            }
        });
        let needed = needed.min().unwrap_or(self.buffer.end());
        let dropped = self.buffer.drop_before(needed);
        self.notes.defer(&dropped);
        if self.peers.iter().all(|peer| peer.confirmed.next >= self.buffer.start()) {
            self.notes.settle();
        }
    }

    /// Where whole states travel: what every peer is known to have needs no more notes.
    fn settle_notes(&mut self) {
        let known = |dot| self.peers.iter().all(|peer| peer.known.covers(dot));
        self.notes.settle_where(known);
    }
}

impl Replica for GroupReplica {
    fn handle(
        &mut self,
        _clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => self.edit(id, edit, out),
            Input::Sync { peer } => self.sync(peer, out)?,
            Input::Receive { from, bytes, cargo } => self.receive(from, bytes, cargo, out)?,
            Input::Link { peer, state: LinkState::Open | LinkState::Lost } => {
                let at = self.peer(peer)?;
                let peer = &mut self.peers[at];
                peer.sent = peer.confirmed;
                peer.offered = peer.known.clone();
                (peer.greeted, peer.answered) = (false, false);
            }
            Input::Seat(change) => {
                let (SeatChange::Gone { replica } | SeatChange::Back { replica }) = change;
                match change {
                    SeatChange::Gone { .. } if replica == self.agent.replica() => {
                        self.members.cast_out();
                    }
                    SeatChange::Gone { .. } => {
                        self.members.leave(replica, &self.have);
                        self.members.hurry();
                    }
                    SeatChange::Back { .. } if replica != self.agent.replica() => {
                        self.members.join(replica);
                    }
                    SeatChange::Back { .. } => {}
                }
                if let Ok(at) = self.peer(replica) {
                    self.peers[at].gone = matches!(change, SeatChange::Gone { .. });
                    self.prune();
                }
            }
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let Ok(at) = self.peer(peer) else { return Pending::default() };
        let peer = &self.peers[at];
        let waits = peer.greeted && !peer.answered;
        if self.protocol == Protocol::State && !self.begins_again(peer) {
            let base = match self.transport {
                Transport::Session => &peer.offered,
                Transport::Datagram => &peer.known,
            };
            return Pending {
                edits: self.have.beyond(base),
                exchange_open: waits || peer.offered.beyond(&peer.known) > 0,
            };
        }
        let edits = if self.needs_whole(peer) {
            self.have.beyond(&Version::new()).max(1)
        } else {
            self.buffer.elements_since(self.base(peer).next)
        };
        Pending { edits, exchange_open: waits || peer.sent.told > peer.confirmed.told }
    }

    fn length(&self, cell: Cell) -> usize {
        self.cells.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.cells.render(scope, out);
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        if partition == PartitionId(0) { self.cells.fingerprint() } else { 0 }
    }

    fn save(&self, out: &mut Vec<u8>) {
        snapshot::save(self, out);
    }

    fn footprint(&self) -> Footprint {
        let mut footprint = self.cells.footprint();
        let versions = self.peers.iter().map(|peer| peer.known.len()).sum::<usize>();
        let entries = versions + self.have.len();
        footprint.metadata_bytes += (entries * size_of::<(Agent, u64)>()) as u64;
        footprint.metadata_bytes += self.members.bytes() + said::memory_bytes(&self.said);
        footprint.history_bytes += self.buffer.bytes();
        footprint.history_bytes += self.burial.as_ref().map_or(0, Burial::bytes);
        footprint
    }
}
