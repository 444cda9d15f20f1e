"""Generated worlds to ask about: people, towns and rivers, a page for each, and questions.

The facts of every world are drawn anew, so that no answer can be known without looking it up.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

PEOPLE = (
    "Ada", "Berta", "Carl", "Dora", "Emil", "Frida", "Gustav", "Hanna", "Igor", "Jana",
    "Karl", "Lena", "Milan", "Nora", "Otto", "Petra", "Rosa", "Simon", "Tilda", "Viktor",
)  # fmt: skip
TOWNS = (
    "Arlen", "Birk", "Corva", "Delm", "Elvas", "Fenton", "Garda", "Holm", "Istra", "Jorn",
    "Kelso", "Lund", "Morva", "Nessa", "Orva", "Perth",
)  # fmt: skip
RIVERS = (
    "Alba", "Brenn", "Cisa", "Dova", "Enns", "Fara", "Gila", "Hext", "Isar", "Jura",
    "Kama", "Loire",
)  # fmt: skip
CRAFTS = (
    "baker", "carver", "doctor", "farmer", "glazier", "hunter", "mason", "painter",
    "potter", "sailor", "tailor", "weaver",
)  # fmt: skip
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of a world.

    Attributes:
        title: what it is about.
        text: its sentences.
        links: titles of other pages that it names.
    """

    title: str
    text: str
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldQuestion:
    """A question, and how it is answered.

    Attributes:
        text: the question.
        answer: one word.
        path: titles of the pages that answer it, in the order they are found.
    """

    text: str
    answer: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """Pages, and all questions that they answer.

    Attributes:
        pages: by title.
        questions: by number of pages needed.
    """

    pages: dict[str, Page]
    questions: dict[int, tuple[WorldQuestion, ...]]

    def search(self, query: str, count: int) -> list[Page]:
        """Return the pages that share most words with a query, rare words counting more.

        A word of the title counts double.  Ties go by title; pages without a word are left out.
        """
        wanted = set(_words(query))
        documents = {title: Counter(_words(page.text)) for title, page in self.pages.items()}
        frequency = Counter(word for words in documents.values() for word in words)
        scores = {
            title: sum(
                (2.0 if word in _words(title) else 1.0) / frequency[word]
                for word in wanted
                if word in words
            )
            for title, words in documents.items()
        }
        found = sorted(
            (t for t, score in scores.items() if score > 0), key=lambda t: (-scores[t], t)
        )
        return [self.pages[title] for title in found[:count]]


@lru_cache(maxsize=64)
def world(seed: int, people: int = 6, towns: int = 4) -> World:
    """Return the world of a seed.

    Args:
        seed: of everything in it.
        people: how many.
        towns: how many.
    """
    rng = random.Random(f"world {seed}")
    persons, places = rng.sample(PEOPLE, people), rng.sample(TOWNS, towns)
    rivers = dict(zip(places, rng.sample(RIVERS, towns), strict=True))
    home = {person: rng.choice(places) for person in persons}
    craft = dict(zip(persons, rng.sample(CRAFTS, people), strict=True))
    teacher = {person: rng.choice([p for p in persons if p != person]) for person in persons}
    pages = {
        person: Page(
            title=person,
            text=f"{person} is a {craft[person]} in {home[person]}. "
            f"{person} learned from {teacher[person]}.",
            links=(home[person], teacher[person]),
        )
        for person in persons
    } | {
        place: Page(title=place, text=f"{place} is a town on the {rivers[place]}.")
        for place in places
    }
    one = [_question(f"Where does {p} live?", home[p], p) for p in persons]
    one += [_question(f"Who taught {p}?", teacher[p], p) for p in persons]
    two = [
        _question(f"On which river does {p} live?", rivers[home[p]], p, home[p]) for p in persons
    ]
    two += [
        _question(f"Where does the teacher of {p} live?", home[teacher[p]], p, teacher[p])
        for p in persons
    ]
    three = [
        _question(
            f"On which river does the teacher of {p} live?",
            rivers[home[teacher[p]]],
            p,
            teacher[p],
            home[teacher[p]],
        )
        for p in persons
    ]
    return World(pages, {1: tuple(one), 2: tuple(two), 3: tuple(three)})


def _question(text: str, answer: str, *path: str) -> WorldQuestion:
    return WorldQuestion(text=text, answer=answer, path=path)


def _words(text: str) -> Sequence[str]:
    return [word.lower() for word in _WORD.findall(text)]
