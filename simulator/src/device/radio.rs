//! A radio's state machine: idle, promotion, transfer, tail. Evaluated when something is transferred, never by ticks.
//!
//! Powers and timers come from the scenario (LTE: Huang et al., MobiSys 2012, and AT&T ARO). A transfer of a rate t costs α·t + β;
//! milliwatts per Mbit/s are nanojoules per bit, so that α is charged by the bit and β by the time.

use reconverge_scenarios as scenarios;

/// Energy that a radio used above idle, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RadioEnergy {
    /// Waking up.
    pub promotion_pj: u64,
    /// Transferring.
    pub transfer_pj: u64,
    /// Staying awake after transfers.
    pub tail_pj: u64,
}

impl RadioEnergy {
    /// All of it.
    pub fn total_pj(self) -> u64 {
        self.promotion_pj + self.transfer_pj + self.tail_pj
    }
}

/// A radio at one moment.
#[derive(Clone, Debug)]
pub struct Radio {
    model: scenarios::Radio,
    /// The last transfer ends; `None` before the first one and after the radio was switched off.
    busy_until_ns: Option<u64>,
    energy: RadioEnergy,
    on_ns: u64,
    promotions: u64,
}

/// A direction of transfer, as seen from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the device.
    Up,
    /// To the device.
    Down,
}

impl Radio {
    /// An idle radio.
    pub fn new(model: &scenarios::Radio) -> Self {
        Radio {
            model: model.clone(),
            busy_until_ns: None,
            energy: RadioEnergy::default(),
            on_ns: 0,
            promotions: 0,
        }
    }

    /// Whether it is connected at that moment, so that nothing need be woken.
    pub fn is_connected(&self, at_ns: u64) -> bool {
        self.busy_until_ns.is_some_and(|busy| at_ns < busy + self.model.tail_ns)
    }

    /// Wakes it at that moment where it is idle; returns when it is connected.
    pub fn wake(&mut self, at_ns: u64) -> u64 {
        if self.is_connected(at_ns) {
            return at_ns;
        }
        self.close(u64::MAX);
        self.energy.promotion_pj += self.model.promotion_mw * self.model.promotion_ns;
        self.on_ns += self.model.promotion_ns;
        self.promotions += 1;
        let connected_ns = at_ns + self.model.promotion_ns;
        self.busy_until_ns = Some(connected_ns);
        connected_ns
    }

    /// Transfers bits for a while, on a radio that is connected.
    pub fn transfer(&mut self, direction: Direction, from_ns: u64, until_ns: u64, bits: u64) {
        let busy = self.busy_until_ns.unwrap_or(from_ns);
        if from_ns > busy {
            let tail_ns = (from_ns - busy).min(self.model.tail_ns);
            self.energy.tail_pj += tail_ns * self.model.tail_mw;
            self.on_ns += tail_ns;
        }
        let added_ns = until_ns.saturating_sub(from_ns.max(busy));
        self.energy.transfer_pj += added_ns * self.model.active_mw;
        self.on_ns += added_ns;
        self.add_bits(direction, bits);
        self.busy_until_ns = Some(until_ns.max(busy));
    }

    /// Transfers bits within the time that it is awake for anyway.
    pub fn add_bits(&mut self, direction: Direction, bits: u64) {
        self.energy.transfer_pj += bits
            * match direction {
                Direction::Up => self.model.up_uw_per_mbps,
                Direction::Down => self.model.down_uw_per_mbps,
            };
    }

    /// Ends the tail at the latest at that moment: the device was switched off, or the trial ends.
    pub fn close(&mut self, at_ns: u64) {
        if let Some(busy) = self.busy_until_ns.take() {
            let tail_ns = at_ns.saturating_sub(busy).min(self.model.tail_ns);
            self.energy.tail_pj += tail_ns * self.model.tail_mw;
            self.on_ns += tail_ns;
        }
    }

    /// What it used up to its last transfer; the tail after it is counted when it is over.
    pub fn energy(&self) -> RadioEnergy {
        self.energy
    }

    /// Time above idle.
    pub fn on_ns(&self) -> u64 {
        self.on_ns
    }

    /// Times it was woken.
    pub fn promotions(&self) -> u64 {
        self.promotions
    }

    /// Longest wait of a packet for the idle radio.
    pub fn paging_ns(&self) -> u64 {
        self.model.paging_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LTE as in Huang et al. 2012, with the paper's tail.
    fn lte() -> Radio {
        Radio::new(&scenarios::Radio {
            promotion_ns: 260_100_000,
            promotion_mw: 1211,
            tail_ns: 11_576_000_000,
            tail_mw: 1060,
            active_mw: 1288,
            up_uw_per_mbps: 438_390,
            down_uw_per_mbps: 51_970,
            paging_ns: 1_280_000_000,
        })
    }

    const S: u64 = 1_000_000_000;

    /// n isolated syncs cost n · (promotion + transfer + tail); b within one tail save (b − 1) promotions and most of their tails.
    #[test]
    fn isolated_and_batched_syncs_cost_what_the_hand_says() {
        let (bits, length_ns) = (8_000, 1_600_000);
        let promotion_pj = 260_100_000 * 1211;
        let transfer_pj = length_ns * 1288 + bits * 438_390;
        let tail_pj = 11_576_000_000 * 1060;
        let mut isolated = lte();
        for n in 0..10 {
            let start = isolated.wake(n * 60 * S);
            isolated.transfer(Direction::Up, start, start + length_ns, bits);
        }
        isolated.close(u64::MAX);
        assert_eq!(isolated.energy().total_pj(), 10 * (promotion_pj + transfer_pj + tail_pj));
        assert_eq!(isolated.promotions(), 10);
        let mut batched = lte();
        for n in 0..10 {
            let start = batched.wake(n * S);
            batched.transfer(Direction::Up, start, start + length_ns, bits);
        }
        batched.close(u64::MAX);
        // Between two starts, one second apart, the tail fills what promotion and transfer leave.
        let between_pj = (9 * (S - length_ns) - 260_100_000) * 1060;
        assert_eq!(
            batched.energy().total_pj(),
            promotion_pj + 10 * transfer_pj + between_pj + tail_pj
        );
        assert_eq!(batched.promotions(), 1);
    }

    #[test]
    fn overlapping_transfers_pay_the_base_power_once() {
        let mut radio = lte();
        let start = radio.wake(0);
        radio.transfer(Direction::Up, start, start + 100, 0);
        radio.transfer(Direction::Down, start + 50, start + 150, 0);
        assert_eq!(radio.energy().transfer_pj, 150 * 1288);
        radio.close(start + 200);
        assert_eq!(radio.energy().tail_pj, 50 * 1060, "cut short when switched off");
        assert!(!radio.is_connected(start + 250));
    }
}
