#!/usr/bin/env python3
"""Looks up certificates in a published static-ct-api log: each must be the entry that its SCT names.

    find_in_log.py URL ANSWER.json...

URL is the monitoring prefix, each file an answer of `POST /api/v2/signingCert`.
"""

import json
import sys
from datetime import timezone

from cryptography import x509

from check_log import TILE, Entry, Reader, Site, require, tile_index


def entries(site, size):
    found = []
    for number in range(-(-size // TILE)):
        width = min(TILE, size - number * TILE)
        path = f"tile/data/{tile_index(number)}" + ("" if width == TILE else f".p/{width}")
        reader = Reader(site.get(path, "application/octet-stream"), path)
        found.extend(Entry(reader) for _ in range(width))
    return found


def check(path, log):
    with open(path) as file:
        chain = json.load(file)["signedCertificateEmbeddedSct"]["chain"]["certificates"]
    certificate = x509.load_pem_x509_certificate(chain[0].encode())
    (sct,) = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    require(sct.extension_bytes[:3] == b"\x00\x00\x05", f"{path}: the SCT's extension is not a leaf_index")
    index = int.from_bytes(sct.extension_bytes[3:], "big")
    require(index < len(log), f"{path}: index {index} is beyond the checkpoint's size {len(log)}")
    entry = log[index]
    milliseconds = int(sct.timestamp.replace(tzinfo=timezone.utc).timestamp() * 1000)
    require(entry.timestamp == milliseconds, f"{path}: another timestamp than entry {index}")
    require(entry.signed == certificate.tbs_precertificate_bytes, f"{path}: entry {index} is another certificate")
    require(entry.extensions == sct.extension_bytes, f"{path}: other extensions than entry {index}")
    return index


def main(url, paths):
    site = Site(url)
    size = int(site.get("checkpoint", "text/plain; charset=utf-8").split(b"\n")[1])
    log = entries(site, size)
    indexes = {check(path, log) for path in paths}
    require(len(indexes) == len(paths), "two certificates share an index")
    print(f"{len(paths)} certificates found, at {sorted(indexes)}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
