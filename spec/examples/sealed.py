#!/usr/bin/env python3
"""A sealed partner written from spec/ and Python's own library, nothing else:

    python3 sealed.py 127.0.0.1:6000 hi "is it raining?"      says each text to a sealed udpchat, as partner.py does in the clear
    python3 sealed.py KEY@127.0.0.1:6000 hi                   and to nobody but the owner of that key
    python3 sealed.py --check ../vectors/sealed.json          computes every vector anew and compares
    python3 sealed.py --fill ../vectors/sealed.json           writes what follows from each vector's inputs

It is for reading: slow, and whoever can measure how long it takes learns of its keys. It makes a key pair at each start and keeps
none. --rekey 50 changes the key after every 50 packets; --drop 0.2 throws away a fifth of what it sends and hears."""
import argparse, base64, copy, functools, hashlib, hmac, ipaddress, json, os, struct, sys, time
from partner import Partner, arguments, decode, encode

# X25519 (RFC 7748, section 5): a secret times a point of the curve.

P = 2**255 - 19
BASE_POINT = bytes([9]) + bytes(31)

def x25519(secret, point=BASE_POINT):
    k = int.from_bytes(secret, "little") & 2**254 - 8 | 2**254
    u = int.from_bytes(point, "little") & 2**255 - 1
    x2, z2, x3, z3 = 1, 0, u, 1
    for bit in reversed(range(255)):
        swap = k >> bit & 1
        if swap: x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, da, cb = x2 + z2, x2 - z2, (x3 - z3) * (x2 + z2), (x3 + z3) * (x2 - z2)
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        aa, bb = a * a % P, b * b % P
        x2, z2 = aa * bb % P, (aa - bb) * (aa + 121665 * (aa - bb)) % P
        if swap: x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")

def is_usable(key): return any(x25519(bytes([1]) * 32, key))                                         # UC-KEY-003

# AES-256 (FIPS 197). The S-box is the inverse in GF(2^8), by logarithms to the base 3, and then an affine map.

def aes_tables():
    powers, x = [], 1
    for _ in range(255):
        powers.append(x)
        x ^= x << 1 ^ (0x11B if x & 0x80 else 0)
    box = [0x63] * 256
    for i, x in enumerate(powers):
        y = powers[-i % 255]
        for turn in range(5): box[x] ^= (y << turn | y >> 8 - turn) & 255
    mixed = []                                   # a byte through the S-box and MixColumns, for each of the four rows
    for s in box:
        double = s << 1 ^ (0x11B if s & 0x80 else 0)
        mixed.append(double << 24 | s << 16 | s << 8 | double ^ s)
    return box, [[(word >> 8 * row | word << 32 - 8 * row) & 0xFFFFFFFF for word in mixed] for row in range(4)]

BOX, MIXED = aes_tables()

def expand(key):
    """The words that are added to the state, four in each round."""
    substitute = lambda word: int.from_bytes(BOX[byte] for byte in word.to_bytes(4, "big"))
    words = list(struct.unpack(">8I", key))
    for i in range(8, 60):
        word = words[-1]
        if i % 8 == 0: word = substitute((word << 8 | word >> 24) & 0xFFFFFFFF) ^ 1 << 23 + i // 8
        elif i % 8 == 4: word = substitute(word)
        words.append(words[i - 8] ^ word)
    return words

def aes(words, block):
    state = [a ^ b for a, b in zip(struct.unpack(">4I", block), words)]
    byte = lambda i, row: state[(i + row) % 4] >> 24 - 8 * row & 255
    for at in range(4, 56, 4):
        state = [words[at + i] ^ MIXED[0][byte(i, 0)] ^ MIXED[1][byte(i, 1)] ^ MIXED[2][byte(i, 2)] ^ MIXED[3][byte(i, 3)]
                 for i in range(4)]
    last = bytes(BOX[byte(i, row)] for i in range(4) for row in range(4))
    return bytes(a ^ b for a, b in zip(last, struct.pack(">4I", *words[56:])))

# AES-256-GCM (NIST SP 800-38D).

class Gcm:
    def __init__(self, key):
        self.words = expand(key)
        self.powers, h = [], int.from_bytes(aes(self.words, bytes(16)))          # H times 1, x, x^2 ... in GF(2^128)
        for _ in range(128):
            self.powers.append(h)
            h = h >> 1 ^ (0xE1 << 120 if h & 1 else 0)

    def tag(self, nonce, ciphertext, clear):
        pad = lambda data: data + bytes(-len(data) % 16)
        data, y = pad(clear) + pad(ciphertext) + struct.pack(">QQ", 8 * len(clear), 8 * len(ciphertext)), 0
        for at in range(0, len(data), 16):
            x, y = y ^ int.from_bytes(data[at:at + 16]), 0
            for bit, power in zip(f"{x:0128b}", self.powers):
                if bit == "1": y ^= power
        return (y ^ int.from_bytes(aes(self.words, nonce + struct.pack(">I", 1)))).to_bytes(16)

    def encipher(self, nonce, data):
        """Counter mode, its own inverse."""
        blocks = range(2, 2 + (len(data) + 15) // 16)
        return bytes(a ^ b for a, b in zip(data, b"".join(aes(self.words, nonce + struct.pack(">I", i)) for i in blocks)))

    def seal(self, nonce, text, clear=b""):
        ciphertext = self.encipher(nonce, text)
        return ciphertext + self.tag(nonce, ciphertext, clear)

    def open(self, nonce, sealed, clear=b""):
        ciphertext, tag = sealed[:-16], sealed[-16:]
        if len(sealed) < 16 or not hmac.compare_digest(tag, self.tag(nonce, ciphertext, clear)):
            raise ValueError("the seal is broken")
        return self.encipher(nonce, ciphertext)

def nonce(number): return bytes(4) + number.to_bytes(8)                                              # UC-SEAL-006

def following(key): return Gcm(key).seal(nonce(2**64 - 1), bytes(32))[:32]                           # UC-SEAL-007

# Noise (revision 34, section 5): everything both sides know goes into a hash, every shared secret into the chaining key.

XX, X = b"Noise_XX_25519_AESGCM_SHA256", b"Noise_X_25519_AESGCM_SHA256"

class Noise:
    """One side of a handshake. s and e are its secrets, static and ephemeral; rs and re the other side's public keys."""
    def __init__(self, name, prologue, asks, s, e=None, rs=None):
        self.asks, self.s, self.e, self.rs, self.re = asks, s, e, rs, None
        self.chaining_key = self.hash = name.ljust(32, b"\0")
        self.key, self.count = None, 0
        self.mix_hash(prologue)
        if name == X: self.mix_hash(rs if asks else x25519(s))                   # who writes a letter knows for whom

    def mix_hash(self, data): self.hash = hashlib.sha256(self.hash + data).digest()

    def two_keys(self, secret):
        once = hmac.digest(self.chaining_key, secret, "sha256")                  # HKDF (RFC 5869) with two outputs
        first = hmac.digest(once, b"\1", "sha256")
        return first, hmac.digest(once, first + b"\2", "sha256")

    def agree(self, token):
        ours, theirs = token if self.asks else reversed(token)                   # "es": the asking side's e, the other's s
        shared = x25519(getattr(self, ours), getattr(self, "r" + theirs))
        self.chaining_key, key = self.two_keys(shared)
        self.key, self.count = Gcm(key), 0

    def seal(self, text):
        sealed = self.key.seal(nonce(self.count), text, self.hash) if self.key else text
        self.mix_hash(sealed)
        self.count += 1
        return sealed

    def open(self, sealed):
        text = self.key.open(nonce(self.count), sealed, self.hash) if self.key else sealed
        self.mix_hash(sealed)
        self.count += 1
        return text

    def write(self, tokens, payload):
        message = b""
        for token in tokens:
            if token == "e":
                message += x25519(self.e)
                self.mix_hash(x25519(self.e))
            elif token == "s": message += self.seal(x25519(self.s))
            else: self.agree(token)
        return message + self.seal(payload)

    def read(self, tokens, message):
        """The payload, and the state after it; a message that does not verify leaves this state as it is."""
        after = copy.copy(self)
        for token in tokens:
            if token == "e":
                after.re, message = message[:32], message[32:]
                if len(after.re) < 32: raise ValueError("the message is cut")
                after.mix_hash(after.re)
            elif token == "s":
                key, message = message[:48], message[48:]
                after.rs = after.open(key)
                if not is_usable(after.rs): raise ValueError("that key is nobody's")
            else: after.agree(token)
        return after.open(message), after

    def split(self): return self.two_keys(b"")          # what the asking side sends is sealed with the first: UC-SEAL-007

FIRST, SECOND, THIRD = ["e"], ["e", "ee", "s", "es"], ["s", "se"]
LETTER = ["e", "es", "s", "ss"]

def handshake(asks, s, e): return Noise(XX, b"udpchat 1", asks, s, e)                                # UC-SEAL-002

def letter(asks, relay, sender, recipient, id, s, e=None):                                           # UC-LETTER-001
    return Noise(X, b"udpchat letter 1" + relay + sender + recipient + id.encode(), asks, s, e, recipient)

# Keys as text and as the numbers of words.

def key_text(key): return base64.b32encode(key).decode().lower().rstrip("=")                         # UC-KEY-002

def key_from_text(text):
    if len(text) != 52: raise ValueError("a key has 52 characters")
    key = base64.b32decode(text.upper() + "====")
    if key_text(key) != text.lower(): raise ValueError("the last character has bits too many")
    return key

def word_numbers(count, *parts):                                                                     # UC-KEY-004
    bits = int.from_bytes(hashlib.sha256(b"".join(parts)).digest()) >> 256 - 11 * count
    return [bits >> 11 * (count - 1 - i) & 2047 for i in range(count)]

def cookie(secret, seconds, address, port, id):                                                      # UC-SEAL-012
    data = struct.pack(">I", seconds) + address + struct.pack(">H", port) + id.encode()
    return f"{seconds:08x}" + hmac.digest(secret, data, "sha256")[:16].hex()

# Packets: a head that everybody can read, and a sealed head and bytes that take its place for the receiver.

gcm = functools.cache(Gcm)

class Sealer:
    """What one side sends."""
    def __init__(self, key): self.key, self.epoch = key, 0

    def change(self): self.key, self.epoch = following(self.key), self.epoch + 1

    def seal(self, to, number, text, finish=b""):                                                    # UC-SEAL-005, 006
        head = {"v": 1, "to": to, "n": number}
        if self.epoch: head["k"] = self.epoch
        if finish: head["finish"] = len(finish)
        clear = json.dumps(head, separators=(",", ":")).encode() + b"\n" + finish
        return clear + gcm(self.key).seal(nonce(number), text, clear)

class Opener:
    """What comes from the other side: with the key of now, the one before, or the one after."""
    def __init__(self, key, epoch=0): self.epoch, self.keys = epoch, {epoch: key, epoch + 1: following(key)}

    def open(self, datagram):                                                                        # UC-SEAL-007
        head, text_at = read_clear(datagram)
        number, epoch = head["n"], head.get("k", 0)
        if epoch not in self.keys: raise ValueError("its epoch is too far away")
        text = gcm(self.keys[epoch]).open(nonce(number), datagram[text_at:], datagram[:text_at])
        if epoch > self.epoch:
            before = self.keys[self.epoch]
            self.__init__(self.keys[epoch], epoch)
            self.keys[epoch - 1] = before
        return head, text

def read_clear(datagram):
    """A sealed packet's head, and where the ciphertext begins."""
    line, newline, _ = datagram.partition(b"\n")
    head = json.loads(line)
    if not newline or head["v"] != 1 or head.get("finish", 64) != 64: raise ValueError("that is no sealed packet")
    return head, len(line) + 1 + head.get("finish", 0)

# A conversation.

class Sealed(Partner):
    def __init__(self, address, texts, drop, rekey=2**20):
        self.noise, self.rekey = handshake(True, os.urandom(32), os.urandom(32)), rekey
        self.sealer = self.opener = None
        self.finish, self.epoch_began, self.acked = b"", 1, 0
        key, _, host = address[0].rpartition("@")                                                    # UC-KEY-010
        self.expected = key_from_text(key) if key else None
        super().__init__((host, address[1]), texts, drop)

    def greeting(self, limits):                                                                      # UC-SEAL-003
        payload = json.dumps({"id": self.id, "limits": limits}, separators=(",", ":")).encode()
        self.first = self.noise.write(FIRST, payload)
        return self.hello_with()

    def hello_with(self, **cookie):
        hello = {"t": "hello", "id": self.id, "mode": "sealed", **cookie, "len": len(self.first)}
        return encode(self.first + b"." * 400, f=[hello, {"t": "pad", "len": 400}])

    def wrap(self, payload, frame):
        if self.number - self.epoch_began >= self.rekey and self.acked >= self.epoch_began:          # UC-SEAL-008, 009
            self.sealer.change()
            self.epoch_began = self.number
        text = json.dumps({"f": [frame]}, ensure_ascii=False, separators=(",", ":")).encode()
        return self.sealer.seal(self.to, self.number, text + (b"\n" + payload if payload else b""), self.finish)

    def unwrap(self, datagram):
        try:
            if b'"c":' in datagram.partition(b"\n")[0]:                     # a clear packet is nothing to us: UC-SEAL-014
                opened = decode(datagram)
                return opened if opened and "n" not in opened[0] else None
            if not self.opener: return None
            head, text = self.opener.open(datagram)
            self.finish = b""                                          # it knows our keys, so it has the third message
            line, _, payload = text.partition(b"\n")
            return {**json.loads(line), **head}, payload
        except (ValueError, KeyError, TypeError):
            return None                                                                              # UC-SEAL-010

    def hear(self, head, payload):
        if "n" in head: return super().hear(head, payload)
        frame = head["f"][0]
        if frame["t"] == "refuse": print("refused:", frame["code"], file=sys.stderr)                 # a hint: UC-HS-011
        if self.to or head.get("to") != self.id: return
        if frame["t"] == "retry":                                                                    # UC-SEAL-012
            self.hello, self.hello_at = self.hello_with(cookie=frame["cookie"]), 0.0
        elif frame["t"] == "welcome":
            try:
                answer, after = self.noise.read(SECOND, payload[:frame["len"]])
                if self.expected not in (None, after.rs):                                            # UC-SEAL-013
                    return print("another key:", key_text(after.rs), file=sys.stderr)
                self.to = json.loads(answer)["id"]
            except (ValueError, KeyError, TypeError):
                return
            self.finish, self.remote = after.write(THIRD, b""), after.rs
            ours, theirs = after.split()
            self.sealer, self.opener = Sealer(ours), Opener(theirs)
            print("sealed with", key_text(after.rs), file=sys.stderr)

    def take(self, frame, bodies):
        if frame["t"] == "ack": self.acked = max(self.acked, frame["got"][-1][1])
        super().take(frame, bodies)

# The vectors. Each function tells what follows from a vector's inputs.

raw = bytes.fromhex

def follow_key(v):
    public = x25519(raw(v["secret"]))
    return dict(public=public.hex(), text=key_text(public), numbers=word_numbers(8, b"udpchat key 1", public))

def follow_comparison(v):                                                                            # UC-KEY-005
    return dict(numbers=word_numbers(12, b"udpchat compare 1", *sorted(map(raw, v["keys"]))))

def sides(v):
    return [handshake(who == "asking", raw(v[who]["secret"]), raw(v[who]["ephemeral"])) for who in ("asking", "granting")]

def follow_handshake(v):
    asking, granting = sides(v)
    messages = [asking.write(FIRST, v["payloads"][0].encode())]
    heard = [granting.read(FIRST, messages[0])]
    messages.append(heard[0][1].write(SECOND, v["payloads"][1].encode()))
    heard.append(asking.read(SECOND, messages[1]))
    messages.append(heard[1][1].write(THIRD, b""))
    heard.append(heard[0][1].read(THIRD, messages[2]))
    assert [text.decode() for text, _ in heard] == [*v["payloads"], ""] and heard[1][1].split() == heard[2][1].split()
    keys = [[key] for key in heard[2][1].split()]
    for direction in keys: direction += [following(direction[0]), following(following(direction[0]))]
    for direction in keys: direction += [following(direction[2])]
    id, cookie = v["ids"][0], {"cookie": v["cookie"]}
    def hello(pad, **cookie):
        frames = [{"t": "hello", "id": id, "mode": "sealed", **cookie, "len": len(messages[0])}, {"t": "pad", "len": pad}]
        return encode(messages[0] + b"." * pad, f=frames)
    datagrams = dict(
        hello=hello(v["pads"][0]), retry=encode(to=id, f=[{"t": "retry", **cookie}]), hello_again=hello(v["pads"][1], **cookie),
        welcome=encode(messages[1], to=id, f=[{"t": "welcome", "len": len(messages[1])}]))
    return dict(messages=[message.hex() for message in messages],
                asking_keys=[key.hex() for key in keys[0]], granting_keys=[key.hex() for key in keys[1]],
                datagrams={name: datagram.hex() for name, datagram in datagrams.items()})

def follow_packet(v):
    keys = v["handshake"][v["from"] + "_keys"]
    sealer = Sealer(raw(keys[0]))
    for _ in range(v["epoch"]): sealer.change()
    finish = raw(v["handshake"]["messages"][2]) if v["finish"] else b""
    datagram = sealer.seal(v["to"], v["n"], v["text"].encode(), finish)
    _, text_at = read_clear(datagram)
    opened = Opener(raw(keys[v["epoch"]]), v["epoch"]).open(datagram)
    assert opened[1].decode() == v["text"] and sealer.key.hex() == keys[v["epoch"]]
    return dict(key=keys[v["epoch"]], nonce=nonce(v["n"]).hex(), clear=datagram[:text_at].hex(), datagram=datagram.hex())

def bound(v): return [raw(v[name]) for name in ("relay", "sender", "recipient")] + [v["id_of_message"]]

def follow_letter(v):
    sealed = letter(True, *bound(v), raw(v["sender_secret"]), raw(v["ephemeral"])).write(LETTER, v["payload"].encode())
    payload, after = letter(False, *bound(v), raw(v["recipient_secret"])).read(LETTER, sealed)
    assert payload.decode() == v["payload"] and after.rs == raw(v["sender"])
    return dict(bytes=sealed.hex(), sealed=base64.b64encode(sealed).decode().rstrip("="))

def follow_cookie(v):
    address = ipaddress.ip_address(v["ip"]).packed
    return dict(cookie=cookie(raw(v["secret"]), v["seconds"], address, v["port"], v["hello"]))

def is_refused(v):
    """Whether what must not pass does not."""
    try:
        if v["kind"] == "key": key_from_text(v["text"])
        elif v["kind"] == "hello": sides(v["handshake"])[1].read(FIRST, raw(v["hex"]))
        elif v["kind"] == "welcome": sides(v["handshake"])[0].read(SECOND, raw(v["hex"]))
        elif v["kind"] == "finish":
            asking, granting = sides(v["handshake"])
            _, granting = granting.read(FIRST, raw(v["handshake"]["messages"][0]))
            granting.write(SECOND, v["handshake"]["payloads"][1].encode())
            granting.read(THIRD, raw(v["hex"]))
        elif v["kind"] == "packet":
            keys = v["handshake"][v["from"] + "_keys"]
            opener = Opener(raw(keys[max(v["opened"] - 1, 0)]), max(v["opened"] - 1, 0))
            if v["opened"]:
                ahead = Sealer(raw(keys[v["opened"]]))
                ahead.epoch = v["opened"]
                opener.open(ahead.seal("k3f9q2a1", 2**53 - 1, b""))
            opener.open(raw(v["hex"]))
        elif v["kind"] == "letter":
            _, after = letter(False, *bound(v), raw(v["recipient_secret"])).read(LETTER, raw(v["hex"]))
            return after.rs != raw(v["sender"])
        elif v["kind"] == "cookie":
            made_at = int(v["cookie"][:8], 16)
            return follow_cookie({**v, "seconds": made_at})["cookie"] != v["cookie"] or not 0 <= v["now"] - made_at < 30
        return False
    except ValueError:
        return True

SECTIONS = dict(keys=follow_key, comparisons=follow_comparison, handshakes=follow_handshake, packets=follow_packet,
                letters=follow_letter, cookies=follow_cookie)

def follow(file):
    """The vectors of a file as they should be, and how many there are."""
    handshakes, count = {}, 0
    for name, vectors in file.items():
        for at, vector in enumerate(vectors):
            count += 1
            known = {**vector, "handshake": handshakes.get(vector.get("handshake"))}
            if name == "refused":
                if not is_refused(known): sys.exit(f"{vector['id']} passes")
            else: vectors[at] = {**vector, **SECTIONS[name](known)}
            if name == "handshakes": handshakes[vector["id"]] = vectors[at]
    return file, count

def check(path, fill):
    text = open(path).read()
    file, count = follow(json.loads(text))
    lines = lambda vectors: ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors)
    anew = "{\n" + ",\n\n".join(f'"{name}": [\n{lines(vectors)}\n]' for name, vectors in file.items()) + "\n}\n"
    if fill: open(path, "w").write(anew)
    elif anew != text:
        for before, after in zip(text.splitlines(), anew.splitlines()):
            if before != after: sys.exit(f"it is:\n{before}\nit should be:\n{after}")
        sys.exit("the files differ in length")
    print(f"{count} vectors are right")

if __name__ == "__main__":
    if sys.argv[1:2] in (["--check"], ["--fill"]): check(sys.argv[2], sys.argv[1] == "--fill")
    else:
        parser = argparse.ArgumentParser(add_help=False)
        parser.add_argument("--rekey", type=int, default=2**20)
        rekey, sys.argv[1:] = parser.parse_known_args()
        address, given = arguments(__doc__)
        Sealed(address, given.text, given.drop, rekey.rekey).talk(time.time() + given.stay)
