//! Paper to draw on: plotters' SVG backend in pixels, with the inks of the palette.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, Drawable, PathElement, PointCollection, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontFamily, FontStyle, IntoTextStyle, RGBColor, ShapeStyle, TextStyle,
};

use super::Figure;
use super::palette::{AXIS, FAINT, GRID, Ink, Look, Marker, PAPER, TEXT, style_sheet};

/// Width of every figure, in pixels.
pub(super) const WIDTH: i32 = 960;

/// Size of ordinary text, in pixels.
pub(super) const TEXT_SIZE: f64 = 14.0;

/// Plotters writes a size divided by this into the file.
const FONT_SCALE: f64 = 1.24;

/// Where the given point of a text lies.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

/// A figure under construction. Text goes around points by its vertical middle.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws a figure of the given height, and gives it its title, its description for those who cannot see it, and the style sheet.
pub(super) fn figure(
    height: i32,
    title: &str,
    subtitle: &str,
    draw: impl FnOnce(&Canvas),
) -> String {
    let mut svg = String::new();
    {
        let canvas = Canvas {
            area: SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32))
                .into_drawing_area(),
        };
        canvas.rectangle((0, 0), (WIDTH, height), PAPER);
        canvas.text(title, (24, 30), 19.0, TEXT, Anchor::Left, FontStyle::Bold);
        canvas.text(subtitle, (24, 54), TEXT_SIZE, FAINT, Anchor::Left, FontStyle::Normal);
        draw(&canvas);
        canvas.area.present().expect("memory takes everything");
    }
    let (root, rest) = svg.split_at(svg.find('>').expect("an SVG starts with its root"));
    format!(
        "{root} role=\"img\"><title>{}</title><desc>{}</desc><style>{}</style>{}",
        escape(title),
        escape(subtitle),
        style_sheet(),
        &rest[1..]
    )
}

/// A figure of which there is nothing to draw says so.
pub(super) fn empty(file_stem: &str, title: &'static str, subtitle: &str, why: &str) -> Figure {
    let svg =
        figure(130, title, subtitle, |canvas| canvas.label(why, (24, 96), FAINT, Anchor::Left));
    Figure { file_stem: file_stem.to_owned(), title, reading: "", svg }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn colour(ink: Ink) -> RGBColor {
    let [_, red, green, blue] = ink.light.to_be_bytes();
    RGBColor(red, green, blue)
}

fn filled(ink: Ink) -> ShapeStyle {
    colour(ink).filled()
}

fn stroke(ink: Ink, width: u32) -> ShapeStyle {
    colour(ink).stroke_width(width)
}

/// About how wide a text will be. Faces differ; this is on the wide side of them.
pub(super) fn text_width(text: &str, size: f64) -> i32 {
    let em = |c: char| match c {
        'f' | 'i' | 'j' | 'l' | 'r' | 't' | ' ' | '.' | ',' | '-' | '/' | '(' | ')' => 0.38,
        'm' | 'w' | 'M' | 'W' | '%' => 0.95,
        _ => 0.64,
    };
    (text.chars().map(em).sum::<f64>() * size).ceil() as i32
}

impl<'a> Canvas<'a> {
    fn draw<E>(&self, element: &E)
    where
        for<'b> &'b E: PointCollection<'b, (i32, i32)>,
        E: Drawable<SVGBackend<'a>>,
    {
        self.area.draw(element).expect("memory takes everything");
    }

    pub fn text(
        &self,
        text: &str,
        at: (i32, i32),
        size: f64,
        ink: Ink,
        anchor: Anchor,
        style: FontStyle,
    ) {
        if text.is_empty() {
            return;
        }
        let pos = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let colour = colour(ink);
        let font = (FontFamily::SansSerif, size * FONT_SCALE, style).into_text_style(&self.area);
        let style: TextStyle = font.color(&colour).pos(Pos::new(pos, VPos::Center));
        self.draw(&Text::new(text.to_owned(), at, style));
    }

    pub fn label(&self, text: &str, at: (i32, i32), ink: Ink, anchor: Anchor) {
        self.text(text, at, TEXT_SIZE, ink, anchor, FontStyle::Normal);
    }

    pub fn rectangle(&self, from: (i32, i32), until: (i32, i32), ink: Ink) {
        self.draw(&Rectangle::new([from, until], filled(ink)));
    }

    pub fn line(&self, points: Vec<(i32, i32)>, ink: Ink, width: u32) {
        self.draw(&PathElement::new(points, stroke(ink, width)));
    }

    /// A marker on a thin ring of paper, so that it stands out from lines that it covers.
    pub fn marker(&self, at: (i32, i32), look: Look) {
        let (x, y) = at;
        let polygon = |points: &[(i32, i32)]| {
            let points: Vec<(i32, i32)> = points.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
            self.draw(&Polygon::new(points.clone(), filled(look.ink)));
            self.line(points.iter().chain(&points[..1]).copied().collect(), PAPER, 1);
        };
        match look.marker {
            Marker::Disc => {
                self.draw(&Circle::new(at, 6, filled(PAPER)));
                self.draw(&Circle::new(at, 5, filled(look.ink)));
            }
            Marker::Ring => {
                self.draw(&Circle::new(at, 5, filled(PAPER)));
                self.draw(&Circle::new(at, 5, stroke(look.ink, 2)));
            }
            Marker::Square => polygon(&[(-5, -5), (5, -5), (5, 5), (-5, 5)]),
            Marker::Diamond => polygon(&[(0, -7), (7, 0), (0, 7), (-7, 0)]),
            Marker::Triangle => polygon(&[(0, -6), (6, 5), (-6, 5)]),
            Marker::Wedge => polygon(&[(0, 6), (6, -5), (-6, -5)]),
            Marker::Cross | Marker::Plus => {
                let reach =
                    if look.marker == Marker::Cross { [(4, 4), (4, -4)] } else { [(6, 0), (0, 6)] };
                for (ink, width) in [(PAPER, 5), (look.ink, 3)] {
                    for (dx, dy) in reach {
                        self.line(vec![(x - dx, y - dy), (x + dx, y + dy)], ink, width);
                    }
                }
            }
        }
    }

    /// Axes with grid lines: the frame in pixels, ticks with their labels, and what the axes mean. The name of the y axis stands above it,
    /// where it can be read without tilting the head.
    pub fn axes(&self, frame: Frame, x: (&str, &[(i32, String)]), y: (&str, &[(i32, String)])) {
        let Frame { left, top, right, bottom } = frame;
        for (at, label) in y.1 {
            self.line(vec![(left, *at), (right, *at)], GRID, 1);
            self.label(label, (left - 10, *at), FAINT, Anchor::Right);
        }
        for (at, label) in x.1 {
            self.line(vec![(*at, top), (*at, bottom)], GRID, 1);
            self.line(vec![(*at, bottom), (*at, bottom + 5)], AXIS, 1);
            self.label(label, (*at, bottom + 18), FAINT, Anchor::Middle);
        }
        self.line(vec![(left, bottom), (right, bottom)], AXIS, 1);
        self.label(y.0, (24, top - 18), FAINT, Anchor::Left);
        self.label(x.0, ((left + right) / 2, bottom + 42), FAINT, Anchor::Middle);
    }
}

/// The part of a figure that holds data, in pixels.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub left: i32,
    pub top: i32,
    pub right: i32,
    pub bottom: i32,
}

impl Frame {
    /// That of a line plot in a figure of this height, with a legend of these names to its right.
    pub fn beside_legend<'a>(height: i32, names: impl Iterator<Item = &'a str>) -> Frame {
        let widest = names.map(|name| text_width(name, TEXT_SIZE)).max().unwrap_or(0);
        let right = (WIDTH - LEGEND_GAP - LEGEND_SAMPLE - widest - 12).clamp(WIDTH / 2, 700);
        Frame { left: 70, top: 106, right, bottom: height - 64 }
    }

    /// The pixel of a share of the width, 0 at the left.
    pub fn x(&self, share: f64) -> i32 {
        self.left + (share * f64::from(self.right - self.left)).round() as i32
    }

    /// The pixel of a share of the height, 0 at the bottom.
    pub fn y(&self, share: f64) -> i32 {
        self.bottom - (share * f64::from(self.bottom - self.top)).round() as i32
    }
}

/// Between a line plot and its legend, and what a name in the legend is preceded by.
const LEGEND_GAP: i32 = 32;
const LEGEND_SAMPLE: i32 = 38;

/// A legend of strategies in a column right of a plot: a piece of line, the marker, the name.
pub(super) fn legend(canvas: &Canvas, frame: Frame, entries: &[(&str, Look)]) {
    let left = frame.right + LEGEND_GAP;
    for (index, (name, look)) in (0..).zip(entries) {
        let y = frame.top + 6 + index * 24;
        canvas.line(vec![(left, y), (left + 28, y)], look.ink, 2);
        canvas.marker((left + 14, y), *look);
        canvas.label(name, (left + LEGEND_SAMPLE, y), TEXT, Anchor::Left);
    }
}

/// Round steps for an axis from 0: a step of 1, 2 or 5 times a power of ten, at most `most` of them up to `largest`, which is above 0.
pub(super) fn round_step(largest: f64, most: f64) -> f64 {
    let mut power = 1e-12;
    loop {
        for digit in [1.0, 2.0, 5.0] {
            // The power of ten is not exact.
            if largest / (digit * power) <= most * (1.0 + 1e-9) {
                return digit * power;
            }
        }
        power *= 10.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (largest, most, step) in
            [(100.0, 5.0, 20.0), (9.0, 6.0, 2.0), (0.07, 5.0, 0.02), (138_000.0, 5.0, 50_000.0)]
        {
            assert!((round_step(largest, most) - step).abs() < 1e-9 * step, "{largest} in {most}");
        }
    }

    #[test]
    fn text_in_a_figure_is_escaped() {
        let svg = figure(100, "a < b & c", "\"quoted\"", |canvas| {
            canvas.label("<script>", (0, 0), TEXT, Anchor::Left)
        });
        assert!(
            svg.contains("<title>a &lt; b &amp; c</title>") && svg.contains("&lt;script&gt;"),
            "{svg}"
        );
        assert!(!svg.contains("<script>"));
    }
}
