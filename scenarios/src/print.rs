//! Printing scenarios: every key, resolved, so that reading it again gives the same scenario.

use crate::resolve::{ENCRYPTIONS, FIELD_KINDS, TRANSPORT_KINDS};
use crate::scenario::{
    Battery, Budget, ClockError, Crashes, Data, Device, Durability, DurationLaw, Group, Link, Loss,
    Outage, OutageModel, Radio, Rhythm, Scenario, Schedule, Topology, User, Window, Workload,
};
use crate::units::{
    BYTE_RATE, DAY, DURATION, ENERGY, FINE_POWER, POWER, Quantity, RATE, SIZE, decimal,
};

/// The scenario as text, with every key. [`crate::parse`] reads it as exactly `scenario`, where that is one that it gave.
pub fn to_toml(scenario: &Scenario) -> String {
    let mut page = Page::default();
    page.text("analysis", &scenario.analysis);
    page.text("name", &scenario.name);
    page.quantity("duration", &DURATION, scenario.duration_ns);
    page.quantity("settle", &DURATION, scenario.settle_ns);
    page.quantity("timeline_step", &DURATION, scenario.timeline_step_ns);
    page.plain("seeds", scenario.seeds);
    let strategies = scenario.strategies.iter().map(|name| quoted(name));
    page.plain("strategies", list(strategies));
    for of in &scenario.groups {
        group(&mut page, of);
    }
    topology(&mut page, &scenario.topology);
    data(&mut page, &scenario.data);
    workload(&mut page, &scenario.workload);
    page.table("transport");
    page.text("kind", name_of(TRANSPORT_KINDS, scenario.transport.kind));
    page.text("encryption", name_of(ENCRYPTIONS, scenario.transport.encryption));
    for of in &scenario.budgets {
        budget(&mut page, of);
    }
    page.text
}

/// Lines of keys and values under headers.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn table(&mut self, path: &str) {
        self.text += &format!("\n[{path}]\n");
    }

    fn item(&mut self, path: &str) {
        self.text += &format!("\n[[{path}]]\n");
    }

    fn plain(&mut self, key: &str, value: impl std::fmt::Display) {
        self.text += &format!("{key} = {value}\n");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.plain(key, quoted(value));
    }

    fn quantity(&mut self, key: &str, quantity: &Quantity, value: u64) {
        self.text(key, &quantity.print(value));
    }

    fn number(&mut self, key: &str, value: f64) {
        self.plain(key, number(value));
    }

    fn ppm(&mut self, key: &str, value: u32) {
        self.plain(key, decimal(u128::from(value), 6));
    }

    fn permille(&mut self, key: &str, value: u32) {
        self.plain(key, decimal(u128::from(value), 3));
    }
}

fn quoted(text: &str) -> String {
    // One TOML string, escaped as it must be.
    toml::Value::String(text.to_owned()).to_string()
}

/// The shortest text that is read as the same number.
fn number(value: f64) -> String {
    format!("{value:?}")
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn span(ns: u64) -> String {
    quoted(&DURATION.print(ns))
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    let named = names.iter().find(|(_, of)| *of == value);
    named.expect("every value has a name").0
}

fn law(law: &DurationLaw) -> String {
    match law {
        DurationLaw::Fixed { ns } => span(*ns),
        DurationLaw::Uniform { from_ns, until_ns } => {
            format!("{{ uniform = [{}, {}] }}", span(*from_ns), span(*until_ns))
        }
        DurationLaw::Exponential { mean_ns } => format!("{{ exponential = {} }}", span(*mean_ns)),
        DurationLaw::Lognormal { median_ns, sigma } => {
            format!("{{ lognormal = [{}, {}] }}", span(*median_ns), number(*sigma))
        }
        DurationLaw::Weibull { mean_ns, shape } => {
            format!("{{ weibull = [{}, {}] }}", span(*mean_ns), number(*shape))
        }
    }
}

fn window(window: &Window) -> String {
    // A window into the next day is written with the time of that day, except a whole day, which would look empty.
    let next_day = window.until_ns > DAY && window.until_ns - DAY < window.from_ns;
    let until_ns = if next_day { window.until_ns - DAY } else { window.until_ns };
    list([window.from_ns, until_ns].into_iter().map(span))
}

fn windows(windows: &[Window]) -> String {
    list(windows.iter().map(window))
}

fn group(page: &mut Page, group: &Group) {
    page.item("group");
    page.text("name", &group.name);
    page.plain("count", group.count);
    match group.partitions_held {
        Some(each) => page.plain("partitions_held", each),
        None => page.text("partitions_held", "all"),
    }
    if group.outages.is_empty() {
        page.plain("outages", "[]");
    }
    if group.user.is_none() {
        page.text("user", "none");
    }
    if group.kills.is_none() {
        page.text("kills", "none");
    }
    if group.power_losses.is_none() {
        page.text("power_losses", "none");
    }
    device(page, &group.device);
    link(page, &group.link);
    for of in &group.outages {
        outage(page, of);
    }
    schedule(page, &group.schedule);
    clock(page, &group.clock);
    if let Some(of) = &group.user {
        user(page, of);
    }
    if let Some(of) = &group.kills {
        crashes(page, "group.kills", of);
    }
    if let Some(of) = &group.power_losses {
        crashes(page, "group.power_losses", of);
    }
}

fn device(page: &mut Page, device: &Device) {
    page.table("group.device");
    page.text("profile", &device.profile);
    match &device.battery {
        Some(of) => battery(page, of),
        None => page.text("battery", "none"),
    }
    page.table("group.device.cpu");
    page.quantity("unit", &DURATION, device.cpu.unit_ns);
    page.quantity("active", &POWER, device.cpu.active_mw);
    page.table("group.device.storage");
    page.quantity("sync", &DURATION, device.storage.sync_ns);
    page.quantity("write_rate", &BYTE_RATE, device.storage.write_bytes_per_s);
    page.quantity("active", &POWER, device.storage.active_mw);
    match device.storage.durability {
        Durability::Edit => page.text("durability", "edit"),
        Durability::Output { interval_ns } => {
            page.plain("durability", format!("{{ output = {} }}", span(interval_ns)));
        }
        Durability::Unsafe { interval_ns } => {
            page.plain("durability", format!("{{ unsafe = {} }}", span(interval_ns)));
        }
    }
}

fn battery(page: &mut Page, battery: &Battery) {
    page.table("group.device.battery");
    page.quantity("capacity", &ENERGY, battery.capacity_mj);
    page.permille("initial", battery.initial_permille);
    page.quantity("idle", &POWER, battery.idle_mw);
    page.quantity("screen", &POWER, battery.screen_mw);
    page.quantity("charger", &POWER, battery.charge_mw);
    page.plain("charging", windows(&battery.charging));
    page.quantity("charging_jitter", &DURATION, battery.charging_jitter_ns);
    page.permille("saver", battery.saver_permille);
    page.permille("revive", battery.revive_permille);
}

fn link(page: &mut Page, link: &Link) {
    page.table("group.link");
    page.text("profile", &link.profile);
    page.quantity("up_rate", &RATE, link.up_bps);
    page.quantity("down_rate", &RATE, link.down_bps);
    page.quantity("delay", &DURATION, link.delay_ns);
    page.plain("jitter", law(&link.jitter));
    page.ppm("duplicate", link.duplicate_ppm);
    page.quantity("mtu", &SIZE, u64::from(link.mtu_bytes));
    match link.loss {
        Loss::Independent { ppm } => page.ppm("loss", ppm),
        Loss::Bursts { good_ns, bad_ns, good_ppm, bad_ppm } => {
            let share = |ppm: u32| decimal(u128::from(ppm), 6);
            let (good, bad) = (span(good_ns), span(bad_ns));
            let (good_loss, bad_loss) = (share(good_ppm), share(bad_ppm));
            page.plain(
                "loss",
                format!(
                    "{{ good = {good}, bad = {bad}, good_loss = {good_loss}, bad_loss = {bad_loss} }}"
                ),
            );
        }
    }
    match &link.radio {
        Some(of) => radio(page, of),
        None => page.text("radio", "none"),
    }
}

fn radio(page: &mut Page, radio: &Radio) {
    page.table("group.link.radio");
    page.quantity("promotion", &DURATION, radio.promotion_ns);
    page.quantity("promotion_power", &POWER, radio.promotion_mw);
    page.quantity("tail", &DURATION, radio.tail_ns);
    page.quantity("tail_power", &POWER, radio.tail_mw);
    page.quantity("active_power", &POWER, radio.active_mw);
    page.quantity("up_per_mbps", &FINE_POWER, radio.up_uw_per_mbps);
    page.quantity("down_per_mbps", &FINE_POWER, radio.down_uw_per_mbps);
    page.quantity("paging", &DURATION, radio.paging_ns);
}

fn outage(page: &mut Page, outage: &Outage) {
    page.item("group.outages");
    if !outage.profile.is_empty() {
        page.text("profile", &outage.profile);
    }
    match &outage.model {
        OutageModel::Windows { windows: of, jitter_ns } => {
            page.text("model", "windows");
            page.plain("windows", windows(of));
            page.quantity("jitter", &DURATION, *jitter_ns);
        }
        OutageModel::Renewal { up, down, within } => {
            page.text("model", "renewal");
            page.plain("up", law(up));
            page.plain("down", law(down));
            page.plain("within", windows(within));
        }
    }
}

fn schedule(page: &mut Page, schedule: &Schedule) {
    page.table("group.schedule");
    page.text("kind", schedule.kind.name());
    page.quantity("age", &DURATION, schedule.age_ns);
    page.quantity("interval", &DURATION, schedule.interval_ns);
}

fn clock(page: &mut Page, clock: &ClockError) {
    page.table("group.clock");
    page.plain("offset", law(&clock.offset));
    page.plain("drift_ppm", clock.drift_ppm);
}

fn user(page: &mut Page, user: &User) {
    page.table("group.user");
    page.plain("awake", window(&user.awake));
    page.plain("session", law(&user.session));
    page.plain("gap", law(&user.gap));
    page.plain("think", law(&user.think));
}

fn crashes(page: &mut Page, table: &str, crashes: &Crashes) {
    page.table(table);
    page.quantity("mean", &DURATION, crashes.mean_ns);
    page.quantity("restart", &DURATION, crashes.restart_ns);
}

fn topology(page: &mut Page, topology: &Topology) {
    page.table("topology");
    page.text("kind", topology.name());
    match topology {
        Topology::Star { hub } => page.text("hub", hub),
        Topology::Tree { branching } => page.plain("branching", branching),
        Topology::Edges { edges } => {
            let edges = edges.iter().map(|[a, b]| format!("[{a}, {b}]"));
            page.plain("edges", list(edges));
        }
        Topology::Mesh | Topology::Ring => {}
    }
}

fn data(page: &mut Page, data: &Data) {
    page.table("data");
    page.plain("records", data.records);
    page.quantity("record_size", &SIZE, u64::from(data.record_bytes));
    page.plain("partitions", data.partitions);
    page.quantity("retention", &DURATION, data.retention_ns);
    page.table("data.fields");
    for field in &data.fields {
        let kind = name_of(FIELD_KINDS, field.kind);
        if field.critical {
            page.plain(&field.name, format!("{{ kind = {}, critical = true }}", quoted(kind)));
        } else {
            page.text(&field.name, kind);
        }
    }
}

fn workload(page: &mut Page, workload: &Workload) {
    page.table("workload");
    page.number("edits_per_hour", workload.edits_per_hour);
    match workload.rhythm {
        Some(Rhythm { every_ns, count }) => {
            page.plain("rhythm", format!("{{ every = {}, count = {count} }}", span(every_ns)));
        }
        None => page.text("rhythm", "none"),
    }
    page.plain("popularity", format!("{{ zipf = {} }}", number(workload.zipf)));
    let mix = workload.mix;
    page.plain(
        "mix",
        format!(
            "{{ put = {}, add = {}, insert = {}, remove = {}, splice = {}, delete = {} }}",
            mix.put, mix.add, mix.insert, mix.remove, mix.splice, mix.delete
        ),
    );
    page.quantity("value_size", &SIZE, u64::from(workload.value_bytes));
    page.plain("splice_words", workload.splice_words);
    page.plain("audit", workload.audit);
}

fn budget(page: &mut Page, budget: &Budget) {
    page.item("budget");
    page.text("strategy", &budget.strategy);
    page.text("metric", &budget.metric);
    if let Some(max) = budget.max {
        page.plain("max", max);
    }
    if let Some(min) = budget.min {
        page.plain("min", min);
    }
}
