//! The exchange: one side asks, the other answers.

use super::message::{Message, Wanted};
use super::{EMPTY, LEVELS, Page, Span, Tree, level};
use crate::contract::Malformed;
use crate::reconcile::Differences;

/// The asker's side of one exchange.
#[derive(Clone, Debug)]
pub struct Descent {
    round: u64,
    /// What is asked for, ascending; empty once it is done.
    open: Vec<Open>,
    found: Differences,
    pages: u64,
    hashes: u64,
}

/// An interval whose contents differ.
#[derive(Clone, Copy, Debug)]
struct Open {
    span: Span,
    /// The level of the node around it, which the peer's node should be below; 0 where every key was asked for.
    below: u8,
}

/// What to do after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every difference is known.
    Done,
    /// Send this question.
    Ask(Vec<u8>),
    /// Nothing that was asked for: a message doubled or delayed. Nothing is to be done.
    Stale,
}

impl Descent {
    /// Begins an exchange, with the question to send.
    pub fn start(tree: &Tree, visited: &mut u64) -> (Self, Vec<u8>) {
        let hash = tree.root_hash(visited);
        let below = if hash == EMPTY { 0 } else { LEVELS };
        let open = vec![Open { span: Span::ALL, below }];
        let found = Differences::default();
        let descent = Descent { round: 0, open, found, pages: 0, hashes: 0 };
        (descent, Message::Root { hash }.encode())
    }

    /// Nodes and lists received so far.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Hashes received so far.
    pub fn hashes(&self) -> u64 {
        self.hashes
    }

    /// What was found; complete once an answer made it [`Step::Done`].
    pub fn differences(&self) -> &Differences {
        &self.found
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// [`Malformed`] where the bytes are no answer, or one that does not fit the question; nothing has changed then.
    pub fn take(
        &mut self,
        tree: &Tree,
        bytes: &[u8],
        visited: &mut u64,
    ) -> Result<Step, Malformed> {
        *visited += 1 + bytes.len() as u64 / 64;
        let pages = match Message::decode(bytes)? {
            Message::Same if self.round == 0 && !self.open.is_empty() => {
                self.open.clear();
                return Ok(Step::Done);
            }
            Message::Pages { round, pages } if round == self.round && !self.open.is_empty() => {
                pages
            }
            Message::Same | Message::Pages { .. } => return Ok(Step::Stale),
            Message::Root { .. } | Message::Ask { .. } => {
                return Err(Malformed("a question where an answer is due"));
            }
        };
        if pages.len() != self.open.len() {
            return Err(Malformed("another number of pages than asked for"));
        }
        for (open, page) in self.open.iter().zip(&pages) {
            *visited += 1 + page.keys.len() as u64;
            open.check(page)?;
        }
        for (open, page) in std::mem::take(&mut self.open).into_iter().zip(&pages) {
            self.pages += 1;
            self.hashes += page.children.iter().filter(|child| **child != EMPTY).count() as u64;
            if open.below == 0 || page.keys.is_empty() {
                self.compare(tree.list(open.span, visited), &page.keys, visited);
            } else {
                self.descend(open, page, tree, visited);
            }
        }
        if self.open.is_empty() {
            self.found.only_mine.sort_unstable();
            self.found.only_theirs.sort_unstable();
            return Ok(Step::Done);
        }
        self.round += 1;
        let wanted = self.open.iter().map(|open| Wanted { span: open.span, list: open.below == 0 });
        Ok(Step::Ask(Message::Ask { round: self.round, wanted: wanted.collect() }.encode()))
    }

    /// Notes which keys of two ascending lists are in one of them only.
    fn compare(&mut self, mine: Vec<u128>, theirs: &[u128], visited: &mut u64) {
        *visited += (mine.len() + theirs.len()) as u64;
        let mut theirs = theirs.iter().copied().peekable();
        for key in mine {
            while let Some(missing) = theirs.next_if(|their| *their < key) {
                self.found.only_theirs.push(missing);
            }
            if theirs.next_if_eq(&key).is_none() {
                self.found.only_mine.push(key);
            }
        }
        self.found.only_theirs.extend(theirs);
    }

    /// Compares what lies around the keys of the peer's top node of an interval, and opens what differs.
    fn descend(&mut self, open: Open, page: &Page, tree: &Tree, visited: &mut u64) {
        for key in &page.keys {
            if !tree.contains(*key, visited) {
                self.found.only_theirs.push(*key);
            }
        }
        // The peer's tree may have grown since it was asked for less; what is below is then asked for at once.
        let level = level(page.keys[0]);
        let below = if level < open.below { level } else { 0 };
        for (gap, theirs) in page.gaps(open.span) {
            let Some(span) = gap else { continue };
            let mine = tree.hash(span, visited);
            if theirs == EMPTY && mine != EMPTY {
                self.found.only_mine.extend(tree.list(span, visited));
            } else if mine != theirs {
                let below = if mine == EMPTY { 0 } else { below };
                self.open.push(Open { span, below });
            }
        }
    }
}

impl Open {
    /// Whether a page can be the answer for this interval.
    fn check(self, page: &Page) -> Result<(), Malformed> {
        if !page.keys.iter().all(|key| self.span.contains(*key)) {
            return Err(Malformed("a key outside of what was asked for"));
        }
        if self.below == 0 {
            return match page.children.is_empty() {
                true => Ok(()),
                false => Err(Malformed("hashes in a list")),
            };
        }
        let Some(first) = page.keys.first() else {
            return Ok(());
        };
        let height = level(*first);
        if !page.keys.iter().all(|key| level(*key) == height) {
            return Err(Malformed("keys of several levels in one node"));
        }
        if height == 0 && !page.children.is_empty()
            || page.gaps(self.span).any(|(gap, child)| gap.is_none() && child != EMPTY)
        {
            return Err(Malformed("keys where none can be"));
        }
        Ok(())
    }
}

/// Answers a question from the own tree. Keeps nothing; its size follows what is asked for, at most the whole set.
///
/// # Errors
/// [`Malformed`] where the bytes are no question.
pub fn answer(tree: &Tree, question: &[u8], visited: &mut u64) -> Result<Vec<u8>, Malformed> {
    *visited += 1 + question.len() as u64 / 64;
    let (round, wanted) = match Message::decode(question)? {
        Message::Root { hash } if hash == tree.root_hash(visited) => {
            return Ok(Message::Same.encode());
        }
        Message::Root { hash } => (0, vec![Wanted { span: Span::ALL, list: hash == EMPTY }]),
        Message::Ask { round, wanted } => (round, wanted),
        Message::Same | Message::Pages { .. } => {
            return Err(Malformed("an answer where a question is due"));
        }
    };
    let pages = wanted.into_iter().map(|Wanted { span, list }| match list {
        true => Page { keys: tree.list(span, visited), children: Vec::new() },
        false => tree.page(span, visited),
    });
    let bytes = Message::Pages { round, pages: pages.collect() }.encode();
    *visited += bytes.len() as u64 / 64;
    Ok(bytes)
}
