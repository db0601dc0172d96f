//! How many edits have not reached everybody, over the course of a trial.

use std::collections::BTreeMap;

use super::Figure;
use super::canvas::{Canvas, Frame, empty, figure, legend, round_step};
use super::palette::{Look, look};
use crate::comparison::{Cell, Group};
use crate::human;
use crate::stats::median;

/// Steps that divide days well, in seconds.
const TIME_STEPS: [u64; 17] = [
    1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 43_200, 86_400,
    172_800, 604_800,
];

/// A strategy's course: seconds since the start, and median over seeds.
struct Course {
    name: String,
    look: Look,
    points: Vec<(u64, f64)>,
}

pub(super) fn draw(cell: &Cell) -> Figure {
    let courses: Vec<Course> = cell
        .strategies
        .iter()
        .map(|group| Course {
            name: group.label(),
            look: look(group.strategy),
            points: course(group),
        })
        .filter(|course| !course.points.is_empty())
        .collect();
    let title = "How far are people apart?";
    let subtitle =
        "Edits that somebody's device does not hold yet, at each moment, median over seeds";
    let moments = courses.iter().map(|course| course.points.len()).max().unwrap_or(0);
    let height = (150 + 24 * courses.len() as i32).max(430);
    let frame = Frame::beside_legend(height, courses.iter().map(|course| course.name.as_str()));
    let svg = match moments {
        0 => return empty("divergence", title, subtitle, "Nothing was measured."),
        1 => {
            return empty(
                "divergence",
                title,
                subtitle,
                "The trials end before a `timeline_step` of the scenario has passed.",
            );
        }
        _ => figure(height, title, subtitle, |canvas| plot(canvas, frame, &courses)),
    };
    let reading = "Low is good. Hills follow the outages and the busy hours of the scenario; what counts is how quickly a line comes \
                   down again, and that it ends at zero.";
    Figure { file_stem: "divergence".to_owned(), title, reading, svg }
}

/// The median over seeds at each moment that any seed has.
fn course(group: &Group) -> Vec<(u64, f64)> {
    let mut moments: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (trial, _) in group.measured() {
        for row in trial.timeline.iter().filter(|row| row.device.is_none()) {
            moments.entry(row.at_s).or_default().push(row.edits_pending as f64);
        }
    }
    moments.into_iter().filter_map(|(at_s, values)| Some((at_s, median(&values)?))).collect()
}

fn plot(canvas: &Canvas, frame: Frame, courses: &[Course]) {
    let points = || courses.iter().flat_map(|course| &course.points);
    let last_s = points().map(|(at_s, _)| *at_s).max().unwrap_or(0).max(1);
    let largest = points().map(|(_, seats)| *seats).fold(1.0, f64::max);
    let step = round_step(largest, 6.0).max(1.0);
    let top = (largest / step).ceil() * step;
    let y_ticks: Vec<(i32, String)> = (0..=(top / step) as u32)
        .map(|tick| {
            (
                frame.y(f64::from(tick) * step / top),
                human::round(&human::count(f64::from(tick) * step)),
            )
        })
        .collect();
    let time_step =
        TIME_STEPS.into_iter().find(|step| last_s / step <= 9).unwrap_or(last_s.div_ceil(9));
    let x = |at_s: u64| frame.x(at_s as f64 / last_s as f64);
    let x_ticks: Vec<(i32, String)> = (0..=last_s / time_step)
        .map(|tick| (x(tick * time_step), moment(tick * time_step, time_step)))
        .collect();
    canvas.axes(frame, ("time of the trial", &x_ticks), ("edits", &y_ticks));
    let mut markers = Vec::new();
    for (index, course) in courses.iter().enumerate() {
        let line: Vec<(i32, i32)> =
            course.points.iter().map(|(at_s, seats)| (x(*at_s), frame.y(seats / top))).collect();
        // Every line has its own places for markers, so that none hides behind another.
        let every = line.len().div_ceil(6).max(1);
        let start = every * (2 * index + 1) / (2 * courses.len());
        markers.extend(line.iter().skip(start).step_by(every).map(|at| (*at, course.look)));
        canvas.line(line, course.look.ink, 2);
    }
    for (at, look) in markers {
        canvas.marker(at, look);
    }
    let entries: Vec<(&str, Look)> =
        courses.iter().map(|course| (course.name.as_str(), course.look)).collect();
    legend(canvas, frame, &entries);
}

/// A moment on the axis, in the largest unit that divides the step.
fn moment(at_s: u64, step_s: u64) -> String {
    let (unit, name) = match step_s {
        s if s % 86_400 == 0 => (86_400, "d"),
        s if s % 3_600 == 0 => (3_600, "h"),
        s if s % 60 == 0 => (60, "min"),
        _ => (1, "s"),
    };
    match at_s {
        0 => "0".to_owned(),
        at_s => format!("{} {name}", at_s / unit),
    }
}
