//! What has a name: networks, radios, devices, outages, schedules. The tables are TOML files beside the code, in the same
//! words as scenarios, each figure with its source.

use std::sync::OnceLock;

use crate::resolve::{device, link, outage};
use crate::scenario::{Device, Link, Outage, Radio, ScheduleKind};
use crate::section::{Context, Place, Section};
use crate::tree::Node;

/// A built-in name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// The name, as scenarios use it.
    pub name: String,
    /// What it is, in a line.
    pub summary: String,
    /// Where its figures come from.
    pub source: String,
}

type Table<T> = Vec<(BuiltIn, T)>;

/// The kinds of topology.
pub fn topologies() -> impl Iterator<Item = &'static BuiltIn> {
    static TABLE: OnceLock<Vec<BuiltIn>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let rows = [
            (
                "star",
                "everybody with the device of the group `hub`, which decides and relays",
                "the server of nearly every product",
            ),
            ("mesh", "everybody with everybody", "small peer-to-peer groups"),
            (
                "tree",
                "everybody with its parent and children: `branching` of them (default 2), parent of n is (n - 1) / branching",
                "Enes et al., ICDE 2019, measure on a tree beside a partial mesh (numbers.md, D.1); the numbering is that of a heap",
            ),
            (
                "ring",
                "everybody with the next, the last with the first",
                "the sparsest graph with two ways between any two",
            ),
            (
                "edges",
                "those that `edges` names, as in [[0, 1], [0, 2]]; devices are numbered through the groups",
                "for graphs of publications, such as those of Enes et al., ICDE 2019 (numbers.md, D.1)",
            ),
        ];
        let built_in = |(name, summary, source): (&str, &str, &str)| BuiltIn {
            name: name.to_owned(),
            summary: summary.to_owned(),
            source: source.to_owned(),
        };
        rows.into_iter().map(built_in).collect()
    });
    table.iter()
}

/// The networks that a group's `link` can name.
pub fn networks() -> impl Iterator<Item = &'static BuiltIn> {
    network_table().iter().map(|(built_in, _)| built_in)
}

/// The radios that a link's `radio` can name.
pub fn radios() -> impl Iterator<Item = &'static BuiltIn> {
    radio_table().iter().map(|(built_in, _)| built_in)
}

/// The devices that a group's `device` can name.
pub fn devices() -> impl Iterator<Item = &'static BuiltIn> {
    device_table().iter().map(|(built_in, _)| built_in)
}

/// The outages that a group's `outages` can name.
pub fn outages() -> impl Iterator<Item = &'static BuiltIn> {
    outage_table().iter().map(|(built_in, _)| built_in)
}

/// The schedules that a group's `schedule` can name.
pub fn schedules() -> impl Iterator<Item = &'static BuiltIn> {
    schedule_table().iter().map(|(built_in, _)| built_in)
}

pub(crate) fn network_table() -> &'static [(BuiltIn, Link)] {
    static TABLE: OnceLock<Table<Link>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let text = include_str!("../profiles/networks.toml");
        read("networks", text, |section, name| link::fields(section, name, None))
    })
}

pub(crate) fn radio_table() -> &'static [(BuiltIn, Radio)] {
    static TABLE: OnceLock<Table<Radio>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let text = include_str!("../profiles/radios.toml");
        read("radios", text, |section, _| link::radio_fields(section, None))
    })
}

pub(crate) fn device_table() -> &'static [(BuiltIn, Device)] {
    static TABLE: OnceLock<Table<Device>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let text = include_str!("../profiles/devices.toml");
        read("devices", text, |section, name| device::fields(section, name, None))
    })
}

pub(crate) fn outage_table() -> &'static [(BuiltIn, Outage)] {
    static TABLE: OnceLock<Table<Outage>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let text = include_str!("../profiles/outages.toml");
        read("outages", text, |section, name| outage::fields(section, name, None))
    })
}

/// The kinds of schedule by name.
pub(crate) fn schedule_kinds() -> Vec<(&'static str, ScheduleKind)> {
    let kinds = schedule_table().iter().map(|(_, kind)| (kind.name(), *kind));
    kinds.collect()
}

fn schedule_table() -> &'static [(BuiltIn, ScheduleKind)] {
    static TABLE: OnceLock<Table<ScheduleKind>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let rows = [
            (
                ScheduleKind::Immediate,
                "speaks after every change",
                "the common default of online-first clients (Replicache pushes after 10 ms)",
            ),
            (
                ScheduleKind::Periodic,
                "speaks with every peer at a fixed interval, each device with its own random phase",
                "Android WorkManager's periodic work; its shortest interval, 15 min, is the default",
            ),
            (
                ScheduleKind::Rounds,
                "speaks with every peer at a fixed interval; of n devices, number i has the phase i/n",
                "rounds of anti-entropy, as in the experiment of Enes, Almeida, Baquero and Leitao, ICDE 2019 (numbers.md, D.1)",
            ),
            (
                ScheduleKind::RandomPeer,
                "speaks at a fixed interval with one peer drawn uniformly, each device with its own random phase",
                "epidemics: Demers et al., PODC 1987, where each site contacts one random other site per cycle (numbers.md, D.2)",
            ),
            (
                ScheduleKind::Batched,
                "speaks when the oldest unsent change has a certain age",
                "CouchDB's replicator checkpoints every 30 s, the default age",
            ),
            (
                ScheduleKind::BatteryAware,
                "as batched; periodic below the saver threshold, immediate while charging",
                "Android defers background work in battery saver and lifts its limits while charging",
            ),
        ];
        rows.into_iter()
            .map(|(kind, summary, source)| {
                let name = kind.name().to_owned();
                let built_in =
                    BuiltIn { name, summary: summary.to_owned(), source: source.to_owned() };
                (built_in, kind)
            })
            .collect()
    })
}

/// The entry that a place names.
pub(crate) fn find<T>(
    place: &Place<'_>,
    what: &str,
    known: &'static [(BuiltIn, T)],
) -> Option<&'static T> {
    let named = known.iter().find(|(built_in, _)| Some(built_in.name.as_str()) == place.as_text());
    match named {
        Some((_, value)) => Some(value),
        None => {
            let names = known.iter().map(|(built_in, _)| built_in.name.as_str());
            place.refuse_name(&format!("the name of a {what}: one of"), names)
        }
    }
}

/// Reads a table of built-in values. They are part of the program: a mistake in them is a bug, and a test reads them all.
fn read<T>(
    file: &str,
    text: &str,
    fields: impl Fn(&Section<'_>, &str) -> Option<T>,
) -> Vec<(BuiltIn, T)> {
    let root = Node::document(text).expect("built-in tables are TOML");
    let context = Context::new(file, text, &[]);
    let place = Place { context: &context, path: String::new(), node: &root };
    let entry = |section: &Section<'_>, name: &str| {
        let summary = section.require("summary", "a text", Place::text);
        let source = section.require("source", "a text", Place::text);
        let value = fields(section, name);
        let built_in = BuiltIn { name: name.to_owned(), summary: summary?, source: source? };
        Some((built_in, value?))
    };
    let entries = place.entries("a table").expect("a document is a table");
    let read: Vec<Option<(BuiltIn, T)>> = entries
        .iter()
        .map(|(of, place)| place.table("a table", |section| entry(section, &of.key)))
        .collect();
    if let Some(error) = context.first_error() {
        panic!("built-in tables are right, but {error}");
    }
    let read: Option<Vec<(BuiltIn, T)>> = read.into_iter().collect();
    read.expect("what is not read is an error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_is_read_and_described() {
        let kinds: [(&str, Vec<&BuiltIn>); 6] = [
            ("topologies", topologies().collect()),
            ("networks", networks().collect()),
            ("radios", radios().collect()),
            ("devices", devices().collect()),
            ("outages", outages().collect()),
            ("schedules", schedules().collect()),
        ];
        for (kind, list) in kinds {
            assert!(list.len() >= 4, "{kind}");
            for (index, built_in) in list.iter().enumerate() {
                assert!(
                    !built_in.summary.contains('\n') && built_in.summary.len() > 10,
                    "{built_in:?}"
                );
                assert!(built_in.source.len() > 10, "{built_in:?}");
                assert!(list[..index].iter().all(|other| other.name != built_in.name));
            }
        }
    }

    #[test]
    fn figures_are_those_of_the_sources() {
        let network = |name: &str| {
            let row = network_table().iter().find(|(built_in, _)| built_in.name == name);
            row.expect("a built-in network").1.clone()
        };
        let lte = network("lte");
        let radio = lte.radio.expect("LTE has a radio");
        assert_eq!((radio.promotion_ns, radio.promotion_mw), (260_100_000, 1_211));
        assert_eq!((radio.tail_ns, radio.tail_mw), (11_576_000_000, 1_060));
        assert_eq!((radio.up_uw_per_mbps, radio.down_uw_per_mbps), (438_390, 51_970));
        assert_eq!(network("ideal").radio, None);
        let phone = &device_table()[0].1;
        assert_eq!(phone.profile, "phone-2020");
        assert_eq!(phone.battery.as_ref().expect("a battery").capacity_mj, 59_598_000);
    }
}
