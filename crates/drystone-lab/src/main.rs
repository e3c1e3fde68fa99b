//! The program `drystone`.

fn main() -> std::process::ExitCode {
    drystone_lab::Lab::new().run()
}
