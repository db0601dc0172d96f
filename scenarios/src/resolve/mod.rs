//! From the tree of a scenario to its resolved types.

pub(crate) mod device;
pub(crate) mod group;
pub(crate) mod law;
pub(crate) mod link;
pub(crate) mod outage;

mod checks;

use std::collections::BTreeSet;

use crate::built_in::{self, BuiltIn};
use crate::scenario::{
    Budget, Data, Encryption, Field, FieldKind, Mix, Rhythm, Scenario, Topology, Transport,
    TransportKind, Workload,
};
use crate::section::{Place, Section};
use crate::units::{DAY, HOUR, MINUTE, SECOND, SIZE};

/// The whole document.
pub(crate) fn scenario(root: &Place<'_>) -> Option<Scenario> {
    let scenario = root.table("a scenario", |section| {
        section.forbid("sweep", "a sweep", "no sweep: a later release runs them");
        let analysis = section.read_or("analysis", String::new(), Place::text);
        let name = section.require("name", "a name", Place::name);
        let duration_ns = section.require("duration", "a duration", law::duration(SECOND));
        // Long enough for the slowest built-in outages to pass several times over.
        let settle_ns = section.read_or("settle", 2 * HOUR, law::duration(SECOND));
        let timeline_step_ns = section.read_or("timeline_step", 10 * MINUTE, law::duration(SECOND));
        // Ten: the least that a pilot should have (numbers.md, E: Law and Kelton).
        let seeds = section.read_or("seeds", 10, |place| place.small(1..=1_000_000));
        let strategies = section.read_or("strategies", vec!["*".to_owned()], strategies);
        let groups = section.require("group", "at least one [[group]]", groups);
        let topology =
            section.require("topology", "a table", |place| place.table("a table", topology));
        let data = section.require("data", "a table", |place| place.table("a table", data));
        let workload = match section.get("workload") {
            Some(place) => place.table("a table", workload),
            None => Some(default_workload()),
        };
        let transport = match section.get("transport") {
            Some(place) => place.table("a table", transport),
            None => Some(DEFAULT_TRANSPORT),
        };
        let budgets = section.read_or("budget", Vec::new(), |place| {
            place.list("a list of budgets", |place| place.table("a table", budget))
        });
        Some(Scenario {
            analysis: analysis?,
            name: name?,
            duration_ns: duration_ns?,
            settle_ns: settle_ns?,
            timeline_step_ns: timeline_step_ns?,
            seeds: seeds?,
            strategies: strategies?,
            groups: groups?,
            topology: topology?,
            data: data?,
            workload: workload?,
            transport: transport?,
            budgets: budgets?,
        })
    })?;
    // What spans several values is judged only once each of them is right.
    if root.context.is_clean() {
        checks::check(root, &scenario);
    }
    Some(scenario)
}

/// A value that is a built-in name, or a table with the key `profile` that starts from one.
pub(crate) fn profiled<T: Clone>(
    place: &Place<'_>,
    what: &str,
    known: &'static [(BuiltIn, T)],
    fields: impl FnOnce(&Section<'_>, &str, &T) -> Option<T>,
) -> Option<T> {
    if place.as_text().is_some() {
        return built_in::find(place, what, known).cloned();
    }
    let expected = format!("the name of a {what}, or a table that names one as its profile");
    place.table(&expected, |section| {
        let profile = section.require("profile", "the name to start from", |place| {
            let base = built_in::find(place, what, known)?;
            Some((place.as_text()?, base))
        });
        match profile {
            Some((name, base)) => fields(section, name, base),
            None => {
                // The keys can be judged without a right profile: their values start from any.
                let (built_in, base) = known.first()?;
                fields(section, &built_in.name, base);
                None
            }
        }
    })
}

fn strategies(place: &Place<'_>) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let names = place.list("a list of names or globs", |place| {
        let name = place.text()?;
        if name.trim().is_empty() || name.trim() != name {
            return place.refuse("a name or glob of strategies");
        }
        Some(name)
    })?;
    if names.is_empty() {
        return place.refuse("at least one name or glob of strategies");
    }
    for (index, name) in names.iter().enumerate() {
        if !seen.insert(name) {
            let twice = place.items("a list")?.swap_remove(index);
            return twice.refuse_as(format!("{name:?} again"), "each name or glob once", None);
        }
    }
    Some(names)
}

fn groups(place: &Place<'_>) -> Option<Vec<crate::scenario::Group>> {
    let mut items = place.items("a list of [[group]] tables")?;
    if items.is_empty() {
        return place.refuse("at least one [[group]]");
    }
    let mut seen = BTreeSet::new();
    for item in &mut items {
        // A group with a name is known by it, in messages as in overrides.
        let Some(name) = item.node.name() else { continue };
        item.path = format!("group.{name}");
        if !seen.insert(name) {
            item.refuse_as(format!("a second group {name:?}"), "one group of each name", None)?;
        }
    }
    let read: Vec<_> =
        items.iter().map(|item| item.table("a [[group]] table", group::group)).collect();
    read.into_iter().collect()
}

fn topology(section: &Section<'_>) -> Option<Topology> {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Kind {
        Star,
        Mesh,
        Tree,
        Ring,
        Edges,
    }
    const KINDS: &[(&str, Kind)] = &[
        ("star", Kind::Star),
        ("mesh", Kind::Mesh),
        ("tree", Kind::Tree),
        ("ring", Kind::Ring),
        ("edges", Kind::Edges),
    ];
    let kind = section.require("kind", "one of `star`, `mesh`, `tree`, `ring`, `edges`", |place| {
        place.choice(KINDS)
    });
    // Keys that the kind does not use are allowed, so that one override can change the kind. Without a right kind, those that are there
    // are judged nevertheless.
    let hub = match kind {
        Some(Kind::Star) => {
            section.require("hub", "the name of a group of one device", Place::name)
        }
        _ => section.read_or("hub", String::new(), Place::name),
    };
    let branching = section.read_or("branching", 2, |place| place.small(1..=group::MOST_DEVICES));
    let edges = match kind {
        Some(Kind::Edges) => section.require("edges", EDGES, edges),
        _ => section.read_or("edges", Vec::new(), edges),
    };
    let (kind, hub, branching, edges) = (kind?, hub?, branching?, edges?);
    Some(match kind {
        Kind::Star => Topology::Star { hub },
        Kind::Mesh => Topology::Mesh,
        Kind::Tree => Topology::Tree { branching },
        Kind::Ring => Topology::Ring,
        Kind::Edges => Topology::Edges { edges },
    })
}

const EDGES: &str = "a list of pairs of device numbers, as in [[0, 1], [0, 2]]";

/// Edges that are right by themselves; whether they fit the devices is judged once those are known.
fn edges(place: &Place<'_>) -> Option<Vec<[u32; 2]>> {
    let edges = place.list(EDGES, |place| {
        let [a, b] = place.pair("a pair of device numbers, as in [0, 1]")?;
        let number = |place: &Place<'_>| place.small(0..=group::MOST_DEVICES - 1);
        let (a, b) = (number(&a), number(&b));
        let (a, b) = (a?, b?);
        if a == b {
            return place.refuse_as(format!("an edge from {a} to itself"), "two devices", None);
        }
        Some([a, b])
    })?;
    let mut seen = BTreeSet::new();
    for (index, [a, b]) in edges.iter().enumerate() {
        if !seen.insert([a.min(b), a.max(b)]) {
            let twice = place.items(EDGES)?.swap_remove(index);
            let found = format!("the edge between {a} and {b} again");
            return twice.refuse_as(found, "each edge once", None);
        }
    }
    Some(edges)
}

fn data(section: &Section<'_>) -> Option<Data> {
    // Two hundred records of two hundred bytes: a task list. An assumption.
    let records = section.read_or("records", 200, |place| place.small(1..=1_000_000));
    let size = |place: &Place<'_>| place.quantity(&SIZE, 0..=1_000_000).map(|bytes| bytes as u32);
    let record_bytes = section.read_or("record_size", 200, size);
    let fields = section.require("fields", "a table of names and kinds", fields);
    let partitions =
        section.read_or("partitions", 1, |place| place.small(1..=group::MOST_PARTITIONS));
    // A month is longer than most holidays. An assumption.
    let retention_ns = section.read_or("retention", 30 * DAY, law::duration(SECOND));
    Some(Data {
        records: records?,
        record_bytes: record_bytes?,
        fields: fields?,
        partitions: partitions?,
        retention_ns: retention_ns?,
    })
}

/// The fields, in the order of the text.
fn fields(table: &Place<'_>) -> Option<Vec<Field>> {
    const MOST: usize = 1000;
    let expected = format!("a table of 1 to {MOST} names and kinds");
    let entries = table.entries(&expected)?;
    if entries.is_empty() || entries.len() > MOST {
        return table.refuse(expected);
    }
    let read: Vec<Option<Field>> = entries
        .iter()
        .map(|(entry, place)| {
            let field = field(place);
            let name = table.key_name(entry);
            let (kind, critical) = field?;
            Some(Field { name: name?, kind, critical })
        })
        .collect();
    read.into_iter().collect()
}

/// The kind of a field, and whether it is critical: a name, or a table.
fn field(place: &Place<'_>) -> Option<(FieldKind, bool)> {
    if !place.is_table() {
        return Some((place.choice(FIELD_KINDS)?, false));
    }
    place.table("a table", |section| {
        let kind = section.require("kind", "the kind of the field", |p| p.choice(FIELD_KINDS));
        let critical = section.read_or("critical", false, Place::boolean);
        Some((kind?, critical?))
    })
}

pub(crate) const FIELD_KINDS: &[(&str, FieldKind)] = &[
    ("register", FieldKind::Register),
    ("counter", FieldKind::Counter),
    ("set", FieldKind::Set),
    ("text", FieldKind::Text),
];

/// Thirty edits in an hour of presence (with an hour of presence a day within the 10 to 200 interactions of numbers.md,
/// A.5), records by Zipf's law with exponent 1 (the middle of the Retwis range, D.1). Shares and sizes are assumptions.
fn default_workload() -> Workload {
    Workload {
        edits_per_hour: 30.0,
        rhythm: None,
        zipf: 1.0,
        mix: Mix { put: 50, add: 15, insert: 10, remove: 5, splice: 18, delete: 2 },
        value_bytes: 24,
        splice_words: 3,
        audit: false,
    }
}

fn workload(section: &Section<'_>) -> Option<Workload> {
    let default = default_workload();
    let edits_per_hour = section.read_or("edits_per_hour", default.edits_per_hour, |place| {
        place.number(0.001..=1_000_000.0)
    });
    let rhythm = section.read_or("rhythm", None, |place| none_or(place, rhythm));
    let zipf = section.read_or("popularity", default.zipf, |place| {
        place.table("{ zipf = 1.1 }", |section| {
            section.require("zipf", "an exponent", |place| place.number(0.0..=10.0))
        })
    });
    let mix = section.read_or("mix", default.mix, |place| place.table("a table of shares", mix));
    // At least 8 bytes, so that every value can be unique.
    let size = |place: &Place<'_>| place.quantity(&SIZE, 8..=1_000_000).map(|bytes| bytes as u32);
    let value_bytes = section.read_or("value_size", default.value_bytes, size);
    let splice_words =
        section.read_or("splice_words", default.splice_words, |place| place.small(1..=10_000));
    let audit = section.read_or("audit", default.audit, Place::boolean);
    Some(Workload {
        edits_per_hour: edits_per_hour?,
        rhythm: rhythm?,
        zipf: zipf?,
        mix: mix?,
        value_bytes: value_bytes?,
        splice_words: splice_words?,
        audit: audit?,
    })
}

/// At most a million edits of each device, no closer than a millisecond: more would make events without end.
fn rhythm(section: &Section<'_>) -> Option<Rhythm> {
    let every_ns = section.require("every", "a duration", law::duration(1_000_000));
    let count = section.require("count", "a number of edits", |p| p.small(1..=1_000_000));
    Some(Rhythm { every_ns: every_ns?, count: count? })
}

/// `none`, or a table.
pub(crate) fn none_or<T>(
    place: &Place<'_>,
    read: impl FnOnce(&Section<'_>) -> Option<T>,
) -> Option<Option<T>> {
    if place.is_none() { Some(None) } else { place.table("`none` or a table", read).map(Some) }
}

/// A mix names what it wants; kinds that are absent get no share.
fn mix(section: &Section<'_>) -> Option<Mix> {
    let share = |key| section.read_or(key, 0, |place| place.small(0..=1_000_000));
    let put = share("put");
    let add = share("add");
    let insert = share("insert");
    let remove = share("remove");
    let splice = share("splice");
    let delete = share("delete");
    Some(Mix {
        put: put?,
        add: add?,
        insert: insert?,
        remove: remove?,
        splice: splice?,
        delete: delete?,
    })
}

/// What nearly every product does today.
const DEFAULT_TRANSPORT: Transport =
    Transport { kind: TransportKind::Session, encryption: Encryption::Tls13 };

pub(crate) const TRANSPORT_KINDS: &[(&str, TransportKind)] =
    &[("session", TransportKind::Session), ("datagram", TransportKind::Datagram)];
pub(crate) const ENCRYPTIONS: &[(&str, Encryption)] =
    &[("none", Encryption::None), ("tls13", Encryption::Tls13)];

fn transport(section: &Section<'_>) -> Option<Transport> {
    let kind = section.read_or("kind", DEFAULT_TRANSPORT.kind, |p| p.choice(TRANSPORT_KINDS));
    let encryption =
        section.read_or("encryption", DEFAULT_TRANSPORT.encryption, |p| p.choice(ENCRYPTIONS));
    Some(Transport { kind: kind?, encryption: encryption? })
}

fn budget(section: &Section<'_>) -> Option<Budget> {
    // TOML promises 64-bit integers with a sign.
    let bound = |place: &Place<'_>| place.integer(0..=i64::MAX as u64).map(Some);
    let strategy = section.require("strategy", "a name or glob of strategies", |place| {
        let glob = place.text()?;
        if glob.trim().is_empty() || glob.trim() != glob {
            return place.refuse("a name or glob of strategies");
        }
        Some(glob)
    });
    let metric = section.require("metric", "a column of trials.csv", Place::name);
    let max_place = section.get("max");
    let max = max_place.as_ref().map_or(Some(None), bound);
    let min_place = section.get("min");
    let min = min_place.as_ref().map_or(Some(None), bound);
    let budget = Budget { strategy: strategy?, metric: metric?, max: max?, min: min? };
    match (budget.min, budget.max) {
        (None, None) => section.lacks("max", "the largest value allowed, or `min`, the smallest"),
        (Some(min), Some(max)) if min > max => {
            max_place.as_ref()?.refuse(format!("at least the min of {min}"))
        }
        _ => Some(budget),
    }
}
