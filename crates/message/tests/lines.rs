//! Many messages in one buffer.

use metlog_message::Lines;

fn texts(lines: &Lines) -> Vec<&str> {
    lines.iter().map(|line| std::str::from_utf8(line).expect("ASCII")).collect()
}

#[test]
fn every_message_is_a_line() {
    let mut lines = Lines::new();
    lines.push(b"one");
    lines.push_with(|out| out.extend_from_slice(b"two"));
    lines.append(&["three", ""].into_iter().collect());
    assert_eq!(texts(&lines), ["one", "two", "three", ""]);
    assert_eq!(lines.bytes(), b"one\ntwo\nthree\n\n");
    assert_eq!((lines.get(2), lines.get(4)), (Some(b"three".as_slice()), None));
}

#[test]
fn the_front_is_taken_off() {
    for count in 0..6 {
        let mut lines: Lines = ["a", "bb", "ccc", "d"].into_iter().collect();
        lines.drop_first(count);
        let left: Vec<&str> = ["a", "bb", "ccc", "d"].into_iter().skip(count).collect();
        assert_eq!(lines, left.iter().collect(), "{count}");
        lines.push(b"e");
        assert_eq!(lines.get(left.len()), Some(b"e".as_slice()), "{count}");
    }
    let mut lines = Lines::new();
    lines.drop_first(1);
    assert!(lines.is_empty());
}
