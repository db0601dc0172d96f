//! Stacked bars, one per strategy: what became of edits, and what bytes and energy were spent on.

use reconverge_simulator::row::Metrics;

use super::Figure;
use super::canvas::{
    Anchor, Canvas, Frame, TEXT_SIZE, WIDTH, empty, figure, round_step, text_width,
};
use super::palette::{
    BLUE, BROWN, FAINT, GREEN, GREY, Ink, ORANGE, PALE, PAPER, PURPLE, RED, SKY, TEAL, TEXT, YELLOW,
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
        tick: |percent| format!("{percent:.0} %"),
        note: |group| {
            let share = group.mean("edits_lost_permille").unwrap_or(0.0) / 1_000.0;
            if share > 0.0 {
                format!("{} lost", human::share(share))
            } else {
                "none lost".to_owned()
            }
        },
        largest: Some(100.0),
        has_oracle: false,
        nothing: "Nobody asked for an edit.",
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
        tick: |bytes| human::round(&human::bytes(bytes)),
        note: |_| String::new(),
        largest: None,
        has_oracle: true,
        nothing: "Nothing was sent.",
    };
    let reading = "Short is cheap. Content is what people typed; metadata is what the strategy adds to merge it; the rest is the price \
                   of carrying it, which falls when devices speak less often. A bar with a gap goes on far beyond the axis; its number is right.";
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
        tick: |uj| human::round(&human::energy(uj)),
        note: |_| String::new(),
        largest: None,
        has_oracle: false,
        nothing: "No device with a battery spent anything.",
    };
    let reading = "Short is cheap. A radio costs energy to wake, to transfer, and while it stays awake afterwards (its tail); where \
                   waking and tail dominate, when a device speaks matters more than how much it says. A bar with a gap goes on far beyond the axis; its number is right.";
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
    /// Whether the oracle has a bar: of its edits and of energy nothing is known.
    has_oracle: bool,
    /// What stands there where no bar has any length, though something was measured.
    nothing: &'static str,
}

impl Chart {
    fn draw(&self, file_stem: &str, cell: &Cell, reading: &'static str) -> Figure {
        let values = |group: &Group| -> Vec<f64> {
            self.parts
                .iter()
                .map(|(_, _, part)| group.per_edit(part).unwrap_or(0.0) * self.scale)
                .collect()
        };
        let groups = cell.strategies.iter().filter(|group| self.has_oracle || !group.is_oracle());
        let bars: Vec<(&Group, Vec<f64>)> = groups.map(|group| (group, values(group))).collect();
        let used: Vec<bool> =
            (0..self.parts.len()).map(|part| bars.iter().any(|(_, bar)| bar[part] > 0.0)).collect();
        let legend: Vec<(&str, Ink)> = self
            .parts
            .iter()
            .zip(&used)
            .filter(|(_, used)| **used)
            .map(|((name, ink, _), _)| (*name, *ink))
            .collect();
        if legend.is_empty() && bars.iter().any(|(group, _)| group.measured().next().is_some()) {
            return empty(file_stem, self.title, self.subtitle, self.nothing);
        }
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
        let wholes: Vec<f64> = bars.iter().map(|(_, bar)| bar.iter().sum()).collect();
        let end = self.largest.unwrap_or_else(|| axis_end(&wholes)).max(1e-9);
        let step = round_step(end, 5.0);
        let x = |value: f64| frame.x((value / end).min(1.0));
        let ticks: Vec<(i32, String)> = (0..=(end / step + 1e-9) as u32)
            .map(|tick| f64::from(tick) * step)
            .map(|value| (x(value), (self.tick)(value)))
            .collect();
        canvas.axes(frame, (self.axis, &ticks), ("", &[]));
        for (index, ((group, bar), whole)) in (0..).zip(bars.iter().zip(wholes)) {
            let middle = frame.top + index * BAR_PITCH + BAR_PITCH / 2 + 3;
            let (top, bottom) = (middle - BAR_HEIGHT / 2, middle + BAR_HEIGHT / 2);
            canvas.label(&group.label(), (frame.left - 12, middle), TEXT, Anchor::Right);
            if group.measured().next().is_none() {
                let status = group.trials[0].row.status.name();
                canvas.label(status, (frame.left + 8, middle), FAINT, Anchor::Left);
                continue;
            }
            let (mut sum, mut drawn) = (0.0, frame.left);
            for (value, (_, ink, _)) in bar.iter().zip(self.parts) {
                sum += value;
                // A part that is there is seen, however small, unless it is beyond the end of the axis.
                let until = if sum > end { x(sum) } else { x(sum).max(drawn + 1) };
                if *value > 0.0 && until > drawn {
                    canvas.rectangle((drawn, top), (until, bottom), *ink);
                    drawn = until;
                }
            }
            if whole > end * (1.0 + 1e-9) {
                let gap = frame.right - 30;
                canvas.line(vec![(gap - 5, bottom + 4), (gap + 5, top - 4)], PAPER, 5);
            }
            let note = Some((self.note)(group)).filter(|note| !note.is_empty());
            let note = note.unwrap_or_else(|| (self.show)(whole));
            canvas.label(&note, (drawn + 10, middle), TEXT, Anchor::Left);
        }
    }
}

/// Where the axis ends: at the longest bar; but where up to a third of them are four times as long as any other, a little beyond the
/// longest of those others, so that these can still be told apart.
fn axis_end(wholes: &[f64]) -> f64 {
    let mut sorted = wholes.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let outliers =
        (1..=sorted.len() / 3).rev().find(|&k| sorted[k] > 0.0 && sorted[k - 1] > 4.0 * sorted[k]);
    match outliers {
        Some(k) => sorted[k] * 1.25,
        None => sorted.first().copied().unwrap_or(0.0),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_leaves_out_a_few_giants() {
        assert!((axis_end(&[5.0, 6.0, 138.0, 7.0]) - 8.75).abs() < 1e-9);
        assert!((axis_end(&[5.0, 6.0, 138.0, 130.0, 7.0, 7.5]) - 9.375).abs() < 1e-9);
        // Half of them are not a few; and three times is not far beyond.
        assert!((axis_end(&[5.0, 138.0]) - 138.0).abs() < 1e-9);
        assert!((axis_end(&[5.0, 6.0, 18.0]) - 18.0).abs() < 1e-9);
        assert!((axis_end(&[0.0, 0.0, 18.0]) - 18.0).abs() < 1e-9);
        assert!(axis_end(&[]).abs() < 1e-9);
    }

    #[test]
    fn a_legend_flows_into_rows() {
        let entries = vec![("acknowledgements", RED); 12];
        let (places, rows) = flow(&entries);
        assert!(rows > 1);
        assert!(places.iter().all(|(x, row)| *x >= 24 && *x < WIDTH - 100 && *row < rows));
    }
}
