//! The document of one replica: its cells, how changes act on them, and what is shown.

use super::causal::{Agent, Dot, Span};
use super::counter::{Counter, Share, Tally};
use super::op::{Delta, Op, Seen};
use super::register::Register;
use super::sequence::{Claim, Sequence, TextOrder};
use super::set::Set;
use super::takeover::Comparison;
use crate::contract::Footprint;
use crate::document::{
    Cell, Content, Edit, FieldId, FieldKind, Mark, RecordId, Rendering, Schema, Scope, Value,
    char_count,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// One cell.
#[derive(Clone, Debug)]
pub enum State {
    /// A register.
    Register(Register),
    /// A counter.
    Counter(Counter),
    /// A set.
    Set(Set),
    /// A text.
    Text(Sequence),
}

impl State {
    fn new(kind: FieldKind, text_order: TextOrder) -> Self {
        match kind {
            FieldKind::Register => State::Register(Register::default()),
            FieldKind::Counter => State::Counter(Counter::default()),
            FieldKind::Set => State::Set(Set::default()),
            FieldKind::Text => State::Text(Sequence::new(text_order)),
        }
    }

    /// What a deletion hides that is made now.
    fn seen(&self) -> Seen {
        match self {
            State::Register(register) => Seen::Values(register.dots()),
            State::Counter(counter) => Seen::Tallies(counter.seen()),
            State::Set(set) => Seen::Insertions(set.insertions().keys().copied().collect()),
            State::Text(text) => Seen::Characters(text.visible()),
        }
    }

    /// What it takes, in bytes; names kept for reports alone are not counted.
    fn footprint(&self) -> Footprint {
        let named = |dots: usize| (dots * size_of::<Dot>()) as u64;
        let mut footprint = Footprint::default();
        match self {
            State::Register(register) => {
                let values = register.values().iter();
                footprint.content_bytes = values.map(|(_, v)| v.as_str().len() as u64).sum();
                footprint.metadata_bytes = named(register.values().len());
            }
            State::Counter(counter) => {
                footprint.content_bytes = Content::Counter(counter.value()).bytes();
                let shares = counter.shares().len() * (size_of::<Agent>() + size_of::<Share>());
                footprint.metadata_bytes = shares as u64;
            }
            State::Set(set) => {
                footprint.content_bytes = set.elements().map(|e| e.as_str().len() as u64).sum();
                footprint.metadata_bytes = named(set.insertions().len());
            }
            State::Text(text) => footprint = text.footprint(),
        }
        footprint
    }

    fn show(&self, cell: Cell, out: &mut Rendering) {
        match self {
            State::Register(register) => register.show(cell, out),
            State::Counter(counter) => out.settled(cell, Content::Counter(counter.value())),
            State::Set(set) => {
                out.settled(cell, Content::Set(set.elements().cloned().collect()));
            }
            State::Text(text) => out.settled(cell, Content::Text(text.text())),
        }
    }
}

/// What a change did besides being part of the document now.
#[derive(Debug, Default)]
pub struct Effects {
    /// Values and additions that it hid.
    pub hidden: Vec<Dot>,
    /// Values that are now shown beside its own.
    pub rivals: Vec<(Cell, Dot)>,
    /// Elements visited.
    pub work_units: u64,
}

/// All cells that anybody has written to.
#[derive(Debug, Default)]
pub struct Cells {
    text_order: TextOrder,
    states: BTreeMap<Cell, State>,
    digests: RefCell<Digests>,
}

/// The fingerprint, kept up cell by cell: the sum of the cells' digests.
#[derive(Debug, Default)]
struct Digests {
    of: BTreeMap<Cell, u128>,
    sum: u128,
    stale: BTreeSet<Cell>,
}

impl Cells {
    /// No cells; their texts will be in this order.
    pub fn new(text_order: TextOrder) -> Self {
        Cells { text_order, ..Cells::default() }
    }

    /// These cells, whose texts are in this order.
    pub fn from_states(text_order: TextOrder, states: BTreeMap<Cell, State>) -> Self {
        let stale = states.keys().copied().collect();
        let digests = RefCell::new(Digests { stale, ..Digests::default() });
        Cells { text_order, states, digests }
    }

    /// The order of its texts.
    pub fn text_order(&self) -> TextOrder {
        self.text_order
    }

    /// Every cell, in order.
    pub fn states(&self) -> &BTreeMap<Cell, State> {
        &self.states
    }

    fn touch(&mut self, cell: Cell, kind: FieldKind) -> &mut State {
        self.digests.get_mut().stale.insert(cell);
        self.states.entry(cell).or_insert_with(|| State::new(kind, self.text_order))
    }

    /// Lets a cell be changed; `change` says whether what it shows may be another.
    pub fn revise(&mut self, cell: Cell, kind: FieldKind, change: impl FnOnce(&mut State) -> bool) {
        let state = self.states.entry(cell).or_insert_with(|| State::new(kind, self.text_order));
        if change(state) {
            self.digests.get_mut().stale.insert(cell);
        }
    }

    /// Makes a change part of the document; its cells are of the kinds it takes them for, and everything it refers to is here.
    pub fn apply(&mut self, delta: &Delta, effects: &mut Effects) {
        effects.work_units += 1;
        match &delta.op {
            Op::Put { cell, value, seen } => {
                let State::Register(register) = self.touch(*cell, FieldKind::Register) else {
                    return;
                };
                register.put(delta.first, value.clone(), seen, &mut effects.hidden);
                effects.work_units += seen.len() as u64;
                effects.rivals.extend(register.rivals(delta.first).map(|dot| (*cell, dot)));
            }
            Op::Add { cell, amount } => {
                if let State::Counter(counter) = self.touch(*cell, FieldKind::Counter) {
                    counter.add(delta.first, *amount);
                }
            }
            Op::Insert { cell, element, seen } => {
                if let State::Set(set) = self.touch(*cell, FieldKind::Set) {
                    set.insert(delta.first, element.clone(), seen);
                    effects.work_units += seen.len() as u64;
                }
            }
            Op::Run { cell, left, claim, text } => {
                if let State::Text(sequence) = self.touch(*cell, FieldKind::Text) {
                    effects.work_units += text.len() as u64 / 64
                        + sequence.insert_beside(delta.first, *left, *claim, text);
                }
            }
            Op::Hide { seen } => {
                for (cell, seen) in seen {
                    self.hide(*cell, seen, effects);
                }
            }
            Op::Saw(_) => {}
        }
    }

    /// Whether the characters that a change names as neighbours are here, deleted or not.
    pub fn knows_neighbours(&self, delta: &Delta) -> bool {
        let Op::Run { cell, left, claim, .. } = &delta.op else { return true };
        let text = self.text(*cell);
        let knows = |dot: Dot| dot.is_none() || text.is_some_and(|text| text.has(dot));
        knows(*left) && if let Claim::Before(right) = claim { knows(*right) } else { true }
    }

    /// The deleted characters of every text that can still be let go.
    pub fn deleted(&self) -> Vec<(Cell, Vec<Span>)> {
        let deleted = self.texts_to_search().map(|(cell, text)| (cell, text.deleted()));
        deleted.filter(|(_, spans)| !spans.is_empty()).collect()
    }

    /// Items that [`Cells::deleted`] looks at.
    pub fn items_to_search(&self) -> u64 {
        self.texts_to_search().map(|(_, text)| text.items() as u64).sum()
    }

    /// The texts in which something may be deleted.
    fn texts_to_search(&self) -> impl Iterator<Item = (Cell, &Sequence)> {
        self.states.iter().filter_map(|(cell, state)| match state {
            State::Text(text) if text.has_deleted() => Some((*cell, text)),
            _ => None,
        })
    }

    /// Lets deleted characters go, as far as nobody needs them. The caller guarantees what [`Sequence::forget`] says. Returns how many items
    /// were looked at.
    pub fn forget(&mut self, deleted: &[(Cell, Vec<Span>)]) -> u64 {
        let mut looked_at = 0;
        for (cell, spans) in deleted {
            if let Some(State::Text(text)) = self.states.get_mut(cell) {
                looked_at += text.forget(spans);
            }
        }
        looked_at
    }

    fn hide(&mut self, cell: Cell, seen: &Seen, effects: &mut Effects) {
        match (self.touch(cell, seen.kind()), seen) {
            (State::Register(register), Seen::Values(dots)) => {
                register.hide(dots, &mut effects.hidden);
                effects.work_units += dots.len() as u64;
            }
            (State::Counter(counter), Seen::Tallies(tallies)) => {
                let before = effects.hidden.len();
                counter.hide(tallies, &mut effects.hidden);
                effects.work_units += (tallies.len() + effects.hidden.len() - before) as u64;
            }
            (State::Set(set), Seen::Insertions(dots)) => {
                set.hide(dots);
                effects.work_units += dots.len() as u64;
            }
            (State::Text(text), Seen::Characters(spans)) => {
                effects.work_units += text.erase(spans);
            }
            _ => {}
        }
    }

    /// Makes a user's edit part of the document and adds what it did to `deltas`, named by dots from `first` on: nothing where it has no
    /// effect.
    pub fn edit(
        &mut self,
        schema: &Schema,
        edit: &Edit,
        first: Dot,
        deltas: &mut Vec<Delta>,
        effects: &mut Effects,
    ) {
        let kind = edit.cell().map(|cell| schema.kind(cell.field));
        let mut author = Author { cells: self, next: first, deltas, effects };
        match (edit, kind) {
            (Edit::Delete { record }, _) => author.delete(schema, *record),
            (Edit::Put { cell, value }, Some(Some(FieldKind::Register))) => {
                let seen = author.seen(*cell).map_or_else(Vec::new, values);
                author.add(1, Op::Put { cell: *cell, value: value.clone(), seen });
            }
            (Edit::Add { cell, amount }, Some(Some(FieldKind::Counter))) if *amount != 0 => {
                author.add(1, Op::Add { cell: *cell, amount: *amount });
            }
            (Edit::Insert { cell, element }, Some(Some(FieldKind::Set))) => {
                let seen = author.holders(*cell, element);
                author.add(1, Op::Insert { cell: *cell, element: element.clone(), seen });
            }
            (Edit::Remove { cell, element }, Some(Some(FieldKind::Set))) => {
                let seen = author.holders(*cell, element);
                author.hide(vec![(*cell, Seen::Insertions(seen))]);
            }
            (Edit::Splice { cell, at, delete, insert }, Some(Some(FieldKind::Text))) => {
                author.splice(*cell, *at, *delete, insert);
            }
            (Edit::Resolve { cell, content, seen }, Some(Some(kind))) if content.kind() == kind => {
                author.resolve(*cell, content, seen);
            }
            _ => {}
        }
    }

    /// Length of a text in scalar values, as displayed.
    pub fn length(&self, cell: Cell) -> usize {
        match self.states.get(&cell) {
            Some(State::Text(text)) => text.len(),
            _ => 0,
        }
    }

    /// Adds what is shown within `scope`.
    pub fn render(&self, scope: Scope, out: &mut Rendering) {
        match scope {
            Scope::Cell(cell) => {
                if let Some(state) = self.states.get(&cell) {
                    state.show(cell, out);
                }
            }
            Scope::Record(record) => {
                let [first, last] =
                    [0, u16::MAX].map(|field| Cell { record, field: FieldId(field) });
                self.states.range(first..=last).for_each(|(cell, state)| state.show(*cell, out));
            }
            _ => {
                let inside = self.states.iter().filter(|(cell, _)| scope.contains(**cell));
                inside.for_each(|(cell, state)| state.show(*cell, out));
            }
        }
    }

    /// What is hidden and who are new rivals where another document takes the place of this one, cell by cell: values with the value displayed
    /// instead, additions without; rivals with their new rival.
    pub fn compare(&self, new: &Cells) -> Comparison {
        let mut found = Comparison::default();
        for (cell, new) in &new.states {
            match (self.states.get(cell), new) {
                (Some(State::Counter(old)), State::Counter(new)) => {
                    let gone = old.standing().difference(new.standing());
                    found.hidden.extend(gone.map(|dot| (*dot, None)));
                }
                (old, State::Register(new)) => {
                    let old = old.map_or_else(Vec::new, |old| values(old.seen()));
                    let dots = new.dots();
                    let gone = old.iter().filter(|dot| !dots.contains(dot));
                    found.hidden.extend(gone.map(|dot| (*dot, dots.first().copied())));
                    for (n, dot) in dots.iter().enumerate().filter(|(_, dot)| !old.contains(dot)) {
                        let pairs = new
                            .rivals(*dot)
                            .filter(|rival| old.contains(rival) || dots[..n].contains(rival));
                        found.rivals.extend(pairs.map(|rival| (*cell, rival, *dot)));
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// The dots of all that is shown, each with whether it is an addition, which counts as often as it is there.
    pub fn displayed(&self) -> impl Iterator<Item = (Dot, bool)> + '_ {
        self.states.values().flat_map(|state| -> Box<dyn Iterator<Item = (Dot, bool)> + '_> {
            let plain = |dot| (dot, false);
            match state {
                State::Register(register) => Box::new(register.dots().into_iter().map(plain)),
                State::Counter(counter) => {
                    Box::new(counter.standing().iter().map(|dot| (*dot, true)))
                }
                State::Set(set) => Box::new(set.insertions().keys().copied().map(plain)),
                State::Text(text) => {
                    let spans = text.visible().into_iter();
                    let dots =
                        spans.flat_map(|span| (0..span.len).map(move |n| span.first.plus(n)));
                    Box::new(dots.map(plain))
                }
            }
        })
    }

    /// Whether this value or addition is shown; looks at every cell.
    pub fn stands(&self, dot: Dot) -> bool {
        self.states.values().any(|state| match state {
            State::Register(register) => register.dots().contains(&dot),
            State::Counter(counter) => counter.standing().contains(&dot),
            _ => false,
        })
    }

    /// What each agent has added to a counter.
    pub fn tallies(&self, cell: Cell) -> Vec<(Agent, Tally)> {
        match self.states.get(&cell) {
            Some(State::Counter(counter)) => {
                counter.shares().iter().map(|(agent, share)| (*agent, share.added)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The text in a cell, if there is one.
    pub fn text(&self, cell: Cell) -> Option<&Sequence> {
        match self.states.get(&cell) {
            Some(State::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Types text at a position of a cell's text, under the dots from `first` on.
    pub fn type_at(&mut self, cell: Cell, at: usize, first: Dot, text: String) -> Option<Op> {
        let State::Text(sequence) = self.touch(cell, FieldKind::Text) else { return None };
        let (left, claim) = sequence.insert_at(at, first, &text);
        Some(Op::Run { cell, left, claim, text })
    }

    /// What the cells take, in bytes.
    pub fn footprint(&self) -> Footprint {
        let mut sum = Footprint::default();
        for state in self.states.values() {
            let one = state.footprint();
            sum.content_bytes += one.content_bytes;
            sum.metadata_bytes += one.metadata_bytes + size_of::<Cell>() as u64;
            sum.history_bytes += one.history_bytes;
        }
        sum
    }

    /// A digest of everything shown: the sum over the cells of a digest of each, brought up to date where changes were made since.
    pub fn fingerprint(&self) -> u128 {
        let digests = &mut *self.digests.borrow_mut();
        for cell in std::mem::take(&mut digests.stale) {
            let mut rendering = Rendering::new();
            self.render(Scope::Cell(cell), &mut rendering);
            let new = rendering.get(cell).map_or(0, |_| rendering.fingerprint());
            let old = digests.of.insert(cell, new).unwrap_or(0);
            digests.sum = digests.sum.wrapping_sub(old).wrapping_add(new);
        }
        digests.sum
    }
}

fn values(seen: Seen) -> Vec<Dot> {
    match seen {
        Seen::Values(dots) => dots,
        _ => Vec::new(),
    }
}

/// Somebody making an edit: each change is applied as soon as it is named.
struct Author<'a> {
    cells: &'a mut Cells,
    next: Dot,
    deltas: &'a mut Vec<Delta>,
    effects: &'a mut Effects,
}

impl Author<'_> {
    fn seen(&self, cell: Cell) -> Option<Seen> {
        self.cells.states.get(&cell).map(State::seen)
    }

    fn holders(&self, cell: Cell, element: &Value) -> Vec<Dot> {
        match self.cells.states.get(&cell) {
            Some(State::Set(set)) => set.holders(element),
            _ => Vec::new(),
        }
    }

    /// Adds a change that is part of the document already.
    fn name(&mut self, span: u64, op: Op) {
        self.deltas.push(Delta { first: self.next, span, op });
        self.next = self.next.plus(span);
    }

    fn add(&mut self, span: u64, op: Op) {
        let delta = Delta { first: self.next, span, op };
        self.cells.apply(&delta, self.effects);
        self.name(span, delta.op);
    }

    fn hide(&mut self, mut seen: Vec<(Cell, Seen)>) {
        seen.retain(|(_, seen)| !seen.is_empty());
        if !seen.is_empty() {
            self.add(1, Op::Hide { seen });
        }
    }

    fn delete(&mut self, schema: &Schema, record: RecordId) {
        let cells = schema.cells(record);
        self.hide(cells.filter_map(|(cell, _)| Some((cell, self.seen(cell)?))).collect());
    }

    fn splice(&mut self, cell: Cell, at: usize, delete: usize, insert: &str) {
        let State::Text(text) = self.cells.touch(cell, FieldKind::Text) else { return };
        let at = at.min(text.len());
        let looked_up = 2 + u64::from((text.items() + 1).ilog2()) + insert.len() as u64 / 64;
        let spans = text.erase_at(at, delete);
        self.effects.work_units += looked_up + spans.len() as u64;
        if !spans.is_empty() {
            self.name(1, Op::Hide { seen: vec![(cell, Seen::Characters(spans))] });
        }
        if insert.is_empty() {
            return;
        }
        let State::Text(text) = self.cells.touch(cell, FieldKind::Text) else { return };
        let (left, claim) = text.insert_at(at, self.next, insert);
        let span = char_count(insert) as u64;
        self.name(span, Op::Run { cell, left, claim, text: insert.to_owned() });
    }

    /// Answers a conflict. An answer that names nothing was given to a register without a conflict and replaces what it shows. Other
    /// kinds of cells never show a conflict; an answer to one replaces what it shows.
    fn resolve(&mut self, cell: Cell, content: &Content, seen: &[Mark]) {
        if let Content::Register(answer) = content {
            let mut named = match self.cells.states.get(&cell) {
                Some(State::Register(register)) if seen.is_empty() => register.dots(),
                Some(State::Register(register)) => register.named(seen),
                _ => Vec::new(),
            };
            if let (Some(_), Some(State::Register(register))) =
                (answer, self.cells.states.get(&cell))
            {
                // Nobody is his own rival: a value replaces what its author put before, also since the conflict was shown.
                let own = register.dots().into_iter().filter(|dot| dot.agent == self.next.agent);
                named.extend(own.filter(|dot| !named.contains(dot)).collect::<Vec<_>>());
            }
            match answer {
                Some(value) => self.add(1, Op::Put { cell, value: value.clone(), seen: named }),
                None => self.hide(vec![(cell, Seen::Values(named))]),
            }
            return;
        }
        if let Some(seen) = self.seen(cell) {
            self.hide(vec![(cell, seen)]);
        }
        match content {
            Content::Register(_) => {}
            Content::Counter(0) => {}
            Content::Counter(amount) => self.add(1, Op::Add { cell, amount: *amount }),
            Content::Set(elements) => {
                for element in elements {
                    self.add(1, Op::Insert { cell, element: element.clone(), seen: Vec::new() });
                }
            }
            Content::Text(text) => self.splice(cell, 0, 0, text),
        }
    }
}
