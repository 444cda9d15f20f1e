"""Search: a local index, a server of the Search-R1 protocol, web back ends, and the tool.

SearchTool ──Searcher──> LocalSearcher ──> Bm25Index, DenseIndex     in this process
                         RetrieveClient ──> `agentrl serve-search`   POST /retrieve
                         WebSearch ──> Serper, Brave, Tavily, ...    over HTTP, cached
"""

from agentrl.tools.search.failure import FailureKind, SearchFailure
from agentrl.tools.search.hit import SearchHit
from agentrl.tools.search.searcher import Searcher
from agentrl.tools.search.sources import open_searcher
from agentrl.tools.search.tool import SearchTool

__all__ = ["FailureKind", "SearchFailure", "SearchHit", "SearchTool", "Searcher", "open_searcher"]
