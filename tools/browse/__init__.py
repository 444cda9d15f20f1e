"""The web for agents: pages as text with links, fetched from public servers only."""

from agentrl.tools.browse.cache import CachedPages
from agentrl.tools.browse.click import ClickTool
from agentrl.tools.browse.direct import DirectPages
from agentrl.tools.browse.jina import JinaPages
from agentrl.tools.browse.page import Link, Page, PageSource
from agentrl.tools.browse.site import Site, SitePages
from agentrl.tools.browse.sources import open_pages
from agentrl.tools.browse.tool import BrowseTool

__all__ = [
    "BrowseTool",
    "CachedPages",
    "ClickTool",
    "DirectPages",
    "JinaPages",
    "Link",
    "Page",
    "PageSource",
    "Site",
    "SitePages",
    "open_pages",
]
