#!/usr/bin/env python3
"""Has Fulcio answer all cases of tests/vectors/identity anew.

    regenerate.py [--check] PUBLIC_ISSUER_FILE

PUBLIC_ISSUER_FILE is Fulcio's own config/identity/config.yaml; the README of the vectors says of which commit. With
--check nothing is written, and the exit code is 1 if any answer is another than the one on file.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parents[1] / "vectors" / "identity"


def answers(oracle, issuers, cases):
    """What the oracle says of each case. Fulcio words its refusals as it likes, so that only the fact is kept."""
    requests = "".join(json.dumps({"claims": case["claims"]}) + "\n" for case in cases)
    answered = subprocess.run([oracle, issuers], input=requests, stdout=subprocess.PIPE, text=True, check=True)
    for line in answered.stdout.splitlines():
        answer = json.loads(line)
        if "error" in answer:
            yield {"error": True}
        else:
            extensions = sorted(answer["extensions"].items(), key=lambda extension: int(extension[0]))
            yield {"name": answer["name"], "extensions": dict(extensions)}


def written(vectors):
    """One line for each part of a case, in ASCII: no editor or tool that normalises text can change a value."""
    head = [f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in vectors.items() if key != "cases"]
    cases = [
        "    {\n" + ",\n".join(f"      {json.dumps(key)}: {json.dumps(value)}" for key, value in case.items()) + "\n    }"
        for case in vectors["cases"]
    ]
    return "{\n" + "".join(head) + '  "cases": [\n' + ",\n".join(cases) + "\n  ]\n}\n"


def regenerate(path, oracle, public, scratch):
    """The file's text as it should be, and the names of the cases whose answer is another one now."""
    vectors = json.loads(path.read_text())
    issuers = public
    if vectors["issuers"] != "public":
        issuers = scratch / "issuers"
        issuers.write_text(vectors["issuers"])
    changed = []
    for case, answer in zip(vectors["cases"], answers(oracle, issuers, vectors["cases"]), strict=True):
        # By a file of ours, Fulcio says what Mayfly does: constants are literal there.
        if answer not in (case.get("expected"), case.get("mayfly")):
            changed.append(case["name"])
        case["expected"] = answer
    return written(vectors), changed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("public", metavar="PUBLIC_ISSUER_FILE", type=Path)
    arguments = parser.parse_args()
    differing = 0
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        oracle = scratch / "fulcio-identity"
        subprocess.run(["go", "build", "-C", HERE, "-o", oracle, "."], check=True)
        for path in sorted(set(VECTORS.glob("*.json")) - {VECTORS / "refused.json"}):
            text, changed = regenerate(path, oracle, arguments.public, scratch)
            differing += len(changed)
            for name in changed:
                print(f"{path.name}: {name}")
            if not arguments.check:
                path.write_text(text)
    sys.exit(1 if arguments.check and differing else 0)


if __name__ == "__main__":
    main()
