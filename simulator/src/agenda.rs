//! The agenda: what happens next in virtual time.
//!
//! Everything due is taken in the order (time, sequence), where the sequence counts the calls of
//! [`Agenda::schedule`] and [`Agenda::set_timer`]: at equal times, what was asked for first comes
//! first. Time is u64 nanoseconds over its full range.
//!
//! Two ideas make it fast. A hierarchical wheel sorts only the few entries about to be taken (see
//! `wheel`). And a timer that is moved later costs a write to its table row: its entry in the wheel
//! stays where it is and moves on when it comes up early.

#[cfg(test)]
mod tests;
mod wheel;

use wheel::{Rank, Wheel};

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
/// Events are moved a few times between blocks of memory: a few words are best. Times before the
/// present and timers it was not made with are bugs of the caller, and panic.
#[derive(Debug)]
pub struct Agenda<E> {
    now_ns: u64,
    /// Calls of `schedule` and `set_timer` so far.
    sequence: u64,
    events: Wheel<E>,
    timers: Vec<Timer>,
    /// Entries name a timer; its row says what they are worth.
    timer_queue: Wheel<TimerId>,
    /// Timers that are set.
    armed: usize,
    /// Entries of `timer_queue` that no timer owns any more, because it was moved earlier.
    orphans: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Timer {
    /// When it is due, if it is set.
    due: Option<Rank>,
    /// Its entry in the queue, never later than `due`; can outlive a cleared timer.
    queued: Option<Rank>,
}

/// Which of the two wheels is next.
enum Next {
    Event,
    Timer,
}

impl<E> Agenda<E> {
    /// An empty agenda at time 0, without timers.
    pub fn new() -> Self {
        Self::with_timers(0)
    }

    /// An empty agenda at time 0 with the timers `0..timers`, none of them set.
    pub fn with_timers(timers: u32) -> Self {
        Self {
            now_ns: 0,
            sequence: 0,
            events: Wheel::new(),
            timers: vec![Timer::default(); timers as usize],
            timer_queue: Wheel::new(),
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
        let rank = self.rank(at_ns);
        self.events.push(rank, event);
    }

    /// Sets a timer to `at_ns`, which must not lie before [`now_ns`](Self::now_ns), wherever it
    /// stood before. Among equal times its place is that of this call.
    ///
    /// Moving a timer later, or setting one again that was cleared, mostly writes to its row only.
    #[inline]
    pub fn set_timer(&mut self, timer: TimerId, at_ns: u64) {
        let rank = self.rank(at_ns);
        let row = &mut self.timers[timer.0 as usize];
        self.armed += usize::from(row.due.is_none());
        row.due = Some(rank);
        if row.queued.is_some_and(|queued| queued < rank) {
            return;
        }
        let orphaned = row.queued.replace(rank).is_some();
        self.timer_queue.push(rank, timer);
        if orphaned {
            self.orphans += 1;
            self.drop_orphans_if_many();
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
        self.timers[timer.0 as usize].due.map(|rank| rank.at_ns)
    }

    /// When the next event or timer is due. The clock stays.
    pub fn peek_ns(&mut self) -> Option<u64> {
        self.settle().map(|(rank, _)| rank.at_ns)
    }

    /// The event `n` places after the next one, where the agenda has looked that far ahead: a hint for fetching early what the event will
    /// need. Something scheduled meanwhile may still come before it.
    #[inline]
    pub fn soon(&self, n: usize) -> Option<&E> {
        self.events.after_first(n)
    }

    /// Takes what is due next, with its time in nanoseconds, and moves the clock there.
    #[inline]
    pub fn pop(&mut self) -> Option<(u64, Due<E>)> {
        let (rank, next) = self.settle()?;
        self.now_ns = rank.at_ns;
        let due = match next {
            Next::Event => Due::Event(self.events.take_first()),
            Next::Timer => {
                let timer = self.timer_queue.take_first();
                self.timers[timer.0 as usize] = Timer::default();
                self.armed -= 1;
                Due::Timer(timer)
            }
        };
        Some((rank.at_ns, due))
    }

    #[inline]
    fn rank(&mut self, at_ns: u64) -> Rank {
        assert!(at_ns >= self.now_ns, "nothing is scheduled before the present");
        self.sequence += 1;
        Rank { at_ns, sequence: self.sequence }
    }

    /// What is due next. Entries of timers that come up before are moved on or dropped.
    #[inline]
    fn settle(&mut self) -> Option<(Rank, Next)> {
        loop {
            match (self.events.first(), self.timer_queue.first()) {
                (Some((event, _)), None) => return Some((event, Next::Event)),
                (Some((event, _)), Some((timer, _))) if event < timer => {
                    return Some((event, Next::Event));
                }
                (_, Some((rank, &timer))) => {
                    if self.settle_timer(rank, timer) {
                        return Some((rank, Next::Timer));
                    }
                }
                (None, None) => {
                    // Entries that were worth nothing may have led past the present.
                    self.timer_queue.restart(self.now_ns);
                    self.events.restart(self.now_ns);
                    return None;
                }
            }
        }
    }

    /// Whether a timer is due at the first entry of the queue; otherwise moves it on or drops it.
    fn settle_timer(&mut self, first: Rank, timer: TimerId) -> bool {
        let row = &mut self.timers[timer.0 as usize];
        if row.due == Some(first) {
            return true;
        }
        self.timer_queue.take_first();
        if row.queued == Some(first) {
            row.queued = row.due;
            if let Some(due) = row.due {
                self.timer_queue.push(due, timer);
            }
        } else {
            self.orphans -= 1;
        }
        false
    }

    /// Keeps the memory of timers that are moved earlier again and again in proportion. Each sweep
    /// is paid for by the moves since the last one.
    fn drop_orphans_if_many(&mut self) {
        if self.orphans > 64 + self.timers.len() {
            let timers = &self.timers;
            self.timer_queue.retain(|rank, timer| timers[timer.0 as usize].queued == Some(rank));
            self.orphans = 0;
        }
    }
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self::new()
    }
}
