use super::OnlineOnly;
use crate::contract::{Change, Refusal, Transport};
use crate::document::{Content, Edit, RecordId};
use crate::lww::testing::{
    COUNTER, Net, Topology, cell, hostile_bytes, hostile_snapshots, random_worlds, scrambled_ids,
};

fn star() -> Net {
    Net::new(&OnlineOnly, Topology::Star, Transport::Session, 3)
}

fn online() -> Net {
    let mut net = star();
    net.settle("start");
    net
}

fn add(net: &mut Net, n: usize) -> crate::EditId {
    net.edit(n, Edit::Add { cell: cell(1, COUNTER), amount: 1 })
}

#[test]
fn random_worlds_converge() {
    random_worlds(&OnlineOnly, Topology::Star, Transport::Session);
}

#[test]
fn ids_in_cargo_influence_nothing_but_reports() {
    scrambled_ids(&OnlineOnly, Transport::Session);
}

#[test]
fn damaged_bytes_are_refused_or_understood() {
    hostile_bytes(&OnlineOnly);
    hostile_snapshots(&OnlineOnly);
}

#[test]
fn without_a_session_an_edit_is_refused() {
    let mut net = star();
    let edit = net.put(1, 0, "x");
    assert_eq!(net.reports, [(1, Change::Refused { edit, reason: Refusal::Offline })]);
    net.settle("end");
    assert_eq!(net.register(0, 0).as_deref(), Some("genesis"));
}

#[test]
fn an_edit_is_shown_when_the_server_has_answered() {
    let mut net = online();
    let edit = net.put(1, 0, "x");
    assert_eq!(net.register(1, 0).as_deref(), Some("genesis"), "not yet");
    assert_eq!(net.pending(1, 0).edits, 1);
    net.sync(1, 0);
    let pending = net.pending(1, 0);
    assert!(pending.edits == 0 && pending.exchange_open);
    net.deliver(1, 0, 0, false);
    assert_eq!(net.register(0, 0).as_deref(), Some("x"));
    net.deliver(0, 1, 0, false);
    assert_eq!(net.register(1, 0).as_deref(), Some("x"));
    let own: Vec<_> = net.reports.iter().filter(|(n, _)| *n == 1).map(|(_, c)| *c).collect();
    assert!(own.contains(&Change::Applied { edit }));
    assert_eq!(own.last(), Some(&Change::Acknowledged { edit }));
    assert_eq!((net.pending(0, 1).edits, net.pending(0, 2).edits), (0, 1));
}

#[test]
fn a_request_whose_answer_was_lost_is_executed_once() {
    let mut net = online();
    let edit = add(&mut net, 1);
    net.sync(1, 0);
    net.deliver(1, 0, 0, false);
    net.crash(0);
    assert_eq!(net.shown(0, cell(1, COUNTER)), Some(Content::Counter(1)));
    assert_eq!(net.pending(1, 0).edits, 1, "asked again");
    net.crash(1);
    net.settle("end");
    assert_eq!(net.shown(1, cell(1, COUNTER)), Some(Content::Counter(1)));
    assert!(net.reports.contains(&(1, Change::Acknowledged { edit })));
}

#[test]
fn an_edit_queued_before_the_session_was_lost_waits() {
    let mut net = online();
    let edit = add(&mut net, 1);
    net.lose(1, 0);
    assert_eq!(net.shown(1, cell(1, COUNTER)), None);
    let refused = add(&mut net, 1);
    net.settle("end");
    assert_eq!(net.shown(2, cell(1, COUNTER)), Some(Content::Counter(1)));
    assert!(net.reports.contains(&(1, Change::Acknowledged { edit })));
    let refusal = Change::Refused { edit: refused, reason: Refusal::Offline };
    assert!(net.reports.contains(&(1, refusal)));
}

#[test]
fn a_splice_of_a_text_that_somebody_else_changed_is_refused() {
    let mut net = online();
    net.splice(1, 0, 0, "hello");
    net.settle("written");
    net.splice(1, 0, 5, "good bye");
    let stale = net.splice(2, 5, 0, " world");
    net.sync(1, 0);
    net.deliver(1, 0, 0, false);
    net.sync(2, 0);
    net.settle("end");
    assert_eq!(net.text(2), "good bye");
    let refusal = Change::Refused { edit: stale, reason: Refusal::Stale };
    assert!(net.reports.contains(&(2, refusal)));
    net.splice(2, 8, 0, " world");
    net.settle("after looking");
    assert_eq!(net.text(1), "good bye world");
}

#[test]
fn splices_queued_one_after_another_speak_of_what_was_shown() {
    let mut net = online();
    net.splice(1, 0, 0, "hello");
    net.settle("written");
    net.splice(1, 0, 0, "(");
    net.sync(1, 0);
    net.splice(1, 5, 0, ")");
    net.splice(1, 0, 1, "H");
    net.lose(1, 0);
    net.settle("end");
    assert_eq!(net.text(0), "(Hello)");
}

#[test]
fn what_is_chained_to_a_refused_splice_is_refused_too() {
    let mut net = online();
    net.splice(1, 0, 0, "first");
    let second = net.splice(1, 0, 0, "second");
    net.splice(2, 0, 0, "rival");
    net.sync(2, 0);
    net.deliver(2, 0, 0, false);
    net.settle("end");
    assert_eq!(net.text(1), "rival");
    let refusal = Change::Refused { edit: second, reason: Refusal::Stale };
    assert!(net.reports.contains(&(1, refusal)));
}

#[test]
fn a_splice_after_an_own_delete_begins_anew() {
    let mut net = online();
    net.splice(1, 0, 0, "old text");
    net.settle("written");
    net.edit(1, Edit::Delete { record: RecordId(0) });
    net.splice(1, 4, 2, "new");
    net.settle("end");
    assert_eq!(net.text(2), "new");
    assert_eq!(net.register(2, 0), None);
}

#[test]
fn an_own_edit_overwritten_before_its_answer_came_is_reported_as_replaced() {
    let mut net = online();
    let first = net.put(1, 0, "first");
    net.sync(1, 0);
    net.deliver(1, 0, 0, false);
    net.lose(1, 0);
    let second = net.put(2, 0, "second");
    net.sync(2, 0);
    net.deliver(2, 0, 0, false);
    net.settle("end");
    assert!(net.reports.contains(&(1, Change::Replaced { edit: first, by: second })));
    assert!(net.reports.contains(&(1, Change::Acknowledged { edit: first })));
    assert!(!net.reports.contains(&(1, Change::Applied { edit: first })), "never shown there");
}

#[test]
fn a_server_that_lost_memory_makes_its_clients_forget_too() {
    let mut net = online();
    net.put(1, 0, "kept");
    net.splice(1, 0, 0, "kept");
    net.settle("kept");
    let old = net.saved(0);
    net.put(1, 1, "forgotten by the server");
    net.settle("before");
    net.restart(0, &old, 1);
    net.settle("after");
    assert_eq!(net.register(1, 1), None);
    assert_eq!(net.register(2, 0).as_deref(), Some("kept"));
    net.splice(2, 4, 0, " on");
    net.settle("onwards");
    assert_eq!(net.text(1), "kept on");
}

#[test]
fn a_client_that_lost_memory_reuses_no_request_number() {
    let mut net = online();
    add(&mut net, 1);
    let old = net.saved(1);
    net.settle("before");
    add(&mut net, 1);
    net.settle("more");
    net.restart(1, &old, 1);
    net.settle("back");
    assert_eq!(net.shown(0, cell(1, COUNTER)), Some(Content::Counter(2)), "the first only once");
    add(&mut net, 1);
    net.settle("after");
    assert_eq!(net.shown(0, cell(1, COUNTER)), Some(Content::Counter(3)));
}
