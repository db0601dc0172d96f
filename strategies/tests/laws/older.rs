//! Two releases in one document: every other replica behaves as one that knows version 1 of the wire format alone, and says so if
//! anybody talks to it in another one.

use reconverge_strategies::*;

/// A strategy of which every other replica is of an older release.
pub struct TwoReleases<'s>(pub &'s dyn Strategy);

impl TwoReleases<'_> {
    fn released(seat: &Seat<'_>, replica: Box<dyn Replica>) -> Box<dyn Replica> {
        if crate::stage::number(seat.replica) % 2 == 1 { Box::new(Older(replica)) } else { replica }
    }
}

impl Strategy for TwoReleases<'_> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn profile(&self) -> Profile {
        self.0.profile()
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        Self::released(seat, self.0.create(seat))
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(Self::released(seat, self.0.restore(seat, saved)?))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        self.0.recode(message)
    }
}

/// A replica that knows version 1 alone: its leading byte is 0x11, and it refuses any other version.
struct Older(Box<dyn Replica>);

impl Replica for Older {
    fn handle(
        &mut self,
        clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        if let Input::Receive { bytes, .. } = input
            && bytes.first().is_none_or(|lead| lead & 0x0f != 1)
        {
            return Err(Malformed("a newer version of the wire format: this replica reads 1"));
        }
        self.0.handle(clock, input, out)?;
        for output in &mut out.outputs {
            if let Output::Send { bytes, .. } = output {
                assert_eq!(bytes[0] & 0x0f, 1, "an old release has nothing else to say");
                bytes[0] = 0x11;
            }
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        self.0.pending(peer)
    }

    fn length(&self, cell: Cell) -> usize {
        self.0.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.0.render(scope, out);
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        self.0.fingerprint(partition)
    }

    fn save(&self, out: &mut Vec<u8>) {
        self.0.save(out);
    }

    fn footprint(&self) -> Footprint {
        self.0.footprint()
    }
}
