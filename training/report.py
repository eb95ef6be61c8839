"""The run on paper: metrics.json, the plots, a page to read (report.html) and a model card (model-card.md).

The page is one file that needs nothing else: its images are inside, it runs no script and loads nothing. Names of
classes and files come from whoever made the data set, so the templates escape every value that they print.
"""

import base64
import html
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_eval_context, select_autoescape
from jinja2.nodes import EvalContext
from torch import Tensor

from inference.preprocess import ImageError, decode
from training.evaluation import evaluate
from training.files import encoded, replace_file
from training.network import Outputs
from training.plots import plot_calibration, plot_confusion, plot_curves

TEMPLATES = Path(__file__).parent / "templates"
MOST_CONFUSED = 20
WORST_MISTAKES = 24
THUMBNAIL_PIXELS = 192
# The whole list is in metrics.json; a page with a row for each of a million files would open nowhere.
LISTED_FILES = 100
# What Markdown reads as markup. An underscore inside a word is none, and breeds have many.
MARKDOWN = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


@dataclass(frozen=True)
class Tested:
    """What the exported model answered on the test split. `paths` has the file of each row of `outputs` (logits)."""

    outputs: Outputs
    temperature: float
    classes: Sequence[str]
    paths: Sequence[Path]


@dataclass(frozen=True)
class Mistake:
    """A wrong answer, its probability, and the photograph as the bytes of a small JPEG."""

    file: str
    true_class: str
    answer: str
    probability: float
    thumbnail: bytes


def write_report(
    output_dir: Path, facts: Mapping[str, Any], histories: Mapping[str, Sequence[Mapping[str, float]]], tested: Tested
) -> None:
    """Write metrics.json, curves.png, confusion.png, calibration.png, report.html and model-card.md.

    `histories` has the records of each stage of training ("head", and "fine_tuning" where it ran): `epoch`,
    `train_loss`, `valid_loss`, `valid_top1`. Each file appears whole or not at all. Raises OSError.
    """
    evaluation = evaluate(tested.outputs, tested.temperature)
    classes = tested.classes
    metrics = {
        **facts,
        "most_confused": most_confused(classes, evaluation.confusion),
        "per_class": [
            {"class": name, **asdict(figures)} for name, figures in zip(classes, evaluation.per_class, strict=True)
        ],
        "calibration": [asdict(part) for part in evaluation.calibration],
        "history": list(histories["head"]),
    }
    if "fine_tuning" in histories:
        metrics["fine_tuning_history"] = list(histories["fine_tuning"])
    plots = {
        "curves.png": plot_curves(histories),
        "confusion.png": plot_confusion(classes, evaluation.confusion),
        "calibration.png": plot_calibration(evaluation.calibration),
    }
    values = {
        "metrics": metrics,
        "test_loss": evaluation.loss,
        "test_images": evaluation.images,
        "top1_interval": interval(evaluation.top1, evaluation.images),
        "worst_first": sorted(metrics["per_class"], key=badness),
        "listed_files": LISTED_FILES,
    }
    files = {
        **plots,
        "metrics.json": encoded(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n"),
        "report.html": encoded(render("report.html", **values, plots=plots, mistakes=list(worst_mistakes(tested)))),
        "model-card.md": encoded(render("model-card.md", **values)),
    }
    output_dir.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        replace_file(output_dir / name, content)


def most_confused(classes: Sequence[str], confusion: Tensor) -> list[dict[str, Any]]:
    """The pairs that were mistaken most often, worst first. `confusion[i, j]` counts images of class i taken for j."""
    mistakes = confusion.clone().fill_diagonal_(0)
    counts, places = mistakes.flatten().sort(descending=True, stable=True)
    return [
        {"class": classes[place // len(classes)], "taken_for": classes[place % len(classes)], "images": count}
        for count, place in zip(counts[:MOST_CONFUSED].tolist(), places[:MOST_CONFUSED].tolist(), strict=True)
        if count
    ]


def badness(figures: Mapping[str, Any]) -> tuple[float, float, int]:
    """A key to sort classes by: those found least often first, those without images last."""
    unknown = math.inf
    recall, precision = (unknown if figures[name] is None else figures[name] for name in ("recall", "precision"))
    return recall, precision, -figures["images"]


def interval(share: float, images: int) -> tuple[float, float]:
    """Where a share that was measured on so many images may really lie, at 95 % (Wilson, 1927)."""
    z = 1.96
    centre = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def worst_mistakes(tested: Tested) -> Iterator[Mistake]:
    """The wrong answers that were most sure, at most WORST_MISTAKES of those whose files can still be read."""
    labels = tested.outputs.labels
    confidences, answers = (tested.outputs.values.double() / tested.temperature).softmax(dim=1).max(dim=1)
    surest = [row for row in confidences.argsort(descending=True, stable=True).tolist() if answers[row] != labels[row]]
    found = 0
    for row in surest:
        path = tested.paths[row]
        try:
            picture = thumbnail(path)
        except (OSError, ImageError):
            continue
        true_class, answer = (tested.classes[int(column[row])] for column in (labels, answers))
        yield Mistake(path.name, true_class, answer, float(confidences[row]), picture)
        found += 1
        if found == WORST_MISTAKES:
            return


def thumbnail(path: Path) -> bytes:
    """A photograph as a JPEG with sides of at most THUMBNAIL_PIXELS. Raises OSError, ImageError."""
    image = decode(path.read_bytes(), min_side=THUMBNAIL_PIXELS)
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    image.info.clear()  # comments and profiles can be larger than the thumbnail
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def render(template: str, **values: Any) -> str:
    """Fill in a template of this folder. Every value that it prints is escaped, for HTML or for Markdown."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        finalize=escape_markdown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "data_uri": data_uri}
    return environment.get_template(template).render(**values)


@pass_eval_context
def escape_markdown(context: EvalContext, value: Any) -> Any:
    """Make a value plain text on one line of Markdown; in HTML, where Jinja escapes, leave it to Jinja."""
    if context.autoescape:
        return value
    text = html.escape(CONTROL_CHARACTERS.sub(" ", str(value)), quote=False)
    return MARKDOWN.sub(r"\\\g<0>", text)


def percent(share: float | None) -> str:
    """A share for people."""
    return "unknown" if share is None else f"{share:.1%}"


def data_uri(content: bytes, kind: str) -> str:
    """An image of the kind "png" or "jpeg" as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
