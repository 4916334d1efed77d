//! Looking at a spool that nobody has open.
