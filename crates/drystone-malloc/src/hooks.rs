//! What the loader has the library do when the process begins and ends.
//!
//! Nothing depends on it: memory is served before the first hook runs and after the last.

use core::ffi::{CStr, c_char};

use drystone_sync::atomic::{AtomicBool, Ordering};

use crate::info;
use crate::output::Text;
use crate::settings::{NotObeyed, Settings};

/// Whether there is a table to print at the end.
static STATS: AtomicBool = AtomicBool::new(false);

#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

unsafe extern "C" {
    /// The variables of the environment, the last of them null.
    static environ: *const *const c_char;
}

extern "C" fn begin() {
    #[cfg(feature = "hardened")]
    crate::copies::begin();
    // A program that runs with rights its user does not have takes no orders from that user.
    // SAFETY: no requirements.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        #[cfg(feature = "record")]
        crate::record::decline();
        return;
    }
    #[cfg(feature = "record")]
    crate::record::begin();
    let mut settings = Settings::default();
    each_variable(|variable| {
        if let Err(not_obeyed) = settings.take(variable) {
            say(not_obeyed);
        }
    });
    // Relaxed: whoever reads it does so in a later call of the same process.
    STATS.store(settings.stats, Ordering::Relaxed);
}

extern "C" fn end() {
    #[cfg(feature = "record")]
    crate::record::end();
    if STATS.load(Ordering::Relaxed) {
        info::print_stats();
    }
    #[cfg(feature = "hardened")]
    crate::heap::at_exit();
}

fn each_variable(mut f: impl FnMut(&[u8])) {
    // SAFETY: the loader has set it, and no other thread runs that could change it.
    let mut at = unsafe { environ };
    if at.is_null() {
        return;
    }
    loop {
        // SAFETY: inside the array, which ends with a null.
        let variable = unsafe { at.read() };
        if variable.is_null() {
            return;
        }
        // SAFETY: each variable is a C string.
        f(unsafe { CStr::from_ptr(variable) }.to_bytes());
        // SAFETY: the entry was not the last.
        at = unsafe { at.add(1) };
    }
}

fn say(not_obeyed: NotObeyed<'_>) {
    let mut text = Text::new();
    text.push(b"drystone: ");
    match not_obeyed {
        NotObeyed::Unknown { name } => {
            text.push(name);
            text.push(b" is no setting; it is not obeyed\n");
        }
        #[cfg(not(feature = "record"))]
        NotObeyed::NotBuilt { name, feature } => {
            text.push(name);
            text.push(b" needs a build with the feature ");
            text.push(feature.as_bytes());
            text.push(b"; it is not obeyed\n");
        }
        NotObeyed::Value { name, allowed } => {
            text.push(name);
            text.push(b" must be ");
            text.push(allowed.as_bytes());
            text.push(b"; it is not obeyed\n");
        }
    }
    text.to_standard_error();
}
