"""A router as Metlog's clients meet it: libzmq's SUB or REP. Speaks to the test on standard output, one line each."""

import argparse
import json
import sys
import time

import zmq


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def subscriber(args):
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.RCVHWM = args.hwm
    socket.RCVTIMEO = 60000
    if args.heartbeat:
        socket.HEARTBEAT_IVL = args.heartbeat
    socket.SUBSCRIBE = args.prefix.encode()
    if args.connect:
        socket.connect(args.endpoint)
    else:
        socket.bind(args.endpoint)
    say("ready")
    if args.lazy:
        # libzmq subscribes only while its user calls it: asleep from the start it would hear nothing at all.
        socket.recv()
        time.sleep(args.lazy)
    if not args.count:
        while True:
            say([frame.decode() for frame in socket.recv_multipart()])
    # Counting only: each message holds its number, so what is lost, doubled or out of order shows.
    seen = in_order = last = 0
    while seen < args.count:
        try:
            frames = socket.recv_multipart()
        except zmq.Again:
            break
        for line in frames[0].split(b"\n"):
            number = json.loads(line)["n"]
            seen += 1
            in_order += number == last + 1 and len(frames) == 1
            last = number
    say({"seen": seen, "in_order": in_order, "last": last})
    # The test ends this program; gone by itself, it would look like a router that died.
    time.sleep(600)


def replier(args):
    # A ROUTER sees the frames that a REP strips off.
    socket = zmq.Context.instance().socket(zmq.ROUTER if args.kind == "router" else zmq.REP)
    socket.bind(args.endpoint)
    say("ready")
    while True:
        frames = socket.recv_multipart()
        socket.send_multipart(frames if args.kind == "router" else [b""])
        say([frame.decode() for frame in (frames[1:] if args.kind == "router" else frames)])


parser = argparse.ArgumentParser()
parser.add_argument("kind", choices=["sub", "rep", "router"])
parser.add_argument("endpoint")
parser.add_argument("--connect", action="store_true")
parser.add_argument("--prefix", default="")
parser.add_argument("--count", type=int, default=0)
parser.add_argument("--hwm", type=int, default=0)
parser.add_argument("--lazy", type=float, default=0.0)
parser.add_argument("--heartbeat", type=int, default=0)
args = parser.parse_args()
(subscriber if args.kind == "sub" else replier)(args)
