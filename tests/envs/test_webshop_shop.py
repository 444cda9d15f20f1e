"""WebShop: actions, pages, their two texts, the reward of a purchase."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.envs.webshop.catalogue import Catalogue
from agentrl.envs.webshop.colors import normalize_color
from agentrl.envs.webshop.expert import expert_action, short_query
from agentrl.envs.webshop.goals import Goal
from agentrl.envs.webshop.locate import generated_catalogue, published_catalogue
from agentrl.envs.webshop.nouns import likely_nouns
from agentrl.envs.webshop.pages import Session, Shop, parse_action
from agentrl.envs.webshop.render import pieces, rich_text, simple_text
from agentrl.envs.webshop.reward import judge, options_matched, similarity
from tests.envs.webshop_data import COLORS, write_sources


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, game_cache: None) -> Catalogue:
    folder = write_sources(tmp_path_factory.mktemp("data") / "webshop")
    return published_catalogue("1k", str(folder))


@pytest.fixture(scope="module")
def shop(catalogue: Catalogue) -> Shop:
    return Shop(catalogue)


def walk(shop: Shop, *actions: str) -> Session:
    session = Session()
    for action in actions:
        after = shop.act(session, action)
        assert after is not None, action
        session = after
    return session


def text_of(shop: Shop, session: Session) -> str:
    return simple_text(pieces(session, shop, "Buy it", 0.5))


MUG, SCARF = "click[b000000001]", "click[b000000005]"


@given(st.text(alphabet="ab[]\n ", max_size=12))
def test_actions_are_read_as_the_originals_pattern_reads_them(action: str):
    match = re.match(r"(.+)\[(.+)\]", action)
    assert parse_action(action) == (match.groups() if match else None)


def test_reading_an_action_takes_linear_time():
    for char in "[]x\n":
        parse_action(char * 1_000_000)
        parse_action("click[" * 200_000)


@pytest.mark.parametrize(
    "action",
    [
        *("", "search", "search[]", "Search[mug]", "click[search]", "click[buy now]"),
        *("click [mug]", "buy[mug]", "search[a][b]", "click[next >]", " search[mug]"),
    ],
)
def test_on_the_home_page_only_searches_are_accepted(shop: Shop, action: str):
    assert shop.act(Session(), action) is None


def test_pages_have_the_pieces_of_the_original(shop: Shop):
    assert text_of(shop, Session()) == "WebShop [SEP] Instruction: [SEP] Buy it [SEP] Search"
    results = walk(shop, "search[MUG glass]")
    assert text_of(shop, results) == (
        "Instruction: [SEP] Buy it [SEP] Back to Search [SEP] Page 1 (Total results: 2) [SEP] "
        "Next > [SEP] B000000001 [SEP] Blue Glass Mug [SEP] $19.5 [SEP] B000000002 [SEP] "
        "Steel Mug [Lidded] [SEP] $10.0 to $12.5"
    )
    mug = walk(shop, "search[mug glass]", MUG)
    assert text_of(shop, mug) == (
        "Instruction: [SEP] Buy it [SEP] Back to Search [SEP] < Prev [SEP] size [SEP] small [SEP] "
        "12 | 15 oz [SEP] color [SEP] navy blue [SEP] plum [SEP] Blue Glass Mug [SEP] "
        "Price: $19.5 [SEP] Rating: N.A. [SEP] Description [SEP] Features [SEP] Reviews [SEP] "
        "Buy Now"
    )
    head = "Instruction: [SEP] Buy it [SEP] Back to Search [SEP] < Prev"
    for page, rest in (
        ("description", " [SEP] About Blue Glass Mug."),
        ("features", " [SEP] First of Blue Glass Mug [SEP] Second"),
        ("reviews", ""),
    ):
        session = shop.act(mug, f"click[{page}]")
        assert session is not None and text_of(shop, session) == head + rest


def test_attributes_are_shown_only_if_asked_for(catalogue: Catalogue, shop: Shop):
    mug = walk(shop, "search[mug glass]", MUG)
    assert shop.act(mug, "click[attributes]") is None
    open_shop = Shop(catalogue, show_attributes=True)
    session = open_shop.act(mug, "click[attributes]")
    assert session is not None
    assert text_of(open_shop, session).endswith(
        "hand made [SEP] dishwasher safe [SEP] garden [SEP] coffee mugs [SEP] Home › Kitchen › Mugs"
    )


def test_rich_text_marks_buttons_options_and_visits(shop: Shop):
    session = walk(shop, "search[mug glass]", MUG, "click[plum]", "click[small]")
    assert rich_text(pieces(session, shop, "Buy it", 0.0), session, shop) == (
        "You have clicked plum.\nYou have clicked small.\nInstruction:\nBuy it\n"
        "[button] Back to Search [button_]\n[button] < Prev [button_]\nsize\n"
        "  [clicked button] small [clicked button_]\n  [button] 12 | 15 oz [button_]\ncolor\n"
        "  [button] navy blue [button_]\n  [clicked button] plum [clicked button_]\n"
        "Blue Glass Mug\nPrice: $19.5\nRating: N.A.\n[button] Description [button_]\n"
        "[button] Features [button_]\n[button] Reviews [button_]\n[button] Buy Now [button_]\n"
    )
    back = walk(shop, "search[mug glass]", MUG, "click[< prev]")
    lines = rich_text(pieces(back, shop, "Buy it", 0.0), back, shop).split("\n")
    assert "[clicked button] B000000001 [clicked button_]" in lines
    assert "[button] B000000002 [button_]" in lines


def test_the_last_page_shows_purchase_and_score(shop: Shop):
    session = walk(shop, "search[scarf]", SCARF, "click[it's <b> & c]", "click[large]")
    session = shop.act(session, "click[Buy Now]") or session
    text = text_of(shop, session)
    assert session.page == "done" and not shop.clickables(session)
    assert "[SEP] B000000005 [SEP] options [SEP] " in text and "[SEP] 0.5 [SEP]" in text
    assert '{"fit": "large", "style": "it\\u0027s \\u003cb\\u003e \\u0026 c"}' in text
    assert shop.act(session, "search[mug]") is None


def test_where_clicks_lead(shop: Shop):
    mug = walk(shop, "search[mug glass]", MUG, "click[plum]")
    assert mug.options == (("color", "plum"),) and mug.visited == {0}
    features = walk(shop, "search[mug glass]", MUG, "click[plum]", "click[features]")
    assert shop.act(features, "click[< prev]") == mug
    results = shop.act(mug, "click[< prev]")
    assert results is not None and results.options == () and results.visited == {0}
    assert shop.act(results, "click[back to search]") == Session()
    far = walk(shop, "search[mug]", "click[next >]", "click[next >]")
    assert far.number == 3 and not shop.shown(far)
    assert shop.clickables(far) == ["back to search", "< prev", "next >"]
    again = shop.act(mug, "search[scarf]")
    assert again is not None and again.options == () and again.number == 1


def test_of_two_options_with_one_value_the_later_gets_it(shop: Shop):
    session = walk(shop, "search[scarf]", SCARF, "click[shared]")
    assert session.options == (("style", "shared"),)
    assert shop.clickables(session).count("shared") == 1


def test_a_button_comes_before_an_option_of_its_name(shop: Shop):
    session = walk(shop, "search[scarf]", SCARF, "click[description]")
    assert session.page == "sub" and session.options == ()


def test_what_cannot_be_named_is_not_listed_as_acceptable(shop: Shop):
    session = walk(shop, "search[scarf]", SCARF)
    assert "odd [one]" in shop.clickables(session)
    assert "click[odd [one]]" not in shop.acceptable(session)
    assert shop.act(session, "click[odd [one]]") is None
    assert all(shop.act(session, click) for click in shop.acceptable(session))


def test_pages_of_results_can_be_shorter(catalogue: Catalogue):
    shop = Shop(catalogue, page_size=1)
    assert len(shop.shown(walk(shop, "search[mug glass]"))) == 1
    assert shop.shown(walk(shop, "search[mug glass]", "click[next >]")) == (1,)


@given(st.lists(st.integers(0, 10**6), max_size=12))
def test_any_walk_keeps_to_the_rules(choices: list[int]):
    shop = Shop(generated_catalogue(60, 0, "shop"))
    session = Session()
    for choice in choices:
        actions = [*shop.acceptable(session), "search[shoes with rubber sole]", "search[zzz]"]
        after = shop.act(session, actions[choice % len(actions)])
        if session.page == "done":
            assert after is None
            break
        assert after is not None
        session = after
        page = pieces(session, shop, "Buy it", 0.0)
        assert "Buy it" in simple_text(page) or session.page == "done"
        assert rich_text(page, session, shop).endswith("\n")
        assert len(shop.clickables(session)) == len(set(shop.clickables(session)))
        assert Session(**{name: getattr(session, name) for name in session.__slots__}) == session


GOAL = Goal(
    asin="B000000001",
    category="garden",
    query="coffee mugs",
    name="Blue Glass Mug",
    product_category="Home › Kitchen › Mugs",
    instruction_text="Find me hand made, blue coffee mugs with color: plum, and price lower than",
    attributes=("hand made", "first of", "microwave safe"),
    price_upper=20.0,
    goal_options={"color": "plum", "size": "small"},
)


def test_a_purchase_is_judged_by_its_parts(catalogue: Catalogue):
    mug = catalogue.product(0)
    judgement = judge(mug, GOAL, 19.5, {"color": "plum", "size": "large"}, catalogue.colors)
    # `hand made` is an attribute, `first of` stands in a bullet; plum; the price: 4 of 6.
    assert (judgement.attributes_met, judgement.options_met, judgement.r_price) == (2, 1, True)
    assert judgement.reward == pytest.approx(4 / 6) and judgement.r_type == 1.0
    assert judgement.r_att == pytest.approx(2 / 3) and judgement.r_option == 0.5
    dear = judge(mug, GOAL, 20.5, {}, catalogue.colors)
    assert dear.reward == pytest.approx(2 / 6) and not dear.r_price


def test_the_sort_of_product_scales_the_reward(catalogue: Catalogue):
    scarf = catalogue.product(3)
    assert judge(scarf, GOAL, 1.0, {}, catalogue.colors).r_type == 0.0  # no noun in common
    tagger = {"Wool Scarf": ["wool"], "Blue Glass Mug": [*"abcdefghij", "wool"]}.__getitem__
    assert judge(scarf, GOAL, 1.0, {}, catalogue.colors, tagger).r_type == 0.1
    tagger = {"Wool Scarf": ["wool"], "Blue Glass Mug": [*"abcdef", "wool"]}.__getitem__
    assert judge(scarf, GOAL, 1.0, {}, catalogue.colors, tagger).r_type == 0.5
    tagger = {"Wool Scarf": ["wool"], "Blue Glass Mug": [*"ab", "wool"]}.__getitem__
    assert judge(scarf, GOAL, 1.0, {}, catalogue.colors, tagger).r_type == 1.0
    steel, none = catalogue.product(1), {}.get
    assert judge(steel, GOAL, 1.0, {}, catalogue.colors, lambda title: none(title, [])).r_type == 1
    mode = "always_one_if_query_or_category"
    nothing = {"Steel Mug [Lidded]": ["steel"], "Blue Glass Mug": ["blue"]}.__getitem__
    assert judge(steel, GOAL, 1.0, {}, catalogue.colors, nothing).r_type == 0.0
    assert judge(steel, GOAL, 1.0, {}, catalogue.colors, nothing, mode).r_type == 1.0


def test_options_match_loosely_and_through_their_colour():
    colors = ("tan", *COLORS)

    def matched(wished: object, *chosen: str) -> list[int]:
        return options_matched(
            Goal("", "", "", "", "", "", (), 1.0, wished),  # type: ignore[arg-type]
            chosen,
            colors,
        )

    assert matched({"size": "large"}, "large") == [0]
    assert matched({"size": "large"}, "x-large") == []
    assert matched({"color": "plum"}, "deep plum") == [0]  # reduced to plum
    assert matched({"color": "plum2"}, "plum2") == []  # the pair is not reduced
    assert matched({"model": "standard"}, "standard") == []  # it holds `tan`
    assert matched(("dark plum", "large"), "large", "plum") == [0, 1]
    assert normalize_color("dark plum red", colors) == "plum"


def test_similarity_is_that_of_token_sets():
    assert similarity("hand-made!", "made hand") == 100
    assert similarity("", "") == 0
    assert similarity("caf\u00e9", "caf") == 100  # letters of Latin-1 beyond ASCII are dropped


def test_likely_nouns_leave_out_adjectives_numbers_and_units():
    assert likely_nouns("The Women's 2 Pack Soft Wool Scarf, 12oz (Blue)") == [
        *("women", "pack", "wool", "scarf")
    ]


def test_search_words_come_from_the_instruction_alone():
    text = (
        "Find me warm scarves with [long] fringe with color: red, and price lower than 9.00 dollars"
    )
    goal = Goal("", "", "", "", "", text, ("warm",), 9.0, {"color": "red"})
    assert short_query(goal) == "warm scarves with long fringe"


def test_the_expert_recovers_from_wherever_it_is(catalogue: Catalogue, shop: Shop):
    goals = catalogue.goals(False, 42, 233)
    index = next(
        i for i in range(len(goals)) if goals[i].goal_options == {"color": "plum", "size": "small"}
    )
    detours = [
        [],
        ["search[zzz]", "click[next >]"],
        ["search[scarf]", SCARF, "click[large]", "click[features]"],
        ["search[mug]", "click[next >]"],
        ["search[mug]", MUG, "click[navy blue]", "click[description]"],
        ["search[mug]", MUG, "click[12 | 15 oz]"],
    ]
    for detour in detours:
        session = walk(shop, *detour)
        for _ in range(8):
            action = expert_action(shop, session, goals[index], goals.product_number(index))
            assert action is not None
            session = shop.act(session, action) or session
            if session.page == "done":
                break
        bought = dict(session.options)
        assert session.page == "done" and session.item == 0
        assert bought["color"] == "plum" and bought["size"] == "small"
        assert expert_action(shop, session, goals[index], 0) is None


def test_official_data_folder_is_readable(shared: Path):
    folder = shared / "data" / "webshop"
    if not folder.is_dir():
        pytest.skip(f"no WebShop data at {folder}")
    catalogue = published_catalogue("1k", str(folder))
    assert len(catalogue) == 1000 and catalogue.mean_length == 107.608
    assert len(catalogue.goals(False, 42, 233)) == 6910
