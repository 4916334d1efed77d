//! What metlog's tests share: sample messages, peers that misbehave, and the suite every sender passes.
