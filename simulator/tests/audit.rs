//! Audit mode: every inserted character, value and element is unique, every Add is ±1. There the accounts of the ledger, which follows
//! edits by their ids, must equal an attribution by content that is computed here from what was seen on screens alone: a witness looks at
//! every replica's rendering before each edit and after each input. (Additions cannot be seen apart; they are followed by reports, and their
//! sum is compared with what is shown.)

mod common;

use common::meddling::{Meddler, meddled};
use common::*;
use reconverge_scenarios::{Mix, Scenario};
use reconverge_simulator::fact::Fact;
use reconverge_simulator::plan::plan;
use reconverge_simulator::streams::Streams;
use reconverge_simulator::workload::Script;
use reconverge_strategies::{
    Cell, Change, Content, Edit, EditId, Input, Law, Outbox, Rendering, Replica, ReplicaId, Scope,
    Shown, Strategy, registry,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// A value, an element or a character.
type Mark = String;

fn marks(content: &Content) -> Vec<Mark> {
    match content {
        Content::Register(value) => value.iter().map(|value| value.as_str().into()).collect(),
        Content::Counter(_) => Vec::new(),
        Content::Set(elements) => elements.iter().map(|e| e.as_str().into()).collect(),
        Content::Text(text) => {
            text.chars().filter(|c| !c.is_whitespace()).map(Mark::from).collect()
        }
    }
}

/// What one edit did on its author's screen.
#[derive(Default)]
struct Seen {
    /// Everything that had been on that screen before.
    known: BTreeSet<Mark>,
    /// What it took off that screen.
    taken: BTreeSet<Mark>,
}

#[derive(Default)]
struct Screens {
    /// By replica, everything that was ever shown.
    ever: BTreeMap<u32, BTreeSet<Mark>>,
    edits: BTreeMap<EditId, Seen>,
}

struct Witness {
    replica: u32,
    screens: Arc<Mutex<Screens>>,
}

/// What an edit takes off its author's screen: what it speaks of, as displayed (of a conflict in a text, in the first alternative).
fn spoken_of(inner: &dyn Replica, edit: &Edit) -> BTreeSet<Mark> {
    let mut rendering = Rendering::new();
    let scope = match edit.cell() {
        Some(cell) => Scope::Cell(cell),
        None => Scope::Record(edit.record()),
    };
    inner.render(scope, &mut rendering);
    let shown = rendering.iter().map(|(_, shown)| shown);
    match edit {
        Edit::Splice { at, delete, .. } => match shown.map(Shown::first).next() {
            Some(Content::Text(text)) => {
                let deleted: String = text.chars().skip(*at).take(*delete).collect();
                marks(&Content::Text(deleted)).into_iter().collect()
            }
            _ => BTreeSet::new(),
        },
        Edit::Remove { element, .. } => [Mark::from(element.as_str())].into(),
        Edit::Delete { .. } => shown.flat_map(Shown::contents).flat_map(marks).collect(),
        _ => BTreeSet::new(),
    }
}

impl Meddler for Witness {
    fn before(&mut self, inner: &dyn Replica, input: &Input<'_>) {
        let Input::Edit { id, edit } = input else { return };
        let mut screens = self.screens.lock().expect("one thread");
        let known = screens.ever.get(&self.replica).cloned().unwrap_or_default();
        screens.edits.insert(*id, Seen { known, taken: spoken_of(inner, edit) });
    }

    fn after(&mut self, inner: &dyn Replica, _: &Input<'_>, _: &mut Outbox) {
        let mut screens = self.screens.lock().expect("one thread");
        let mut rendering = Rendering::new();
        inner.render(Scope::All, &mut rendering);
        let now = rendering.iter().flat_map(|(_, shown)| shown.contents()).flat_map(marks);
        screens.ever.entry(self.replica).or_default().extend(now);
    }
}

/// One edit as its author made it.
struct Made {
    id: EditId,
    asked: bool,
    edit: Edit,
    /// For an answer: what the prompt showed and the answer did not keep.
    dismissed: BTreeSet<Mark>,
    /// For a delete: the additions that its author's replica counted.
    adds: Vec<EditId>,
    /// The edits that its author had been told of, and could see.
    known: BTreeSet<EditId>,
}

/// Edits by report: how often each replica counts one now, and whether it ever did so long enough to be looked at.
#[derive(Default)]
struct Additions {
    counted: BTreeMap<(EditId, u32), i64>,
    ever: BTreeSet<(EditId, u32)>,
    /// Those that came with what a replica is just taking in, perhaps together with what takes their place.
    coming: Vec<(EditId, u32)>,
}

impl Additions {
    /// Nothing more changes before somebody looks.
    fn look(&mut self) {
        let counted = |came: &(EditId, u32)| self.counted.get(came).is_some_and(|n| *n > 0);
        self.ever.extend(self.coming.drain(..).filter(counted));
    }
}

struct Attribution {
    screens: Screens,
    made: Vec<Made>,
    refused: BTreeSet<EditId>,
    additions: Additions,
    genesis: Vec<(EditId, Edit)>,
    end: Rendering,
    reference: u32,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Account {
    kept: u64,
    surfaced: u64,
    refused: u64,
    superseded: u64,
    lost: u64,
    increments_lost: u64,
    chars_lost: u64,
}

impl Attribution {
    /// Settled, then contested.
    fn visible(&self, mark: &Mark) -> (bool, bool) {
        let (mut settled, mut contested) = (false, false);
        for (_, shown) in self.end.iter() {
            match shown {
                Shown::Settled(content) => settled |= marks(content).contains(mark),
                Shown::Conflict(all) => {
                    contested |= all.iter().any(|one| marks(&one.content).contains(mark));
                }
            }
        }
        (settled, contested)
    }

    /// Edits that count, with what they took off a screen.
    fn takers<'a>(&'a self, mark: &'a Mark) -> impl Iterator<Item = &'a Made> {
        self.made.iter().filter(move |by| {
            let takes = match by.edit {
                Edit::Resolve { .. } => by.dismissed.contains(mark),
                Edit::Remove { .. } | Edit::Delete { .. } | Edit::Splice { .. } => {
                    self.screens.edits[&by.id].taken.contains(mark)
                }
                _ => false,
            };
            takes && !self.refused.contains(&by.id)
        })
    }

    fn is_taken(&self, mark: &Mark) -> bool {
        self.takers(mark).next().is_some()
    }

    /// Somebody who had seen a value wrote another one, or answered.
    fn is_overwritten(&self, by_other_than: EditId, cell: Cell, value: &Mark) -> bool {
        self.made.iter().any(|by| {
            by.id != by_other_than
                && by.edit.cell() == Some(cell)
                && matches!(by.edit, Edit::Put { .. } | Edit::Resolve { .. })
                && !self.refused.contains(&by.id)
                && self.screens.edits[&by.id].known.contains(value)
        })
    }

    /// Whether an answer that a delete's author had not been told of writes a value anew that it deletes, and is shown.
    fn is_written_again(&self, value: &Mark, delete: &Made) -> bool {
        self.made.iter().any(|by| {
            matches!(&by.edit, Edit::Resolve { content: content @ Content::Register(_), .. }
                if marks(content).contains(value))
                && !self.refused.contains(&by.id)
                && self.times(by.id) > 0
                && !delete.known.contains(&by.id)
        })
    }

    fn account(&self) -> Account {
        let mut account = Account::default();
        for made in self.made.iter().filter(|made| made.asked) {
            let refused = self.refused.contains(&made.id);
            // Kept, surfaced, gone on purpose; else it is lost.
            let (kept, surfaced, meant) = match &made.edit {
                Edit::Put { cell, value } => {
                    let value = Mark::from(value.as_str());
                    let (settled, contested) = self.visible(&value);
                    let meant =
                        self.is_taken(&value) || self.is_overwritten(made.id, *cell, &value);
                    (settled, contested, meant)
                }
                Edit::Insert { element, .. } => {
                    let element = Mark::from(element.as_str());
                    let (settled, contested) = self.visible(&element);
                    (settled, contested, self.is_taken(&element))
                }
                Edit::Remove { element, .. } => {
                    let (settled, contested) = self.visible(&element.as_str().into());
                    (!settled && !contested, !settled && contested, false)
                }
                Edit::Delete { .. } => {
                    let taken = &self.screens.edits[&made.id].taken;
                    let (mut settled, mut contested) = (false, false);
                    for mark in taken.iter().filter(|mark| !self.is_written_again(mark, made)) {
                        let visible = self.visible(mark);
                        (settled, contested) = (settled | visible.0, contested | visible.1);
                    }
                    settled |= made.adds.iter().any(|add| self.times(*add) > 0);
                    (!settled && !contested, !settled && contested, false)
                }
                Edit::Add { cell, .. } => {
                    let there = self.times(made.id) > 0;
                    let contested = matches!(self.end.get(*cell), Some(Shown::Conflict(_)));
                    let meant = self.made.iter().any(|by| match by.edit {
                        Edit::Delete { .. } => {
                            by.adds.contains(&made.id) && !self.refused.contains(&by.id)
                        }
                        Edit::Resolve { cell: answered, .. } => {
                            answered == *cell && by.known.contains(&made.id)
                        }
                        _ => false,
                    });
                    account.increments_lost += u64::from(!there && !meant && !refused);
                    (there && !contested, there && contested, meant)
                }
                Edit::Splice { insert, .. } => self.splice(made, insert, refused, &mut account),
                Edit::Resolve { .. } => unreachable!("nobody asks for answers"),
            };
            *if kept {
                &mut account.kept
            } else if surfaced {
                &mut account.surfaced
            } else if refused {
                &mut account.refused
            } else if meant {
                &mut account.superseded
            } else {
                &mut account.lost
            } += 1;
        }
        account
    }

    fn splice(
        &self,
        made: &Made,
        insert: &str,
        refused: bool,
        account: &mut Account,
    ) -> (bool, bool, bool) {
        let (mut any_settled, mut any_contested, mut missing) = (false, false, 0);
        for mark in insert.chars().map(Mark::from) {
            let (settled, contested) = self.visible(&mark);
            (any_settled, any_contested) = (any_settled | settled, any_contested | contested);
            missing += u64::from(!settled && !contested && !self.is_taken(&mark));
        }
        let (mut back, mut back_contested) = (false, false);
        for mark in &self.screens.edits[&made.id].taken {
            let (settled, contested) = self.visible(mark);
            (back, back_contested) = (back | settled, back_contested | contested);
        }
        if missing > 0 {
            account.chars_lost += if refused { 0 } else { missing };
            return (false, false, false);
        }
        if back {
            return (false, false, false);
        }
        let here = any_settled || insert.is_empty();
        let surfaced = back_contested || !here && any_contested;
        (here && !back_contested, surfaced, true)
    }

    /// How often an addition is counted at the end.
    fn times(&self, add: EditId) -> i64 {
        self.additions.counted.get(&(add, self.reference)).copied().unwrap_or(0)
    }

    /// What counters show is the sum of what by the reports is counted.
    fn check_sums(&self, what: &str) {
        let mut sums: BTreeMap<Cell, i64> = BTreeMap::new();
        let made = self.made.iter().map(|made| (made.id, &made.edit));
        for (id, edit) in made.chain(self.genesis.iter().map(|(id, edit)| (*id, edit))) {
            if let Edit::Add { cell, amount } = edit {
                let unit = amount.abs() == 1 || id.origin == ReplicaId::GENESIS;
                assert!(unit, "{what}: audit mode adds {amount}");
                *sums.entry(*cell).or_default() += amount * self.times(id);
            }
        }
        for (cell, sum) in sums {
            // Whoever answered a conflict chose a sum, whatever had gone into it.
            let answers =
                |made: &Made| matches!(made.edit, Edit::Resolve { cell: at, .. } if at == cell);
            if self.made.iter().any(answers) {
                continue;
            }
            match self.end.get(cell) {
                Some(Shown::Settled(Content::Counter(shown))) => {
                    assert_eq!(*shown, sum, "{what}: counter {cell}");
                }
                None => assert_eq!(sum, 0, "{what}: counter {cell} shows nothing"),
                Some(_) => {}
            }
        }
    }
}

fn attribute(
    scenario: &Scenario,
    strategy: &'static dyn Strategy,
    seed: u64,
) -> (Account, Account) {
    let screens = Arc::new(Mutex::new(Screens::default()));
    let shared = Arc::clone(&screens);
    let witnessed = meddled(strategy, move |seat, restored| {
        assert!(!restored, "nobody is killed here");
        let (replica, screens) = (seat.replica.0, Arc::clone(&shared));
        Box::new(Witness { replica, screens })
    });
    let delayed = strategy.profile().exceptions.iter().any(|(law, _)| *law == Law::LocalVisibility);
    let mut made: Vec<Made> = Vec::new();
    let (mut refused, mut additions) = (BTreeSet::new(), Additions::default());
    let streams = Streams::new(seed);
    let genesis = Script::draw(scenario, &plan(scenario, &streams), &streams).genesis;
    for (id, _) in &genesis {
        for replica in 0..4 {
            additions.counted.insert((*id, replica), 1);
        }
    }
    let finished = listen(scenario, &witnessed, seed, |_, fact| {
        if !matches!(fact, Fact::Changed { .. }) {
            additions.look();
        }
        match fact {
            Fact::EditMade { id, number, edit, prompted, .. } => {
                let chosen = match edit {
                    Edit::Resolve { content, .. } => marks(content),
                    _ => Vec::new(),
                };
                let dismissed =
                    prompted.iter().flat_map(marks).filter(|mark| !chosen.contains(mark));
                // A delete takes the additions that its author's replica counts.
                let counts = |add: &EditId, edit_of: &Edit| {
                    let times = additions.counted.get(&(*add, id.origin.0)).copied().unwrap_or(0);
                    matches!(edit_of, Edit::Add { .. })
                        && matches!(edit, Edit::Delete { record } if edit_of.record() == *record)
                        && times > 0
                };
                let earlier = genesis.iter().map(|(id, edit)| (id, edit));
                let earlier = earlier.chain(made.iter().map(|made| (&made.id, &made.edit)));
                let adds =
                    earlier.filter(|(id, edit)| counts(id, edit)).map(|(id, _)| *id).collect();
                let told = additions.ever.iter().filter(|(_, by)| *by == id.origin.0);
                let known = told.map(|(add, _)| *add).collect();
                made.push(Made {
                    id: *id,
                    asked: number.is_some(),
                    edit: (*edit).clone(),
                    dismissed: dismissed.collect(),
                    adds,
                    known,
                });
            }
            Fact::EditDone { id, .. } if !delayed => {
                *additions.counted.entry((*id, id.origin.0)).or_default() += 1;
                additions.ever.insert((*id, id.origin.0));
            }
            Fact::Changed { device, change: Change::Applied { edit } } => {
                *additions.counted.entry((*edit, *device)).or_default() += 1;
                additions.coming.push((*edit, *device));
            }
            Fact::Changed { device, change: Change::Replaced { edit, .. } } => {
                additions.counted.insert((*edit, *device), 0);
            }
            Fact::Changed { device, change: Change::Refused { edit, .. } } => {
                refused.insert(*edit);
                additions.counted.insert((*edit, *device), 0);
            }
            _ => {}
        }
    });
    let row = &finished.result.row;
    let metrics = figures(row);
    let figure = |figure: Option<u64>| figure.expect("every trial has it");
    let by_ids = Account {
        kept: figure(metrics.edits_kept),
        surfaced: figure(metrics.edits_surfaced),
        refused: figure(metrics.edits_refused),
        superseded: figure(metrics.edits_superseded),
        lost: figure(metrics.edits_lost),
        increments_lost: figure(metrics.increments_lost),
        chars_lost: figure(metrics.text_chars_lost),
    };
    for other in [metrics.edits_crashed, metrics.edits_stranded] {
        assert_eq!(other, Some(0), "{} seed {seed}", row.strategy);
    }
    let never_made = figure(metrics.edits_blocked) + figure(metrics.edits_void);
    let sum = by_ids.kept + by_ids.surfaced + by_ids.refused + by_ids.superseded + by_ids.lost;
    assert_eq!(sum + never_made, row.edits_asked, "{} seed {seed}", row.strategy);
    drop(witnessed);
    let screens = Arc::into_inner(screens).expect("the trial is over");
    let reference = finished.renderings.len() as u32 - 1;
    let attribution = Attribution {
        screens: screens.into_inner().expect("nobody panicked"),
        made,
        refused,
        additions,
        genesis: genesis.clone(),
        end: finished.renderings.into_iter().next_back().expect("the server"),
        reference,
    };
    attribution.check_sums(&format!("{} seed {seed}", row.strategy));
    (by_ids, attribution.account())
}

const SCENARIO: &str = r#"
name = "audit"
duration = "90min"
settle = "1h"
[[group]]
name = "phone"
count = 3
device = { profile = "phone-2020", battery = "none" }
link = "lte"
schedule = { kind = "batched", age = "30s" }
user = { awake = ["1min", "90min"], session = { uniform = ["5min", "10min"] }, gap = { uniform = ["1min", "5min"] }, think = "20s" }
[[group.outages]]
model = "renewal"
up = { exponential = "6min" }
down = { exponential = "3min" }
[[group]]
name = "server"
device = "server"
link = "datacenter"
schedule = { kind = "batched", age = "10s" }
[topology]
kind = "star"
hub = "server"
[data]
records = 4
record_size = "60B"
fields = { title = "register", votes = "counter", tags = "set", notes = "text" }
[workload]
edits_per_hour = 60
mix = { put = 30, add = 20, insert = 15, remove = 10, splice = 30, delete = 3 }
audit = true
"#;

/// Every strategy, under a mix of edits, over seeds; each of these accounts must be reached by some of them.
fn audit(mix: Mix, reached: &[fn(&Account) -> u64]) {
    let mut scenario = scenario(SCENARIO);
    scenario.workload.mix = mix;
    let mut all = Vec::new();
    let mut differences = Vec::new();
    for strategy in registry() {
        for seed in 0..4 {
            let (by_ids, by_content) = attribute(&scenario, *strategy, seed);
            let name = strategy.name();
            if by_ids != by_content {
                differences.push(format!("{name} seed {seed}: {by_ids:?}\n  seen {by_content:?}"));
            }
            all.push(by_ids);
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    for (n, account) in reached.iter().enumerate() {
        assert!(all.iter().map(account).sum::<u64>() > 0, "account {n}: {all:?}");
    }
}

const NONE: Mix = Mix { put: 0, add: 0, insert: 0, remove: 0, splice: 0, delete: 0 };

#[test]
fn registers() {
    let mix = Mix { put: 20, delete: 1, ..NONE };
    audit(mix, &[|a| a.kept, |a| a.surfaced, |a| a.refused, |a| a.superseded, |a| a.lost]);
}

#[test]
fn counters() {
    let mix = Mix { add: 20, delete: 1, ..NONE };
    audit(mix, &[|a| a.kept, |a| a.superseded, |a| a.increments_lost]);
}

#[test]
fn sets() {
    let mix = Mix { insert: 12, remove: 8, delete: 1, ..NONE };
    audit(mix, &[|a| a.kept, |a| a.superseded, |a| a.lost]);
}

#[test]
fn texts() {
    let mix = Mix { splice: 20, delete: 1, ..NONE };
    audit(mix, &[|a| a.kept, |a| a.superseded, |a| a.chars_lost]);
}

#[test]
fn all_kinds_together() {
    audit(scenario(SCENARIO).workload.mix, &[|a| a.kept, |a| a.superseded]);
}
