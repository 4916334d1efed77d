//! The shortest useful program: `cargo run --example hello`.

fn main() -> Result<(), metlog::Error> {
    // The same text could stand in a file: `metlog::init("metlog.ini")`.
    let _guard = metlog::from_text(
        "
        [metlog]
        logger = hello
        sender_class = stdout
        ",
        "metlog",
    )?
    .guard();

    let name = "world";
    metlog::info!("hello, {}", name; answer = 42);
    metlog::incr!("greetings");
    metlog::timer_send!("greeting", 3);
    if let Err(error) = "x".parse::<u8>() {
        metlog::exception!(error, "a number was expected");
    }
    Ok(())
}
