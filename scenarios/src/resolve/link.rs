//! Reading access links, their loss and their radios.

use crate::built_in;
use crate::resolve::law::{duration, law};
use crate::resolve::profiled;
use crate::scenario::{Link, Loss, Radio};
use crate::section::{Place, Section};
use crate::units::{FINE_POWER, POWER, RATE, SIZE};

/// The highest rate that a scenario may name, in bits per second: 1 Tbps.
const HIGHEST_RATE: u64 = 1_000_000_000_000;
/// The highest power that a scenario may name, in milliwatts: 1 MW.
pub(crate) const HIGHEST_POWER: u64 = 1_000_000_000;
/// The shortest mean stay in a state of the loss process: shorter ones would make events without end.
const SHORTEST_STAY: u64 = 1_000_000;

/// A link: a built-in network, or one with some fields of its own.
pub(crate) fn link(place: &Place<'_>) -> Option<Link> {
    profiled(place, "network", built_in::network_table(), |section, name, base| {
        fields(section, name, Some(base))
    })
}

/// The fields of a link, from those of `base` where they are absent.
pub(crate) fn fields(section: &Section<'_>, profile: &str, base: Option<&Link>) -> Option<Link> {
    let rate = |place: &Place<'_>| place.quantity(&RATE, 1..=HIGHEST_RATE);
    let up_bps = section.inherit("up_rate", "a rate", base.map(|b| b.up_bps), rate);
    let down_bps = section.inherit("down_rate", "a rate", base.map(|b| b.down_bps), rate);
    let delay_ns = section.inherit("delay", "a duration", base.map(|b| b.delay_ns), duration(0));
    let jitter =
        section.inherit("jitter", "a law of durations", base.map(|b| b.jitter.clone()), law(0));
    let base_loss = base.map(|b| b.loss.clone());
    let loss =
        section.inherit("loss", LOSS, base_loss.clone(), |place| loss(place, base_loss.as_ref()));
    let duplicate_ppm = section.inherit(
        "duplicate",
        "a probability",
        base.map(|b| b.duplicate_ppm),
        Place::probability_ppm,
    );
    // 576 bytes is the least that every IPv4 host accepts (RFC 791); below it headers leave no room.
    let mtu = |place: &Place<'_>| place.quantity(&SIZE, 576..=65_535).map(|bytes| bytes as u32);
    let mtu_bytes = section.inherit("mtu", "a size", base.map(|b| b.mtu_bytes), mtu);
    let base_radio = base.map(|b| b.radio.clone());
    let radio = section.inherit("radio", "a radio", base_radio.clone(), |place| {
        radio(place, base_radio.as_ref().and_then(Option::as_ref))
    });
    Some(Link {
        profile: profile.to_owned(),
        up_bps: up_bps?,
        down_bps: down_bps?,
        delay_ns: delay_ns?,
        jitter: jitter?,
        loss: loss?,
        duplicate_ppm: duplicate_ppm?,
        mtu_bytes: mtu_bytes?,
        radio: radio?,
    })
}

const LOSS: &str =
    "a probability, or { good = \"10s\", bad = \"100ms\", good_loss = 0, bad_loss = 1 }";

fn loss(place: &Place<'_>, base: Option<&Loss>) -> Option<Loss> {
    use crate::tree::Value;
    if matches!(place.node.value, Value::Integer(_) | Value::Float(_)) {
        return place.probability_ppm().map(|ppm| Loss::Independent { ppm });
    }
    let base = match base {
        Some(Loss::Bursts { good_ns, bad_ns, good_ppm, bad_ppm }) => {
            Some((*good_ns, *bad_ns, *good_ppm, *bad_ppm))
        }
        _ => None,
    };
    place.table(LOSS, |section| {
        let stay = || duration(SHORTEST_STAY);
        let good_ns = section.inherit("good", "a duration", base.map(|b| b.0), stay());
        let bad_ns = section.inherit("bad", "a duration", base.map(|b| b.1), stay());
        let share = Place::probability_ppm;
        let good_ppm = section.inherit("good_loss", "a probability", base.map(|b| b.2), share);
        let bad_ppm = section.inherit("bad_loss", "a probability", base.map(|b| b.3), share);
        Some(Loss::Bursts {
            good_ns: good_ns?,
            bad_ns: bad_ns?,
            good_ppm: good_ppm?,
            bad_ppm: bad_ppm?,
        })
    })
}

/// A radio: `none`, a built-in one, or one with some fields of its own, starting from the named profile, else from the
/// radio of the network. The inner option is none for cables.
fn radio(place: &Place<'_>, base: Option<&Radio>) -> Option<Option<Radio>> {
    if place.is_none() {
        return Some(None);
    }
    let known = built_in::radio_table();
    if place.as_text().is_some() {
        return profiled(place, "radio", known, |section, _, base| {
            radio_fields(section, Some(base))
        })
        .map(Some);
    }
    place
        .table("`none`, the name of a radio or a table", |section| {
            let named = section.get("profile").map(|place| built_in::find(&place, "radio", known));
            match named {
                Some(named) => radio_fields(section, Some(named?)),
                None => radio_fields(section, base),
            }
        })
        .map(Some)
}

/// The fields of a radio, from those of `base` where they are absent.
pub(crate) fn radio_fields(section: &Section<'_>, base: Option<&Radio>) -> Option<Radio> {
    let power = |place: &Place<'_>| place.quantity(&POWER, 0..=HIGHEST_POWER);
    let slope = |place: &Place<'_>| place.quantity(&FINE_POWER, 0..=HIGHEST_POWER);
    let time = |key, base: Option<u64>| section.inherit(key, "a duration", base, duration(0));
    let promotion_ns = time("promotion", base.map(|b| b.promotion_ns));
    let promotion_mw =
        section.inherit("promotion_power", "a power", base.map(|b| b.promotion_mw), power);
    let tail_ns = time("tail", base.map(|b| b.tail_ns));
    let tail_mw = section.inherit("tail_power", "a power", base.map(|b| b.tail_mw), power);
    let active_mw = section.inherit("active_power", "a power", base.map(|b| b.active_mw), power);
    let up = section.inherit("up_per_mbps", "a power", base.map(|b| b.up_uw_per_mbps), slope);
    let down = section.inherit("down_per_mbps", "a power", base.map(|b| b.down_uw_per_mbps), slope);
    let paging_ns = time("paging", base.map(|b| b.paging_ns));
    Some(Radio {
        promotion_ns: promotion_ns?,
        promotion_mw: promotion_mw?,
        tail_ns: tail_ns?,
        tail_mw: tail_mw?,
        active_mw: active_mw?,
        up_uw_per_mbps: up?,
        down_uw_per_mbps: down?,
        paging_ns: paging_ns?,
    })
}
