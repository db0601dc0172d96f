//! The end of the ledger: each asked edit goes into exactly one account, and what replicas reported is held against what they show.

use super::ledger::{EditRecord, Intent, Ledger, cells_of};
use crate::workload::{Token, TokenSource};
use reconverge_strategies::{Cell, Content, PartitionId, Rendering, Shown};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Number of edits in each account, and what else the final state says about edits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Never made: not possible.
    pub blocked: u64,
    /// Never made: no effect.
    pub void: u64,
    /// Effect in the final rendering.
    pub kept: u64,
    /// Part of an open conflict.
    pub surfaced: u64,
    /// Refused by an authority.
    pub refused: u64,
    /// Lost with an unsynced journal.
    pub crashed: u64,
    /// Exists only where it was made.
    pub stranded: u64,
    /// Overwritten by someone who had been shown it.
    pub superseded: u64,
    /// Dropped, and nobody who did so had been shown it.
    pub lost: u64,
    /// Deleted things that came back for no good reason.
    pub deletes_resurrected: u64,
    /// Additions missing in the sum.
    pub increments_lost: u64,
    /// Additions counted again.
    pub increments_doubled: u64,
    /// Characters that vanished.
    pub text_chars_lost: u64,
    /// Characters shown again.
    pub text_chars_doubled: u64,
    /// Runs broken up.
    pub text_runs_interleaved: u64,
    /// Answers to prompts.
    pub reactive: u64,
}

impl Accounts {
    /// All asked edits.
    pub fn asked(&self) -> u64 {
        self.blocked
            + self.void
            + self.kept
            + self.surfaced
            + self.refused
            + self.crashed
            + self.stranded
            + self.superseded
            + self.lost
    }
}

/// What became of one edit's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Surfaced,
    Refused,
    Crashed,
    Stranded,
    Superseded,
    Lost,
}

/// How a token is visible.
#[derive(Clone, Copy, Debug, Default)]
struct Visible {
    settled: bool,
    contested: bool,
}

/// The tokens that one rendering shows, sorted.
struct View<'r> {
    rendering: &'r Rendering,
    tokens: Vec<(Token, Visible)>,
    /// Whether each word of each edit in the ledger is shown, edit after edit.
    shows: Vec<bool>,
}

impl<'r> View<'r> {
    /// # Errors
    /// In words, where it shows what nobody wrote.
    fn new(ledger: &Ledger<'_>, rendering: &'r Rendering) -> Result<View<'r>, String> {
        let mut tokens = Vec::new();
        let mut buffer = Vec::new();
        for (cell, shown) in rendering.iter() {
            let contested = matches!(shown, Shown::Conflict(_));
            for content in shown.contents() {
                ledger.tokens(content, &mut buffer);
                let expected = match content {
                    Content::Register(value) => usize::from(value.is_some()),
                    Content::Counter(_) => 0,
                    Content::Set(elements) => elements.len(),
                    Content::Text(text) => written_words(ledger, text).count(),
                };
                if buffer.len() != expected {
                    return Err(format!("cell {cell} shows something that nobody wrote"));
                }
                let visible = Visible { settled: !contested, contested };
                tokens.extend(buffer.drain(..).map(|token| (token, visible)));
            }
        }
        tokens.sort_unstable_by_key(|(token, _)| *token);
        tokens.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1.settled |= later.1.settled;
                earlier.1.contested |= later.1.contested;
            }
            same
        });
        let mut view = View { rendering, tokens, shows: Vec::new() };
        for record in &ledger.edits {
            let words = (0..words(&record.intent)).map(|word| view.shows(token(record, word)));
            let words: Vec<bool> = words.collect();
            view.shows.extend(words);
        }
        Ok(view)
    }

    fn get(&self, token: Token) -> Visible {
        match self.tokens.binary_search_by_key(&token, |(token, _)| *token) {
            Ok(at) => self.tokens[at].1,
            Err(_) => Visible::default(),
        }
    }

    fn shows(&self, token: Token) -> bool {
        let visible = self.get(token);
        visible.settled || visible.contested
    }
}

/// Who took which token away, having seen it; refused and crashed edits took nothing.
struct Removers(BTreeMap<Token, Vec<u32>>);

impl Removers {
    fn new(ledger: &Ledger<'_>) -> Removers {
        let mut removers: BTreeMap<Token, Vec<u32>> = BTreeMap::new();
        for (index, record) in ledger.edits.iter().enumerate() {
            if ledger.counts(index as u32) {
                for token in &record.removes {
                    removers.entry(*token).or_default().push(index as u32);
                }
            }
        }
        Removers(removers)
    }

    fn of(&self, token: Token) -> &[u32] {
        self.0.get(&token).map_or(&[], |edits| edits)
    }
}

/// Closes the books: `renderings` are those of all replicas at the end. The accounts of each partition are taken from the replica that
/// stands for it.
///
/// # Errors
/// In words, where a replica's reports contradict what it shows.
pub fn close(ledger: &Ledger<'_>, renderings: &[Rendering]) -> Result<Accounts, String> {
    let mut accounts =
        Accounts { blocked: ledger.blocked, void: ledger.void, ..Accounts::default() };
    if let Some((seat, id)) = ledger.invented {
        return Err(format!("r{seat} reports edit {id}, which nobody made"));
    }
    if ledger.script.is_recorded() {
        // The content of a recorded session is compared as a whole, by whoever replays it.
        for edit in ledger.first..ledger.edits.len() as u32 {
            *if ledger.holding.holds(edit, reference(ledger, edit)) {
                &mut accounts.kept
            } else if ledger.crashed(edit) {
                &mut accounts.crashed
            } else {
                &mut accounts.stranded
            } += 1;
        }
        return Ok(accounts);
    }
    let removers = Removers::new(ledger);
    let read =
        |seat: usize| View::new(ledger, &renderings[seat]).map_err(|why| format!("r{seat}: {why}"));
    let whole = ledger.whole(renderings);
    let view = match &whole {
        Cow::Borrowed(_) => read(ledger.holders.reference(PartitionId(0)) as usize)?,
        Cow::Owned(parts) => View::new(ledger, parts)?,
    };
    for (seat, rendering) in renderings.iter().enumerate() {
        // Mostly all show the same, which then is read once.
        if *rendering == *whole {
            check_reports(ledger, &removers, &view, seat as u32)?;
        } else {
            check_reports(ledger, &removers, &read(seat)?, seat as u32)?;
        }
    }
    let closing = Closing { ledger, view, removers };
    for index in ledger.first..ledger.edits.len() as u32 {
        let fate = closing.fate(index, &mut accounts);
        if ledger.edits[index as usize].number.is_none() {
            accounts.reactive += 1;
            continue;
        }
        *match fate {
            Fate::Kept => &mut accounts.kept,
            Fate::Surfaced => &mut accounts.surfaced,
            Fate::Refused => &mut accounts.refused,
            Fate::Crashed => &mut accounts.crashed,
            Fate::Stranded => &mut accounts.stranded,
            Fate::Superseded => &mut accounts.superseded,
            Fate::Lost => &mut accounts.lost,
        } += 1;
    }
    closing.texts(&mut accounts);
    Ok(accounts)
}

/// The replica that the account of an edit is taken from.
fn reference(ledger: &Ledger<'_>, edit: u32) -> u32 {
    let record = ledger.edits[edit as usize].record;
    ledger.holders.reference(ledger.holders.seat().of(record))
}

/// How many tokens an edit inserts.
fn words(intent: &Intent) -> u32 {
    match intent {
        Intent::Put | Intent::Insert => 1,
        Intent::Splice { inserted, .. } => inserted.len() as u32,
        _ => 0,
    }
}

/// The words of a text that somebody wrote; space alone is nobody's.
fn written_words<'t>(ledger: &Ledger<'_>, text: &'t str) -> impl Iterator<Item = &'t str> {
    ledger.script.words(text).filter(|word| !word.trim().is_empty())
}

fn token(record: &EditRecord, word: u32) -> Token {
    let source = match record.number {
        Some(number) => TokenSource::Asked(number),
        None => TokenSource::Genesis(record.id.sequence as u32),
    };
    Token { source, word }
}

struct Closing<'a, 'l> {
    ledger: &'a Ledger<'l>,
    view: View<'a>,
    removers: Removers,
}

impl Closing<'_, '_> {
    /// The account of one edit. Each account has its own predicate; they are asked in order of precedence.
    fn fate(&self, index: u32, accounts: &mut Accounts) -> Fate {
        let record = &self.ledger.edits[index as usize];
        let (effect, knowing) = match &record.intent {
            Intent::Put => {
                let token = token(record, 0);
                (self.effect(token), self.removed(token) || self.put_over(index))
            }
            Intent::Insert => {
                let token = token(record, 0);
                (self.effect(token), self.removed(token))
            }
            Intent::Add(_) => self.add(index, accounts),
            Intent::Remove => (self.removal(index, false), false),
            Intent::Delete { adds } => {
                let back = adds.iter().any(|add| self.times(*add) > 0);
                let effect = self.removal(index, back);
                if effect == Some(Fate::Lost)
                    && self.ledger.counts(index)
                    && !self.kept_by_others(index)
                {
                    accounts.deletes_resurrected += 1;
                }
                (effect, false)
            }
            Intent::Splice { inserted, .. } => self.splice(index, inserted, accounts),
            Intent::Resolve { .. } => (Some(Fate::Kept), false),
        };
        match effect {
            Some(Fate::Lost) | None if record.refused => Fate::Refused,
            Some(Fate::Lost) | None if self.ledger.crashed(index) => Fate::Crashed,
            Some(Fate::Lost) | None if self.is_stranded(index) => Fate::Stranded,
            Some(fate) => fate,
            None if knowing => Fate::Superseded,
            None => Fate::Lost,
        }
    }

    fn effect(&self, token: Token) -> Option<Fate> {
        let visible = self.view.get(token);
        if visible.settled { Some(Fate::Kept) } else { visible.contested.then_some(Fate::Surfaced) }
    }

    /// A removal is kept when everything it was shown is gone, lost when something survives. A value that an answer keeps in name is gone where
    /// the removal did not know of the answer: that is what is shown now, as a put would be.
    fn removal(&self, index: u32, back: bool) -> Option<Fate> {
        let chosen = self.chosen_unawares(index);
        let removes = self.ledger.edits[index as usize].removes.iter();
        let removes = removes.filter(|token| !chosen.contains(token));
        let visible = removes.map(|token| self.view.get(*token));
        let (mut settled, mut contested) = (back, false);
        for one in visible {
            settled |= one.settled;
            contested |= one.contested;
        }
        Some(match (settled, contested) {
            (true, _) => Fate::Lost,
            (false, true) => Fate::Surfaced,
            (false, false) => Fate::Kept,
        })
    }

    /// Values of the record's registers that an answer keeps in name, where it is shown and the author of a removal did not know of it.
    fn chosen_unawares(&self, removal: u32) -> Vec<Token> {
        let ledger = self.ledger;
        let intent = |edit: &u32| &ledger.edits[*edit as usize].intent;
        let cells = ledger.by_cell.range(cells_of(ledger.edits[removal as usize].record));
        let registers = cells.filter(|(_, edits)| edits.iter().any(|e| *intent(e) == Intent::Put));
        let answers = registers.flat_map(|(_, edits)| edits).filter_map(|by| match intent(by) {
            Intent::Resolve { chosen } => Some((*by, chosen)),
            _ => None,
        });
        let unawares = answers.filter(|(by, _)| {
            let shown = || ledger.holding.shown(*by, reference(ledger, *by)) > 0;
            ledger.counts(*by) && !ledger.knew(removal, *by) && shown()
        });
        unawares.flat_map(|(_, chosen)| chosen).copied().collect()
    }

    fn removed(&self, token: Token) -> bool {
        !self.removers.of(token).is_empty()
    }

    /// Whether somebody who had been shown a put replaced it.
    fn put_over(&self, index: u32) -> bool {
        let cell = self.ledger.edits[index as usize].cell.expect("puts have a cell");
        self.ledger.by_cell[&cell].iter().any(|by| {
            let record = &self.ledger.edits[*by as usize];
            *by != index
                && self.ledger.counts(*by)
                && matches!(record.intent, Intent::Put | Intent::Resolve { .. })
                && self.ledger.knew(*by, index)
        })
    }

    /// How often an addition counts in the end.
    fn times(&self, addition: u32) -> u8 {
        let (ledger, seat) = (self.ledger, reference(self.ledger, addition));
        if ledger.replaced_unawares(addition, seat) {
            let cell = ledger.edits[addition as usize].cell.expect("adds have a cell");
            if !sums(ledger, cell, seat).is_shown(&self.view) {
                return 0;
            }
        }
        ledger.holding.shown(addition, seat)
    }

    fn add(&self, index: u32, accounts: &mut Accounts) -> (Option<Fate>, bool) {
        let record = &self.ledger.edits[index as usize];
        let cell = record.cell.expect("adds have a cell");
        let times = self.times(index);
        let deletes = |(by, record): (u32, &EditRecord)| match &record.intent {
            Intent::Delete { adds } => adds.contains(&index) && self.ledger.counts(by),
            _ => false,
        };
        let knowing = (0..).zip(&self.ledger.edits).any(deletes)
            || self.ledger.by_cell[&cell].iter().any(|by| {
                matches!(self.ledger.edits[*by as usize].intent, Intent::Resolve { .. })
                    && self.ledger.counts(*by)
                    && self.ledger.knew(*by, index)
            });
        if times == 0 {
            let pending = !self.ledger.counts(index) || self.is_stranded(index);
            accounts.increments_lost += u64::from(!knowing && !pending);
            return (None, knowing);
        }
        accounts.increments_doubled += u64::from(times) - 1;
        let contested = matches!(self.view.rendering.get(cell), Some(Shown::Conflict(_)));
        (Some(if contested { Fate::Surfaced } else { Fate::Kept }), knowing)
    }

    fn splice(
        &self,
        index: u32,
        inserted: &[u32],
        accounts: &mut Accounts,
    ) -> (Option<Fate>, bool) {
        let record = &self.ledger.edits[index as usize];
        let (mut kept, mut surfaced, mut missing) = (false, false, 0);
        for (word, chars) in inserted.iter().enumerate() {
            let token = token(record, word as u32);
            match self.effect(token) {
                Some(Fate::Kept) => kept = true,
                Some(_) => surfaced = true,
                None if !self.removed(token) => missing += u64::from(*chars),
                None => {}
            }
        }
        let survived = self.removal(index, false);
        if missing > 0 {
            if self.ledger.counts(index) && !self.is_stranded(index) {
                accounts.text_chars_lost += missing;
            }
            return (None, false);
        }
        if survived == Some(Fate::Lost) {
            return (survived, false);
        }
        if kept || inserted.is_empty() {
            (survived.filter(|fate| *fate == Fate::Surfaced).or(Some(Fate::Kept)), false)
        } else if surfaced || survived == Some(Fate::Surfaced) {
            (Some(Fate::Surfaced), false)
        } else {
            (None, true)
        }
    }

    /// It exists where it was made, and the reference neither holds it nor anything that replaced it.
    fn is_stranded(&self, index: u32) -> bool {
        let origin = self.ledger.edits[index as usize].id.origin.0;
        !self.ledger.holding.holds(index, reference(self.ledger, index))
            && self.ledger.holding.holds(index, origin)
    }

    /// Whether somebody who did not know of a delete, and whom the deleter did not know of, wrote to the record.
    fn kept_by_others(&self, index: u32) -> bool {
        let record = self.ledger.edits[index as usize].record;
        self.ledger.by_cell.range(cells_of(record)).flat_map(|(_, edits)| edits).any(|other| {
            *other >= self.ledger.first
                && self.ledger.counts(*other)
                && !self.ledger.knew(*other, index)
                && !self.ledger.knew(index, *other)
        })
    }

    /// Doubled characters and interleaved runs of every text.
    fn texts(&self, accounts: &mut Accounts) {
        let mut tokens = Vec::new();
        for (cell, shown) in self.view.rendering.iter() {
            let Shown::Settled(content @ Content::Text(text)) = shown else { continue };
            tokens.clear();
            self.ledger.tokens(content, &mut tokens);
            let words = written_words(self.ledger, text);
            let mut sorted: Vec<_> = tokens.iter().zip(words).collect();
            sorted.sort_unstable();
            for pair in sorted.windows(2) {
                if pair[0].0 == pair[1].0 {
                    accounts.text_chars_doubled += pair[1].1.chars().count() as u64;
                }
            }
            accounts.text_runs_interleaved += self.interleaved(cell, &tokens);
        }
    }

    /// Runs of a text that are broken up by a concurrent run anchored between the same shown neighbours.
    fn interleaved(&self, cell: Cell, tokens: &[Token]) -> u64 {
        struct Run {
            author: u32,
            first_edit: u32,
            ends: (Token, Token),
            anchors: (Option<Token>, Option<Token>),
            span: Option<(usize, usize)>,
        }
        let mut runs: Vec<Run> = Vec::new();
        let mut run_of: BTreeMap<TokenSource, usize> = BTreeMap::new();
        for index in self.ledger.by_cell.get(&cell).into_iter().flatten() {
            let record = &self.ledger.edits[*index as usize];
            let Intent::Splice { inserted, between } = &record.intent else { continue };
            if inserted.is_empty() || *index < self.ledger.first {
                continue;
            }
            let ends = (token(record, 0), token(record, inserted.len() as u32 - 1));
            let author = record.id.origin.0;
            let beside = runs.iter().position(|run| {
                run.author == author
                    && (between.0 == Some(run.ends.1) || between.1 == Some(run.ends.0))
            });
            let run = match beside {
                Some(run) => {
                    let after = between.0 == Some(runs[run].ends.1);
                    let (first, last) = &mut runs[run].ends;
                    if after {
                        *last = ends.1
                    } else {
                        *first = ends.0
                    }
                    run
                }
                None => {
                    let anchors = *between;
                    runs.push(Run { author, first_edit: *index, ends, anchors, span: None });
                    runs.len() - 1
                }
            };
            run_of.insert(ends.0.source, run);
        }
        for (at, token) in tokens.iter().enumerate() {
            if let Some(run) = run_of.get(&token.source) {
                let span = &mut runs[*run].span;
                *span = Some((span.map_or(at, |(first, _)| first), at));
            }
        }
        let broken = runs.iter().filter(|run| {
            let Some((first, last)) = run.span else { return false };
            tokens[first..=last].iter().any(|token| {
                run_of.get(&token.source).map(|other| &runs[*other]).is_some_and(|other| {
                    other.author != run.author
                        && other.anchors == run.anchors
                        && !self.ledger.knew(other.first_edit, run.first_edit)
                        && !self.ledger.knew(run.first_edit, other.first_edit)
                })
            })
        });
        broken.count() as u64
    }
}

/// Holds what a replica reported against what it shows.
fn check_reports(
    ledger: &Ledger<'_>,
    removers: &Removers,
    view: &View<'_>,
    seat: u32,
) -> Result<(), String> {
    // An answer may keep what it replaced in name: then the token stays visible under another edit.
    let chosen = |cell: Option<Cell>, token: Token| {
        cell.and_then(|cell| ledger.by_cell.get(&cell)).into_iter().flatten().any(|by| {
            ledger.holding.holds(*by, seat)
                && match &ledger.edits[*by as usize].intent {
                    Intent::Resolve { chosen } => chosen.contains(&token),
                    _ => false,
                }
        })
    };
    let taken_away =
        |token: Token| removers.of(token).iter().any(|by| ledger.holding.holds(*by, seat));
    let mut shows = view.shows.iter();
    for (index, record) in ledger.edits.iter().enumerate() {
        let reported = ledger.holding.shown(index as u32, seat) > 0;
        for word in 0..words(&record.intent) {
            let visible = *shows.next().expect("as many as there are words");
            if visible == reported {
                continue;
            }
            let token = token(record, word);
            if visible && !reported && !chosen(record.cell, token) {
                return Err(format!(
                    "r{seat} shows edit {} and never reported it, or reported it replaced",
                    record.id
                ));
            }
            let knowingly = record.intent != Intent::Put && taken_away(token);
            if reported && !visible && !knowingly && !ledger.replaced_unawares(index as u32, seat) {
                return Err(format!(
                    "r{seat} does not show edit {}, which by its reports it shows",
                    record.id
                ));
            }
        }
    }
    for cell in ledger.by_cell.keys() {
        let sums = sums(ledger, *cell, seat);
        if sums.adds && !sums.answered && !sums.is_shown(view) && !sums.is_shown_unawares(view) {
            let (shown, sum) = (shown_sum(view, *cell).unwrap_or(0), sums.reported);
            return Err(format!(
                "r{seat} shows {shown} in counter {cell}, and by its reports the sum is {sum}"
            ));
        }
    }
    Ok(())
}

/// What a counter comes to at a replica.
struct Sums {
    cell: Cell,
    /// Somebody added to it.
    adds: bool,
    /// Somebody answered a conflict about it: whoever did chose a sum, whatever had gone into it.
    answered: bool,
    /// By the replica's own reports.
    reported: i64,
    /// The same without what it has a successor of.
    without_replaced: i64,
}

impl Sums {
    fn is_shown(&self, view: &View<'_>) -> bool {
        shown_sum(view, self.cell).is_none_or(|shown| shown == self.reported)
    }

    fn is_shown_unawares(&self, view: &View<'_>) -> bool {
        shown_sum(view, self.cell).is_none_or(|shown| shown == self.without_replaced)
    }
}

fn sums(ledger: &Ledger<'_>, cell: Cell, seat: u32) -> Sums {
    let mut sums = Sums { cell, adds: false, answered: false, reported: 0, without_replaced: 0 };
    for edit in &ledger.by_cell[&cell] {
        match ledger.edits[*edit as usize].intent {
            Intent::Add(amount) => {
                sums.adds = true;
                let amount = amount.wrapping_mul(ledger.holding.shown(*edit, seat).into());
                sums.reported = sums.reported.wrapping_add(amount);
                if !ledger.replaced_unawares(*edit, seat) {
                    sums.without_replaced = sums.without_replaced.wrapping_add(amount);
                }
            }
            Intent::Resolve { .. } => sums.answered = true,
            _ => {}
        }
    }
    sums
}

/// What a counter shows; none where that is a conflict.
fn shown_sum(view: &View<'_>, cell: Cell) -> Option<i64> {
    match view.rendering.get(cell) {
        Some(Shown::Settled(Content::Counter(shown))) => Some(*shown),
        None => Some(0),
        Some(_) => None,
    }
}
