//! Who talks to whom and who holds what, in numbers of devices.

use crate::scenario::{Group, Scenario, Topology};

/// The hub, where there is one, and the pairs that talk: of each, the end that dials and the other one. Devices that have no partition
/// in common have nothing to talk about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The hub of a star.
    pub hub: Option<u32>,
    /// Each pair once, in order of its lower number, then of its higher.
    pub pairs: Vec<[u32; 2]>,
}

impl Graph {
    /// The graph of a scenario's topology over its devices.
    pub fn new(scenario: &Scenario) -> Graph {
        let groups = &scenario.groups;
        let count: u32 = groups.iter().map(|group| group.count).sum();
        let lower_dials = |pairs: Vec<[u32; 2]>| Graph { hub: None, pairs };
        let mut graph = match &scenario.topology {
            Topology::Star { hub } => {
                let before = groups.iter().take_while(|group| group.name != *hub);
                let hub = before.map(|group| group.count).sum();
                let clients = (0..count).filter(|device| *device != hub);
                Graph { hub: Some(hub), pairs: clients.map(|client| [client, hub]).collect() }
            }
            Topology::Mesh => {
                let higher = |a: u32| (a + 1..count).map(move |b| [a, b]);
                lower_dials((0..count).flat_map(higher).collect())
            }
            Topology::Tree { branching } => {
                lower_dials((1..count).map(|device| [(device - 1) / branching, device]).collect())
            }
            Topology::Ring => {
                let mut pairs: Vec<_> = (1..count).map(|device| [device - 1, device]).collect();
                // Two devices are each other's next, but there is one edge between them.
                if count > 2 {
                    pairs.insert(1, [0, count - 1]);
                }
                lower_dials(pairs)
            }
            Topology::Edges { edges } => {
                let mut pairs: Vec<_> = edges.iter().map(|[a, b]| [*a.min(b), *a.max(b)]).collect();
                pairs.sort_unstable();
                lower_dials(pairs)
            }
        };
        if scenario.data.partitions > 1 {
            let held = scenario.partitions_held();
            let share = |[a, b]: &[u32; 2]| {
                let [a, b] = [a, b].map(|device| &held[*device as usize]);
                a.iter().any(|partition| b.binary_search(partition).is_ok())
            };
            graph.pairs.retain(share);
        }
        graph
    }
}

impl Scenario {
    /// The partitions that each device holds, in order. A group's devices are dealt theirs round robin: of n partitions, device i of a
    /// group that holds k each has the k that follow from i · k on, modulo n.
    pub fn partitions_held(&self) -> Vec<Vec<u32>> {
        let count = self.data.partitions;
        let of_group = |group: &Group| {
            let each = group.partitions_held.map_or(count, |each| each.min(count));
            let dealt = (0..group.count).map(move |device| {
                let first = (u64::from(device) * u64::from(each) % u64::from(count)) as u32;
                let mut held: Vec<u32> = (first..first + each).map(|n| n % count).collect();
                held.sort_unstable();
                held
            });
            dealt.collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(of_group).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(topology: &str, count: u32) -> Graph {
        let text = format!(
            "name = \"t\"\nduration = \"1h\"\ntopology = {{ {topology} }}\ndata = {{ fields = {{ a = \"set\" }} }}\n\
             [[group]]\nname = \"a\"\ncount = {}\ndevice = \"laptop\"\nlink = \"wifi\"\n\
             [[group]]\nname = \"b\"\ndevice = \"laptop\"\nlink = \"wifi\"\n",
            count - 1
        );
        Graph::new(&crate::parse(&text, "t", &[]).expect("a scenario"))
    }

    #[test]
    fn each_kind_has_its_pairs() {
        let star = graph("kind = \"star\", hub = \"b\"", 4);
        assert_eq!(star, Graph { hub: Some(3), pairs: vec![[0, 3], [1, 3], [2, 3]] });
        let pairs = |topology: &str, count: u32| {
            let graph = graph(topology, count);
            assert_eq!(graph.hub, None, "{topology}");
            assert!(graph.pairs.is_sorted(), "{topology}: {:?}", graph.pairs);
            graph.pairs
        };
        assert_eq!(pairs("kind = \"mesh\"", 3), [[0, 1], [0, 2], [1, 2]]);
        assert_eq!(pairs("kind = \"mesh\"", 2), [[0, 1]]);
        let binary = [[0, 1], [0, 2], [1, 3], [1, 4], [2, 5]];
        assert_eq!(pairs("kind = \"tree\"", 6), binary);
        assert_eq!(pairs("kind = \"tree\", branching = 1", 4), [[0, 1], [1, 2], [2, 3]]);
        assert_eq!(pairs("kind = \"tree\", branching = 9", 4), [[0, 1], [0, 2], [0, 3]]);
        assert_eq!(pairs("kind = \"ring\"", 4), [[0, 1], [0, 3], [1, 2], [2, 3]]);
        assert_eq!(pairs("kind = \"ring\"", 3), [[0, 1], [0, 2], [1, 2]]);
        assert_eq!(pairs("kind = \"ring\"", 2), [[0, 1]]);
        let edges = "kind = \"edges\", edges = [[3, 1], [0, 2], [1, 0]]";
        assert_eq!(pairs(edges, 4), [[0, 1], [0, 2], [1, 3]]);
    }

    #[test]
    fn partitions_are_dealt_round_robin_and_strangers_do_not_talk() {
        let text = "name = \"t\"\nduration = \"1h\"\ntopology = { kind = \"mesh\" }\n\
             data = { fields = { a = \"set\" }, partitions = 4 }\n\
             [[group]]\nname = \"one\"\ncount = 5\ndevice = \"laptop\"\nlink = \"wifi\"\npartitions_held = 1\n\
             [[group]]\nname = \"three\"\ncount = 3\ndevice = \"laptop\"\nlink = \"wifi\"\npartitions_held = 3\n\
             [[group]]\nname = \"all\"\ndevice = \"laptop\"\nlink = \"wifi\"\n";
        let scenario = crate::parse(text, "t", &[]).expect("a scenario");
        let ones: [&[u32]; 5] = [&[0], &[1], &[2], &[3], &[0]];
        let threes: [&[u32]; 4] = [&[0, 1, 2], &[0, 1, 3], &[0, 2, 3], &[0, 1, 2, 3]];
        assert_eq!(scenario.partitions_held(), [&ones[..], &threes[..]].concat());
        let pairs = Graph::new(&scenario).pairs;
        let of = |device: u32| pairs.iter().filter(move |pair| pair.contains(&device)).count();
        // Number 0 with the other one that holds its partition and with all of the other groups; number 1 with two of the three, and
        // with who holds all.
        assert_eq!([of(0), of(1), of(8)], [5, 3, 8]);
    }
}
