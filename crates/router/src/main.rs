//! The program `metlog-router`. One with plugins of your own is this file with their names above:
//! `use my_endpoint as _;`.

fn main() -> std::process::ExitCode {
    metlog_router::main()
}
