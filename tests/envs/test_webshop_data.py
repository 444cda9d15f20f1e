"""WebShop: reading the published files, preparing them, goals drawn from them."""

from __future__ import annotations

import itertools
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.envs import building
from agentrl.envs.webshop import data, locate, sources, store
from agentrl.envs.webshop.catalogue import Catalogue
from agentrl.envs.webshop.colors import OWN_COLORS
from agentrl.envs.webshop.generator import STYLES, generate
from agentrl.envs.webshop.goals import NO_LIMIT, PRICE_STEPS, Goal
from agentrl.envs.webshop.locate import generated_catalogue, published_catalogue
from agentrl.envs.webshop.products import Product, read_products
from agentrl.errors import DataError
from tests.envs.webshop_data import ANNOTATIONS, ENTRIES, HUMAN, write_sources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sources(tmp_path / "webshop")


@pytest.fixture
def shop(folder: Path) -> Catalogue:
    return published_catalogue("1k", str(folder))


def test_entries_with_odd_or_repeated_ids_are_left_out(shop: Catalogue):
    asins = [product.asin for product in shop.products()]
    assert asins == ["B000000001", "B000000002", "B000000004", "B000000005"]
    assert shop.number("B000000004") == 2
    assert shop.number("B000000009") is None
    assert shop.product(0).title == "Blue Glass Mug"


def test_prices_and_tags_follow_the_text(shop: Catalogue):
    tags = [(product.prices, product.price_tag) for product in shop.products()]
    assert tags == [
        ((19.5,), "$19.5"),
        ((10.0, 12.5), "$10.0 to $12.5"),
        ((100.0,), "$100.0"),
        ((995.0,), "$995.0"),
    ]


def test_options_attributes_and_query_are_normalised(shop: Catalogue):
    mug, steel, cup, _ = shop.products()
    assert mug.options == {"size": ("small", "12 | 15 oz"), "color": ("navy blue", "plum")}
    assert mug.query == "coffee mugs"
    assert steel.attributes == ("DUMMY_ATTR",) and cup.attributes == ()
    assert steel.bullets == ("",)
    assert mug.document() == (
        "blue glass mug about blue glass mug. first of blue glass mug  "
        "size: small, 12 | 15 oz, and color: navy blue, plum"
    )


def test_goals_are_all_combinations_with_one_limit_a_product(shop: Catalogue):
    goals = shop.goals(False, 42, 233)
    made: dict[str, list[Goal]] = {}
    for index in range(len(goals)):
        made.setdefault(goals[index].asin, []).append(goals[index])
    assert {asin: len(group) for asin, group in made.items()} == {
        "B000000001": 4,
        "B000000004": 1,
        "B000000005": 9,
    }
    mugs = {tuple(goal.goal_options.values()) for goal in made["B000000001"]}  # type: ignore[union-attr]
    assert mugs == set(itertools.product(("navy blue", "plum"), ("small", "12 | 15 oz")))
    assert all(list(goal.goal_options) == ["color", "size"] for goal in made["B000000001"])
    assert len({goal.price_upper for goal in made["B000000001"]}) == 1
    for goal in made["B000000001"]:
        assert goal.price_upper in PRICE_STEPS and 20 < goal.price_upper <= 50
        assert (
            goal.instruction_text.endswith(" dollars") and "with color: " in goal.instruction_text
        )
        assert goal.weight == 1 / 4
    (cup,) = made["B000000004"]
    assert cup.instruction_text.startswith("Find me small coffee mugs with handle, and price lower")


def test_a_product_too_dear_for_two_limits_has_none(shop: Catalogue):
    goals = shop.goals(False, 42, 233)
    (scarf, *_) = [goal for goal in map(goals.__getitem__, range(14)) if goal.asin == "B000000005"]
    assert scarf.price_upper == NO_LIMIT
    assert "price" not in scarf.instruction_text


def test_human_goals_skip_those_without_attributes(shop: Catalogue):
    goals = shop.goals(True, 42, 233)
    assert len(goals) == 1
    assert goals[0].instruction_text.startswith("i want a plum coloured mug, and price lower than ")
    assert goals[0].goal_options == ("plum",) and goals[0].weight == 1.0


def test_prices_are_drawn_in_order_by_their_seed(shop: Catalogue):
    drawn = Random(5).uniform(10.0, 12.5)
    goals = shop.goals(False, 5, 233)
    assert [goals.actual_price(number) for number in range(4)] == [19.5, drawn, 100.0, 995.0]


def test_the_shuffle_depends_on_its_seed_alone(shop: Catalogue):
    first, second = shop.goals(False, 42, 1), shop.goals(False, 42, 2)
    texts = [[goals[i].instruction_text for i in range(len(goals))] for goals in (first, second)]
    assert texts[0] != texts[1] and sorted(texts[0]) == sorted(texts[1])


def test_goals_drawn_by_weight_cover_the_range(shop: Catalogue):
    goals = shop.goals(False, 42, 233)
    drawn = [goals.draw(share) for share in np.linspace(0, 0.9999, 400)]
    assert drawn == sorted(drawn) and drawn[0] == 0 and drawn[-1] == len(goals) - 1


def test_zipped_files_and_other_layouts_give_the_same_catalogue(tmp_path: Path, shop: Catalogue):
    zipped = write_sources(tmp_path / "zipped", zipped=True)
    assert published_catalogue("1k", str(zipped)).digest == shop.digest


def test_the_prepared_form_holds_what_was_read(shop: Catalogue):
    read = list(read_products(ENTRIES, ANNOTATIONS, HUMAN))
    assert list(shop.products()) == read
    assert [shop.product(number) for number in range(len(shop))] == read


@given(st.data())
def test_products_survive_dump_and_load(data: st.DataObject):
    text = st.text(max_size=12)
    product = Product(
        asin=data.draw(text),
        title=data.draw(text),
        price_tag="$1.0",
        prices=(1.0,),
        description=data.draw(text),
        bullets=tuple(data.draw(st.lists(text, max_size=3))),
        options={name: ("a", name) for name in data.draw(st.lists(text, max_size=3))},
        attributes=tuple(data.draw(st.lists(text, max_size=3))),
        category="c",
        query="q",
        product_category="p",
        human=(("t", ("a",), ("o",)),),
    )
    assert Product.load(product.dump()) == product


def test_without_a_list_of_colours_our_own_serves(tmp_path: Path, shop: Catalogue):
    other = published_catalogue("1k", str(write_sources(tmp_path / "plain", colors=False)))
    assert other.colors == OWN_COLORS and shop.colors == ("blue", "navy", "plum", "red")
    assert other.digest != shop.digest


def test_a_changed_source_is_noticed(folder: Path, shop: Catalogue):
    path = folder / "items_shuffle_1000.json"
    entries = json.loads(path.read_text())
    entries[0]["name"] = "Green Glass Mug, newly named"
    path.write_text(json.dumps(entries))
    changed = published_catalogue("1k", str(folder))
    assert changed.product(0).title == "Green Glass Mug, newly named"
    assert changed.digest != shop.digest


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda path: path.unlink(), "There is no 'items_ins_v2_1000.json'"),
        (lambda path: path.write_text('{"B1": {"attributes": ['), "is not the JSON"),
        (lambda path: path.write_text("[1, 2]"), "expected '{'"),
        (lambda path: path.write_bytes(b'{"\xff'), "cannot be read"),
    ],
)
def test_missing_and_damaged_files_are_named(
    folder: Path, break_it: Callable[[Path], object], message: str
):
    break_it(folder / "items_ins_v2_1000.json")
    with pytest.raises(DataError, match="items_ins_v2_1000") as caught:
        published_catalogue("1k", str(folder))
    assert message in str(caught.value)


def test_an_entry_without_a_field_is_named(folder: Path):
    (folder / "items_shuffle_1000.json").write_text('[{"asin": "B1", "name": "x"}]')
    with pytest.raises(DataError, match="no field 'full_description'"):
        published_catalogue("1k", str(folder))


def test_a_damaged_zip_is_named(tmp_path: Path):
    folder = write_sources(tmp_path / "zipped", zipped=True)
    path = folder / "items_shuffle_1000.json.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        published_catalogue("1k", str(folder))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    values=st.lists(json_values, max_size=6),
    chunk=st.integers(1, 20),
    indent=st.sampled_from([None, 1]),
)
def test_reading_piece_by_piece_equals_reading_at_once(
    tmp_path_factory: pytest.TempPathFactory,
    values: list[object],
    chunk: int,
    indent: int | None,
):
    path = tmp_path_factory.mktemp("json") / "values.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "CHUNK", chunk)
        path.write_text(json.dumps(values, indent=indent))
        assert list(sources.read_list(path)) == values
        members = {f"key {number}": value for number, value in enumerate(values)}
        path.write_text(json.dumps(members, indent=indent))
        assert dict(sources.read_object(path)) == members


def test_preparing_makes_folders_that_need_no_sources(
    tmp_path: Path, folder: Path, shop: Catalogue
):
    target = tmp_path / "prepared"
    assert data.prepare(folder, target) == [f"prepared {str(target / '1k')!r}"]
    assert published_catalogue("1k", str(target)).digest == shop.digest
    (line,) = data.check(target)
    assert "4 products, 14 synthetic and 1 human goals" in line
    assert "published one has 1000 products" in line
    assert data.check(folder) == [line]
    assert data.prepare(folder, target)  # again: replaces


def test_checking_says_what_is_missing(tmp_path: Path):
    with pytest.raises(DataError, match="no WebShop catalogue"):
        data.check(tmp_path)
    with pytest.raises(DataError, match="items_shuffle_1000"):
        data.prepare(tmp_path, tmp_path / "out")
    assert "items_shuffle.json" in data.instructions()


def test_a_prepared_folder_that_is_not_whole_is_refused(tmp_path: Path, folder: Path):
    target = tmp_path / "prepared"
    data.prepare(folder, target)
    path = target / "1k" / "products.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"'products\.bin' of the WebShop catalogue is not whole"):
        Catalogue(target / "1k")
    (target / "1k" / store.META).write_text('{"format": 0}')
    with pytest.raises(DataError, match="prepared in format 0"):
        Catalogue(target / "1k")
    (target / "1k" / store.META).write_text("{")
    with pytest.raises(DataError, match="damaged"):
        Catalogue(target / "1k")


def _open_generated(queue: multiprocessing.Queue[tuple[str, int]]) -> None:
    catalogue = generated_catalogue(60, 7, "shop")
    queue.put((catalogue.digest, len(catalogue.goals(False, 42, 233))))


def test_many_processes_build_a_catalogue_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path))
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[tuple[str, int]] = context.Queue()
    processes = [context.Process(target=_open_generated, args=(queue,)) for _ in range(6)]
    for process in processes:
        process.start()
    found = {queue.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(timeout=60)
    assert len(found) == 1
    made = [
        path.name for path in (tmp_path / f"webshop-v{store.FORMAT}").iterdir() if path.is_dir()
    ]
    assert sorted(made)[1:] == ["goals"] and not any(name.startswith(".making") for name in made)


def test_a_failed_build_leaves_nothing_and_can_be_repeated(tmp_path: Path):
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        building.build_once(tmp_path / "made", fail)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    building.build_once(tmp_path / "made", lambda folder: None)
    assert (tmp_path / "made").is_dir()


def test_waiting_for_another_builder_has_a_deadline(tmp_path: Path):
    def wait_for_self(folder: Path) -> None:
        with pytest.raises(DataError, match="has been building for 0 s"):
            building.build_once(tmp_path / "made", lambda _: None, seconds=0.1)

    building.build_once(tmp_path / "made", wait_for_self)


def test_an_unwritable_cache_is_one_clear_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="AGENTRL_CACHE"):
        building.build_once(tmp_path / "file" / "made", lambda folder: None)


@pytest.mark.parametrize("style", STYLES)
def test_generated_catalogues_follow_their_seed_and_grow_at_the_end(style: str):
    small, large = list(generate(30, 3, style)), list(generate(40, 3, style))
    assert large[:30] == small
    assert list(generate(30, 4, style)) != small
    assert len({product.asin for product in large}) == 40
    for product in large:
        assert product.instruction_attributes and set(product.instruction_attributes) <= set(
            product.attributes
        )
        values = [value for group in product.options.values() for value in group]
        assert len(values) == len(set(values))


def test_the_tiny_style_has_no_two_products_of_one_name():
    titles = [product.title for product in generate(STYLES["tiny"], 0, "tiny")]
    assert len(set(titles)) == len(titles)


def test_locating_needs_a_folder(tmp_path: Path):
    with pytest.raises(DataError, match="agentrl data webshop"):
        locate.published_catalogue("1k", str(tmp_path / "nowhere"))
