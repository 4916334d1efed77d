"""A client as the router meets it: libzmq's PUB, PUSH or REQ. Speaks to the test on standard output, one line each."""

import argparse
import json
import sys

import zmq


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def message(number):
    # The indented form is Metlog's own when it writes to files; nothing forbids it here.
    text = {"type": "contract", "timestamp": "2026-01-01T00:00:00.000000Z", "logger": "metlog.tests", "severity": 6,
            "payload": args.pad * "x", "fields": {"number": number}, "env_version": "0.8", "metlog_pid": 1,
            "metlog_hostname": "app01"}
    return json.dumps(text).encode()


def send(socket, number):
    socket.send_multipart(([args.topic.encode()] if args.topic else []) + [message(number)])


def publisher(socket):
    # Until it hears the word, it cannot know that it is heard: the first messages are there to be missed.
    poller = zmq.Poller()
    poller.register(sys.stdin, zmq.POLLIN)
    while socket.type == zmq.PUB and not poller.poll(10):
        send(socket, -1)
    for number in range(args.count):
        send(socket, number)
        if args.pause and number % 100 == 0:
            socket.poll(args.pause)
    say("sent")
    sys.stdin.read()
    socket.close(linger=60000)
    zmq.Context.instance().term()
    say("gone")


def requester(socket):
    # As Metlog's ZmqHandshakePubSender: an empty message, and any reply will do.
    socket.RCVTIMEO = 60000
    for _ in range(args.count):
        socket.send(b"")
        say([frame.decode() for frame in socket.recv_multipart()])


parser = argparse.ArgumentParser()
parser.add_argument("kind", choices=["pub", "push", "req"])
parser.add_argument("endpoint")
parser.add_argument("--bind", action="store_true")
parser.add_argument("--count", type=int, default=1000)
parser.add_argument("--pad", type=int, default=100)
parser.add_argument("--topic", default="")
parser.add_argument("--heartbeat", type=int, default=0)
parser.add_argument("--pause", type=int, default=0)
args = parser.parse_args()
socket = zmq.Context.instance().socket({"pub": zmq.PUB, "push": zmq.PUSH, "req": zmq.REQ}[args.kind])
socket.SNDHWM = 0
if args.heartbeat:
    socket.HEARTBEAT_IVL = args.heartbeat
(socket.bind if args.bind else socket.connect)(args.endpoint)
(requester if args.kind == "req" else publisher)(socket)
