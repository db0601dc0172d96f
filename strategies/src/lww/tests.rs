use super::Lww;
use super::stamp::StampSource;
use super::testing::{
    COUNTER, Net, REGISTER, SET, TEXT, Topology, cell, hostile_bytes, hostile_snapshots,
    random_worlds, scrambled_ids, worlds_of_members,
};
use crate::contract::{Change, Strategy, Transport};
use crate::document::{Content, Edit, RecordId};

const BOTH: [&Lww; 2] = [&Lww::WALL, &Lww::HLC];
const ALL: [&Lww; 6] =
    [&Lww::WALL, &Lww::LAMPORT, &Lww::HLC, &Lww::RECORD, &Lww::SERVER_ORDER, &Lww::PROMPT];

fn random_worlds_over(transport: Transport) {
    for strategy in ALL {
        random_worlds(strategy, Topology::Star, transport);
        if strategy.profile().mesh.unsupported().is_none() {
            random_worlds(strategy, Topology::Mesh, transport);
        }
    }
}

#[test]
fn random_worlds_converge_over_sessions() {
    random_worlds_over(Transport::Session);
}

#[test]
fn random_worlds_converge_over_datagrams() {
    random_worlds_over(Transport::Datagram);
}

#[test]
fn ids_in_cargo_influence_nothing_but_reports() {
    for strategy in ALL {
        scrambled_ids(strategy, Transport::Session);
        scrambled_ids(strategy, Transport::Datagram);
    }
}

#[test]
fn damaged_bytes_are_refused_or_understood() {
    for strategy in ALL {
        hostile_bytes(strategy);
        hostile_snapshots(strategy);
    }
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
    for strategy in ALL {
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
    for strategy in ALL {
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
        assert_eq!(replaced.len(), 2, "both splices; the older delete is forgotten: {replaced:?}");
        net.edit(1, Edit::Add { cell: cell(0, COUNTER), amount: 1 });
        net.settle("begun anew");
        assert_eq!(net.shown(2, cell(0, COUNTER)), Some(Content::Counter(1)), "from nothing");
    }
}

#[test]
fn a_write_older_than_a_delete_is_dropped_where_it_arrives() {
    for strategy in ALL {
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
    for strategy in [&Lww::WALL, &Lww::HLC, &Lww::RECORD, &Lww::PROMPT] {
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

#[test]
fn a_count_of_writes_prefers_who_has_seen_more_to_who_wrote_later() {
    let mut net = star(&Lww::LAMPORT);
    net.put(1, 1, "one");
    net.put(1, 1, "two");
    net.put(1, 0, "third write, but early");
    net.wait(60_000_000);
    net.put(2, 0, "first write, but a minute later");
    net.settle("end");
    assert_eq!(net.register(0, 0).as_deref(), Some("third write, but early"));
}

#[test]
fn a_clock_two_minutes_ahead_carries_nobody_along() {
    let mut net = Net::new(&Lww::HLC, Topology::Star, Transport::Session, 4);
    net.shift_clock(1, 120_000_000);
    net.put(1, 0, "from the future");
    net.settle("merged all the same");
    assert_eq!(net.register(2, 0).as_deref(), Some("from the future"));
    net.put(2, 1, "earlier");
    net.wait(10_000);
    net.put(3, 1, "later");
    net.settle("end");
    assert_eq!(net.register(0, 1).as_deref(), Some("later"), "by the clocks of 2 and 3");
    net.put(3, 0, "over the future");
    net.settle("end");
    assert_eq!(net.register(1, 0).as_deref(), Some("over the future"), "what was seen is earlier");
}

#[test]
fn records_win_as_a_whole() {
    for (strategy, notes) in [(&Lww::HLC, "notes"), (&Lww::RECORD, "")] {
        let mut net = star(strategy);
        let lost = net.edit(
            1,
            Edit::Splice { cell: cell(0, TEXT), at: 0, delete: 0, insert: "notes".into() },
        );
        net.wait(1000);
        let kept = net.put(2, 0, "title");
        net.settle("two fields of one record");
        assert_eq!((net.register(1, 0).as_deref(), net.text(1)), (Some("title"), notes.to_owned()));
        let loss = Change::Replaced { edit: lost, by: kept };
        assert_eq!(net.reports.contains(&(0, loss)), notes.is_empty(), "{strategy:?}");
        net.audit("two fields of one record");
    }
}

#[test]
fn a_later_write_brings_a_deleted_record_back_whole() {
    let mut net = star(&Lww::RECORD);
    net.put(1, 0, "title");
    net.settle("written");
    let delete = net.edit(2, Edit::Delete { record: RecordId(0) });
    net.wait(1000);
    let splice =
        net.edit(1, Edit::Splice { cell: cell(0, TEXT), at: 0, delete: 0, insert: "notes".into() });
    net.settle("deleted and written");
    assert_eq!((net.register(2, 0).as_deref(), net.text(2)), (Some("title"), "notes".to_owned()));
    assert!(net.reports.contains(&(0, Change::Replaced { edit: delete, by: splice })));
    net.audit("deleted and written");
}

#[test]
fn what_reaches_the_server_later_wins_however_old_it_is() {
    let mut net = star(&Lww::SERVER_ORDER);
    let old = net.put(1, 0, "written long ago, offline");
    net.wait(3_600_000_000);
    let new = net.put(2, 0, "written now");
    net.open(2, 0);
    net.drain();
    assert_eq!(net.register(0, 0).as_deref(), Some("written now"));
    net.open(1, 0);
    net.sync(0, 1);
    net.deliver(0, 1, 0, false);
    assert_eq!(
        net.register(1, 0).as_deref(),
        Some("written long ago, offline"),
        "an own write on its way is not overwritten by what it will overwrite"
    );
    net.settle("end");
    assert_eq!(net.register(2, 0).as_deref(), Some("written long ago, offline"));
    assert!(net.reports.contains(&(2, Change::Replaced { edit: new, by: old })));
    net.audit("end");
}

#[test]
fn a_write_that_arrived_does_not_arrive_again_when_its_session_is_lost() {
    for transport in [Transport::Session, Transport::Datagram] {
        let mut net = Net::new(&Lww::SERVER_ORDER, Topology::Star, transport, 3);
        net.open(1, 0);
        net.put(1, 0, "first");
        net.sync(1, 0);
        net.deliver(1, 0, 0, false);
        net.drop_message(0, 1, 0);
        net.lose(1, 0);
        net.put(2, 0, "second");
        net.open(2, 0);
        net.drain();
        net.settle("end");
        assert_eq!(net.register(1, 0).as_deref(), Some("second"), "{transport:?}");
        net.audit("end");
    }
}

#[test]
fn a_number_that_comes_behind_the_deletion_it_precedes_brings_nothing_back() {
    let mut net = Net::new(&Lww::SERVER_ORDER, Topology::Star, Transport::Datagram, 3);
    net.open(1, 0);
    net.open(2, 0);
    net.settle("start");
    net.put(1, 0, "first");
    net.sync(1, 0);
    net.deliver(1, 0, 0, false);
    net.edit(2, Edit::Delete { record: RecordId(0) });
    net.sync(2, 0);
    net.deliver(2, 0, 0, false);
    net.sync(0, 1);
    assert_eq!(net.in_flight(0, 1), 2, "the number of the write, and the deletion");
    net.deliver(0, 1, 1, false);
    net.deliver(0, 1, 0, false);
    net.settle("end");
    assert_eq!(net.register(1, 0), None);
    net.audit("end");
}

#[test]
fn a_critical_field_keeps_rivals_and_asks() {
    let mut net =
        Net::with_critical(&Lww::PROMPT, Topology::Star, Transport::Session, 3, &[REGISTER]);
    net.settle("start");
    let early = net.put(1, 0, "early");
    net.edit(1, Edit::Add { cell: cell(0, COUNTER), amount: 1 });
    net.wait(1000);
    let late = net.put(2, 0, "late");
    net.edit(2, Edit::Add { cell: cell(0, COUNTER), amount: 10 });
    net.settle("rivals");
    assert_eq!(net.rivals(0, 0).len(), 2);
    assert_eq!(net.register(0, 0).as_deref(), Some("late"), "displayed first");
    assert_eq!(net.shown(0, cell(0, COUNTER)), Some(Content::Counter(17)), "not critical");
    let here = cell(0, REGISTER);
    for (n, edit, with) in [(1, early, late), (2, late, early)] {
        assert!(net.reports.contains(&(n, Change::Conflicted { cell: here, edit, with })));
    }
    let seen = net.rivals(1, 0).iter().map(|alternative| alternative.mark).collect();
    let third = net.put(2, 0, "over both");
    let content = Content::Register(Some("answer".into()));
    let answer = net.edit(1, Edit::Resolve { cell: here, content, seen });
    net.settle("answered, and overwritten at the same time");
    assert_eq!(net.rivals(0, 0).len(), 2, "the answer and what it had not seen");
    assert!(net.reports.contains(&(1, Change::Replaced { edit: late, by: answer })));
    assert!(net.reports.contains(&(0, Change::Applied { edit: third })));
    net.put(1, 0, "last");
    net.settle("end");
    assert_eq!((net.rivals(2, 0).len(), net.register(2, 0).as_deref()), (1, Some("last")));
}

#[test]
fn a_deletion_spares_what_it_had_not_seen_of_a_critical_field() {
    let mut net =
        Net::with_critical(&Lww::PROMPT, Topology::Star, Transport::Session, 3, &[REGISTER]);
    net.put(1, 0, "seen");
    net.put(1, 1, "seen");
    net.settle("start");
    let put = net.put(1, 0, "not seen");
    net.wait(1000);
    let delete = net.edit(2, Edit::Delete { record: RecordId(0) });
    net.edit(2, Edit::Delete { record: RecordId(1) });
    net.settle("end");
    assert_eq!(net.register(0, 0).as_deref(), Some("not seen"));
    assert_eq!(net.register(0, 1), None);
    assert!(net.reports.contains(&(2, Change::Applied { edit: put })));
    assert!(net.reports.contains(&(1, Change::Applied { edit: delete })));
}

/// The topologies that a strategy supports.
fn topologies(strategy: &Lww) -> Vec<Topology> {
    let all = [Topology::Star, Topology::Mesh, Topology::Ring, Topology::Tree];
    let everywhere = strategy.profile().mesh.unsupported().is_none();
    all.into_iter().filter(|topology| everywhere || *topology == Topology::Star).collect()
}

#[test]
fn worlds_converge_whoever_is_gone_and_comes_back() {
    for strategy in ALL {
        for topology in topologies(strategy) {
            worlds_of_members(strategy, topology, Transport::Session);
            worlds_of_members(strategy, topology, Transport::Datagram);
        }
    }
}

#[test]
fn records_that_come_and_go_leave_nothing_behind() {
    for strategy in ALL {
        for (topology, transport) in topologies(strategy)
            .into_iter()
            .flat_map(|topology| [(topology, Transport::Session), (topology, Transport::Datagram)])
        {
            let mut net = Net::with_critical(strategy, topology, transport, 5, &[REGISTER]);
            let mut after = Vec::new();
            for round in 0..60 {
                let (author, deleter) = (round as usize % 5, (round as usize + 2) % 5);
                net.wait(1_000_000);
                net.put(author, 10 + round, "comes");
                net.edit(author, Edit::Add { cell: cell(10 + round, COUNTER), amount: 1 });
                net.put(author, 0, "stays");
                net.settle("made");
                net.edit(deleter, Edit::Delete { record: RecordId(10 + round) });
                net.settle("deleted");
                let total = |n: usize| net.footprint(n).total();
                after.push((0..5).map(total).sum::<u64>());
            }
            let label = format!("{strategy:?} {topology:?} {transport:?}: {after:?}");
            // The last graves stay until those who told of them have said something else.
            let most = after[20] + 5 * 2 * (16 + 6 + 6);
            assert!(after[20..].iter().all(|bytes| *bytes <= most), "{label}");
        }
    }
}

#[test]
fn who_was_gone_loses_nothing_of_its_own_and_brings_nothing_back_that_was_deleted() {
    for strategy in ALL {
        for (topology, transport) in topologies(strategy)
            .into_iter()
            .flat_map(|topology| [(topology, Transport::Session), (topology, Transport::Datagram)])
        {
            let label = format!("{strategy:?} {topology:?} {transport:?}");
            let mut net = Net::new(strategy, topology, transport, 4);
            for record in 0..40 {
                net.put(1, record, "known to all");
            }
            net.settle(&label);
            net.isolate(3);
            net.wait(1000);
            net.put(3, 50, "only here");
            net.edit(3, Edit::Insert { cell: cell(2, SET), element: "only here".into() });
            net.put(3, 1, "older");
            net.wait(1000);
            net.put(1, 1, "newer");
            net.settle_without(3);
            net.member(3, true);
            for record in 3..40 {
                net.edit(2, Edit::Delete { record: RecordId(record) });
                net.settle_without(3);
            }
            // What it knows of the deletions is gone, but for the last few; what the gone one is owed is not.
            let history = net.footprint(0).history_bytes;
            assert!(history <= 12 * 28, "{label}: {history} bytes of history");
            net.wait(60_000_000);
            net.settle(&label);
            for n in 0..4 {
                assert_eq!(net.register(n, 50).as_deref(), Some("only here"), "{label}");
                let set = net.shown(n, cell(2, SET));
                assert_eq!(set, Some(Content::Set(["only here".into()].into())), "{label}");
                assert!((3..40).all(|record| net.register(n, record).is_none()), "{label}");
                if matches!(strategy.rules.source, StampSource::Wall | StampSource::Hlc) {
                    assert_eq!(net.register(n, 1).as_deref(), Some("newer"), "{label}");
                }
            }
            net.audit(&label);
        }
    }
}

#[test]
fn what_was_passed_on_to_who_then_was_gone_is_not_lost_on_the_way() {
    // In a tree 0 is the only way from 1 to 2.
    for strategy in ALL.into_iter().filter(|strategy| topologies(strategy).len() > 1) {
        let mut net = Net::new(strategy, Topology::Tree, Transport::Session, 3);
        net.put(2, 1, "to be deleted");
        net.settle("start");
        net.isolate(2);
        net.put(1, 0, "as far as 0");
        net.settle_without(2);
        net.isolate(0);
        net.isolate(1);
        for n in [0, 1] {
            net.member(n, true);
        }
        net.edit(2, Edit::Delete { record: RecordId(1) });
        net.wait(1000);
        net.settle("all are back");
        assert_eq!(net.register(2, 0).as_deref(), Some("as far as 0"), "{strategy:?}");
        assert_eq!(net.register(1, 1), None, "{strategy:?}");
        net.audit("all are back");
    }
}

#[test]
fn who_lost_memory_does_not_bring_back_what_was_deleted() {
    for strategy in ALL {
        for topology in topologies(strategy) {
            let mut net = Net::new(strategy, topology, Transport::Session, 3);
            net.put(1, 0, "to be deleted");
            net.put(1, 1, "to stay");
            net.settle("start");
            let old = net.saved(2);
            net.edit(1, Edit::Delete { record: RecordId(0) });
            net.settle("deleted");
            net.put(1, 2, "another batch, so that nobody needs the grave");
            net.settle("deleted");
            net.restart(2, &old, 1);
            net.put(2, 3, "new");
            net.settle("remembered");
            for n in 0..3 {
                assert_eq!(net.register(n, 0), None, "{strategy:?} {topology:?}");
                assert_eq!(net.register(n, 1).as_deref(), Some("to stay"));
                assert_eq!(net.register(n, 3).as_deref(), Some("new"));
            }
        }
    }
}

/// What one of them lacks says nothing of what is deleted, whoever speaks first.
#[test]
fn two_that_lost_memory_at_once_keep_what_anybody_has() {
    for strategy in ALL {
        for topology in topologies(strategy) {
            for transport in [Transport::Session, Transport::Datagram] {
                let label = format!("{strategy:?} {topology:?} {transport:?}");
                let mut net = Net::new(strategy, topology, transport, 3);
                net.put(1, 0, "before");
                net.settle(&label);
                let old = [0, 2].map(|n| (n, net.saved(n)));
                net.put(1, 1, "by 1");
                net.put(2, 2, "by 2");
                net.settle(&label);
                for (n, saved) in &old {
                    net.restart(*n, saved, 1);
                }
                net.put(2, 3, "new");
                net.settle(&label);
                for n in 0..3 {
                    let shown = [0, 1, 2, 3].map(|record| net.register(n, record));
                    let shown = shown.each_ref().map(|value| value.as_deref().unwrap_or("-"));
                    assert_eq!(shown, ["before", "by 1", "by 2", "new"], "{label} at {n}");
                }
            }
        }
    }
}

#[test]
fn a_deletion_from_the_future_is_remembered_until_its_time_has_come() {
    for strategy in [&Lww::WALL, &Lww::HLC, &Lww::RECORD] {
        let mut net = star(strategy);
        net.put(1, 5, "x");
        net.settle("start");
        net.shift_clock(2, 3_600_000_000);
        net.edit(2, Edit::Delete { record: RecordId(5) });
        net.settle("deleted by a clock an hour ahead");
        net.put(1, 5, "over the deletion");
        net.settle("end");
        assert_eq!(net.register(2, 5).as_deref(), Some("over the deletion"), "{strategy:?}");
    }
}
