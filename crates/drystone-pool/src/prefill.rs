//! Prefill: all slots at once, without touching a byte of them.

use crate::ConfigError;
use crate::core::Core;

impl Core {
    /// Makes the slots that the configuration asks for.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfMemory`] if the source refuses.
    pub(crate) fn prefill(&self) -> Result<(), ConfigError> {
        let each = self.prefill_each();
        for (class, own) in self.classes.iter().enumerate() {
            let wanted = own.shape.limit.min(each);
            while own.created() < wanted {
                let chain = self.make(class, wanted - own.created());
                if chain.is_empty() {
                    return Err(ConfigError::OutOfMemory {
                        field: "prefill",
                        value: wanted as usize * own.shape.stride,
                    });
                }
                self.publish_all(class, chain);
            }
        }
        Ok(())
    }

    /// How many slots of each class the budget has room for, as far as classes may have them.
    fn prefill_each(&self) -> u32 {
        let fits = |each: u32| {
            let bytes = self
                .classes
                .iter()
                .map(|class| u128::from(class.shape.limit.min(each)) * class.shape.stride as u128);
            bytes.sum::<u128>() <= self.budget.limit().unwrap_or(usize::MAX) as u128
        };
        // The most for which `fits`, between bounds of which the lower one does and the upper does not.
        let (mut low, mut high) = (0, u32::MAX);
        if fits(high) {
            return high;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}
