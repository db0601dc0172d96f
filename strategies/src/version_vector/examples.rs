//! Worked examples by the authors of version vectors and of dotted version vectors, as tables. The data is theirs; how they are put
//! is ours.

use super::object::{Naming, Object};
use super::story::Story;
use super::vector::{Actor, Context, Dot, Vector};
use super::version::{Version, Write};
use crate::document::{Content, EditId, ReplicaId};
use std::cmp::Ordering;

fn actor(name: char) -> Actor {
    Actor { replica: ReplicaId(name as u32), incarnation: 0 }
}

fn vector(entries: &[(char, u64)]) -> Vector {
    let mut vector = Vector::default();
    for (name, counter) in entries {
        vector.raise(Dot { actor: actor(*name), counter: *counter });
    }
    vector
}

fn write(value: &str) -> Write {
    let edit = EditId { origin: ReplicaId(1), sequence: value.len() as u64 };
    let content = Content::Register(Some(value.into()));
    Write { edit, deleted: false, content, story: Story::default() }
}

/// An object as Goncalves and Almeida write it: for each server its counter and the values beside each other under it, the newest
/// first. The newest has the counter's own dot, the next one the dot before, and so on.
fn object(entries: &[(char, u64, &[&str])]) -> Object {
    let mut object = Object::default();
    for (name, counter, values) in entries {
        if *counter > 0 {
            object.vector.raise(Dot { actor: actor(*name), counter: *counter });
        }
        for (n, value) in values.iter().enumerate() {
            let dot = Dot { actor: actor(*name), counter: counter - n as u64 };
            object.versions.push(write(value).into_version(dot, Vector::default(), dot.counter));
        }
    }
    object.versions.sort_by_key(|version: &Version| std::cmp::Reverse(version.rank()));
    object
}

/// The same, read back.
fn entries(object: &Object) -> Vec<(char, u64, Vec<String>)> {
    let name = |actor: Actor| char::from_u32(actor.replica.0).expect("actors are letters");
    let values = |actor: Actor| {
        let mut versions: Vec<&Version> =
            object.versions.iter().filter(|version| version.dot.actor == actor).collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.dot));
        versions.iter().map(|version| value(version)).collect()
    };
    let entries = object.vector.entries().iter();
    entries.map(|(actor, counter)| (name(*actor), *counter, values(*actor))).collect()
}

fn value(version: &Version) -> String {
    match &version.content {
        Content::Register(Some(value)) => value.as_str().to_owned(),
        other => unreachable!("a register: {other:?}"),
    }
}

fn values(object: &Object) -> Vec<String> {
    let mut values: Vec<String> = object.versions.iter().map(value).collect();
    values.sort();
    values
}

#[track_caller]
fn check(object: &Object, expected: &[(char, u64, &[&str])]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, counter, values)| {
            (*name, *counter, values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(entries(object), expected);
}

/// What a server that has `server` makes of a put by a client that had read `context`.
fn put(context: &Vector, new: &str, server: &Object, name: char) -> Object {
    let mut object = server.clone();
    let context = Context { vector: context.clone(), open: Vec::new() };
    object.put(Naming::Dots, actor(name), &context, write(new));
    object
}

fn sync(objects: &[&Object]) -> Object {
    let mut all = Object::default();
    objects.iter().for_each(|object| {
        all.join(Naming::Dots, (*object).clone());
    });
    all
}

fn none() -> Vector {
    Vector::default()
}

/// `join_test` and `update_test` of `src/dvvset.erl` in ricardobcl/Dotted-Version-Vectors.
#[test]
fn dvvset_puts() {
    let empty = Object::default();
    let a0 = put(&none(), "v1", &empty, 'a');
    assert_eq!(empty.vector, none());
    assert_eq!(a0.vector, vector(&[('a', 1)]));
    assert_eq!(put(&a0.vector, "v2", &a0, 'b').vector, vector(&[('a', 1), ('b', 1)]));

    let a1 = put(&a0.vector, "v2", &a0, 'a');
    check(&a0, &[('a', 1, &["v1"])]);
    check(&a1, &[('a', 2, &["v2"])]);
    check(&put(&a1.vector, "v3", &a1, 'b'), &[('a', 2, &[]), ('b', 1, &["v3"])]);
    check(&put(&a0.vector, "v4", &a1, 'b'), &[('a', 2, &["v2"]), ('b', 1, &["v4"])]);
    check(&put(&a0.vector, "v5", &a1, 'a'), &[('a', 3, &["v5", "v2"])]);
}

/// `sync_test` of `src/dvvset.erl`.
#[test]
fn dvvset_syncs() {
    let empty = Object::default();
    let x = object(&[('x', 1, &[])]);
    let a = put(&none(), "v1", &empty, 'a');
    let y = put(&none(), "v2", &empty, 'b');
    let a1 = put(&a.vector, "v2", &empty, 'a');
    let a3 = put(&a1.vector, "v3", &empty, 'b');
    let a4 = put(&a1.vector, "v3", &empty, 'c');
    let w = object(&[('a', 1, &[])]);
    let z = object(&[('a', 2, &["v2", "v1"])]);
    check(&a1, &[('a', 2, &["v2"])]);
    check(&sync(&[&w, &z]), &[('a', 2, &["v2"])]);
    check(&sync(&[&a4, &a3]), &[('a', 2, &[]), ('b', 1, &["v3"]), ('c', 1, &["v3"])]);
    check(&sync(&[&x, &a]), &[('a', 1, &["v1"]), ('x', 1, &[])]);
    check(&sync(&[&a, &y]), &[('a', 1, &["v1"]), ('b', 1, &["v2"])]);
    for (left, right) in [(&w, &z), (&a, &a1), (&a4, &a3), (&x, &a), (&a, &y)] {
        assert_eq!(entries(&sync(&[left, right])), entries(&sync(&[right, left])));
    }
}

/// `sync_update_test` and `event_test` of `src/dvvset.erl`: Mary writes twice without having read; Peter has read her first value.
#[test]
fn dvvset_values_written_blindly_stay_beside_each_other() {
    let a0 = put(&none(), "v1", &Object::default(), 'a');
    let read = a0.vector.clone();
    let a1 = put(&none(), "v2", &a0, 'a');
    let a2 = put(&read, "v3", &a1, 'a');
    assert_eq!(read, vector(&[('a', 1)]));
    check(&a0, &[('a', 1, &["v1"])]);
    check(&a1, &[('a', 2, &["v2", "v1"])]);
    check(&a2, &[('a', 3, &["v3", "v2"])]);
    check(&put(&none(), "v2", &a0, 'b'), &[('a', 1, &["v1"]), ('b', 1, &["v2"])]);
}

/// `lww_last_test`, `reconcile_test` and `map_test` of `src/dvvset.erl`. There a function of the values takes their place inside of the
/// object; here it does so as a put by somebody who has read them all, so that only values and causal history are the authors'.
#[test]
fn dvvset_values_are_reconciled_by_a_put() {
    let x = object(&[('a', 4, &["5", "2"]), ('c', 1, &["3"])]);
    let numbers = |object: &Object| -> Vec<i64> {
        values(object).iter().map(|value| value.parse().expect("a number")).collect()
    };
    let rows = [
        (numbers(&x).iter().sum::<i64>(), 10),
        (*numbers(&x).iter().min().expect("values"), 2),
        (*numbers(&x).iter().max().expect("values"), 5),
    ];
    for (reconciled, expected) in rows {
        assert_eq!(reconciled, expected);
        let after = put(&x.vector, &reconciled.to_string(), &x, 'a');
        assert_eq!(values(&after), [expected.to_string()]);
        assert!(x.vector < after.vector);
    }
}

/// `less_test` and `equal_test` of `src/dvvset.erl`.
#[test]
fn dvvset_histories_compare() {
    let empty = Object::default();
    let a = put(&none(), "v1", &empty, 'a');
    let b = put(&a.vector, "v2", &empty, 'a');
    let b2 = put(&a.vector, "v2", &empty, 'b');
    let b3 = put(&a.vector, "v2", &empty, 'z');
    let c = put(&b.vector, "v3", &a, 'c');
    let d = put(&c.vector, "v4", &b2, 'd');
    for (less, greater) in [(&a, &b), (&a, &c), (&b, &c), (&b, &d), (&b2, &d), (&a, &d)] {
        assert_eq!(less.vector.partial_cmp(&greater.vector), Some(Ordering::Less));
    }
    for (one, other) in [(&b2, &c), (&b, &b2), (&b2, &b), (&a, &a), (&c, &c), (&d, &b2), (&b3, &d)]
    {
        assert_ne!(one.vector.partial_cmp(&other.vector), Some(Ordering::Less));
    }
    // Only histories count, not values.
    let a = object(&[('a', 4, &["v5", "v0"]), ('b', 0, &[]), ('c', 1, &["v3"])]);
    let b = object(&[('a', 4, &["v555", "v0"]), ('b', 0, &[]), ('c', 1, &["v3"])]);
    let c = object(&[('a', 4, &["v5", "v0"]), ('b', 0, &[])]);
    assert!(a.vector == b.vector && a.vector != c.vector && b.vector != c.vector);
}

/// `size_test` and `ids_values_test` of `src/dvvset.erl`, without values that no server has filed, which there are none of here, and
/// without servers whose counter is zero, which have no entry here.
#[test]
fn dvvset_sizes_and_values() {
    let rows: [(Object, &[&str], &[char]); 3] = [
        (put(&none(), "v1", &Object::default(), 'a'), &["v1"], &['a']),
        (
            object(&[('a', 4, &["v0", "v5"]), ('b', 0, &[]), ('c', 1, &["v3"])]),
            &["v0", "v3", "v5"],
            &['a', 'c'],
        ),
        (object(&[('a', 4, &[]), ('b', 0, &[])]), &[], &['a']),
    ];
    for (object, expected, names) in rows {
        assert_eq!(values(&object), expected);
        assert!(entries(&object).iter().map(|(name, ..)| *name).eq(names.iter().copied()));
    }
}

/// `update_test` of `dvv.erl` (src/dvv.erl) in the same repository: which event a server files a put under, given what the client had read
/// and what the server has. Clocks 8a to 8f stand beside each other as long as no client has read them.
#[test]
fn dvv_puts_get_the_servers_next_dot() {
    let mut server = Object::default();
    for counter in 1..=4 {
        server = put(&server.vector, "x", &server, 'a');
        check(&server, &[('a', counter, &["x"])]);
    }
    let c7 = vector(&[('a', 4)]);
    server = put(&c7, "8a", &server, 'b');
    check(&server, &[('a', 4, &[]), ('b', 1, &["8a"])]);
    check(&put(&none(), "8z", &server, 'b'), &[('a', 4, &[]), ('b', 2, &["8z", "8a"])]);
    for (new, counter) in [("8b", 2), ("8c", 3), ("8d", 4)] {
        server = put(&c7, new, &server, 'b');
        assert_eq!(server.vector, vector(&[('a', 4), ('b', counter)]));
    }
    check(&server, &[('a', 4, &[]), ('b', 4, &["8d", "8c", "8b", "8a"])]);
    let with_7a = put(&c7, "7a", &server, 'a');
    check(&with_7a, &[('a', 5, &["7a"]), ('b', 4, &["8d", "8c", "8b", "8a"])]);
    let with_8e = put(&vector(&[('a', 5)]), "8e", &server, 'b');
    check(&with_8e, &[('a', 5, &[]), ('b', 5, &["8e", "8d", "8c", "8b", "8a"])]);
    let with_8f = put(&with_8e.vector, "8f", &with_8e, 'b');
    check(&with_8f, &[('a', 5, &[]), ('b', 6, &["8f"])]);
    let last = put(&with_8f.vector, "9", &with_8f, 'a');
    check(&last, &[('a', 6, &["9"]), ('b', 6, &[])]);
}

/// `example_test`, `descends_test`, `equal_test` and `sync_test` of `dvv.erl`: of clocks in a line the last one stays; those beside each
/// other all stay, until one that has seen all of them comes.
#[test]
fn dvv_syncs_keep_what_nobody_has_seen() {
    let mut line = vec![put(&none(), "2", &Object::default(), 'a')];
    for (new, name) in [("3", 'a'), ("4", 'a'), ("5", 'a'), ("6", 'b'), ("7", 'a')] {
        let last = line.last().expect("it has a beginning");
        line.push(put(&last.vector, new, last, name));
    }
    for (n, earlier) in line.iter().enumerate() {
        for later in &line[n..] {
            assert_eq!(earlier.vector.partial_cmp(&later.vector), Some(earlier.cmp_len(later)));
            assert_eq!(entries(&sync(&[earlier, later])), entries(later));
        }
    }
    let c7 = line.last().expect("it has an end");
    let c8a = put(&c7.vector, "8a", c7, 'b');
    let c8b = put(&c7.vector, "8b", &c8a, 'b');
    let c8c = put(&c7.vector, "8c", &c8b, 'b');
    let c8d = put(&c7.vector, "8d", &c8c, 'a');
    let c9 = put(&c8d.vector, "9", &c8d, 'c');
    let rows: [(&[&Object], &[&str]); 7] = [
        (&[c7, c7], &["7"]),
        (&[c7, &c8a], &["8a"]),
        (&[c7, &c8b], &["8a", "8b"]),
        (&[&c8a, &c8b], &["8a", "8b"]),
        (&[&c8c, &c8a, &c8b], &["8a", "8b", "8c"]),
        (&[&c8d, &c8a, &c8b, &c8c], &["8a", "8b", "8c", "8d"]),
        (&[&c8d, &c8a, &c8b, &c8c, &c9], &["9"]),
    ];
    for (objects, expected) in rows {
        assert_eq!(values(&sync(objects)), expected);
    }
}

impl Object {
    /// How two objects of one line compare: by how many events they know.
    fn cmp_len(&self, other: &Object) -> Ordering {
        self.vector.events().cmp(&other.vector.events())
    }
}

/// `example_test`, `equals_or_dominates_test`, `accessor_test`, `get_entry_test` and `valid_entry_test` of `src/vclock.erl` in
/// basho/riak_core. The tests of that file about timestamps and pruning (`prune_*`, `last_modified_test`) have no counterpart: these vectors
/// have no time in them and are never pruned, which in Riak may make false conflicts.
#[test]
fn vclocks_descend() {
    let (mut a, mut b) = (none(), none());
    a.increment(actor('a'));
    b.increment(actor('b'));
    assert!(a > none() && b > none() && a.partial_cmp(&b).is_none());
    let mut a2 = a.clone();
    a2.increment(actor('a'));
    let mut c = a2.clone();
    c.join(&b);
    c.increment(actor('c'));
    assert!(c > a2 && c > b);
    assert_eq!(b.partial_cmp(&c), Some(Ordering::Less));
    assert_eq!(b.partial_cmp(&a), None);

    let mut line = none();
    for name in ['a', 'b', 'a'] {
        line.increment(actor(name));
    }
    let (mut b4, mut b5) = (line.clone(), line.clone());
    b4.increment(actor('b'));
    b5.increment(actor('b'));
    assert!(b4 > line && b4 == b5);
    assert_eq!(line.partial_cmp(&b4), Some(Ordering::Less));

    let accessed = vector(&[('1', 1), ('2', 2)]);
    let counters = [('1', 1), ('2', 2), ('3', 0)];
    counters.iter().for_each(|(name, n)| assert_eq!(accessed.get(actor(*name)), *n));
    assert!(accessed.entries().iter().map(|(a, _)| *a).eq([actor('1'), actor('2')]));

    let mut entries = none();
    for name in ['a', 'b', 'c', 'a'] {
        entries.increment(actor(name));
    }
    let counters = [('a', 2), ('b', 1), ('c', 1), ('d', 0)];
    counters.iter().for_each(|(name, n)| assert_eq!(entries.get(actor(*name)), *n));
}

/// `merge_test`, `merge_less_left_test`, `merge_less_right_test` and `merge_same_id_test` of `src/vclock.erl`; those of `dvv.erl` by the same
/// names have the same data.
#[test]
fn vclocks_merge() {
    type Entries = &'static [(char, u64)];
    let rows: [(Entries, Entries, Entries); 5] = [
        (&[], &[], &[]),
        (
            &[('1', 1), ('2', 2), ('4', 4)],
            &[('3', 3), ('4', 3)],
            &[('1', 1), ('2', 2), ('3', 3), ('4', 4)],
        ),
        (&[('5', 5)], &[('6', 6), ('7', 7)], &[('5', 5), ('6', 6), ('7', 7)]),
        (&[('6', 6), ('7', 7)], &[('5', 5)], &[('5', 5), ('6', 6), ('7', 7)]),
        (&[('1', 1), ('2', 1)], &[('1', 1), ('3', 1)], &[('1', 1), ('2', 1), ('3', 1)]),
    ];
    for (left, right, expected) in rows {
        let mut merged = vector(left);
        merged.join(&vector(right));
        assert_eq!(merged, vector(expected));
    }
}

/// Puts by clients that never read and only know the context that their own last put returned.
fn race(naming: Naming, writers: usize, order: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut server = Object::default();
    let mut contexts = vec![Context::default(); writers];
    order
        .enumerate()
        .map(|(n, writer)| {
            let edit = EditId { origin: ReplicaId(writer as u32), sequence: n as u64 + 1 };
            let write = Write { edit, ..write(&n.to_string()) };
            server.put(naming, actor('s'), &contexts[writer], write);
            contexts[writer].vector = server.vector.clone();
            server.versions.len()
        })
        .collect()
}

/// The sibling explosion, and how dots end it: A and B alternate 101 puts, each with the context that its own last put returned.
#[test]
fn two_who_alternate_leave_101_siblings_by_clocks_and_2_by_dots() {
    let alternating = || (0..101).map(|n| n % 2);
    assert_eq!(race(Naming::Clocks, 2, alternating()).last(), Some(&101));
    assert_eq!(race(Naming::Dots, 2, alternating()).last(), Some(&2));
}

#[test]
fn whatever_races_there_are_dots_keep_no_more_siblings_than_writers() {
    use rand::{RngExt, SeedableRng};
    for seed in 0..200 {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let writers = rng.random_range(1..6);
        let order: Vec<usize> = (0..60).map(|_| rng.random_range(0..writers)).collect();
        let most = race(Naming::Dots, writers, order.iter().copied()).into_iter().max();
        assert!(most <= Some(writers), "seed {seed}: {most:?} of {writers}");
    }
}
