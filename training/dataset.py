"""Check a folder of images and lay it out for training, as links.

    python -m training.dataset ~/dogImages build/datasets/dogs

writes build/datasets/dogs/{train,valid,test}/<class>/<file>, without the files that cannot be decoded, without copies
and with the splits that were missing, and the report build/datasets/dogs.json. The images stay where they are. What was
found out about a file's content is kept in build/datasets/.checked.json and not found out again.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from inference.preprocess import MAX_PIXELS, ImageError, decode
from training.data import (
    SPLITS,
    Broken,
    DataError,
    Hashes,
    Listing,
    check_size,
    copies_for_report,
    drop_copies,
    files_of,
    find_splits,
    hash_files,
    missing_splits,
    scan,
    split_missing,
    threaded,
)
from training.files import replace_file
from training.progress import progress

CHECKED_NAME = ".checked.json"
DECODER = f"Pillow {version('pillow')}, {MAX_PIXELS} pixels"  # what one refuses, another may take


def prepare(source: Path, target: Path) -> dict[str, Any]:
    """Check `source`, lay it out as `target`, write and return the report. An earlier layout is replaced at the end.

    Raises:
        DataError: the images cannot be trained on, or `target` holds something that is not ours to replace.
    """
    check_target(source, target)
    folders = find_splits(source)
    scanned = scan(folders)
    hashes = hash_files(files_of(scanned))
    intact, broken = drop_broken(scanned, hashes, target.with_name(CHECKED_NAME))
    given, copies = drop_copies(intact, hashes)
    listing = split_missing(given, hashes)
    report = {
        "classes": len(listing["train"]),
        "images": {split: sum(map(len, listing[split].values())) for split in SPLITS},
        "splits_made_by_rule": missing_splits(given),
        "skipped": [{"file": str(path.relative_to(source)), "reason": reason} for path, reason in broken.files.items()],
        "duplicates": copies_for_report(copies.duplicates),
        "leaks": copies_for_report(copies.leaks),
    }
    staging = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        link(listing, staging)
        report_path(target).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        if target.exists():
            # Two renames, not one: a folder cannot be renamed over another that has content.
            old = target.with_name(f".{target.name}.old.{os.getpid()}")
            target.rename(old)
            staging.rename(target)
            shutil.rmtree(old)
        else:
            staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return report


def drop_broken(listing: Listing, hashes: Hashes, cache: Path) -> tuple[Listing, Broken]:
    """Decode every content once, ever, and leave out the files that fail. Raises DataError when they are too many."""
    known = read_checked(cache)
    files = files_of(listing)
    new = list({hashes[path]: path for path in files if hashes[path] not in known}.values())
    reasons = progress(threaded(problem, new), len(new), "checking")
    known |= {hashes[path]: reason for path, reason in zip(new, reasons, strict=True)}
    write_checked(cache, known)
    broken = Broken(len(files))
    for path in files:
        if reason := known[hashes[path]]:
            broken.add(path, reason)
    intact = {
        split: {name: [path for path in paths if path not in broken.files] for name, paths in classes.items()}
        for split, classes in listing.items()
    }
    for split, classes in intact.items():
        if empty := [name for name, paths in classes.items() if not paths]:
            raise DataError(f"None of the images of the class {empty[0]} in {split} can be decoded: replace them.")
    return intact, broken


def problem(path: Path) -> str:
    """Why a file is no image to train on, or nothing."""
    content = path.read_bytes()
    try:
        check_size(content)
        # libjpeg reads the whole file at any scale, and the smallest is the fastest.
        decode(content, min_side=1)
    except ImageError as error:
        return str(error)
    return ""


def read_checked(cache: Path) -> dict[str, str]:
    """What is known of contents, by their SHA-256; nothing when another decoder found it out, or the file is gone."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(cache.read_text())
        if content["decoder"] == DECODER:
            return dict(content["problems"])
    return {}


def write_checked(cache: Path, problems: Mapping[str, str]) -> None:
    """Keep what is known."""
    replace_file(cache, json.dumps({"decoder": DECODER, "problems": problems}).encode())


def link(listing: Listing, folder: Path) -> None:
    """Make `folder/<split>/<class>/<file>` as links to the images."""
    for split in SPLITS:
        for name, paths in listing[split].items():
            class_folder = folder / split / name
            class_folder.mkdir(parents=True)
            for path in paths:
                (class_folder / path.name).symlink_to(path.resolve())


def check_target(source: Path, target: Path) -> None:
    """Raise DataError unless `target` may be replaced: it must be new or made here, or someone loses their images."""
    inner, outer = target.resolve(), source.resolve()
    if inner == outer or inner in outer.parents or outer in inner.parents:
        raise DataError(f"{target} and {source} lie in one another: lay the data set out somewhere else.")
    if target.exists() and not report_path(target).is_file():
        raise DataError(f"{target} was not made by this command (it has no {report_path(target).name}): name another.")
    target.parent.mkdir(parents=True, exist_ok=True)


def report_path(target: Path) -> Path:
    """Where the report of a layout stands: beside it, so that it does not travel with the images."""
    return target.with_name(f"{target.name}.json")


def summary(report: Mapping[str, Any]) -> str:
    """The report in a few lines."""
    counts = ", ".join(f"{count} {split}" for split, count in report["images"].items())
    lines = [f"{report['classes']} classes: {counts} images."]
    if report["splits_made_by_rule"]:
        lines.append(f"Cut from train by content hash: {', '.join(report['splits_made_by_rule'])}.")
    if report["skipped"]:
        names = ", ".join(entry["file"] for entry in report["skipped"][:3])
        more = " …" if len(report["skipped"]) > 3 else ""
        lines.append(f"Skipped, since they cannot be decoded: {len(report['skipped'])} ({names}{more}).")
    if copies := len(report["duplicates"]) + len(report["leaks"]):
        leaks = len(report["leaks"])
        lines.append(f"Skipped, since the same image is there already: {copies}, {leaks} of them in another split.")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "source", type=Path, metavar="DATA", help="train/valid/test/<class>/<image>, or <class>/<image>"
    )
    parser.add_argument("target", type=Path, metavar="OUT", help="folder to make; its report is OUT.json")
    arguments = parser.parse_args()
    try:
        print(summary(prepare(arguments.source, arguments.target)))
    except DataError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"The data set cannot be laid out: {error}.")


if __name__ == "__main__":
    main()
