"""Leave out of npm's lock files where each author takes donations: lock files here name no address.

python -m tests.without_funding tests/iam/package-lock.json
"""

import json
import sys
from pathlib import Path

for path in map(Path, sys.argv[1:]):
    lock = json.loads(path.read_text())
    for package in lock["packages"].values():
        package.pop("funding", None)
    path.write_text(json.dumps(lock, indent=2) + "\n")
