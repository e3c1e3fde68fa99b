//! Every interleaving of the first two allocations.

use loom::sync::Arc;
use loom::thread;

use super::frame::Extent;
use super::key::Key;

/// Two threads make the first blocks: their words are those that every later call expects.
#[test]
fn loom2_the_first_two_blocks_share_a_key() {
    loom::model(|| {
        let key = Arc::new(Key::later());
        let other = {
            let key = Arc::clone(&key);
            thread::spawn(move || key.seal_new(64, Extent(1)))
        };
        let own = key.seal_new(128, Extent(1));
        // The other thread may still be choosing.
        assert_eq!(key.seal(128, Extent(1)), own);
        let other = other.join().expect("no panic");
        assert_eq!(key.seal(64, Extent(1)), other);
        assert_eq!(key.seal(128, Extent(1)), own);
    });
}
