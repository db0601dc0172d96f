//! Histories of edits made by hand, fact by fact, for the intent ledger.

use super::scenario;
use reconverge_simulator::fact::{Fact, Probe};
use reconverge_simulator::partitions::Holders;
use reconverge_simulator::probe::accounts::{Accounts, close};
use reconverge_simulator::probe::ledger::{Ledger, SeatKind};
use reconverge_simulator::streams::Streams;
use reconverge_simulator::workload::Script;
use reconverge_strategies::{
    Cell, Change, Content, Edit, EditId, FieldId, RecordId, Rendering, ReplicaId, Value,
};

pub const TITLE: Cell = cell(0);
pub const VOTES: Cell = cell(1);
pub const TAGS: Cell = cell(2);
pub const NOTES: Cell = cell(3);

const fn cell(field: u16) -> Cell {
    Cell { record: RecordId(0), field: FieldId(field) }
}

/// The n-th character of asked edit `number`: in audit mode every value, element and character is one of these.
pub fn mark(number: u32, n: u32) -> String {
    char::from_u32(0x10_0000 + number * 16 + n).expect("a private character").into()
}

pub fn script() -> Script {
    let scenario = scenario(
        r#"
        name = "by-hand"
        duration = "1h"
        [[group]]
        name = "device"
        count = 3
        device = "laptop"
        link = "ideal"
        [topology]
        kind = "mesh"
        [data]
        records = 1
        record_size = "0B"
        fields = { title = "register", votes = "counter", tags = "set", notes = "text" }
        [workload]
        audit = true
        "#,
    );
    Script::draw(&scenario, &[], &Streams::new(0))
}

/// Three devices in a mesh; accounts are taken from device 0.
pub struct History<'a> {
    pub ledger: Ledger<'a>,
    now_ns: u64,
    asked: u32,
    sequences: [u64; 3],
}

impl<'a> History<'a> {
    pub fn new(script: &'a Script) -> Self {
        let seats = vec![SeatKind { has_user: true }; 3];
        let ledger = Ledger::new(script, seats, Holders::whole(3, None), None, false);
        History { ledger, now_ns: 0, asked: 0, sequences: [0; 3] }
    }

    pub fn observe(&mut self, fact: &Fact<'_>) {
        self.now_ns += 1;
        self.ledger.observe(self.now_ns, fact);
    }

    /// Something that a replica reports in the same moment as what came before.
    pub fn and_at_once(&mut self, device: u32, change: Change) {
        self.ledger.observe(self.now_ns, &Fact::Changed { device, change });
    }

    /// The next asked edit is made, by somebody who sees the record as given.
    pub fn made(
        &mut self,
        device: u32,
        seen: &Rendering,
        edit: impl FnOnce(u32) -> Edit,
    ) -> EditId {
        let number = self.asked;
        self.asked += 1;
        self.make(device, Some(number), seen, &[], &edit(number))
    }

    pub fn make(
        &mut self,
        device: u32,
        number: Option<u32>,
        seen: &Rendering,
        prompted: &[Content],
        edit: &Edit,
    ) -> EditId {
        let sequence = &mut self.sequences[device as usize];
        let id = EditId { origin: ReplicaId(device), sequence: *sequence };
        *sequence += 1;
        let acted_ns = self.now_ns;
        self.observe(&Fact::EditMade { id, number, edit, acted_ns, seen, prompted });
        self.observe(&Fact::EditDone { id, acted_ns });
        id
    }

    pub fn put(&mut self, device: u32) -> EditId {
        let put = |number| Edit::Put { cell: TITLE, value: Value::from(mark(number, 0)) };
        self.made(device, &Rendering::new(), put)
    }

    pub fn insert(&mut self, device: u32) -> EditId {
        let insert = |number| Edit::Insert { cell: TAGS, element: Value::from(mark(number, 0)) };
        self.made(device, &Rendering::new(), insert)
    }

    pub fn add(&mut self, device: u32, amount: i64) -> EditId {
        self.made(device, &Rendering::new(), |_| Edit::Add { cell: VOTES, amount })
    }

    /// Types so many characters of its own at a place in a text.
    pub fn splice(
        &mut self,
        device: u32,
        text: &str,
        at: usize,
        delete: usize,
        chars: u32,
    ) -> EditId {
        let seen = shown(&[(NOTES, Content::Text(text.into()))]);
        self.made(device, &seen, |number| {
            let insert = (0..chars).map(|n| mark(number, n)).collect();
            Edit::Splice { cell: NOTES, at, delete, insert }
        })
    }

    pub fn delete(&mut self, device: u32, seen: &Rendering) -> EditId {
        self.made(device, seen, |_| Edit::Delete { record: RecordId(0) })
    }

    pub fn report(&mut self, devices: &[u32], change: Change) {
        for device in devices {
            self.observe(&Fact::Changed { device: *device, change });
        }
    }

    pub fn applied(&mut self, devices: &[u32], edit: EditId) {
        self.report(devices, Change::Applied { edit });
    }

    pub fn replaced(&mut self, devices: &[u32], edit: EditId, by: EditId) {
        self.report(devices, Change::Replaced { edit, by });
    }

    /// The accounts where everybody shows the same at the end.
    pub fn end(&self, all: &Rendering) -> Result<Accounts, String> {
        close(&self.ledger, &[all.clone(), all.clone(), all.clone()])
    }
}

pub fn shown(cells: &[(Cell, Content)]) -> Rendering {
    let mut rendering = Rendering::new();
    cells.iter().for_each(|(cell, content)| rendering.settled(*cell, content.clone()));
    rendering
}

pub fn register(number: u32) -> Content {
    Content::Register(Some(Value::from(mark(number, 0))))
}

pub fn set(numbers: &[u32]) -> Content {
    Content::Set(numbers.iter().map(|number| Value::from(mark(*number, 0))).collect())
}

pub const ALL: [u32; 3] = [0, 1, 2];
