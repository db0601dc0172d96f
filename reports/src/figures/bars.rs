//! Stacked bars, one per strategy: what became of edits, and what bytes and energy were spent on.

use reconverge_simulator::row::Metrics;

use super::Figure;
use super::canvas::{Anchor, Canvas, Frame, TEXT_SIZE, WIDTH, figure, round_step, text_width};
use super::palette::{
    BLUE, BROWN, FAINT, GREEN, GREY, Ink, ORANGE, PALE, PURPLE, RED, SKY, TEAL, TEXT, YELLOW,
};
use crate::comparison::{Cell, Group};
use crate::human;

/// A part of a bar: its name, its ink, and how much of a trial it is.
type Part = (&'static str, Ink, fn(&Metrics) -> u64);

/// Height that one bar takes, with its gap.
const BAR_PITCH: i32 = 34;
const BAR_HEIGHT: i32 = 20;

const EDITS: [Part; 9] = [
    ("kept", GREEN, |m| m.edits_kept.unwrap_or(0)),
    ("superseded", SKY, |m| m.edits_superseded.unwrap_or(0)),
    ("surfaced", ORANGE, |m| m.edits_surfaced.unwrap_or(0)),
    ("lost", RED, |m| m.edits_lost.unwrap_or(0)),
    ("refused", PURPLE, |m| m.edits_refused.unwrap_or(0)),
    ("crashed", BROWN, |m| m.edits_crashed.unwrap_or(0)),
    ("stranded", YELLOW, |m| m.edits_stranded.unwrap_or(0)),
    ("blocked", GREY, |m| m.edits_blocked.unwrap_or(0)),
    ("void", PALE, |m| m.edits_void.unwrap_or(0)),
];

const BYTES: [Part; 8] = [
    ("content", GREEN, |m| m.bytes_content.unwrap_or(0)),
    ("metadata", BLUE, |m| {
        m.bytes_strategy.unwrap_or(0).saturating_sub(m.bytes_content.unwrap_or(0))
    }),
    ("framing", SKY, |m| m.bytes_framing.unwrap_or(0)),
    ("encryption", PURPLE, |m| m.bytes_encryption.unwrap_or(0)),
    ("handshakes", ORANGE, |m| m.bytes_handshake.unwrap_or(0)),
    ("acknowledgements", YELLOW, |m| m.bytes_ack.unwrap_or(0)),
    ("retransmitted", RED, |m| m.bytes_retransmitted.unwrap_or(0)),
    ("other", PALE, |m| {
        let parts = [
            m.bytes_strategy,
            m.bytes_framing,
            m.bytes_encryption,
            m.bytes_handshake,
            m.bytes_ack,
            m.bytes_retransmitted,
        ];
        m.bytes_wire.unwrap_or(0).saturating_sub(parts.into_iter().flatten().sum())
    }),
];

const ENERGY: [Part; 6] = [
    ("radio waking up", ORANGE, |m| m.energy_radio_promotion_mj.unwrap_or(0)),
    ("radio transferring", RED, |m| m.energy_radio_transfer_mj.unwrap_or(0)),
    ("radio tail", YELLOW, |m| m.energy_radio_tail_mj.unwrap_or(0)),
    ("processor", BLUE, |m| m.energy_cpu_mj.unwrap_or(0)),
    ("storage", TEAL, |m| m.energy_storage_mj.unwrap_or(0)),
    ("other", PALE, |m| {
        let radio =
            [m.energy_radio_promotion_mj, m.energy_radio_transfer_mj, m.energy_radio_tail_mj];
        let parts = radio.into_iter().chain([m.energy_cpu_mj, m.energy_storage_mj]);
        m.energy_total_mj.unwrap_or(0).saturating_sub(parts.flatten().sum())
    }),
];

pub(super) fn edits(cell: &Cell) -> Figure {
    let chart = Chart {
        title: "What became of people's edits?",
        subtitle: "Share of the edits that people asked for, mean over seeds",
        axis: "share of asked edits",
        parts: &EDITS,
        scale: 100.0,
        show: |percent| human::share(percent / 100.0),
        tick: |percent| format!("{} %", human::count(percent)),
        note: |group| {
            let share = group.mean("edits_lost_permille").unwrap_or(0.0) / 1_000.0;
            if share > 0.0 {
                format!("{} lost", human::share(share))
            } else {
                "none lost".to_owned()
            }
        },
        largest: Some(100.0),
    };
    let reading = "Kept and superseded are fine: superseded edits were overwritten by somebody who had seen them. Surfaced ones wait for \
                   a person to choose. Lost ones were overwritten or dropped although nobody who did so had seen them. Blocked ones were \
                   never taken, because a device was dead or offline; void ones had nothing to change.";
    chart.draw("edits", cell, reading)
}

pub(super) fn bytes(cell: &Cell) -> Figure {
    let chart = Chart {
        title: "What were bytes spent on?",
        subtitle: "Everything a radio would carry, per edit that people asked for, mean over seeds",
        axis: "bytes on the wire per edit",
        parts: &BYTES,
        scale: 1.0,
        show: human::bytes,
        tick: human::bytes,
        note: |_| String::new(),
        largest: None,
    };
    let reading = "Short is cheap. Content is what people typed; metadata is what the strategy adds to merge it; the rest is the price \
                   of carrying it, which falls when devices speak less often.";
    chart.draw("bytes", cell, reading)
}

pub(super) fn energy(cell: &Cell) -> Figure {
    let chart = Chart {
        title: "What was energy spent on?",
        subtitle: "Energy for synchronising on devices with a battery, per edit that people asked for, mean over seeds",
        axis: "energy per edit",
        parts: &ENERGY,
        scale: 1_000.0,
        show: human::energy,
        tick: human::energy,
        note: |_| String::new(),
        largest: None,
    };
    let reading = "Short is cheap. A radio costs energy to wake, to transfer, and while it stays awake afterwards (its tail); where \
                   waking and tail dominate, when a device speaks matters more than how much it says.";
    chart.draw("energy", cell, reading)
}

/// A stacked bar chart.
struct Chart {
    title: &'static str,
    subtitle: &'static str,
    axis: &'static str,
    parts: &'static [Part],
    /// What one unit of a part per asked edit counts on the axis.
    scale: f64,
    /// The whole of a bar in words.
    show: fn(f64) -> String,
    /// A value of the axis in words.
    tick: fn(f64) -> String,
    /// What stands at the end of a bar; where empty, its whole.
    note: fn(&Group) -> String,
    /// End of the axis where it is fixed.
    largest: Option<f64>,
}

impl Chart {
    fn draw(&self, file_stem: &str, cell: &Cell, reading: &'static str) -> Figure {
        let values = |group: &Group| -> Vec<f64> {
            self.parts
                .iter()
                .map(|(_, _, part)| group.per_edit(part).unwrap_or(0.0) * self.scale)
                .collect()
        };
        let bars: Vec<(&Group, Vec<f64>)> =
            cell.strategies.iter().map(|group| (group, values(group))).collect();
        let used: Vec<bool> =
            (0..self.parts.len()).map(|part| bars.iter().any(|(_, bar)| bar[part] > 0.0)).collect();
        let legend: Vec<(&str, Ink)> = self
            .parts
            .iter()
            .zip(&used)
            .filter(|(_, used)| **used)
            .map(|((name, ink, _), _)| (*name, *ink))
            .collect();
        let (places, legend_rows) = flow(&legend);
        let top = 84 + legend_rows * 24 + 14;
        let bottom = top + bars.len() as i32 * BAR_PITCH + 6;
        let names =
            bars.iter().map(|(group, _)| text_width(&group.label(), TEXT_SIZE)).max().unwrap_or(0);
        let frame = Frame { left: (names + 36).max(120), top, right: WIDTH - 124, bottom };
        let svg = figure(bottom + 62, self.title, self.subtitle, |canvas| {
            for ((name, ink), (x, row)) in legend.iter().zip(places) {
                let y = 84 + row * 24;
                canvas.rectangle((x, y - 7), (x + 14, y + 7), *ink);
                canvas.label(name, (x + 21, y), TEXT, Anchor::Left);
            }
            self.bars(canvas, frame, &bars);
        });
        Figure { file_stem: file_stem.to_owned(), title: self.title, reading, svg }
    }

    fn bars(&self, canvas: &Canvas, frame: Frame, bars: &[(&Group, Vec<f64>)]) {
        let whole = |bar: &[f64]| bar.iter().sum::<f64>();
        let largest = bars.iter().map(|(_, bar)| whole(bar)).fold(0.0, f64::max);
        let step = round_step(self.largest.unwrap_or(largest).max(1e-9), 5.0);
        let end = self.largest.unwrap_or(largest).max(step);
        let x = |value: f64| frame.x((value / end).min(1.0));
        let ticks: Vec<(i32, String)> = (0..=(end / step + 1e-9) as u32)
            .map(|tick| f64::from(tick) * step)
            .map(|v| (x(v), (self.tick)(v)))
            .collect();
        canvas.axes(frame, (self.axis, &ticks), ("", &[]));
        for (index, (group, bar)) in (0..).zip(bars) {
            let middle = frame.top + index * BAR_PITCH + BAR_PITCH / 2 + 3;
            canvas.label(&group.label(), (frame.left - 12, middle), TEXT, Anchor::Right);
            if group.measured().next().is_none() {
                canvas.label(
                    group.trials[0].row.status.name(),
                    (frame.left + 8, middle),
                    FAINT,
                    Anchor::Left,
                );
                continue;
            }
            let mut sum = 0.0;
            for (value, (_, ink, _)) in bar.iter().zip(self.parts) {
                let from = x(sum);
                sum += value;
                // A part that is there is seen, however small.
                let until = if *value > 0.0 { x(sum).max(from + 1) } else { from };
                if until > from {
                    canvas.rectangle(
                        (from, middle - BAR_HEIGHT / 2),
                        (until, middle + BAR_HEIGHT / 2),
                        *ink,
                    );
                }
            }
            let note = Some((self.note)(group)).filter(|note| !note.is_empty());
            canvas.label(
                &note.unwrap_or_else(|| (self.show)(sum)),
                (x(sum) + 10, middle),
                TEXT,
                Anchor::Left,
            );
        }
    }
}

/// Places entries of a legend in rows: for each its left end and its row, and the number of rows.
fn flow(entries: &[(&str, Ink)]) -> (Vec<(i32, i32)>, i32) {
    let (mut x, mut row) = (24, 0);
    let mut places = Vec::new();
    for (name, _) in entries {
        let width = 21 + text_width(name, TEXT_SIZE) + 18;
        if x + width > WIDTH - 12 && x > 24 {
            (x, row) = (24, row + 1);
        }
        places.push((x, row));
        x += width;
    }
    (places, row + 1)
}
