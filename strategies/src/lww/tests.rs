use super::Lww;
use super::testing::{
    COUNTER, Net, TEXT, Topology, cell, hostile_bytes, hostile_snapshots, random_worlds,
    scrambled_ids,
};
use crate::contract::{Change, Transport};
use crate::document::{Content, Edit, RecordId};

const BOTH: [&Lww; 2] = [&Lww::WALL, &Lww::HLC];

#[test]
fn random_worlds_converge_over_sessions() {
    for strategy in BOTH {
        random_worlds(strategy, Topology::Star, Transport::Session);
        random_worlds(strategy, Topology::Mesh, Transport::Session);
    }
}

#[test]
fn random_worlds_converge_over_datagrams() {
    for strategy in BOTH {
        random_worlds(strategy, Topology::Star, Transport::Datagram);
        random_worlds(strategy, Topology::Mesh, Transport::Datagram);
    }
}

#[test]
fn ids_in_cargo_influence_nothing_but_reports() {
    scrambled_ids(&Lww::HLC, Transport::Session);
    scrambled_ids(&Lww::WALL, Transport::Datagram);
}

#[test]
fn damaged_bytes_are_refused_or_understood() {
    BOTH.into_iter().for_each(|strategy| hostile_bytes(strategy));
    hostile_snapshots(&Lww::HLC);
}

fn star(strategy: &'static Lww) -> Net {
    Net::new(strategy, Topology::Star, Transport::Session, 3)
}

#[test]
fn a_clock_that_runs_behind_loses_to_an_earlier_write() {
    let mut net = star(&Lww::WALL);
    net.shift_clock(2, -60_000_000);
    let early = net.put(1, 0, "early");
    let late = net.put(2, 0, "late, by a clock a minute behind");
    net.settle("skew");
    assert_eq!(net.register(0, 0).as_deref(), Some("early"));
    assert!(net.reports.contains(&(0, Change::Replaced { edit: late, by: early })));
    assert!(net.reports.contains(&(2, Change::Replaced { edit: late, by: early })));
}

#[test]
fn a_clock_that_runs_behind_still_overwrites_what_it_saw() {
    for strategy in BOTH {
        let mut net = star(strategy);
        net.put(1, 0, "first");
        net.settle("first");
        net.shift_clock(2, -60_000_000);
        net.put(2, 0, "second");
        assert_eq!(net.register(2, 0).as_deref(), Some("second"), "visible at once");
        net.settle("second");
        assert_eq!(net.register(1, 0).as_deref(), Some("second"), "{strategy:?}");
    }
}

#[test]
fn a_hybrid_clock_knows_that_it_writes_after_what_it_read_and_a_wall_clock_does_not() {
    for (strategy, winner) in [(&Lww::WALL, "before the news"), (&Lww::HLC, "after the news")] {
        let mut net = Net::new(strategy, Topology::Star, Transport::Session, 4);
        net.shift_clock(2, -60_000_000);
        net.put(3, 0, "before the news");
        net.put(1, 1, "news");
        net.open(1, 0);
        net.drain();
        net.open(2, 0);
        net.sync(0, 2);
        net.drain();
        assert_eq!(net.register(2, 1).as_deref(), Some("news"));
        net.put(2, 0, "after the news");
        net.settle("end");
        assert_eq!(net.register(0, 0).as_deref(), Some(winner), "{strategy:?}");
    }
}

#[test]
fn one_of_two_concurrent_edits_of_an_emulated_field_is_lost_as_a_whole() {
    for strategy in BOTH {
        let mut net = star(strategy);
        net.settle("start");
        let lost = net.edit(1, Edit::Add { cell: cell(0, COUNTER), amount: 1 });
        let kept = net.edit(2, Edit::Add { cell: cell(0, COUNTER), amount: 10 });
        net.settle("end");
        assert_eq!(net.shown(0, cell(0, COUNTER)), Some(Content::Counter(17)));
        assert!(net.reports.contains(&(1, Change::Replaced { edit: lost, by: kept })));
        net.audit("end");
    }
}

#[test]
fn a_delete_hides_what_is_older_and_a_later_write_revives_its_field_only() {
    for strategy in BOTH {
        let mut net = star(strategy);
        net.put(1, 0, "title");
        net.edit(1, Edit::Splice { cell: cell(0, TEXT), at: 0, delete: 0, insert: "notes".into() });
        net.settle("written");
        let delete = net.edit(2, Edit::Delete { record: RecordId(0) });
        net.wait(1000);
        let late = net.edit(
            1,
            Edit::Splice { cell: cell(0, TEXT), at: 5, delete: 0, insert: ", more".into() },
        );
        net.settle("deleted");
        assert_eq!(net.register(1, 0), None);
        assert_eq!(net.text(2), "notes, more", "the whole value comes back");
        assert!(net.reports.contains(&(1, Change::Applied { edit: delete })));
        assert!(net.reports.contains(&(2, Change::Applied { edit: late })));
        let before = net.reports.len();
        net.edit(1, Edit::Delete { record: RecordId(0) });
        net.settle("deleted again");
        assert_eq!(net.text(2), "");
        let replaced: Vec<_> = net.reports[before..]
            .iter()
            .filter(|(n, change)| *n == 2 && matches!(change, Change::Replaced { .. }))
            .collect();
        assert_eq!(replaced.len(), 3, "the older delete and both splices: {replaced:?}");
        net.edit(1, Edit::Add { cell: cell(0, COUNTER), amount: 1 });
        net.settle("begun anew");
        assert_eq!(net.shown(2, cell(0, COUNTER)), Some(Content::Counter(1)), "from nothing");
    }
}

#[test]
fn a_write_older_than_a_delete_is_dropped_where_it_arrives() {
    for strategy in BOTH {
        let mut net = star(strategy);
        let put = net.put(1, 2, "written before");
        let delete = net.edit(2, Edit::Delete { record: RecordId(2) });
        net.settle("end");
        assert_eq!(net.register(0, 2), None);
        assert!(net.reports.contains(&(1, Change::Replaced { edit: put, by: delete })));
        net.audit("end");
    }
}

#[test]
fn only_the_latest_value_is_sent_and_only_once() {
    let mut net = star(&Lww::HLC);
    net.open(1, 0);
    for value in ["a", "b", "c"] {
        net.put(1, 0, value);
    }
    assert_eq!(net.pending(1, 0).edits, 1);
    net.sync(1, 0);
    assert_eq!(net.sent.len(), 1);
    let pending = net.pending(1, 0);
    assert!(pending.edits == 0 && pending.exchange_open, "on its way: {pending:?}");
    net.sync(1, 0);
    assert_eq!(net.sent.len(), 1, "nothing new to say");
    net.lose(1, 0);
    assert_eq!(net.pending(1, 0).edits, 1, "owed again");
    net.open(1, 0);
    net.drain();
    assert_eq!(net.pending(1, 0), Default::default());
    assert_eq!((net.pending(0, 1).edits, net.pending(0, 2).edits), (0, 1), "relayed, not echoed");
}

#[test]
fn a_replica_that_lost_memory_asks_for_everything_and_mints_no_stamp_twice() {
    for transport in [Transport::Session, Transport::Datagram] {
        let mut net = Net::new(&Lww::HLC, Topology::Star, transport, 3);
        net.put(1, 0, "known");
        net.settle("known");
        let old = net.saved(1);
        net.put(1, 1, "sent and forgotten");
        net.put(2, 2, "received and forgotten");
        net.settle("before");
        net.restart(1, &old, 1);
        net.shift_clock(1, -1_000_000_000);
        net.put(1, 1, "made again with a clock that went back");
        net.settle("after");
        assert_eq!(net.register(1, 2).as_deref(), Some("received and forgotten"));
    }
}

#[test]
fn a_few_updates_of_a_large_document_are_merged_as_all_of_it_is() {
    for strategy in BOTH {
        let mut net = star(strategy);
        for record in 0..60 {
            net.put(1, record, "first");
        }
        net.settle("all of it");
        // It reaches the hub after the one that wins.
        net.put(2, 7, "loses");
        net.wait(1000);
        for record in [7, 59] {
            net.put(1, record, "wins");
        }
        net.edit(1, Edit::Delete { record: RecordId(30) });
        net.put(1, 70, "new");
        net.settle("a few");
        for (record, value) in [(7, "wins"), (59, "wins"), (58, "first"), (70, "new")] {
            assert_eq!(net.register(0, record).as_deref(), Some(value), "{strategy:?} {record}");
        }
        assert_eq!(net.register(1, 30), None);
        net.audit("a few");
    }
}
