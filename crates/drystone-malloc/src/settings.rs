//! The settings: what the environment's variables with the prefix say.
#![forbid(unsafe_code)]

/// What the names of settings begin with.
pub(crate) const PREFIX: &[u8] = b"DRYSTONE_";

/// What the library obeys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `DRYSTONE_STATS=1`: a table at the process's exit.
    pub(crate) stats: bool,
}

/// A variable that has the prefix and is not obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotObeyed<'a> {
    /// There is no such setting.
    Unknown { name: &'a [u8] },
    /// The build lacks the setting.
    #[cfg(not(feature = "record"))]
    NotBuilt {
        name: &'a [u8],
        feature: &'static str,
    },
    /// The setting does not take this value.
    Value {
        name: &'a [u8],
        allowed: &'static str,
    },
}

impl Settings {
    /// Takes a variable in, `NAME=value`.
    pub(crate) fn take<'a>(&mut self, variable: &'a [u8]) -> Result<(), NotObeyed<'a>> {
        let Some(setting) = variable.strip_prefix(PREFIX) else {
            return Ok(());
        };
        let equals = variable.iter().position(|byte| *byte == b'=');
        let name = &variable[..equals.unwrap_or(variable.len())];
        match setting {
            b"STATS=0" => self.stats = false,
            b"STATS=1" => self.stats = true,
            _ if setting.starts_with(b"STATS=") => {
                return Err(NotObeyed::Value {
                    name,
                    allowed: "0 or 1",
                });
            }
            // What they say is read where it is obeyed.
            #[cfg(feature = "record")]
            _ if name == b"DRYSTONE_TRACE" || name == b"DRYSTONE_TRACE_PROCESS" => {}
            #[cfg(not(feature = "record"))]
            _ if name == b"DRYSTONE_TRACE" => {
                let feature = "record";
                return Err(NotObeyed::NotBuilt { name, feature });
            }
            // Says whom the other one is for.
            #[cfg(not(feature = "record"))]
            _ if name == b"DRYSTONE_TRACE_PROCESS" => {}
            _ => return Err(NotObeyed::Unknown { name }),
        }
        Ok(())
    }
}
