//! Links, and what a message costs in time, bytes and radio energy on its way.
//!
//! A message crosses the access link of its sender and that of its receiver; the core between them is free and instant. Each link has a
//! rate with a first-in-first-out queue in each direction, a fixed and a variable one-way delay, and loss. Over sessions, loss costs
//! time and repeated bytes; over datagrams, the message. Congestion control is not modelled.
//!
//! The fate of a packet is a stateless hash of (seed, link, direction, tick, n-th at that tick) under the weather of that moment, so that
//! a chatty strategy meets the same storm as a quiet one. A packet that is sent again meets the weather of its new moment.
//!
//! A link is asked about a message when the message reaches it, never earlier: what is late for one device holds up nobody else.

use crate::device::radio::{Direction, Radio};
use crate::plan::Stretches;
use crate::streams::{Streams, duration_ns, happens, mix};
use reconverge_scenarios::{Encryption, Link, Loss, Transport, TransportKind};

/// IPv4 (RFC 791) and TCP with timestamps (RFC 9293, RFC 7323): 20 + 20 + 12 bytes a packet.
pub const TCP_HEADER_BYTES: u64 = 52;
/// IPv4 and UDP (RFC 768): 20 + 8 bytes a packet.
pub const UDP_HEADER_BYTES: u64 = 28;
/// TLS 1.3 (RFC 8446, 5.2): 5 bytes of header, 1 of content type, 16 of tag for each record of up to 16 KiB. DTLS 1.3 (RFC 9147) with 16-bit
/// sequence numbers comes to the same.
pub const RECORD_BYTES: u64 = 22;
const RECORD_CONTENT_BYTES: u64 = 16 * 1024;
/// TCP's first round trip: SYN, SYN-ACK (with options 60 bytes each), ACK.
const TCP_OPEN_UP_BYTES: u64 = 60 + TCP_HEADER_BYTES;
const TCP_OPEN_DOWN_BYTES: u64 = 60;
/// TLS 1.3 full handshake: a padded ClientHello of 517 bytes and a Finished of 74 go up; ServerHello, certificates (about 3 kB, an assumption)
/// and Finished come down.
const TLS_UP_BYTES: u64 = 517 + 74;
const TLS_DOWN_BYTES: u64 = 3_200;
/// Smallest retransmission timeout, as Linux has it; the first one of a handshake is 1 s (RFC 6298).
const MIN_RTO_NS: u64 = 200_000_000;
const HANDSHAKE_RTO_NS: u64 = 1_000_000_000;
/// No packet is lost more often than this in a row.
const MAX_RETRIES: u32 = 10;

/// Bytes that went over access links, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Everything, once per message.
    pub wire: u64,
    /// Of that, sent by devices other than the hub.
    pub up: u64,
    /// Of that, sent to devices other than the hub.
    pub down: u64,
    /// Packet headers and message framing.
    pub framing: u64,
    /// Encryption of records.
    pub encryption: u64,
    /// Session and key set-up.
    pub handshake: u64,
    /// The transport's acknowledgements.
    pub ack: u64,
    /// Sent again after loss.
    pub retransmitted: u64,
}

/// A message on its way from the link of its sender to that of its receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// When it reaches the receiver's link; `None` where it is lost.
    pub reaches_ns: Option<u64>,
    /// When a second copy of it does.
    pub again_ns: Option<u64>,
    /// What the receiver's link has to carry.
    pub wire_bytes: u64,
}

#[derive(Debug)]
struct Access {
    model: Link,
    bad_spells: Stretches,
    radio: Option<Radio>,
    is_hub: bool,
    /// When the queue of each direction is empty.
    free_ns: [u64; 2],
    /// The last tick at which packets entered each direction, and how many did.
    ticks: [(u64, u64); 2],
    carried_bytes: u64,
}

/// The access links of all devices.
#[derive(Debug)]
pub struct Network {
    streams: Streams,
    transport: Transport,
    links: Vec<Access>,
    traffic: Traffic,
}

/// One packet, and the draws that decide about it on the link of its sender and on that of its receiver.
#[derive(Clone, Copy)]
struct Packet {
    ends: [usize; 2],
    fates: [u64; 2],
}

/// One message of the set-up of a session.
#[derive(Clone, Copy)]
struct Leg {
    sender: usize,
    receiver: usize,
    bytes: u64,
}

impl Network {
    /// Links of devices in order: their model, when they lose much, and whether the device is the hub.
    pub fn new(
        streams: Streams,
        transport: Transport,
        links: impl Iterator<Item = (Link, Stretches, bool)>,
    ) -> Self {
        let links = links.map(|(model, bad_spells, is_hub)| Access {
            radio: model.radio.as_ref().map(Radio::new),
            model,
            bad_spells,
            is_hub,
            free_ns: [0; 2],
            ticks: [(u64::MAX, 0); 2],
            carried_bytes: 0,
        });
        Network { streams, transport, links: links.collect(), traffic: Traffic::default() }
    }

    /// Bytes so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The radio of a device.
    pub fn radio(&self, device: usize) -> Option<&Radio> {
        self.links[device].radio.as_ref()
    }

    /// The radio of a device, to be switched off.
    pub fn radio_mut(&mut self, device: usize) -> Option<&mut Radio> {
        self.links[device].radio.as_mut()
    }

    /// Mean one-way delay between two devices, queues and jitter left aside.
    pub fn one_way_ns(&self, from: usize, to: usize) -> u64 {
        self.links[from].model.delay_ns + self.links[to].model.delay_ns
    }

    fn mtu_bytes(&self, from: usize, to: usize) -> u64 {
        self.links[from].model.mtu_bytes.min(self.links[to].model.mtu_bytes).into()
    }

    /// Sends a message of `bytes` at `now_ns`. Over sessions it is never lost here: the caller drops it where its session is cut. When it
    /// reaches the receiver's link, [`Network::receive`] takes it off.
    pub fn send(&mut self, now_ns: u64, from: usize, to: usize, bytes: u64) -> Passage {
        match self.transport.kind {
            TransportKind::Session => self.send_in_session(now_ns, from, to, bytes),
            TransportKind::Datagram => self.send_datagram(now_ns, from, to, bytes),
        }
    }

    fn send_in_session(&mut self, now_ns: u64, from: usize, to: usize, bytes: u64) -> Passage {
        // WebSocket framing (RFC 6455, 5.2): messages of clients are masked.
        let frame = match bytes {
            0..126 => 2,
            126..65_536 => 4,
            _ => 10,
        } + if self.links[from].is_hub { 0 } else { 4 };
        let encryption = match self.transport.encryption {
            Encryption::None => 0,
            Encryption::Tls13 => RECORD_BYTES * (bytes + frame).div_ceil(RECORD_CONTENT_BYTES),
        };
        let payload = bytes + frame + encryption;
        let segment = self.mtu_bytes(from, to).saturating_sub(TCP_HEADER_BYTES).max(1);
        let packets = payload.div_ceil(segment).max(1);
        let acks = packets.div_ceil(2) * TCP_HEADER_BYTES;
        let wire = payload + packets * TCP_HEADER_BYTES;
        let sent_ns = self.cross_up(now_ns, from, wire);
        let base_ns = self.one_way_ns(from, to);
        let rto_ns = MIN_RTO_NS.max(2 * base_ns);
        let (mut slowest_ns, mut again) = (0, 0);
        for packet in 0..packets {
            let (wait_ns, losses) = self.insist(now_ns, from, to, rto_ns);
            let size =
                if packet + 1 < packets { segment } else { payload - segment * (packets - 1) };
            again += u64::from(losses) * (size + TCP_HEADER_BYTES);
            slowest_ns = slowest_ns.max(wait_ns);
        }
        self.repeat(from, to, again);
        self.repeat(to, from, acks);
        self.count(from, to, wire + again);
        self.count(to, from, acks);
        self.traffic.framing += frame + packets * TCP_HEADER_BYTES;
        self.traffic.encryption += encryption;
        self.traffic.retransmitted += again;
        self.traffic.ack += acks;
        let reaches_ns = Some(sent_ns + base_ns + slowest_ns);
        Passage { reaches_ns, again_ns: None, wire_bytes: wire }
    }

    fn send_datagram(&mut self, now_ns: u64, from: usize, to: usize, bytes: u64) -> Passage {
        let record = match self.transport.encryption {
            Encryption::None => 0,
            Encryption::Tls13 => RECORD_BYTES,
        };
        let room = self.mtu_bytes(from, to).saturating_sub(UDP_HEADER_BYTES + record).max(1);
        let packets = bytes.div_ceil(room).max(1);
        let wire = bytes + packets * (UDP_HEADER_BYTES + record);
        let sent_ns = self.cross_up(now_ns, from, wire);
        let base_ns = self.one_way_ns(from, to);
        let (mut any_lost, mut slowest_ns) = (false, 0);
        for _ in 0..packets {
            let packet = self.packet(now_ns, from, to);
            any_lost |= self.is_lost(packet, now_ns);
            slowest_ns = slowest_ns.max(self.jitter_ns(packet));
        }
        self.count(from, to, wire);
        self.traffic.framing += packets * UDP_HEADER_BYTES;
        self.traffic.encryption += packets * record;
        if any_lost {
            return Passage::default();
        }
        let duplicate_ppm =
            self.links[from].model.duplicate_ppm.max(self.links[to].model.duplicate_ppm);
        let copy = self.packet(now_ns, from, to);
        let again_ns =
            happens(copy.fates[0], duplicate_ppm).then(|| sent_ns + base_ns + self.jitter_ns(copy));
        Passage { reaches_ns: Some(sent_ns + base_ns + slowest_ns), again_ns, wire_bytes: wire }
    }

    /// A message has reached the link of its receiver: returns when it is through.
    pub fn receive(&mut self, now_ns: u64, to: usize, wire_bytes: u64) -> u64 {
        self.cross_down(now_ns, to, wire_bytes)
    }

    /// Sends the n-th message that sets up a session (over datagrams: agrees on keys) from `from` to `to`; `None` where the one before was
    /// the last. [`Network::receive_leg`] takes it off.
    pub fn send_leg(&mut self, now_ns: u64, from: usize, to: usize, n: usize) -> Option<Passage> {
        let Leg { sender, receiver, bytes } = self.leg(from, to, n)?;
        let sent_ns = self.cross_up(now_ns, sender, bytes);
        let (wait_ns, losses) = self.insist(now_ns, sender, receiver, HANDSHAKE_RTO_NS);
        let again = u64::from(losses) * bytes;
        self.repeat(sender, receiver, again);
        self.count(sender, receiver, bytes + again);
        self.traffic.retransmitted += again;
        self.traffic.handshake += bytes;
        let reaches_ns = Some(sent_ns + self.one_way_ns(sender, receiver) + wait_ns);
        Some(Passage { reaches_ns, again_ns: None, wire_bytes: bytes })
    }

    /// The n-th message of a set-up has reached its receiver's link: returns when it is through, and who received it.
    pub fn receive_leg(&mut self, now_ns: u64, from: usize, to: usize, n: usize) -> (u64, usize) {
        let leg = self.leg(from, to, n).expect("what arrives was sent");
        (self.cross_down(now_ns, leg.receiver, leg.bytes), leg.receiver)
    }

    /// There and back for each of the transport's and the encryption's exchanges.
    fn leg(&self, from: usize, to: usize, n: usize) -> Option<Leg> {
        let session = self.transport.kind == TransportKind::Session;
        let header = if session { TCP_HEADER_BYTES } else { UDP_HEADER_BYTES };
        let open = session.then_some((TCP_OPEN_UP_BYTES, TCP_OPEN_DOWN_BYTES));
        let tls = (self.transport.encryption == Encryption::Tls13).then(|| {
            let segment = self.mtu_bytes(from, to).saturating_sub(header).max(1);
            let down = TLS_DOWN_BYTES + TLS_DOWN_BYTES.div_ceil(segment) * header;
            (TLS_UP_BYTES + 2 * header, down)
        });
        let (up_bytes, down_bytes) = open.into_iter().chain(tls).nth(n / 2)?;
        Some(match n % 2 {
            0 => Leg { sender: from, receiver: to, bytes: up_bytes },
            _ => Leg { sender: to, receiver: from, bytes: down_bytes },
        })
    }

    /// Everything that the link of a device carried, both ways.
    pub fn carried_bytes(&self, device: usize) -> u64 {
        self.links[device].carried_bytes
    }

    fn count(&mut self, from: usize, to: usize, bytes: u64) {
        self.traffic.wire += bytes;
        self.links[from].carried_bytes += bytes;
        self.links[to].carried_bytes += bytes;
        if !self.links[from].is_hub {
            self.traffic.up += bytes;
        }
        if !self.links[to].is_hub {
            self.traffic.down += bytes;
        }
    }

    /// Through the queue of the sender's link; wakes its radio. Returns when the last bit has left.
    fn cross_up(&mut self, at_ns: u64, device: usize, bytes: u64) -> u64 {
        let link = &mut self.links[device];
        let bits = bytes * 8;
        let mut start_ns = at_ns.max(link.free_ns[0]);
        if let Some(radio) = &mut link.radio {
            start_ns = radio.wake(start_ns);
        }
        let end_ns = start_ns + transmission_ns(bits, link.model.up_bps);
        link.free_ns[0] = end_ns;
        if let Some(radio) = &mut link.radio {
            radio.transfer(Direction::Up, start_ns, end_ns, bits);
        }
        end_ns
    }

    /// Through the queue of the receiver's link; an idle radio is paged and woken first. Returns when the last bit has arrived.
    fn cross_down(&mut self, at_ns: u64, device: usize, bytes: u64) -> u64 {
        let fate = self.streams.fate([device as u64, PAGING, at_ns, 0]);
        let link = &mut self.links[device];
        let bits = bytes * 8;
        let mut start_ns = at_ns.max(link.free_ns[1]);
        if let Some(radio) = &mut link.radio
            && !radio.is_connected(start_ns)
        {
            let wait_ns = (u128::from(fate) * u128::from(radio.paging_ns())) >> 64;
            start_ns = radio.wake(start_ns + wait_ns as u64);
        }
        let end_ns = start_ns + transmission_ns(bits, link.model.down_bps);
        link.free_ns[1] = end_ns;
        if let Some(radio) = &mut link.radio {
            radio.transfer(Direction::Down, start_ns, end_ns, bits);
        }
        end_ns
    }

    /// More bits within what the radios are awake for anyway: acknowledgements, packets sent again.
    fn repeat(&mut self, from: usize, to: usize, bytes: u64) {
        for (device, direction) in [(from, Direction::Up), (to, Direction::Down)] {
            if bytes > 0
                && let Some(radio) = &mut self.links[device].radio
            {
                radio.add_bits(direction, bytes * 8);
            }
        }
    }

    /// Sends one packet until it gets through, first at `now_ns` and then with doubling pauses: how late that makes it, jitter included,
    /// and how often it was lost.
    fn insist(&mut self, now_ns: u64, from: usize, to: usize, rto_ns: u64) -> (u64, u32) {
        let mut packet = self.packet(now_ns, from, to);
        let (mut wait_ns, mut losses) = (0, 0);
        while losses < MAX_RETRIES && self.is_lost(packet, now_ns + wait_ns) {
            wait_ns += rto_ns << losses;
            losses += 1;
            packet.fates = packet.fates.map(|fate| mix(fate ^ AGAIN));
        }
        (wait_ns + self.jitter_ns(packet), losses)
    }

    /// The next packet of this tick from one device to another.
    fn packet(&mut self, now_ns: u64, from: usize, to: usize) -> Packet {
        let fates = [(from, Direction::Up), (to, Direction::Down)].map(|(device, direction)| {
            let slot = &mut self.links[device].ticks[direction as usize];
            *slot = if slot.0 == now_ns { (now_ns, slot.1 + 1) } else { (now_ns, 0) };
            self.streams.fate([device as u64, direction as u64, now_ns, slot.1])
        });
        Packet { ends: [from, to], fates }
    }

    /// Whether a packet that is sent at `at_ns` is lost on either link.
    fn is_lost(&self, packet: Packet, at_ns: u64) -> bool {
        packet.ends.into_iter().zip(packet.fates).any(|(device, fate)| {
            let link = &self.links[device];
            let ppm = match link.model.loss {
                Loss::Independent { ppm } => ppm,
                Loss::Bursts { bad_ppm, .. } if link.bad_spells.contains(at_ns) => bad_ppm,
                Loss::Bursts { good_ppm, .. } => good_ppm,
            };
            happens(fate, ppm)
        })
    }

    /// How long a packet is delayed on both links together, beyond the fixed delays.
    fn jitter_ns(&self, packet: Packet) -> u64 {
        let jitters = packet.ends.into_iter().zip(packet.fates).map(|(device, fate)| {
            duration_ns(&self.links[device].model.jitter, mix(fate ^ 1), mix(fate ^ 2))
        });
        jitters.sum()
    }
}

/// Takes the place of a direction in the draw for an idle radio's paging.
const PAGING: u64 = 2;
/// Makes the draws of a packet that is sent again.
const AGAIN: u64 = 3;

/// Time of bits at a rate, rounded up.
fn transmission_ns(bits: u64, bits_per_s: u64) -> u64 {
    (u128::from(bits) * 1_000_000_000).div_ceil(u128::from(bits_per_s.max(1))) as u64
}
