//! The person in front of a device: present at times, and asked about conflicts.
//!
//! A user is prompted about a conflict that an own edit is part of. The prompt shows the alternatives of that moment; after thinking, the
//! user keeps one of them (chosen at random: products offer "keep this" or "keep that"), if the conflict is still there.

use super::{Event, World, host::Waiting};
use crate::fact::{Fact, Phase};
use crate::streams::{duration_ns, mix};
use reconverge_scenarios::DurationLaw;
use reconverge_strategies::{
    Alternative, Cell, Content, Edit, EditId, Mark, Rendering, ReplicaId, Scope, Shown,
};
use std::collections::BTreeSet;

/// The prompts of one device.
#[derive(Debug)]
pub(super) struct Prompts {
    think: Option<DurationLaw>,
    /// Conflicts that the user has not been shown yet.
    waiting: BTreeSet<Cell>,
    /// Every prompt so far; answered ones are empty.
    shown: Vec<Option<Prompt>>,
    /// Prompts thought over while the user was away or the process down.
    overdue: Vec<u32>,
}

#[derive(Debug)]
struct Prompt {
    cell: Cell,
    shown_ns: u64,
    alternatives: Vec<Alternative>,
}

impl Prompts {
    pub(super) fn new(think: Option<DurationLaw>) -> Prompts {
        Prompts { think, waiting: BTreeSet::new(), shown: Vec::new(), overdue: Vec::new() }
    }

    /// Answers were lost: their conflicts will be shown again.
    pub(super) fn ask_again(&mut self, cells: Vec<Cell>) {
        self.waiting.extend(cells);
    }

    /// The process stopped before it took the answer.
    pub(super) fn reopen(&mut self, prompt: u32) {
        self.overdue.push(prompt);
    }
}

impl World<'_> {
    pub(super) fn presence(&mut self, device: usize, present: bool) {
        self.emit(&Fact::Present { device: device as u32, present });
        let now_ns = self.now_ns;
        let host = &mut self.hosts[device];
        host.present = present;
        if let Some(battery) = &mut host.battery {
            battery.advance(now_ns);
            battery.set_screen(present);
        }
        self.rearm_battery(device);
        if present {
            for prompt in std::mem::take(&mut self.hosts[device].users.overdue) {
                self.answer_due(device, prompt);
            }
            for cell in std::mem::take(&mut self.hosts[device].users.waiting) {
                self.prompt(device, cell);
            }
        }
    }

    pub(super) fn conflicted(&mut self, device: usize, cell: Cell, edit: EditId, with: EditId) {
        let own = ReplicaId(device as u32);
        let host = &mut self.hosts[device];
        let concerned = edit.origin == own || with.origin == own;
        let open = host.users.shown.iter().flatten().any(|prompt| prompt.cell == cell);
        if host.users.think.is_none() || !concerned || open {
            return;
        }
        if host.present && self.phase == Phase::Work {
            self.prompt(device, cell);
        } else {
            host.users.waiting.insert(cell);
        }
    }

    fn alternatives(&self, device: usize, cell: Cell) -> Vec<Alternative> {
        let mut rendering = Rendering::new();
        self.hosts[device].replica.render(Scope::Cell(cell), &mut rendering);
        match rendering.get(cell) {
            Some(Shown::Conflict(alternatives)) => alternatives.clone(),
            _ => Vec::new(),
        }
    }

    fn prompt(&mut self, device: usize, cell: Cell) {
        let alternatives = self.alternatives(device, cell);
        if alternatives.is_empty() || !self.hosts[device].running() {
            return;
        }
        let count = alternatives.len() as u32;
        self.emit(&Fact::Prompted { device: device as u32, alternatives: count });
        let now_ns = self.now_ns;
        let users = &mut self.hosts[device].users;
        let prompt = users.shown.len() as u32;
        users.shown.push(Some(Prompt { cell, shown_ns: now_ns, alternatives }));
        let fate = self.streams.fate([device as u64, u64::from(prompt), now_ns, 0x7468]);
        let think = self.hosts[device].users.think.as_ref().expect("only users are prompted");
        let think_ns = duration_ns(think, mix(fate ^ 1), mix(fate ^ 2));
        let event = Event::Answer { device: device as u32, prompt };
        self.agenda.schedule(now_ns + think_ns, event);
    }

    /// The user has thought; the answer waits until the user is there.
    pub(super) fn answer_due(&mut self, device: usize, prompt: u32) {
        let host = &mut self.hosts[device];
        if host.present && host.running() && self.phase == Phase::Work {
            self.enqueue(device, Waiting::Answer { prompt, acted_ns: self.now_ns });
        } else {
            host.users.overdue.push(prompt);
        }
    }

    pub(super) fn start_answer(&mut self, device: usize, number: u32, acted_ns: u64) {
        let slot = &mut self.hosts[device].users.shown[number as usize];
        let Some(Prompt { cell, shown_ns, alternatives }) = slot.take() else { return };
        let now: Vec<Mark> = self.alternatives(device, cell).iter().map(|a| a.mark).collect();
        let still = alternatives.iter().filter(|a| now.contains(&a.mark)).count();
        let open_ns = self.now_ns - shown_ns;
        let resolves = still > 1;
        self.emit(&Fact::Answered { device: device as u32, open_ns, resolves });
        if !resolves {
            // What is left of it, if anything, is another conflict.
            if now.len() > 1 {
                self.hosts[device].users.waiting.insert(cell);
            }
            return;
        }
        let fate = self.streams.fate([device as u64, number.into(), shown_ns, 0x616e]);
        let chosen = (u128::from(fate) * alternatives.len() as u128) >> 64;
        let content = alternatives[chosen as usize].content.clone();
        let seen: Vec<Mark> = alternatives.iter().map(|a| a.mark).collect();
        let prompted: Vec<Content> = alternatives.into_iter().map(|a| a.content).collect();
        let edit = Edit::Resolve { cell, content, seen };
        self.start_edit(device, edit, None, acted_ns, &Rendering::new(), &prompted);
    }
}
