"""What the generated catalogue is made of: kinds of products and their properties."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of product.

    Attributes:
        name: what it is called, and the query that finds it.
        path: department, group.
        department: one word.
        attributes: properties a product may have.
        options: option names to values.
        price: lowest and highest price, in dollars.
    """

    name: str
    path: str
    department: str
    attributes: tuple[str, ...]
    options: tuple[tuple[str, tuple[str, ...]], ...]
    price: tuple[float, float]


_COLORS = ("black", "white", "navy", "red", "green", "grey", "beige", "teal", "mustard", "pink")
_SIZES = ("small", "medium", "large", "x-large")
_SHOE_SIZES = ("6", "7", "8", "9", "10", "11")
_CLOTHING = ("machine washable", "long sleeve", "regular fit", "soft cotton", "quick drying")

SHOP_KINDS = (
    Kind(
        "rain jackets",
        "Clothing › Outerwear › Rain Jackets",
        "fashion",
        ("water resistant", "packable hood", "taped seams", "two way zip", "mesh lining"),
        (("color", _COLORS), ("size", _SIZES)),
        (35.0, 120.0),
    ),
    Kind(
        "flannel shirts",
        "Clothing › Shirts › Flannel Shirts",
        "fashion",
        (*_CLOTHING, "button closure"),
        (("color", _COLORS), ("size", _SIZES)),
        (15.0, 60.0),
    ),
    Kind(
        "walking shoes",
        "Clothing › Shoes › Walking Shoes",
        "fashion",
        ("rubber sole", "arch support", "slip resistant", "memory foam", "wide toe box"),
        (("color", _COLORS), ("size", _SHOE_SIZES)),
        (30.0, 110.0),
    ),
    Kind(
        "desk lamps",
        "Home › Lighting › Desk Lamps",
        "garden",
        ("energy saving", "touch control", "easy assemble", "swing arm", "flicker free"),
        (("color", _COLORS), ("plug", ("us", "uk", "eu"))),
        (12.0, 80.0),
    ),
    Kind(
        "bookcases",
        "Home › Furniture › Bookcases",
        "garden",
        ("solid wood", "easy clean", "wall mounted", "space saving", "adjustable shelves"),
        (("color", ("oak", "walnut", "white", "black")), ("size", ("3-tier", "4-tier", "5-tier"))),
        (45.0, 300.0),
    ),
    Kind(
        "throw pillows",
        "Home › Bedding › Throw Pillows",
        "garden",
        ("double sided", "machine washable", "hidden zipper", "hypoallergenic", "spot clean"),
        (("color", _COLORS), ("size", ("16 x 16", "18 x 18", "20 x 20"))),
        (8.0, 40.0),
    ),
    Kind(
        "face creams",
        "Beauty › Skin Care › Face Creams",
        "beauty",
        ("fragrance free", "cruelty free", "sensitive skin", "aloe vera", "oil free"),
        (("size", ("1 ounce", "2 ounce", "4 ounce")),),
        (6.0, 55.0),
    ),
    Kind(
        "hair brushes",
        "Beauty › Hair Care › Hair Brushes",
        "beauty",
        ("natural bristles", "anti static", "easy carry", "detangling", "bamboo handle"),
        (("color", _COLORS),),
        (5.0, 30.0),
    ),
    Kind(
        "herbal teas",
        "Grocery › Beverages › Herbal Teas",
        "grocery",
        ("caffeine free", "certified organic", "non gmo", "sugar free", "individually wrapped"),
        (
            ("flavor", ("mint", "lemon", "ginger", "rooibos", "fennel")),
            ("pack", ("20 count", "40 count", "80 count")),
        ),
        (4.0, 35.0),
    ),
    Kind(
        "trail mixes",
        "Grocery › Snacks › Trail Mixes",
        "grocery",
        ("gluten free", "low sodium", "high protein", "plant based", "resealable bag"),
        (
            ("flavor", ("salted", "unsalted", "cocoa", "tropical")),
            ("weight", ("8 ounce", "16 ounce", "32 ounce")),
        ),
        (6.0, 40.0),
    ),
    Kind(
        "bluetooth speakers",
        "Electronics › Audio › Bluetooth Speakers",
        "electronics",
        ("hands free", "long lasting battery", "stereo sound", "dust proof", "usb port"),
        (("color", _COLORS),),
        (18.0, 150.0),
    ),
    Kind(
        "phone cases",
        "Electronics › Phones › Phone Cases",
        "electronics",
        ("wireless charging", "shock absorbing", "card holder", "non slip grip", "scratch proof"),
        (("color", _COLORS), ("model", ("mini", "plus", "pro", "max"))),
        (7.0, 45.0),
    ),
)

_TINY_COLORS = ("red", "blue", "green", "black", "white")
_TINY_SIZES = ("small", "large")
_FABRICS = ("wool", "silk", "cotton", "linen", "felt", "velvet")
_SOLIDS = ("glass", "steel", "clay", "wood", "stone", "brass")

TINY_KINDS = tuple(
    Kind(name, f"Shop › {group} › {name}", group.lower(), attributes, options, price)
    for name, group, attributes, options, price in (
        ("scarf", "Wear", _FABRICS, (("color", _TINY_COLORS),), (8.0, 38.0)),
        ("hat", "Wear", _FABRICS, (("size", _TINY_SIZES),), (8.0, 38.0)),
        ("bag", "Wear", _FABRICS, (("color", _TINY_COLORS),), (9.0, 48.0)),
        ("coat", "Wear", _FABRICS, (("size", _TINY_SIZES),), (20.0, 78.0)),
        ("mug", "Home", _SOLIDS, (("color", _TINY_COLORS),), (4.0, 28.0)),
        ("bowl", "Home", _SOLIDS, (("size", _TINY_SIZES),), (4.0, 28.0)),
        ("lamp", "Home", _SOLIDS, (("color", _TINY_COLORS),), (12.0, 58.0)),
        ("box", "Home", _SOLIDS, (("size", _TINY_SIZES),), (5.0, 38.0)),
    )
)

_STARTS = "Al Bel Cor Dar El Fen Gal Hol Jun Kes Lum Mar Nor Or Pel Rin Sol Tam"
_ENDS = "ara bex dale eon fia gro ita lin mont nova ria ster ton ula vik wen"
BRAND_STARTS, BRAND_ENDS = tuple(_STARTS.split()), tuple(_ENDS.split())
