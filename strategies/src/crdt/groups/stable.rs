//! Letting deleted characters go once every member has said that it has what deleted them.

use super::group::Group;
use super::replica::GroupReplica;
use super::said::{self, Row, Rows};
use crate::contract::Outbox;
use crate::crdt::causal::{Dot, Span, Version};
use crate::document::Cell;

/// Dots after which a replica that waits for nobody looks for what it can let go.
const ALONE_DOTS: u64 = 256;

/// Deleted characters that can be let go once every member has what was here when they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burial {
    /// What was here.
    pub as_of: Version,
    /// In order of cells.
    pub deleted: Vec<(Cell, Vec<Span>)>,
}

impl Burial {
    /// Bytes it takes, about.
    pub fn bytes(&self) -> u64 {
        self.deleted.iter().map(|(_, spans)| size_of_val(&spans[..]) as u64).sum()
    }
}

impl GroupReplica {
    /// Takes note of what came: dots that are new, and what members said under them.
    pub(super) fn hear(&mut self, news: &[Span], rows: &Rows, before: &Version, out: &mut Outbox) {
        let is_new = |agent, row: &Row| !before.covers(Dot { agent, counter: row.counter });
        let said = |dot: Dot| rows.get(&dot.agent).is_some_and(|row| row.counter == dot.counter);
        for span in news {
            let last = span.first.plus(span.len - 1);
            self.members.heard(span.first.agent, span.len, !(span.len == 1 && said(last)));
            self.members.made(last);
        }
        let mut heard = false;
        for (agent, row) in rows.iter().filter(|(agent, row)| is_new(**agent, row)) {
            heard = true;
            let dot = |(agent, counter)| Dot { agent, counter };
            let has: Vec<Dot> = row.has.iter().map(dot).collect();
            out.work(has.len() as u64);
            self.members.take(dot((*agent, row.counter)), &has, &row.gone);
            said::say(&mut self.said, *agent, row);
        }
        if heard {
            self.compact(out);
        }
    }

    /// Says what is here, if it is time to and anything is there to be let go.
    pub(super) fn say_if_due(&mut self, out: &mut Outbox) {
        if !self.members.is_due() {
            return;
        }
        out.work(self.cells.items_to_search());
        if self.burial.is_none() && self.cells.deleted().is_empty() {
            self.members.wait();
        } else {
            self.say(out);
        }
    }

    /// Says what is here.
    pub(super) fn say(&mut self, out: &mut Outbox) {
        let counter = self.have.get(self.agent) + 1;
        let (has, gone) = (self.have.news(&Version::new()), self.members.say_all());
        out.work(has.len() as u64);
        self.have.raise(self.agent, counter);
        let row = Row { counter, has, gone };
        said::say(&mut self.said, self.agent, &row);
        self.offer(Group::saying(self.agent, row));
        self.compact(out);
    }

    /// A replica that waits for nobody made an edit, up to this dot.
    pub(super) fn compact_alone(&mut self, first: Dot, last: Dot, out: &mut Outbox) {
        if self.members.is_alone() && first.counter / ALONE_DOTS != (last.counter + 1) / ALONE_DOTS
        {
            self.compact(out);
        }
    }

    /// Lets go what nobody needs any more.
    fn compact(&mut self, out: &mut Outbox) {
        let Some(stable) = self.members.stable(&self.have) else { return };
        out.work((self.have.len() * self.have.len()) as u64);
        if let Some(burial) = self.burial.take_if(|burial| stable.reaches(&burial.as_of)) {
            out.work(self.cells.forget(&burial.deleted));
            burial.deleted.iter().for_each(|(cell, _)| self.whole.touch(*cell));
        }
        if self.burial.is_none() {
            out.work(self.cells.items_to_search());
            let deleted = self.cells.deleted();
            let as_of = self.have.news(&Version::new());
            self.burial = (!deleted.is_empty()).then_some(Burial { as_of, deleted });
        }
    }
}
