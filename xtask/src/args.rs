//! The words after a command's name.

use crate::failure::Failure;

/// Arguments that have not been taken yet. A command takes what it knows and then calls
/// [`Args::finish`], which refuses the rest: no flag is ignored.
pub(crate) struct Args {
    words: Vec<String>,
    /// What follows `--`.
    trailing: Vec<String>,
}

impl Args {
    pub(crate) fn new(words: impl Iterator<Item = String>) -> Self {
        let mut words: Vec<String> = words.collect();
        let trailing = match words.iter().position(|word| word == "--") {
            Some(at) => {
                let rest = words.split_off(at);
                rest.into_iter().skip(1).collect()
            }
            None => Vec::new(),
        };
        Self { words, trailing }
    }

    /// Takes the flag `name`; true if it was given.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() != before
    }

    /// Takes every `name VALUE` and `name=VALUE`, in order.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let mut rest = Vec::new();
        let mut words = std::mem::take(&mut self.words).into_iter();
        while let Some(word) = words.next() {
            if word == name {
                let value = words.next().filter(|value| !value.starts_with('-'));
                found.push(value.ok_or_else(|| Failure::usage(format!("{name} needs a value")))?);
            } else if let Some(value) = word.strip_prefix(name).and_then(|v| v.strip_prefix('=')) {
                found.push(value.to_owned());
            } else {
                rest.push(word);
            }
        }
        self.words = rest;
        Ok(found)
    }

    /// Takes `name VALUE`, which may be given once.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let mut found = self.values(name)?;
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(Failure::usage(format!("{name} is given twice"))),
        }
    }

    /// Takes the words that are not flags. Call it after every flag has been taken.
    pub(crate) fn positional(&mut self) -> Result<Vec<String>, Failure> {
        self.refuse_flags()?;
        Ok(std::mem::take(&mut self.words))
    }

    /// Takes what follows `--`.
    pub(crate) fn trailing(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trailing)
    }

    /// Everything, in order, for a command that hands its arguments to another program.
    pub(crate) fn all(self) -> Vec<String> {
        self.words.into_iter().chain(self.trailing).collect()
    }

    /// Refuses whatever was not taken.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.refuse_flags()?;
        match self.words.iter().chain(&self.trailing).next() {
            Some(word) => Err(Failure::usage(format!("unexpected argument `{word}`"))),
            None => Ok(()),
        }
    }

    fn refuse_flags(&self) -> Result<(), Failure> {
        match self.words.iter().find(|word| word.starts_with('-')) {
            Some(word) => Err(Failure::usage(format!("unknown flag `{word}`"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Args {
        Args::new(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn takes_flags_values_and_positionals() {
        let mut given = args(&[
            "slab",
            "--seconds",
            "5",
            "-p",
            "a",
            "-p=b",
            "--tree",
            "--",
            "x",
        ]);
        assert!(given.flag("--tree"));
        assert!(!given.flag("--tree"));
        assert_eq!(given.value("--seconds").unwrap().as_deref(), Some("5"));
        assert_eq!(given.values("-p").unwrap(), ["a", "b"]);
        assert_eq!(given.trailing(), ["x"]);
        assert_eq!(given.positional().unwrap(), ["slab"]);
        assert_eq!(given.finish(), Ok(()));
    }

    #[test]
    fn refuses_what_nobody_took() {
        assert_eq!(
            args(&["--nope"]).finish(),
            Err(Failure::usage("unknown flag `--nope`"))
        );
        assert_eq!(
            args(&["x"]).finish(),
            Err(Failure::usage("unexpected argument `x`"))
        );
        assert_eq!(
            args(&["--", "x"]).finish(),
            Err(Failure::usage("unexpected argument `x`"))
        );
    }

    #[test]
    fn refuses_missing_and_double_values() {
        let missing = Err(Failure::usage("--seconds needs a value"));
        assert_eq!(args(&["--seconds"]).value("--seconds"), missing);
        assert_eq!(args(&["--seconds", "--tree"]).value("--seconds"), missing);
        let twice = args(&["--seconds=1", "--seconds=2"]).value("--seconds");
        assert_eq!(twice, Err(Failure::usage("--seconds is given twice")));
    }
}
