//! The page: one file that needs nothing else, the outcome first and what it rests on after it.

mod html;

use crate::comparison::{Cell, Comparison};
use crate::figures::figures;
use crate::human;
use crate::run::EpisodeRow;
use crate::summary::{Difference, HONEST_SEEDS};
use crate::table::{COLUMNS, Tone, heading, rows, schedule_note};
use crate::verdict::{broken_lines, verdict};
use html::Html;

const STYLE: &str = include_str!("page/style.css");

/// Facts of an episode that the page shows; `episode.csv` has the rest.
const EPISODE_ROWS: usize = 80;

/// `report.html`: self-contained, without scripts, light or dark as the reader prefers.
pub fn page(comparison: &Comparison, episode: &[EpisodeRow], broken_budgets: &[String]) -> String {
    let info = comparison.info;
    let mut html = Html::default();
    html.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n");
    html.element("title", &format!("{} – Reconverge", info.scenario_name));
    html.raw(&format!("<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"));
    html.inside("header", "", |html| {
        html.inside("p", "eyebrow", |html| {
            html.text("Reconverge: which way of synchronising should I choose?")
        });
        html.element("h1", &info.scenario_name);
        html.prose(&info.analysis);
    });
    broken(&mut html, comparison, broken_budgets);
    for cell in &comparison.cells {
        outcome(&mut html, comparison, cell);
    }
    if !episode.is_empty() {
        stretch(&mut html, episode);
    }
    world(&mut html, comparison);
    certainty(&mut html, comparison);
    limits(&mut html);
    html.inside("footer", "", |html| html.text(&format!("Made by Reconverge {}.", info.version)));
    html.raw("</main>\n</body>\n</html>\n");
    html.finish()
}

/// What must not be overlooked.
fn broken(html: &mut Html, comparison: &Comparison, broken_budgets: &[String]) {
    let lines = broken_lines(comparison, broken_budgets);
    if lines.is_empty() {
        return;
    }
    html.inside("section", "alert", |html| {
        html.element("h2", "What broke");
        html.inside("ul", "", |html| lines.iter().for_each(|line| html.element("li", line)));
    });
}

/// Verdict, table and figures of a cell.
fn outcome(html: &mut Html, comparison: &Comparison, cell: &Cell) {
    html.inside("section", "", |html| {
        let title = if comparison.is_sweep() {
            format!("Cell {}", cell.name)
        } else {
            "The outcome".to_owned()
        };
        html.element("h2", &title);
        html.inside("ul", "verdict", |html| {
            verdict(cell).iter().for_each(|sentence| html.element("li", &unbroken(sentence)))
        });
        table(html, comparison, cell);
        differences(html, comparison, cell);
    });
    html.inside("section", "", |html| {
        if !comparison.is_sweep() {
            html.element("h2", "In pictures");
        }
        for figure in figures(comparison, cell) {
            html.inside("figure", "", |html| {
                html.inside("div", "scroll picture", |html| html.raw(&figure.svg));
                if !figure.reading.is_empty() {
                    html.element("figcaption", figure.reading);
                }
            });
        }
    });
}

/// Keeps numbers and their units on one line.
fn unbroken(text: &str) -> String {
    let mut before = ' ';
    text.chars()
        .map(|c| {
            let c = if c == ' ' && before.is_ascii_digit() { '\u{a0}' } else { c };
            before = c;
            c
        })
        .collect()
}

fn table(html: &mut Html, comparison: &Comparison, cell: &Cell) {
    html.inside("div", "scroll", |html| {
        html.inside("table", "", |html| {
            html.element("caption", &heading(comparison, cell));
            html.inside("thead", "", |html| {
                html.inside("tr", "", |html| {
                    COLUMNS.iter().for_each(|(header, _)| {
                        html.raw(&format!("<th scope=\"col\">{}</th>", html::escape(header)))
                    });
                });
            });
            html.inside("tbody", "", |html| {
                for row in rows(cell) {
                    html.inside("tr", "", |html| {
                        html.raw(&format!("<th scope=\"row\">{}</th>", html::escape(&row.name)));
                        match &row.columns {
                            Ok(columns) => columns.iter().for_each(|(text, tone)| {
                                let class = match tone {
                                    Tone::Plain => "",
                                    Tone::Good => "good",
                                    Tone::Bad => "bad",
                                };
                                html.inside("td", class, |html| html.text(text));
                            }),
                            Err(reason) => {
                                let span = COLUMNS.len() - 1;
                                html.raw(&format!(
                                    "<td class=\"reason\" colspan=\"{span}\">{}</td>",
                                    html::escape(reason)
                                ));
                            }
                        }
                    });
                }
            });
        });
    });
    if let Some(note) = schedule_note(cell) {
        html.inside("p", "note", |html| html.text(&note));
    }
    html.inside("details", "", |html| {
        html.element("summary", "What the columns mean");
        html.inside("dl", "", |html| {
            for (header, meaning) in COLUMNS {
                html.element("dt", header);
                html.element("dd", meaning);
            }
        });
    });
}

/// A metric, its name on the page, and how to show its values.
type Compared = (&'static str, &'static str, fn(f64) -> String);

/// Figures whose differences from the baseline the page shows.
const COMPARED: [Compared; 5] = [
    ("edits_lost", "lost", human::count),
    ("visible_us_p50", "visible p50", human::duration),
    ("visible_us_p99", "visible p99", human::duration),
    ("bytes_wire_per_edit", "bytes/edit", human::bytes),
    ("energy_per_edit_uj", "energy/edit", human::energy),
];

/// The other strategies against the baseline, seed by seed.
fn differences(html: &mut Html, comparison: &Comparison, cell: &Cell) {
    let difference = |group: &crate::Group, metric: &str| {
        group.line(metric).and_then(|line| line.difference.clone())
    };
    let compared: Vec<_> = cell
        .strategies
        .iter()
        .filter(|g| COMPARED.iter().any(|(metric, _, _)| difference(g, metric).is_some()))
        .collect();
    if compared.is_empty() {
        return;
    }
    html.inside("details", "", |html| {
        html.element("summary", &format!("Differences from {}, seed by seed", comparison.info.baseline));
        html.inside("div", "scroll", |html| {
            html.inside("table", "differences", |html| {
                html.inside("thead", "", |html| {
                    html.inside("tr", "", |html| {
                        html.raw("<th scope=\"col\">strategy</th>");
                        COMPARED.iter().for_each(|(_, header, _)| {
                            html.raw(&format!("<th scope=\"col\">{}</th>", html::escape(header)));
                        });
                    });
                });
                html.inside("tbody", "", |html| {
                    for group in compared {
                        html.inside("tr", "", |html| {
                            html.raw(&format!("<th scope=\"row\">{}</th>", html::escape(&group.label())));
                            for (metric, _, show) in COMPARED {
                                html.inside("td", "", |html| match difference(group, metric) {
                                    Some(difference) => against(html, &difference, show),
                                    None => html.text("–"),
                                });
                            }
                        });
                    }
                });
            });
        });
        html.inside("p", "note", |html| {
            html.text(
                "Each cell: the mean difference on common seeds (for percentiles the median one), its 95 % interval, and the ratio of the means (medians). \
                 Faint: these seeds do not separate the two (sign-flip test, p > 0.05 after Holm's correction).",
            );
        });
    });
}

/// One difference, with sign and interval.
fn against(html: &mut Html, difference: &Difference, show: fn(f64) -> String) {
    let signed = |value: f64| match value {
        v if v > 0.0 => format!("+{}", show(v)),
        v if v < 0.0 => format!("−{}", show(-v)),
        _ => "0".to_owned(),
    };
    let class = if difference.p_holm > 0.05 { "unclear" } else { "" };
    html.inside("div", class, |html| {
        html.text(&signed(difference.estimate.value));
        if let Some(interval) = difference.estimate.interval {
            html.inside("small", "", |html| {
                html.text(&format!("{} … {}", signed(interval.low), signed(interval.high)));
            });
        }
        if let Some(ratio) = difference.ratio {
            html.inside("small", "", |html| html.text(&format!("× {}", human::count(ratio))));
        }
    });
}

/// The facts of one stretch of one trial.
fn stretch(html: &mut Html, episode: &[EpisodeRow]) {
    html.inside("section", "", |html| {
        html.element("h2", "One stretch, as it happened");
        html.inside("div", "scroll", |html| {
            html.inside("table", "episode", |html| {
                html.raw("<thead><tr><th>time</th><th>strategy</th><th>seed</th><th>device</th><th>fact</th><th>detail</th></tr></thead>\n");
                html.inside("tbody", "", |html| {
                    for row in episode.iter().take(EPISODE_ROWS) {
                        html.inside("tr", "", |html| {
                            let seed = row.seed.to_string();
                            for text in [&clock(row.at_us), &row.strategy, &seed, &row.device, &row.fact, &row.detail] {
                                html.element("td", text);
                            }
                        });
                    }
                });
            });
        });
        if episode.len() > EPISODE_ROWS {
            let rest = episode.len() - EPISODE_ROWS;
            html.inside("p", "note", |html| html.text(&format!("{rest} more facts are in episode.csv.")));
        }
    });
}

/// A moment of a trial: hours, minutes, seconds, milliseconds.
fn clock(at_us: u64) -> String {
    let (seconds, milliseconds) = (at_us / 1_000_000, at_us / 1_000 % 1_000);
    format!("{:02}:{:02}:{:02}.{milliseconds:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

fn world(html: &mut Html, comparison: &Comparison) {
    let info = comparison.info;
    html.inside("section", "", |html| {
        html.element("h2", "The world, and how to run it again");
        html.inside("pre", "command", |html| html.inside("code", "", |html| html.text(&info.command())));
        html.inside("p", "", |html| {
            html.text(
                "The same command gives the same bytes on any machine. Every strategy met the same people, edits, clocks and outages. \
                 All figures are in the CSV files beside this page.",
            );
        });
        html.inside("details", "", |html| {
            html.element("summary", "The scenario with every value");
            html.inside("div", "scroll", |html| html.inside("pre", "", |html| html.inside("code", "", |html| html.text(&info.scenario_toml))));
        });
    });
}

fn certainty(html: &mut Html, comparison: &Comparison) {
    let seeds = comparison.info.seeds.end.saturating_sub(comparison.info.seeds.start);
    html.inside("section", "", |html| {
        html.element("h2", "How sure is this?");
        html.inside("p", "", |html| {
            html.text(&format!(
                "One seed is one sample; here there are {seeds}. A run is deterministic, so intervals speak of the variation between seeds \
                 and not of noise. Strategies met the same seeds, and differences are taken seed by seed. Percentiles come from the \
                 merged distributions of all seeds. Intervals of means are bias-corrected and accelerated bootstrap intervals from 10,000 \
                 resamples; those of medians come from order statistics below {HONEST_SEEDS} seeds, and from the bootstrap above."
            ));
        });
        if seeds < HONEST_SEEDS as u64 {
            html.inside("p", "note", |html| {
                html.text(&format!(
                    "Below {HONEST_SEEDS} seeds the intervals of means undercover: they miss the truth more often than one time in twenty. \
                     For a decision that matters, run more seeds."
                ));
            });
        }
    });
}

fn limits(html: &mut Html) {
    html.inside("section", "", |html| {
        html.element("h2", "What this does not say");
        html.inside("ul", "", |html| {
            for limit in [
                "It is a simulation: networks, radios, batteries and people follow models whose constants are in the scenario above. Change \
                 one that you doubt, and see whether the outcome changes.",
                "A result belongs to a strategy under a schedule in this world. Another schedule or another world may turn it around.",
                "Processor time is counted work, not a measured library; energy is what synchronising adds to a device that is on anyway.",
            ] {
                html.element("li", limit);
            }
        });
    });
}
