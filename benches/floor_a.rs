//! Floor A, the baseline of every comparison of event queues: the loop anyone would write by hand
//! on the standard binary heap, with messages inline and timers told stale by a generation number.
//!
//! Queue and loops are those our survey of simulation engines measured as `floor-A-binheap`,
//! taken over as they were. Adapted only: rand_chacha 0.10, the names of the shared model, `gen`
//! (a keyword since), set-up and clock moved to the caller, the unused prefetch left out.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::workloads::{EVENTS_EACH, IDLE_NS, Message, Node, Process};

struct Ent<E> {
    t: u64,
    seq: u64,
    e: E,
}
impl<E> PartialEq for Ent<E> {
    fn eq(&self, o: &Self) -> bool {
        self.t == o.t && self.seq == o.seq
    }
}
impl<E> Eq for Ent<E> {}
impl<E> PartialOrd for Ent<E> {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}
impl<E> Ord for Ent<E> {
    #[inline(always)]
    fn cmp(&self, o: &Self) -> Ordering {
        (o.t, o.seq).cmp(&(self.t, self.seq))
    }
}

/// The queue of floor A.
pub struct BinHeap<E> {
    h: BinaryHeap<Ent<E>>,
    seq: u64,
}
impl<E: Copy> BinHeap<E> {
    /// A queue with room for `cap` events.
    pub fn new(cap: usize) -> Self {
        BinHeap { h: BinaryHeap::with_capacity(cap), seq: 0 }
    }
    /// Adds an event.
    #[inline(always)]
    pub fn push(&mut self, t: u64, e: E) {
        self.seq += 1;
        self.h.push(Ent { t, seq: self.seq, e });
    }
    /// Takes the soonest event.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<(u64, E)> {
        self.h.pop().map(|x| (x.t, x.e))
    }
}

#[derive(Clone, Copy)]
struct E1 {
    dst: u32,
    token: u64,
}

/// Runs W1 on floor A.
pub fn w1(lps: &mut [Process], end: u64) {
    let n = lps.len() as u32;
    let mut q = BinHeap::new(n as usize * 16 + 16);
    for i in 0..n {
        for j in 0..EVENTS_EACH {
            let d = lps[i as usize].start_ns();
            q.push(d, E1 { dst: i, token: Process::first_token(i, j) });
        }
    }
    while let Some((now, e)) = q.pop() {
        if now > end {
            break;
        }
        let (d, dst, token) = lps[e.dst as usize].handle(n, now, e.token);
        q.push(now + d, E1 { dst, token });
    }
}

#[derive(Clone, Copy)]
struct E2 {
    dst: u32,
    generation: u32, // timer generation; 0 = message
    msg: Message,
}

/// Runs W2 on floor A: each node with the generation of its timer, at first 1. Timers are re-armed
/// by pushing a new event; stale ones are skipped when popped.
pub fn w2(ns: &mut [(Node, u32)], end: u64) {
    let n = ns.len() as u32;
    let mut q = BinHeap::new(n as usize * 8);
    let none = Message { token: 0, words: [0; 7] };
    for i in 0..n {
        let (l, p, m) = ns[i as usize].0.start(i, n);
        q.push(l, E2 { dst: p, generation: 0, msg: m });
        q.push(IDLE_NS, E2 { dst: i, generation: 1, msg: none });
    }
    while let Some((now, e)) = q.pop() {
        if now > end {
            break;
        }
        let (nd, generation) = &mut ns[e.dst as usize];
        if e.generation == 0 {
            let (l, p, m) = nd.deliver(e.dst, n, now, &e.msg);
            *generation += 1;
            q.push(now + IDLE_NS, E2 { dst: e.dst, generation: *generation, msg: none });
            q.push(now + l, E2 { dst: p, generation: 0, msg: m });
        } else if e.generation == *generation {
            nd.idle(now);
            *generation += 1;
            q.push(now + IDLE_NS, E2 { dst: e.dst, generation: *generation, msg: none });
        }
    }
}
