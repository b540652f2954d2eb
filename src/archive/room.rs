//! How much is under way at once, over all tables that are written into an archive.
//!
//! Promises: as many blocks are hashed and encoded at once as there are cores, and the values of all blocks under way, those
//! that are being written included, weigh 128 MiB at most, unless a single row is heavier. A block under way takes up to
//! about four times its weight for a moment: gathered, encoded, decoded again, and compared.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::blocks;
use crate::error::{Kind, OrFail, Result};

/// What room is counted in: bytes of values.
const UNIT: u64 = 1 << 20;
/// All room.
const UNITS: u64 = 4 * blocks::HEAVY / UNIT;
/// What a light block counts, so that a slow disk has no more than 64 of them to write at once.
const LEAST_UNITS: u64 = 2;

/// What bounds the work of an archive.
#[derive(Clone, Debug)]
pub(super) struct Room {
    cores: Arc<Semaphore>,
    units: Arc<Semaphore>,
}

/// A block's place among those under way; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    core: Option<OwnedSemaphorePermit>,
    _units: OwnedSemaphorePermit,
}

impl Room {
    /// For a machine with this many cores.
    pub(super) fn new(cores: usize) -> Self {
        let units = usize::try_from(UNITS).unwrap_or(usize::MAX);
        Self { cores: Arc::new(Semaphore::new(cores)), units: Arc::new(Semaphore::new(units)) }
    }

    /// Waits for a core and for room for a block of this weight. What is heavier than all room gets all of it.
    pub(super) async fn enter(&self, weight: u64) -> Result<Place> {
        let closed = || "the archive was closed";
        let units = u32::try_from(weight.div_ceil(UNIT).clamp(LEAST_UNITS, UNITS)).or_fail(Kind::Bug, closed)?;
        let core = Arc::clone(&self.cores).acquire_owned().await.or_fail(Kind::Bug, closed)?;
        let units = Arc::clone(&self.units).acquire_many_owned(units).await.or_fail(Kind::Bug, closed)?;
        Ok(Place { core: Some(core), _units: units })
    }
}

impl Place {
    /// Lets another block have the core: what is left to do is to wait for the disk.
    pub(super) fn leave_core(&mut self) {
        self.core = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn as_many_blocks_as_cores_and_room_allow_are_under_way() {
        let is_full = async |room: &Room| tokio::time::timeout(Duration::from_millis(20), room.enter(1)).await.is_err();
        let room = Room::new(3);
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(room.enter(0).await.unwrap());
        }
        assert!(is_full(&room).await, "no core is free");
        places[1].leave_core();
        places.push(room.enter(0).await.unwrap());
        assert!(is_full(&room).await, "no core is free");
        places.pop();
        assert!(!is_full(&room).await);
        // Many cores: four blocks as heavy as they may be take all room.
        let room = Room::new(200);
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(room.enter(blocks::HEAVY).await.unwrap());
        }
        assert!(is_full(&room).await, "there is no room left");
        places.clear();
        // A row heavier than all room gets it alone, and light blocks are not without number.
        places.push(room.enter(u64::MAX).await.unwrap());
        assert!(is_full(&room).await, "there is no room left");
        places.clear();
        for _ in 0..64 {
            places.push(room.enter(0).await.unwrap());
        }
        assert!(is_full(&room).await, "there is no room left");
    }
}
