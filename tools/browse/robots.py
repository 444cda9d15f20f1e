"""What sites ask programs not to open, in their `robots.txt` (RFC 9309)."""

from __future__ import annotations

from collections import OrderedDict
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

from agentrl.tools.base import ToolError
from agentrl.tools.browse.fetch import AGENT, Fetcher

UNWANTED = "The site does not want programs to open this page."
SITES = 1024
"""Whose rules are remembered."""


class Robots:
    """Asks each site once for its rules; a site without readable ones allows everything.

    Args:
        fetcher: gets the rules.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._rules: OrderedDict[str, RobotFileParser] = OrderedDict()

    async def check(self, url: str) -> None:
        """Refuse a page that its site does not want opened.

        Raises:
            ToolError: it does not.
        """
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        if site not in self._rules:
            self._rules[site] = await self._read(site)
            if len(self._rules) > SITES:
                self._rules.popitem(last=False)
        if not self._rules[site].can_fetch(AGENT, url):
            raise ToolError(UNWANTED)

    async def _read(self, site: str) -> RobotFileParser:
        rules = RobotFileParser()
        try:
            document = await self._fetcher.fetch(f"{site}/robots.txt")
        except ToolError:
            rules.parse([])
        else:
            rules.parse(document.text.splitlines())
        return rules
