#!/usr/bin/env python3
"""Audits a published static-ct-api log over HTTP, independently of the code that wrote it.

    check_log.py --key LOG_KEY [--origin ORIGIN] [--quiescent] URL

URL is the monitoring prefix; LOG_KEY is the log's public key (SPKI, PEM or DER). Needs the Python standard
library and the `cryptography` package. Written from C2SP static-ct-api, tlog-tiles, tlog-checkpoint and
signed-note, and from RFC 6962; it shares no code with the log. With --rfc6962, what the log's RFC 6962 endpoints
answer below the same prefix is compared with the tiles too.

Exit code: 0 only if everything was fetched, recomputed and found right; 1 if the log is wrong; 2 if the audit
could not be made (usage, network).
"""

import argparse
import base64
import binascii
import gzip
import hashlib
import json
import struct
import time
import sys
import urllib.error
import urllib.parse
import urllib.request

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

TILE = 256  # entries in a full tile (tlog-tiles)
HASH = 32  # bytes of a SHA-256 hash
POISON_OID = bytes.fromhex("060a2b06010401d679020403")  # 1.3.6.1.4.1.11129.2.4.3, DER
MAX_BODY = 64 << 20  # bytes; a full data tile of the largest sensible certificates fits
CHECKPOINT_SIGNATURE = 0x05  # signature type of RFC 6962 tree heads (static-ct-api)


class Wrong(Exception):
    """The log breaks a rule."""


def require(condition, message):
    if not condition:
        raise Wrong(message)


# --- HTTP -----------------------------------------------------------------------------------------------


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Site:
    """The monitoring prefix of one log."""

    def __init__(self, prefix):
        self.prefix = prefix.rstrip("/")
        self.opener = urllib.request.build_opener(NoRedirect)

    def get(self, path, content_type):
        """The body of `path`, un-gzipped; every path that is asked for must exist."""
        request = urllib.request.Request(f"{self.prefix}/{path}", headers={"User-Agent": "check_log.py"})
        try:
            with self.opener.open(request, timeout=30) as response:
                body = response.read(MAX_BODY + 1)
                headers = response.headers
        except urllib.error.HTTPError as error:
            raise Wrong(f"{path}: HTTP {error.code}") from error
        require(len(body) <= MAX_BODY, f"{path}: larger than {MAX_BODY} bytes")
        require(
            headers.get("Content-Type", "").lower() == content_type,
            f"{path}: content type {headers.get('Content-Type')!r}, not {content_type!r}",
        )
        return gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body

    def ask(self, path, **parameters):
        """(status, JSON) of an RFC 6962 request; whether it succeeds or not, no cache may keep it."""
        url = f"{self.prefix}/ct/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            response = self.opener.open(url, timeout=30)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            require(response.headers.get("Cache-Control") == "no-store", f"{url}: may be cached")
            return response.status, json.loads(response.read(MAX_BODY))

    def is_absent(self, path):
        try:
            with self.opener.open(f"{self.prefix}/{path}", timeout=30):
                return False
        except urllib.error.HTTPError as error:
            return error.code == 404


# --- Merkle tree (RFC 6962 section 2.1) -----------------------------------------------------------------


def leaf_hash(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_hash(leaves):
    """MTH of a list of leaf hashes, by pairing level after level: an unpaired last node moves up as it is."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    while len(leaves) > 1:
        pairs = [node_hash(a, b) for a, b in zip(leaves[::2], leaves[1::2])]
        leaves = pairs + leaves[len(pairs) * 2 :]
    return leaves[0]


# --- Tiles (tlog-tiles) ---------------------------------------------------------------------------------


def tile_index(number):
    groups = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        groups.insert(0, f"x{number % 1000:03}")
    return "/".join(groups)


def tiles_of(count):
    """(number, width) of the tiles that hold `count` items."""
    for number in range(count // TILE):
        yield number, TILE
    if count % TILE:
        yield count // TILE, count % TILE


def tile_path(level, number, width):
    partial = "" if width == TILE else f".p/{width}"
    return f"tile/{level}/{tile_index(number)}{partial}"


def check_hash_tiles(site, leaves):
    """Every tile of every level against the hashes recomputed from the data tiles. Gives their count."""
    level, hashes_here, count = 0, leaves, 0
    while hashes_here:
        for number, width in tiles_of(len(hashes_here)):
            path = tile_path(level, number, width)
            expected = b"".join(hashes_here[number * TILE : number * TILE + width])
            require(site.get(path, "application/octet-stream") == expected, f"{path}: wrong hashes")
            count += 1
        full = len(hashes_here) // TILE
        hashes_here = [tree_hash(hashes_here[n * TILE : (n + 1) * TILE]) for n in range(full)]
        level += 1
    return count


# --- Checkpoint (tlog-checkpoint, signed-note, static-ct-api) --------------------------------------------


class Checkpoint:
    def __init__(self, note, key, origin):
        try:
            text, separator, signatures = note.decode("utf-8").rpartition("\n\n")
        except UnicodeDecodeError as error:
            raise Wrong("checkpoint: not UTF-8") from error
        require(separator and signatures.endswith("\n"), "checkpoint: not a signed note")
        lines = text.split("\n")
        require(len(lines) == 3, "checkpoint: must be origin, size and root without extension lines")
        self.origin = lines[0]
        require(origin is None or self.origin == origin, f"checkpoint: origin is {self.origin!r}")
        require(self.origin and " " not in self.origin and "+" not in self.origin, "checkpoint: bad origin")
        require(lines[1].isascii() and lines[1].isdigit(), "checkpoint: bad size")
        self.size = int(lines[1])
        require(str(self.size) == lines[1], "checkpoint: size is not canonical")
        self.root = decode_base64(lines[2], "checkpoint root")
        require(len(self.root) == HASH, "checkpoint: root is not a SHA-256 hash")
        self.timestamp = self.verify(signatures.split("\n")[:-1], key)

    def verify(self, lines, key):
        """Finds and verifies the log's own signature; gives its timestamp. Other lines are ignored."""
        log_id = hashlib.sha256(spki(key)).digest()
        key_id = hashlib.sha256(
            self.origin.encode() + b"\n" + bytes([CHECKPOINT_SIGNATURE]) + log_id
        ).digest()[:4]
        mine = []
        for line in lines:
            require(line.startswith("\u2014 ") and line.count(" ") == 2, "checkpoint: bad signature line")
            _, name, value = line.split(" ")
            blob = decode_base64(value, "checkpoint signature")
            require(len(blob) > 4, "checkpoint: signature too short")
            if name == self.origin and blob[:4] == key_id:
                mine.append(blob[4:])
        require(len(mine) == 1, f"checkpoint: {len(mine)} signatures by the log's key instead of one")
        (blob,) = mine
        require(len(blob) >= 12, "checkpoint: truncated signature")
        timestamp, hash_algorithm, signature_algorithm, length = struct.unpack(">QBBH", blob[:12])
        require((hash_algorithm, signature_algorithm) == (4, 3), "checkpoint: not ECDSA with SHA-256")
        require(len(blob) == 12 + length, "checkpoint: signature length")
        tree_head = struct.pack(">BBQQ", 0, 1, timestamp, self.size) + self.root
        try:
            key.verify(blob[12:], tree_head, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise Wrong("checkpoint: the signature does not verify") from error
        return timestamp


def decode_base64(text, what):
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise Wrong(f"{what}: not base64") from error
    require(base64.b64encode(decoded).decode() == text, f"{what}: base64 is not canonical")
    return decoded


# --- Entries (static-ct-api "Log Entries", RFC 6962 section 3.4) ------------------------------------------


class Reader:
    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def take(self, length):
        require(self.at + length <= len(self.data), f"{self.what}: truncated")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def vector(self, size):
        return self.take(self.number(size))

    def done(self):
        return self.at == len(self.data)


class Entry:
    """One TileLeaf."""

    def __init__(self, reader):
        start = reader.at
        self.timestamp = reader.number(8)
        kind = reader.number(2)
        require(kind in (0, 1), f"{reader.what}: entry type {kind}")
        if kind == 1:
            self.issuer_key_hash = reader.take(HASH)
        self.signed = reader.vector(3)
        self.extensions = reader.vector(2)
        self.merkle_leaf = b"\x00\x00" + reader.data[start : reader.at]
        self.precertificate = reader.vector(3) if kind == 1 else None
        fingerprints = reader.vector(2)
        require(len(fingerprints) % HASH == 0, f"{reader.what}: odd fingerprints")
        self.fingerprints = [fingerprints[i : i + HASH] for i in range(0, len(fingerprints), HASH)]

    def leaf_index(self, what):
        """The index in the extensions, which must hold that one extension and nothing else."""
        reader = Reader(self.extensions, f"{what} extensions")
        require(reader.number(1) == 0, f"{what}: extension is not leaf_index")
        data = reader.vector(2)
        require(len(data) == 5 and reader.done(), f"{what}: extensions are not exactly one leaf_index")
        return int.from_bytes(data, "big")


def der_header(data, at):
    """(tag, start of content, end) of the DER value at `at`."""
    tag, first = data[at], data[at + 1]
    if first < 0x80:
        return tag, at + 2, at + 2 + first
    size = first & 0x7F
    length = int.from_bytes(data[at + 2 : at + 2 + size], "big")
    return tag, at + 2 + size, at + 2 + size + length


def der_values(data):
    at = 0
    while at < len(data):
        tag, start, end = der_header(data, at)
        require(end <= len(data), "DER value runs over its container")
        yield tag, data[at:end], data[start:end]
        at = end


def der_wrap(tag, content):
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def without_poison(tbs, what):
    """TBSCertificate minus its poison extension, byte for byte."""
    ((_, _, fields),) = der_values(tbs)
    rebuilt, removed = b"", 0
    for tag, whole, content in der_values(fields):
        if tag != 0xA3:
            rebuilt += whole
            continue
        ((_, _, extensions),) = der_values(content)
        kept = b""
        for _, extension, inner in der_values(extensions):
            if not inner.startswith(POISON_OID):
                kept += extension
                continue
            require(inner == POISON_OID + bytes.fromhex("0101ff04020500"), f"{what}: malformed poison")
            removed += 1
        rebuilt += der_wrap(0xA3, der_wrap(0x30, kept))
    require(removed == 1, f"{what}: {removed} poison extensions instead of one")
    return der_wrap(0x30, rebuilt)


def spki(key):
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


class Auditor:
    def __init__(self, site, checkpoint):
        self.site, self.checkpoint = site, checkpoint
        self.issuers, self.issuer_der = {}, {}
        self.entries = []
        self.chains = set()

    def leaves(self):
        """Checks every entry; gives the leaf hashes recomputed from the data tiles."""
        leaves = []
        for number, width in tiles_of(self.checkpoint.size):
            partial = "" if width == TILE else f".p/{width}"
            path = f"tile/data/{tile_index(number)}{partial}"
            reader = Reader(self.site.get(path, "application/octet-stream"), path)
            for _ in range(width):
                self.entries.append(Entry(reader))
                leaves.append(self.check_entry(self.entries[-1], len(leaves)))
            require(reader.done(), f"{path}: bytes after the last entry")
        return leaves

    def check_entry(self, entry, index):
        what = f"entry {index}"
        require(entry.leaf_index(what) == index, f"{what}: leaf_index is {entry.leaf_index(what)}")
        require(entry.timestamp <= self.checkpoint.timestamp, f"{what}: newer than the checkpoint")
        require(entry.fingerprints, f"{what}: no issuer")
        chain = [self.issuer(fingerprint) for fingerprint in entry.fingerprints]
        if entry.precertificate is not None:
            certificate = parse(entry.precertificate, what)
            require(
                without_poison(certificate.tbs_certificate_bytes, what) == entry.signed,
                f"{what}: the logged TBSCertificate is not the precertificate's without poison",
            )
            key_hash = hashlib.sha256(spki(chain[0].public_key())).digest()
            require(entry.issuer_key_hash == key_hash, f"{what}: issuer key hash")
        else:
            certificate = parse(entry.signed, what)
        check_issued(certificate, chain[0], what)
        if tuple(entry.fingerprints) not in self.chains:
            for child, parent in zip(chain, chain[1:]):
                check_issued(child, parent, what)
            check_issued(chain[-1], chain[-1], what)
            self.chains.add(tuple(entry.fingerprints))
        return leaf_hash(entry.merkle_leaf)

    def issuer(self, fingerprint):
        if fingerprint not in self.issuers:
            path = f"issuer/{fingerprint.hex()}"
            der = self.site.get(path, "application/pkix-cert")
            require(hashlib.sha256(der).digest() == fingerprint, f"{path}: does not hash to its name")
            self.issuers[fingerprint], self.issuer_der[fingerprint] = parse(der, path), der
        return self.issuers[fingerprint]


def check_issued(child, parent, what):
    try:
        child.verify_directly_issued_by(parent)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise Wrong(f"{what}: chain is broken: {error!r}") from error


def parse(der, what):
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise Wrong(f"{what}: not a certificate: {error}") from error


# --- RFC 6962 section 4, compared with the tiles ----------------------------------------------------------


def inclusion_proof(index, leaves):
    """PATH(m, D[n]) of section 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return inclusion_proof(index, leaves[:half]) + [tree_hash(leaves[half:])]
    return inclusion_proof(index - half, leaves[half:]) + [tree_hash(leaves[:half])]


def consistency_proof(old, leaves):
    """PROOF(m, D[n]) of section 2.1.2, word for word; empty for the empty tree."""

    def subproof(old, leaves, whole):
        if old == len(leaves):
            return [] if whole else [tree_hash(leaves)]
        half = 1 << (len(leaves) - 1).bit_length() - 1
        if old <= half:
            return subproof(old, leaves[:half], whole) + [tree_hash(leaves[half:])]
        return subproof(old - half, leaves[half:], False) + [tree_hash(leaves[:half])]

    return subproof(old, leaves, True) if old else []


class Rfc6962:
    """Compares the answers of a log that may be growing with a tree that was audited."""

    def __init__(self, auditor, leaves):
        self.auditor, self.site, self.leaves = auditor, auditor.site, leaves
        self.asked = 0

    def check(self, key):
        self.check_tree_head(key)
        numbers = sorted({n for n in (0, 1, 2, 3, 255, 256, 257, len(self.leaves) // 2, len(self.leaves) - 1)
                          if 0 <= n < len(self.leaves)})
        for number in numbers:
            for size in {number + 1, (number + 1 + len(self.leaves)) // 2, len(self.leaves)}:
                self.check_proofs(number, size)
        self.check_entries()
        self.check_refusals()
        return self.asked

    def get(self, path, **parameters):
        # An entry may be too new for the index.
        for _ in range(20):
            self.asked += 1
            status, answer = self.site.ask(path, **parameters)
            if status != 503:
                break
            time.sleep(1)
        require(status == 200, f"{path} {parameters}: HTTP {status} {answer}")
        return answer

    def check_tree_head(self, key):
        head = self.get("get-sth")
        root = decode_base64(head["sha256_root_hash"], "get-sth root")
        size, timestamp = head["tree_size"], head["timestamp"]
        require(size >= len(self.leaves), "get-sth: older than the checkpoint")
        if size == len(self.leaves):
            require(root == self.auditor.checkpoint.root, "get-sth: another root than the checkpoint's")
        signature = decode_base64(head["tree_head_signature"], "get-sth signature")
        require(signature[:2] == b"\x04\x03", "get-sth: not ECDSA with SHA-256")
        require(len(signature) == 4 + int.from_bytes(signature[2:4], "big"), "get-sth: signature length")
        try:
            signed = struct.pack(">BBQQ", 0, 1, timestamp, size) + root
            key.verify(signature[4:], signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise Wrong("get-sth: the signature does not verify") from error

    def check_proofs(self, index, size):
        what = f"entry {index} of {size}"
        leaves = self.leaves[:size]
        expected = [base64.b64encode(node).decode() for node in inclusion_proof(index, leaves)]
        leaf = base64.b64encode(leaves[index]).decode()
        by_hash = self.get("get-proof-by-hash", hash=leaf, tree_size=size)
        require(by_hash == {"leaf_index": index, "audit_path": expected}, f"get-proof-by-hash: {what}")
        both = self.get("get-entry-and-proof", leaf_index=index, tree_size=size)
        require(both["audit_path"] == expected, f"get-entry-and-proof: {what}")
        self.check_entry(both, index)
        expected = [base64.b64encode(node).decode() for node in consistency_proof(index, leaves)]
        answer = self.get("get-sth-consistency", first=index, second=size)
        require(answer == {"consistency": expected}, f"get-sth-consistency: {index} to {size}")

    def check_entries(self):
        at = 0
        while at < len(self.leaves):
            entries = self.get("get-entries", start=at, end=len(self.leaves) - 1)["entries"]
            require(0 < len(entries) <= len(self.leaves) - at, f"get-entries: {len(entries)} from {at}")
            for entry in entries:
                self.check_entry(entry, at)
                at += 1

    def check_entry(self, answer, index):
        what = f"RFC 6962 entry {index}"
        leaf = decode_base64(answer["leaf_input"], what)
        require(leaf_hash(leaf) == self.leaves[index], f"{what}: leaf_input")
        entry = self.auditor.entries[index]
        chain = b"".join(vector24(self.auditor.issuer_der[f]) for f in entry.fingerprints)
        before = b"" if entry.precertificate is None else vector24(entry.precertificate)
        extra = decode_base64(answer["extra_data"], what)
        require(extra == before + vector24(chain), f"{what}: extra_data")

    def check_refusals(self):
        hash_ = base64.b64encode(bytes(32)).decode()
        beyond = 1 << 40
        for want, path, parameters in (
            (400, "get-entries", {"start": 1, "end": 0}),
            (400, "get-entries", {"start": beyond, "end": beyond}),
            (400, "get-entries", {"start": -1, "end": 0}),
            (400, "get-entries", {"start": 0}),
            (400, "get-sth-consistency", {"first": 2, "second": 1}),
            (400, "get-sth-consistency", {"first": 0, "second": beyond}),
            (400, "get-proof-by-hash", {"hash": "AAAA", "tree_size": 1}),
            (400, "get-proof-by-hash", {"hash": hash_, "tree_size": 0}),
            (400, "get-entry-and-proof", {"leaf_index": 0, "tree_size": beyond}),
            (404, "get-proof-by-hash", {"hash": hash_, "tree_size": max(len(self.leaves), 1)}),
        ):
            if want == 404 and not self.leaves:
                continue
            status, answer = self.site.ask(path, **parameters)
            require(status == want, f"{path} {parameters}: HTTP {status} instead of {want}")
            require(answer.get("error_message"), f"{path} {parameters}: no error_message")
            self.asked += 1


def vector24(data):
    return len(data).to_bytes(3, "big") + data


def check_nothing_beyond(site, size):
    """No tile may exist beyond the published size, or be wider than it."""
    width = size % TILE
    for level in ("0", "data"):
        for path in (
            f"tile/{level}/{tile_index(size // TILE)}",
            f"tile/{level}/{tile_index(size // TILE)}.p/{TILE - 1}" if width < TILE - 1 else None,
            f"tile/{level}/{tile_index(size // TILE + 1)}",
        ):
            require(path is None or site.is_absent(path), f"{path}: served beyond size {size}")


def audit(site, key, arguments):
    checkpoint = Checkpoint(site.get("checkpoint", "text/plain; charset=utf-8"), key, arguments.origin)
    auditor = Auditor(site, checkpoint)
    leaves = auditor.leaves()
    require(tree_hash(leaves) == checkpoint.root, "checkpoint: root is not the hash of the entries")
    tiles = check_hash_tiles(site, leaves)
    if arguments.quiescent:
        check_nothing_beyond(site, checkpoint.size)
    answers = Rfc6962(auditor, leaves).check(key) if arguments.rfc6962 else 0
    return checkpoint, f"{len(leaves)} entries, {tiles} tiles, {len(auditor.issuers)} issuers, {answers} RFC 6962 answers"


def load_key(path):
    with open(path, "rb") as file:
        data = file.read()
    load = serialization.load_pem_public_key if data.startswith(b"-----") else serialization.load_der_public_key
    key = load(data)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("the log key must be ECDSA P-256")
    return key


def main():
    parser = argparse.ArgumentParser(description="Audit a published static-ct-api log.")
    parser.add_argument("--key", required=True, help="the log's public key: SPKI, PEM or DER")
    parser.add_argument("--origin", help="the expected origin line")
    parser.add_argument(
        "--quiescent",
        action="store_true",
        help="the log does not grow now: also require that nothing beyond its checkpoint is served",
    )
    parser.add_argument(
        "--rfc6962", action="store_true", help="also compare the answers of the RFC 6962 endpoints with the tiles"
    )
    parser.add_argument("url", help="monitoring prefix")
    arguments = parser.parse_args()
    try:
        key = load_key(arguments.key)
        checkpoint, checked = audit(Site(arguments.url), key, arguments)
    except Wrong as wrong:
        print(f"WRONG {wrong}", file=sys.stderr)
        return 1
    except (OSError, ValueError, IndexError) as error:
        print(f"cannot audit: {error!r}", file=sys.stderr)
        return 2
    print(f"OK {checkpoint.origin} size {checkpoint.size} root {checkpoint.root.hex()}: {checked} checked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
