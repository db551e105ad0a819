#!/usr/bin/env python3
"""A partner written from spec/ and nothing else:  python3 partner.py 127.0.0.1:6000 hi "is it raining?"

It sends each argument as a message, sends again what gets lost, prints every receipt and every message that comes, answers
pings, and leaves when all is confirmed and --stay seconds are over. --drop 0.2 throws away a fifth of what it sends and hears."""
import argparse, datetime, json, random, socket, string, time

def name(): return "".join(random.choices(string.ascii_lowercase + string.digits, k=8))              # UC-WIRE-006
def now(): return datetime.datetime.now(datetime.timezone.utc).isoformat()                           # UC-CHAT-009

ZEROS = b'"c":"00000000"'
def checksum(data, crc=0xFFFFFFFF):                                                                  # UC-WIRE-005
    for byte in data:
        crc ^= byte
        for _ in range(8): crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return b'"c":"%08x"' % (crc ^ 0xFFFFFFFF)

def encode(payload=b"", **members):
    head = json.dumps({"v": 1, "c": "00000000", **members}, ensure_ascii=False, separators=(",", ":")).encode()
    datagram = head + (b"\n" + payload if payload else b"")                                          # UC-WIRE-001
    return datagram.replace(ZEROS, checksum(datagram), 1)

def decode(datagram):
    line, _, payload = datagram.partition(b"\n")
    try:
        head = json.loads(line)
        told = b'"c":"%s"' % head["c"].encode()
        return (head, payload) if head["v"] == 1 and told == checksum(datagram.replace(told, ZEROS, 1)) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None                                                                                  # UC-WIRE-014

class Partner:
    nick, message_bytes = "partner", 1000
    def __init__(self, address, texts, drop):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(address)                                   # nobody else is heard: UC-HS-007, UC-PATH-001
        self.socket.settimeout(0.02)
        self.drop, self.id, self.to, self.run, self.closed, self.closing = drop, name(), None, name(), False, 0
        self.seen, self.floor, self.newest_at, self.number = set(), 1, 0.0, 0             # packets that came, that left
        self.waiting, self.carried, self.last = {}, {}, [0, 0]         # (stream, seq) -> message; packet -> (stream, seq)
        self.next, self.held, self.owed = 1, {}, {}                    # words in their order; ours without a receipt
        # Windows that never have to move, and no message so long that it comes in fragments (UC-STR-013).
        edges = dict(stream_messages=10**9, stream_bytes=10**12, connection_bytes=10**12)
        limits = dict(message_bytes=self.message_bytes, streams=2, **edges)
        self.hello, self.hello_at = self.greeting(limits), 0.0
        self.say("introduce", run=self.run)                                                          # UC-CHAT-005
        for number, text in enumerate(texts):
            self.owed[f"{self.run}-{number}"] = text                                                 # UC-CHAT-008
            self.say("message", id=f"{self.run}-{number}", text=text)

    def greeting(self, limits):                                                                      # UC-HS-001, 002, 003
        frames = [{"t": "hello", "id": self.id, "mode": "clear", "limits": limits}, {"t": "pad", "len": 400}]
        return encode(b"." * 400, f=frames)

    def wrap(self, payload, frame): return encode(payload, to=self.to, n=self.number, f=[frame])
    def unwrap(self, datagram): return decode(datagram)

    def send(self, datagram):
        if random.random() >= self.drop: self.socket.send(datagram)

    def packet(self, payload=b"", **frame):
        self.number += 1                                                                             # UC-ARQ-001
        self.send(self.wrap(payload, frame))
        return self.number

    def say(self, kind, stream=0, **members):
        ends = [dict(ip=end[0], port=end[1]) for end in (self.socket.getsockname(), self.socket.getpeername())]
        thing = {"kind": kind, "from": {"nick": self.nick, **ends[0]}, "to": ends[1], "ts": now(), **members}
        self.last[stream] += 1                                                                       # UC-STR-001
        self.waiting[stream, self.last[stream]] = [json.dumps(thing, ensure_ascii=False).encode(), 0.0]

    def repeat(self):
        if not self.to and time.time() - self.hello_at > 0.25:                                       # UC-HS-004
            self.hello_at = time.time()
            self.send(self.hello)
        for (stream, seq), message in list(self.waiting.items())[:30] if self.to else []:            # UC-HS-008
            if time.time() - message[1] > 0.3:                                                       # UC-ARQ-010, 016
                message[1] = time.time()
                number = self.packet(message[0], t="msg", st=stream, seq=seq, unordered=stream == 1, len=len(message[0]))
                self.carried[number] = (stream, seq)

    def hear(self, head, payload):
        if "n" not in head:
            if head["f"][0]["t"] == "welcome" and head["to"] == self.id: self.to = head["f"][0]["id"]
            return
        if head["n"] >= self.floor and head["n"] not in self.seen:                                   # UC-ARQ-004
            if head["n"] > max(self.seen, default=0): self.newest_at = time.time()
            self.seen.add(head["n"])
            for frame in head["f"]:
                lengths, bodies = frame.get("len", []), []                                           # UC-WIRE-011, 015
                for length in lengths if isinstance(lengths, list) else [lengths]:
                    bodies, payload = bodies + [payload[:length]], payload[length:]
                self.take(frame, bodies)
            self.floor = max(self.floor, min(head.get("low", 1), head["n"]))                         # UC-ARQ-005
            self.seen = {number for number in self.seen if number >= self.floor}
        if not {"msg", "part", "gram", "window", "skip", "ping"}.isdisjoint(frame["t"] for frame in head["f"]):
            got = []                                                                                 # UC-ARQ-002, 003, 007
            for number in sorted(self.seen):
                if got and got[-1][1] == number - 1: got[-1][1] = number
                else: got.append([number, number])
            self.packet(t="ack", got=got[-32:], delay_us=int((time.time() - self.newest_at) * 1e6))

    def take(self, frame, bodies):
        if frame["t"] == "ack":
            for number in [number for number in self.carried if any(a <= number <= z for a, z in frame["got"])]:
                self.waiting.pop(self.carried.pop(number), None)
        elif frame["t"] == "msg":
            for seq, body in enumerate(bodies, frame["seq"]):
                if frame.get("st"): self.read(json.loads(body))        # receipts wait for nobody; twice does no harm
                elif seq >= self.next: self.held[seq] = body                                         # UC-STR-003
            while self.next in self.held:                                                            # UC-STR-004
                self.next += 1
                self.read(json.loads(self.held.pop(self.next - 1)))
        elif frame["t"] == "path" and "challenge" in frame:
            self.packet(t="path", answer=frame["challenge"])                                         # UC-PATH-004
        elif frame["t"] == "close":
            self.closed = True
            if frame["code"] != "closed": self.packet(t="close", code="closed")                      # UC-CLOSE-003

    def read(self, thing):
        if thing["kind"] == "receipt" and thing["id"] in self.owed:                                  # UC-CHAT-012
            print("delivered:" if thing["ack"] else thing["reason"] + ":", self.owed.pop(thing["id"]), flush=True)
        elif thing["kind"] in ("message", "reply", "echo"):
            print(thing["from"].get("nick", "?") + ":", thing["text"], flush=True)
            self.say("receipt", 1, id=thing["id"], ts_original=thing["ts"], ack=True)                # UC-CHAT-003
            if thing["kind"] == "echo": self.say("echoed", 1, id=thing["id"], ts_original=thing["ts"], text=thing["text"])

    def is_done(self): return not self.owed and not self.waiting

    def talk(self, leave_at):
        while not self.closed and self.closing < 5:
            self.repeat()
            try:
                opened = self.unwrap(self.socket.recv(65535))
                if opened and random.random() >= self.drop: self.hear(*opened)
            except (socket.timeout, ConnectionRefusedError):
                pass
            if self.to and self.is_done() and time.time() > leave_at:
                self.closing, leave_at = self.closing + 1, time.time() + 0.3                         # UC-CLOSE-001, 002
                self.packet(t="close", code="done")

def arguments(description, *names):
    parser = argparse.ArgumentParser(description=description)
    for option in ("--drop", "--stay"): parser.add_argument(option, type=float, default=0)
    for name in ("address", *names): parser.add_argument(name)
    parser.add_argument("text", nargs="*")
    given = parser.parse_intermixed_args()
    host, _, port = given.address.rpartition(":")
    return (host, int(port)), given

if __name__ == "__main__":
    address, given = arguments(__doc__)
    Partner(address, given.text, given.drop).talk(time.time() + given.stay)
