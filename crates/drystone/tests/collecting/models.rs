//! The collections beside those of the standard library: the same operations, the same results.
//!
//! A model is a macro, because each trait has its own collections, which agree in their methods and
//! in no trait.

/// `fn $name(allocator, steps)`: a vector of `$vec` and a `std::vec::Vec`.
macro_rules! vec_model {
    ($name:ident, $vec:path, $($bound:tt)+) => {
        fn $name<T: Value, A: $($bound)+>(allocator: &A, steps: &[Step]) {
            use $vec as OurVec;
            let mut ours = OurVec::<T, A>::new_in(allocator.clone());
            let mut theirs = std::vec::Vec::<T>::new();
            for &step in steps {
                let value = T::of(step.value);
                let position = step.position(theirs.len());
                match (step.kind % 20, step.index(theirs.len())) {
                    (0..=4, _) if theirs.len() < LEN_MAX => {
                        ours.push(value.clone());
                        theirs.push(value);
                    }
                    (5 | 6, _) => assert_eq!(ours.pop(), theirs.pop()),
                    (7 | 8, _) if theirs.len() < LEN_MAX => {
                        ours.insert(position, value.clone());
                        theirs.insert(position, value);
                    }
                    (9, Some(index)) => assert_eq!(ours.remove(index), theirs.remove(index)),
                    (10, Some(index)) => {
                        assert_eq!(ours.swap_remove(index), theirs.swap_remove(index));
                    }
                    (11, Some(index)) => {
                        ours[index] = value.clone();
                        theirs[index] = value;
                    }
                    (12, _) => {
                        ours.truncate(position);
                        theirs.truncate(position);
                    }
                    (13, _) => {
                        ours.reserve(position);
                        assert!(ours.capacity() >= ours.len() + position);
                    }
                    (14, _) => ours.shrink_to_fit(),
                    (15, _) => {
                        let drained: std::vec::Vec<T> = ours.drain(..position).collect();
                        assert_eq!(drained, theirs.drain(..position).collect::<std::vec::Vec<_>>());
                    }
                    (16, _) => ours = ours.clone(),
                    (17, _) => {
                        let (ours_tail, theirs_tail) = (ours.split_off(position), theirs.split_off(position));
                        assert_eq!(ours_tail.as_slice(), theirs_tail.as_slice());
                    }
                    (18, _) if theirs.len() + 9 < LEN_MAX => {
                        let more = std::iter::repeat_n(value, 9);
                        ours.extend(more.clone());
                        theirs.extend(more);
                    }
                    (19, _) => {
                        ours.dedup();
                        theirs.dedup();
                    }
                    _ => {}
                }
                assert_eq!(ours.as_slice(), theirs.as_slice());
            }
            assert!(ours.into_iter().eq(theirs));
        }
    };
}

/// `fn $name(allocator, steps)`: boxes of `$boxed` beside boxes of the standard library.
macro_rules! box_model {
    ($name:ident, $boxed:path, $vec:path, $($bound:tt)+) => {
        fn $name<T: Value, A: $($bound)+>(allocator: &A, steps: &[Step]) {
            use $boxed as OurBox;
            use $vec as OurVec;
            type Pair<T, A> = (OurBox<T, A>, OurBox<[T], A>, std::boxed::Box<(T, usize)>);
            let mut pairs = std::vec::Vec::<Pair<T, A>>::new();
            for &step in steps {
                let value = T::of(step.value);
                match (step.kind % 6, step.index(pairs.len())) {
                    (0..=1, _) if pairs.len() < LEN_MAX => {
                        let count = step.position(5);
                        let mut slice = OurVec::new_in(allocator.clone());
                        slice.resize(count, value.clone());
                        pairs.push((
                            OurBox::new_in(value.clone(), allocator.clone()),
                            slice.into_boxed_slice(),
                            std::boxed::Box::new((value, count)),
                        ));
                    }
                    (2, Some(index)) => drop(pairs.swap_remove(index)),
                    (3, Some(index)) => {
                        *pairs[index].0 = value.clone();
                        pairs[index].2.0 = value.clone();
                        pairs[index].1.fill(value);
                    }
                    (4, Some(index)) => pairs[index].0 = pairs[index].0.clone(),
                    (5, Some(index)) => pairs[index].1 = pairs[index].1.clone(),
                    _ => {}
                }
                if let Some(index) = step.index(pairs.len()) {
                    let (one, many, theirs) = &pairs[index];
                    assert_eq!(**one, theirs.0);
                    assert_eq!(many.len(), theirs.1);
                    assert!(many.iter().all(|element| *element == theirs.0));
                }
            }
            for (one, many, theirs) in &pairs {
                assert_eq!(**one, theirs.0);
                assert_eq!(many.len(), theirs.1);
                assert!(many.iter().all(|element| *element == theirs.0));
            }
        }
    };
}
