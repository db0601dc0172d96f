//! Overrides: the paths of a file, into values that are named or left to their default.

use reconverge_scenarios::{
    DurationLaw, FieldKind, Loss, Override, Rhythm, Scenario, ScenarioError, ScheduleKind,
    Topology, Window, builtin, parse,
};

const SECOND: u64 = 1_000_000_000;

fn overrides(list: &[&str]) -> Vec<Override> {
    list.iter().map(|text| text.parse().expect("PATH=VALUE")).collect()
}

fn with(list: &[&str]) -> Scenario {
    let text = builtin("commuter").expect("a built-in");
    match parse(text, "commuter", &overrides(list)) {
        Ok(scenario) => scenario,
        Err(error) => panic!("{list:?}: {error}"),
    }
}

fn refused(list: &[&str]) -> ScenarioError {
    let text = builtin("commuter").expect("a built-in");
    match parse(text, "commuter", &overrides(list)) {
        Ok(_) => panic!("{list:?} is accepted"),
        Err(error) => *error,
    }
}

#[test]
fn every_kind_of_path_is_followed() {
    let law = |of: &Scenario, index: usize| match &of.groups[0].outages[index].model {
        reconverge_scenarios::OutageModel::Renewal { up, down, .. } => (up.clone(), down.clone()),
        other => panic!("{other:?}"),
    };
    let battery = |of: &Scenario, group: usize| of.groups[group].device.battery.clone();

    assert_eq!(with(&["duration=2h"]).duration_ns, 7200 * SECOND);
    assert_eq!(with(&["duration = \"2h\" "]).duration_ns, 7200 * SECOND);
    assert_eq!(with(&["group.phone.count=4"]).groups[0].count, 4);
    assert!((with(&["workload.edits_per_hour=60"]).workload.edits_per_hour - 60.0).abs() < 1e-9);
    assert_eq!(with(&["workload.mix.put=7"]).workload.mix.put, 7);
    assert_eq!(with(&["strategies.0=oracle"]).strategies[0], "oracle");
    assert_eq!(with(&["strategies=[\"lww/*\"]"]).strategies, ["lww/*"]);
    assert_eq!(with(&["budget.0.max=5"]).budgets[0].max, Some(5));
    assert_eq!(with(&["data.fields.extra=\"set\""]).data.fields.len(), 6);

    // Fields may be called like laws.
    let one = with(&["data.fields.uniform=set", "data.fields.weibull=set"]);
    assert_eq!(one.data.fields.len(), 7);

    // Into a name: what is not overridden stays that of the profile.
    let one = with(&["group.phone.link.up_rate=1Mbps"]);
    assert_eq!((one.groups[0].link.up_bps, one.groups[0].link.down_bps), (1_000_000, 13_000_000));
    assert_eq!(one.groups[0].link.profile, "lte");
    let one = with(&["group.phone.link.radio.tail=5s"]);
    let radio = one.groups[0].link.radio.clone().expect("LTE has a radio");
    assert_eq!((radio.tail_ns, radio.tail_mw), (5 * SECOND, 1_060));
    assert_eq!(with(&["group.phone.link.radio=none"]).groups[0].link.radio, None);
    let one = with(&["group.phone.link.radio=wifi", "group.phone.link.radio.tail=1s"]);
    let radio = one.groups[0].link.radio.clone().expect("a radio");
    assert_eq!((radio.tail_ns, radio.tail_mw), (SECOND, 250));
    let one = with(&["group.phone.device=phone-small", "group.phone.device.battery.capacity=1kJ"]);
    let small = battery(&one, 0).expect("a battery");
    assert_eq!((small.capacity_mj, small.screen_mw), (1_000_000, 600));
    let one =
        with(&["group.phone.device.battery=3000mAh", "group.phone.device.battery.initial=0.9"]);
    let of = battery(&one, 0).expect("a battery");
    assert_eq!((of.capacity_mj, of.initial_permille), (3000 * 13_860, 900));
    let one = with(&["group.server.device.cpu.unit=90ns"]);
    assert_eq!(
        (one.groups[1].device.cpu.unit_ns, one.groups[1].device.cpu.active_mw),
        (90, 10_000)
    );
    assert_eq!(
        with(&["group.server.device.storage.durability=edit"]).groups[1].device.storage.sync_ns,
        100_000
    );
    assert_eq!(
        battery(&with(&["group.phone.device.battery=none", "group.phone.user={}"]), 0),
        None
    );
    let one = with(&["group.phone.schedule=periodic", "group.phone.schedule.interval=5min"]);
    assert_eq!(one.groups[0].schedule.kind, ScheduleKind::Periodic);
    assert_eq!(one.groups[0].schedule.interval_ns, 300 * SECOND);
    assert_eq!(
        with(&["group.phone.schedule.kind=immediate"]).groups[0].schedule.kind,
        ScheduleKind::Immediate
    );

    // A change of profile keeps what the file and earlier overrides say.
    let one =
        with(&["group.phone.device.battery.saver=0.3", "group.phone.device.profile=phone-small"]);
    let of = battery(&one, 0).expect("a battery");
    assert_eq!((of.saver_permille, of.screen_mw, of.initial_permille), (300, 600, 600));

    // Into a law, of a profile or a default, and from one law to another.
    let one = with(&["group.phone.outages.1.down.weibull.0=10min"]);
    assert_eq!(law(&one, 1).1, DurationLaw::Weibull { mean_ns: 600 * SECOND, shape: 0.5 });
    assert_eq!(law(&one, 1).0, DurationLaw::Weibull { mean_ns: 7200 * SECOND, shape: 0.5 });
    let one = with(&["group.phone.outages.1.down.exponential=10min"]);
    assert_eq!(law(&one, 1).1, DurationLaw::Exponential { mean_ns: 600 * SECOND });
    let one = with(&["group.phone.link.jitter.lognormal.1=0.9"]);
    assert_eq!(
        one.groups[0].link.jitter,
        DurationLaw::Lognormal { median_ns: 5_000_000, sigma: 0.9 }
    );
    let one = with(&["group.server.link.jitter.exponential=1ms"]);
    assert_eq!(one.groups[1].link.jitter, DurationLaw::Exponential { mean_ns: 1_000_000 });
    let one = with(&["group.server.clock.offset.uniform.1=1s"]);
    assert_eq!(one.groups[1].clock.offset, DurationLaw::Uniform { from_ns: 0, until_ns: SECOND });
    let one = with(&["group.phone.link.loss.bad_loss=0.5"]);
    assert!(matches!(one.groups[0].link.loss, Loss::Bursts { bad_ppm: 500_000, good_ppm: 0, .. }));
    assert_eq!(
        with(&["group.phone.link.loss=0.02"]).groups[0].link.loss,
        Loss::Independent { ppm: 20_000 }
    );

    // Lists, from the file and from a profile; values that are absent.
    assert_eq!(with(&["group.phone.outages=[]"]).groups[0].outages, []);
    let one =
        with(&["group.phone.device=phone-small", "group.phone.device.battery.charging.0.0=22h"]);
    let charging = battery(&one, 0).expect("a battery").charging;
    assert_eq!(
        charging,
        [Window { from_ns: 22 * 3600 * SECOND, until_ns: 30 * 3600 * SECOND + 1800 * SECOND }]
    );
    assert_eq!(
        with(&["group.phone.user.awake.0=6h"]).groups[0].user.as_ref().map(|u| u.awake.from_ns),
        Some(6 * 3600 * SECOND)
    );
    assert_eq!(
        with(&["group.server.kills.mean=4h"]).groups[1].kills.as_ref().map(|k| k.mean_ns),
        Some(4 * 3600 * SECOND)
    );
    assert_eq!(with(&["group.phone.kills=none"]).groups[0].kills, None);
    assert!(with(&["group.server.user.session=\"1min\""]).groups[1].user.is_some());
    assert_eq!(with(&["topology.kind=mesh"]).topology, Topology::Mesh);
    assert_eq!(with(&["topology.kind=tree"]).topology, Topology::Tree { branching: 2 });
    let tree = with(&["topology.branching=3", "topology.kind=tree"]).topology;
    assert_eq!(tree, Topology::Tree { branching: 3 });
    assert_eq!(with(&["topology.kind=ring"]).topology, Topology::Ring);
    let edges = ["group.phone.count=2", "topology.kind=edges", "topology.edges=[[0, 1], [1, 2]]"];
    assert_eq!(with(&edges).topology, Topology::Edges { edges: vec![[0, 1], [1, 2]] });
    let moved = [edges[0], edges[1], edges[2], "topology.edges.1.0=0"];
    assert_eq!(with(&moved).topology, Topology::Edges { edges: vec![[0, 1], [0, 2]] });

    // Into a field that is given by its kind alone, and into what is absent.
    let critical = |overrides: &[&str]| {
        let fields = with(overrides).data.fields;
        let critical = fields.into_iter().filter(|field| field.critical);
        critical.map(|field| (field.name, field.kind)).collect::<Vec<_>>()
    };
    assert_eq!(critical(&[]), []);
    let title = ("title".to_owned(), FieldKind::Register);
    assert_eq!(critical(&["data.fields.title.critical=true"]), [title]);
    let notes = ("notes".to_owned(), FieldKind::Set);
    let both = ["data.fields.notes.critical=true", "data.fields.notes.kind=set"];
    assert_eq!(critical(&both), [notes]);
    assert_eq!(critical(&[both[0], "data.fields.notes.critical=false"]), []);
    let rhythm = ["workload.rhythm={ every = \"1min\", count = 9 }", "workload.rhythm.count=7"];
    let expected = Some(Rhythm { every_ns: 60 * SECOND, count: 7 });
    assert_eq!(with(&rhythm).workload.rhythm, expected);
    assert_eq!(with(&[rhythm[0], "workload.rhythm=none"]).workload.rhythm, None);
    let apart = ["group.phone.schedule=random-peer", "group.server.schedule.kind=rounds"];
    let kinds = with(&apart).groups.iter().map(|group| group.schedule.kind).collect::<Vec<_>>();
    assert_eq!(kinds, [ScheduleKind::RandomPeer, ScheduleKind::Rounds]);
    assert_eq!(with(&["group.server.name=hub", "topology.hub=hub"]).groups[1].name, "hub");
    assert_eq!(with(&["group.phone.count=4", "group.phone.count=5"]).groups[0].count, 5);
}

#[test]
fn a_missing_value_can_be_given_by_an_override() {
    let text = builtin("commuter").expect("a built-in").replace("duration = \"24h\"\n", "");
    assert_eq!(parse(&text, "t", &[]).expect_err("no duration").path, "duration");
    let scenario = parse(&text, "t", &overrides(&["duration=1h"])).expect("given");
    assert_eq!(scenario.duration_ns, 3600 * SECOND);
}

#[test]
#[rustfmt::skip] // one case a line
fn wrong_overrides_are_refused_like_wrong_files() {
    let cases = [
        ("group.phone.cuont=4", "group.phone.cuont", "unknown key", "`count`", Some("count")),
        ("group.fone.count=4", "group.fone", "\"fone\"", "`phone`, `server`", Some("phone")),
        ("group.0.count=4", "group.0", "\"0\"", "`phone`, `server`", None),
        ("group.phone.devic.battery.capacity=1kJ", "group.phone.devic", "`devic`", "`device`", Some("device")),
        ("group.phone.device.battery.capacty=1kJ", "group.phone.device.battery.capacty", "`capacty`", "`capacity`", Some("capacity")),
        ("group.phone.outages.2.down=1s", "group.phone.outages.2", "\"2\"", "0 to 1 of a list of 2", None),
        ("group.phone.outages.x=1s", "group.phone.outages.x", "\"x\"", "0 to 1 of a list of 2", None),
        ("group.server.outages.0.down=1s", "group.server.outages.0", "\"0\"", "the list is empty", None),
        ("group.phone.outages.1.down.weibull.2=1s", "group.phone.outages.1.down.weibull.2", "\"2\"", "0 to 1", None),
        ("group.phone.link=lt", "group.phone.link", "\"lt\"", "network", Some("lte")),
        ("group.phone.count=many", "group.phone.count", "\"many\"", "a whole number", None),
        ("group.phone.count=", "group.phone.count", "\"\"", "a whole number", None),
        ("topology={ kind = \"edges\" }", "topology.edges", "nothing", "the key `edges`", None),
        ("data.fields.title.critcal=true", "data.fields.title.critcal", "`critcal`", "`critical`", Some("critical")),
        ("workload.rhythm.count=7", "workload.rhythm.every", "nothing", "`every`", None),
        ("duration.x=1", "duration", "a table", "a duration", None),
        ("strategie.0=x", "strategie", "`strategie`", "`strategies`", Some("strategies")),
        ("group..count=1", "group..count", "an empty part", "keys joined by dots", None),
        ("group.server.count=2", "group.server.count", "2", "1, because", None),
        ("topology.hub=phone2", "topology.hub", "\"phone2\"", "`phone`", Some("phone")),
        ("sweep.x=[1]", "sweep", "a sweep", "a later release", None),
        ("group.phone=3", "group.phone", "the number 3", "a [[group]] table", None),
        ("group.phone.device.battery.revive=0", "group.phone.device.battery.revive", "0", "from 0.001", None),
    ];
    for (over, path, found, expected, suggestion) in cases {
        let e = refused(&[over]);
        assert!(e.found.contains(found), "{over}: {e}");
        assert!(e.expected.contains(expected), "{over}: {e}");
        assert_eq!(e.suggestion.as_deref(), suggestion, "{over}: {e}");
        // A group that is no table any more has lost its name.
        let path = if path == "group.phone" { "group.0" } else { path };
        assert_eq!(e.path, path, "{over}: {e}");
        assert_eq!(e.source_name, format!("--set {over}"), "{over}: {e}");
        assert_eq!((e.span, e.line), (None, None));
    }
}

#[test]
fn errors_of_the_text_come_before_those_of_overrides() {
    let text = builtin("commuter").expect("a built-in").replace("records = 200", "records = 0");
    let error = parse(&text, "t", &overrides(&["group.phone.count=0"])).expect_err("two errors");
    assert_eq!(error.path, "data.records");
    assert_eq!(error.source_name, "t");
}

#[test]
fn an_override_is_a_path_and_a_value() {
    for text in ["", "duration", "=5", "  =5"] {
        let error = text.parse::<Override>().expect_err("no PATH=VALUE");
        assert_eq!(error.expected, "PATH=VALUE");
    }
    let over: Override = "a.b = x=y ".parse().expect("PATH=VALUE");
    assert_eq!((over.path.as_str(), over.value.as_str()), ("a.b", "x=y"));
    assert_eq!(over.to_string(), "--set a.b=x=y");
}
