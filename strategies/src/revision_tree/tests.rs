//! Tests of the strategy as a whole.
