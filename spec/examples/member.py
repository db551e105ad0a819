#!/usr/bin/env python3
"""A relay's member written from spec/ and nothing else:  python3 member.py 127.0.0.1:6100 ana "#sala" "is it raining?"

It enters the relay, joins the room, says each text in it ("@bob psst" is a letter to bob), prints what it gets and each receipt,
and leaves when all is confirmed and seen and --stay seconds are over. It is strict: a relay that breaks a rule which a member
can see ends it with the rule's id. --drop 0.2 throws away a fifth of what it sends and hears."""
import json, sys, time
from partner import Partner, arguments, name

def insist(is_kept, rule, thing):
    if not is_kept: sys.exit(f"{rule}: {json.dumps(thing, ensure_ascii=False)}")

class Member(Partner):
    message_bytes = 200_000                                            # the list of a full room is long
    def __init__(self, address, nick, room, texts, drop):
        self.nick, self.room, self.texts, self.head = nick, room, texts, None
        self.parts, self.told, self.held_back, self.settled, self.unseen = {}, set(), {}, set(), {}
        self.shown, self.own, self.answered = {}, {}, set()            # log -> cursor; id -> position; letters
        super().__init__(address, [], drop)
        self.ids = [f"{self.run}-{number}" for number in range(len(texts) + 2)]
        for number, what in enumerate(["enter", "join", *texts]): self.owed[self.ids[number]] = what
        self.say("request", id=self.ids[0], ask=dict(what="enter", nick=nick, token=name() * 4))     # UC-RELAY-005, 007

    def party(self, **members):
        ip, port = self.socket.getpeername()
        return dict(ip=ip, port=port, **members)

    def take(self, frame, bodies):
        if frame["t"] == "part" and len(bodies) > 1:                      # a stretch: message by message, each from its beginning
            for number, body in enumerate(bodies):
                is_last = number + 1 < len(bodies) or frame.get("last", False)
                offset = frame["off"] if number == 0 else 0
                self.take({**frame, "seq": frame["seq"] + number, "off": offset, "last": is_last}, [body])
            return
        if frame["t"] == "part":                                                                     # UC-STR-006
            key = (frame.get("st", 0), frame["seq"])
            parts = self.parts.setdefault(key, {})
            parts[frame["off"], len(bodies[0])] = (bodies[0], frame.get("last", False))
            whole, is_whole = b"", False
            for (offset, length), (body, is_last) in sorted(parts.items()):        # in any order, any cut, overlapping
                if offset > len(whole): break
                whole, is_whole = whole + body[len(whole) - offset:], is_whole or is_last
            if not is_whole: return
            del self.parts[key]
            frame, bodies = {**frame, "t": "msg"}, [whole]
        if frame["t"] == "msg" and frame.get("st"):                    # receipts come in any order, each once: UC-STR-003
            for seq, body in enumerate(bodies, frame["seq"]):
                if seq not in self.told: self.read(json.loads(body))
                self.told.add(seq)
        else:
            super().take(frame, bodies)

    def read(self, thing):
        kind = thing["kind"]
        if kind == "receipt": self.read_receipt(thing)
        elif kind == "news": self.read_news(thing["tell"])
        elif kind in ("message", "reply"): self.read_words(thing)
        else: insist(kind in ("introduce", "echoed"), "UC-RELAY-002", thing)

    def read_receipt(self, thing):
        if thing.get("held") and thing["id"] in self.settled: return                # its end overtook it: UC-CHAT-014
        insist(thing["id"] in self.owed or thing["id"] in self.held_back, "UC-RELAY-003", thing)
        if thing.get("held"):                                                                        # UC-RELAY-013
            insist(thing["ack"] and thing["id"] not in self.held_back, "UC-RELAY-013", thing)
            self.held_back[thing["id"]] = self.owed.pop(thing["id"])
            print("held:", self.held_back[thing["id"]], flush=True)
            return
        what = self.owed.pop(thing["id"], None) or self.held_back.pop(thing["id"])
        self.settled.add(thing["id"])
        if thing["ack"]:
            is_line = thing["id"] in self.unseen or thing["id"] in self.own
            insist(not is_line or thing["pos"] > 0, "UC-RELAY-010", thing)
            if thing["id"] in self.own: insist(self.own[thing["id"]] == thing["pos"], "UC-RELAY-010", thing)
            if thing["id"] in self.unseen: self.unseen[thing["id"]] = thing["pos"]
            print("done:" if what in ("enter", "join") else "delivered:", what, flush=True)
        else:
            insist(thing["reason"] and thing["code"], "UC-RELAY-003", thing)
            print(thing["code"] + ":", what, "--", thing["reason"], thing.get("suggestion", ""), flush=True)
            if what in ("enter", "join"): sys.exit(1)
            self.unseen.pop(thing["id"], None)

    def read_news(self, news):
        for row in news.get("members", []): insist({"ip", "port", "since"} <= row.keys(), "UC-RELAY-004", news)
        if "members" in news: insist(len(news["members"]) <= min(256, news["count"]), "UC-RELAY-008", news)
        if news["what"] == "entered":
            insist(news["nick"] == self.nick and news["log"], "UC-RELAY-005", news)
            self.shown["*"] = news["everyone_head"]                                                  # UC-RELAY-014
            self.say("request", id=self.ids[1], ask=dict(what="join", room=self.room))
            print("entered as", news["nick"], flush=True)
        elif news["what"] == "room":
            insist("*" in self.shown and self.head is None, "UC-RELAY-004", news)
            insist(self.nick in (row.get("nick") for row in news["members"]) or news["count"] > 256, "UC-RELAY-008", news)
            self.room, self.head, self.shown[news["room"]] = news["room"], news["head"], 0
            for id, text in zip(self.ids[2:], self.texts):
                if text.startswith("@"):
                    to, _, text = text[1:].partition(" ")
                    self.say("message", id=id, to=self.party(nick=to), text=text)
                else:
                    self.unseen[id] = None
                    self.say("message", id=id, to=self.party(room=self.room), text=text)
            print("in", self.room, "with", ", ".join(row.get("nick", "?") for row in news["members"]), flush=True)
        elif news["what"] == "presence":
            insist(news["room"] == self.room, "UC-RELAY-009", news)
            for change in news["changes"]:
                insist(change.get("nick") != self.nick or change["change"] == "missed", "UC-RELAY-008", news)
                print("*", change.get("nick", "?"), change["change"], change.get("reason", ""), flush=True)
        else:
            print("*", json.dumps(news, ensure_ascii=False), flush=True)

    def read_words(self, thing):
        to, pos = thing["to"], thing["pos"]
        log = to.get("room", "@")
        insist(pos > 0 and thing["ts_stored"] and thing["from"]["nick"], "UC-RELAY-010", thing)
        if log == "@":                                                                               # UC-RELAY-024
            self.say("receipt", 1, id=thing["id"], ts_original=thing["ts"], ack=True, pos=pos)
            if pos in self.answered: return
            self.answered.add(pos)
        else:
            insist(log in self.shown, "UC-RELAY-009", thing)
            insist(pos > self.shown[log], "UC-RELAY-010", thing)
            self.shown[log] = pos                                                                    # UC-RELAY-025
            if thing["id"] in self.unseen:
                insist(self.unseen.pop(thing["id"]) in (None, pos), "UC-RELAY-010", thing)
                self.own[thing["id"]] = pos
                return
        when = "before " if log == self.room and pos <= self.head else ""
        print(f"{when}{log} {thing['from']['nick']}: {thing['text']}", flush=True)

    def is_done(self): return super().is_done() and not self.unseen

if __name__ == "__main__":
    address, given = arguments(__doc__, "nick", "room")
    Member(address, given.nick, given.room, given.text, given.drop).talk(time.time() + given.stay)
