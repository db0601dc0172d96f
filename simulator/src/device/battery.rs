//! Charge of a battery: a piecewise linear level, debited by what synchronisation costs.

use reconverge_scenarios as scenarios;

/// Picojoules of a millijoule; milliwatts times nanoseconds are picojoules.
pub const PJ_PER_MJ: u64 = 1_000_000_000;

/// A battery at one moment.
#[derive(Clone, Debug)]
pub struct Battery {
    capacity_pj: u64,
    level_pj: u64,
    idle_mw: u64,
    screen_mw: u64,
    charge_mw: u64,
    saver_permille: u32,
    revive_permille: u32,
    plugged: bool,
    screen_on: bool,
    dead: bool,
    at_ns: u64,
    lowest_pj: u64,
    /// Months of a busy laptop are more than 64 bits hold.
    baseline_pj: u128,
}

impl Battery {
    /// As a trial begins.
    pub fn new(battery: &scenarios::Battery) -> Self {
        let capacity_pj = battery.capacity_mj.saturating_mul(PJ_PER_MJ);
        let level_pj = share(capacity_pj, battery.initial_permille);
        Battery {
            capacity_pj,
            level_pj,
            idle_mw: battery.idle_mw,
            screen_mw: battery.screen_mw,
            charge_mw: battery.charge_mw,
            saver_permille: battery.saver_permille,
            revive_permille: battery.revive_permille,
            plugged: false,
            screen_on: false,
            dead: false,
            at_ns: 0,
            lowest_pj: level_pj,
            baseline_pj: 0,
        }
    }

    fn drain_mw(&self) -> u64 {
        match (self.dead, self.screen_on) {
            (true, _) => 0,
            (false, true) => self.idle_mw + self.screen_mw,
            (false, false) => self.idle_mw,
        }
    }

    fn charge_mw(&self) -> u64 {
        if self.plugged { self.charge_mw } else { 0 }
    }

    /// Moves on to a later moment.
    pub fn advance(&mut self, now_ns: u64) {
        let passed_ns = now_ns - self.at_ns;
        self.at_ns = now_ns;
        let drained_pj = self.drain_mw() * passed_ns;
        self.baseline_pj += u128::from(drained_pj);
        let charged_pj = self.charge_mw() * passed_ns;
        self.level_pj = (self.level_pj + charged_pj).saturating_sub(drained_pj);
        self.level_pj = self.level_pj.min(self.capacity_pj);
        self.lowest_pj = self.lowest_pj.min(self.level_pj);
    }

    /// Takes energy out, now.
    pub fn debit(&mut self, energy_pj: u64) {
        self.level_pj = self.level_pj.saturating_sub(energy_pj);
        self.lowest_pj = self.lowest_pj.min(self.level_pj);
    }

    /// The charger comes or goes.
    pub fn set_plugged(&mut self, plugged: bool) {
        self.plugged = plugged;
    }

    /// The user comes or goes.
    pub fn set_screen(&mut self, on: bool) {
        self.screen_on = on;
    }

    /// The device shuts down or starts.
    pub fn set_dead(&mut self, dead: bool) {
        self.dead = dead;
    }

    /// Fills it up, as healing does.
    pub fn fill(&mut self) {
        self.level_pj = self.capacity_pj;
    }

    /// Whether it is charging.
    pub fn plugged(&self) -> bool {
        self.plugged
    }

    /// Whether it ran empty.
    pub fn is_empty(&self) -> bool {
        self.level_pj == 0
    }

    /// Whether the charge is below the saver threshold and not rising.
    pub fn saving(&self) -> bool {
        !self.plugged && self.level_pj < share(self.capacity_pj, self.saver_permille)
    }

    /// Whether a dead device has enough to start.
    pub fn can_revive(&self) -> bool {
        self.level_pj >= share(self.capacity_pj, self.revive_permille).max(1)
    }

    /// Charge in thousandths.
    pub fn permille(&self) -> u64 {
        permille(self.level_pj, self.capacity_pj)
    }

    /// Lowest charge so far, in thousandths.
    pub fn lowest_permille(&self) -> u64 {
        permille(self.lowest_pj, self.capacity_pj)
    }

    /// What the device used besides synchronisation.
    pub fn baseline_pj(&self) -> u128 {
        self.baseline_pj
    }

    /// When the level will next cross what matters, if nothing is debited meanwhile: empty for a live device, revival for a dead one.
    pub fn crossing_ns(&self) -> Option<u64> {
        let (drain, charge) = (self.drain_mw(), self.charge_mw());
        let (distance_pj, rate_mw) = if self.dead {
            let target = share(self.capacity_pj, self.revive_permille).max(1);
            (target.saturating_sub(self.level_pj), charge.saturating_sub(drain))
        } else {
            (self.level_pj, drain.saturating_sub(charge))
        };
        (rate_mw > 0).then(|| self.at_ns + distance_pj.div_ceil(rate_mw))
    }
}

fn share(whole: u64, permille: u32) -> u64 {
    (u128::from(whole) * u128::from(permille) / 1000) as u64
}

fn permille(part: u64, whole: u64) -> u64 {
    (u128::from(part) * 1000 / u128::from(whole.max(1))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ninety days of 8 W are more picojoules than 64 bits hold.
    #[test]
    fn months_of_a_busy_laptop_are_counted() {
        let mut battery = Battery::new(&scenarios::Battery {
            capacity_mj: 180_000_000,
            initial_permille: 1000,
            idle_mw: 1000,
            screen_mw: 7000,
            charge_mw: 45_000,
            charging: Vec::new(),
            charging_jitter_ns: 0,
            saver_permille: 150,
            revive_permille: 50,
        });
        battery.set_plugged(true);
        battery.set_screen(true);
        let day_ns = 86_400_000_000_000;
        (1..=90).for_each(|day| battery.advance(day * day_ns));
        assert_eq!(battery.baseline_pj(), 8000 * 90 * u128::from(day_ns));
    }

    fn battery() -> Battery {
        Battery::new(&scenarios::Battery {
            capacity_mj: 10_000,
            initial_permille: 500,
            idle_mw: 100,
            screen_mw: 400,
            charge_mw: 1_100,
            charging: Vec::new(),
            charging_jitter_ns: 0,
            saver_permille: 200,
            revive_permille: 100,
        })
    }

    const S: u64 = 1_000_000_000;

    #[test]
    fn it_drains_dies_charges_and_revives_when_arithmetic_says() {
        let mut battery = battery();
        assert_eq!(battery.crossing_ns(), Some(50 * S), "5 J at 100 mW");
        battery.set_screen(true);
        battery.advance(4 * S);
        assert_eq!(battery.permille(), 300, "4 s at 500 mW are 2 J of 10");
        battery.debit(1_500 * PJ_PER_MJ);
        assert!(battery.saving());
        assert_eq!(battery.crossing_ns(), Some(7 * S));
        battery.advance(7 * S);
        assert!(battery.is_empty());
        battery.set_dead(true);
        battery.set_plugged(true);
        assert!(!battery.can_revive() && !battery.saving());
        assert_eq!(battery.crossing_ns(), Some(7 * S + 909_090_910), "1 J at 1.1 W");
        battery.advance(8 * S);
        assert!(battery.can_revive());
        assert_eq!(battery.lowest_permille(), 0);
        assert_eq!(battery.baseline_pj(), u128::from(3_500 * PJ_PER_MJ));
        battery.set_dead(false);
        battery.set_screen(false);
        battery.advance(100 * S);
        assert_eq!(battery.permille(), 1000, "never above full");
    }
}
