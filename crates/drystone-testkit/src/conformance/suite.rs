//! The macros that make a test of each promise.

/// A module of tests, one for each promise of an allocator.
///
/// `conformance_suite!(name, make, caps)` tests what every [`Allocator`](drystone_core::Allocator)
/// promises. After a semicolon follow the further promises that the type makes: `owns`, `reset`,
/// `stable_address`, `inspect`, `sends` (it is `Send`), `shares` (it is `Sync`).
///
/// `make` is called for every fresh allocator; what it names must be visible where the macro is
/// used.
///
/// ```
/// use drystone_testkit::FirstFit;
/// use drystone_testkit::conformance::Caps;
///
/// drystone_testkit::conformance_suite!(
///     first_fit,
///     || FirstFit::new(64 << 10),
///     Caps::new(256, 64, 64).reuses_memory().bounded();
///     owns, reset, stable_address, inspect, sends
/// );
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance_suite {
    ($name:ident, $make:expr, $caps:expr $(,)?) => {
        $crate::conformance_suite!($name, $make, $caps;);
    };
    ($name:ident, $make:expr, $caps:expr; $($promise:ident),* $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "what `make` and `caps` name, if anything")]
            use super::*;

            $crate::conformance_test!(
                $make, $caps, basic_round_trip, alignment, lengths, refuses_absurd_sizes, disjoint,
                zeroed, fits, usable_size, grow_shrink, resize_refusal, exhaustion, capacity,
                corruption_events, dyn_usable, $($promise,)*
            );
        }
    };
}

/// One test for each check named, as [`conformance_suite!`] does it.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_test {
    ($make:expr, $caps:expr $(,)?) => {};
    ($make:expr, $caps:expr, $promise:ident $(, $rest:ident)* $(,)?) => {
        #[test]
        fn $promise() {
            $crate::conformance::$promise($make, $caps);
        }
        $crate::conformance_test!($make, $caps $(, $rest)*);
    };
}

/// A module of tests, one for each group of laws of a [`FixedRange`](drystone_core::FixedRange).
///
/// `range_suite!(name, make)`; with `; stable_range` for a type that is
/// [`StableAddress`](drystone_core::StableAddress).
///
/// ```
/// use drystone_core::{HeapSegment, NonZeroLayout};
///
/// drystone_testkit::range_suite!(
///     heap_segment,
///     || HeapSegment::new(NonZeroLayout::array::<u64>(100).unwrap()).unwrap();
///     stable_range
/// );
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! range_suite {
    ($name:ident, $make:expr $(,)?) => {
        $crate::range_suite!($name, $make;);
    };
    ($name:ident, $make:expr; $($promise:ident),* $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "what `make` names, if anything")]
            use super::*;

            #[test]
            fn fixed_range() {
                $crate::conformance::fixed_range(&($make)());
            }

            #[test]
            fn fixed_range_contents() {
                $crate::conformance::fixed_range_contents($make);
            }

            $(
                #[test]
                fn $promise() {
                    $crate::conformance::$promise($make);
                }
            )*
        }
    };
}
