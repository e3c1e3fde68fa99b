//! Pools may be used across [`catch_unwind`](std::panic::catch_unwind).
//!
//! A call that panics says so in its documentation and changes nothing before it does. A waker that
//! panics ends the process.

use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::{AllocAsync, BufferPool, RegisteredRegion};

impl UnwindSafe for AllocAsync {}
impl RefUnwindSafe for AllocAsync {}
impl UnwindSafe for BufferPool {}
impl RefUnwindSafe for BufferPool {}
impl UnwindSafe for RegisteredRegion {}
impl RefUnwindSafe for RegisteredRegion {}
