//! Colours and markers. A strategy keeps both in every figure and every run, because they follow from its name and not from its place.
//!
//! Each colour comes as a pair: for light and for dark paper. Hues are chosen after Okabe and Ito's set for colour-blind readers, with
//! lightness moved until lines stand out on the paper; markers tell apart what hues cannot.

use crate::names;

/// A colour for light paper, and what it becomes on dark paper, as 0xRRGGBB. The light ones are unique in a figure, because the style
/// sheet finds elements by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ink {
    pub light: u32,
    pub dark: u32,
}

const fn ink(light: u32, dark: u32) -> Ink {
    Ink { light, dark }
}

pub(super) const PAPER: Ink = ink(0xffffff, 0x0f1419);
pub(super) const TEXT: Ink = ink(0x1c2128, 0xe3e8ee);
pub(super) const FAINT: Ink = ink(0x5b6573, 0x98a3b0);
pub(super) const GRID: Ink = ink(0xe2e6ea, 0x262e37);
pub(super) const AXIS: Ink = ink(0x98a1ab, 0x5c6772);

pub(super) const GREEN: Ink = ink(0x1a8f6a, 0x2bb98c);
pub(super) const BLUE: Ink = ink(0x2566b0, 0x5aa2ec);
pub(super) const SKY: Ink = ink(0x4aa5d8, 0x93d2f5);
pub(super) const ORANGE: Ink = ink(0xd98a00, 0xf2b13c);
pub(super) const RED: Ink = ink(0xcc3311, 0xff7454);
pub(super) const PURPLE: Ink = ink(0xb04f8d, 0xe594c6);
pub(super) const YELLOW: Ink = ink(0xa39412, 0xe8dc5c);
pub(super) const GREY: Ink = ink(0x7c8794, 0xaab4be);
pub(super) const PALE: Ink = ink(0xb9c1ca, 0x59636e);
pub(super) const BROWN: Ink = ink(0x7d5339, 0xc79a7c);
pub(super) const TEAL: Ink = ink(0x0f7c86, 0x56cdd6);
const MAGENTA: Ink = ink(0x9a2fae, 0xe08bf0);
const LIME: Ink = ink(0x5f8c0c, 0xaad65a);
const INDIGO: Ink = ink(0x4a42a8, 0xa5a0ff);
const ROSE: Ink = ink(0xb5335a, 0xff91ad);

const ALL: [Ink; 20] = [
    PAPER, TEXT, FAINT, GRID, AXIS, GREEN, BLUE, SKY, ORANGE, RED, PURPLE, YELLOW, GREY, PALE,
    BROWN, TEAL, MAGENTA, LIME, INDIGO, ROSE,
];

/// Shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Disc,
    Square,
    Triangle,
    Wedge,
    Diamond,
    Ring,
    Cross,
    Plus,
}

/// How a strategy looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub ink: Ink,
    pub marker: Marker,
}

/// The built-in strategies; those that nearly every run has, and neighbours of one family, far apart from each other.
const KNOWN: [(&str, Ink, Marker); 32] = [
    ("lww/wall", RED, Marker::Triangle),
    ("lww/lamport", BROWN, Marker::Disc),
    ("lww/hlc", ORANGE, Marker::Wedge),
    ("lww/record", MAGENTA, Marker::Square),
    ("lww/server-order", INDIGO, Marker::Cross),
    ("lww/prompt", LIME, Marker::Diamond),
    ("version-vector/client-ids", BLUE, Marker::Square),
    ("version-vector/server-ids", ROSE, Marker::Plus),
    ("version-vector/dotted", TEAL, Marker::Disc),
    ("version-vector/merge", SKY, Marker::Diamond),
    ("revision-tree", BROWN, Marker::Wedge),
    ("ot/central", PURPLE, Marker::Plus),
    ("ot/uncomposed", LIME, Marker::Ring),
    ("ot/relay", INDIGO, Marker::Triangle),
    ("crdt/state", ROSE, Marker::Square),
    ("crdt/delta", ORANGE, Marker::Ring),
    ("crdt/delta-bp", MAGENTA, Marker::Triangle),
    ("crdt/delta-rr", INDIGO, Marker::Disc),
    ("crdt/delta-bp-rr", BROWN, Marker::Diamond),
    ("crdt/op", TEAL, Marker::Wedge),
    ("crdt/digest", GREEN, Marker::Disc),
    ("crdt/digest+rga", LIME, Marker::Cross),
    ("crdt/merkle", RED, Marker::Square),
    ("crdt/rateless", BLUE, Marker::Ring),
    ("scuttlebutt", SKY, Marker::Square),
    ("gossip/rumor", INDIGO, Marker::Plus),
    ("gossip/rumor-only", ROSE, Marker::Diamond),
    ("event-graph", MAGENTA, Marker::Disc),
    ("yrs", LIME, Marker::Square),
    ("online-only", GREY, Marker::Cross),
    ("full-copy", YELLOW, Marker::Ring),
    ("oracle", TEXT, Marker::Diamond),
];

/// For all others, unless it is a known one's.
const OTHER_INKS: [Ink; 6] = [BROWN, TEAL, MAGENTA, LIME, INDIGO, ROSE];
const OTHER_MARKERS: [Marker; 8] = [
    Marker::Disc,
    Marker::Square,
    Marker::Triangle,
    Marker::Wedge,
    Marker::Diamond,
    Marker::Ring,
    Marker::Cross,
    Marker::Plus,
];

/// Colour and marker of a strategy, by its name alone.
pub(super) fn look(strategy: &str) -> Look {
    if let Some(&(_, ink, marker)) = KNOWN.iter().find(|(name, _, _)| *name == strategy) {
        return Look { ink, marker };
    }
    // The upper half: FNV's lowest bits of similar names are alike.
    let hash = (names::hash(&[strategy]) >> 64) as u64;
    let free = |nth: u64| {
        let ink = OTHER_INKS[(nth % OTHER_INKS.len() as u64) as usize];
        let marker = OTHER_MARKERS[(nth / 64 % OTHER_MARKERS.len() as u64) as usize];
        let taken = KNOWN.iter().any(|(_, known, shape)| (*known, *shape) == (ink, marker));
        (!taken).then_some(Look { ink, marker })
    };
    // Steps of 65 change both.
    (0..).find_map(|n: u64| free(hash.wrapping_add(65 * n))).expect("some are free")
}

/// The style sheet of every figure: a sans-serif face that the reader has, and the dark colours. Without style sheets a figure is light.
pub(super) fn style_sheet() -> String {
    let mut style = String::from(
        "text{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif}",
    );
    style += "@media (prefers-color-scheme:dark){";
    for Ink { light, dark } in ALL {
        style += &format!(
            "[fill=\"#{light:06X}\"]{{fill:#{dark:06x}}}[stroke=\"#{light:06X}\"]{{stroke:#{dark:06x}}}"
        );
    }
    style + "}"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn light_colours_are_unique() {
        let lights: BTreeSet<u32> = ALL.iter().map(|ink| ink.light).collect();
        assert_eq!(lights.len(), ALL.len());
    }

    /// Contrast as WCAG 2.1 defines it.
    fn contrast(a: u32, b: u32) -> f64 {
        let luminance = |colour: u32| {
            let channel = |shift: u32| {
                let c = f64::from(colour >> shift & 0xff) / 255.0;
                if c <= 0.039_28 { c / 12.92 } else { libm::pow((c + 0.055) / 1.055, 2.4) }
            };
            0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn everything_stands_out_from_the_paper() {
        for text in [TEXT, FAINT] {
            assert!(
                contrast(text.light, PAPER.light) > 4.5 && contrast(text.dark, PAPER.dark) > 4.5,
                "{text:x?}"
            );
        }
        for (name, ink, _) in KNOWN {
            let (light, dark) = (contrast(ink.light, PAPER.light), contrast(ink.dark, PAPER.dark));
            assert!(light > 2.5 && dark > 4.5, "{name}: {light:.2} and {dark:.2}");
        }
        for ink in OTHER_INKS {
            assert!(
                contrast(ink.light, PAPER.light) > 3.0 && contrast(ink.dark, PAPER.dark) > 4.5,
                "{ink:x?}"
            );
        }
    }

    #[test]
    fn no_two_strategies_look_alike() {
        for (place, (name, ink, marker)) in KNOWN.into_iter().enumerate() {
            let twin = KNOWN[..place].iter().find(|other| (other.1, other.2) == (ink, marker));
            assert_eq!(twin, None, "{name}");
        }
        for strategy in reconverge_strategies::registry() {
            let name = strategy.name();
            assert!(KNOWN.iter().any(|(known, ..)| *known == name), "{name} has no look");
        }
        for name in ["someone/else", "yjs", "automerge", "loro", "lww/delta", "crdt/new", "a", "b"]
        {
            let Look { ink, marker } = look(name);
            let twin = KNOWN.iter().find(|known| (known.1, known.2) == (ink, marker));
            assert_eq!(twin, None, "{name}");
        }
    }

    #[test]
    fn looks_follow_names() {
        assert_eq!(look("crdt/digest"), Look { ink: GREEN, marker: Marker::Disc });
        assert_eq!(look("someone/else"), look("someone/else"));
        let looks: Vec<Look> =
            ["crdt/state", "crdt/op", "yjs", "automerge", "loro"].map(look).to_vec();
        for (i, a) in looks.iter().enumerate() {
            assert!(!looks[..i].contains(a), "{looks:?}");
        }
    }
}
