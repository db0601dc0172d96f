//! The agenda: what happens next in virtual time.
//!
//! Everything due is taken in the order (time, sequence), where the sequence counts the calls of
//! [`Agenda::schedule`] and [`Agenda::set_timer`]: at equal times, what was asked for first comes
//! first. Time is u64 nanoseconds over its full range.
//!
//! Two ideas make it fast. A hierarchical wheel sorts only the few keys about to be taken (see
//! `wheel`), and a key is 16 bytes: the event itself is written once into a slab whose most
//! recently freed place is used again first. A timer that is moved later costs a write to its
//! table row: its old key stays where it is and moves on when it comes up early.

mod slab;
#[cfg(test)]
mod tests;
mod wheel;

use slab::Slab;
use wheel::{Key, Wheel};

/// Names one of the timers an [`Agenda`] was made with: they count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId(pub u32);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due<E> {
    /// A scheduled event.
    Event(E),
    /// This timer, which is no longer set.
    Timer(TimerId),
}

/// The queue of everything still to happen, and the virtual clock it drives.
///
/// One agenda holds at most 2^24 timers and pending events together, and numbers at most 2^40
/// calls of [`schedule`](Self::schedule) and [`set_timer`](Self::set_timer); more panics.
#[derive(Debug)]
pub struct Agenda<E> {
    now_ns: u64,
    /// Calls of `schedule` and `set_timer` so far.
    sequence: u64,
    wheel: Wheel,
    /// The places below `timers.len()` in keys are timers, the others are events.
    timers: Vec<Timer>,
    events: Slab<E>,
    /// Timers that are set.
    armed: usize,
    /// Keys in the wheel that no timer owns any more, because it was moved earlier.
    orphans: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Timer {
    /// When it is due, if it is set.
    due: Option<Key>,
    /// Its key in the wheel, never later than `due`; can outlive a cleared timer.
    queued: Option<Key>,
}

impl<E> Agenda<E> {
    /// An empty agenda at time 0, without timers.
    pub fn new() -> Self {
        Self::with_timers(0)
    }

    /// An empty agenda at time 0 with the timers `0..timers`, none of them set.
    pub fn with_timers(timers: u32) -> Self {
        assert!(timers <= Key::PLACES, "an agenda has at most 2^24 timers");
        Self {
            now_ns: 0,
            sequence: 0,
            wheel: Wheel::new(),
            timers: vec![Timer::default(); timers as usize],
            events: Slab::new(),
            armed: 0,
            orphans: 0,
        }
    }

    /// Virtual time in nanoseconds: when the event or timer taken last was due, at first 0.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// How many events and set timers are still to come.
    pub fn len(&self) -> usize {
        self.events.len() + self.armed
    }

    /// Whether nothing is to come.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an event at `at_ns`, which must not lie before [`now_ns`](Self::now_ns).
    #[inline]
    pub fn schedule(&mut self, at_ns: u64, event: E) {
        let place = self.timers.len() as u32 + self.events.insert(event);
        assert!(place < Key::PLACES, "at most 2^24 timers and events are pending");
        let key = self.key(at_ns, place);
        self.wheel.push(key);
    }

    /// Sets a timer to `at_ns`, which must not lie before [`now_ns`](Self::now_ns), wherever it
    /// stood before. Among equal times its place is that of this call.
    ///
    /// Moving a timer later, or setting one again that was cleared, only writes to its row.
    #[inline]
    pub fn set_timer(&mut self, timer: TimerId, at_ns: u64) {
        let key = self.key(at_ns, timer.0);
        let row = &mut self.timers[timer.0 as usize];
        self.armed += usize::from(row.due.is_none());
        row.due = Some(key);
        match row.queued {
            Some(queued) if queued < key => {}
            queued => {
                row.queued = Some(key);
                self.wheel.push(key);
                if queued.is_some() {
                    self.orphans += 1;
                    self.drop_orphans_if_many();
                }
            }
        }
    }

    /// Clears a timer; one that is not set stays so.
    #[inline]
    pub fn clear_timer(&mut self, timer: TimerId) {
        let due = self.timers[timer.0 as usize].due.take();
        self.armed -= usize::from(due.is_some());
    }

    /// When a timer is due, if it is set.
    pub fn timer_ns(&self, timer: TimerId) -> Option<u64> {
        self.timers[timer.0 as usize].due.map(|key| key.at_ns)
    }

    /// When the next event or timer is due. The clock stays.
    pub fn peek_ns(&mut self) -> Option<u64> {
        self.settle().map(|key| key.at_ns)
    }

    /// Takes what is due next, with its time in nanoseconds, and moves the clock there.
    #[inline]
    pub fn pop(&mut self) -> Option<(u64, Due<E>)> {
        let key = self.settle()?;
        self.wheel.pop_first();
        self.now_ns = key.at_ns;
        let due = match self.timers.get_mut(key.place() as usize) {
            Some(row) => {
                *row = Timer::default();
                self.armed -= 1;
                Due::Timer(TimerId(key.place()))
            }
            None => Due::Event(self.events.remove(key.place() - self.timers.len() as u32)),
        };
        Some((key.at_ns, due))
    }

    #[inline]
    fn key(&mut self, at_ns: u64, place: u32) -> Key {
        assert!(at_ns >= self.now_ns, "nothing is scheduled before the present");
        self.sequence += 1;
        Key::new(at_ns, self.sequence, place)
    }

    /// Brings the key of what is really due next to the front of the wheel.
    #[inline]
    fn settle(&mut self) -> Option<Key> {
        loop {
            let Some(key) = self.wheel.first() else {
                // Keys without an owner may have led the wheel past the present.
                self.wheel.restart(self.now_ns);
                return None;
            };
            let Some(row) = self.timers.get_mut(key.place() as usize) else { return Some(key) };
            if row.due == Some(key) {
                return Some(key);
            }
            self.wheel.pop_first();
            if row.queued == Some(key) {
                row.queued = row.due;
                if let Some(due) = row.due {
                    self.wheel.push(due);
                }
            } else {
                self.orphans -= 1;
            }
        }
    }

    /// Keeps the memory of timers that are moved earlier again and again in proportion. Each sweep
    /// is paid for by the moves since the last one.
    fn drop_orphans_if_many(&mut self) {
        if self.orphans > 64 + self.timers.len() + self.events.len() {
            let timers = &self.timers;
            self.wheel.retain(|key| {
                timers.get(key.place() as usize).is_none_or(|row| row.queued == Some(key))
            });
            self.orphans = 0;
        }
    }
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self::new()
    }
}
