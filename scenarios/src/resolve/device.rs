//! Reading devices: battery, processor, storage.

use crate::built_in;
use crate::resolve::law::{check_jitter, duration, windows};
use crate::resolve::link::HIGHEST_POWER;
use crate::resolve::profiled;
use crate::scenario::{Battery, Cpu, Device, Durability, Storage};
use crate::section::{Place, Section};
use crate::units::{BYTE_RATE, ENERGY, POWER, SECOND};

/// The largest battery that a scenario may name, in millijoules: 1 GJ.
const LARGEST_BATTERY: u64 = 1_000_000_000_000;
/// The smallest: 1 J. One that is empty at once would die and revive without end.
const SMALLEST_BATTERY: u64 = 1_000;
/// The highest write rate that a scenario may name, in bytes per second: 1 TB/s.
const HIGHEST_WRITE_RATE: u64 = 1_000_000_000_000;

/// A device: a built-in one, or one with some fields of its own.
pub(crate) fn device(place: &Place<'_>) -> Option<Device> {
    profiled(place, "device", built_in::device_table(), |section, name, base| {
        fields(section, name, Some(base))
    })
}

/// The fields of a device, from those of `base` where they are absent.
pub(crate) fn fields(
    section: &Section<'_>,
    profile: &str,
    base: Option<&Device>,
) -> Option<Device> {
    let base_battery = base.map(|b| b.battery.clone());
    let battery = section.inherit("battery", "a battery or `none`", base_battery, |place| {
        battery(place, base.and_then(|b| b.battery.as_ref()))
    });
    let base_cpu = base.map(|b| b.cpu.clone());
    let cpu = section.inherit("cpu", "a processor", base_cpu, |place| {
        place.table("a table", |section| cpu(section, base.map(|b| &b.cpu)))
    });
    let base_storage = base.map(|b| b.storage.clone());
    let storage = section.inherit("storage", "a storage", base_storage, |place| {
        place.table("a table", |section| storage(section, base.map(|b| &b.storage)))
    });
    Some(Device { profile: profile.to_owned(), battery: battery?, cpu: cpu?, storage: storage? })
}

fn power(place: &Place<'_>) -> Option<u64> {
    place.quantity(&POWER, 0..=HIGHEST_POWER)
}

fn capacity(place: &Place<'_>) -> Option<u64> {
    place.quantity(&ENERGY, SMALLEST_BATTERY..=LARGEST_BATTERY)
}

/// A battery: `none`, a capacity, or a table. The inner option is none for devices on mains.
fn battery(place: &Place<'_>, base: Option<&Battery>) -> Option<Option<Battery>> {
    if place.is_none() {
        return Some(None);
    }
    let battery = match (place.as_text(), base) {
        (Some(_), Some(base)) => Battery { capacity_mj: capacity(place)?, ..base.clone() },
        (Some(_), None) => {
            return place.refuse(
                "`none` or a table with capacity, idle, screen and charger: \
                 the profile has no battery to start from",
            );
        }
        (None, _) => place.table("`none`, an energy or a table", |s| battery_fields(s, base))?,
    };
    Some(Some(battery))
}

fn battery_fields(section: &Section<'_>, base: Option<&Battery>) -> Option<Battery> {
    let capacity_mj =
        section.inherit("capacity", "an energy", base.map(|b| b.capacity_mj), capacity);
    // A trial begins with a full battery unless told otherwise: the choice that favours nobody.
    let initial_permille =
        section.read_or("initial", base.map_or(1000, |b| b.initial_permille), |place| {
            place.permille(0..=1000)
        });
    let idle_mw = section.inherit("idle", "a power", base.map(|b| b.idle_mw), power);
    let screen_mw = section.inherit("screen", "a power", base.map(|b| b.screen_mw), power);
    let charge_mw = section.inherit("charger", "a power", base.map(|b| b.charge_mw), power);
    let base_charging = base.map_or(Vec::new(), |b| b.charging.clone());
    let charging = section.read_or("charging", base_charging, windows);
    let jitter_place = section.get("charging_jitter");
    let charging_jitter_ns = match &jitter_place {
        Some(place) => duration(0)(place),
        None => Some(base.map_or(0, |b| b.charging_jitter_ns)),
    };
    // 15 %: the level that Android suggests for its battery saver (numbers.md, B.7).
    let saver_permille =
        section.read_or("saver", base.map_or(150, |b| b.saver_permille), |place| {
            place.permille(0..=1000)
        });
    // 5 %: Android's critical level (numbers.md, B.7, from memory). Never 0, or a dead device would revive and die without end.
    let revive_permille =
        section.read_or("revive", base.map_or(50, |b| b.revive_permille), |place| {
            place.permille(1..=1000)
        });
    let (charging, charging_jitter_ns) = (charging?, charging_jitter_ns?);
    check_jitter(section, jitter_place.as_ref(), &charging, charging_jitter_ns)?;
    Some(Battery {
        capacity_mj: capacity_mj?,
        initial_permille: initial_permille?,
        idle_mw: idle_mw?,
        screen_mw: screen_mw?,
        charge_mw: charge_mw?,
        charging,
        charging_jitter_ns,
        saver_permille: saver_permille?,
        revive_permille: revive_permille?,
    })
}

fn cpu(section: &Section<'_>, base: Option<&Cpu>) -> Option<Cpu> {
    let unit = |place: &Place<'_>| place.quantity(&crate::units::DURATION, 0..=SECOND);
    let unit_ns = section.inherit("unit", "a duration", base.map(|b| b.unit_ns), unit);
    let active_mw = section.inherit("active", "a power", base.map(|b| b.active_mw), power);
    Some(Cpu { unit_ns: unit_ns?, active_mw: active_mw? })
}

fn storage(section: &Section<'_>, base: Option<&Storage>) -> Option<Storage> {
    let sync_ns = section.inherit("sync", "a duration", base.map(|b| b.sync_ns), duration(0));
    let rate = |place: &Place<'_>| place.quantity(&BYTE_RATE, 1..=HIGHEST_WRITE_RATE);
    let write_bytes_per_s =
        section.inherit("write_rate", "a rate", base.map(|b| b.write_bytes_per_s), rate);
    let active_mw = section.inherit("active", "a power", base.map(|b| b.active_mw), power);
    let durability =
        section.inherit("durability", DURABILITY, base.map(|b| b.durability), durability);
    Some(Storage {
        sync_ns: sync_ns?,
        write_bytes_per_s: write_bytes_per_s?,
        active_mw: active_mw?,
        durability: durability?,
    })
}

const DURABILITY: &str = "`edit`, or { output = \"5s\" }: synced before anything leaves, and after 5 s, or { unsafe = \"5s\" }: after 5 s only";

fn durability(place: &Place<'_>) -> Option<Durability> {
    match place.as_text() {
        Some("edit") => Some(Durability::Edit),
        Some(_) => place.refuse(DURABILITY),
        None => place.table(DURABILITY, |section| {
            // Shorter than 1 ms would make events without end.
            let interval = |key| section.read_or(key, None, |p| duration(1_000_000)(p).map(Some));
            match (interval("output")?, interval("unsafe")?) {
                (Some(interval_ns), None) => Some(Durability::Output { interval_ns }),
                (None, Some(interval_ns)) => Some(Durability::Unsafe { interval_ns }),
                _ => place.refuse(DURABILITY),
            }
        }),
    }
}
