"""Check a folder of images and lay it out for training, as links.

    python -m training.dataset ~/dogImages build/datasets/dogs

writes build/datasets/dogs/{train,valid,test}/<class>/<file>, without the files that cannot be decoded and with the
splits that were missing, and the report build/datasets/dogs.json. The images stay where they are.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference.preprocess import ImageError, decode
from training.data import SPLITS, Broken, DataError, Listing, find_splits, scan, split_missing, threaded
from training.progress import progress


def prepare(source: Path, target: Path) -> dict[str, Any]:
    """Check `source`, lay it out as `target`, write and return the report. An earlier layout is replaced at the end.

    Raises:
        DataError: the images cannot be trained on, or `target` holds something that is not ours to replace.
    """
    check_target(source, target)
    folders = find_splits(source)
    given, broken = drop_broken(scan(folders))
    listing = split_missing(given)
    report = {
        "classes": len(listing["train"]),
        "images": {split: sum(map(len, listing[split].values())) for split in SPLITS},
        "splits_made_by_rule": [split for split in SPLITS if not any(given.get(split, {}).values())],
        "skipped": [{"file": str(path.relative_to(source)), "reason": reason} for path, reason in broken.files.items()],
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


def drop_broken(listing: Listing) -> tuple[Listing, Broken]:
    """Decode every file once and leave out those that fail. Raises DataError when they are too many."""

    def problem(path: Path) -> str | None:
        try:
            # libjpeg reads the whole file at any scale, and the smallest is the fastest.
            decode(path.read_bytes(), min_side=1)
        except ImageError as error:
            return str(error)
        return None

    files = [path for classes in listing.values() for paths in classes.values() for path in paths]
    broken = Broken(len(files))
    for path, reason in zip(files, progress(threaded(problem, files), len(files), "checking"), strict=True):
        if reason:
            broken.add(path, reason)
    intact = {
        split: {name: [path for path in paths if path not in broken.files] for name, paths in classes.items()}
        for split, classes in listing.items()
    }
    for split, classes in intact.items():
        if empty := [name for name, paths in classes.items() if not paths]:
            raise DataError(f"None of the images of the class {empty[0]} in {split} can be decoded: replace them.")
    return intact, broken


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
