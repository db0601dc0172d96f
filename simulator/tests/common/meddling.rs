//! Strategies of the registry with somebody in between: to record, to lie, to waste, to misbehave.

use reconverge_strategies::{
    Cell, Clock, Footprint, Input, Malformed, Outbox, Pending, Profile, Rendering, Replica,
    ReplicaId, Scope, Seat, Strategy,
};

/// Stands between one replica and its host.
pub trait Meddler: Send {
    /// Sees an input before the replica does.
    fn before(&mut self, _inner: &dyn Replica, _input: &Input<'_>) {}

    /// Sees, and may change, what came of it.
    fn after(&mut self, _inner: &dyn Replica, _input: &Input<'_>, _out: &mut Outbox) {}

    /// Shows something, usually what the replica shows.
    fn render(&self, inner: &dyn Replica, scope: Scope, out: &mut Rendering) {
        inner.render(scope, out);
    }

    /// What a peer is owed, usually as the replica says.
    fn pending(&self, inner: &dyn Replica, peer: ReplicaId) -> Pending {
        inner.pending(peer)
    }

    /// What it keeps across restarts, always of the same length.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes back what it kept.
    fn restore(&mut self, _saved: &[u8]) {}
}

/// A meddler that leaves a replica alone.
pub struct Bystander;

impl Meddler for Bystander {}

/// A strategy with meddlers.
pub struct Meddled<F> {
    inner: &'static dyn Strategy,
    meddler: F,
}

/// A strategy with a meddler at every replica: made from its seat, and from whether it was restored.
pub fn meddled<F: Fn(&Seat<'_>, bool) -> Box<dyn Meddler> + Send + Sync>(
    inner: &'static dyn Strategy,
    meddler: F,
) -> Meddled<F> {
    Meddled { inner, meddler }
}

struct MeddledReplica {
    inner: Box<dyn Replica>,
    meddler: Box<dyn Meddler>,
}

impl<F: Fn(&Seat<'_>, bool) -> Box<dyn Meddler> + Send + Sync> Strategy for Meddled<F> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn profile(&self) -> Profile {
        self.inner.profile()
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        let meddler = (self.meddler)(seat, false);
        Box::new(MeddledReplica { inner: self.inner.create(seat), meddler })
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        let mut meddler = (self.meddler)(seat, true);
        let inner_bytes = saved.len().checked_sub(meddler.save().len());
        let (saved, kept) = saved.split_at(inner_bytes.ok_or(Malformed("cut short"))?);
        meddler.restore(kept);
        Ok(Box::new(MeddledReplica { inner: self.inner.restore(seat, saved)?, meddler }))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        self.inner.recode(message)
    }
}

impl Replica for MeddledReplica {
    fn handle(
        &mut self,
        clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        self.meddler.before(self.inner.as_ref(), &input);
        self.inner.handle(clock, input, out)?;
        self.meddler.after(self.inner.as_ref(), &input, out);
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        self.meddler.pending(self.inner.as_ref(), peer)
    }

    fn length(&self, cell: Cell) -> usize {
        self.inner.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.meddler.render(self.inner.as_ref(), scope, out);
    }

    fn save(&self, out: &mut Vec<u8>) {
        self.inner.save(out);
        out.extend(self.meddler.save());
    }

    fn footprint(&self) -> Footprint {
        self.inner.footprint()
    }
}
