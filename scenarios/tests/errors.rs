//! What is wrong with a scenario is said with its path, its line and what would be right.

use reconverge_scenarios::{ScenarioError, builtin, parse};

const GOOD: &str = r#"name = "trip"
duration = "24h"

[[group]]
name = "phone"
count = 4
device = "phone-2020"
link = "lte"
outages = ["tunnels", { model = "renewal", up = "10min", down = { exponential = "1min" } }]
schedule = { kind = "batched", age = "30s" }

[[group]]
name = "server"
device = "server"
link = "datacenter"

[topology]
kind = "star"
hub = "server"

[data]
records = 20
fields = { title = "register", notes = "text" }

[workload]
edits_per_hour = 30
mix = { put = 1, splice = 1 }

[[budget]]
strategy = "crdt/*"
metric = "edits_lost"
max = 0
"#;

/// The error of the good scenario with one part replaced by another.
fn error(from: &str, to: &str) -> ScenarioError {
    assert_eq!(GOOD.matches(from).count(), 1, "{from:?} stands once in the good scenario");
    let text = GOOD.replace(from, to);
    match parse(&text, "trip.toml", &[]) {
        Ok(_) => panic!("{from:?} -> {to:?} is accepted"),
        Err(error) => *error,
    }
}

#[test]
fn the_good_scenario_is_good() {
    parse(GOOD, "trip.toml", &[]).expect("a good scenario");
}

/// Replaced part, its replacement, path, line, a part of what is found, a part of what is expected, suggestion.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    usize,
    &'static str,
    &'static str,
    Option<&'static str>,
);

fn check(cases: &[Case]) {
    for (from, to, path, line, found, expected, suggestion) in cases {
        let e = error(from, to);
        let context = format!("{from:?} -> {to:?}: {e}");
        assert_eq!(e.path, *path, "{context}");
        assert_eq!(e.line, Some(*line), "{context}");
        assert!(e.found.contains(found), "{context}");
        assert!(e.expected.contains(expected), "{context}");
        assert_eq!(e.suggestion.as_deref(), *suggestion, "{context}");
        assert_eq!(e.source_name, "trip.toml", "{context}");
        let text = GOOD.replace(from, to);
        let span = e.span.clone().expect("errors in texts have a span");
        assert!(text.get(span).is_some(), "{context}");
    }
}

#[test]
#[rustfmt::skip] // one case a line
fn unknown_keys_and_names() {
    check(&[
        ("duration", "duratoin", "duratoin", 2, "unknown key", "`duration`", Some("duration")),
        ("count = 4", "cuont = 4", "group.phone.cuont", 6, "unknown key", "`count`", Some("count")),
        ("count = 4", "zebra = 4", "group.phone.zebra", 6, "unknown key", "`count`", None),
        ("age =", "aeg =", "group.phone.schedule.aeg", 10, "unknown key", "`age`", Some("age")),
        ("down = {", "donw = {", "group.phone.outages.1.donw", 9, "`donw`", "`down`", Some("down")),
        ("exponential", "exponentail", "group.phone.outages.1.down.exponentail", 9, "`exponentail`", "`exponential`", Some("exponential")),
        ("\"tunnels\"", "\"tunnel\"", "group.phone.outages.0", 9, "\"tunnel\"", "outage", Some("tunnels")),
        ("\"tunnels\"", "{ profile = \"deadspots\" }", "group.phone.outages.0.profile", 9, "\"deadspots\"", "outage", Some("dead-spots")),
        ("\"phone-2020\"", "\"phone2020\"", "group.phone.device", 7, "\"phone2020\"", "device", Some("phone-2020")),
        ("\"phone-2020\"", "{ profile = \"fone-2020\" }", "group.phone.device.profile", 7, "\"fone-2020\"", "device", Some("phone-2020")),
        ("\"lte\"", "\"LTE\"", "group.phone.link", 8, "\"LTE\"", "network", Some("lte")),
        ("\"lte\"", "\"carrier pigeon\"", "group.phone.link", 8, "carrier pigeon", "network", None),
        ("\"lte\"", "{ profile = \"lte\", radio = \"wify\" }", "group.phone.link.radio", 8, "\"wify\"", "radio", Some("wifi")),
        ("\"lte\"", "{ profile = \"lte\", radio = { profile = \"5g_nsa\" } }", "group.phone.link.radio.profile", 8, "\"5g_nsa\"", "radio", Some("5g-nsa")),
        ("\"batched\"", "\"batch\"", "group.phone.schedule.kind", 10, "\"batch\"", "`batched`", Some("batched")),
        ("{ kind = \"batched\", age = \"30s\" }", "\"imediate\"", "group.phone.schedule", 10, "\"imediate\"", "`immediate`", Some("immediate")),
        ("\"renewal\"", "\"renewel\"", "group.phone.outages.1.model", 9, "\"renewel\"", "`renewal`", Some("renewal")),
        ("\"star\"", "\"stra\"", "topology.kind", 18, "\"stra\"", "`star`", Some("star")),
        ("\"text\"", "\"txt\"", "data.fields.notes", 23, "\"txt\"", "`text`", Some("text")),
        ("splice = 1", "slice = 1", "workload.mix.slice", 27, "`slice`", "`splice`", Some("splice")),
        ("max = 0", "maxx = 0", "budget.0.maxx", 32, "`maxx`", "`max`", Some("max")),
        ("hub = \"server\"", "hub = \"sever\"", "topology.hub", 19, "\"sever\"", "`server`", Some("server")),
        ("[workload]", "[wrokload]", "wrokload", 25, "unknown key", "`workload`", Some("workload")),
    ]);
}

#[test]
#[rustfmt::skip] // one case a line
fn missing_keys() {
    check(&[
        ("name = \"trip\"\n", "", "name", 1, "nothing", "`name`", None),
        ("duration = \"24h\"\n", "", "duration", 1, "nothing", "`duration`", None),
        ("name = \"phone\"\n", "", "group.0.name", 4, "nothing", "`name`", None),
        ("device = \"phone-2020\"\n", "", "group.phone.device", 4, "nothing", "`device`", None),
        ("link = \"lte\"\n", "", "group.phone.link", 4, "nothing", "`link`", None),
        ("\"lte\"", "{ up_rate = \"1Mbps\" }", "group.phone.link.profile", 8, "nothing", "`profile`", None),
        ("up = \"10min\", ", "", "group.phone.outages.1.up", 9, "nothing", "`up`", None),
        ("model = \"renewal\", ", "", "group.phone.outages.1.model", 9, "nothing", "`model`", None),
        ("kind = \"batched\", ", "", "group.phone.schedule.kind", 10, "nothing", "`kind`", None),
        ("[topology]\nkind = \"star\"\nhub = \"server\"\n", "", "topology", 1, "nothing", "`topology`", None),
        ("hub = \"server\"\n", "", "topology.hub", 17, "nothing", "`hub`", None),
        ("fields = { title = \"register\", notes = \"text\" }\n", "", "data.fields", 21, "nothing", "`fields`", None),
        ("max = 0\n", "", "budget.0.max", 29, "nothing", "`max`", None),
        ("metric = \"edits_lost\"\n", "", "budget.0.metric", 29, "nothing", "`metric`", None),
    ]);
}

#[test]
#[rustfmt::skip] // one case a line
fn wrong_types_and_units() {
    check(&[
        ("\"24h\"", "24", "duration", 2, "the number 24", "a duration such as", None),
        ("\"24h\"", "\"24\"", "duration", 2, "\"24\"", "a duration such as", None),
        ("\"24h\"", "\"24 hours\"", "duration", 2, "\"24 hours\"", "units are d, h, min", None),
        ("\"24h\"", "\"24hours\"", "duration", 2, "\"24hours\"", "units are d, h, min", Some("24h")),
        ("\"24h\"", "\"24MS\"", "duration", 2, "\"24MS\"", "units are", Some("24ms")),
        ("\"24h\"", "\"30min2h\"", "duration", 2, "\"30min2h\"", "a duration such as", None),
        ("\"24h\"", "\"-24h\"", "duration", 2, "\"-24h\"", "a duration such as", None),
        ("\"24h\"", "\"1s0.5ns\"", "duration", 2, "0.5ns", "a whole number of ns", None),
        ("\"24h\"", "2026-01-01", "duration", 2, "the date 2026-01-01", "a duration", None),
        ("\"24h\"", "[\"24h\"]", "duration", 2, "a list of 1", "a duration", None),
        ("\"trip\"", "7", "name", 1, "the number 7", "a name of", None),
        ("\"trip\"", "\"a/b\"", "name", 1, "\"a/b\"", "a name of", None),
        ("\"trip\"", "\"\"", "name", 1, "\"\"", "a name of", None),
        ("count = 4", "count = \"4\"", "group.phone.count", 6, "\"4\"", "a whole number", None),
        ("count = 4", "count = 4.0", "group.phone.count", 6, "4.0", "a whole number", None),
        ("\"phone-2020\"", "true", "group.phone.device", 7, "true", "a device", None),
        ("\"phone-2020\"", "{ profile = \"phone-2020\", battery = 4300 }", "group.phone.device.battery", 7, "4300", "an energy", None),
        ("\"phone-2020\"", "{ profile = \"phone-2020\", battery = \"4300mah\" }", "group.phone.device.battery", 7, "4300mah", "mAh", Some("4300mAh")),
        ("\"phone-2020\"", "{ profile = \"server\", battery = \"4300mAh\" }", "group.phone.device.battery", 7, "4300mAh", "no battery to start from", None),
        ("\"phone-2020\"", "{ profile = \"server\", battery = { capacity = \"4300mAh\" } }", "group.phone.device.battery.idle", 7, "nothing", "`idle`", None),
        ("\"phone-2020\"", "{ profile = \"server\", storage = { durability = \"output\" } }", "group.phone.device.storage.durability", 7, "\"output\"", "`edit`", None),
        ("\"phone-2020\"", "{ profile = \"server\", storage = { durability = \"unsafe\" } }", "group.phone.device.storage.durability", 7, "\"unsafe\"", "`edit`", None),
        ("\"phone-2020\"", "{ profile = \"server\", storage = { durability = {} } }", "group.phone.device.storage.durability", 7, "an empty table", "`edit`", None),
        ("\"phone-2020\"", "{ profile = \"server\", storage = { durability = { output = \"1s\", unsafe = \"1s\" } } }", "group.phone.device.storage.durability", 7, "a table", "or { unsafe", None),
        ("\"phone-2020\"", "{ profile = \"server\", storage = { durability = { unsafe = \"1us\" } } }", "group.phone.device.storage.durability.unsafe", 7, "\"1us\"", "from 1ms", None),
        ("\"lte\"", "{ profile = \"lte\", up_rate = \"12mbps\" }", "group.phone.link.up_rate", 8, "12mbps", "a rate", Some("12Mbps")),
        ("\"lte\"", "{ profile = \"lte\", loss = \"2%\" }", "group.phone.link.loss", 8, "\"2%\"", "a probability", None),
        ("\"lte\"", "{ profile = \"ideal\", loss = { bad = \"1s\" } }", "group.phone.link.loss.good", 8, "nothing", "`good`", None),
        ("[\"tunnels\",", "[7,", "group.phone.outages.0", 9, "the number 7", "the name of an outage", None),
        ("{ exponential = \"1min\" }", "{ exponential = \"1min\", uniform = [\"1s\", \"2s\"] }", "group.phone.outages.1.down", 9, "more than one law", "{ uniform", None),
        ("{ exponential = \"1min\" }", "{}", "group.phone.outages.1.down", 9, "an empty table", "{ uniform", None),
        ("{ exponential = \"1min\" }", "{ uniform = [\"1s\"] }", "group.phone.outages.1.down.uniform", 9, "a list of 1", "two durations", None),
        ("{ exponential = \"1min\" }", "{ uniform = [\"2s\", \"1s\"] }", "group.phone.outages.1.down.uniform.1", 9, "\"1s\"", "at least 2s", None),
        ("{ exponential = \"1min\" }", "{ weibull = [\"2s\", \"x\"] }", "group.phone.outages.1.down.weibull.1", 9, "\"x\"", "a number from 0.1", None),
        ("mix = { put = 1, splice = 1 }", "mix = 3", "workload.mix", 27, "the number 3", "a table of shares", None),
        ("mix = { put = 1, splice = 1 }", "audit = 1", "workload.audit", 27, "the number 1", "`true` or `false`", None),
        ("edits_per_hour = 30", "edits_per_hour = nan", "workload.edits_per_hour", 26, "NaN", "a number from", None),
        ("edits_per_hour = 30", "edits_per_hour = inf", "workload.edits_per_hour", 26, "inf", "a number from", None),
    ]);
}

#[test]
#[rustfmt::skip] // one case a line
fn ranges() {
    check(&[
        ("\"24h\"", "\"0s\"", "duration", 2, "\"0s\"", "from 1s", None),
        ("\"24h\"", "\"99999d\"", "duration", 2, "\"99999d\"", "to 87600h", None),
        ("\"24h\"", "\"999999999999d\"", "duration", 2, "d\"", "to 87600h", None),
        ("count = 4", "count = 0", "group.phone.count", 6, "the number 0", "from 1 to 10000", None),
        ("count = 4", "count = -1", "group.phone.count", 6, "the number -1", "from 1 to 10000", None),
        ("count = 4", "count = 99999999999999999999999999999999999999999999", "group.phone.count", 6, "the number", "from 1 to 10000", None),
        ("count = 4", "count = 10000", "group", 4, "10001", "2 to 10000 devices", None),
        ("records = 20", "records = 0", "data.records", 22, "the number 0", "from 1", None),
        ("{ title = \"register\", notes = \"text\" }", "{}", "data.fields", 23, "an empty table", "1 to 1000", None),
        ("title = ", "\"the title\" = ", "data.fields.the title", 23, "the title", "letters", None),
        ("edits_per_hour = 30", "edits_per_hour = 0", "workload.edits_per_hour", 26, "0", "from 0.001", None),
        ("edits_per_hour = 30", "popularity = { zipf = -1 }", "workload.popularity.zipf", 26, "-1", "from 0", None),
        ("put = 1, splice = 1", "put = 0, splice = 0", "workload.mix", 27, "no share", "a share above 0", None),
        ("put = 1, splice = 1", "add = 5, remove = 1", "workload.mix", 27, "no share", "a share above 0", None),
        ("\"lte\"", "{ profile = \"lte\", duplicate = 1.5 }", "group.phone.link.duplicate", 8, "1.5", "from 0 to 1", None),
        ("\"lte\"", "{ profile = \"lte\", duplicate = 0.0000001 }", "group.phone.link.duplicate", 8, "1e-7", "at most 6 decimals", None),
        ("\"lte\"", "{ profile = \"lte\", loss = 20000 }", "group.phone.link.loss", 8, "20000", "from 0 to 1", None),
        ("\"lte\"", "{ profile = \"lte\", loss = { bad_loss = -0.1 } }", "group.phone.link.loss.bad_loss", 8, "-0.1", "from 0 to 1", None),
        ("\"lte\"", "{ profile = \"lte\", loss = { bad = \"0s\" } }", "group.phone.link.loss.bad", 8, "\"0s\"", "from 1ms", None),
        ("\"lte\"", "{ profile = \"lte\", up_rate = \"0bps\" }", "group.phone.link.up_rate", 8, "0bps", "from 1bps", None),
        ("\"lte\"", "{ profile = \"lte\", mtu = \"100B\" }", "group.phone.link.mtu", 8, "100B", "from 576B", None),
        ("\"phone-2020\"", "{ profile = \"phone-2020\", battery = \"0J\" }", "group.phone.device.battery", 7, "0J", "from 1J", None),
        ("\"phone-2020\"", "{ profile = \"phone-2020\", battery = { initial = 1.1 } }", "group.phone.device.battery.initial", 7, "1.1", "from 0 to 1", None),
        ("\"phone-2020\"", "{ profile = \"phone-2020\", battery = { revive = 0 } }", "group.phone.device.battery.revive", 7, "0", "from 0.001", None),
        ("\"10min\"", "\"0s\"", "group.phone.outages.1.up", 9, "\"0s\"", "mean of at least 1s", None),
        ("{ exponential = \"1min\" }", "{ exponential = \"1ms\" }", "group.phone.outages.1.down", 9, "a table", "mean of at least 1s", None),
        ("{ kind = \"batched\", age = \"30s\" }", "{ kind = \"periodic\", interval = \"0s\" }", "group.phone.schedule.interval", 10, "\"0s\"", "from 100ms", None),
        ("schedule = { kind = \"batched\", age = \"30s\" }", "kills = { mean = \"0s\" }", "group.phone.kills.mean", 10, "\"0s\"", "from 1s", None),
        ("schedule = { kind = \"batched\", age = \"30s\" }", "power_losses = { mean = \"0s\" }", "group.phone.power_losses.mean", 10, "\"0s\"", "from 1s", None),
        ("schedule = { kind = \"batched\", age = \"30s\" }", "power_losses = { restart = \"1s\" }", "group.phone.power_losses.mean", 10, "nothing", "`mean`", None),
        ("schedule = { kind = \"batched\", age = \"30s\" }", "power_losses = \"never\"", "group.phone.power_losses", 10, "\"never\"", "`none` or a table", None),
        ("schedule = { kind = \"batched\", age = \"30s\" }", "user = { session = \"0s\" }", "group.phone.user.session", 10, "\"0s\"", "mean of at least 1s", None),
        ("schedule = { kind = \"batched\", age = \"30s\" }", "clock = { drift_ppm = 30000 }", "group.phone.clock.drift_ppm", 10, "30000", "to 20000", None),
        ("max = 0", "max = 1\nmin = 2", "budget.0.max", 32, "1", "at least the min of 2", None),
        ("max = 0", "max = -1", "budget.0.max", 32, "-1", "a whole number", None),
    ]);
}

#[test]
fn windows_of_the_day() {
    const UP: &str = "model = \"renewal\", up = \"10min\", down = { exponential = \"1min\" }";
    let cases = [
        ("[[\"8h\"]]", "windows.0", "a list of 1", "two times from midnight"),
        ("[[\"8h\", \"9h\", \"10h\"]]", "windows.0", "a list of 3", "two times from midnight"),
        ("[\"8h\", \"9h\"]", "windows.0", "\"8h\"", "two times from midnight"),
        ("\"8h\"", "windows", "\"8h\"", "a list of windows"),
        ("[]", "windows", "an empty list", "at least one window"),
        ("[[\"8h\", \"8h\"]]", "windows.0", "a window of 0s", "longer than nothing"),
        ("[[\"24h\", \"25h\"]]", "windows.0.0", "\"24h\"", "from 0s to"),
        ("[[\"8h\", \"33h\"]]", "windows.0", "a window of 25h", "no longer than a day"),
        ("[[\"8h\", \"10h\"], [\"9h\", \"11h\"]]", "windows", "overlap", "in the order"),
        ("[[\"9h\", \"11h\"], [\"7h\", \"8h\"]]", "windows", "overlap", "in the order"),
        ("[[\"9h\", \"11h\"], [\"22h\", \"10h\"]]", "windows", "overlap", "in the order"),
    ];
    for (windows, path, found, expected) in cases {
        let e = error(UP, &format!("model = \"windows\", windows = {windows}"));
        assert_eq!(e.path, format!("group.phone.outages.1.{path}"), "{e}");
        assert!(e.found.contains(found) && e.expected.contains(expected), "{e}");
    }
    let e = error(UP, "model = \"windows\", windows = [[\"8h\", \"9h\"]], jitter = \"31min\"");
    assert_eq!(e.path, "group.phone.outages.1.jitter", "{e}");
    assert!(e.expected.contains("at most 30min"), "{e}");
}

#[test]
#[rustfmt::skip] // one case a line
fn what_spans_several_values() {
    check(&[
        ("name = \"server\"", "name = \"phone\"", "group.phone", 12, "a second group \"phone\"", "one group of each name", None),
        ("hub = \"server\"", "hub = \"phone\"", "group.phone.count", 6, "4", "1, because", None),
        ("kind = \"star\"\nhub = \"server\"", "kind = \"mesh\"\nhbu = 1", "topology.hbu", 19, "`hbu`", "`hub`", Some("hub")),
        ("\"phone-2020\"", "\"server\"", "group", 4, "nobody would edit", "a group with a user", None),
        ("[\"tunnels\", {", "[\"tunnels\"]\nuser = \"none\"\nkills = [{", "group.phone.kills", 11, "a list", "`none` or a table", None),
    ]);
    let alone = "name = \"x\"\nduration = \"1h\"\ntopology = { kind = \"mesh\" }\ndata = { fields = { a = \"set\" } }\n\
                 [[group]]\nname = \"a\"\ndevice = \"laptop\"\nlink = \"wifi\"\n";
    let e = parse(alone, "alone.toml", &[]).expect_err("one device has nobody to talk to");
    assert_eq!((e.path.as_str(), e.found.as_str()), ("group", "1"), "{e}");
}

#[test]
#[rustfmt::skip] // one case a line
fn topologies_and_their_edges() {
    const STAR: &str = "kind = \"star\"\nhub = \"server\"";
    check(&[
        ("\"star\"", "\"rnig\"", "topology.kind", 18, "\"rnig\"", "`tree`, `ring`, `edges`", Some("ring")),
        ("kind = \"star\"\n", "", "topology.kind", 17, "nothing", "`kind`: one of `star`, `mesh`, `tree`", None),
        (STAR, "kind = \"tree\"\nbranching = 0", "topology.branching", 19, "the number 0", "from 1 to 10000", None),
        (STAR, "kind = \"tree\"\nbranching = 2.5", "topology.branching", 19, "2.5", "a whole number", None),
        (STAR, "kind = \"tree\"\nbranchign = 2", "topology.branchign", 19, "`branchign`", "`branching`", Some("branching")),
        (STAR, "kind = \"ring\"\nbranching = 0", "topology.branching", 19, "the number 0", "from 1 to 10000", None),
        (STAR, "kind = \"edges\"", "topology.edges", 17, "nothing", "`edges`: a list of pairs", None),
        (STAR, "kind = \"edges\"\nedges = 7", "topology.edges", 19, "the number 7", "a list of pairs", None),
        (STAR, "kind = \"edges\"\nedges = [0, 1]", "topology.edges.0", 19, "the number 0", "a pair of device numbers", None),
        (STAR, "kind = \"edges\"\nedges = [[0, 1], [0, 1, 2]]", "topology.edges.1", 19, "a list of 3", "a pair of device numbers", None),
        (STAR, "kind = \"edges\"\nedges = [[0, -1]]", "topology.edges.0.1", 19, "-1", "a whole number", None),
        (STAR, "kind = \"edges\"\nedges = [[0, \"server\"]]", "topology.edges.0.1", 19, "\"server\"", "a whole number", None),
        (STAR, "kind = \"edges\"\nedges = [[0, 4294967296]]", "topology.edges.0.1", 19, "4294967296", "from 0 to 9999", None),
        (STAR, "kind = \"edges\"\nedges = [\n[0, 1],\n[2, 2]]", "topology.edges.1", 21, "an edge from 2 to itself", "two devices", None),
        (STAR, "kind = \"edges\"\nedges = [\n[0, 1],\n[0, 2],\n[1, 0]]", "topology.edges.2", 22, "the edge between 1 and 0 again", "each edge once", None),
        (STAR, "kind = \"edges\"\nedges = [[0, 1], [0, 2],\n[0, 3], [4, 5]]", "topology.edges.3.1", 20, "the number 5", "from 0 to 4", None),
        (STAR, "kind = \"edges\"\nedges = []", "topology.edges", 19, "no way from device 0 to device 1", "connect all devices", None),
        (STAR, "kind = \"edges\"\nedges = [[0, 1], [2, 1], [4, 3]]", "topology.edges", 19, "no way from device 0 to device 3", "connect all devices", None),
    ]);
    for right in ["[[0, 1], [2, 1], [4, 3], [3, 2]]", "[[4, 0], [4, 1], [4, 2], [4, 3]]"] {
        let text = GOOD.replace(STAR, &format!("kind = \"edges\"\nedges = {right}"));
        parse(&text, "trip.toml", &[]).expect("a connected graph of five devices");
    }
}

#[test]
#[rustfmt::skip] // one case a line
fn partitions_and_retention() {
    check(&[
        ("records = 20", "partitions = 21\nrecords = 20", "data.partitions", 22, "the number 21", "at most 20, the number of records", None),
        ("records = 20", "partitions = 0\nrecords = 20", "data.partitions", 22, "the number 0", "from 1 to 1000", None),
        ("records = 20", "partitions = \"4\"\nrecords = 20", "data.partitions", 22, "\"4\"", "a whole number", None),
        ("records = 20", "partitoins = 4\nrecords = 20", "data.partitoins", 22, "`partitoins`", "`partitions`", Some("partitions")),
        ("records = 20", "retention = 30\nrecords = 20", "data.retention", 22, "the number 30", "\"30s\"", None),
        ("records = 20", "retention = \"0s\"\nrecords = 20", "data.retention", 22, "\"0s\"", "from 1s", None),
        ("count = 4", "count = 4\npartitions_held = 0", "group.phone.partitions_held", 7, "the number 0", "from 1 to 1000", None),
        ("count = 4", "count = 4\npartitions_held = 2", "group.phone.partitions_held", 7, "the number 2", "at most 1, the number of partitions, or `all`", None),
        ("count = 4", "count = 4\npartitions_held = \"some\"", "group.phone.partitions_held", 7, "\"some\"", "a number of partitions, or `all`", None),
    ]);
    const STAR: &str = "kind = \"star\"\nhub = \"server\"";
    let held = |topology: &str, partitions: u32, server: &str| {
        let text = GOOD
            .replace(STAR, topology)
            .replace("records = 20", &format!("records = 20\npartitions = {partitions}"))
            .replace("count = 4", "count = 4\npartitions_held = 1")
            .replace("device = \"server\"", &format!("device = \"server\"\npartitions_held = {server}"));
        parse(&text, "trip.toml", &[]).map_err(|e| (e.path, e.found, e.line))
    };
    let cases = [
        (STAR, 3, "2", "group.server.partitions_held", "a hub without partition 2, which device 2 holds", 16),
        ("kind = \"mesh\"", 9, "1", "data.partitions", "nobody who holds partition 4", 24),
        ("kind = \"ring\"", 2, "1", "topology", "no way from device 0 to device 2 through devices that hold partition 0", 19),
    ];
    for (topology, partitions, server, path, found, line) in cases {
        let expected = (path.to_owned(), found.to_owned(), Some(line));
        assert_eq!(held(topology, partitions, server), Err(expected), "{topology}");
    }
    for (topology, partitions, server) in [(STAR, 3, "3"), (STAR, 4, "\"all\""), ("kind = \"mesh\"", 4, "1"), ("kind = \"ring\"", 1, "1")] {
        held(topology, partitions, server).expect("whoever holds the same can tell each other");
    }
}

#[test]
#[rustfmt::skip] // one case a line
fn critical_fields_and_rhythms() {
    const TITLE: &str = "title = \"register\"";
    const RATE: &str = "edits_per_hour = 30";
    check(&[
        (TITLE, "title = { kind = \"regster\" }", "data.fields.title.kind", 23, "\"regster\"", "`register`", Some("register")),
        (TITLE, "title = { critical = true }", "data.fields.title.kind", 23, "nothing", "`kind`", None),
        (TITLE, "title = { kind = \"register\", critical = 1 }", "data.fields.title.critical", 23, "the number 1", "`true` or `false`", None),
        (TITLE, "title = { kind = \"register\", critcal = true }", "data.fields.title.critcal", 23, "`critcal`", "`critical`", Some("critical")),
        (TITLE, "title = [\"register\"]", "data.fields.title", 23, "a list of 1", "`register`", None),
        (RATE, "rhythm = \"1s\"", "workload.rhythm", 26, "\"1s\"", "`none` or a table", None),
        (RATE, "rhythm = { every = \"1s\" }", "workload.rhythm.count", 26, "nothing", "`count`", None),
        (RATE, "rhythm = { count = 5 }", "workload.rhythm.every", 26, "nothing", "`every`", None),
        (RATE, "rhythm = { every = \"1s\", count = 5, phase = \"1s\" }", "workload.rhythm.phase", 26, "`phase`", "`every`, `count`", None),
        (RATE, "rhythm = { every = \"1us\", count = 5 }", "workload.rhythm.every", 26, "\"1us\"", "from 1ms", None),
        (RATE, "rhythm = { every = \"1s\", count = 0 }", "workload.rhythm.count", 26, "the number 0", "from 1", None),
        (RATE, "rhythm = { every = \"1h\", count = 25 }", "workload.rhythm.count", 26, "the number 25", "at most 23", None),
        (RATE, "rhythm = { every = \"25h\", count = 1 }", "workload.rhythm.every", 26, "\"25h\"", "at most 12h, half the duration", None),
        (RATE, "rhythm = { every = \"1h\", count = 23 }\naudit = 1", "workload.audit", 27, "the number 1", "`true` or `false`", None),
    ]);
}

#[test]
fn strategies_are_named_once() {
    let cases = [
        ("strategies = []", "strategies", "an empty list"),
        ("strategies = \"*\"", "strategies", "\"*\""),
        ("strategies = [\"\"]", "strategies.0", "\"\""),
        ("strategies = [\"a\", \" b\"]", "strategies.1", "\" b\""),
        ("strategies = [\"a\", 5]", "strategies.1", "the number 5"),
        ("strategies = [\"a\", \"b\", \"a\"]", "strategies.2", "\"a\" again"),
    ];
    for (line, path, found) in cases {
        let e = error("duration = \"24h\"", &format!("duration = \"24h\"\n{line}"));
        assert_eq!((e.path.as_str(), e.line), (path, Some(3)), "{e}");
        assert!(e.found.contains(found), "{e}");
    }
}

#[test]
fn sweeps_are_refused_with_the_reason() {
    let e = error("[[budget]]", "[sweep]\n\"group.phone.count\" = [4, 12]\n\n[[budget]]");
    assert_eq!((e.path.as_str(), e.line), ("sweep", Some(29)), "{e}");
    assert!(e.to_string().contains("a later release runs them"), "{e}");
}

#[test]
fn syntax_errors_have_a_line() {
    let cases = [
        ("count = 4", "count = ", 6),
        ("count = 4", "count = 4\ncount = 5", 7),
        ("[topology]", "[topology", 17),
        ("\"24h\"", "24h", 2),
    ];
    for (from, to, line) in cases {
        let e = error(from, to);
        assert_eq!((e.line, e.path.as_str(), e.expected.as_str()), (Some(line), "", "TOML"), "{e}");
    }
}

#[test]
fn the_first_error_of_the_text_is_reported() {
    // Keys are read in another order than that of the text: budgets last, groups before the topology.
    let text = GOOD
        .replace("count = 4", "count = 0")
        .replace("records = 20", "records = 0")
        .replace("max = 0", "max = \"x\"");
    let moved = {
        let (head, budget) = text.split_at(text.find("[[budget]]").expect("it has a budget"));
        let (top, rest) = head.split_at(head.find("[[group]]").expect("it has groups"));
        format!("{top}{budget}\n{rest}")
    };
    let first = |text: &str| parse(text, "t", &[]).expect_err("three errors").path;
    assert_eq!(first(&text), "group.phone.count");
    assert_eq!(first(&moved), "budget.0.max");
}

#[test]
fn errors_read_as_sentences() {
    let e = error("count = 4", "cuont = 4");
    assert_eq!(
        e.to_string(),
        "trip.toml:6: `group.phone.cuont`: expected one of `name`, `count`, `device`, `link`, `outages`, `schedule`, \
         `clock`, `user`, `kills`, `power_losses`, `partitions_held`, found the unknown key `cuont`; did you mean `count`?"
    );
    let text = GOOD.replace("count = 4", "cuont = 4");
    assert_eq!(&text[e.span.expect("it has a span")], "cuont");
}

#[test]
fn damaged_texts_are_errors_and_never_panics() {
    damage(GOOD);
    damage(builtin("icde19-tree").expect("built in"));
}

fn damage(good: &str) {
    // Every text that is a beginning of the good one, and every one that lacks a line or has one twice.
    for end in 0..good.len() {
        let _ = parse(&good[..end], "t", &[]);
    }
    let lines: Vec<&str> = good.lines().collect();
    for index in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(index);
        let _ = parse(&fewer.join("\n"), "t", &[]);
        let mut more = lines.clone();
        more.insert(index, lines[index]);
        let _ = parse(&more.join("\n"), "t", &[]);
    }
    // Every value replaced by one of each type.
    for value in
        ["0", "-1", "1.5", "true", "[]", "{}", "\"\"", "\"none\"", "[[]]", "2026-01-01", "\"é\""]
    {
        for (index, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.split_once(" = ") else { continue };
            let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            changed[index] = format!("{key} = {value}");
            let _ = parse(&changed.join("\n"), "t", &[]);
        }
    }
}
