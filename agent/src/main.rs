//! The program `lifeboat`; everything is in the library.

fn main() -> std::process::ExitCode {
    lifeboat::main()
}
