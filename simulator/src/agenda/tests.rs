use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Agenda, Due, TimerId};

/// The plainest agenda that is right: a sorted map, and timers that are taken out to be moved.
#[derive(Default)]
struct Reference {
    sequence: u64,
    entries: BTreeMap<(u64, u64), Due<u64>>,
    timers: BTreeMap<TimerId, (u64, u64)>,
}

impl Reference {
    fn schedule(&mut self, at_ns: u64, event: u64) {
        self.sequence += 1;
        self.entries.insert((at_ns, self.sequence), Due::Event(event));
    }

    fn set_timer(&mut self, timer: TimerId, at_ns: u64) {
        self.clear_timer(timer);
        self.sequence += 1;
        self.timers.insert(timer, (at_ns, self.sequence));
        self.entries.insert((at_ns, self.sequence), Due::Timer(timer));
    }

    fn clear_timer(&mut self, timer: TimerId) {
        if let Some(rank) = self.timers.remove(&timer) {
            self.entries.remove(&rank);
        }
    }

    fn pop(&mut self) -> Option<(u64, Due<u64>)> {
        let ((at_ns, _), due) = self.entries.pop_first()?;
        if let Due::Timer(timer) = due {
            self.timers.remove(&timer);
        }
        Some((at_ns, due))
    }
}

/// An agenda and its reference, given the same calls and compared after each.
struct Pair {
    seed: u64,
    rng: ChaCha8Rng,
    timers: u32,
    agenda: Agenda<u64>,
    reference: Reference,
    events: u64,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let timers = rng.random_range(1..40);
        let agenda = Agenda::with_timers(timers);
        Self { seed, rng, timers, agenda, reference: Reference::default(), events: 0 }
    }

    fn schedule(&mut self, at_ns: u64) {
        self.events += 1;
        self.agenda.schedule(at_ns, self.events);
        self.reference.schedule(at_ns, self.events);
    }

    fn set_timer(&mut self, at_ns: u64) {
        let timer = self.any_timer();
        self.agenda.set_timer(timer, at_ns);
        self.reference.set_timer(timer, at_ns);
        assert_eq!(self.agenda.timer_ns(timer), Some(at_ns), "seed {}", self.seed);
    }

    fn clear_timer(&mut self) {
        let timer = self.any_timer();
        self.agenda.clear_timer(timer);
        self.reference.clear_timer(timer);
        assert_eq!(self.agenda.timer_ns(timer), None, "seed {}", self.seed);
    }

    fn any_timer(&mut self) -> TimerId {
        TimerId(self.rng.random_range(0..self.timers))
    }

    fn peek(&mut self) {
        let soonest = self.reference.entries.first_key_value().map(|(rank, _)| rank.0);
        assert_eq!(self.agenda.peek_ns(), soonest, "seed {}", self.seed);
    }

    fn pop(&mut self) {
        let before_ns = self.agenda.now_ns();
        let expected = self.reference.pop();
        assert_eq!(self.agenda.pop(), expected, "seed {}", self.seed);
        let now_ns = expected.map_or(before_ns, |(at_ns, _)| at_ns);
        assert_eq!(self.agenda.now_ns(), now_ns, "seed {}", self.seed);
        assert_eq!(self.agenda.len(), self.reference.entries.len(), "seed {}", self.seed);
        assert_eq!(self.agenda.is_empty(), self.reference.entries.is_empty(), "seed {}", self.seed);
    }

    fn drain(&mut self) {
        while !self.reference.entries.is_empty() {
            self.pop();
        }
        self.pop();
    }

    /// A time not before the present; what is too far ends at `u64::MAX`.
    fn later(&mut self, bits: u32) -> u64 {
        let delay_ns = self.rng.random::<u64>().checked_shr(u64::BITS - bits).unwrap_or(0);
        self.agenda.now_ns().saturating_add(delay_ns)
    }

    /// One random call, with delays of up to so many bits.
    fn step(&mut self, bits: u32) {
        let bits = self.rng.random_range(0..=bits);
        let at_ns = self.later(bits);
        match self.rng.random_range(0..12) {
            0..4 => self.schedule(at_ns),
            4..6 => self.set_timer(at_ns),
            6 => self.clear_timer(),
            7 => self.peek(),
            _ => self.pop(),
        }
    }
}

#[test]
fn random_calls_agree_with_a_sorted_map() {
    for seed in 0..200 {
        let mut pair = Pair::new(seed);
        // Few bits make many equal times, 64 reach the end of time at once.
        let bits = [1, 3, 8, 20, 34, 50, 64][seed as usize % 7];
        for _ in 0..20 {
            for _ in 0..200 {
                pair.step(bits);
            }
            if pair.rng.random_bool(0.3) {
                pair.drain();
            }
        }
        pair.drain();
    }
}

#[test]
fn bursts_agree_with_a_sorted_map() {
    for seed in 0..60 {
        let mut pair = Pair::new(seed);
        for _ in 0..10 {
            // A crowd at one instant or within a short while, near or far, in any order.
            let (distance, width) = (pair.rng.random_range(0..60), pair.rng.random_range(0..24));
            let start_ns = pair.later(distance);
            for _ in 0..pair.rng.random_range(1..600) {
                let offset_ns = pair.rng.random_range(0..1u64 << width) & !0xf;
                match pair.rng.random_bool(0.1) {
                    true => pair.set_timer(start_ns.saturating_add(offset_ns)),
                    false => pair.schedule(start_ns.saturating_add(offset_ns)),
                }
            }
            // Looking ahead must not hurt what comes in before that.
            pair.peek();
            for _ in 0..pair.rng.random_range(1..400) {
                let at_ns = pair.later(distance);
                pair.schedule(at_ns);
                if pair.rng.random_bool(0.02) {
                    pair.peek();
                }
            }
            for _ in 0..pair.rng.random_range(0..1500) {
                pair.step(width);
            }
        }
        pair.drain();
    }
}

#[test]
fn equal_times_are_first_in_first_out_and_a_timer_stands_where_it_was_last_set() {
    let mut agenda = Agenda::with_timers(4);
    let [moved_later, moved_earlier, set_twice, cleared] = [0, 1, 2, 3].map(TimerId);
    agenda.set_timer(moved_later, 50);
    agenda.set_timer(moved_earlier, 500);
    agenda.set_timer(set_twice, 100);
    agenda.set_timer(cleared, 100);
    agenda.schedule(100, String::from("a"));
    agenda.set_timer(moved_later, 100);
    agenda.schedule(100, String::from("b"));
    agenda.set_timer(moved_earlier, 100);
    agenda.schedule(60, String::from("soon"));
    agenda.schedule(100, String::from("c"));
    agenda.set_timer(set_twice, 100);
    agenda.clear_timer(cleared);
    agenda.schedule(100, String::from("d"));

    let event = |name: &str| Due::Event(String::from(name));
    assert_eq!(agenda.pop(), Some((60, event("soon"))));
    agenda.schedule(100, String::from("e"));
    let order: Vec<_> = std::iter::from_fn(|| agenda.pop()).collect();
    let expected = [
        event("a"),
        Due::Timer(moved_later),
        event("b"),
        Due::Timer(moved_earlier),
        event("c"),
        Due::Timer(set_twice),
        event("d"),
        event("e"),
    ];
    assert_eq!(order, expected.map(|due| (100, due)));
    assert!(agenda.is_empty());
}

#[test]
fn a_timer_that_fired_can_be_set_for_the_same_instant() {
    let mut agenda = Agenda::with_timers(1);
    agenda.set_timer(TimerId(0), 7);
    agenda.schedule(7, 'x');
    assert_eq!(agenda.pop(), Some((7, Due::Timer(TimerId(0)))));
    assert_eq!(agenda.timer_ns(TimerId(0)), None);
    agenda.set_timer(TimerId(0), 7);
    assert_eq!(agenda.pop(), Some((7, Due::Event('x'))));
    assert_eq!(agenda.pop(), Some((7, Due::Timer(TimerId(0)))));
    assert_eq!(agenda.pop(), None);
}

#[test]
fn the_end_of_time_is_a_time_like_any_other() {
    let mut agenda = Agenda::with_timers(1);
    for event in 0..300 {
        agenda.schedule(u64::MAX - 300 + event, event);
        agenda.schedule(u64::MAX, 300 + event);
    }
    agenda.set_timer(TimerId(0), u64::MAX);
    for event in 0..300 {
        assert_eq!(agenda.pop(), Some((u64::MAX - 300 + event, Due::Event(event))));
    }
    agenda.schedule(u64::MAX, 600);
    for event in 300..600 {
        assert_eq!(agenda.pop(), Some((u64::MAX, Due::Event(event))));
    }
    assert_eq!(agenda.pop(), Some((u64::MAX, Due::Timer(TimerId(0)))));
    assert_eq!(agenda.pop(), Some((u64::MAX, Due::Event(600))));
    assert_eq!(agenda.pop(), None);
    assert_eq!(agenda.now_ns(), u64::MAX);
}

/// With a cost that grows with the crowd at one instant, this would take minutes.
#[test]
fn a_crowd_at_one_instant_that_calls_the_next_one_is_cheap() {
    const CROWD: u64 = 200_000;
    let mut agenda = Agenda::new();
    (0..CROWD).for_each(|event| agenda.schedule(1_000_000, event));
    for event in 0..4 * CROWD {
        assert_eq!(agenda.pop(), Some((1_000_000, Due::Event(event))));
        agenda.schedule(1_000_000, event + CROWD);
    }
    assert_eq!(agenda.len() as u64, CROWD);
}

#[test]
fn timers_moved_earlier_forever_leave_little_behind() {
    let mut agenda = Agenda::<()>::with_timers(10);
    for turn in 0..100_000 {
        for timer in (0..10).map(TimerId) {
            agenda.set_timer(timer, 1_000_000_000_000 - turn);
        }
        assert!(agenda.timer_queue.len() <= 10 + 64 + 10 + 1, "turn {turn}");
    }
    // The same where each is due in between: far, near, due, far again.
    for turn in 1..100_000 {
        agenda.set_timer(TimerId(0), 2_000_000_000_000);
        agenda.set_timer(TimerId(0), turn);
        assert_eq!(agenda.pop(), Some((turn, Due::Timer(TimerId(0)))));
        assert!(agenda.timer_queue.len() <= 10 + 64 + 10 + 1, "turn {turn}");
    }
}

#[test]
fn moving_a_timer_later_or_clearing_it_adds_nothing_to_the_queue() {
    let mut agenda = Agenda::<()>::with_timers(1);
    for turn in 0..1000 {
        agenda.set_timer(TimerId(0), turn);
        if turn % 3 == 0 {
            agenda.clear_timer(TimerId(0));
        }
    }
    assert_eq!(agenda.timer_queue.len(), 1);
    agenda.clear_timer(TimerId(0));
    assert!(agenda.is_empty());
    assert_eq!(agenda.peek_ns(), None);
    assert_eq!(agenda.pop(), None);
}

#[test]
#[should_panic(expected = "nothing is scheduled before the present")]
fn the_past_is_refused() {
    let mut agenda = Agenda::new();
    agenda.schedule(10, ());
    agenda.pop();
    agenda.schedule(9, ());
}

#[test]
fn what_comes_soon_comes_in_that_order() {
    let mut agenda = Agenda::new();
    for event in 0..100_u64 {
        agenda.schedule(event * 7919 % 101, event);
    }
    let mut foreseen = 0;
    while agenda.peek_ns().is_some() {
        let soon: Vec<u64> = (0..40).map_while(|n| agenda.soon(n).copied()).collect();
        foreseen = foreseen.max(soon.len());
        assert!(!soon.is_empty(), "at least the next one is known");
        let came: Vec<_> = soon.iter().map(|_| agenda.pop().expect("it was foreseen").1).collect();
        assert_eq!(came, soon.into_iter().map(Due::Event).collect::<Vec<_>>());
    }
    assert!(foreseen > 1, "it looks ahead");
}
