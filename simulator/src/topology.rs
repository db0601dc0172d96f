//! Who talks to whom, in numbers of devices.

use reconverge_scenarios::{Scenario, Topology};

/// The hub, where there is one, and the pairs that talk: of each, the end that dials and the other one.
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
        match &scenario.topology {
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
        }
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
        Graph::new(&reconverge_scenarios::parse(&text, "t", &[]).expect("a scenario"))
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
}
