//! Plots. Every figure is a self-contained SVG without fonts of its own, drawn from whole pixels so that it has the same bytes
//! everywhere, and follows the reader's light or dark preference.

mod bars;
mod canvas;
mod divergence;
mod palette;
mod price;
mod visibility;

use crate::comparison::{Cell, Comparison};

pub use price::{PriceCurve, price_figure};

/// A plot of one cell.
pub struct Figure {
    /// Name of its file without the ending, unique in a run.
    pub file_stem: String,
    /// What it shows.
    pub title: &'static str,
    /// How to read it, in a sentence or two; empty where there is nothing to read.
    pub reading: &'static str,
    /// The picture.
    pub svg: String,
}

/// The figures of a cell. Where something is swept, their names end in the number of the cell in the order of the table.
pub fn figures(comparison: &Comparison, cell: &Cell) -> Vec<Figure> {
    let position = comparison.cells.iter().position(|other| other.name == cell.name).unwrap_or(0);
    let ending = if comparison.is_sweep() { format!("-{position}") } else { String::new() };
    [
        visibility::draw(cell),
        bars::edits(cell),
        bars::bytes(cell),
        bars::energy(cell),
        divergence::draw(cell),
    ]
    .into_iter()
    .map(|figure| Figure { file_stem: figure.file_stem + &ending, ..figure })
    .collect()
}
