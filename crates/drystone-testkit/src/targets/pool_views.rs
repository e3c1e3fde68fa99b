//! Views over buffers against a model: vectors of bytes, and counted tokens for the storage.
//!
//! A token is cloned wherever a handle is and dropped wherever one is, so its count says which view
//! is the only one of its storage.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use drystone_pool::{BufferPool, BufferPoolConfig, IoBuf, IoBufMut, IoBufs, IoBufsMut};

/// Views of each kind alive at once.
const VIEWS_MAX: usize = 6;
/// Chunks of a rope; beyond that only consuming goes on.
const CHUNKS_MAX: usize = 8;
/// The slots of the pool; more than there can be views.
const POOLED_MAX: u32 = 32;
/// One of them: room for whatever is made.
const POOLED_BYTES: usize = 512;
/// Bytes that live for ever.
static STATIC: [u8; 64] = [0x5A; 64];

std::thread_local! {
    static POOL: BufferPool = BufferPool::new(
        BufferPoolConfig::for_network()
            .with_min_size(POOLED_BYTES)
            .with_max_size(POOLED_BYTES)
            .with_max_per_class(POOLED_MAX),
    )
    .expect("memory for a test");
}

/// Each four bytes are an operation, the view it is about, and two numbers.
///
/// # Panics
///
/// If a view shows other bytes than the model, is shared where it should not be, or breaks an
/// invariant.
pub fn target_pool_views(data: &[u8]) {
    POOL.with(|pool| {
        let mut world = World::new(pool);
        for step in data.chunks_exact(4) {
            world.step(step[0], step[1], step[2].into(), step[3].into());
            world.check();
        }
        drop(world);
        let all: Vec<_> = (0..POOLED_MAX)
            .map_while(|_| pool.try_alloc(POOLED_BYTES).ok())
            .collect();
        assert_eq!(all.len(), POOLED_MAX as usize, "a slot did not come back");
    });
}

/// The storage of a view, as far as the model is concerned.
#[derive(Clone, Debug)]
struct Token {
    writable: bool,
    capacity: usize,
    /// Its count is the number of handles.
    handles: Rc<()>,
}

impl Token {
    fn new(capacity: usize, writable: bool) -> Self {
        Self {
            writable,
            capacity,
            handles: Rc::new(()),
        }
    }

    fn recoverable(&self) -> bool {
        self.writable && Rc::strong_count(&self.handles) == 1
    }
}

/// What a shared view must show. An empty one has no token.
#[derive(Clone, Debug, Default)]
struct Shown {
    bytes: Vec<u8>,
    /// Where the view starts in its storage.
    offset: usize,
    token: Option<Token>,
}

impl Shown {
    fn new(bytes: Vec<u8>, offset: usize, token: Option<Token>) -> Self {
        let token = token.filter(|_| !bytes.is_empty());
        Self {
            bytes,
            offset,
            token,
        }
    }

    fn part(&self, start: usize, end: usize) -> Self {
        let bytes = self.bytes[start..end].to_vec();
        Self::new(bytes, self.offset + start, self.token.clone())
    }

    fn split_to(&mut self, at: usize) -> Self {
        let front = self.part(0, at);
        *self = self.part(at, self.bytes.len());
        front
    }
}

/// What a buffer must show.
#[derive(Debug)]
struct Written {
    bytes: Vec<u8>,
    offset: usize,
    capacity: usize,
    token: Option<Token>,
}

impl Written {
    fn new(bytes: Vec<u8>, capacity: usize) -> Self {
        let token = (capacity > 0).then(|| Token::new(capacity, true));
        Self {
            bytes,
            offset: 0,
            capacity,
            token,
        }
    }

    fn freeze(self) -> Shown {
        Shown::new(self.bytes, self.offset, self.token)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.offset += count;
        self.capacity -= count;
    }

    fn spare(&self) -> usize {
        self.capacity - self.bytes.len()
    }
}

struct World<'p> {
    pool: &'p BufferPool,
    bufs: Vec<(IoBufMut, Written)>,
    views: Vec<(IoBuf, Shown)>,
    rope: (IoBufs, VecDeque<Shown>),
    /// A rope to write to, its readable bytes and its room.
    rope_mut: (IoBufsMut, Vec<u8>, usize),
    next_byte: u8,
}

impl<'p> World<'p> {
    fn new(pool: &'p BufferPool) -> Self {
        Self {
            pool,
            bufs: Vec::new(),
            views: Vec::new(),
            rope: Default::default(),
            rope_mut: Default::default(),
            next_byte: 0,
        }
    }

    fn step(&mut self, operation: u8, pick: u8, a: usize, b: usize) {
        match operation % 24 {
            0 | 1 => self.make(pick, a, b),
            2 | 3 => self.put(pick, a),
            4 => self.advance_buf(pick, a),
            5 => self.shorten_buf(pick, a),
            6 => self.freeze(pick),
            7 => self.recover(pick),
            8 => self.clone_view(pick),
            9 => self.slice(pick, a, b),
            10 => self.split(pick, a, b),
            11 => self.advance_view(pick, a),
            12 => self.through_bytes(pick, a, b),
            13 => self.compact(pick),
            14 => self.drop_one(pick, a),
            15 => self.append(pick, a),
            16 => self.advance_rope(a),
            17 => self.split_rope(a, b),
            18 => self.rope_bytes(a),
            19 => self.coalesce(),
            20 => self.append_room(pick),
            21 => self.put_rope(a),
            22 if b.is_multiple_of(4) => self.split_rope_mut(a, b),
            22 => self.advance_rope_mut(a),
            _ => self.freeze_rope(),
        }
    }

    fn content(&mut self, len: usize) -> Vec<u8> {
        let first = self.next_byte;
        self.next_byte = first.wrapping_add(len as u8);
        (0..len)
            .map(|byte| first.wrapping_add(byte as u8))
            .collect()
    }

    /// A buffer or view of each origin.
    fn make(&mut self, origin: u8, len: usize, room: usize) {
        let content = self.content(len);
        let capacity = len + room;
        let buf = match origin % 10 {
            0 => {
                let mut buf = IoBufMut::with_capacity(capacity);
                buf.try_put_slice(&content).expect("room for the content");
                (buf, Written::new(content, capacity))
            }
            1 => {
                let mut buf = IoBufMut::with_alignment(capacity, 1 << (room % 8));
                assert!(capacity == 0 || buf.is_aligned(1 << (room % 8)));
                buf.put_slice(&content);
                (buf, Written::new(content, capacity))
            }
            2 => (IoBufMut::zeroed(len), Written::new(vec![0; len], len)),
            3 => (IoBufMut::from(&content[..]), Written::new(content, len)),
            4 => {
                let mut vec = Vec::with_capacity(capacity);
                vec.extend_from_slice(&content);
                let capacity = vec.capacity();
                (IoBufMut::from(vec), Written::new(content, capacity))
            }
            5 => {
                let mut bytes = BytesMut::with_capacity(capacity);
                bytes.put_slice(&content);
                let capacity = bytes.capacity();
                (IoBufMut::from(bytes), Written::new(content, capacity))
            }
            6 => return self.show(IoBuf::copy_from_slice(&content), content, len, true),
            7 => {
                let mut buf = self.pool.try_alloc(capacity.max(1)).expect("a free slot");
                assert!(buf.is_pooled());
                buf.put_slice(&content);
                (buf, Written::new(content, POOLED_BYTES))
            }
            8 => return self.show(Bytes::from(content.clone()).into(), content, len, false),
            _ => {
                let view = &STATIC[..len.min(STATIC.len())];
                let token = Token::new(0, false);
                let shown = Shown::new(view.to_vec(), 0, Some(token));
                return self.keep((IoBuf::from_static(view), shown));
            }
        };
        if self.bufs.len() < VIEWS_MAX {
            self.bufs.push(buf);
        }
    }

    fn show(&mut self, view: IoBuf, content: Vec<u8>, capacity: usize, writable: bool) {
        let token = Token::new(capacity, writable);
        self.keep((view, Shown::new(content, 0, Some(token))));
    }

    fn keep(&mut self, view: (IoBuf, Shown)) {
        if self.views.len() < VIEWS_MAX {
            self.views.push(view);
        }
    }

    fn put(&mut self, pick: u8, len: usize) {
        let content = self.content(len);
        let Some((buf, model)) = at(&mut self.bufs, pick) else {
            return;
        };
        let fits = len <= model.spare();
        match buf.try_put_slice(&content) {
            Ok(()) => {
                assert!(fits);
                model.bytes.extend(content);
            }
            Err(error) => {
                assert!(!fits);
                assert_eq!((error.requested, error.available), (len, model.spare()));
            }
        }
    }

    fn advance_buf(&mut self, pick: u8, count: usize) {
        if let Some((buf, model)) = at(&mut self.bufs, pick) {
            let count = count.min(model.bytes.len());
            buf.advance(count);
            model.advance(count);
        }
    }

    fn shorten_buf(&mut self, pick: u8, len: usize) {
        if let Some((buf, model)) = at(&mut self.bufs, pick) {
            buf.truncate(len);
            model.bytes.truncate(len);
        }
    }

    fn freeze(&mut self, pick: u8) {
        if let Some((buf, model)) = take(&mut self.bufs, pick) {
            self.keep((buf.freeze(), model.freeze()));
        }
    }

    fn recover(&mut self, pick: u8) {
        let Some((view, model)) = take(&mut self.views, pick) else {
            return;
        };
        let expected = model.token.as_ref().is_none_or(Token::recoverable);
        match view.try_into_mut() {
            Ok(buf) => {
                assert!(
                    expected,
                    "a buffer that somebody else has, or that is read-only"
                );
                let capacity = model
                    .token
                    .as_ref()
                    .map_or(0, |token| token.capacity - model.offset);
                assert_eq!(buf.capacity(), capacity);
                let written = Written {
                    bytes: model.bytes,
                    offset: model.offset,
                    capacity,
                    token: model.token,
                };
                if self.bufs.len() < VIEWS_MAX {
                    self.bufs.push((buf, written));
                }
            }
            Err(view) => {
                assert!(!expected, "the only view was refused");
                self.views.push((view, model));
            }
        }
    }

    fn clone_view(&mut self, pick: u8) {
        if let Some((view, model)) = at(&mut self.views, pick) {
            let copy = (view.clone(), model.clone());
            self.keep(copy);
        }
    }

    fn slice(&mut self, pick: u8, a: usize, b: usize) {
        if let Some((view, model)) = at(&mut self.views, pick) {
            let end = a.max(b).min(view.len());
            let start = a.min(b).min(end);
            let part = (view.slice(start..end), model.part(start, end));
            self.keep(part);
        }
    }

    fn split(&mut self, pick: u8, a: usize, b: usize) {
        if let Some((view, model)) = at(&mut self.views, pick) {
            let cut = a.min(view.len());
            let part = if b.is_multiple_of(2) {
                (view.split_to(cut), model.split_to(cut))
            } else {
                let back = (view.split_off(cut), model.part(cut, model.bytes.len()));
                *model = model.part(0, cut);
                back
            };
            self.keep(part);
        }
    }

    fn advance_view(&mut self, pick: u8, count: usize) {
        if let Some((view, model)) = at(&mut self.views, pick) {
            let count = count.min(view.len());
            view.advance(count);
            model.split_to(count);
        }
    }

    /// Out to `Bytes`, whole or in part, and back in.
    fn through_bytes(&mut self, pick: u8, a: usize, b: usize) {
        let Some((mut view, mut model)) = take(&mut self.views, pick) else {
            return;
        };
        let start = view.as_ptr();
        let (bytes, part) = if a.is_multiple_of(4) {
            (Bytes::from(view), model)
        } else {
            let count = b.min(view.len());
            let part = (view.copy_to_bytes(count), model.split_to(count));
            self.keep((view, model));
            part
        };
        assert_eq!(bytes, part.bytes);
        assert!(
            bytes.is_empty() || bytes.as_ptr() == start,
            "bytes were copied"
        );
        if let Some(token) = &part.token {
            // The handle is in the `Bytes`, and the new view has that.
            let token = Token {
                writable: false,
                capacity: bytes.len(),
                ..token.clone()
            };
            let shown = Shown::new(part.bytes, 0, Some(token));
            self.keep((IoBuf::from(bytes), shown));
        }
    }

    fn compact(&mut self, pick: u8) {
        if let Some((view, model)) = take(&mut self.views, pick) {
            let shrinks = view.storage_bytes() > view.len();
            let view = view.compact();
            let model = if shrinks {
                let capacity = model.bytes.len();
                Shown::new(model.bytes, 0, Some(Token::new(capacity, true)))
            } else {
                model
            };
            self.keep((view, model));
        }
    }

    fn drop_one(&mut self, pick: u8, which: usize) {
        if which.is_multiple_of(2) {
            drop(take(&mut self.bufs, pick));
        } else {
            drop(take(&mut self.views, pick));
        }
    }

    fn append(&mut self, pick: u8, side: usize) {
        if self.rope.1.len() >= CHUNKS_MAX {
            return;
        }
        let Some((view, model)) = take(&mut self.views, pick) else {
            return;
        };
        let (rope, chunks) = &mut self.rope;
        match (side.is_multiple_of(2), model.bytes.is_empty()) {
            (true, false) => chunks.push_back(model),
            (false, false) => chunks.push_front(model),
            (_, true) => {}
        }
        if side.is_multiple_of(2) {
            rope.append(view);
        } else {
            rope.prepend(view);
        }
    }

    fn advance_rope(&mut self, count: usize) {
        let (rope, chunks) = &mut self.rope;
        let count = count.min(rope.len());
        rope.advance(count);
        cut_chunks(chunks, count);
    }

    /// Splits the rope and keeps one of the parts.
    fn split_rope(&mut self, at: usize, keep: usize) {
        let (rope, chunks) = &mut self.rope;
        let at = at.min(rope.len());
        let front = rope.split_to(at);
        let front_chunks = cut_chunks(chunks, at);
        front.debug_assert_invariants();
        if keep.is_multiple_of(2) {
            self.rope = (front, front_chunks);
        }
    }

    fn rope_bytes(&mut self, count: usize) {
        let (rope, chunks) = &mut self.rope;
        let count = count.min(rope.len());
        let bytes = rope.copy_to_bytes(count);
        let front = cut_chunks(chunks, count);
        let expected: Vec<u8> = front.iter().flat_map(|chunk| chunk.bytes.clone()).collect();
        assert_eq!(bytes, expected);
    }

    fn coalesce(&mut self) {
        let (rope, mut chunks) = std::mem::take(&mut self.rope);
        let view = rope.coalesce();
        let model = if chunks.len() <= 1 {
            chunks.pop_front().unwrap_or_default()
        } else {
            let bytes: Vec<u8> = chunks.drain(..).flat_map(|chunk| chunk.bytes).collect();
            let capacity = bytes.len();
            Shown::new(bytes, 0, Some(Token::new(capacity, true)))
        };
        self.keep((view, model));
    }

    fn append_room(&mut self, pick: u8) {
        if self.rope_mut.0.chunk_count() >= CHUNKS_MAX {
            return;
        }
        let Some((buf, model)) = take(&mut self.bufs, pick) else {
            return;
        };
        let (rope, bytes, room) = &mut self.rope_mut;
        rope.append(buf);
        *room = if model.bytes.is_empty() {
            *room + model.capacity
        } else {
            model.spare()
        };
        bytes.extend(model.bytes);
    }

    fn put_rope(&mut self, len: usize) {
        let content = self.content(len);
        let (rope, bytes, room) = &mut self.rope_mut;
        match rope.try_put_slice(&content) {
            Ok(()) => {
                *room -= len;
                bytes.extend(content);
            }
            Err(error) => {
                assert!(len > *room);
                assert_eq!((error.requested, error.available), (len, *room));
            }
        }
    }

    fn advance_rope_mut(&mut self, count: usize) {
        let (rope, bytes, _) = &mut self.rope_mut;
        let count = count.min(bytes.len());
        rope.advance(count);
        bytes.drain(..count);
    }

    /// Splits the rope that is written and keeps one of the parts.
    fn split_rope_mut(&mut self, at: usize, keep: usize) {
        let (rope, bytes, room) = &mut self.rope_mut;
        let at = at.min(bytes.len());
        let front = rope.split_to(at);
        front.debug_assert_invariants();
        let back_bytes = bytes.split_off(at);
        // The room goes with its chunk, and stays where bytes follow the cut.
        let moved = if back_bytes.is_empty() {
            front.spare_bytes()
        } else {
            0
        };
        assert_eq!(rope.spare_bytes(), *room - moved);
        if keep.is_multiple_of(8) {
            *room = front.spare_bytes();
            *rope = front;
        } else {
            *room -= moved;
            assert_eq!(front, *bytes);
            *bytes = back_bytes;
        }
    }

    fn freeze_rope(&mut self) {
        let (rope, bytes, _) = std::mem::take(&mut self.rope_mut);
        let frozen = rope.freeze();
        frozen.debug_assert_invariants();
        assert_eq!(frozen, bytes);
    }

    fn check(&self) {
        for (buf, model) in &self.bufs {
            assert_eq!(buf, &model.bytes);
            assert_eq!(buf.capacity(), model.capacity);
        }
        for (view, model) in &self.views {
            assert_eq!(view, &model.bytes);
            let storage = model.token.as_ref().map_or(0, |token| token.capacity);
            assert_eq!(view.storage_bytes(), storage);
        }
        let (rope, chunks) = &self.rope;
        rope.debug_assert_invariants();
        assert!(
            rope.chunks()
                .eq(chunks.iter().map(|chunk| &chunk.bytes[..]))
        );
        let (rope, bytes, room) = &self.rope_mut;
        rope.debug_assert_invariants();
        assert_eq!(rope, bytes);
        assert_eq!(rope.spare_bytes(), *room);
    }
}

/// Takes the first `count` bytes out of the chunks.
fn cut_chunks(chunks: &mut VecDeque<Shown>, count: usize) -> VecDeque<Shown> {
    let mut front = VecDeque::new();
    let mut left = count;
    while left > 0 {
        let first = chunks.front_mut().expect("as many bytes as are taken");
        let here = left.min(first.bytes.len());
        left -= here;
        front.push_back(first.split_to(here));
        if first.bytes.is_empty() {
            chunks.pop_front();
        }
    }
    front
}

fn at<T>(list: &mut [T], pick: u8) -> Option<&mut T> {
    let index = usize::from(pick).checked_rem(list.len())?;
    list.get_mut(index)
}

fn take<T>(list: &mut Vec<T>, pick: u8) -> Option<T> {
    let index = usize::from(pick).checked_rem(list.len())?;
    Some(list.swap_remove(index))
}
