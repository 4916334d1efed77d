//! `nats`: metlog over NATS JetStream.
