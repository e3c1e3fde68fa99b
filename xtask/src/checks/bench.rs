//! The benchmark tables.

use crate::args::Args;
use crate::exec::Cmd;
use crate::failure::Failure;

/// The benches package owns the rows and their arguments.
pub(crate) fn command(args: Args) -> Result<(), Failure> {
    Cmd::cargo("run")
        .args(["--release", "-p", "drystone-benches", "--bin", "rows", "--"])
        .args(args.all())
        .run()
}
