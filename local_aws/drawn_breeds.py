"""Draw a small data set of made-up dog breeds, so that every part of the project can run with nothing from anywhere.

    python -m local_aws.drawn_breeds build/datasets/drawn

Twelve breeds that no kennel club knows, drawn with ellipses. A breed is its coat, its ears, its muzzle and its
markings; the dog's place, size, tilt and mood and the world behind it are left to chance, so that a classifier has to
look at the dog. The same seed draws the same files, byte for byte (with one version of Pillow).
"""

import argparse
import math
import random
import shutil
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from inference.engine import cpu_count

IMAGES_PER_BREED = {"train": 24, "valid": 6, "test": 6}
IMAGE_SIZE = 224
# Ellipses are drawn larger and scaled down, because Pillow draws them without smooth edges.
SCALE = 2
CANVAS = IMAGE_SIZE * SCALE

Colour = tuple[int, int, int]
CREAM, INK, PINK = (246, 238, 220), (38, 30, 30), (240, 130, 140)


@dataclass(frozen=True)
class Breed:
    """How a breed looks. `muzzle` is its length as a share of the head; colours are RGB."""

    name: str
    coat: Colour
    ear_colour: Colour
    ears: str
    muzzle: float
    marking: str
    marking_colour: Colour = CREAM


BREEDS = (
    Breed("drawn_amber_flopear", (208, 142, 62), (150, 92, 36), "floppy", 0.50, "none"),
    Breed("drawn_ash_wolfling", (128, 132, 140), (88, 92, 100), "pointed", 0.62, "mask"),
    Breed("drawn_biscuit_roundling", (228, 196, 148), (206, 166, 112), "round", 0.40, "none"),
    Breed("drawn_bramble_terrier", (92, 66, 50), (70, 48, 36), "folded", 0.55, "beard", (150, 116, 84)),
    Breed("drawn_cloud_puff", (240, 240, 236), (222, 222, 220), "round", 0.38, "fluff", (240, 240, 236)),
    Breed("drawn_ember_fox", (206, 92, 42), (60, 36, 30), "pointed", 0.60, "mask"),
    Breed("drawn_harlequin_spotter", (238, 234, 228), (48, 44, 48), "floppy", 0.52, "spots", (48, 44, 48)),
    Breed("drawn_ink_longear", (58, 54, 64), (40, 36, 46), "long", 0.56, "brows", (196, 128, 70)),
    Breed("drawn_maple_blazer", (150, 70, 44), (126, 54, 34), "folded", 0.54, "blaze"),
    Breed("drawn_moss_badger", (118, 120, 84), (84, 88, 58), "round", 0.58, "stripes"),
    Breed("drawn_patch_pirate", (236, 222, 200), (112, 70, 44), "floppy", 0.46, "patch", (112, 70, 44)),
    Breed("drawn_slate_longear", (104, 120, 142), (76, 90, 112), "long", 0.50, "blaze"),
)


def draw_breeds(target: Path, seed: int = 0, images_per_breed: Mapping[str, int] = IMAGES_PER_BREED) -> None:
    """Write target/<split>/<breed>/<number>.jpg for every breed, in place of an earlier drawing."""
    jobs = [
        (breed, split, number)
        for breed in BREEDS
        for split, count in images_per_breed.items()
        for number in range(count)
    ]
    for split in images_per_breed:
        shutil.rmtree(target / split, ignore_errors=True)
        for breed in BREEDS:
            (target / split / breed.name).mkdir(parents=True)

    def draw(job: tuple[Breed, str, int]) -> None:
        breed, split, number = job
        # A generator of its own for each picture, so that neither threads nor new breeds change the others.
        chance = random.Random(f"{seed}/{breed.name}/{split}/{number}")  # noqa: S311 (pictures, not secrets)
        draw_dog(breed, chance).save(target / split / breed.name / f"{number:03}.jpg", quality=88)

    with ThreadPoolExecutor(cpu_count()) as pool:
        list(pool.map(draw, jobs))


def draw_dog(breed: Breed, chance: random.Random) -> Image.Image:
    """One picture, RGB, IMAGE_SIZE square."""
    scene = draw_background(chance)
    dog = Image.new("RGBA", (CANVAS, CANVAS))
    face = Face(ImageDraw.Draw(dog), breed, chance)
    face.draw()
    size = round(CANVAS * chance.uniform(0.75, 1.15))
    dog = dog.rotate(chance.uniform(-22, 22)).resize((size, size), Image.Resampling.BILINEAR)
    middle = (CANVAS - size) // 2
    shift = CANVAS // 12
    place = (middle + chance.randint(-shift, shift), middle + chance.randint(-shift, shift))
    scene.paste(dog, place, dog)
    picture = scene.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast):
        picture = enhance(picture).enhance(chance.uniform(0.75, 1.2))
    return picture.filter(ImageFilter.GaussianBlur(chance.uniform(0, 0.8)))


def draw_background(chance: random.Random) -> Image.Image:
    """A sky and a meadow, a beach or a carpet of any colour, with some round things lying about."""
    scene = Image.new("RGB", (CANVAS, CANVAS), pastel(chance))
    pen = ImageDraw.Draw(scene)
    horizon = chance.randint(CANVAS // 3, CANVAS)
    pen.ellipse((-CANVAS, horizon, chance.randint(1, 3) * CANVAS, horizon + 2 * CANVAS), fill=pastel(chance))
    for _ in range(chance.randint(2, 9)):
        x, y, radius = chance.randint(0, CANVAS), chance.randint(0, CANVAS), chance.randint(8, CANVAS // 8)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=pastel(chance))
    return scene


def pastel(chance: random.Random) -> Colour:
    """Any light or middling colour."""
    return (chance.randint(90, 245), chance.randint(90, 245), chance.randint(90, 245))


class Face:
    """A dog's head on a canvas. Coordinates are shares of the canvas: (0.5, 0.5) is between the eyes and the nose."""

    def __init__(self, pen: ImageDraw.ImageDraw, breed: Breed, chance: random.Random) -> None:
        self.pen = pen
        self.breed = breed
        self.chance = chance
        tint = chance.randint(-14, 14)
        self.coat = shade(breed.coat, tint)
        self.ear_colour = shade(breed.ear_colour, tint)
        self.marking_colour = shade(breed.marking_colour, tint)
        self.width = chance.uniform(0.21, 0.24)
        self.side = chance.choice((-1, 1))

    def draw(self) -> None:
        """From back to front."""
        behind = self.breed.ears in ("pointed", "round")
        if behind:
            self.draw_ears()
        if self.breed.marking == "fluff":
            self.draw_fluff()
        self.oval(0.5, 0.48, self.width, 0.24, self.coat)
        MARKINGS[self.breed.marking](self)
        if not behind:
            self.draw_ears()
        self.draw_muzzle()
        self.draw_eyes()
        if self.chance.random() < 0.4:
            self.draw_ball()

    def draw_ears(self) -> None:
        """Both ears, of the breed's kind."""
        lift = self.chance.uniform(-0.02, 0.02)
        for side in (-1, 1):
            x = 0.5 + side * self.width
            if self.breed.ears == "pointed":
                self.polygon((x - side * 0.17, 0.33), (x, 0.10 + lift), (x + side * 0.03, 0.42), fill=self.ear_colour)
                self.polygon((x - side * 0.11, 0.31), (x, 0.17 + lift), (x + side * 0.005, 0.37), fill=PINK)
            elif self.breed.ears == "round":
                self.oval(x - side * 0.03, 0.29 + lift, 0.085, 0.085, self.ear_colour)
            elif self.breed.ears == "folded":
                self.polygon((x - side * 0.13, 0.27), (x + side * 0.05, 0.25 + lift), (x, 0.42), fill=self.ear_colour)
            else:
                length = 0.17 if self.breed.ears == "floppy" else 0.27
                self.oval(x + side * 0.02, 0.36 + length * 0.8 + lift, 0.075, length, self.ear_colour)

    def draw_muzzle(self) -> None:
        """The snout, a nose with a shine on it, a smile, and sometimes a tongue."""
        half = self.breed.muzzle * 0.25
        beard = self.breed.marking == "beard"
        self.oval(0.5, 0.60, half, half * 0.8, self.marking_colour if beard else shade(self.coat, 28))
        if self.chance.random() < 0.5:
            self.oval(0.5, 0.60 + half * 0.75, 0.028, 0.055, PINK)
        self.line((0.5, 0.58), (0.5, 0.60 + half * 0.4))
        for side in (-1, 1):
            x, y = 0.5 + side * half * 0.35, 0.60 + half * 0.3
            self.pen.arc(self.box(x, y, half * 0.35, half * 0.25), 10, 170, fill=INK, width=3 * SCALE)
        self.oval(0.5, 0.545, 0.042, 0.03, INK)
        self.oval(0.488, 0.537, 0.011, 0.007, (170, 170, 175))

    def draw_eyes(self) -> None:
        """Two eyes that look the same way."""
        look = self.chance.uniform(-0.008, 0.008)
        for side in (-1, 1):
            x = 0.5 + side * self.width * 0.45
            self.oval(x, 0.43, 0.033, 0.037, (250, 250, 248))
            self.oval(x + look, 0.435, 0.024, 0.028, INK)
            self.oval(x + look - 0.007, 0.425, 0.008, 0.008, (255, 255, 255))

    def draw_ball(self) -> None:
        """A toy in front of the face, so that no single part of a dog can be relied on."""
        x, y, radius = self.chance.uniform(0.2, 0.8), self.chance.uniform(0.2, 0.8), self.chance.uniform(0.05, 0.09)
        self.oval(x, y, radius, radius, pastel(self.chance))
        self.pen.arc(self.box(x - radius, y, radius, radius), -60, 60, fill=CREAM, width=3 * SCALE)

    def draw_mask(self) -> None:
        """Light cheeks, as wolves and foxes wear them."""
        for side in (-1, 1):
            self.oval(0.5 + side * self.width * 0.45, 0.58, self.width * 0.5, 0.13, self.marking_colour)

    def draw_blaze(self) -> None:
        """A stripe from the forehead to the nose."""
        self.oval(0.5, 0.42, 0.045, 0.175, self.marking_colour)

    def draw_stripes(self) -> None:
        """A stripe over each eye and one between them."""
        for x in (-0.6, 0, 0.6):
            self.oval(0.5 + x * self.width, 0.42, 0.028, 0.15, self.marking_colour)

    def draw_patch(self) -> None:
        """One dark eye, left or right."""
        self.oval(0.5 + self.side * self.width * 0.48, 0.43, 0.085, 0.10, self.marking_colour)

    def draw_brows(self) -> None:
        """A dot above each eye."""
        for side in (-1, 1):
            self.oval(0.5 + side * self.width * 0.45, 0.36, 0.028, 0.02, self.marking_colour)

    def draw_spots(self) -> None:
        """Spots wherever they fall."""
        for _ in range(self.chance.randint(7, 11)):
            angle, distance = self.chance.uniform(0, 2 * math.pi), math.sqrt(self.chance.random())
            x = 0.5 + distance * math.cos(angle) * self.width * 0.85
            y = 0.48 + distance * math.sin(angle) * 0.20
            radius = self.chance.uniform(0.015, 0.032)
            self.oval(x, y, radius, radius, self.marking_colour)

    def draw_fluff(self) -> None:
        """A cloud of fur around the head."""
        for step in range(14):
            angle = step / 14 * 2 * math.pi
            x, y = 0.5 + math.cos(angle) * self.width, 0.47 + math.sin(angle) * 0.23
            self.oval(x, y, 0.075, 0.075, shade(self.marking_colour, -10))

    def draw_beard(self) -> None:
        """Tufts below the chin; the muzzle takes the same colour."""
        for x in (-0.09, -0.045, 0, 0.045, 0.09):
            self.polygon((0.5 + x - 0.04, 0.62), (0.5 + x + 0.04, 0.62), (0.5 + x, 0.80), fill=self.marking_colour)

    def draw_nothing(self) -> None:
        """A plain coat."""

    def box(self, x: float, y: float, half_width: float, half_height: float) -> tuple[float, float, float, float]:
        """The bounding box, in pixels, of something around (x, y)."""
        return (
            (x - half_width) * CANVAS,
            (y - half_height) * CANVAS,
            (x + half_width) * CANVAS,
            (y + half_height) * CANVAS,
        )

    def oval(self, x: float, y: float, half_width: float, half_height: float, fill: Colour) -> None:
        """A filled ellipse around (x, y)."""
        self.pen.ellipse(self.box(x, y, half_width, half_height), fill=fill)

    def polygon(self, *points: tuple[float, float], fill: Colour) -> None:
        """A filled polygon."""
        self.pen.polygon([(x * CANVAS, y * CANVAS) for x, y in points], fill=fill)

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A dark line."""
        self.pen.line([(x * CANVAS, y * CANVAS) for x, y in (start, end)], fill=INK, width=3 * SCALE)


MARKINGS: dict[str, Callable[[Face], None]] = {
    "none": Face.draw_nothing,
    "beard": Face.draw_beard,
    "fluff": Face.draw_nothing,
    "mask": Face.draw_mask,
    "blaze": Face.draw_blaze,
    "stripes": Face.draw_stripes,
    "patch": Face.draw_patch,
    "brows": Face.draw_brows,
    "spots": Face.draw_spots,
}


def shade(colour: Colour, by: int) -> Colour:
    """A lighter (or, with a negative number, darker) colour."""
    red, green, blue = (max(0, min(255, channel + by)) for channel in colour)
    return (red, green, blue)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", type=Path, metavar="OUT", help="folder to draw into")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        draw_breeds(arguments.target, arguments.seed)
    except OSError as error:
        sys.exit(f"The breeds cannot be drawn: {error}.")
    images = len(BREEDS) * sum(IMAGES_PER_BREED.values())
    print(f"Drew {images} images of {len(BREEDS)} made-up breeds into {arguments.target}.")


if __name__ == "__main__":
    main()
