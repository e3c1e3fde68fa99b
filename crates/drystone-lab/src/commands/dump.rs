//! `drystone dump`: a trace as stable text.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::process::ExitCode;

use drystone_trace::Trace;

use crate::cli::DumpArgs;
use crate::error::Failure;

pub(crate) fn run(args: &DumpArgs) -> Result<ExitCode, Failure> {
    let trace = Trace::read(&args.trace)?;
    let (name, written) = match &args.output {
        Some(path) => {
            let name = path.display().to_string();
            let file =
                File::create(path).map_err(|e| Failure::io(&name, "cannot create it", &e))?;
            let mut output = BufWriter::new(file);
            (
                name,
                trace.write_dump(&mut output).and_then(|()| output.flush()),
            )
        }
        None => {
            let mut output = BufWriter::new(std::io::stdout().lock());
            let written = trace.write_dump(&mut output).and_then(|()| output.flush());
            ("standard output".to_owned(), written)
        }
    };
    match written {
        // The reader, `head` for instance, has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::io(&name, "cannot write it", &error))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
