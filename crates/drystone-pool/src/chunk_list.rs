//! [`ChunkList`]: the chunks of a rope, a few of them in place.

use core::mem;
use std::collections::VecDeque;

/// How many chunks lie in the rope itself.
pub(crate) const INLINE_MAX: usize = 3;

/// A queue of chunks that allocates for the fourth one.
///
/// A list that once had to allocate keeps the room until it is dropped or split, so that one that
/// swings around its third chunk does not go to the heap at every turn.
#[derive(Clone, Debug)]
pub(crate) enum ChunkList<T> {
    /// The first `count`; the others are `T::default()`.
    Few {
        chunks: [T; INLINE_MAX],
        count: usize,
    },
    Many(VecDeque<T>),
}

impl<T: Default> ChunkList<T> {
    pub(crate) fn new() -> Self {
        Self::Few {
            chunks: Default::default(),
            count: 0,
        }
    }

    /// An empty list with room for `count`.
    fn with_room(count: usize) -> Self {
        if count <= INLINE_MAX {
            Self::new()
        } else {
            Self::Many(VecDeque::with_capacity(count))
        }
    }

    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Few { count, .. } => *count,
            Self::Many(chunks) => chunks.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match self {
            Self::Few { chunks, count } => chunks[..*count].get(index),
            Self::Many(chunks) => chunks.get(index),
        }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match self {
            Self::Few { chunks, count } => chunks[..*count].get_mut(index),
            Self::Many(chunks) => chunks.get_mut(index),
        }
    }

    /// The chunks in order: two runs, for a queue may go round its end.
    fn runs(&self) -> (&[T], &[T]) {
        match self {
            Self::Few { chunks, count } => (&chunks[..*count], &[]),
            Self::Many(chunks) => chunks.as_slices(),
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        let (front, back) = self.runs();
        front.iter().chain(back)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let (front, back): (&mut [T], &mut [T]) = match self {
            Self::Few { chunks, count } => (&mut chunks[..*count], &mut []),
            Self::Many(chunks) => chunks.as_mut_slices(),
        };
        front.iter_mut().chain(back)
    }

    pub(crate) fn push_back(&mut self, chunk: T) {
        match self {
            Self::Few { chunks, count } if *count < INLINE_MAX => {
                chunks[*count] = chunk;
                *count += 1;
            }
            Self::Few { .. } => self.spill().push_back(chunk),
            Self::Many(chunks) => chunks.push_back(chunk),
        }
    }

    pub(crate) fn push_front(&mut self, chunk: T) {
        match self {
            Self::Few { chunks, count } if *count < INLINE_MAX => {
                chunks[*count] = chunk;
                *count += 1;
                chunks[..*count].rotate_right(1);
            }
            Self::Few { .. } => self.spill().push_front(chunk),
            Self::Many(chunks) => chunks.push_front(chunk),
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        match self {
            Self::Few { count: 0, .. } => None,
            Self::Few { chunks, count } => {
                let front = mem::take(&mut chunks[0]);
                chunks[..*count].rotate_left(1);
                *count -= 1;
                Some(front)
            }
            Self::Many(chunks) => chunks.pop_front(),
        }
    }

    pub(crate) fn pop_back(&mut self) -> Option<T> {
        match self {
            Self::Few { count: 0, .. } => None,
            Self::Few { chunks, count } => {
                *count -= 1;
                Some(mem::take(&mut chunks[*count]))
            }
            Self::Many(chunks) => chunks.pop_back(),
        }
    }

    /// Takes the first `at` chunks out. The shorter side is the one that moves.
    pub(crate) fn split_to(&mut self, at: usize) -> Self {
        let behind = self.count() - at;
        if at <= behind {
            let mut front = Self::with_room(at);
            for _ in 0..at {
                front.push_back(self.pop_front().unwrap_or_default());
            }
            return front;
        }
        let mut back = Self::with_room(behind);
        for _ in 0..behind {
            back.push_front(self.pop_back().unwrap_or_default());
        }
        mem::replace(self, back)
    }

    /// Moves the chunks of a full list into a queue.
    fn spill(&mut self) -> &mut VecDeque<T> {
        if let Self::Few { chunks, .. } = self {
            let mut queue = VecDeque::with_capacity(2 * INLINE_MAX);
            queue.extend(mem::take(chunks));
            *self = Self::Many(queue);
        }
        match self {
            Self::Many(queue) => queue,
            Self::Few { .. } => unreachable!("the list has just become a queue"),
        }
    }
}
