//! The C header of drystone-malloc, written from its sources.

use crate::args::Args;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// Where the functions are that C programs see, in the order of the header.
pub(crate) const SOURCES: &[&str] = &[
    "crates/drystone-malloc/src/family.rs",
    "crates/drystone-malloc/src/info.rs",
];

pub(crate) const HEADER: &str = "crates/drystone-malloc/include/drystone_malloc.h";

const HEAD: &str = "\
/* What libdrystone_malloc exports. Written from its sources by `cargo xtask c-header --write`.
 *
 * Most of it is in <stdlib.h> and <malloc.h> too, with the same types: the compiler would say so if it were
 * not. A program needs this file for what its C library does not declare. */
#ifndef DRYSTONE_MALLOC_H
#define DRYSTONE_MALLOC_H

#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

#ifdef __THROW
#define DRYSTONE_NOTHROW __THROW
#elif defined __cplusplus
#define DRYSTONE_NOTHROW noexcept
#else
#define DRYSTONE_NOTHROW
#endif

#ifdef __cplusplus
extern \"C\" {
#endif
";

const FOOT: &str = "
#ifdef __cplusplus
}
#endif

#endif
";

pub(crate) fn command(mut args: Args) -> Result<(), Failure> {
    let write = args.flag("--write");
    args.finish()?;
    let workspace = Workspace::load()?;
    let read = |path: &str| {
        std::fs::read_to_string(workspace.root.join(path))
            .map_err(|error| Failure::failed(format!("{path}: {error}")))
    };
    let sources = SOURCES.iter().map(|path| read(path));
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    let header = header(&sources).map_err(Failure::failed)?;
    if write {
        return std::fs::write(workspace.root.join(HEADER), header)
            .map_err(|error| Failure::failed(format!("{HEADER}: {error}")));
    }
    match read(HEADER)? == header {
        true => Ok(()),
        false => Err(Failure::failed(format!(
            "{HEADER} is not what its sources say; `cargo xtask c-header --write` writes it"
        ))),
    }
}

/// The header of these sources.
pub(crate) fn header<S: AsRef<str>>(sources: &[S]) -> Result<String, String> {
    let mut text = HEAD.to_owned();
    for source in sources {
        for function in functions(source.as_ref())? {
            text += "\n";
            text += &function;
        }
    }
    Ok(text + FOOT)
}

/// The declarations of every function of a source that keeps its name.
fn functions(source: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut docs: Vec<&str> = Vec::new();
    let mut glibc_only = false;
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if let Some(doc) = line.strip_prefix("///") {
            docs.push(doc.trim());
        } else if line == "#[cfg(target_env = \"gnu\")]" {
            glibc_only = true;
        } else if line == "#[unsafe(no_mangle)]" {
            let mut signature = String::new();
            for line in lines.by_ref() {
                signature += line.trim();
                signature += " ";
                if line.ends_with('{') {
                    break;
                }
            }
            found.push(declaration(&signature, &docs, glibc_only)?);
        } else {
            docs.clear();
            glibc_only = false;
        }
    }
    Ok(found)
}

fn declaration(signature: &str, docs: &[&str], glibc_only: bool) -> Result<String, String> {
    let unknown = || format!("no C function: {signature}");
    let (_, rest) = signature.split_once(" fn ").ok_or_else(unknown)?;
    let (name, rest) = rest.split_once('(').ok_or_else(unknown)?;
    let (arguments, rest) = rest.split_once(')').ok_or_else(unknown)?;
    let answer = rest
        .trim()
        .trim_end_matches('{')
        .trim()
        .trim_start_matches("->")
        .trim();
    let arguments = arguments
        .split(',')
        .map(str::trim)
        .filter(|argument| !argument.is_empty())
        .map(|argument| {
            let (name, rust) = argument.split_once(':').ok_or_else(unknown)?;
            Ok(spaced(c_type(rust.trim())?, name.trim_start_matches('_')))
        })
        .collect::<Result<Vec<_>, String>>()?;
    let arguments = match arguments.is_empty() {
        true => "void".to_owned(),
        false => arguments.join(", "),
    };
    // What Rust programmers are told about unsafe calls is C's everyday life.
    let safety = docs.iter().position(|line| *line == "# Safety");
    let docs = docs[..safety.unwrap_or(docs.len())].join("\n * ");
    let docs = docs.trim_end_matches(['\n', ' ', '*']).replace('`', "");
    let function = spaced(c_type(answer)?, name);
    let mut text = format!("/* {docs} */\n{function}({arguments}) DRYSTONE_NOTHROW;\n");
    if glibc_only {
        text = format!("#ifdef __GLIBC__\n{text}#endif\n");
    }
    Ok(text)
}

fn c_type(rust: &str) -> Result<&'static str, String> {
    Ok(match rust {
        "" => "void",
        "usize" => "size_t",
        "c_int" => "int",
        "*mut c_void" => "void *",
        "*mut *mut c_void" => "void **",
        "libc::mallinfo" => "struct mallinfo",
        "libc::mallinfo2" => "struct mallinfo2",
        _ => return Err(format!("no C type is known for `{rust}`")),
    })
}

/// A type and a name; a pointer's star is at the name.
fn spaced(c_type: &str, name: &str) -> String {
    let space = if c_type.ends_with('*') { "" } else { " " };
    format!("{c_type}{space}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
/// Not seen.
fn inner() {}

/// A block of `size` bytes.
///
/// # Safety
///
/// None.
#[unsafe(no_mangle)]
pub unsafe extern \"C\" fn take(
    place: *mut *mut c_void,
    _size: usize,
) -> c_int {
    0
}

/// Prints.
#[cfg(target_env = \"gnu\")]
#[unsafe(no_mangle)]
pub extern \"C\" fn print() {
}
";

    #[test]
    fn functions_that_keep_their_names_are_declared_with_their_docs() {
        let expected = [
            "/* A block of size bytes. */\nint take(void **place, size_t size) DRYSTONE_NOTHROW;\n",
            "#ifdef __GLIBC__\n/* Prints. */\nvoid print(void) DRYSTONE_NOTHROW;\n#endif\n",
        ];
        assert_eq!(functions(SOURCE).unwrap(), expected);
    }

    #[test]
    fn a_type_without_a_c_name_is_an_error() {
        let source = SOURCE.replace("usize", "String");
        assert_eq!(
            functions(&source),
            Err("no C type is known for `String`".to_owned())
        );
    }
}
