//! The receiver's side of an exchange: peeling.

use super::walk::Walk;
use super::{Batch, Drift, Key, MAX_SYMBOLS, Sketch, Symbol, checksum};
use crate::contract::Malformed;
use crate::reconcile::Differences;
use std::collections::BTreeMap;

/// Decodes the difference between a peer's set, of which symbols arrive, and this replica's own.
///
/// Memory follows the bytes received. Symbols made by an adversary end in an error or in wrong differences, never in a loop: no key
/// is found twice, no more keys than symbols, none that contradicts the own set.
#[derive(Clone, Debug)]
pub struct Decoder {
    set_len: u64,
    /// Theirs minus mine, without the keys found.
    symbols: Vec<Symbol>,
    consumed: u32,
    done: bool,
    found: BTreeMap<Key, Found>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    /// 1 where the key is theirs, -1 where it is mine.
    sign: i64,
    check: u64,
    /// Stands at the key's first symbol that was not received yet.
    walk: Walk,
}

/// What to do after a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Every difference is known.
    Done,
    /// Ask for the symbols that follow the first `from`.
    More {
        /// Symbols received.
        from: u32,
    },
    /// Nothing that was asked for: a message doubled or delayed. Nothing is to be done.
    Stale,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Nothing received yet.
    pub fn new() -> Self {
        Decoder {
            set_len: 0,
            symbols: Vec::new(),
            consumed: 0,
            done: false,
            found: BTreeMap::new(),
        }
    }

    /// Symbols that arrived.
    pub fn received(&self) -> u32 {
        self.symbols.len() as u32
    }

    /// Symbols that were looked at: where it is done, the shortest beginning of the sequence that says everything.
    pub fn consumed(&self) -> u32 {
        self.consumed
    }

    /// Whether every difference is known.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What was found. Complete once a batch returned [`Progress::Done`]. Differences from the own set as it was when the exchange
    /// began: a key that came or went since is for the caller to look up.
    pub fn differences(&self) -> Differences {
        let mut differences = Differences::default();
        for (key, found) in &self.found {
            let list = match found.sign {
                1 => &mut differences.only_theirs,
                _ => &mut differences.only_mine,
            };
            list.push(*key);
        }
        differences
    }

    /// Takes a batch of the peer's symbols. `sketch` is the own set under the same seed, with `drift` since the exchange began.
    ///
    /// # Errors
    /// [`Malformed`] where the seed is not the sketch's, the peer's set changed its size in the middle, symbols contradict
    /// themselves or the own set, or all of [`MAX_SYMBOLS`] do not decode. The exchange is over then: drop the decoder.
    pub fn take(
        &mut self,
        batch: &Batch,
        sketch: &mut Sketch,
        drift: &Drift,
        visited: &mut u64,
    ) -> Result<Progress, Malformed> {
        let received = self.received();
        let end = batch.first as usize + batch.symbols.len();
        if batch.seed != sketch.seed() {
            return Err(Malformed("symbols under another seed"));
        }
        if end > MAX_SYMBOLS as usize {
            return Err(Malformed("set or sequence is too long"));
        }
        if self.done || batch.first > received || end <= received as usize {
            return Ok(Progress::Stale);
        }
        if received > 0 && batch.set_len != self.set_len {
            return Err(Malformed("symbols of another set"));
        }
        self.set_len = batch.set_len;
        let news = &batch.symbols[(received - batch.first) as usize..];
        self.append(news, end as u32, sketch, drift, visited);
        while self.consumed < end as u32 {
            self.consumed += 1;
            self.peel(self.consumed - 1, sketch, drift, visited)?;
            // Every key falls into symbol 0: where that is empty, nothing is left.
            if self.symbols[0].is_zero() {
                self.done = true;
                return Ok(Progress::Done);
            }
        }
        match end as u32 {
            MAX_SYMBOLS => Err(Malformed("more differences than symbols can tell")),
            from => Ok(Progress::More { from }),
        }
    }

    /// Adds symbols up to number `end`, less the own set and the keys found.
    fn append(
        &mut self,
        news: &[Symbol],
        end: u32,
        sketch: &mut Sketch,
        drift: &Drift,
        visited: &mut u64,
    ) {
        let received = self.received();
        let mine = &sketch.symbols(end, visited)[received as usize..];
        self.symbols.extend(news.iter().zip(mine).map(|(theirs, mine)| theirs.minus(*mine)));
        *visited += (news.len() + self.found.len()) as u64;
        let news = &mut self.symbols[received as usize..];
        drift.undo(sketch.seed(), received, news, 1, visited);
        for (key, Found { sign, check, walk }) in &mut self.found {
            while walk.index < end {
                self.symbols[walk.index as usize].toggle(*key, *check, -*sign);
                *visited += 1;
                walk.step();
            }
        }
    }

    /// Finds every key that symbol `at` gives away, itself or through others before it.
    fn peel(
        &mut self,
        at: u32,
        sketch: &Sketch,
        drift: &Drift,
        visited: &mut u64,
    ) -> Result<(), Malformed> {
        let mut candidates = vec![at];
        while let Some(at) = candidates.pop() {
            let Symbol { count: sign, sum: key, check } = self.symbols[at as usize];
            *visited += 1;
            if sign != 1 && sign != -1 || checksum(sketch.seed(), key) != check {
                continue;
            }
            let known = self.found.contains_key(&key) || self.found.len() >= self.consumed as usize;
            if known || drift.held(sketch, key) == (sign == 1) {
                return Err(Malformed("symbols contradict themselves or the set"));
            }
            let mut walk = Walk::begin(check);
            while walk.index < self.received() {
                let symbol = &mut self.symbols[walk.index as usize];
                symbol.toggle(key, check, -sign);
                *visited += 1;
                // Symbols beyond the consumed ones are looked at when their turn comes.
                if walk.index < self.consumed && matches!(symbol.count, 1 | -1) {
                    candidates.push(walk.index);
                }
                walk.step();
            }
            if !self.symbols[at as usize].is_zero() {
                return Err(Malformed("a symbol holds a key that does not belong there"));
            }
            self.found.insert(key, Found { sign, check, walk });
        }
        Ok(())
    }
}
