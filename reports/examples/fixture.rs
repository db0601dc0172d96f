//! Writes the files of an invented run, to look at: `cargo run -p reconverge-reports --example fixture -- FOLDER [SEEDS]`.

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use std::path::Path;

use reconverge_reports::{Colour, Comparison, terminal, write_comparison};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("which folder?")?;
    let seeds = arguments.next().map_or(Ok(10), |seeds| seeds.parse())?;
    let (info, results, episode) = fixture::run_with_unsupported(seeds);
    let broken =
        ["lww/hlc: edits_lost must be at most 0; broken in 10 of 10 trials, worst 20 at seed 4"
            .to_owned()];
    let comparison = Comparison::new(&info, &results);
    let written = write_comparison(Path::new(&folder), &comparison, &episode, &broken)?;
    print!("{}", terminal(&comparison, &broken, Colour::Plain));
    println!("{}", written.display());
    Ok(())
}
