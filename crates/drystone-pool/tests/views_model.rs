//! Views against `bytes::Bytes` and `Vec`: the same operations give the same bytes.
#![cfg(feature = "bytes")]

use bytes::{Buf, BufMut, Bytes, BytesMut};
use drystone_pool::{IoBuf, IoBufMut, IoBufs};
use proptest::prelude::*;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 10 } else { 3000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..60)
}

/// What may be done to a view, with positions as parts of 256 of its length.
#[derive(Clone, Debug)]
enum Step {
    SplitTo(u8),
    SplitOff(u8),
    Slice(u8, u8),
    Advance(u8),
    Truncate(u8),
    Clone,
    CopyToBytes(u8),
    Get16,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<u8>().prop_map(Step::SplitTo),
        any::<u8>().prop_map(Step::SplitOff),
        any::<(u8, u8)>().prop_map(|(a, b)| Step::Slice(a.min(b), a.max(b))),
        any::<u8>().prop_map(Step::Advance),
        any::<u8>().prop_map(Step::Truncate),
        Just(Step::Clone),
        any::<u8>().prop_map(Step::CopyToBytes),
        Just(Step::Get16),
    ]
}

/// `part` of 255 of `len`.
fn position(part: u8, len: usize) -> usize {
    usize::from(part) * len / 255
}

/// Does the same to both, and keeps what came off in `parts`.
fn apply(step: &Step, view: &mut IoBuf, bytes: &mut Bytes, parts: &mut Vec<(IoBuf, Bytes)>) {
    let len = bytes.len();
    match *step {
        Step::SplitTo(at) => {
            let at = position(at, len);
            parts.push((view.split_to(at), bytes.split_to(at)));
        }
        Step::SplitOff(at) => {
            let at = position(at, len);
            parts.push((view.split_off(at), bytes.split_off(at)));
        }
        Step::Slice(start, end) => {
            let range = position(start, len)..position(end, len);
            parts.push((view.slice(range.clone()), bytes.slice(range)));
        }
        Step::Advance(count) => {
            view.advance(position(count, len));
            bytes.advance(position(count, len));
        }
        Step::Truncate(to) => {
            view.truncate(position(to, len));
            bytes.truncate(position(to, len));
        }
        Step::Clone => parts.push((view.clone(), bytes.clone())),
        Step::CopyToBytes(count) => {
            let count = position(count, len);
            assert_eq!(view.copy_to_bytes(count), bytes.copy_to_bytes(count));
        }
        Step::Get16 => assert_eq!(view.try_get_u16(), bytes.try_get_u16()),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_view_is_what_bytes_are(
        content in some_bytes(),
        steps in proptest::collection::vec(step(), 0..20),
        origin in 0..4,
    ) {
        let mut bytes = Bytes::from(content.clone());
        let mut view = match origin {
            0 => IoBuf::copy_from_slice(&content),
            1 => IoBuf::from(content),
            2 => IoBuf::from(bytes.clone()),
            _ => IoBuf::from(BytesMut::from(&content[..])),
        };
        let mut parts = Vec::new();
        for step in &steps {
            apply(step, &mut view, &mut bytes, &mut parts);
            prop_assert_eq!(&view, &bytes);
            prop_assert_eq!(view.remaining(), bytes.remaining());
            prop_assert_eq!(view.is_empty(), bytes.is_empty());
        }
        for (view, bytes) in parts {
            prop_assert_eq!(&view, &bytes);
            prop_assert_eq!(Bytes::from(view), bytes);
        }
    }

    #[test]
    fn a_buffer_takes_what_fits(
        capacity in 0..80usize,
        writes in proptest::collection::vec(some_bytes(), 0..6),
    ) {
        let mut buf = IoBufMut::with_capacity(capacity);
        let mut model = Vec::new();
        for write in writes {
            let fits = model.len() + write.len() <= capacity;
            prop_assert_eq!(buf.try_put_slice(&write).is_ok(), fits);
            if fits {
                model.extend_from_slice(&write);
            }
            prop_assert_eq!(&buf, &model);
            prop_assert_eq!(buf.remaining_mut(), capacity - model.len());
        }
        prop_assert_eq!(buf.freeze(), model);
    }

    #[test]
    fn a_rope_is_a_chain(chunks in proptest::collection::vec(some_bytes(), 0..7), at in any::<u8>()) {
        let whole = chunks.concat();
        let mut rope: IoBufs = chunks.iter().map(|chunk| IoBuf::copy_from_slice(chunk)).collect();
        prop_assert_eq!(&rope, &whole);
        let at = position(at, whole.len());
        let mut front = rope.split_to(at);
        prop_assert_eq!(front.copy_to_bytes(at), &whole[..at]);
        prop_assert_eq!(rope.coalesce(), &whole[at..]);
    }
}
