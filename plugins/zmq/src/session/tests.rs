use super::*;

const LIMIT: usize = 1000;

fn sub() -> Role {
    Role::Sub(vec![Vec::new()])
}

/// What a peer of version 3 says before its first message.
fn hello(kind: &str) -> Vec<u8> {
    let mut text = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    text.extend_from_slice(b"NULL");
    text.resize(GREETING, 0);
    // The name of the property as no peer writes it, which they may.
    let ready =
        [b"\x05READY\x08Identity\0\0\0\x01x\x0bsocket-TYPE\0\0\0", &[kind.len() as u8][..], kind.as_bytes()].concat();
    frame(&mut text, IS_COMMAND, &ready);
    text
}

#[derive(Debug, Default, PartialEq)]
struct Heard {
    out: Vec<u8>,
    messages: Vec<Vec<u8>>,
    end: Option<Violation>,
}

/// What comes of these bytes, cut into pieces of this size.
fn hear(session: &mut Session, input: &[u8], piece: usize) -> Heard {
    let mut heard = Heard::default();
    for piece in input.chunks(piece) {
        let messages = &mut heard.messages;
        if let Err(end) = session.feed(piece, &mut heard.out, &mut |message| messages.push(message.to_vec())) {
            heard.end = Some(end);
            break;
        }
    }
    heard
}

/// The same, which must not depend on where the bytes are cut.
fn hear_all(role: &Role, input: &[u8]) -> Heard {
    let whole = hear(&mut Session::new(role.clone(), LIMIT), input, usize::MAX);
    for piece in 1..input.len().min(100) {
        let again = hear(&mut Session::new(role.clone(), LIMIT), input, piece);
        assert_eq!(again, whole, "in pieces of {piece}");
    }
    whole
}

#[test]
fn a_publisher_of_today() {
    let long = vec![b'x'; 300];
    let mut input = hello("PUB");
    frame(&mut input, 0, b"{}");
    frame(&mut input, 0, &long);
    // A topic before the message, and a heartbeat between the two.
    frame(&mut input, MORE, b"topic");
    frame(&mut input, IS_COMMAND, b"\x04PING\0\x0ahello");
    frame(&mut input, 0, b"last");
    frame(&mut input, IS_COMMAND, b"\x07WHATEVER");
    frame(&mut input, 0, b"");
    let heard = hear_all(&sub(), &input);
    assert_eq!((&heard.messages, &heard.end), (&vec![b"{}".to_vec(), long, b"last".to_vec(), Vec::new()], &None));
    let answer = heard.out.strip_prefix(&[3][..]).expect("our version");
    let (greeting, rest) = answer.split_at(GREETING - 11);
    assert_eq!(greeting[..6], *b"\0NULL\0");
    let mut expected = Vec::new();
    frame(&mut expected, IS_COMMAND, b"\x05READY\x0bSocket-Type\0\0\0\x03SUB");
    expected.extend_from_slice(&[0, 1, 1]);
    frame(&mut expected, IS_COMMAND, b"\x04PONGhello");
    assert_eq!(rest, expected);
}

#[test]
fn publishers_of_libzmq_3_and_2() {
    let two = [&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1, 1, 0, 2][..], b"id", &[0, 2], b"{}"].concat();
    let heard = hear_all(&sub(), &two);
    assert_eq!((heard.messages, heard.end), (vec![b"{}".to_vec()], None));
    assert_eq!(heard.out, [3, 2, 0, 0, 0, 1, 1]);

    // With and without an identity, which may be long enough to look like a signature at first.
    let long = [&[0xff, 0, 0, 0, 0, 0, 0, 0, 251, 0][..], &[b'i'; 250]].concat();
    for identity in [&[1, 0][..], &[3, 0, b'i', b'd'], &long] {
        let body = vec![b'x'; 400];
        let mut one = identity.to_vec();
        frame_v1(&mut one, 0, b"{}");
        frame_v1(&mut one, MORE, b"topic");
        frame_v1(&mut one, 0, &body);
        frame_v1(&mut one, 0, &[b'y'; 254]);
        let heard = hear_all(&sub(), &one);
        assert_eq!((heard.messages, heard.end), (vec![b"{}".to_vec(), body, vec![b'y'; 254]], None));
        assert!(heard.out.is_empty(), "it would take a subscription for nonsense");
    }
}

#[test]
fn prefixes_are_matched_here_for_publishers_of_libzmq_2() {
    let role = Role::Sub(vec![b"a".to_vec(), b"{".to_vec()]);
    let mut one = vec![1, 0];
    for (flags, body) in [(0, &b"{}"[..]), (0, b"b"), (MORE, b"a topic"), (0, b"b"), (MORE, b"b topic"), (0, b"{}")] {
        frame_v1(&mut one, flags, body);
    }
    assert_eq!(hear_all(&role, &one).messages, [b"{}", &b"b"[..]]);
    let heard = hear_all(&role, &hello("XPUB"));
    assert!(heard.out.ends_with(&[0, 2, 1, b'a', 0, 2, 1, b'{']));
}

#[test]
fn requests_are_answered_by_nothing_on_the_way_they_came() {
    let mut input = hello("REQ");
    let before = hear_all(&Role::Rep, &input).out.len();
    input.extend_from_slice(&[1, 0, 0, 0]);
    input.extend_from_slice(&[1, 2, b'a', b'b', 1, 0, 1, 1, b'x', 0, 1, b'y']);
    let heard = hear_all(&Role::Rep, &input);
    assert_eq!((heard.end, heard.messages.len()), (None, 0));
    assert_eq!(heard.out[before..], [1, 0, 0, 0, 1, 2, b'a', b'b', 1, 0, 0, 0]);

    // libzmq 2: lengths include the flags.
    let heard = hear_all(&Role::Rep, &[1, 0, 1, 1, 1, 0]);
    assert_eq!((heard.out, heard.end), (vec![1, 1, 1, 0], None));
}

#[test]
fn what_may_not_be_is_named() {
    let after = |role: &Role, kind: &str, more: &[u8]| hear_all(role, &[&hello(kind), more].concat()).end;
    let garbled = |end: Option<Violation>, words: &str| match end {
        Some(Violation::Garbled(why)) => assert!(why.contains(words), "{why}"),
        other => panic!("{words}: {other:?}"),
    };
    garbled(after(&sub(), "PUSH", b""), "where a SUB expects PUB");
    garbled(after(&Role::Pull, "PUB", b""), "where a PULL expects PUSH");
    garbled(after(&sub(), "PUB", &[0x80, 0]), "flags");
    garbled(after(&sub(), "PUB", b"\x04\x05\x04PING"), "PING");
    garbled(after(&sub(), "PUB", b"\x04\x06\x05ERROR"), "gave up");
    garbled(after(&Role::Rep, "REQ", &[0, 0]), "without an empty frame");
    garbled(
        after(&Role::Rep, "REQ", &[1, 200].into_iter().chain([b'x'; 200]).collect::<Vec<_>>().repeat(9)),
        "endless",
    );
    garbled(hear_all(&sub(), &[&SIGNATURE[..], &[0]].concat()).end, "version");
    garbled(hear_all(&sub(), &[&SIGNATURE[..], &[1, 8]].concat()).end, "[8]");
    garbled(hear_all(&sub(), &[1, 0, 0]).end, "without flags");
    let mut plain = hello("PUB");
    plain[12..17].copy_from_slice(b"PLAIN");
    garbled(hear_all(&sub(), &plain).end, "\"PLAIN\"");
    garbled(hear_all(&sub(), &[&hello("PUB")[..GREETING], b"\x04\x0b\x05ERROR\x04sour"].concat()).end, "sour");
    garbled(hear_all(&sub(), &[&hello("PUB")[..GREETING], b"\0\x01x"].concat()).end, "before the handshake");
    garbled(hear_all(&sub(), &[&hello("PUB")[..GREETING], b"\x04\x06\x05READY"].concat()).end, "without a socket type");
}

#[test]
fn an_announced_length_is_believed_only_within_the_limit_and_takes_no_memory() {
    for length in [LIMIT as u64 + 1, 1 << 33, 1 << 40, 1 << 62, 1 << 63, u64::MAX] {
        let mut text = [&hello("PUB")[..], &[2]].concat();
        text.extend_from_slice(&length.to_be_bytes());
        assert_eq!(hear_all(&sub(), &text).end, Some(Violation::TooLarge(length)));
        let mut one = vec![1, 0, 0xff];
        one.extend_from_slice(&length.to_be_bytes());
        assert_eq!(
            hear_all(&sub(), &one).end,
            if length == LIMIT as u64 + 1 { None } else { Some(Violation::TooLarge(length - 1)) }
        );
    }
    let mut command = [&hello("PUB")[..], &[IS_COMMAND | LONG]].concat();
    command.extend_from_slice(&(COMMAND as u64 + 1).to_be_bytes());
    assert_eq!(
        hear(&mut Session::new(sub(), usize::MAX), &command, usize::MAX).end,
        Some(Violation::TooLarge(COMMAND as u64 + 1))
    );

    let mut session = Session::new(sub(), 1 << 30);
    hear(&mut session, &[&hello("PUB")[..], &[2, 0, 0, 0, 0, 0x10, 0, 0, 0, b'x']].concat(), usize::MAX);
    assert_eq!(session.unfinished().len(), 10);
    assert!(session.is_amid_message() && session.held.capacity() < 100);
}

#[test]
fn nonsense_of_any_kind_ends_in_order() {
    // Good beginnings with bad ends, all from one seed.
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let v2 = [&SIGNATURE[..], &[1, 1, 0, 0]].concat();
    let starts = [Vec::new(), SIGNATURE.to_vec(), v2, hello("PUB"), hello("PUB")[..GREETING].to_vec(), vec![1, 0]];
    let mut messages = 0;
    for round in 0..3000 {
        let mut input = starts[round % starts.len()].clone();
        let good = random() % (input.len() + 1);
        if round % 7 == 0 {
            input.truncate(good);
        }
        let ceiling = [256, 8, 4][round % 3];
        input.extend((0..random() % 400).map(|_| (random() % ceiling) as u8));
        let piece = 1 + random() % 50;
        let heard = hear(&mut Session::new(sub(), LIMIT), &input, piece);
        assert_eq!(heard, hear(&mut Session::new(sub(), LIMIT), &input, usize::MAX));
        messages += heard.messages.len();
    }
    assert!(messages > 1000, "some of it must have made sense: {messages}");
}
