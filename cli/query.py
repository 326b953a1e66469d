"""mocosearch query: the photos nearest to an image."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli import options
from cli.common import Json, ReaderName, reading, require_photos
from cli.display import detail, finish, say, show_json, show_raw, warn_skipped

if TYPE_CHECKING:
    from indexes import Answer, Crop, Question, Reader, Where
    from indexes.search.question import Source


def query(
    images: options.Images = None,
    index: ReaderName = "default",
    top: options.Top = 10,
    min_score: options.MinScore = None,
    minus: options.Minus = None,
    crop: options.CropRegion = None,
    part: options.Part = False,
    align: options.Align = False,
    turned: options.Turned = False,
    inside: options.Inside = None,
    outside: options.Outside = None,
    taken: options.Taken = None,
    near: options.Near = None,
    camera: options.Camera = None,
    format: options.Format = None,
    min_side: options.MinSide = 0,
    new: options.New = False,
    sort: options.Sort = None,
    reverse: options.Reverse = False,
    all: options.All = False,
    interactive: options.Interactive = False,
    json: Json = False,
    paths: options.Paths = False,
    print0: options.Print0 = False,
    preview: options.Preview = False,
    gallery: options.Gallery = None,
    open: options.Open = False,
    no_color: options.NoColor = False,
) -> None:
    """Find the photos that look like an image, or like the mean of several.

    Copies of one picture share a line in the table and on the page; --json, --paths and -0
    list every file. @NAME asks a saved look (mocosearch look).

    Example: mocosearch query beach.jpg -k 20 --taken 2019..2021
    """
    start = time.perf_counter()
    output = Output(json, paths, print0, all, preview, gallery, open, no_color, align)
    part, order = part or align, Order(sort or ("taken" if align else None), reverse)
    others = output.chosen or any((order, minus, crop, part, turned, min_score, new))
    others = others or any(word.startswith("@") for word in images or [])
    _check(images, interactive, others)
    output.check()
    places = inside, outside, taken, near, camera, format, min_side
    ways = crop, turned, part, align
    search = _search_of(images or [], minus or [], ways, top, places, min_score, order)
    search.check_look(new)
    search.check_part()
    with reading(index) as opened:
        require_photos(opened)
        opened.part_index.prepare_parts() if part else opened.prepare()
        if interactive:
            from cli.interactive import converse

            converse(opened, search.images, top, search.where, no_color)
        else:
            _search(opened, index, search, output, start, new)


def _search_of(
    images: list[str],
    minus: list[str],
    ways: tuple[str | None, bool, bool, bool],
    top: int,
    places: tuple[Any, ...],
    min_score: str | None,
    order: "Order",
) -> "Search":
    """What is asked for. ways: --crop, --turned, --part, --align. places: as of `where_of`."""
    from PIL import Image

    from cli.conditions import where_of
    from cli.question import crop_of, min_score_of

    # decode.MAX_PIXELS is the limit, as it is for indexing.
    Image.MAX_IMAGE_PIXELS = None
    crop, turned, part, align = ways
    region, where, score = crop_of(crop), where_of(*places), min_score_of(min_score)
    return Search(images, minus, region, turned, part, align, top, where, *score, order)


def _check(images: list[str] | None, interactive: bool, others: bool) -> None:
    """Raises typer.BadParameter for options that do not go together."""
    if interactive and others:
        raise typer.BadParameter("--interactive goes with -k, the filters and --no-color only")
    if not images and not interactive:
        raise typer.BadParameter("name at least one image, or use --interactive")


@dataclass(frozen=True)
class Output:
    """How the results are shown."""

    json: bool
    paths: bool
    print0: bool
    all: bool
    preview: bool
    gallery: Path | None
    open: bool
    no_color: bool
    align: bool = False
    """Whether the page shows the photos laid onto the image, by date."""

    @property
    def chosen(self) -> bool:
        """Whether anything else than the table of folded copies was chosen."""
        return not self.fold or bool(self.preview or self.gallery or self.open)

    @property
    def fold(self) -> bool:
        """Whether copies share a line; programs get every file."""
        return not (self.json or self.paths or self.print0 or self.all)

    def check(self) -> None:
        """Raises typer.BadParameter for a page that is not an HTML file, or is missing."""
        if self.align and self.page is None:
            raise typer.BadParameter("--align needs a page: --gallery FILE.html, or --open")
        if self.gallery is not None:
            from cli.gallery import check_name

            check_name(self.gallery)

    @property
    def page(self) -> Path | None:
        """The file of the page of results; in the home if the page is only opened."""
        if self.gallery is not None or not self.open:
            return self.gallery
        from mocosearch.home import home

        return home() / "cache" / "results.html"

    def page_problem(self) -> str:
        """Why the page cannot be written, as far as that can be known before; empty if it can."""
        page = self.page
        if page is None:
            return ""
        try:
            if self.gallery is None:
                page.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return error.strerror or str(error)
        if not page.parent.is_dir():
            return "no such folder"
        if page.is_dir():
            return "it is a folder"
        return "" if os.access(page if page.exists() else page.parent, os.W_OK) else "no permission"


@dataclass(frozen=True)
class Order:
    """The order of the results; by default the best comes first.

    Raises typer.BadParameter for an unknown order.
    """

    sort: str | None
    reverse: bool

    def __post_init__(self) -> None:
        if self.sort not in (None, "taken", "score", "path"):
            raise typer.BadParameter(f"--sort {self.sort}: write taken, score or path")

    def __bool__(self) -> bool:
        """Whether another order than the default was chosen."""
        return self.reverse or self.sort is not None


@dataclass(frozen=True)
class Search:
    """What to search for, and among which photos."""

    images: Sequence[str]
    minus: Sequence[str]
    crop: "Crop | None"
    orientations: bool
    part: bool
    align: bool
    top: int
    where: "Where"
    min_score: float | None
    significant_only: bool
    order: Order

    @property
    def look(self) -> str | None:
        """The name of the look that is asked, as of `query @beach`; `./@beach` is a file."""
        return next((word[1:] for word in self.images if word.startswith("@")), None)

    def check_look(self, new: bool) -> None:
        """Raises typer.BadParameter for what does not go with a look."""
        if self.look is None:
            if new:
                raise typer.BadParameter("--new needs a look: mocosearch query @NAME --new")
        elif len(self.images) > 1 or self.minus or self.crop or self.orientations:
            raise typer.BadParameter(
                f"@{self.look} goes with the filters and the output options only; for a file of "
                f"this name write ./@{self.look}"
            )

    def check_part(self) -> None:
        """Raises typer.BadParameter for what does not go with --part."""
        if self.part and not self.is_picture:
            raise typer.BadParameter("--part goes with one picture, without --minus and --turned")

    @property
    def is_picture(self) -> bool:
        """Whether the question is one picture, which may be a part of photos."""
        single = len(self.images) == 1 and self.look is None
        return single and not (self.minus or self.orientations or os.path.isdir(self.images[0]))

    def find_part(self, index: "Reader", image: "Source", fold: bool, auto: bool) -> "Answer":
        """The photos of which a picture is a part; with auto, those beyond chance only."""
        assert isinstance(image, str | bytes)
        answer = index.part_index.find_part(
            image,
            self.top,
            crop=self.crop,
            where=self.where,
            min_score=self.min_score,
            significant_only=self.significant_only or auto or self.align,
            fold=fold,
            thorough=self.align,
        )
        return self._sorted(answer)

    def answer(self, index: "Reader", question: "Question", fold: bool) -> "Answer":
        """The results, in their order."""
        answer = index.answer(
            question,
            self.top,
            where=self.where,
            min_score=self.min_score,
            significant_only=self.significant_only,
            fold=fold,
        )
        return self._sorted(answer)

    def _sorted(self, answer: "Answer") -> "Answer":
        return answer.sorted(self.order.sort, reverse=self.order.reverse) if self.order else answer


def _search(
    index: "Reader", name: str, search: Search, output: Output, start: float, new: bool
) -> None:
    """Search once, and show the results."""
    problem = output.page_problem()
    encoding = time.perf_counter()
    image: Source
    question = None
    if search.look is not None:
        from cli.look import ask_look

        question, image, where = ask_look(index, search.look, search.where, new)
        search = replace(search, where=where)
    elif search.part:
        image = _first_image(search)
    else:
        question, image = _question(index, search)
    searching = time.perf_counter()
    answer = _answer(index, search, question, image, output.fold)
    done = time.perf_counter()
    detail(
        f"opened in {encoding - start:.3f} s, encoded in {searching - encoding:.3f} s, "
        f"searched {len(index)} photos in {done - searching:.3f} s"
    )
    warn_skipped(answer.skipped)
    if not answer:
        say("No photo matches: the filters or --min-score leave none")
    if output.json:
        times = {"encode": searching - encoding, "search": done - searching}
        seconds = {"total": time.perf_counter() - start, **times}
        _show_json(search.images, name, answer, seconds)
    else:
        _show(answer, output, rule=not search.order)
    if output.page is not None:
        # Whatever happens to the page, the answer has been printed.
        sys.stdout.flush()
        folded = answer
        if not output.fold:
            folded = _answer(index, search, question, image, fold=True)
        _save_page(output, search, image, folded, problem)
    finish(False, len(answer.skipped))


def _answer(
    index: "Reader", search: Search, question: "Question | None", image: "Source", fold: bool
) -> "Answer":
    """The results. Where the whole picture finds nothing beyond chance, photos of which it is a
    part take their place, if there are any.
    """
    if question is None:
        return search.find_part(index, image, fold, auto=False)
    answer = search.answer(index, question, fold)
    if answer.significant or not search.is_picture or not index.has_parts:
        return answer
    from importlib.util import find_spec

    if find_spec("cv2") is None:
        return answer
    parts = search.find_part(index, image, fold, auto=True)
    if parts:
        say("the whole picture finds nothing beyond chance; it is a part of these photos")
    return parts or answer


def _first_image(search: Search) -> "Source":
    from cli.question import images_of

    return images_of(search.images)[0].image


def _question(index: "Reader", search: Search) -> "tuple[Question, Source]":
    """The question, and the first picture in it."""
    from cli.question import images_of

    images = images_of(search.images)
    question = index.question(
        images,
        minus=images_of(search.minus),
        crop=search.crop,
        orientations=search.orientations,
    )
    return question, images[0].image


def _save_page(
    output: Output, search: Search, image: "Source", answer: "Answer", problem: str
) -> None:
    """Write the page, and open it if that was chosen. Raises StorageFailed where it cannot be
    written; problem: a known reason.
    """
    from cli.gallery import Row, save

    page = output.page
    assert isinstance(image, str | bytes)
    assert page is not None
    row = Row(image, search.images[0], answer)
    if output.align:
        from cli.align import align

        row = align(row, search.crop)
    save(page, [row], problem=problem)
    if output.open:
        from cli.browser import open_page

        open_page(page.absolute().as_uri(), str(page))


def _show_json(
    images: Sequence[str], name: str, answer: "Answer", seconds: dict[str, float]
) -> None:
    from cli.results import document, plain

    results = [plain(rank, result, parts=answer.parts) for rank, result in enumerate(answer, 1)]
    show_json(document(images, name, results, seconds))


def _show(answer: "Answer", output: Output, rule: bool) -> None:
    paths = [result.record.paths[0] for result in answer]
    if output.paths or output.print0:
        for path in paths:
            show_raw(path, b"\0" if output.print0 else b"\n")
        return
    from cli.results import show_table

    show_table(answer, output.no_color, rule)
    if output.preview and sys.stdout.isatty():
        from cli.boxes import box_of
        from cli.preview import draw

        draw(paths, [box_of(result) for result in answer])
