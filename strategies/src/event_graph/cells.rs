//! The document of one replica: its cells, how events act on them, and what is shown. Registers, counters and sets are those of
//! [`crate::crdt`]; texts are [`Text`]s.

use super::event::{Act, Event, Passage, Seen};
use super::text::Text;
use crate::contract::Footprint;
use crate::crdt::causal::{Agent, Dot};
use crate::crdt::counter::{Counter, Share, Tally};
use crate::crdt::register::Register;
use crate::crdt::set::Set;
use crate::crdt::takeover::Comparison;
use crate::document::{
    Cell, Content, Edit, FieldId, FieldKind, Mark, RecordId, Rendering, Schema, Scope, Value,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// One cell.
#[derive(Debug)]
pub enum State {
    /// A register.
    Register(Register),
    /// A counter.
    Counter(Counter),
    /// A set.
    Set(Set),
    /// A text.
    Text(Text),
}

impl State {
    fn new(kind: FieldKind) -> Self {
        match kind {
            FieldKind::Register => State::Register(Register::default()),
            FieldKind::Counter => State::Counter(Counter::default()),
            FieldKind::Set => State::Set(Set::default()),
            FieldKind::Text => State::Text(Text::default()),
        }
    }

    /// What a deletion hides that is made now, unless this is a text.
    fn seen(&self) -> Option<Seen> {
        match self {
            State::Register(register) => Some(Seen::Values(register.dots())),
            State::Counter(counter) => Some(Seen::Tallies(counter.seen())),
            State::Set(set) => Some(Seen::Insertions(set.insertions().keys().copied().collect())),
            State::Text(_) => None,
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
            State::Text(text) => {
                footprint.content_bytes = text.bytes() as u64;
                footprint.history_bytes = text.history_bytes() as u64;
            }
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
            State::Text(text) => out.settled(cell, Content::Text(text.content())),
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
    /// These cells.
    pub fn from_states(states: BTreeMap<Cell, State>) -> Self {
        let stale = states.keys().copied().collect();
        let digests = RefCell::new(Digests { stale, ..Digests::default() });
        Cells { states, digests }
    }

    /// Every cell, in order.
    pub fn states(&self) -> &BTreeMap<Cell, State> {
        &self.states
    }

    fn touch(&mut self, cell: Cell, kind: FieldKind) -> &mut State {
        self.digests.get_mut().stale.insert(cell);
        self.states.entry(cell).or_insert_with(|| State::new(kind))
    }

    /// A text, or `None` where nobody has written to it.
    pub fn text(&self, cell: Cell) -> Option<&Text> {
        match self.states.get(&cell) {
            Some(State::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A text that is about to change.
    pub fn text_mut(&mut self, cell: Cell) -> &mut Text {
        match self.touch(cell, FieldKind::Text) {
            State::Text(text) => text,
            _ => unreachable!("cells are of the kind that the schema says"),
        }
    }

    /// What each agent added to a counter, as far as nobody took it back.
    pub fn tallies(&self, cell: Cell) -> Vec<(Agent, Tally)> {
        match self.states.get(&cell) {
            Some(State::Counter(counter)) => counter.seen(),
            _ => Vec::new(),
        }
    }

    /// Every text, to have its history shortened.
    pub fn texts(&mut self) -> impl Iterator<Item = &mut Text> {
        self.states.values_mut().filter_map(|state| match state {
            State::Text(text) => Some(text),
            _ => None,
        })
    }

    /// Makes an event part of the document, unless it is typed; its cells are of the kinds it takes them for, and everything it refers to is
    /// here.
    pub fn apply<T>(&mut self, event: &Event<T>, effects: &mut Effects) {
        effects.work_units += 1;
        match &event.act {
            Act::Put { cell, value, seen } => {
                let State::Register(register) = self.touch(*cell, FieldKind::Register) else {
                    return;
                };
                register.put(event.first, value.clone(), seen, &mut effects.hidden);
                effects.work_units += seen.len() as u64;
                effects.rivals.extend(register.rivals(event.first).map(|dot| (*cell, dot)));
            }
            Act::Add { cell, amount } => {
                if let State::Counter(counter) = self.touch(*cell, FieldKind::Counter) {
                    counter.add(event.first, *amount);
                }
            }
            Act::Insert { cell, element, seen } => {
                if let State::Set(set) = self.touch(*cell, FieldKind::Set) {
                    set.insert(event.first, element.clone(), seen);
                    effects.work_units += seen.len() as u64;
                }
            }
            Act::Hide { seen } => {
                for (cell, seen) in seen {
                    self.hide(*cell, seen, effects);
                }
            }
            Act::Type { .. } | Act::Saw { .. } => {}
        }
    }

    fn hide(&mut self, cell: Cell, seen: &Seen, effects: &mut Effects) {
        effects.work_units += seen.len() as u64;
        match (self.touch(cell, seen.kind()), seen) {
            (State::Register(register), Seen::Values(dots)) => {
                register.hide(dots, &mut effects.hidden);
            }
            (State::Counter(counter), Seen::Tallies(tallies)) => {
                let before = effects.hidden.len();
                counter.hide(tallies, &mut effects.hidden);
                effects.work_units += (effects.hidden.len() - before) as u64;
            }
            (State::Set(set), Seen::Insertions(dots)) => set.hide(dots),
            _ => {}
        }
    }

    /// Makes a user's edit part of the document and adds what it did to `events`, named by dots from `first` on: nothing where it has no
    /// effect.
    pub fn edit(
        &mut self,
        schema: &Schema,
        edit: &Edit,
        first: Dot,
        events: &mut Vec<Event<Passage>>,
        effects: &mut Effects,
    ) {
        let kind = edit.cell().map(|cell| schema.kind(cell.field));
        let mut author = Author { cells: self, next: first, events, effects };
        match (edit, kind) {
            (Edit::Delete { record }, _) => author.delete(schema, *record),
            (Edit::Put { cell, value }, Some(Some(FieldKind::Register))) => {
                let seen = author.seen(*cell).map_or_else(Vec::new, values);
                author.add(Act::Put { cell: *cell, value: value.clone(), seen });
            }
            (Edit::Add { cell, amount }, Some(Some(FieldKind::Counter))) if *amount != 0 => {
                author.add(Act::Add { cell: *cell, amount: *amount });
            }
            (Edit::Insert { cell, element }, Some(Some(FieldKind::Set))) => {
                let seen = author.holders(*cell, element);
                author.add(Act::Insert { cell: *cell, element: element.clone(), seen });
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
                    let old = old.and_then(State::seen).map_or_else(Vec::new, values);
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

    /// The dots of all that is shown, texts left aside, each with whether it is an addition, which counts as often as it is there.
    pub fn displayed(&self) -> impl Iterator<Item = (Dot, bool)> + '_ {
        self.states.values().flat_map(|state| {
            let (dots, adds): (Vec<Dot>, bool) = match state {
                State::Register(register) => (register.dots(), false),
                State::Counter(counter) => (counter.standing().iter().copied().collect(), true),
                State::Set(set) => (set.insertions().keys().copied().collect(), false),
                State::Text(_) => (Vec::new(), false),
            };
            dots.into_iter().map(move |dot| (dot, adds))
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
    events: &'a mut Vec<Event<Passage>>,
    effects: &'a mut Effects,
}

impl Author<'_> {
    fn seen(&self, cell: Cell) -> Option<Seen> {
        self.cells.states.get(&cell).and_then(State::seen)
    }

    fn holders(&self, cell: Cell, element: &Value) -> Vec<Dot> {
        match self.cells.states.get(&cell) {
            Some(State::Set(set)) => set.holders(element),
            _ => Vec::new(),
        }
    }

    /// Adds an event that is part of the document already.
    fn name(&mut self, span: u64, act: Act<Passage>) {
        self.events.push(Event { first: self.next, span, act });
        self.next = self.next.plus(span);
    }

    fn add(&mut self, act: Act<Passage>) {
        let event = Event { first: self.next, span: 1, act };
        self.cells.apply(&event, self.effects);
        self.name(1, event.act);
    }

    fn hide(&mut self, mut seen: Vec<(Cell, Seen)>) {
        seen.retain(|(_, seen)| seen.len() > 0);
        if !seen.is_empty() {
            self.add(Act::Hide { seen });
        }
    }

    fn delete(&mut self, schema: &Schema, record: RecordId) {
        let cells = schema.cells(record);
        self.hide(cells.filter_map(|(cell, _)| Some((cell, self.seen(cell)?))).collect());
        for (cell, kind) in schema.cells(record) {
            if kind == FieldKind::Text {
                self.splice(cell, 0, usize::MAX, "");
            }
        }
    }

    fn splice(&mut self, cell: Cell, at: usize, delete: usize, insert: &str) {
        let length = self.cells.length(cell);
        let at = at.min(length);
        let delete = delete.min(length - at);
        if self.next.agent == Agent::GENESIS {
            self.cells.text_mut(cell).begin(at, delete, insert);
            return;
        }
        if delete > 0 {
            self.type_in(cell, at, delete, "");
        }
        if !insert.is_empty() {
            self.type_in(cell, at, 0, insert);
        }
    }

    fn type_in(&mut self, cell: Cell, at: usize, delete: usize, insert: &str) {
        let text = self.cells.text_mut(cell);
        let typed = text.graph().end();
        let (span, work) = text.edit(self.next, at, delete, insert);
        self.effects.work_units += work;
        self.name(span as u64, Act::Type { cell, typed });
    }

    /// Answers a conflict. An answer that names nothing was given to a register without a conflict and replaces what it shows. Other
    /// kinds of cells never show a conflict; an answer to one replaces what it shows.
    fn resolve(&mut self, cell: Cell, content: &Content, seen: &[Mark]) {
        if let Content::Register(answer) = content {
            let named = match self.cells.states.get(&cell) {
                Some(State::Register(register)) if seen.is_empty() => register.dots(),
                Some(State::Register(register)) => register.named(seen),
                _ => Vec::new(),
            };
            match answer {
                Some(value) => self.add(Act::Put { cell, value: value.clone(), seen: named }),
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
            Content::Counter(amount) => self.add(Act::Add { cell, amount: *amount }),
            Content::Set(elements) => {
                for element in elements {
                    self.add(Act::Insert { cell, element: element.clone(), seen: Vec::new() });
                }
            }
            Content::Text(text) => self.splice(cell, 0, usize::MAX, text),
        }
    }
}
