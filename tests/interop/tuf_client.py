#!/usr/bin/env python3
"""python-tuf, a client of TUF repositories that shares no code with ours, reads copies of a repository's public folder.

    tuf_client.py read ROOT PUBLIC STORE              all files, and prints the versions; STORE is what this client remembers
    tuf_client.py refuse EXCEPTION ROOT PUBLIC STORE  must be refused with this class of exception
    tuf_client.py hostile ROOT OLD NEW                what a mirror can do to a client that has seen NEW, or nothing
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from tuf.api import exceptions, serialization
from tuf.ngclient import FetcherInterface, Updater


class Folder(FetcherInterface):
    """A mirror without a network: files of a folder, in whose place `instead` says what is sent."""

    def __init__(self, folder, instead=None):
        self.folder, self.instead = Path(folder), instead or {}

    def _fetch(self, url):
        name = url.removeprefix("https://mirror/")
        if name in self.instead:
            return self.instead[name]()
        try:
            return iter([(self.folder / name).read_bytes()])
        except FileNotFoundError as error:
            raise exceptions.DownloadHTTPError(name, 404) from error


def read(root, mirror, store):
    """All files, and the version of each role."""
    updater = Updater(
        str(store),
        "https://mirror/",
        target_base_url="https://mirror/targets/",
        fetcher=mirror,
        bootstrap=Path(root).read_bytes(),
    )
    updater.refresh()
    trusted = updater._trusted_set
    with tempfile.TemporaryDirectory() as files:
        for name in trusted.targets.targets:
            updater.download_target(updater.get_targetinfo(name), str(Path(files, name)))
    return [role.version for role in (trusted.root, trusted.targets, trusted.snapshot, trusted.timestamp)]


def refuse(exception, root, mirror, store):
    names = exception.split("|")
    expected = tuple(getattr(exceptions, name, None) or getattr(serialization, name) for name in names)
    try:
        versions = read(root, mirror, store)
    except expected as error:
        assert type(error) in expected, f"{type(error)}, not {expected}: {error}"
        return
    sys.exit(f"accepted {versions}, but must be refused with {exception}")


def current(folder, role):
    """The file of the version that is current."""
    if role == "timestamp":
        return "timestamp.json"
    after = {"snapshot": "timestamp", "targets": "snapshot"}[role]
    signed = json.loads(Path(folder, current(folder, after)).read_text())["signed"]
    return f"{signed['meta'][role + '.json']['version']}.{role}.json"


def endless():
    while True:
        yield b" " * 65536


def forged(folder, name):
    """The same with another signature, well-formed, of the same key."""
    metadata = json.loads(Path(folder, name).read_text())
    other = json.loads(Path(folder, "1.root.json").read_text())["signatures"][0]["sig"]
    for signature in metadata["signatures"]:
        signature["sig"] = other
    return json.dumps(metadata).encode()


def hostile(root, old, new):
    with tempfile.TemporaryDirectory() as work:
        seen = Path(work, "seen")
        versions = read(root, Folder(new), seen)

        def refused(exception, mirror, fresh=True):
            store = Path(work, "store")
            shutil.rmtree(store, ignore_errors=True)
            if not fresh:
                shutil.copytree(seen, store)
            refuse(exception, root, mirror, store)

        def instead(name, contents):
            return Folder(new, {name: lambda: iter([contents])})

        # Rolled back.
        refused("BadVersionNumberError", Folder(old), fresh=False)
        # Mixed: parts of two states that were both signed. The older may be a byte longer, as ECDSA signatures are.
        for role in ("snapshot", "targets"):
            older = Path(old, current(old, role)).read_bytes()
            refused("LengthOrHashMismatchError|DownloadLengthMismatchError", instead(current(new, role), older))
        # Signed by others; what has its hash in the metadata above does not come so far.
        refused("UnsignedMetadataError", instead("timestamp.json", forged(new, "timestamp.json")))
        next_root = json.loads(Path(new, f"{versions[0]}.root.json").read_text())
        next_root["signed"]["version"] += 1
        name = f"{versions[0] + 1}.root.json"
        refused("UnsignedMetadataError", instead(name, json.dumps(next_root).encode()))
        # Cut.
        for name, exception in (
            ("timestamp.json", "DeserializationError"),
            (current(new, "snapshot"), "LengthOrHashMismatchError"),
            (current(new, "targets"), "LengthOrHashMismatchError"),
        ):
            contents = Path(new, name).read_bytes()
            refused(exception, instead(name, contents[: len(contents) // 2]))
        # Without end.
        targets = json.loads(Path(new, current(new, "targets")).read_text())["signed"]["targets"]
        file = f"targets/{targets['trusted_root.json']['hashes']['sha256']}.trusted_root.json"
        for name in ("timestamp.json", current(new, "snapshot"), current(new, "targets"), file):
            refused("DownloadLengthMismatchError", Folder(new, {name: endless}))
        # A file with as many other bytes.
        refused("LengthOrHashMismatchError", instead(file, b" " * Path(new, file).stat().st_size))


def main(command, *arguments):
    if command == "read":
        root, public, store = arguments
        print(*read(root, Folder(public), store))
    elif command == "refuse":
        exception, root, public, store = arguments
        refuse(exception, root, Folder(public), store)
    elif command == "hostile":
        hostile(*arguments)
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
