//! Replication by version: whoever says how far it has every author's changes can be told exactly what it lacks. Six protocols
//! over one log, which differ in nothing but what is said when:
//!
//! - [`Protocol::Digest`]: versions are exchanged when a link opens; from then on each side keeps count of what the other one has, and sends
//!   the difference.
//! - [`Protocol::Operations`]: every operation is a message element of its own, with its dependencies; it is sent to every neighbour
//!   that has not acknowledged it, and waits at the receiver until what it depends on is there.
//! - [`Protocol::Scuttlebutt`]: the version is sent at every turn, and answered with what it lacks; nothing is pushed.
//! - [`Protocol::Merkle`], [`Protocol::Rateless`]: no version is told; the two sets of changes are reconciled.
//! - [`Protocol::Rumors`]: operations as rumors, which [`crate::gossip`] spreads; versions where those left something out.
//!
//! What every current member has, [`super::stability`] knows: deleted text goes then. A replica that was presumed gone makes its own changes
//! again on what the others have become (`returning`).
//!
//! Top-down: `replica` (inputs and protocol), `store` (the document with its changes), `returning` (peers far behind), `waiting` (operations
//! that came too early), `reconciling` (sets of changes), `rumors` (what gossip needs), `message`, `log`, `save`.

mod log;
mod message;
mod reconciling;
mod replica;
mod returning;
mod rumors;
mod save;
mod store;
#[cfg(test)]
mod tests;
mod waiting;

pub use message::recode_message;
pub use replica::VersionReplica;
pub(crate) use rumors::RumorMessage;
pub use save::restore;

/// What is said when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Versions once, then differences.
    Digest,
    /// Causal broadcast of operations (Shapiro, Preguiça, Baquero and Zawirski, "Conflict-free replicated data types", SSS 2011; Baquero,
    /// Almeida and Shoker, "Making operation-based CRDTs operation-based", DAIS 2014). Links lose things here, which the papers leave to a
    /// middleware: neighbours acknowledge and forward, and what was not acknowledged is sent again.
    Operations,
    /// Anti-entropy by digest and answer (van Renesse, Dumitriu, Gough and Thomas, "Efficient reconciliation and flow control for anti-entropy
    /// protocols", LADIS 2008), as compared in Enes, Almeida, Baquero and Leitão, "Efficient synchronization of state-based CRDTs", ICDE 2019.
    ///
    /// A digest that tells of something new is the news itself: its receiver then has something to ask for, which its schedule lets it
    /// do ([`crate::Pending::edits`] counts it). In a star, where nobody else could bring the same, it asks at once. Elsewhere it
    /// does not, and asks all its neighbours at its own time as everybody does, so that every change passes every link exactly once.
    Scuttlebutt,
    /// Anti-entropy down a Merkle search tree of all changes that are not stable yet (Auvolat and Taïani, "Merkle search trees: efficient
    /// state-based CRDTs in open networks", SRDS 2019).
    Merkle,
    /// Anti-entropy by rateless coded symbols of the same set (Yang, Gilad and Alizadeh, "Practical rateless set reconciliation", SIGCOMM 2024).
    Rateless,
    /// [`crate::gossip`] spreads operations. What it leaves out is found by exchanging versions, as under [`Protocol::Digest`]; an operation
    /// whose dependencies are missing is complained of.
    Rumors,
}

impl Protocol {
    /// Whether operations travel one by one.
    fn one_by_one(self) -> bool {
        matches!(self, Protocol::Operations | Protocol::Rumors)
    }

    /// Whether sets of changes are reconciled.
    fn reconciles(self) -> bool {
        matches!(self, Protocol::Merkle | Protocol::Rateless)
    }
}
