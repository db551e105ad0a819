#!/usr/bin/env python3
"""A relay's member that seals, written from spec/ and nothing else:

    python3 sealed_member.py 127.0.0.1:6100 ana "#sala" "is it raining?" "@bob psst"

What it says in the room is sealed as far as the relay; what it says to one other, nobody but that one can read. It is member.py with
the seal of sealed.py, and letters (13-letters). It makes a key pair at each start, and knows keys for as long as it runs."""
import base64, json, os, sys, time
from member import Member, insist
from partner import arguments
from sealed import LETTER, Sealed, key_from_text, key_text, letter, x25519

class SealedMember(Member, Sealed):
    def __init__(self, address, nick, room, texts, drop):
        self.known, self.asked, self.unsealed = {}, {}, {}             # nick -> key; request -> nick; nick -> letters
        super().__init__(address, nick, room, texts, drop)
        self.public = x25519(self.noise.s)

    def say(self, kind, stream=0, **members):
        nick = members.get("to", {}).get("nick")
        if kind != "message" or not nick: return super().say(kind, stream, **members)
        if nick in self.known: return self.say_sealed(nick, **members)
        self.unsealed.setdefault(nick, []).append(members)
        if nick not in self.asked.values():                                                          # UC-LETTER-004
            id = f"{self.run}-key-{len(self.asked)}"
            self.asked[id] = nick
            super().say("request", id=id, ask=dict(what="key", nick=nick))

    def say_sealed(self, nick, id, to, text):                                                        # UC-LETTER-001, 002, 003
        key = self.known[nick]
        noise = letter(True, self.remote, self.public, key, id, self.noise.s, os.urandom(32))
        sealed = noise.write(LETTER, json.dumps({"text": text}, ensure_ascii=False).encode())
        super().say("message", id=id, to=to, from_key=key_text(self.public), to_key=key_text(key),
                    sealed=base64.b64encode(sealed).decode().rstrip("="))

    def read_news(self, news):
        if news["what"] != "key": return super().read_news(news)
        insist(self.asked.get(news["re"]) == news["nick"], "UC-LETTER-004", news)
        self.meet(news["nick"], key_from_text(news["key"]), news)
        for members in self.unsealed.pop(news["nick"], []): self.say_sealed(news["nick"], **members)

    def read_receipt(self, thing):
        if thing["id"] not in self.asked: return super().read_receipt(thing)
        if not thing["ack"]:
            for members in self.unsealed.pop(self.asked[thing["id"]], []):
                print(thing["code"] + ":", self.owed.pop(members["id"]), "--", thing["reason"], flush=True)

    def meet(self, nick, key, thing):                                                                # UC-LETTER-005, 006
        if nick not in self.known: print(nick, "has the key", key_text(key), file=sys.stderr)
        insist(self.known.setdefault(nick, key) == key, "UC-KEY-009", thing)

    def read_words(self, thing):
        if "room" in thing["to"]: return super().read_words(thing)
        insist("sealed" in thing and thing["to_key"] == key_text(self.public), "UC-LETTER-006", thing)
        author = key_from_text(thing["from_key"])
        noise = letter(False, self.remote, author, self.public, thing["id"], self.noise.s)
        said, after = noise.read(LETTER, base64.b64decode(thing["sealed"] + "=" * (-len(thing["sealed"]) % 4)))
        insist(after.rs == author, "UC-LETTER-001", thing)
        self.meet(thing["from"]["nick"], author, thing)
        super().read_words({**thing, **json.loads(said)})

if __name__ == "__main__":
    address, given = arguments(__doc__, "nick", "room")
    SealedMember(address, given.nick, given.room, given.text, given.drop).talk(time.time() + given.stay)
