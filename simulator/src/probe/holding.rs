//! Which replica holds which edit, and since when.
//!
//! A replica holds an edit while it shows it, or while it holds one that is reachable from it through the replacements that any
//! replica has reported. Kept up to date fact by fact; a change costs as much as it changes.

/// Edits by number, replicas by number, and who holds what.
#[derive(Debug)]
pub struct Holding {
    replicas: usize,
    /// How often a replica applied an edit that it now shows; by edit, then replica.
    shown: Vec<u8>,
    holds: Vec<bool>,
    /// Start of the current stretch of holding, or of not holding.
    since_ns: Vec<u64>,
    /// Number of replicas that hold an edit.
    holders: Vec<u32>,
    /// Replaced by.
    successors: Vec<Vec<u32>>,
    /// Replaces.
    predecessors: Vec<Vec<u32>>,
    /// What became held or not held, in order: edit, replica, held.
    changes: Vec<(u32, u32, bool)>,
    stack: Vec<u32>,
}

impl Holding {
    /// No edits yet.
    pub fn new(replicas: usize) -> Holding {
        Holding {
            replicas,
            shown: Vec::new(),
            holds: Vec::new(),
            since_ns: Vec::new(),
            holders: Vec::new(),
            successors: Vec::new(),
            predecessors: Vec::new(),
            changes: Vec::new(),
            stack: Vec::new(),
        }
    }

    /// Adds the next edit, held by nobody.
    pub fn add(&mut self) {
        let wide = self.shown.len() + self.replicas;
        self.shown.resize(wide, 0);
        self.holds.resize(wide, false);
        self.since_ns.resize(wide, 0);
        self.holders.push(0);
        self.successors.push(Vec::new());
        self.predecessors.push(Vec::new());
    }

    fn at(&self, edit: u32, replica: u32) -> usize {
        edit as usize * self.replicas + replica as usize
    }

    /// How often a replica applied an edit that it shows; 0 where it does not show it.
    pub fn shown(&self, edit: u32, replica: u32) -> u8 {
        self.shown[self.at(edit, replica)]
    }

    /// Whether a replica holds an edit.
    pub fn holds(&self, edit: u32, replica: u32) -> bool {
        self.holds[self.at(edit, replica)]
    }

    /// Since when a replica holds an edit; `None` where it does not.
    pub fn settled_ns(&self, edit: u32, replica: u32) -> Option<u64> {
        let at = self.at(edit, replica);
        self.holds[at].then_some(self.since_ns[at])
    }

    /// Number of replicas that hold an edit.
    pub fn holders(&self, edit: u32) -> u32 {
        self.holders[edit as usize]
    }

    /// Whether a replica holds an edit that took the place of this one, as any replica reported.
    pub fn holds_successor(&self, edit: u32, replica: u32) -> bool {
        self.successors[edit as usize].iter().any(|by| self.holds(*by, replica))
    }

    /// A replica shows an edit (once more).
    pub fn show(&mut self, edit: u32, replica: u32, now_ns: u64) {
        let at = self.at(edit, replica);
        self.shown[at] = self.shown[at].saturating_add(1);
        self.raise(edit, replica, now_ns);
    }

    /// A replica shows an edit no more, in favour of another one where `by` says so.
    pub fn hide(&mut self, edit: u32, by: Option<u32>, replica: u32, now_ns: u64) {
        if let Some(by) = by
            && by != edit
            && !self.successors[edit as usize].contains(&by)
        {
            self.successors[edit as usize].push(by);
            self.predecessors[by as usize].push(edit);
            for other in 0..self.replicas as u32 {
                if self.holds(by, other) {
                    self.raise(edit, other, now_ns);
                }
            }
        }
        let at = self.at(edit, replica);
        self.shown[at] = 0;
        self.lower(edit, replica, now_ns);
    }

    /// What a replica reported of an edit is void: it shows it as often as before.
    pub fn revert(&mut self, edit: u32, shown: u8, replica: u32, now_ns: u64) {
        let at = self.at(edit, replica);
        self.shown[at] = shown;
        if shown > 0 {
            self.raise(edit, replica, now_ns);
        } else {
            self.lower(edit, replica, now_ns);
        }
    }

    /// An edit is held; so is whatever it replaced.
    fn raise(&mut self, edit: u32, replica: u32, now_ns: u64) {
        self.stack.push(edit);
        while let Some(edit) = self.stack.pop() {
            let at = self.at(edit, replica);
            if !std::mem::replace(&mut self.holds[at], true) {
                self.since_ns[at] = now_ns;
                self.holders[edit as usize] += 1;
                self.changes.push((edit, replica, true));
                self.stack.extend(&self.predecessors[edit as usize]);
            }
        }
    }

    /// An edit may be held no more; nor may what it replaced.
    fn lower(&mut self, edit: u32, replica: u32, now_ns: u64) {
        self.stack.push(edit);
        while let Some(edit) = self.stack.pop() {
            let at = self.at(edit, replica);
            let supported = self.shown[at] > 0
                || self.successors[edit as usize].iter().any(|by| self.holds(*by, replica));
            if !supported && std::mem::replace(&mut self.holds[at], false) {
                self.since_ns[at] = now_ns;
                self.holders[edit as usize] -= 1;
                self.changes.push((edit, replica, false));
                self.stack.extend(&self.predecessors[edit as usize]);
            }
        }
    }

    /// Takes what changed since the last call: edit, replica, whether it is held now.
    pub fn drain_changes(&mut self, into: &mut Vec<(u32, u32, bool)>) {
        into.append(&mut self.changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::Streams;

    /// The definition, evaluated from scratch.
    fn naive(shown: &[Vec<bool>], edges: &[(u32, u32)]) -> Vec<Vec<bool>> {
        let mut holds = shown.to_vec();
        loop {
            let mut changed = false;
            for (edit, by) in edges {
                let heirs = holds[*by as usize].clone();
                for (held, heir) in holds[*edit as usize].iter_mut().zip(heirs) {
                    changed |= heir && !*held;
                    *held |= heir;
                }
            }
            if !changed {
                return holds;
            }
        }
    }

    #[test]
    fn it_agrees_with_the_definition() {
        let (edits, replicas) = (8, 3);
        for seed in 0..300 {
            let mut stream = Streams::new(seed).stream("holding", 0);
            let mut holding = Holding::new(replicas);
            (0..edits).for_each(|_| holding.add());
            let mut shown = vec![vec![false; replicas]; edits];
            let mut edges: Vec<(u32, u32)> = Vec::new();
            for step in 0..60 {
                let edit = stream.below(edits as u64) as u32;
                let replica = stream.below(replicas as u64) as u32;
                if stream.below(2) == 0 {
                    holding.show(edit, replica, step);
                    shown[edit as usize][replica as usize] = true;
                } else {
                    // Replacements never form a cycle: a later edit replaces an earlier one.
                    let by = (edit + 1 + stream.below(3) as u32).min(edits as u32 - 1);
                    holding.hide(edit, Some(by), replica, step);
                    shown[edit as usize][replica as usize] = false;
                    if by != edit {
                        edges.push((edit, by));
                    }
                }
                for (edit, expected) in (0..).zip(naive(&shown, &edges)) {
                    let held: Vec<bool> =
                        (0..replicas as u32).map(|replica| holding.holds(edit, replica)).collect();
                    assert_eq!(held, expected, "seed {seed} step {step}");
                    let holders = held.iter().filter(|held| **held).count();
                    assert_eq!(holding.holders(edit) as usize, holders, "seed {seed} step {step}");
                }
            }
        }
    }
}
