//! Clients that race for one register of a hub, each knowing only what the hub answered to its last put.

use super::*;

/// Two clients put in turns, each again before the answer to its last put has come. Returns the most siblings that the hub had.
fn race(strategy: &'static VersionVector, rounds: usize) -> usize {
    let mut net = Net::new(strategy, true, 3, Transport::Session);
    let at = cell(1, REGISTER);
    let mut most = 0;
    for client in [1, 2] {
        net.edit(client, &put(1, &format!("first {client}")));
        net.sync(client, 0);
    }
    for round in 0..rounds {
        for client in [1, 2] {
            // The next put is made while the last one is under way; so its context lacks what the hub filed meanwhile.
            net.edit(client, &put(1, &format!("{round} of {client}")));
            assert!(net.deliver(client, 0), "the hub files the last one");
        }
        for client in [1, 2] {
            assert!(net.deliver(0, client), "the hub has answered");
            net.sync(client, 0);
        }
        most = most.max(net.shown(0, at).len());
    }
    net.settle(strategy.name());
    most.max(net.shown(0, at).len())
}

#[test]
fn clients_that_race_leave_ever_more_siblings_by_server_ids_and_two_by_dots() {
    assert_eq!(race(&DOTTED, 30), 2);
    assert_eq!(race(&CLIENT_IDS, 30), 2);
    let (some, more) = (race(&SERVER_IDS, 10), race(&SERVER_IDS, 30));
    assert!(some > 10 && more > some + 30, "{some} siblings after 10 rounds, {more} after 30");
}

#[test]
fn a_client_keeps_what_it_made_until_the_hub_has_filed_it_once() {
    for strategy in [&SERVER_IDS, &DOTTED] {
        let mut net = Net::new(strategy, true, 3, Transport::Session);
        let at = cell(1, REGISTER);
        let hub = ReplicaId(0);
        net.edit(1, &put(1, "a"));
        assert_eq!(net.replicas[1].pending(hub).edits, 1);
        net.sync(1, 0);
        assert_eq!(net.replicas[1].pending(hub), Pending { edits: 0, exchange_open: true });
        assert!(net.deliver(1, 0));
        // The answer is lost with the session, and so the client asks again, for what has been filed.
        let saved = net.saved(1);
        net.restart(1, &saved);
        net.edit(1, &put(1, "b"));
        assert_eq!(net.replicas[1].pending(hub).edits, 1, "b waits for a");
        assert_eq!(net.shown(1, at), [register("b")]);
        net.settle(strategy.name());
        assert_eq!(net.shown(2, at), [register("b")], "a was filed once");
    }
}

#[test]
fn vectors_have_an_entry_for_each_writer_by_client_ids_and_one_for_the_hub_by_dots() {
    let size = |strategy: &'static VersionVector| {
        let mut net = Net::new(strategy, true, 9, Transport::Session);
        for client in 1..9 {
            net.edit(client, &put(1, &format!("by {client}")));
            net.settle(strategy.name());
        }
        net.edit(8, &put(1, "last"));
        net.exchange(8, 0);
        net.sync(0, 1);
        net.queues[&(0, 1)][0].0.len()
    };
    let (by_writer, by_server) = (size(&CLIENT_IDS), size(&DOTTED));
    assert!(by_writer >= by_server + 12, "{by_writer} bytes, {by_server} bytes");
}
