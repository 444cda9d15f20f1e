"""Search: a local index, a server of the Search-R1 protocol, web back ends, and the tool.

SearchTool ──Searcher──> LocalSearcher ──> Bm25Index, DenseIndex     in this process
                         RetrieveClient ──> `agentrl serve-search`   POST /retrieve
                         WebSearch ──> Serper, Brave, Tavily, ...    over HTTP, cached
"""
