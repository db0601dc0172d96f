//! The two workloads every event queue is measured with, and the loops that run them on the agenda.
//!
//! W1 is PHOLD (R. Fujimoto, "Performance of Time Warp under synthetic workloads", 1990): events
//! that each cause one more at a random process. W2 is a network of nodes that pass 64-byte
//! messages on and keep an idle timer that nearly every delivery moves. All draws and digests are
//! part of the model, so every queue that keeps the order must arrive at the same digest. Time is
//! in ticks of 1 ns. The logarithm is made of IEEE additions, multiplications and divisions only:
//! the digests hold on every platform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use reconverge_simulator::agenda::{Agenda, Due, TimerId};

/// Initial events of each process of W1.
pub const EVENTS_EACH: u64 = 16;
/// After this long without a delivery a node of W2 is idle, in ns.
pub const IDLE_NS: u64 = 20_000_000;

const UNIT_NS: u64 = 1_000_000_000;
const LOOKAHEAD_NS: u64 = UNIT_NS / 10;
const LATENCY_LEAST_NS: u64 = 1_000_000;
const LATENCY_SPAN_NS: u64 = 9_000_000;

/// Last instant of W1 with `n` processes: about 10 M / `divisor` events.
pub fn w1_end_ns(n: u32, divisor: u64) -> u64 {
    11_000_000 * UNIT_NS / (EVENTS_EACH * u64::from(n)) / divisor
}

/// Last instant of W2 with `n` nodes: about 2 M / `divisor` deliveries.
pub fn w2_end_ns(n: u32, divisor: u64) -> u64 {
    11_000_000_000_000 / u64::from(n) / divisor
}

/// What a run came to; equal for all queues that keep the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Events of W1, deliveries of W2.
    pub events: u64,
    /// Sum of the digests by process or node, each times its place among the odd numbers.
    pub digest: u64,
}

/// A run with a known answer.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Processes or nodes.
    pub n: u32,
    /// The horizon is divided by this.
    pub divisor: u64,
    /// The answer.
    pub outcome: Outcome,
}

const fn case(n: u32, divisor: u64, events: u64, digest: u64) -> Case {
    Case { n, divisor, outcome: Outcome { events, digest } }
}

/// W1 as it is measured.
pub const W1: [Case; 2] = [
    case(1024, 1, 9_995_473, 0x8d1a_59a4_908a_b0f8),
    case(16384, 1, 9_976_144, 0xf894_23e9_550d_27c7),
];
/// W1 with a tenth of the horizon.
pub const W1_SHORT: [Case; 2] = [
    case(1024, 10, 998_653, 0xff90_d081_a439_3ec6),
    case(16384, 10, 977_581, 0x1111_aef3_df9a_81e3),
];
/// W2 as it is measured.
pub const W2: [Case; 2] =
    [case(16, 1, 2_000_923, 0xef46_581b_50c2_b9d0), case(256, 1, 2_000_442, 0x16d9_3529_7cbd_5d96)];

fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
}

fn next_token(token: u64) -> u64 {
    token.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407)
}

/// Natural logarithm of a number in (0, 1]: the odd series of (m-1)/(m+1) to the 15th power.
#[inline]
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let mut series = 1.0 / 15.0;
    for odd in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * z + 1.0 / odd;
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * s * series
}

#[inline]
fn exponential_ns(draw: u64) -> u64 {
    let uniform = ((draw >> 11) + 1) as f64 * (1.0 / (1u64 << 53) as f64);
    (-ln(uniform) * UNIT_NS as f64) as u64
}

#[inline]
fn below(draw: u64, n: u32) -> u32 {
    (((draw >> 32) * u64::from(n)) >> 32) as u32
}

/// The generator of process or node `i`.
pub fn stream(i: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(0x5EED_0001);
    rng.set_stream(u64::from(i));
    rng
}

/// The delay before an event of W1: exponential with mean 1 s, after 0.1 s.
#[inline]
pub fn delay_ns(rng: &mut ChaCha8Rng) -> u64 {
    LOOKAHEAD_NS + exponential_ns(rng.next_u64())
}

/// A process of W1.
#[derive(Clone, Debug)]
pub struct Process {
    digest: u64,
    events: u64,
    rng: ChaCha8Rng,
}

impl Process {
    /// Process `i`.
    pub fn new(i: u32) -> Self {
        Self { digest: 0, events: 0, rng: stream(i) }
    }

    /// When the next initial event of this process is due.
    pub fn start_ns(&mut self) -> u64 {
        delay_ns(&mut self.rng)
    }

    /// The token of initial event `j` of process `i`.
    pub fn first_token(i: u32, j: u64) -> u64 {
        u64::from(i) * EVENTS_EACH + j + 1
    }

    /// Brings its state into the cache: reading it early is a prefetch in safe code.
    #[inline(always)]
    pub fn fetch(&self) {
        std::hint::black_box(self.clone());
    }

    /// Handles one event; the next one's delay in ns, process and token.
    #[inline(always)]
    pub fn handle(&mut self, n: u32, now_ns: u64, token: u64) -> (u64, u32, u64) {
        self.digest = mix(self.digest, now_ns ^ token);
        self.events += 1;
        let to = below(self.rng.next_u64(), n);
        (delay_ns(&mut self.rng), to, next_token(token))
    }
}

/// A message of W2.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// Drives the next message.
    pub token: u64,
    /// Fills 64 bytes.
    pub words: [u64; 7],
}

impl Message {
    #[inline(always)]
    fn new(token: u64) -> Self {
        Self { token, words: std::array::from_fn(|i| token.wrapping_add(i as u64)) }
    }
}

/// A node of W2; its idle timer is the business of the loop around it.
#[derive(Clone, Debug)]
pub struct Node {
    digest: u64,
    deliveries: u64,
    rng: ChaCha8Rng,
}

impl Node {
    /// Node `i`.
    pub fn new(i: u32) -> Self {
        Self { digest: 0, deliveries: 0, rng: stream(i) }
    }

    /// The first message of node `i`: latency in ns, destination, message. Then its timer is set.
    pub fn start(&mut self, i: u32, n: u32) -> (u64, u32, Message) {
        self.send(i, n, u64::from(i) + 1)
    }

    /// Takes a message and passes the next one on. Before that is sent, the timer is moved.
    #[inline(always)]
    pub fn deliver(
        &mut self,
        i: u32,
        n: u32,
        now_ns: u64,
        message: &Message,
    ) -> (u64, u32, Message) {
        self.digest = mix(self.digest, now_ns ^ message.token ^ message.words[6]);
        self.deliveries += 1;
        self.send(i, n, next_token(message.token))
    }

    /// The idle timer has fired; it is set again.
    #[inline(always)]
    pub fn idle(&mut self, now_ns: u64) {
        self.digest = mix(self.digest, now_ns ^ 0x7157);
    }

    #[inline(always)]
    fn send(&mut self, i: u32, n: u32, token: u64) -> (u64, u32, Message) {
        let to = (i + 1 + below(self.rng.next_u64(), n - 1)) % n;
        let latency_ns = LATENCY_LEAST_NS + (((self.rng.next_u64() >> 32) * LATENCY_SPAN_NS) >> 32);
        (latency_ns, to, Message::new(token))
    }
}

fn outcome(parts: impl Iterator<Item = (u64, u64)>) -> Outcome {
    let mut outcome = Outcome { events: 0, digest: 0 };
    for ((events, digest), odd) in parts.zip((1u64..).step_by(2)) {
        outcome.events += events;
        outcome.digest = outcome.digest.wrapping_add(digest.wrapping_mul(odd));
    }
    outcome
}

/// What a run of W1 came to.
pub fn w1_outcome(processes: &[Process]) -> Outcome {
    outcome(processes.iter().map(|process| (process.events, process.digest)))
}

/// What a run of W2 came to.
pub fn w2_outcome<'a>(nodes: impl Iterator<Item = &'a Node>) -> Outcome {
    outcome(nodes.map(|node| (node.deliveries, node.digest)))
}

/// The processes of W1.
pub fn processes(n: u32) -> Vec<Process> {
    (0..n).map(Process::new).collect()
}

/// The nodes of W2.
pub fn nodes(n: u32) -> Vec<Node> {
    (0..n).map(Node::new).collect()
}

struct Hop {
    to: u32,
    token: u64,
}

/// Runs W1 on the agenda.
pub fn w1_agenda(processes: &mut [Process], end_ns: u64) {
    let n = processes.len() as u32;
    let mut agenda = Agenda::new();
    for (to, process) in (0..n).zip(&mut *processes) {
        for j in 0..EVENTS_EACH {
            agenda.schedule(process.start_ns(), Hop { to, token: Process::first_token(to, j) });
        }
    }
    while let Some((now_ns, Due::Event(hop))) = agenda.pop() {
        if now_ns > end_ns {
            break;
        }
        if let Some(soon) = agenda.soon(2) {
            processes[soon.to as usize].fetch();
        }
        let (delay_ns, to, token) = processes[hop.to as usize].handle(n, now_ns, hop.token);
        agenda.schedule(now_ns + delay_ns, Hop { to, token });
    }
}

struct Delivery {
    to: u32,
    message: Message,
}

/// Runs W2 on the agenda: node i has timer i.
pub fn w2_agenda(nodes: &mut [Node], end_ns: u64) {
    let n = nodes.len() as u32;
    let mut agenda = Agenda::with_timers(n);
    for (i, node) in (0..n).zip(&mut *nodes) {
        let (latency_ns, to, message) = node.start(i, n);
        agenda.schedule(latency_ns, Delivery { to, message });
        agenda.set_timer(TimerId(i), IDLE_NS);
    }
    while let Some((now_ns, due)) = agenda.pop() {
        if now_ns > end_ns {
            break;
        }
        match due {
            Due::Event(Delivery { to: i, message }) => {
                let (latency_ns, to, message) = nodes[i as usize].deliver(i, n, now_ns, &message);
                agenda.set_timer(TimerId(i), now_ns + IDLE_NS);
                agenda.schedule(now_ns + latency_ns, Delivery { to, message });
            }
            Due::Timer(timer) => {
                nodes[timer.0 as usize].idle(now_ns);
                agenda.set_timer(timer, now_ns + IDLE_NS);
            }
        }
    }
}
