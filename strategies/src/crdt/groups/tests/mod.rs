//! Whole replicas, and the lattice they exchange parts of.
