//! Which replica holds which partition: whom an edit concerns.

use reconverge_scenarios::Scenario;
use reconverge_strategies::{PartitionId, Partitions, RecordId, ReplicaId};

/// The partitions of a trial and who holds them.
#[derive(Clone, Debug)]
pub struct Holders {
    count: u32,
    /// As strategies are told; empty where there is one partition, which everybody holds.
    held: Vec<(ReplicaId, Vec<PartitionId>)>,
    /// The devices that hold each partition, in order.
    of: Vec<Vec<u32>>,
    /// The device that stands for each partition at the end: the hub, or the first that holds it.
    references: Vec<u32>,
}

impl Holders {
    /// Those of a scenario; `hub` is its hub, where it has one.
    pub fn new(scenario: &Scenario, hub: Option<u32>) -> Holders {
        let held = scenario.partitions_held();
        let count = scenario.data.partitions;
        if count == 1 {
            return Holders::whole(held.len(), hub);
        }
        let mut of = vec![Vec::new(); count as usize];
        for (device, partitions) in held.iter().enumerate() {
            partitions.iter().for_each(|partition| of[*partition as usize].push(device as u32));
        }
        let named = |partitions: Vec<u32>| partitions.into_iter().map(PartitionId).collect();
        let held = (0..).map(ReplicaId).zip(held.into_iter().map(named)).collect();
        // A hub holds all that its clients hold.
        let references = of.iter().map(|holders| hub.unwrap_or(holders[0])).collect();
        Holders { count, held, of, references }
    }

    /// One partition that every device holds.
    pub fn whole(devices: usize, hub: Option<u32>) -> Holders {
        let everybody = (0..devices as u32).collect();
        let references = vec![hub.unwrap_or(0)];
        Holders { count: 1, held: Vec::new(), of: vec![everybody], references }
    }

    /// As seats say it.
    pub fn seat(&self) -> Partitions<'_> {
        Partitions { count: self.count, held: &self.held }
    }

    /// Every partition, in order.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.count).map(PartitionId)
    }

    /// Whether a device holds a partition.
    pub fn holds(&self, device: u32, partition: PartitionId) -> bool {
        self.seat().holds(ReplicaId(device), partition)
    }

    /// Whether an edit of a record concerns a device.
    pub fn concerns(&self, device: u32, record: RecordId) -> bool {
        self.count == 1 || self.holds(device, self.seat().of(record))
    }

    /// The devices that hold a partition, in order.
    pub fn of(&self, partition: PartitionId) -> &[u32] {
        &self.of[partition.0 as usize]
    }

    /// The devices that an edit of a record concerns, in order.
    pub fn of_record(&self, record: RecordId) -> &[u32] {
        self.of(self.seat().of(record))
    }

    /// The device whose rendering of a partition the others are compared with, and from which accounts are taken.
    pub fn reference(&self, partition: PartitionId) -> u32 {
        self.references[partition.0 as usize]
    }

    /// The record that a device's user edits where the draw says `record` of so many: that one, where the device holds it; else one of
    /// about the same popularity in a partition that it holds.
    pub fn editable(&self, device: u32, record: RecordId, records: u32) -> RecordId {
        if self.concerns(device, record) {
            return record;
        }
        let held = &self.held[device as usize].1;
        let (block, place) = (record.0 / self.count, record.0 % self.count);
        let partition = held[place as usize % held.len()].0;
        let nearest = block * self.count + partition;
        // The last block may be short; there are no more partitions than records.
        RecordId(if nearest < records { nearest } else { nearest - self.count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reconverge_scenarios::parse;

    fn scenario(records: u32) -> Scenario {
        let text = format!(
            "name = \"t\"\nduration = \"1h\"\ntopology = {{ kind = \"mesh\" }}\n\
             data = {{ fields = {{ a = \"set\" }}, partitions = 5, records = {records} }}\n\
             [[group]]\nname = \"a\"\ncount = 5\ndevice = \"phone-2020\"\nlink = \"wifi\"\npartitions_held = 2\n"
        );
        parse(&text, "t", &[]).expect("a scenario")
    }

    /// Everybody edits what he holds, any record of it, and as it was drawn where that is possible.
    #[test]
    fn users_edit_records_that_their_device_holds() {
        for records in [5, 6, 9, 10, 52] {
            let holders = Holders::new(&scenario(records), None);
            for device in 0..5 {
                let mut edited = std::collections::BTreeSet::new();
                for record in (0..records).map(RecordId) {
                    let edits = holders.editable(device, record, records);
                    assert!(edits.0 < records && holders.concerns(device, edits));
                    assert!(edits.0.abs_diff(record.0) < 2 * 5, "of about the same popularity");
                    assert!(edits == record || !holders.concerns(device, record));
                    edited.insert(edits);
                }
                let all = (0..records).map(RecordId).filter(|one| holders.concerns(device, *one));
                assert!(edited.into_iter().eq(all), "{device} of {records}");
            }
        }
    }

    #[test]
    fn one_partition_is_held_by_all() {
        let holders = Holders::whole(3, Some(2));
        assert_eq!(holders.of_record(RecordId(7)), [0, 1, 2]);
        assert_eq!(holders.reference(PartitionId(0)), 2);
        assert_eq!(holders.editable(1, RecordId(7), 9), RecordId(7));
    }
}
